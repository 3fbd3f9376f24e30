"""Tables of a posterior under the labels of `parameters`.

Takes the design and an ArviZ DataTree, gives DataFrames with mean, median, SD and an
interval of named probability and kind.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design, GroupTerm
from bayeslmm.design.residual import RATIO, RHO
from bayeslmm.design.space import SIGMA, Parameter
from bayeslmm.errors import ModelError, check_fraction, is_choice
from bayeslmm.graph.names import fixed_names, safe_name
from bayeslmm.posterior.draws import level_coefficients
from bayeslmm.posterior.places import Place, places, posterior_parameters
from bayeslmm.tables import Table, square_table
from bayeslmm.tables.both import level_table, variance_table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayeslmm.posterior.tails import Missing

IntervalKind = Literal["eti", "hdi"]

SUMMARY_COLUMNS = (
    "component",
    "mean",
    "median",
    "sd",
    "lower",
    "upper",
    "mcse_mean",
    "ess_bulk",
    "ess_tail",
    "rhat",
)


class Interval(NamedTuple):
    """Probability and kind of the intervals of a table."""

    prob: float
    kind: IntervalKind


def check_interval(prob: float, kind: str) -> None:
    """Raise `ModelError` unless 0 < prob < 1 and the kind is known."""
    check_fraction(prob, "prob")
    if not is_choice(kind, get_args(IntervalKind)):
        known = " or ".join(repr(name) for name in get_args(IntervalKind))
        raise ModelError(f"Unknown kind of interval {kind!r}: use {known}.")


def summary_table(
    design: Design, tree: "xr.DataTree", prob: float, kind: IntervalKind
) -> "pd.DataFrame":
    """Every scalar parameter: location, spread, interval, Monte Carlo diagnostics."""
    return summary_at(places(design, tree), tree, prob, kind)


def summary_at(
    known: Sequence[Place], tree: "xr.DataTree", prob: float, kind: IntervalKind
) -> "pd.DataFrame":
    """The same of parameters whose places are known."""
    import arviz_stats as az
    import pandas as pd

    check_interval(prob, kind)
    scalars = _scalars(known, tree)
    with np.errstate(invalid="ignore", divide="ignore"):  # of very short chains
        found = az.summary(
            scalars, kind="all", ci_prob=prob, ci_kind=kind, round_to="none"
        )
    table = Table(found).loc[list(scalars.data_vars)]
    lower, upper = [name for name in table.columns if name.endswith(("_lb", "_ub"))]
    table = table.rename(columns={lower: "lower", upper: "upper", "r_hat": "rhat"})
    table["component"] = [place.component for place in known]
    table["median"] = [float(np.median(draws)) for draws in scalars.values()]
    table.index = pd.Index([place.label for place in known], name="label")
    return table.loc[:, list(SUMMARY_COLUMNS)]


def diagnostics_table(design: Design, tree: "xr.DataTree") -> "pd.DataFrame":
    """The Monte Carlo diagnostics of `summary_table` alone, in a third of its time."""
    import arviz_stats as az
    import pandas as pd

    known = places(design, tree)
    scalars = _scalars(known, tree)
    with np.errstate(invalid="ignore", divide="ignore"):  # of very short chains
        found = {
            "mcse_mean": az.mcse(scalars, method="mean"),
            "ess_bulk": az.ess(scalars, method="bulk"),
            "ess_tail": az.ess(scalars, method="tail"),
            "rhat": az.rhat(scalars, method="rank"),
        }
    columns = {
        column: [float(values[name]) for name in scalars.data_vars]
        for column, values in found.items()
    }
    return Table(columns, pd.Index([place.label for place in known], name="label"))


def _scalars(known: Sequence[Place], tree: "xr.DataTree") -> "xr.Dataset":
    """Draws for ArviZ, counted and not called by labels: one may be "chain"."""
    import xarray as xr

    return xr.Dataset(
        {
            f"p{i}": (("chain", "draw"), place.draws(tree))
            for i, place in enumerate(known)
        }
    )


def interval_bounds(
    draws: Float[np.ndarray, "chain draw ..."], prob: float, kind: IntervalKind
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Lower and upper bound of the interval of each quantity."""
    check_interval(prob, kind)
    pooled = draws.reshape(-1, *draws.shape[2:])
    if kind == "eti":
        tail = (1.0 - prob) / 2.0
        lower, upper = np.quantile(pooled, [tail, 1.0 - tail], axis=0)
        return lower, upper
    # shortest interval that covers the share of the ordered draws; as arviz, "nearest"
    ordered = np.sort(pooled, axis=0)
    inside = int(np.floor(prob * len(ordered)))
    widths = ordered[inside:] - ordered[: len(ordered) - inside]
    first = np.argmin(widths, axis=0)[None]
    lower = np.take_along_axis(ordered, first, axis=0)[0]
    return lower, np.take_along_axis(ordered, first + inside, axis=0)[0]


def describe_draws(
    draws: Float[np.ndarray, "chain draw ..."], prob: float, kind: IntervalKind
) -> dict[str, Float[np.ndarray, "..."]]:
    """Mean, median, SD and interval of each quantity, flattened."""
    lower, upper = interval_bounds(draws, prob, kind)
    return {
        "mean": np.mean(draws, axis=(0, 1)).ravel(),
        "median": np.median(draws, axis=(0, 1)).ravel(),
        "sd": np.std(draws, axis=(0, 1), ddof=1).ravel(),
        "lower": np.asarray(lower).ravel(),
        "upper": np.asarray(upper).ravel(),
    }


def hide_missing(
    table: "pd.DataFrame", labels: Iterable[str], missing: "Missing"
) -> "pd.DataFrame":
    """The table without the means, SDs and variances that do not exist: NaN there.

    `labels` has the label of every row, of a parameter or of effects of levels.
    """
    rows = list(labels)
    columns = {"mean": missing.mean, "mcse_mean": missing.sd, "sd": missing.sd}
    for column, without in {**columns, "variance": missing.variance}.items():
        if without and column in table.columns:
            table.loc[[label in without for label in rows], column] = np.nan
    return table


def varcorr_table(
    design: Design,
    tree: "xr.DataTree",
    prob: float,
    kind: IntervalKind,
    moved: Mapping[str, Float[np.ndarray, "chain draw"]] | None = None,
) -> "pd.DataFrame":
    """SDs, correlations and sigma with the effects they belong to.

    `moved` has draws by label that replace those of the tree.
    """
    at = {place.label: place for place in places(design, tree)}
    wanted = [p for p in posterior_parameters(design, tree) if p.component != "fixef"]
    own = [(moved or {}).get(p.label) for p in wanted]
    draws = np.stack(
        [
            at[p.label].draws(tree) if given is None else given
            for p, given in zip(wanted, own, strict=True)
        ],
        axis=-1,
    )
    table = variance_table(design, wanted, describe_draws(draws, prob, kind))
    products = [_variance_draws(p, wanted, draws) for p in wanted]
    table["variance"] = [float(np.mean(product)) for product in products]
    return table


def _variance_draws(
    parameter: Parameter,
    wanted: list[Parameter],
    draws: Float[np.ndarray, "chain draw m"],
) -> Float[np.ndarray, "chain draw"]:
    """Variance of an SD, covariance of a correlation, draw by draw."""
    own = draws[..., wanted.index(parameter)]
    if parameter.term is None and parameter.variable in (RATIO, RHO):
        sigma = draws[..., wanted.index(SIGMA)]
        return own * sigma**2 if parameter.variable == RHO else (own * sigma) ** 2
    if parameter.component != "corr":
        return own**2
    sds = {
        p.index[0]: draws[..., position]
        for position, p in enumerate(wanted)
        if (p.component, p.term) == ("sd", parameter.term)
    }
    shared = sds[0]  # the only one of a homogeneous structure
    i, j = parameter.index
    return own * sds.get(i, shared) * sds.get(j, shared)


def vcov_table(
    design: Design, tree: "xr.DataTree", missing: "Missing"
) -> "pd.DataFrame":
    """Covariance of the draws of the fixed effects, NaN where there is none."""
    draws = beta_draws(design, tree).reshape(-1, design.p)
    shown = design.space.fixed
    order = [p.index[0] for p in shown]
    covariance = np.atleast_2d(np.cov(draws[:, order], rowvar=False))
    without = [p.label in missing.sd for p in shown]
    covariance[without] = covariance[:, without] = np.nan
    return square_table([p.label for p in shown], covariance)


def term_draws(
    term: GroupTerm, tree: "xr.DataTree"
) -> Float[np.ndarray, "chain draw j k"]:
    """Draws of the effects of one term.

    Raises
    ------
    ModelError
        If they were not stored.
    """
    posterior = tree["posterior"]
    if safe_name(term.variables[0].name) not in posterior.data_vars:
        raise ModelError(
            f"The draws of the {term.n_levels} levels of {term.group!r} were not "
            f"stored. Their summary is post.ranef(), draws of chosen levels "
            f"post.ranef(levels=[...], draws=True); sample(keep='all') stores all."
        )
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    b = np.empty((chains, draws, term.n_levels, term.k))
    for variable in term.variables:
        values = posterior[safe_name(variable.name)].to_numpy()
        if variable.coords:
            b[..., list(variable.effects)] = values.swapaxes(-1, -2)
        else:
            b[..., variable.effects[0]] = values
    return b


def beta_draws(
    design: Design, tree: "xr.DataTree"
) -> Float[np.ndarray, "chain draw p"]:
    """Draws of the fixed effects, in the order of the columns of X."""
    posterior = tree["posterior"]
    beta = np.empty((posterior.sizes["chain"], posterior.sizes["draw"], design.p))
    names = fixed_names(design)
    for variable in design.fixed:
        values = posterior[names[variable.name]].to_numpy()
        shape = (*beta.shape[:2], len(variable.columns))
        beta[..., list(variable.columns)] = values.reshape(shape)
    return beta


def coef_table(
    design: Design, tree: "xr.DataTree", prob: float, kind: IntervalKind
) -> "pd.DataFrame":
    """Fixed plus random effects, one row for each group, level and effect."""
    import pandas as pd

    beta = beta_draws(design, tree)
    parts = []
    for group in dict.fromkeys(term.group for term in design.groups):
        terms = [term for term in design.groups if term.group == group]
        b = [term_draws(term, tree) for term in terms]
        names = [term.effects for term in terms]
        numbers = describe_draws(level_coefficients(design, beta, b, names), prob, kind)
        columns = dict.fromkeys([*design.fixed_names, *itertools.chain(*names)])
        parts.append(level_table(group, terms[0].levels, tuple(columns), numbers))
    return pd.concat(parts, ignore_index=True)
