"""Lattices over the region where a target has its mass.

Takes a `Target` and its normal approximation; gives a `Lattice`: the points of an
axis-parallel grid around the mode whose density matters, found by growing outwards from
the mode until it no longer does, with the density and the distribution of the fixed
effects at each. The sum over such a lattice is the trapezoid rule, whose error falls
faster than any power of the step for a smooth density. The axes are those of the
coordinates, so that the margin of each parameter is on the lattice too.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.errors import ModelError
from bayeslmm.posterior.mode import Laplace, negative_hessian
from bayeslmm.posterior.target import Target
from bayeslmm.posterior.visits import Visited, visit_many

# A lattice beyond this many points is refused: about a minute of small models.
MOST_POINTS = 500_000
# Where the curvature at the mode is less than this, it says nothing about the width.
LEAST_CURVATURE = 0.05

# Bits for the steps along one axis, of 63 for up to four of them.
BITS = 15
MIDDLE = 1 << (BITS - 1)


@dataclass(frozen=True, slots=True)
class Lattice:
    """Points of a grid, with what is known at each.

    Attributes
    ----------
    step : ndarray, shape (m,)
        Distance of neighbours in each coordinate.
    nodes : ndarray of int, shape (n, m)
        Steps from the mode.
    x : ndarray, shape (n, m)
        Coordinates.
    log_density : ndarray, shape (n,)
        Log posterior density, up to the evidence.
    beta, beta_var : ndarray, shape (n, p)
        Mean and variance of the fixed effects given the variances.
    """

    step: Float[np.ndarray, " m"]
    nodes: Int[np.ndarray, "n m"]
    x: Float[np.ndarray, "n m"]
    log_density: Float[np.ndarray, " n"]
    beta: Float[np.ndarray, "n p"]
    beta_var: Float[np.ndarray, "n p"]

    @property
    def log_integral(self) -> float:
        """Log of the integral of the density: the evidence."""
        top = float(self.log_density.max())
        total = float(np.exp(self.log_density - top).sum())
        return top + math.log(total) + float(np.log(self.step).sum())

    @property
    def weights(self) -> Float[np.ndarray, " n"]:
        """Posterior probability of each point, summing to 1."""
        weights = np.exp(self.log_density - self.log_density.max())
        return weights / weights.sum()


def unit_steps(target: Target, normal: Laplace) -> Float[np.ndarray, " m"]:
    """SD of each coordinate at the mode given the others: the unit of the step."""
    curvature = np.diag(negative_hessian(target, normal.mode))
    return 1.0 / np.sqrt(np.maximum(curvature, LEAST_CURVATURE))


def grow_lattice(
    target: Target,
    normal: Laplace,
    step: Float[np.ndarray, " m"],
    moments: Int[np.ndarray, " m"],
    cut: float,
    cores: int,
) -> Lattice:
    """Lattice of all points that matter.

    Parameters
    ----------
    target : Target
        Density of the coordinates.
    normal : Laplace
        Its mode, where the lattice starts.
    step : ndarray, shape (m,)
        Distance of neighbours.
    moments : ndarray of int, shape (m,)
        For the log of an SD, the highest power of the SD whose mean is wanted: the
        lattice goes on until its contribution is negligible too.
    cut : float
        Log density below the highest at which points end to matter.
    cores : int
        Threads that evaluate points.

    Returns
    -------
    Lattice
        Neighbours of the points that matter are included.

    Raises
    ------
    ModelError
        If there are more than 500,000 points.
    """
    around = Around(normal.mode, normal.value - cut, step, moments)
    return grow_around(around, lambda x: visit_many(target, x, cores))


@dataclass(frozen=True, slots=True)
class Around:
    """Where a lattice grows.

    ``mode`` (m,) is its first point, ``least`` the log density at which points end to
    matter; ``step`` and ``moments`` (m,) are as for `grow_lattice`.
    """

    mode: Float[np.ndarray, " m"]
    least: float
    step: Float[np.ndarray, " m"]
    moments: Int[np.ndarray, " m"]


def grow_around(
    around: Around, visit: Callable[[Float[np.ndarray, "n m"]], Visited]
) -> Lattice:
    """The same of any density, of which `visit` tells at many points."""
    mode, step = around.mode, around.step
    nodes = np.zeros((1, step.size), np.int64)
    seen, rounds = _keys(nodes), [(nodes, visit(mode + nodes * step))]
    while True:
        nodes, found = rounds[-1]
        rise = (np.maximum(nodes * step, 0.0) * around.moments).max(axis=1)
        matters = found.log_density + rise > around.least
        keys = _unseen(_keys(_neighbours(nodes[matters])), seen)
        if not keys.size:
            break
        if len(seen) + len(keys) > MOST_POINTS:
            raise ModelError(_too_large(step.size))
        seen = np.sort(np.concatenate([seen, keys]), kind="stable")
        nodes = _nodes(keys, step.size)
        rounds.append((nodes, visit(mode + nodes * step)))
    return _gather(mode, step, rounds)


def _keys(nodes: Int[np.ndarray, "n m"]) -> Int[np.ndarray, " n"]:
    """One number for each node, in their order."""
    found = np.zeros(len(nodes), np.int64)
    for column in nodes.T:
        found = (found << BITS) + column + MIDDLE
    return found


def _unseen(
    keys: Int[np.ndarray, " n"], seen: Int[np.ndarray, " s"]
) -> Int[np.ndarray, " u"]:
    """Those that are new, each once; `seen` are rising.

    By sorting: the hashes of `numpy.unique` collide on such numbers, and take minutes.
    """
    keys = np.sort(keys)
    keys = keys[np.diff(keys, prepend=-1) > 0]
    at = np.minimum(np.searchsorted(seen, keys), len(seen) - 1)
    return keys[seen[at] != keys]


def _nodes(keys: Int[np.ndarray, " n"], m: int) -> Int[np.ndarray, "n m"]:
    """The nodes of their numbers."""
    shifts = BITS * np.arange(m - 1, -1, -1)
    return ((keys[:, None] >> shifts) & (2 * MIDDLE - 1)) - MIDDLE


def _neighbours(nodes: Int[np.ndarray, "n m"]) -> Int[np.ndarray, "n2m m"]:
    """The nodes one step away along an axis, some of them several times."""
    moves = np.eye(nodes.shape[1], dtype=np.int64)
    moves = np.concatenate([moves, -moves])
    return (nodes[:, None] + moves).reshape(-1, nodes.shape[1])


def _gather(
    mode: Float[np.ndarray, " m"],
    step: Float[np.ndarray, " m"],
    rounds: list[tuple[Int[np.ndarray, "_n m"], Visited]],
) -> Lattice:
    """The points that have density, in the order of their nodes."""
    nodes = np.concatenate([nodes for nodes, _ in rounds])
    logp, beta, variance = (
        np.concatenate([getattr(found, name) for _, found in rounds])
        for name in ("log_density", "beta", "beta_var")
    )
    kept = np.flatnonzero(logp > -math.inf)
    kept = kept[np.argsort(_keys(nodes[kept]))]
    x = mode + nodes[kept] * step
    return Lattice(step, nodes[kept], x, logp[kept], beta[kept], variance[kept])


def _too_large(m: int) -> str:
    """Message for a region that takes too many points."""
    return (
        f"Quadrature over {m} variance parameters needs more than {MOST_POINTS:,} "
        "points: the posterior is too wide for a grid, because a grouping factor has "
        "few levels or a prior is flat. Use model.sample(method='auto'), which needs "
        "no grid, or narrower priors."
    )
