"""Independent draws of a posterior that is known on a lattice.

Takes a `Target` and a `Lattice` of it; gives draws of the coordinates as chains. They
are proposed from the lattice's density, interpolated linearly between the nodes, and
kept or thrown away by the true density at the very point: nothing is left of the grid.
"""

import math
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import SamplingError
from bayeslmm.posterior.independence import metropolis
from bayeslmm.posterior.lattice import Lattice
from bayeslmm.posterior.target import Target
from bayeslmm.posterior.visits import in_threads, log_target

# Stream of the seed; 0 to 2 are those of importance sampling and of the effects.
LATTICE = 3
# Points proposed for each that is missing. A share 1 / M is kept: M was 1.2 to 1.6 on
# Dyestuff, Penicillin and the three classrooms.
PER_MISSING = 1.5


@dataclass(frozen=True, slots=True)
class LatticeDraws:
    """Draws of the coordinates.

    Attributes
    ----------
    x : ndarray, shape (chain, draw, m)
        Coordinates of the variance parameters.
    stats : dict of str to ndarray, shape (chain, draw)
        ``lp`` and ``acceptance_rate``, ArviZ's sample_stats.
    n_points : int
        Points at which the density was evaluated.
    """

    x: Float[np.ndarray, "chain draw m"]
    stats: dict[str, Float[np.ndarray, "chain draw"]]
    n_points: int


def draw_from_lattice(
    target: Target,
    lattice: Lattice,
    *,
    draws: int,
    chains: int,
    seed: int,
    cores: int,
) -> LatticeDraws:
    """Independent draws of the coordinates.

    A node is drawn by its weight and moved by less than a step, with a triangular
    density along each axis: the density of the result is the multilinear interpolant of
    the nodes. A point is kept with probability min(1, p / (M q)). Where p > M q, which
    is where the interpolant ends or is more curved than at the mode, a step of
    independence Metropolis makes up for it [1]_: the draws follow p exactly, up to the
    mass outside the lattice.

    Parameters
    ----------
    target : Target
        Density p of the coordinates.
    lattice : Lattice
        Its values on a grid.
    draws, chains : int
        Draws of each chain, number of chains.
    seed : int
        The same seed gives the same draws, whatever `cores` is.
    cores : int
        Most threads that evaluate points.

    Returns
    -------
    LatticeDraws
        Nearly all accepted, so that the draws are independent.

    References
    ----------
    .. [1] Tierney (1994). Markov chains for exploring posterior distributions. Ann.
       Stat. 22(4), 1701-1728. https://doi.org/10.1214/aos/1176325750
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(LATTICE,)))
    log_bound, wanted, n_points = _log_bound(lattice), draws * chains, 0
    x, log_p = np.empty((0, target.start.size)), np.empty(0)
    log_weights = np.empty(0)  # of the points kept: 0, above it where p > M q
    while len(x) < wanted:
        proposed = propose(lattice, math.ceil(PER_MISSING * (wanted - len(x))), rng)
        found = np.array(in_threads(partial(log_target, target), list(proposed), cores))
        excess = found - log_interpolant(lattice, proposed) - log_bound
        kept = np.log(rng.random(len(proposed))) < excess
        x, log_p = np.concatenate([x, proposed[kept]]), np.append(log_p, found[kept])
        log_weights = np.append(log_weights, np.maximum(excess[kept], 0.0))
        n_points += len(proposed)
    x, log_p, log_weights = x[:wanted], log_p[:wanted], log_weights[:wanted]
    shares = np.cumsum(np.exp(log_weights - log_weights.max()))
    start = np.searchsorted(shares / shares[-1], rng.random(chains))
    walked = metropolis(log_weights, start, rng.random(wanted))
    stats = {"lp": log_p[walked.index], "acceptance_rate": walked.acceptance}
    return LatticeDraws(x[walked.index], stats, n_points)


def propose(
    lattice: Lattice, n: int, rng: np.random.Generator
) -> Float[np.ndarray, "n m"]:
    """Points from the multilinear interpolant of the density on the lattice."""
    nodes = rng.choice(len(lattice.nodes), size=n, p=lattice.weights)
    shape = (n, lattice.step.size)
    moved = rng.random(shape) - rng.random(shape)
    return lattice.x[nodes] + moved * lattice.step


def log_interpolant(
    lattice: Lattice, x: Float[np.ndarray, "n m"]
) -> Float[np.ndarray, " n"]:
    """Log of the density interpolated linearly along each axis, 0 beyond the nodes."""
    origin = lattice.x[0] - lattice.nodes[0] * lattice.step
    position = (x - origin) / lattice.step
    lower = np.floor(position).astype(np.int64)
    share = position - lower
    first = lattice.nodes.min(axis=0) - 1
    shape = tuple((lattice.nodes.max(axis=0) - first + 2).tolist())
    keys = np.ravel_multi_index(tuple((lattice.nodes - first).T), shape)  # increasing
    top = lattice.log_density.max()
    density = np.exp(lattice.log_density - top)
    total = np.zeros(len(x))
    for corner in product((0, 1), repeat=lattice.step.size):
        inside = tuple((lower + corner - first).T)
        key = np.ravel_multi_index(inside, shape, mode="clip")
        at = np.minimum(np.searchsorted(keys, key), keys.size - 1)
        weight = np.where(corner, share, 1.0 - share).prod(axis=1)
        total += np.where(keys[at] == key, density[at] * weight, 0.0)
    with np.errstate(divide="ignore"):
        return top + np.log(total)


def _log_bound(lattice: Lattice) -> float:
    """Log of M, twice what the interpolant lacks where it is curved as at the mode.

    By Jensen's inequality the interpolant of exp(g) is at least exp(g - d / 8), d the
    sum over the axes of the largest second difference of -g between neighbours.
    """
    log_density = dict(
        zip(map(tuple, lattice.nodes.tolist()), lattice.log_density, strict=True)
    )
    at = [0] * lattice.step.size
    total = 0.0
    for axis in range(len(at)):
        sides = [
            log_density.get((*at[:axis], move, *at[axis + 1 :]), -math.inf)
            for move in (-1, 1)
        ]
        total += 2.0 * log_density[tuple(at)] - sum(sides)
    if not math.isfinite(total):
        raise SamplingError(
            "The density breaks down one step of the lattice from its mode, so nothing "
            "can be drawn from the lattice. Use model.sample(method='auto')."
        )
    return 2.0 * total / 8.0
