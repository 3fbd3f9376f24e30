"""The path of shrinkage as a table: every estimate at every value of an SD.

Takes a fit; gives a tidy DataFrame of what `dial` finds on a grid from complete to no
pooling, with the same path as a ridge penalty.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import ndtri

from bayeslmm.comparison.dial import Dial, Estimates, find_dial
from bayeslmm.errors import ModelError, check_fraction, shortened
from bayeslmm.reml import fit_reml
from bayeslmm.reml.fit import RemlFit
from bayeslmm.tables import Table, words

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior

STEPS = 60  # of the default grid, between complete and no pooling


def shrinkage_path(
    fit: "RemlFit | Posterior",
    *,
    term: str | None = None,
    effects: object = None,
    sd: object = None,
    hold: Mapping[str, float] | None = None,
    prob: float = 0.95,
) -> pd.DataFrame:
    """Estimates of levels and fixed effects as the SD of a group runs from 0 to inf.

    Use it to see random effects as what they are: a Gaussian prior, or a ridge penalty,
    whose scale is estimated. At 0 all levels are one (complete pooling), at infinity
    each stands alone (no pooling).

    Parameters
    ----------
    fit : RemlFit or Posterior
        What is held: the REML (or ML) estimates of all other variance parameters and of
        sigma. Of a `Posterior` the REML fit of its model.
    term : str, optional
        Grouping factor (``"Subject"``) or term (``"(Days | Subject)"``); the first one
        by default.
    effects : str or sequence of str, optional
        Whose SD is turned; the first effect by default. Several are turned together,
        in the ratio of their SDs. Those with one SD (``cs``, ``ar1``) always are.
    sd : array_like, optional
        Values of the (first) SD, from 0 to infinity, units of the coefficient; by
        default about 60, REML's among them.
    hold : mapping of str to float, optional
        SDs of effects of this grouping factor in place of REML's, ``{"Days": 0}``.
    prob : float, default 0.95
        Probability of the intervals.

    Returns
    -------
    DataFrame
        One row for each SD and estimate. ``sd``; ``penalty``: sigma^2 / sd^2, the ridge
        penalty on the effect; ``group`` and ``level``, empty for fixed effects;
        ``effect``; ``estimate``: fixed plus random effect, or fixed effect; ``se``,
        ``lower``, ``upper``: given the variance parameters; ``pooling``: share of the
        effect's variance that the level's rows leave, 1 complete, 0 none, NaN of fixed
        effects. In units of y per unit of the column. ``attrs``: ``label`` of the SD,
        its ``reml`` value, ``sigma``, ``halfway`` (the SD at which the usual level is
        pooled by a half), ``held``, ``method``, ``prob``.

    Raises
    ------
    ModelError
        If `fit` has no REML fit (another family), there is no such term, effect or SD,
        or other grouping factors have too many effects.

    See Also
    --------
    plot_shrinkage_path : The figure.
    shrinkage_table : All grouping factors at the estimates.

    Notes
    -----
    Henderson's mixed model equations [1]_ solved for each SD. Sigma is held, so that
    a path is one of estimates under one noise; intervals at the ends are those of
    ordinary least squares with this sigma. An estimate that no pooling leaves open (the
    mean of the levels; a predictor that is constant in levels) has an infinite SE; its
    value is the limit, NaN where there is none.

    References
    ----------
    .. [1] Henderson (1975). Biometrics 31(2). https://doi.org/10.2307/2529430
    .. [2] Hoerl and Kennard (1970). Technometrics 12(1).
       https://doi.org/10.1080/00401706.1970.10488634

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(3, 10, seed=1).data
    >>> reml = lmm.Model("score ~ edu + (1 | classroom)", pupils).fit_reml()
    >>> path = lmm.shrinkage_path(reml, sd=[0, 1, float("inf")])
    >>> path[path["level"] != ""].pivot(index="sd", columns="level", values="estimate"
    ... ).round(2)
    level   c00    c01    c02
    sd
    0.0   10.74  10.74  10.74
    1.0   10.99   9.71  11.65
    inf   11.02   9.57  11.76
    """
    check_fraction(prob, "prob")
    reml = path_reml(fit)
    dial = find_dial(reml, term, effects, hold)
    found = dial.sds[dial.turned[0]]
    values = _grid(dial.halfway, float(found)) if sd is None else _checked(sd)
    parts = [_at(dial, value, prob) for value in values.tolist()]
    table = Table(
        {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    )
    for column in ("group", "level", "effect"):
        table[column] = words(table[column].to_numpy())
    table.attrs = {
        "label": dial.label,
        "reml": float(found),
        "sigma": reml.sigma,
        "halfway": dial.halfway,
        "held": held_words(dial, hold),
        "method": reml.method,
        "group": dial.block.group,
        "effects": [dial.block.effects[i] for i in dial.turned],
        "prob": prob,
    }
    return table


def path_reml(fit: object) -> RemlFit:
    """The REML fit that a path holds.

    Raises
    ------
    ModelError
        If it is no fit, or of a family without REML.
    """
    if isinstance(fit, RemlFit):
        return fit
    if type(fit).__name__ == "Fit":
        raise ModelError(
            "fit must be a RemlFit or a Posterior, not a Fit, which holds both: "
            "fit.shrinkage_path() is the same table."
        )
    if type(fit).__name__ != "Posterior":
        raise ModelError(
            f"fit must be what model.fit_reml() or model.sample() gives, not a "
            f"{type(fit).__name__}."
        )
    model = fit.model  # pyright: ignore[reportAttributeAccessIssue]
    if model.family != "gaussian":
        raise ModelError(
            f"A path of shrinkage is exact for Gaussian models; of family "
            f"{model.family!r} estimates given an SD are no closed form. "
            "coef() has the levels where the posterior has them."
        )
    return fit_reml(model)


def held_words(dial: Dial, hold: Mapping[str, float] | None) -> str:
    """What does not move along the path, in words."""
    block = dial.block
    others = [e for i, e in enumerate(block.effects) if i not in dial.turned]
    groups = {term.group for term in dial.reml.design.groups} - {block.group}
    asked = hold or {}
    held = [f"SD of {effect}" for effect in others if effect not in asked]
    held += [f"SDs of {group}" for group in sorted(groups)]
    held += ["correlations"] if np.count_nonzero(dial.corr) > len(dial.corr) else []
    held += ["residual SD"]
    chosen = [f"SD of {e} at {asked[e]:g}" for e in others if e in asked]
    also = f"; as asked: {', '.join(chosen)}" if chosen else ""
    return f"held at the {dial.reml.method} fit: {', '.join(held)}{also}"


def _grid(halfway: float, reml: float) -> Float[np.ndarray, " s"]:
    """SDs at equal steps of sd / (sd + halfway), with both ends and REML's."""
    share = np.arange(1, STEPS) / STEPS
    return np.unique(
        np.concatenate([[0.0, reml, np.inf], halfway * share / (1.0 - share)])
    )


def _checked(sd: object) -> Float[np.ndarray, " s"]:
    """The SDs asked for."""
    try:
        values = np.atleast_1d(np.asarray(sd, dtype=float))
    except (TypeError, ValueError):
        values = np.array([])
    if (
        isinstance(sd, str | bool)
        or values.ndim != 1
        or not values.size
        or not (values >= 0.0).all()
    ):
        raise ModelError(
            f"sd must be SDs, numbers from 0 to infinity, such as [0, 1, np.inf], not "
            f"{shortened(sd)}."
        )
    return values


def _at(dial: Dial, sd: float, prob: float) -> dict[str, np.ndarray]:
    """Rows of one SD: fixed effects, then levels."""
    found: Estimates = dial.estimates(sd)
    block, fixed = dial.block, dial.reml.design.fixed_names
    j, k, p = *found.coef.shape, len(fixed)
    estimate = np.concatenate([found.beta, found.coef.ravel()])
    se = np.concatenate([found.beta_se, found.coef_se.ravel()])
    reach = ndtri(0.5 + 0.5 * prob) * se
    with np.errstate(divide="ignore"):
        penalty = np.float64(dial.reml.sigma) ** 2 / np.float64(sd) ** 2
    return {
        "sd": np.full(p + j * k, sd),
        "penalty": np.full(p + j * k, penalty),
        "group": np.array([""] * p + [block.group] * (j * k), object),
        "level": np.array(
            [""] * p + list(np.repeat(np.array(block.levels, object), k)), object
        ),
        "effect": np.array([*fixed, *block.effects * j], object),
        "estimate": estimate,
        "se": se,
        "lower": estimate - reach,
        "upper": estimate + reach,
        "pooling": np.concatenate([np.full(p, np.nan), found.pooling.ravel()]),
    }
