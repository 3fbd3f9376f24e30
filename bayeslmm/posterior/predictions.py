"""What the draws say about responses: fitted values, new rows.

Takes the design and an ArviZ DataTree of draws; gives draws of linear predictors and of
responses. What is known of the level of a row is said by the words of
`bayeslmm.design.known`: a level that was not in the data has its effects drawn from
N(0, Sigma), a fresh draw for each draw of Sigma; where the level is unknown an expected
response is the integral over that distribution.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bayeslmm.covariance import theta_to_factor
from bayeslmm.design.arrays import Design
from bayeslmm.design.known import LevelWord, averaged_away, known_words
from bayeslmm.design.predicted import predicted_index, rows_to_predict
from bayeslmm.design.recipe import NewRows
from bayeslmm.design.residual import ResidualRows
from bayeslmm.errors import ModelError, check_seed
from bayeslmm.families import FAMILIES
from bayeslmm.posterior.noise import noise_draws
from bayeslmm.posterior.places import label_draws
from bayeslmm.posterior.tables import Interval, beta_draws, describe_draws, term_draws
from bayeslmm.posterior.tail_rows import Known, rows_without
from bayeslmm.posterior.tails import Missing
from bayeslmm.posterior.target import make_target
from bayeslmm.reml.outcomes import check_prediction, new_trials, new_weights
from bayeslmm.spec import ModelSpec
from bayeslmm.tables import Table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# Draws times rows that are held at once, and the most that an array of draws may have:
# 16 MB and 4 GB.
CHUNK, LARGEST = 2_000_000, 500_000_000
# Nodes of the average over unknown levels, and how far they reach: a probability is
# right to 1e-9 up to an SD of 3 of its logit and to 1e-3 up to 10, a count to 1e-5 of
# it up to an SD of 4 of its log.
NODES, FARTHEST = 61, 8.5


class Asked(NamedTuple):
    """What to predict: kind, what is known of levels, seed of what is drawn."""

    kind: str
    level: object
    seed: int | np.random.Generator | None


class TermRows(NamedTuple):
    """Rows of one bar term: columns, level of each row, and the effects to look up.

    ``effects`` has shape (chain, draw, level, k); levels after the fitted ones are new.
    """

    Z: Float[np.ndarray, "m k"]
    codes: Int[np.ndarray, " m"]
    effects: Float[np.ndarray, "chain draw _j k"]


class UnknownRows(NamedTuple):
    """Rows of one bar term whose levels are unknown: columns, and a root of Sigma."""

    Z: Float[np.ndarray, "m k"]
    root: Float[np.ndarray, "chain draw k k"]


class PredictionRows(NamedTuple):
    """Rows to predict: fixed columns, offset, random part, weights, trials.

    ``words`` say what is known of the levels of each bar term; ``terms`` are those
    whose levels are known, ``unknown`` those whose are not. ``weights`` are precision
    weights, None for weight 1; ``trials`` are those of counts out of trials;
    ``residual`` has the strata and series of structured residuals. Of new rows they are
    there only if the kind of prediction needs them.
    """

    X: Float[np.ndarray, "m p"]
    offset: Float[np.ndarray, " m"] | None
    words: tuple[LevelWord, ...]
    terms: tuple[TermRows, ...]
    unknown: tuple[UnknownRows, ...]
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
    table.index = predicted_index(newdata, model.row_labels, len(table))
    if missing.sd:
        without_mean, without_sd = _without(model, rows, asked.kind, missing)
        table["mean"] = table["mean"].mask(without_mean)
        table["sd"] = table["sd"].mask(without_sd)
    return table


def _without(
    model: ModelSpec, rows: PredictionRows, kind: str, missing: Missing
) -> tuple[Bool[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
    """Rows whose predictions have no mean, and no SD."""
    design = model.design
    if kind == "response" and "sigma" in missing.sd:
        everything = np.ones(len(rows.X), bool)
        return everything & ("sigma" in missing.mean), everything
    terms, unknown = iter(rows.terms), iter(rows.unknown)
    drawn: list[Known] = []
    for word, term in zip(rows.words, design.groups, strict=True):
        if word == "population":
            drawn.append(None)
        elif word == "unknown":
            Z = next(unknown).Z
            drawn.append((Z, np.full(len(Z), term.n_levels)))
        else:
            own = next(terms)
            drawn.append((own.Z, own.codes))
    target = make_target(design, model.conditioned, model.priors)
    return rows_without(target, rows.X, drawn)


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
    check_seed(asked.seed)
    words = known_words(model.design.groups, asked.level)
    if is_linear(model.family, asked.kind):
        words = averaged_away(words)
    # a stream of its own: the chains have the children of the run's seed
    own = [int(tree.attrs["seed"]), 1] if asked.seed is None else asked.seed
    rng = np.random.default_rng(own)
    if asked.kind == "mean" and "unknown" in words:
        check_average(model.family)
    encoded = rows_to_predict(model.recipe, newdata, words)
    rows = random_rows(model.design, tree, encoded, words, rng)
    if newdata is None:
        return with_own(model, rows), rng
    if asked.kind == "response":
        own = model.recipe.encode_residual(newdata)
        rows = rows._replace(weights=new_weights(model, newdata), residual=own)
    if asked.kind == "mean":
        rows = rows._replace(trials=new_trials(model, newdata))
    return rows, rng


def is_linear(family: str, kind: str) -> bool:
    """Whether a kind of prediction is linear in the random effects, no more noise."""
    link = FAMILIES[family].link.name == "identity" and not FAMILIES[family].logged
    return kind == "linear" or (kind == "mean" and link)


def check_average(family: str) -> None:
    """Raise `ModelError` if a mean has no average over normal random effects."""
    link = FAMILIES[family].link.name
    if link.startswith("inverse"):
        raise ModelError(
            f"The mean of family {family!r}, whose link is {link}, has no average over "
            f"levels: where the predictor comes near 0 it grows beyond all bounds. Use "
            f"level='population' (a level without random effects) or level='new'."
        )


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
    if kind == "response" and rows.residual is not None:
        return _structured_response(model, tree, rows, rng, part, linear)
    if kind == "response":
        sigma = label_draws(model.design, tree, "sigma")[..., None]
        variance = np.broadcast_to(sigma**2, linear.shape)
        if rows.weights is not None:
            variance = variance / rows.weights[part]
        if rows.unknown:
            variance = variance + unknown_variance(rows.unknown, part)
        return linear + np.sqrt(variance) * rng.standard_normal(linear.shape)
    trials = None if rows.trials is None else rows.trials[part]
    family, others = FAMILIES[model.family], other_draws(model.family, tree)
    if not rows.unknown:
        return family.mean(linear, others, trials)
    sd = np.sqrt(unknown_variance(rows.unknown, part))
    average = np.zeros_like(linear)
    for node, weight in zip(*normal_nodes(), strict=True):
        average += weight * family.mean(linear + node * sd, others, trials)
    return average


def _structured_response(
    model: ModelSpec,
    tree: "xr.DataTree",
    rows: PredictionRows,
    rng: np.random.Generator,
    part: slice,
    linear: Float[np.ndarray, "chain draw _m"],
) -> Float[np.ndarray, "chain draw _m"]:
    """New responses whose noise has strata and series."""
    weights = None if rows.weights is None else rows.weights[part]
    assert rows.residual is not None, "the caller has looked"
    own = rows.residual.take(part)
    found = linear + noise_draws(model, tree, linear.shape[-1], weights, own, rng)
    if rows.unknown:
        spread = np.sqrt(unknown_variance(rows.unknown, part))
        found = found + spread * rng.standard_normal(linear.shape)
    return found


def normal_nodes() -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, " q"]]:
    """Averages over the standard normal, nodes and weights: the trapezoidal rule.

    Of analytic functions its error falls exponentially; Trefethen and Weideman (2014),
    https://doi.org/10.1137/130932132. Gauss-Hermite's rule needs more nodes here.
    """
    nodes = np.linspace(-FARTHEST, FARTHEST, NODES)
    weights = np.exp(-0.5 * nodes**2)
    return nodes, weights / weights.sum()


def unknown_variance(
    unknown: tuple[UnknownRows, ...], part: slice
) -> Float[np.ndarray, "chain draw _m"]:
    """``z'Sigma z`` of rows whose levels are unknown, all terms, draw by draw."""
    return sum(
        (np.square(own.Z[part] @ own.root).sum(axis=-1) for own in unknown),
        start=np.zeros(()),
    )


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


def old_rows(
    model: ModelSpec, tree: "xr.DataTree", level: LevelWord = "group"
) -> PredictionRows:
    """The rows that were fitted."""
    words = known_words(model.design.groups, level)
    rows = rows_to_predict(model.recipe, None, words)
    found = random_rows(model.design, tree, rows, words, np.random.default_rng(0))
    return with_own(model, found)


def with_own(model: ModelSpec, rows: PredictionRows) -> PredictionRows:
    """The rows that were fitted with their weights and trials, strata and series."""
    own = model.design.rows
    return rows._replace(
        weights=own and own.weights,
        trials=model.recipe.trials,
        residual=own and own.residual,
    )


def random_rows(
    design: Design,
    tree: "xr.DataTree",
    rows: NewRows,
    words: tuple[LevelWord, ...],
    rng: np.random.Generator,
) -> PredictionRows:
    """Rows with draws of their effects; those of new levels are from N(0, Sigma)."""
    terms, unknown = [], []
    for t, (term, own) in enumerate(zip(design.groups, rows.groups, strict=True)):
        if own is None:
            continue
        if words[t] == "unknown":
            unknown.append(UnknownRows(own.Z, factor_draws(design, tree, t)))
            continue
        codes, effects = own.codes, term_draws(term, tree)
        if (codes < 0).any():
            codes = codes.copy()
            names, position = np.unique(own.labels[codes < 0], return_inverse=True)
            codes[codes < 0] = term.n_levels + position
            fresh = new_effects(design, tree, t, len(names), rng)
            effects = np.concatenate([effects, fresh], axis=2)
        terms.append(TermRows(own.Z, codes, effects))
    found = words, tuple(terms), tuple(unknown)
    return PredictionRows(rows.X, rows.offset, *found, None, None)


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
