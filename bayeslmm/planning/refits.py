"""One data set of a calibration: drawn from the prior, fitted, compared with the truth.

Takes a model; gives parameters and a response from its priors, and the `Outcome` of the
posterior and of REML on that response: ranks of the true values, and which intervals
hold them. The priors are those of the model, whatever the response is.
"""

import math
import warnings
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.design.rows import linear_predictor
from bayeslmm.errors import (
    BayesLMMError,
    BayesLMMWarning,
    SamplingInterruptedError,
)
from bayeslmm.graph.trees import COORDINATES, UNCONSTRAINED
from bayeslmm.planning.certificate import KINDS, PROBS
from bayeslmm.posterior.places import residual_draws
from bayeslmm.posterior.predictions import linear_draws, old_rows
from bayeslmm.posterior.sampling import sample
from bayeslmm.posterior.tables import IntervalKind, beta_draws, interval_bounds
from bayeslmm.posterior.target import Target, make_target
from bayeslmm.reml.estimate import fit_reml
from bayeslmm.reml.intervals import profile_falls
from bayeslmm.reml.status import read_parameters
from bayeslmm.simulation import (
    Parameters,
    one_response,
    prior_parameters,
    random_effects,
)
from bayeslmm.spec import Method, ModelSpec

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior

CREDIBLE: tuple[IntervalKind, ...] = ("eti", "hdi")
CHAINS = 2
# Draws at which the likelihoods are compared.
COMPARED = 400


@dataclass(frozen=True, slots=True)
class Truth:
    """Parameters and random effects from the prior, and a response from these."""

    parameters: Parameters
    effects: list[Float[np.ndarray, "_j _k"]]
    y: Float[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found on one data set.

    Attributes
    ----------
    ranks : ndarray, shape (d + 2,)
        Share of the draws below the true value, of every parameter and of the
        `LIKELIHOODS`.
    holds, widths : ndarray, shape (kind, prob, d)
        Whether each interval holds the true value, 1 or 0, and its length; NaN where
        there is none. Profile intervals are only asked whether.
    method : str
        How the posterior was drawn.
    warned : bool
        Whether its own diagnosis found fault with it.
    """

    ranks: Float[np.ndarray, " q"]
    holds: Float[np.ndarray, "kind prob d"]
    widths: Float[np.ndarray, "kind prob d"]
    method: str
    warned: bool


def draw_truths(model: ModelSpec, size: int, rng: np.random.Generator) -> list[Truth]:
    """Parameters from the priors of a model, each with a response of its rows."""
    design, found = model.design, []
    for given in prior_parameters(model, size, rng):
        effects = random_effects(design, given.factors, rng)
        found.append(Truth(given, effects, one_response(design, given, effects, rng)))
    return found


def compare_with_truth(
    model: ModelSpec, truth: Truth, method: Method, draws: int, seed: int
) -> Outcome | str:
    """Both fits of a simulated response beside its truth; a reason if there is none."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", BayesLMMWarning)
        try:
            own = model.with_response(truth.y).with_priors(model.priors)
            post = sample(
                own,
                draws=draws,
                chains=CHAINS,
                seed=seed,
                method=_fastest(own, method),
                cores=1,
                progress=False,
                keep="all",
            )
            if post.status.partial:  # Ctrl-C ended it; it is to end the rest too
                raise KeyboardInterrupt
            warned = bool(said)
            return Outcome(
                _ranks(post, truth),
                *_intervals(post, truth),
                method=post.method,
                warned=warned,
            )
        except SamplingInterruptedError as error:
            raise KeyboardInterrupt from error
        except BayesLMMError as error:
            return str(error)


def _fastest(model: ModelSpec, method: Method) -> Method:
    """Weighted points where NUTS has no compiled density; else as it is asked.

    With AR(1) residuals they take 0.3 s and NUTS 2.6 s; where the density is compiled,
    as with correlated slopes, NUTS is no slower.
    """
    if method != "auto":
        return method
    target = make_target(model.design, model.conditioned, model.priors)
    return "auto" if target.compiled is not None else "importance"


def _ranks(post: "Posterior", truth: Truth) -> Float[np.ndarray, " q"]:
    """Share of the draws below the truth; a half of one rank from the ends."""
    values = _true_values(post.model.design, truth.parameters)
    labels = post.model.space.labels
    pairs = [
        (post.draws(label).ravel(), value)
        for label, value in zip(labels, values.tolist(), strict=True)
    ]
    pairs += [_log_likelihood(post, truth), _log_marginal(post, truth)]
    return np.array(
        [(float((d < value).sum()) + 0.5) / (d.size + 1.0) for d, value in pairs]
    )


def _true_values(design: Design, given: Parameters) -> Float[np.ndarray, " d"]:
    """Every parameter as the tables have it."""
    own = () if design.residual is None else design.residual.parameters
    scalars = dict(zip((p.label for p in own), given.residual.tolist(), strict=True))
    scalars["sigma"] = given.sigma
    parameters = design.space.parameters
    return read_parameters(design, parameters, given.factors, scalars, given.beta)


def _intervals(
    post: "Posterior", truth: Truth
) -> tuple[Float[np.ndarray, "kind prob d"], Float[np.ndarray, "kind prob d"]]:
    """Which intervals hold the truth, and how long they are."""
    model = post.model
    values = _true_values(model.design, truth.parameters)
    draws = np.stack([post.draws(label) for label in model.space.labels], axis=-1)
    reml = fit_reml(model)
    falls = profile_falls(reml, values)
    shape = (len(KINDS), len(PROBS), values.size)
    holds, widths = np.full(shape, np.nan), np.full(shape, np.nan)
    for j, prob in enumerate(PROBS):
        wald = reml.interval(prob).to_numpy(float).T
        eti, hdi = (interval_bounds(draws, prob, kind) for kind in CREDIBLE)
        bounds = (eti, hdi, wald)
        for i, (lower, upper) in enumerate(bounds):
            inside = (lower <= values) & (values <= upper)
            widths[i, j] = upper - lower
            holds[i, j] = np.where(np.isnan(upper - lower), np.nan, inside)
        most = NormalDist().inv_cdf(0.5 + prob / 2) ** 2
        holds[3, j] = np.where(np.isnan(falls), np.nan, falls <= most)
    return holds, widths


def _log_marginal(
    post: "Posterior", truth: Truth
) -> tuple[Float[np.ndarray, " s"], float]:
    """Log density of the data, all effects integrated out: at draws, at the truth."""
    model, tree = post.model, post.idata
    target = make_target(model.design, model.conditioned, model.priors)
    step = _step(post)
    x = tree[UNCONSTRAINED][COORDINATES].to_numpy()[:, ::step]
    lp = tree["sample_stats"]["lp"].to_numpy()[:, ::step].ravel()
    points = x.reshape(-1, x.shape[-1])
    prior = np.array([target.log_prior(point)[0] for point in points.tolist()])
    at = _coordinates(target, model.design, truth.parameters)
    return lp - prior, float(target(at)[0] - target.log_prior(at.tolist())[0])


def _coordinates(
    target: Target, design: Design, given: Parameters
) -> Float[np.ndarray, " m"]:
    """The point of the target that has these parameters."""
    safe = target.conditioned
    sigma = given.sigma / safe.unit
    relative = [
        term.lift @ np.linalg.solve(safe.reference(t), root) / sigma
        for t, (term, root) in enumerate(zip(target.terms, given.factors, strict=True))
    ]
    own = () if design.residual is None else design.residual.parameters
    last = [p.working(v) for p, v in zip(own, given.residual.tolist(), strict=True)]
    return target.coordinates(relative, sigma, np.array(last, float))


def _log_likelihood(
    post: "Posterior", truth: Truth
) -> tuple[Float[np.ndarray, " s"], float]:
    """Log density of the data given effects and sigma: at draws, and at the truth.

    Up to constants; of correlated residuals without the determinant, which any
    function of data and parameters may be.
    """
    model, tree, step = post.model, post.idata, _step(post)
    design = model.design
    rows = old_rows(model, tree)
    terms = tuple(t._replace(effects=t.effects[:, ::step]) for t in rows.terms)
    beta = beta_draws(design, tree)[:, ::step]
    fitted = linear_draws(beta, rows._replace(terms=terms), slice(None))
    sigma = post.draws("sigma")[:, ::step].ravel()
    residual = residual_draws(design, tree)[:, ::step]
    drawn = zip(
        fitted.reshape(-1, design.n),
        sigma.tolist(),
        residual.reshape(len(sigma), -1),
        strict=True,
    )
    given = truth.parameters
    own = rows_of(design, "a calibration")
    at = linear_predictor(own, given.beta, truth.effects)
    true = _density(design, truth.y, at, given.sigma, given.residual)
    return np.array([_density(design, truth.y, *one) for one in drawn]), true


def _density(
    design: Design,
    y: Float[np.ndarray, " n"],
    fitted: Float[np.ndarray, " n"],
    sigma: float,
    residual: Float[np.ndarray, " r"],
) -> float:
    """Log density of a response about fitted values."""
    rows, structure = rows_of(design, "a calibration"), design.residual
    weights = 1.0 if rows.weights is None else rows.weights
    e, log_sd = (y - fitted) * np.sqrt(weights) / sigma, math.log(sigma)
    if structure is not None and rows.residual is not None:
        scale = structure.scale(rows.residual, residual) * np.ones(design.n)
        e = structure.whiten(rows.residual, residual, e / scale)
        log_sd += float(np.log(scale).mean())
    return -0.5 * float(e @ e) - design.n * log_sd


def _step(post: "Posterior") -> int:
    """Every how many draws are compared."""
    return max(1, post.status.chains * post.status.draws // COMPARED)
