"""The boundary of the covariances: singular factors made canonical, left and entered.

Takes a `ProfiledProblem` and a theta; gives the theta with pivots >= 0 and exact zeros,
the neighbours in which something small is exactly 0, and the direction in which the
criterion falls away from a singular factor. At a singular Sigma = L L' that is a
minimum over L, the gradient G of the criterion with respect to Sigma satisfies G L = 0;
Sigma is a minimum over all covariances only if w'G w >= 0 for the directions w that L
misses.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solve_triangular

from bayeslmm.covariance import angle_to_factor
from bayeslmm.reml.criterion import ProfiledProblem, ThetaBlock, even_sds, sd_positions

# A pivot below this, relative to sigma in scaled columns, is tried at exactly 0: lme4's
# tolerance of isSingular is 1e-4. Only tried: the criteria decide.
TRY_ZERO = 1e-2
# How far inside the bounds the angle of a correlation is tried at its bound.
TRY_BOUND = 1e-2
# Where the curvature away from a zero column is measured, in relative SDs.
AWAY = 1e-3
# Curvature that counts as downward, relative to the largest one.
DOWNWARD = 1e-6


def canonical(
    problem: ProfiledProblem, theta: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " m"]:
    """The theta of the same covariances with pivots >= 0, and 0 below a pivot of 0."""
    theta = theta.copy()
    for block in problem.blocks:
        if block.structure.unstructured and (theta[sd_positions(block)] > 0.0).all():
            continue
        if block.structure.unstructured:
            factor = angle_to_factor(block.structure, theta[block.where], block.k)
            theta[block.where] = _canonical_factor(factor).T[np.triu_indices(block.k)]
        else:
            sds = even_sds(block)
            theta[sds] = np.abs(theta[sds])
    return theta


def null_columns(
    problem: ProfiledProblem, theta: Float[np.ndarray, " m"]
) -> Bool[np.ndarray, " m"]:
    """Entries of theta in columns of the factor that are exactly 0, and SDs of 0.

    The criterion is even in such a column, so its gradient there is 0.
    """
    null = np.zeros(problem.m, bool)
    for block in problem.blocks:
        sds = even_sds(block)
        for j, at in enumerate(sds):
            length = block.k - j if block.structure.unstructured else 1
            null[at : at + length] = bool((theta[at : at + length] == 0.0).all())
    return null


def active_bounds(
    problem: ProfiledProblem,
    theta: Float[np.ndarray, " m"],
    gradient: Float[np.ndarray, " m"],
) -> Bool[np.ndarray, " m"]:
    """Parameters that a bound holds against the gradient."""
    lower, upper = problem.bounds
    return ((theta <= lower) & (gradient >= 0)) | ((theta >= upper) & (gradient <= 0))


def snap_candidates(
    problem: ProfiledProblem, theta: Float[np.ndarray, " m"]
) -> Iterator[Float[np.ndarray, " m"]]:
    """Neighbours of theta on the boundary: small pivots at 0, all, then each."""
    small = [
        at
        for block in problem.blocks
        for at in sd_positions(block)
        if 0.0 < abs(theta[at]) < TRY_ZERO
    ]
    choices = (
        [small, *([at] for at in small)] if len(small) > 1 else [[at] for at in small]
    )
    for choice in choices:
        candidate = theta.copy()
        candidate[choice] = 0.0
        yield candidate
    for bound in problem.bounds:
        near = (theta != bound) & (np.abs(theta - bound) < TRY_BOUND)
        if near.any():
            yield np.where(near, bound, theta)


def zero_rows(
    problem: ProfiledProblem, theta: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " m"] | None:
    """The same theta with the small SDs of unstructured terms at 0; None without any.

    An SD of the data's columns is the length of a row of their factor, which can be
    small though no pivot of it is, where the criterion does not know of the others.
    """
    found, any_small = theta.copy(), False
    if not any(b.structure.unstructured and b.k > 1 for b in problem.blocks):
        return None  # a pivot is the SD
    safe, data = problem.factors(theta), problem.data_factors(theta)
    for t, block in enumerate(problem.blocks):
        if not block.structure.unstructured:
            continue
        sd = np.linalg.norm(data[t], axis=1) * block.size
        small = (sd > 0.0) & (sd < TRY_ZERO)
        if small.any() and safe[t].any():
            any_small = True
            inverse = solve_triangular(
                problem.conditioned.spread(t), np.eye(block.k), lower=True
            )
            factor = inverse @ (data[t] * ~small[:, None])
            found[block.where] = _canonical_factor(factor).T[np.triu_indices(block.k)]
    return found if any_small else None


def escape_direction(
    problem: ProfiledProblem, theta: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " m"] | None:
    """Direction of length 1 in which the criterion falls away from zeros, if any."""
    tried = [at for block in problem.blocks for at in _away_positions(block, theta)]
    if not tried:
        return None
    curvature = np.empty((len(tried), len(tried)))
    for row, at in enumerate(tried):
        moved = theta.copy()
        moved[at] += AWAY
        curvature[row] = problem(moved)[1][tried] / AWAY
    values, vectors = np.linalg.eigh(0.5 * (curvature + curvature.T))
    if values[0] >= -DOWNWARD * np.abs(values).max():
        return None
    direction = np.zeros(problem.m)
    direction[tried] = vectors[:, 0]
    return np.where(problem.bounds[0] == 0.0, np.abs(direction), direction)


def _canonical_factor(factor: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "k k"]:
    """The lower-triangular root of the same matrix with pivots >= 0.

    Below a pivot of exactly 0 the column is turned into the later ones.
    """
    factor = factor.copy()
    for j in range(len(factor)):
        if factor[j, j] != 0.0:
            factor[:, j] *= np.sign(factor[j, j])
            continue
        for i in range(j + 1, len(factor)):
            _turn(factor, j, i)
    return factor


def _turn(factor: Float[np.ndarray, "k k"], j: int, i: int) -> None:
    """Rotate columns j and i so that the entry (i, j) becomes exactly 0."""
    length = np.hypot(factor[i, j], factor[i, i])
    if length == 0.0 or factor[i, j] == 0.0:
        return
    cos, sin = factor[i, i] / length, factor[i, j] / length
    left, right = factor[:, j].copy(), factor[:, i].copy()
    factor[:, j], factor[:, i] = cos * left - sin * right, sin * left + cos * right
    factor[i, j] = 0.0


def _away_positions(block: ThetaBlock, theta: Float[np.ndarray, " m"]) -> list[int]:
    """Entries to move in order to leave a singular factor of one term.

    Unstructured: the entries of the first zero column at the rows that have no pivot.
    """
    sds = sd_positions(block)
    zero = [j for j, at in enumerate(sds) if theta[at] == 0.0]
    if not (block.structure.unstructured and zero):
        return [sds[j] for j in zero]
    first = zero[0]
    return [sds[first] + (row - first) for row in zero]
