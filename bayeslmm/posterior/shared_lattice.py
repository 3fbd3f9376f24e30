"""One lattice for several priors of the same data.

Takes a `Target` and `Priors`; gives a `Lattice` for each: the points are those that
matter under any of them, and the likelihood is computed once at each. Growing goes on
until what lies outside matters under none, so that no prior reaches beyond its lattice.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.arrays import Design
from bayeslmm.marginal import BetaPrior
from bayeslmm.marginal.likelihood import gram
from bayeslmm.marginal.many import Grams, many_coefficients
from bayeslmm.posterior.lattice import Lattice, unit_steps
from bayeslmm.posterior.mode import laplace
from bayeslmm.posterior.target import Target
from bayeslmm.posterior.visits import in_threads, in_units, is_far
from bayeslmm.priors import Priors, safe_beta_prior
from bayeslmm.priors.density import (
    coordinates_logp,
    log_volumes,
    moved_coordinates,
)

# Step in SDs of a coordinate given the others: the trapezoid rule of a normal density
# then errs by 2 exp(-2 (pi / step)**2), below 1e-16 here, and of one half as wide by
# 1e-8.
STEP = 0.5
# Points of less density than exp(-CUT) of the highest end the growing.
CUT = 13.0
# Steps looked at beyond a point that matters, along each axis: few rounds of many
# points, for each round costs every prior a call.
STRIDE = 4
# More points than this are left to the draws.
MOST_NODES = 20_000


@dataclass(frozen=True, slots=True)
class _Front:
    """Points that were looked at together, under each prior."""

    nodes: Int[np.ndarray, "n m"]
    log_density: Float[np.ndarray, "v n"]
    beta: Float[np.ndarray, "v n p"]
    beta_var: Float[np.ndarray, "v n p"]


def shared_lattices(
    target: Target,
    design: Design,
    own: Priors,
    others: Sequence[Priors],
    cores: int,
) -> list[Lattice] | None:
    """The posterior under each of several priors, on the same points.

    Parameters
    ----------
    target : Target
        The model under its own priors, whose coordinates the lattice is over.
    design : Design
        Arrays of the model.
    own : Priors
        Its own priors.
    others : sequence of Priors
        Proper posteriors all, fixed effects Normal or flat.
    cores : int
        Threads.

    Returns
    -------
    list of Lattice or None
        One for each of `others`; None where there are more than 20,000 points.
    """
    normal = laplace(target)
    step = STEP * unit_steps(target, normal)
    betas = [safe_beta_prior(one, design, target.conditioned) for one in others]
    top = np.full(len(others), -math.inf)
    seen: set[tuple[int, ...]] = set()
    front: list[tuple[int, ...]] = [(0,) * step.size]
    fronts: list[_Front] = []
    while front:
        seen.update(front)
        if len(seen) > MOST_NODES:
            return None
        nodes = np.array(front, np.int64)
        x = normal.mode + nodes * step
        found = _looked_at(target, design, own, others, betas, nodes, x, cores)
        fronts.append(found)
        top = np.maximum(top, found.log_density.max(axis=1, initial=-math.inf))
        matters = (found.log_density > (top - CUT)[:, None]).any(axis=0)
        front = sorted(_around(found.nodes[matters]) - seen)
    return _lattices(normal.mode, step, fronts, top)


def _looked_at(
    target: Target,
    design: Design,
    own: Priors,
    others: Sequence[Priors],
    betas: Sequence[BetaPrior | None],
    nodes: Int[np.ndarray, "n m"],
    x: Float[np.ndarray, "n m"],
    cores: int,
) -> _Front:
    """Density and fixed effects at some points, under each prior."""

    def visit(at: Float[np.ndarray, " m"]) -> tuple[float, np.ndarray]:
        """What is left of the data at a point."""
        point = at.tolist()
        sigma = float(target.safe_sigma(at))
        factors = [term.lift @ term.factor(point) / sigma for term in target.terms]
        return gram(target.statistics_at(at), factors)

    kept = np.array([not is_far(target, at) for at in x], bool)
    nodes, x = nodes[kept], x[kept]
    w = target.statistics.p + 1
    done = in_threads(visit, list(x), cores)
    grams = Grams(
        np.array([log_det for log_det, _ in done]),
        np.array([G for _, G in done]).reshape(-1, w, w),
        target.safe_sigma(x),
    )
    roots = target.factors(x)
    safe, sums = target.conditioned, target.statistics.sums
    solved: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
    rows = []
    for one, prior in zip(others, betas, strict=True):
        same = next((i for i, b in enumerate(betas) if _equal(b, prior)), 0)
        if same not in solved:
            many = many_coefficients(sums, grams, prior)
            solved[same] = (many.log_density, *in_units(target, many))
        value, beta, variance = solved[same]
        value = value + safe.log_jacobian + prior_at(design, x, roots, own, one)
        rows.append((np.where(np.isfinite(value), value, -math.inf), beta, variance))
    return _Front(nodes, *(np.array(part) for part in zip(*rows, strict=True)))


def prior_at(
    design: Design,
    x: Float[np.ndarray, "n m"],
    roots: tuple[Float[np.ndarray, "n _k _k"], ...],
    own: Priors,
    other: Priors,
) -> Float[np.ndarray, " n"]:
    """Log density of coordinates of a model's own priors, under others.

    Where those refer to other columns, x is taken to their coordinates and the density
    back: of the covariance matrices, between which the determinant is 1.
    """
    turned = [t for t, T in enumerate(own.references) if other.references[t] != T]
    if not turned:
        return coordinates_logp(other, design, x)
    moved = moved_coordinates(design, x, roots, own, other)
    total = coordinates_logp(other, design, moved)
    return total + log_volumes(design, x, turned) - log_volumes(design, moved, turned)


def _equal(a: BetaPrior | None, b: BetaPrior | None) -> bool:
    """Whether two priors of the fixed effects are the same numbers."""
    if a is None or b is None:
        return a is b
    numbers = (a.log_det, a.n_proper) == (b.log_det, b.n_proper)
    return (
        numbers
        and np.array_equal(a.mean, b.mean)
        and np.array_equal(a.precision, b.precision)
    )


def _around(nodes: Int[np.ndarray, "n m"]) -> set[tuple[int, ...]]:
    """The nodes up to `STRIDE` steps away along an axis."""
    m = nodes.shape[1]
    steps = [i * np.eye(m, dtype=np.int64) for i in range(-STRIDE, STRIDE + 1) if i]
    moves = np.concatenate(steps)
    return set(map(tuple, (nodes[:, None] + moves).reshape(-1, m).tolist()))


def _lattices(
    mode: Float[np.ndarray, " m"],
    step: Float[np.ndarray, " m"],
    fronts: list[_Front],
    top: Float[np.ndarray, " v"],
) -> list[Lattice]:
    """For each prior the points that have density under it."""
    nodes = np.concatenate([front.nodes for front in fronts])
    order = np.lexsort(nodes.T[::-1])
    nodes = nodes[order]
    parts = [
        np.concatenate([getattr(front, name) for front in fronts], axis=1)[:, order]
        for name in ("log_density", "beta", "beta_var")
    ]
    found = []
    for v, highest in enumerate(top):
        logp, beta, variance = (part[v] for part in parts)
        kept = logp > highest - 2.0 * CUT
        found.append(
            Lattice(
                step,
                nodes[kept],
                mode + nodes[kept] * step,
                logp[kept],
                beta[kept],
                variance[kept],
            )
        )
    return found


def is_fine(lattice: Lattice) -> bool:
    """Whether so many points carry a posterior that their sum is its integral.

    A normal density whose SD is r steps has an effective number of points of
    ``2 sqrt(pi) r`` along each axis; r = 0.7 still sums to 1e-4.
    """
    effective = 1.0 / float((lattice.weights**2).sum())
    return effective > 2.5**lattice.step.size
