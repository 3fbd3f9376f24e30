"""What the draws say about responses: fitted values and new rows.

Takes the design and an ArviZ DataTree of draws; gives draws of linear predictors. The
effects of a level that was not in the data are drawn from N(0, Sigma), a fresh draw for
each draw of Sigma.
"""

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bayeslmm.covariance import theta_to_factor
from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.design.residual import ResidualRows
from bayeslmm.errors import ModelError, check_flag, check_seed, is_choice
from bayeslmm.families import FAMILIES
from bayeslmm.posterior.noise import noise_draws
from bayeslmm.posterior.outcomes import new_trials, new_weights
from bayeslmm.posterior.places import label_draws
from bayeslmm.posterior.tables import Interval, beta_draws, describe_draws, term_draws
from bayeslmm.posterior.tails import Missing, rows_without
from bayeslmm.posterior.target import make_target
from bayeslmm.spec import ModelSpec
from bayeslmm.tables import Table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayeslmm.design import NewRows

PredictionKind = Literal["mean", "response", "linear"]

# Draws times rows that are held at once, and the most that an array of draws may have:
# 16 MB and 4 GB.
CHUNK, LARGEST = 2_000_000, 500_000_000


class Asked(NamedTuple):
    """What to predict: kind, with or without random effects, seed of what is drawn."""

    kind: str
    random: bool
    seed: int | np.random.Generator | None


class TermRows(NamedTuple):
    """Rows of one bar term: columns, level of each row, and the effects to look up.

    ``effects`` has shape (chain, draw, level, k); levels after the fitted ones are new.
    """

    Z: Float[np.ndarray, "m k"]
    codes: Int[np.ndarray, " m"]
    effects: Float[np.ndarray, "chain draw _j k"]


class PredictionRows(NamedTuple):
    """Rows to predict: fixed columns, offset, random part, weights, trials.

    ``weights`` are precision weights, None for weight 1; ``trials`` are those of counts
    out of trials; ``residual`` has the strata and series of structured residuals. Of
    new rows they are there only if the kind of prediction needs them.
    """

    X: Float[np.ndarray, "m p"]
    offset: Float[np.ndarray, " m"] | None
    terms: tuple[TermRows, ...]
    weights: Float[np.ndarray, " m"] | None
    trials: Float[np.ndarray, " m"] | None
    residual: ResidualRows | None = None


def prediction_table(
    model: ModelSpec,
    tree: "xr.DataTree",
    newdata: object,
    asked: Asked,
    interval: Interval,
    missing: Missing,
) -> "pd.DataFrame":
    """Mean, median, SD and interval at each row, a chunk of rows at a time."""
    import pandas as pd

    rows, rng = prediction_rows(model, tree, newdata, asked)
    parts = [
        Table(
            describe_draws(_values(model, tree, rows, asked.kind, rng, part), *interval)
        )
        for part in row_chunks(_n_draws(tree), len(rows.X))
    ]
    if not parts:  # no rows: the columns, and nothing in them
        return Table(columns=["mean", "median", "sd", "lower", "upper"], dtype=float)
    table = pd.concat(parts, ignore_index=True)
    if missing.sd:
        without_mean, without_sd = _without(model, rows, asked.kind, missing)
        table.loc[without_mean, "mean"] = np.nan
        table.loc[without_sd, "sd"] = np.nan
    return table


def _without(
    model: ModelSpec, rows: PredictionRows, kind: str, missing: Missing
) -> tuple[Bool[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
    """Rows whose predictions have no mean, and no SD."""
    design = model.design
    if kind == "response" and "sigma" in missing.sd:
        everything = np.ones(len(rows.X), bool)
        return everything & ("sigma" in missing.mean), everything
    unseen: list[Float[np.ndarray, "m _k"] | None] = [None] * len(design.groups)
    for t, (own, term) in enumerate(zip(rows.terms, design.groups, strict=False)):
        new = own.codes >= term.n_levels
        unseen[t] = np.where(new[:, None], own.Z, np.nan)
    target = make_target(design, model.conditioned, model.priors)
    return rows_without(target, rows.X, unseen)


def prediction_draws(
    model: ModelSpec, tree: "xr.DataTree", newdata: object, asked: Asked
) -> Float[np.ndarray, "chain draw m"]:
    """Draws at all rows."""
    rows, rng = prediction_rows(model, tree, newdata, asked)
    check_size(_n_draws(tree), len(rows.X), "Predictions")
    return _values(model, tree, rows, asked.kind, rng, slice(None))


def prediction_rows(
    model: ModelSpec, tree: "xr.DataTree", newdata: object, asked: Asked
) -> tuple[PredictionRows, np.random.Generator]:
    """Rows to predict, and the generator for what is drawn anew."""
    check_prediction(model.family, asked.kind)
    check_flag(asked.random, "random")
    check_seed(asked.seed)
    # a stream of its own: the chains have the children of the run's seed
    own = [int(tree.attrs["seed"]), 1] if asked.seed is None else asked.seed
    rng = np.random.default_rng(own)
    if newdata is None:
        return old_rows(model, tree, random=asked.random), rng
    encoded = model.recipe.encode(newdata, random=asked.random)
    rows = new_rows(model.design, tree, encoded, random=asked.random, rng=rng)
    if asked.kind == "response":
        own = model.recipe.encode_residual(newdata)
        rows = rows._replace(weights=new_weights(model, newdata), residual=own)
    if asked.kind == "mean":
        rows = rows._replace(trials=new_trials(model, newdata))
    return rows, rng


def _values(
    model: ModelSpec,
    tree: "xr.DataTree",
    rows: PredictionRows,
    kind: str,
    rng: np.random.Generator,
    part: slice,
) -> Float[np.ndarray, "chain draw _m"]:
    """Draws of one kind of prediction at some rows."""
    linear = linear_draws(beta_draws(model.design, tree), rows, part)
    if kind == "linear":
        return linear
    trials = None if rows.trials is None else rows.trials[part]
    others = other_draws(model.family, tree)
    mean = FAMILIES[model.family].mean(linear, others, trials)
    if kind == "mean":
        return mean
    weights = None if rows.weights is None else rows.weights[part]
    own = rows.residual and rows.residual.take(part)
    m = mean.shape[-1]
    return mean + noise_draws(model, tree, m, weights, own, rng)


def _n_draws(tree: "xr.DataTree") -> int:
    """Draws of all chains."""
    sizes = tree["posterior"].sizes
    return sizes["chain"] * sizes["draw"]


def other_draws(
    family: str, tree: "xr.DataTree"
) -> dict[str, Float[np.ndarray, "chain draw 1"]]:
    """Draws of the parameters of the family beside its linear predictor."""
    posterior = tree["posterior"]
    return {
        name: posterior[name].to_numpy()[..., None] for name in FAMILIES[family].others
    }


def old_rows(model: ModelSpec, tree: "xr.DataTree", *, random: bool) -> PredictionRows:
    """The rows that were fitted."""
    design = model.design
    rows = rows_of(design, "fitted values of all rows")
    groups = design.groups if random else ()
    terms = tuple(
        TermRows(Z, codes, term_draws(term, tree))
        for term, Z, codes in zip(groups, rows.Z, rows.codes, strict=False)
    )
    trials = model.recipe.trials
    return PredictionRows(
        rows.X, rows.offset, terms, rows.weights, trials, rows.residual
    )


def new_rows(
    design: Design,
    tree: "xr.DataTree",
    rows: "NewRows",
    *,
    random: bool,
    rng: np.random.Generator,
) -> PredictionRows:
    """Rows of new data; effects of new levels are drawn from N(0, Sigma)."""
    terms = []
    for t, term in enumerate(design.groups if random else ()):
        own = rows.groups[t]
        codes = own.codes.copy()
        names, position = np.unique(own.labels[codes < 0], return_inverse=True)
        codes[codes < 0] = term.n_levels + position
        fresh = new_effects(design, tree, t, len(names), rng)
        effects = np.concatenate([term_draws(term, tree), fresh], axis=2)
        terms.append(TermRows(own.Z, codes, effects))
    return PredictionRows(rows.X, rows.offset, tuple(terms), None, None)


def new_effects(
    design: Design,
    tree: "xr.DataTree",
    t: int,
    n_levels: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "chain draw _j k"]:
    """Effects of levels of term t that were not in the data."""
    root = factor_draws(design, tree, t)
    chains, draws, k, _ = root.shape
    white = rng.standard_normal((chains, draws, n_levels, k))
    return white @ root.swapaxes(-1, -2)


def factor_draws(
    design: Design, tree: "xr.DataTree", t: int
) -> Float[np.ndarray, "chain draw k k"]:
    """A root of the covariance of term t, draw by draw, from SDs and correlations."""
    term = design.groups[t]
    m = term.covariance.n_sd(term.k)  # of equal SDs the first says all
    sds, corrs = design.space.sds(t)[:m], design.space.corrs(t)
    shown = [label_draws(design, tree, p.label) for p in (*sds, *corrs)]
    draws = np.stack(shown, axis=-1)
    if not term.covariance.unstructured:
        flat = draws.reshape(-1, draws.shape[-1])
        roots = [theta_to_factor(term.covariance, theta, term.k) for theta in flat]
        return np.array(roots).reshape(*draws.shape[:2], term.k, term.k)
    sd = draws[..., :m]
    corr = np.broadcast_to(np.eye(term.k), (*sd.shape, term.k)).copy()
    for position, parameter in enumerate(corrs):
        i, j = parameter.index
        corr[..., i, j] = corr[..., j, i] = draws[..., m + position]
    # eigenvectors, not Cholesky: correlations near +-1 leave a rank less by rounding
    values, vectors = np.linalg.eigh(corr)
    return sd[..., None] * vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]


def linear_draws(
    beta: Float[np.ndarray, "chain draw p"],
    rows: PredictionRows,
    chosen: slice,
) -> Float[np.ndarray, "chain draw _m"]:
    """X beta + Z b + offset at the chosen rows."""
    values = beta @ rows.X[chosen].T
    if rows.offset is not None:
        values = values + rows.offset[chosen]
    for Z, codes, effects in rows.terms:
        for column in range(Z.shape[1]):
            values += Z[chosen, column] * effects[:, :, codes[chosen], column]
    return values


def row_chunks(n_draws: int, n_rows: int) -> list[slice]:
    """Slices of rows, each few enough to be held for all draws."""
    size = max(1, CHUNK // n_draws)
    return [slice(i, min(i + size, n_rows)) for i in range(0, n_rows, size)]


def check_size(n_draws: int, n_rows: int, what: str) -> None:
    """Raise `ModelError` if an array of draws by rows would not fit."""
    if n_draws * n_rows > LARGEST:
        raise ModelError(
            f"{what} of {n_draws} draws and {n_rows} rows would take "
            f"{n_draws * n_rows * 8 / 1e9:.0f} GB. Predict fewer rows at a time, or "
            "sample fewer draws."
        )


def check_prediction(family: str, kind: str) -> None:
    """Raise `ModelError` if a kind of prediction is unknown or not for the family."""
    if not is_choice(kind, ("mean", "response", "linear")):
        raise ModelError(
            f"Unknown kind of prediction {kind!r}: use 'mean' (expected response), "
            "'response' (a new response, with its noise) or 'linear' (its predictor)."
        )
    if kind == "response" and family != "gaussian":
        raise ModelError(
            f"kind={kind!r} is not available for family {family!r}. Use kind='mean', "
            "or bambi's own predict: model.to_bambi().predict(post.idata, ...)."
        )
