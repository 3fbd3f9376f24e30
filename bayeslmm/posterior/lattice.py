"""Lattices over the region where a target has its mass.

Takes a `Target` and its normal approximation; gives a `Lattice`: the points of an
axis-parallel grid around the mode whose density matters, found by growing outwards from
the mode until it no longer does, with the density and the distribution of the fixed
effects at each. The sum over such a lattice is the trapezoid rule, whose error falls
faster than any power of the step for a smooth density. The axes are those of the
coordinates, so that the margin of each parameter is on the lattice too.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.errors import ModelError
from bayeslmm.posterior.mode import Laplace, negative_hessian
from bayeslmm.posterior.target import Target
from bayeslmm.posterior.visits import fixed_visitor, in_threads, log_target

# A lattice beyond this many points is refused: about a minute of small models.
MOST_POINTS = 500_000
# Where the curvature at the mode is less than this, it says nothing about the width.
LEAST_CURVATURE = 0.05

Node = tuple[int, ...]


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


@dataclass(frozen=True, slots=True)
class _Value:
    """What is computed at one point."""

    log_density: float
    beta: Float[np.ndarray, " p"]
    beta_var: Float[np.ndarray, " p"]


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
    *,
    fixed: bool = True,
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
    fixed : bool, default True
        Whether the fixed effects at each are wanted: the density alone is many times
        faster, and then theirs are 0.

    Returns
    -------
    Lattice
        Neighbours of the points that matter are included.

    Raises
    ------
    ModelError
        If there are more than 500,000 points.
    """
    visit = (_visitor if fixed else _density)(target, normal, step)
    front: list[Node] = [(0,) * step.size]
    found: dict[Node, _Value] = {}
    while front:
        if len(found) + len(front) > MOST_POINTS:
            raise ModelError(_too_large(step.size))
        values = in_threads(visit, front, cores)
        found.update(zip(front, values, strict=True))
        rise = (np.maximum(np.array(front) * step, 0.0) * moments).max(axis=1)
        matters = [
            node
            for node, value, up in zip(front, values, rise.tolist(), strict=True)
            if value.log_density + up > normal.value - cut
        ]
        front = sorted({n for node in matters for n in _neighbours(node)} - set(found))
    return _gather(normal, step, found)


def _visitor(target: Target, normal: Laplace, step: Float[np.ndarray, " m"]):  # noqa: ANN202
    """What computes the density and the fixed effects at a node."""
    visit_point = fixed_visitor(target)

    def visit(node: Node) -> _Value:
        """Density and fixed effects at a node."""
        return _Value(*visit_point(normal.mode + np.array(node) * step))

    return visit


def _density(target: Target, normal: Laplace, step: Float[np.ndarray, " m"]):  # noqa: ANN202
    """What computes the density alone at a node."""
    nothing = np.zeros(target.statistics.p)

    def visit(node: Node) -> _Value:
        """Density at a node."""
        x = normal.mode + np.array(node) * step
        return _Value(log_target(target, x), nothing, nothing)

    return visit


def _neighbours(node: Node) -> list[Node]:
    """The nodes one step away along an axis."""
    return [
        (*node[:axis], node[axis] + move, *node[axis + 1 :])
        for axis, move in itertools.product(range(len(node)), (-1, 1))
    ]


def _gather(
    normal: Laplace, step: Float[np.ndarray, " m"], found: dict[Node, _Value]
) -> Lattice:
    """The points that have density, as arrays."""
    kept = sorted(
        node for node, value in found.items() if value.log_density > -math.inf
    )
    nodes = np.array(kept, dtype=np.int64)
    return Lattice(
        step=step,
        nodes=nodes,
        x=normal.mode + nodes * step,
        log_density=np.array([found[node].log_density for node in kept]),
        beta=np.array([found[node].beta for node in kept]),
        beta_var=np.array([found[node].beta_var for node in kept]),
    )


def _too_large(m: int) -> str:
    """Message for a region that takes too many points."""
    return (
        f"Quadrature over {m} variance parameters needs more than {MOST_POINTS:,} "
        "points: the posterior is too wide for a grid, because a grouping factor has "
        "few levels or a prior is flat. Use model.sample(method='auto'), which needs "
        "no grid, or narrower priors."
    )
