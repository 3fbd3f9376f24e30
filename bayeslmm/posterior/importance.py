"""The posterior by independent points at its mode, where an evaluation is expensive.

Takes a `Target` and its normal approximation. Points come from a split Student-t at the
mode, in whitened coordinates; each costs one factorisation, which gives the density and
an exact draw of (beta, b); weights and points become chains by independence Metropolis.
A run is accepted only if its own checks say that the proposal covers the posterior,
else it is `Declined` with the reason, and NUTS is to be used.
"""

import math
import time
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.arrays import Design
from bayeslmm.posterior.draws import effect_draws, parameter_draws
from bayeslmm.posterior.independence import (
    Chains,
    WeightCheck,
    check_weights,
    metropolis,
    smallest_ess,
)
from bayeslmm.posterior.mode import Laplace
from bayeslmm.posterior.proposal import CHAINS, Proposal, Visit, make_proposal
from bayeslmm.posterior.target import Target
from bayeslmm.posterior.visits import in_threads
from bayeslmm.reml.expense import MAX_DIMENSION, useful_threads

# The first points, which say whether to go on and how many more there must be.
PILOT = 400
# Beyond these the weights are not trusted. Pareto k of Vehtari et al. (2024) alone is
# not enough: with 22 coordinates it was 0.58 where a mean was off by a quarter of an
# SD, and the effective share was 0.06.
MAX_PARETO_K, MIN_EFFICIENCY = 0.7, 0.2
# Points are added for a little more than the effective sample that is missing.
MARGIN = 1.05
# Where they were still too few, this many times as many.
GROWTH = 1.1
# The estimate from the draws' own autocorrelation may be this many times too large.
TRUSTED = 2.0
# A run that would need this many times the points that it may have is given up at once;
# its own estimate of what it needs may be off by half.
HOPELESS = 2.0


@dataclass(frozen=True, slots=True)
class ImportanceChecks:
    """What decided about a run.

    Attributes
    ----------
    dimension, n_points : int
        Coordinates and points evaluated.
    pareto_k : float
        Shape of the tail of the weights; to be below 0.7.
    efficiency : float
        Kish's effective share of the points; to be above 0.2.
    ess : float
        Smallest effective sample size of a variance parameter in the chains, of bulk
        and tails.
    seconds : float
        Wall time.
    """

    dimension: int
    n_points: int
    pareto_k: float
    efficiency: float
    ess: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Declined:
    """Importance sampling set aside, with the reason as a sentence."""

    reason: str
    checks: ImportanceChecks


@dataclass(frozen=True, slots=True)
class ImportanceDraws:
    """Draws of the posterior as chains, ordinary draws without weights.

    Attributes
    ----------
    proposal : Proposal
        ``proposal.effects(i)`` draws the effects of point i once more, the same ones.
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
    """

    proposal: Proposal
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

    @property
    def reason(self) -> str:
        """The checks in one sentence."""
        checks = self.checks
        return (
            f"{checks.n_points} independent points at the mode were weighted: Pareto k "
            f"{checks.pareto_k:.2f} (below {MAX_PARETO_K}), effective share "
            f"{checks.efficiency:.2f} (above {MIN_EFFICIENCY}), {checks.dimension} "
            f"variance parameters (at most {MAX_DIMENSION})."
        )


@dataclass(frozen=True, slots=True)
class _Batch:
    """All points so far, what their weights say, and the chains over them."""

    visits: list[Visit]
    log_weights: Float[np.ndarray, " n"]
    weights: WeightCheck
    chains: Chains
    ess: float


def sample_importance(
    target: Target,
    normal: Laplace,
    *,
    draws: int,
    chains: int,
    seed: int,
    cores: int,
    ess: int | None = None,
    keep: tuple[int, ...] | None = None,
    effects: bool = True,
) -> ImportanceDraws | Declined:
    """Draw from the posterior by weighted points at its mode.

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
    keep : tuple of int, optional
        Bar terms whose effects are kept, by position in the design; by default all.
    effects : bool, default True
        Whether the points' effects are drawn at all; if not, ``beta`` has no columns.

    Returns
    -------
    ImportanceDraws or Declined
        Draws if Pareto k < 0.7, the effective share of the points > 0.2, there are at
        most 7 coordinates, and `ess` was reached; else why not.

    References
    ----------
    .. [1] Vehtari, Simpson, Gelman, Yao and Gabry (2024). Pareto smoothed importance
       sampling. J. Mach. Learn. Res. 25(72). https://jmlr.org/papers/v25/19-556.html
    .. [2] Geweke (1989). Bayesian inference in econometric models using Monte Carlo
       integration. Econometrica 57(6). https://doi.org/10.2307/1913710
    .. [3] Tierney (1994). Ann. Stat. 22(4). https://doi.org/10.1214/aos/1176325750
    """
    started = time.perf_counter()
    m = normal.mode.size
    if m > MAX_DIMENSION:
        checks = ImportanceChecks(m, 0, math.nan, math.nan, math.nan, 0.0)
        return Declined(_too_many(m), checks)
    terms = tuple(range(len(target.terms))) if keep is None else keep
    cores = useful_threads(target.statistics, cores)
    proposal = make_proposal(target, normal, seed, terms, cores)
    batch, complete = _grow(proposal, draws, chains, cores, ess)
    checks = ImportanceChecks(
        dimension=m,
        n_points=len(batch.visits),
        pareto_k=batch.weights.pareto_k,
        efficiency=batch.weights.efficiency,
        ess=batch.ess,
        seconds=time.perf_counter() - started,
    )
    if not _trusted(batch.weights):
        return Declined(_not_trusted(checks), checks)
    if complete and ess is not None and batch.ess < ess:
        return Declined(_too_few(checks, ess), checks)
    return _collect(
        proposal, batch, checks, cores, partial=not complete, effects=effects
    )


def _grow(
    proposal: Proposal, draws: int, chains: int, cores: int, ess: int | None
) -> tuple[_Batch, bool]:
    """Points until there are enough or they are not trusted; whether that was reached.

    After Ctrl-C, the batches that are complete.
    """
    most = draws * chains
    goal = math.inf if ess is None else ess
    n = min(most, _round_up(float(PILOT), chains))
    batch = _extend(proposal, [], n, chains, cores)
    try:
        while n < most and batch.ess < goal and _trusted(batch.weights):
            needed = max(MARGIN * goal * _points_per_draw(batch.chains), GROWTH * n)
            measured = MARGIN * goal * n / max(batch.ess, 1.0)
            if ess is not None and max(needed, measured / TRUSTED) > HOPELESS * most:
                break
            n = most if needed >= most else _round_up(needed, chains)
            batch = _extend(proposal, batch.visits, n, chains, cores)
    except KeyboardInterrupt:
        return batch, False
    return batch, True


def _points_per_draw(chains: Chains) -> float:
    """Points for one effective draw: (1 + r) / (1 - r), r the share of repeats.

    Chains of independence Metropolis forget a point when they leave it. The estimate
    from few draws' own autocorrelation is much noisier: on InstEval 400 points asked
    for 920 where 580 were enough.
    """
    repeats = 1.0 - float(chains.acceptance.mean()) if chains.acceptance.size else 1.0
    return (1.0 + repeats) / max(1.0 - repeats, 1e-9)


def _round_up(n: float, chains: int) -> int:
    """The next number of points that the chains share evenly."""
    return math.ceil(n / chains) * chains


def _extend(
    proposal: Proposal, visits: list[Visit], n: int, chains: int, cores: int
) -> _Batch:
    """Points up to number n, and the chains over all of them."""
    more = range(len(visits), n)
    visits = visits + in_threads(proposal.visit, more, cores)
    log_weights = np.array([visit.log_weight for visit in visits])
    weights = check_weights(log_weights)
    if not weights.smoothed.any():
        nothing = Chains(np.zeros((chains, 0), int), np.zeros((chains, 0)))
        return _Batch(visits, log_weights, weights, nothing, 0.0)
    rng = np.random.default_rng(
        np.random.SeedSequence(proposal.seed, spawn_key=(CHAINS,) * 2)
    )
    start = np.searchsorted(np.cumsum(weights.smoothed), rng.random(chains))
    start = np.minimum(start, n - 1)  # the sum may round to less than 1
    walked = metropolis(log_weights, start, rng.random(n))
    x = np.array([visit.x for visit in visits])
    return _Batch(visits, log_weights, weights, walked, smallest_ess(x[walked.index]))


def _collect(
    proposal: Proposal,
    batch: _Batch,
    checks: ImportanceChecks,
    cores: int,
    *,
    partial: bool,
    effects: bool,
) -> ImportanceDraws:
    """The draws at the points where the chains stood."""
    index = batch.chains.index
    stood, position = np.unique(index, return_inverse=True)
    position = position.reshape(index.shape)
    visits = [batch.visits[i] for i in stood.tolist()]
    if effects and not proposal.draws_at_once:
        visits = in_threads(proposal.effects, stood.tolist(), cores)
    log_mean, log_error = log_mean_weight(batch.log_weights)
    return ImportanceDraws(
        proposal=proposal,
        index=index,
        x=np.array([visit.x for visit in visits])[position],
        beta=np.array([visit.beta for visit in visits])[position],
        b={
            t: np.array([v.b[t] for v in visits])[position]
            for t in (proposal.keep if effects else ())
        },
        with_effects=effects,
        stats={
            "lp": np.array([visit.log_density for visit in visits])[position],
            "acceptance_rate": batch.chains.acceptance,
            "log_weight": batch.log_weights[index],
        },
        log_evidence=log_mean,
        log_evidence_error=log_error,
        checks=checks,
        partial=partial,
    )


def log_mean_weight(log_weights: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Log of the mean of the weights, with its standard error."""
    top = float(log_weights.max())
    weights = np.exp(log_weights - top)
    mean = float(weights.mean())
    error = float(weights.std(ddof=1)) / mean / math.sqrt(weights.size)
    return top + math.log(mean), error


def _trusted(weights: WeightCheck) -> bool:
    """Whether the weights pass."""
    return weights.pareto_k < MAX_PARETO_K and weights.efficiency > MIN_EFFICIENCY


def _too_many(m: int) -> str:
    """Why a model with many coordinates is not tried."""
    return (
        f"There are {m} variance parameters; independent points at the mode are "
        f"trusted for at most {MAX_DIMENSION}."
    )


def _not_trusted(checks: ImportanceChecks) -> str:
    """Which check failed, with the numbers."""
    if not math.isfinite(checks.pareto_k):
        return (
            f"Importance sampling was set aside: {checks.n_points} points at the mode "
            "are too few, or have too little density, to judge their weights."
        )
    return (
        f"Importance sampling was tried and set aside: {checks.n_points} points at the "
        f"mode have Pareto k {checks.pareto_k:.2f} (to be below {MAX_PARETO_K}) and an "
        f"effective share of {checks.efficiency:.2f} (to be above {MIN_EFFICIENCY}), "
        "so they do not cover the posterior well enough."
    )


def _too_few(checks: ImportanceChecks, wanted: int) -> str:
    """Why chains that move too little are not used."""
    return (
        f"Importance sampling was tried and set aside: {checks.n_points} points at the "
        f"mode gave an effective sample of {checks.ess:.0f}, too far from the "
        f"{wanted} wanted for so few draws."
    )


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
