"""Weighted points as Markov chains.

Takes the log importance weights of independent points; gives their diagnostics (Pareto
k, effective share) and chains of independence Metropolis over the same points: plain
draws, whose effective sample size ArviZ estimates as for any other sampler. Weights
resampled in random order would look to ArviZ like independent draws, and their sample
size would be overstated; a chain shows its repeats as what they are.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

# Fewer points than this leave no tail to fit (ArviZ needs 5 in the last fifth).
FEWEST_POINTS = 25


@dataclass(frozen=True, slots=True)
class WeightCheck:
    """How well the proposal covers the target.

    Attributes
    ----------
    pareto_k : float
        Shape of the tail of the weights; infinite if there are too few to say.
    efficiency : float
        Kish's effective share of the points, ESS / N, of the smoothed weights.
    smoothed : ndarray, shape (n,)
        Pareto-smoothed weights, summing to 1.
    """

    pareto_k: float
    efficiency: float
    smoothed: Float[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class Chains:
    """Independence Metropolis over given points.

    Attributes
    ----------
    index : ndarray of int, shape (chain, draw)
        Point that each draw stands at.
    acceptance : ndarray, shape (chain, draw)
        Probability with which the proposed point was accepted.
    """

    index: Int[np.ndarray, "chain draw"]
    acceptance: Float[np.ndarray, "chain draw"]


def check_weights(log_weights: Float[np.ndarray, " n"]) -> WeightCheck:
    """Pareto k and effective share of importance weights.

    Parameters
    ----------
    log_weights : ndarray, shape (n,)
        Log target density less log proposal density; minus infinity where the target
        has none. Such points count in N, but not in the fit of the tail.

    Returns
    -------
    WeightCheck
        Pareto k, effective share, smoothed weights.

    References
    ----------
    .. [1] Vehtari, Simpson, Gelman, Yao and Gabry (2024). Pareto smoothed importance
       sampling. J. Mach. Learn. Res. 25(72). https://jmlr.org/papers/v25/19-556.html
    """
    from arviz_stats.base import array_stats

    finite = np.isfinite(log_weights)
    smoothed = np.zeros(log_weights.size)
    if finite.sum() < FEWEST_POINTS:
        return WeightCheck(np.inf, 0.0, smoothed)
    # ArviZ takes log densities of which the weights are the reciprocals
    log_smooth, pareto_k = array_stats.psislw(-log_weights[finite])
    weights = np.exp(log_smooth - log_smooth.max())
    weights /= weights.sum()
    smoothed[finite] = weights
    kish = 1.0 / float((weights**2).sum())
    return WeightCheck(float(pareto_k), kish / log_weights.size, smoothed)


def metropolis(
    log_weights: Float[np.ndarray, " n"],
    start: Int[np.ndarray, " chain"],
    uniforms: Float[np.ndarray, " n"],
) -> Chains:
    """Independence Metropolis: chain c proposes the points c, c + chains, ...

    Parameters
    ----------
    log_weights : ndarray, shape (n,)
        Log importance weights; n a multiple of the number of chains.
    start : ndarray of int, shape (chain,)
        Points at which the chains start; drawn by their weights, they need no warm-up.
    uniforms : ndarray, shape (n,)
        One uniform number for each point: accepted if below the ratio of weights.

    Returns
    -------
    Chains
        A draw for each point.

    References
    ----------
    .. [1] Tierney (1994). Markov chains for exploring posterior distributions. Ann.
       Stat. 22(4), 1701-1728. https://doi.org/10.1214/aos/1176325750
    """
    n_chains = start.size
    shape = (log_weights.size // n_chains, n_chains)
    proposed = np.arange(log_weights.size).reshape(shape)
    index, acceptance = np.empty(shape, np.int64), np.empty(shape)
    current = start.copy()
    for step, candidate in enumerate(proposed):
        rise = log_weights[candidate] - log_weights[current]
        acceptance[step] = np.exp(np.minimum(rise, 0.0))
        accepted = uniforms[candidate] < acceptance[step]
        current = np.where(accepted, candidate, current)
        index[step] = current
    return Chains(index.T.copy(), acceptance.T.copy())


def walk(
    log_weights: Float[np.ndarray, " n"],
    order: Int[np.ndarray, " n"],
    draws: int,
    chains: int,
    rng: np.random.Generator,
) -> Chains:
    """Chains that propose weighted points in an order; each starts at a draw of them.

    Where there are more points than draws wanted, chains are thinned evenly.
    """
    shares = np.cumsum(np.exp(log_weights - log_weights.max()))
    start = np.searchsorted(shares / shares[-1], rng.random(chains))
    place = np.argsort(order)
    walked = metropolis(log_weights[order], place[start], rng.random(order.size))
    length = order.size // chains
    kept = np.arange(1, min(draws, length) + 1) * length // min(draws, length) - 1
    return Chains(order[walked.index[:, kept]], walked.acceptance[:, kept])


def log_mean_weight(log_weights: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Log of the mean of the weights, with its standard error."""
    top = float(log_weights.max())
    weights = np.exp(log_weights - top)
    mean = float(weights.mean())
    error = float(weights.std(ddof=1)) / mean / math.sqrt(weights.size)
    return top + math.log(mean), error


def worth_by_stays(index: Int[np.ndarray, "chain draw"]) -> float:
    """Independent draws that chains are worth, by how long they stay at each point.

    A mean over stays of L_k draws at about independent points has the variance of a
    draw times sum L_k^2 / (sum L_k)^2. Much less noisy than what the draws' own
    autocorrelation says, of which single large weights are told first.
    """
    moved = np.ones(index.shape, bool)
    moved[:, 1:] = index[:, 1:] != index[:, :-1]
    stays = np.diff(np.append(np.flatnonzero(moved), index.size))
    return float(index.size**2 / (stays.astype(float) ** 2).sum())


def smallest_ess(draws: Float[np.ndarray, "chain draw m"]) -> float:
    """Smallest effective sample size of the coordinates, of bulk and of tails.

    0 if no chain has moved: ArviZ takes constants for known exactly.
    """
    from arviz_stats.base import array_stats

    if (np.ptp(draws, axis=(0, 1)) == 0.0).any():
        return 0.0
    ordered = np.moveaxis(draws, 2, 0)  # ArviZ's default axes: chain and draw last
    bulk = array_stats.ess(ordered)
    tail = array_stats.ess(ordered, method="tail", prob=(0.05, 0.95))
    return float(np.minimum(bulk, tail).min())


def efficiency_of(draws: Float[np.ndarray, "chain draw m"]) -> float:
    """Effective share of draws, of the coordinate that mixes worst."""
    from arviz_stats.base import array_stats

    size = draws.shape[0] * draws.shape[1]
    ess = float(np.min(array_stats.ess(np.moveaxis(draws, 2, 0))))
    return min(max(ess, 1.0) / size, 1.0)
