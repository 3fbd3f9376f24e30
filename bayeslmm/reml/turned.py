"""A criterion whose first pivots of one term are SDs of effects of the data.

Takes a `ProfiledProblem` with an estimate; gives the same criterion with the columns of
an unstructured term turned, so that chosen effects come first in its factor. What is
asked of their covariance is then asked of the first rows of the factor alone: the other
entries stay free of bounds, and nothing is lost where a correlation is +-1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_triangular

from bayeslmm.marginal.routes import make_statistics
from bayeslmm.marginal.sums import turn_sums
from bayeslmm.reml.criterion import ProfiledProblem
from bayeslmm.reml.thetas import ThetaBlock


@dataclass(frozen=True, slots=True)
class Turned:
    """A criterion in turned columns.

    Attributes
    ----------
    problem : ProfiledProblem
        The criterion.
    best : ndarray, shape (m,)
        Theta at the estimate.
    lead : ndarray, shape (r, r)
        Lower triangular with a positive diagonal; times the first r rows of the safe
        factor it gives those of the chosen combinations, units of y aside.
    """

    problem: ProfiledProblem
    best: Float[np.ndarray, " m"]
    lead: Float[np.ndarray, "r r"]


def turned_problem(
    problem: ProfiledProblem,
    relative: Sequence[Float[np.ndarray, "_k _k"]],
    theta: Sequence[Float[np.ndarray, " _m"]],
    t: int,
    chosen: Float[np.ndarray, "r k"],
) -> Turned:
    """The problem in which combinations of the effects of a term come first.

    Parameters
    ----------
    problem : ProfiledProblem
        The criterion, terms at the origin of the data.
    relative : sequence of ndarray, shape (k_t, k_t)
        Estimated factors of the data's columns, relative to sigma.
    theta : sequence of ndarray, shape (m_t,)
        `RemlFit.theta`.
    t : int
        The term, an unstructured one.
    chosen : ndarray, shape (r, k)
        Combinations of its effects, independent of each other.
    """
    conditioned, k, r = problem.conditioned, problem.blocks[t].k, len(chosen)
    turn, upper = np.linalg.qr((chosen @ conditioned.spread(t)).T, mode="complete")
    signs = np.where(np.append(np.diag(upper), np.ones(k - r)) < 0.0, -1.0, 1.0)
    turns = [np.eye(b.k) for b in problem.blocks]
    turns[t] = turn * signs
    stats = conditioned.statistics
    sums = turn_sums(stats.sums, stats.layout, np.eye(len(stats.WW)), turns)
    stack = conditioned.stack
    moved = replace(
        conditioned,
        statistics=make_statistics(sums, stats.layout),
        stack=stack and stack.turned(np.eye(len(stats.WW)), turns),
    )
    found = replace(problem, conditioned=moved)
    best = flat_theta(problem, relative, theta, turns)
    return Turned(found, best, upper[:r].T * signs[:r])


def flat_theta(
    problem: ProfiledProblem,
    relative: Sequence[Float[np.ndarray, "_k _k"]],
    theta: Sequence[Float[np.ndarray, " _m"]],
    turns: Sequence[Float[np.ndarray, "_k _k"]] | None = None,
) -> Float[np.ndarray, " m"]:
    """Theta of an estimate, in safe columns that may have been turned."""
    turns = [np.eye(b.k) for b in problem.blocks] if turns is None else turns
    found = np.zeros(problem.m)
    if problem.stack is not None:
        found[problem.residual] = theta[-1]
    for i, block in enumerate(problem.blocks):
        spread = problem.conditioned.spread(i)
        found[block.where] = _block_theta(
            block, spread, turns[i], relative[i], theta[i]
        )
    return np.clip(found, *problem.bounds)


def _block_theta(
    block: ThetaBlock,
    spread: Float[np.ndarray, "k k"],
    turn: Float[np.ndarray, "k k"],
    relative: Float[np.ndarray, "k k"],
    theta: Float[np.ndarray, " m"],
) -> Float[np.ndarray, " m"]:
    """Theta of a term in turned safe columns."""
    if block.structure.unstructured:
        factor = turn.T @ solve_triangular(spread, relative, lower=True)
        lower = np.linalg.qr(factor.T, mode="r").T
        signs = np.where(np.diag(lower) < 0.0, -1.0, 1.0)
        return (lower * signs).T[np.triu_indices(block.k)]
    m = block.structure.n_sd(block.k)
    corr = np.nan_to_num(theta[m:])  # that of SDs of 0 is anything
    return block.from_relative(np.broadcast_to(theta[:m], (block.k,)), corr)
