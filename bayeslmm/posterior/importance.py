"""The posterior by weighted independent points, where an evaluation is expensive.

Takes a `Target` and its normal approximation. Points come from a split Student-t at the
mode, in whitened coordinates; where their weights are not trusted, from a proposal that
is fitted to the points so far, in a second or third round. Each point costs one
factorisation, which gives the density and, where that is dear, an exact draw of
(beta, b); all points become chains by independence Metropolis. A run is accepted only
if its own checks say that the last proposal covers the posterior, else it is `Declined`
with the reason, and NUTS is to be used.
"""

import math
import time
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.arrays import Design
from bayeslmm.posterior.draws import effect_draws, parameter_draws
from bayeslmm.posterior.growing import Batch, Wanted, grow
from bayeslmm.posterior.independence import (
    log_mean_weight,
)
from bayeslmm.posterior.mode import Laplace
from bayeslmm.posterior.proposal import make_proposal
from bayeslmm.posterior.rounds import Evaluation, Rounds, Visit, first_round
from bayeslmm.posterior.target import Target
from bayeslmm.posterior.trust import (
    Declined,
    ImportanceChecks,
    is_trusted,
    largest_k,
    not_trusted,
    too_few,
    too_many,
)
from bayeslmm.posterior.visits import in_threads
from bayeslmm.reml.expense import MAX_DIMENSION, useful_threads


@dataclass(frozen=True, slots=True)
class ImportanceDraws:
    """Draws of the posterior as chains, ordinary draws without weights.

    Attributes
    ----------
    evaluation : Evaluation
        ``evaluation.effects(i, x)`` draws the effects of point i once more, the same
        ones.
    index : ndarray of int, shape (chain, draw)
        Point that each draw stands at.
    x : ndarray, shape (chain, draw, m)
        Coordinates of the variance parameters.
    beta : ndarray, shape (chain, draw, p)
        Fixed effects, units of y per unit of x.
    b : dict of int to ndarray, shape (chain, draw, J_t, k_t)
        Random effects of the bar terms that were kept, by position in the design.
    stats : dict of str to ndarray, shape (chain, draw)
        ``lp``, ``acceptance_rate`` and ``log_weight``, ArviZ's sample_stats.
    log_evidence, log_evidence_error : float
        Log of the mean weight with its standard error; up to the constants of flat
        priors.
    checks : ImportanceChecks
        Why the run was accepted.
    partial : bool
        Whether it was interrupted before it had all the points wanted.
    with_effects : bool
        Whether ``beta`` and ``b`` were drawn.
    grams : ndarray, shape (chain, draw, w, w), or None
        What draws of the fixed effects need, where it was kept with the density.
    """

    evaluation: Evaluation
    index: Int[np.ndarray, "chain draw"]
    x: Float[np.ndarray, "chain draw m"]
    beta: Float[np.ndarray, "chain draw p"]
    b: dict[int, Float[np.ndarray, "chain draw _j _k"]]
    stats: dict[str, Float[np.ndarray, "chain draw"]]
    log_evidence: float
    log_evidence_error: float
    checks: ImportanceChecks
    partial: bool
    with_effects: bool
    grams: Float[np.ndarray, "chain draw w w"] | None = None

    @property
    def reason(self) -> str:
        """What was done, and the checks, in one sentence."""
        return self.checks.accepted


def sample_importance(
    target: Target,
    normal: Laplace,
    *,
    draws: int,
    chains: int,
    seed: int,
    cores: int,
    ess: int | None = None,
    fewest: int = 0,
    keep: tuple[int, ...] | None = None,
    effects: bool = True,
) -> ImportanceDraws | Declined:
    """Draw from the posterior by weighted points.

    Parameters
    ----------
    target : Target
        Density of the coordinates.
    normal : Laplace
        Its approximation at the mode.
    draws : int
        Most draws of each chain.
    chains : int
        Number of chains.
    seed : int
        The same seed gives the same draws, whatever `cores` is.
    cores : int
        Most threads that evaluate points.
    ess : int, optional
        Stop as soon as every variance parameter has this effective sample size, for
        bulk and tails; by default all draws are made.
    fewest : int, default 0
        Points that are made in any case.
    keep : tuple of int, optional
        Bar terms whose effects are kept, by position in the design; by default all.
    effects : bool, default True
        Whether the points' effects are drawn at all; if not, ``beta`` has no columns.

    Returns
    -------
    ImportanceDraws or Declined
        Draws if, of the last round's N points, Pareto k < min(0.7, 1 - 1 / log10 N) and
        the effective share > 0.2, there are at most 7 coordinates, and `ess` was
        reached; else why not.

    Notes
    -----
    The first round's proposal is a split t at the mode. If its weights fail, a t with
    skewed margins is fitted to the weighted points (`transport.fit_proposal`), in a
    mixture with the first so that no weight can be large where that covered; and again
    to the points of both rounds. Weights of all points are those of the mixture of all
    proposals [4]_.

    References
    ----------
    .. [1] Vehtari, Simpson, Gelman, Yao and Gabry (2024). Pareto smoothed importance
       sampling. J. Mach. Learn. Res. 25(72). https://jmlr.org/papers/v25/19-556.html
    .. [2] Geweke (1989). Bayesian inference in econometric models using Monte Carlo
       integration. Econometrica 57(6). https://doi.org/10.2307/1913710
    .. [3] Tierney (1994). Ann. Stat. 22(4). https://doi.org/10.1214/aos/1176325750
    .. [4] Cornuet, Marin, Mira and Robert (2012). Adaptive multiple importance
       sampling. Scand. J. Stat. 39(4).
       https://doi.org/10.1111/j.1467-9469.2011.00756.x
    """
    started = time.perf_counter()
    m = normal.mode.size
    if m > MAX_DIMENSION:
        return too_many(m)
    terms = tuple(range(len(target.terms))) if keep is None else keep
    cores = useful_threads(target.statistics, cores)
    evaluation = Evaluation(target, seed, terms, cores)
    wanted = Wanted(draws, chains, fewest, math.inf if ess is None else float(ess))
    first = first_round(make_proposal(target, normal, cores), m)
    batch, complete = grow(evaluation, first, wanted)
    checks = ImportanceChecks(
        dimension=m,
        n_points=batch.size,
        n_rounds=len(batch.rounds.sizes),
        pareto_k=batch.weights.pareto_k,
        max_k=largest_k(batch.rounds.sizes[-1]),
        efficiency=batch.weights.efficiency,
        ess=batch.ess,
        seconds=time.perf_counter() - started,
    )
    if not is_trusted(batch.weights):
        return not_trusted(checks)
    if complete and ess is not None and batch.ess < ess:
        return too_few(checks, ess)
    return _collect(evaluation, batch, checks, partial=not complete, effects=effects)


def _collect(
    evaluation: Evaluation,
    batch: Batch,
    checks: ImportanceChecks,
    *,
    partial: bool,
    effects: bool,
) -> ImportanceDraws:
    """The draws at the points where the chains stood."""
    index, x = batch.chains.index, batch.rounds.x
    stood, position = np.unique(index, return_inverse=True)
    position = position.reshape(index.shape)
    beta, b = np.empty((*index.shape, 0)), {}
    if effects:
        visits = _effects_at(evaluation, batch.rounds, stood)
        beta = np.array([visit.beta for visit in visits])[position]
        b = {t: np.array([v.b[t] for v in visits])[position] for t in evaluation.keep}
    log_mean, log_error = log_mean_weight(batch.log_weights)
    return ImportanceDraws(
        evaluation=evaluation,
        index=index,
        x=x[index],
        beta=beta,
        b=b,
        with_effects=effects,
        stats={
            "lp": batch.rounds.log_density[index],
            "acceptance_rate": batch.chains.acceptance,
            "log_weight": batch.log_weights[index],
        },
        log_evidence=log_mean,
        log_evidence_error=log_error,
        checks=checks,
        partial=partial,
        grams=None if batch.rounds.grams is None else batch.rounds.grams[index],
    )


def _effects_at(
    evaluation: Evaluation, rounds: Rounds, points: Int[np.ndarray, " s"]
) -> list[Visit]:
    """The effects of some points: those drawn with the density, or drawn now."""
    if rounds.visits:
        return [rounds.visits[i] for i in points.tolist()]
    items = [(i, rounds.x[i]) for i in points.tolist()]
    return in_threads(lambda item: evaluation.effects(*item), items, evaluation.cores)


def importance_posterior(
    design: Design, target: Target, drawn: ImportanceDraws
) -> dict[str, Float[np.ndarray, "..."]]:
    """Draws of all parameters, and of the effects that were kept, by bambi variable.

    Parameters
    ----------
    design : Design
        Arrays of the model.
    target : Target
        Its target.
    drawn : ImportanceDraws
        Draws of its coordinates and effects.

    Returns
    -------
    dict of str to ndarray
        ``(chain, draw, ...)``, as `to_datatree` takes them.
    """
    chains, draws, m = drawn.x.shape
    factors = [
        factor.reshape(chains, draws, *factor.shape[1:])
        for factor in target.factors(drawn.x.reshape(-1, m))
    ]
    scalars = target.space.scalars(drawn.x)
    posterior = parameter_draws(design, drawn.beta, factors, scalars)
    for t, b in drawn.b.items():
        posterior |= effect_draws(design.groups[t], b)
    return posterior
