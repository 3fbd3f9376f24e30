"""The marginal covariance as a linear function: sums of Kenward and Roger (1997).

V = sigma**2 W^-1 + Z Sigma Z' is linear in sigma**2 and in the entries of Sigma. With
V_i its derivatives, all relative to sigma**2 (V0 = V / sigma**2), these are

    traces_ij = tr(V0^-1 V_i V0^-1 V_j),   P_i = -X'V0^-1 V_i V0^-1 X,
    Q_ij = X'V0^-1 V_i V0^-1 V_j V0^-1 X,

from Z'V0^-1Z, Z'V0^-1X and X'V0^-1X. What follows from them does not depend on the
basis of the V_i, so V0 itself stands for the derivative by sigma**2: its products with
the others need no sums of their own.

References
----------
.. [1] Kenward and Roger (1997). Biometrics 53(3). https://doi.org/10.2307/2533558
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import cholesky, solve_triangular

from bayeslmm.design.memory import SHARE, available_bytes
from bayeslmm.errors import ModelError
from bayeslmm.marginal.elimination import eliminate, projections
from bayeslmm.marginal.statistics import Statistics

# Matrices of the size of all random effects that are held at a time.
DENSE = 4


@dataclass(frozen=True, slots=True)
class Change:
    """One way in which V may change: the covariance of a bar term by `slope`."""

    term: int
    slope: Float[np.ndarray, "_k _k"]


@dataclass(frozen=True, slots=True)
class LinearSums:
    """Sums over the rows; the last of the i changes is that of V0 by itself.

    Attributes
    ----------
    traces : ndarray, shape (i, i)
        ``tr(V0^-1 V_i V0^-1 V_j)``.
    P : ndarray, shape (i, p, p)
        ``-X'V0^-1 V_i V0^-1 X``.
    Q : ndarray, shape (i, i, p, p)
        ``X'V0^-1 V_i V0^-1 V_j V0^-1 X``.
    XX : ndarray, shape (p, p)
        ``X'V0^-1 X``.
    """

    traces: Float[np.ndarray, "i i"]
    P: Float[np.ndarray, "i p p"]
    Q: Float[np.ndarray, "i i p p"]
    XX: Float[np.ndarray, "p p"]


def linear_sums(
    stats: Statistics,
    relative: Sequence[Float[np.ndarray, "_k _k"]],
    changes: Sequence[Change],
) -> LinearSums:
    """Sums over the rows for changes of the relative covariances.

    Parameters
    ----------
    stats : Statistics
        Cross-products.
    relative : sequence of ndarray, shape (k_t, k_t)
        Relative factors Lambda_t of each bar term.
    changes : sequence of Change
        Derivatives of the relative covariances.

    Returns
    -------
    LinearSums
        Cost: with one grouping factor proportional to its levels; with several the
        cube of the number of all random effects, whatever the number of rows.

    Raises
    ------
    ModelError
        If a matrix over all random effects would not fit into memory.
    """
    done = eliminate(stats, relative)
    XX = np.array(done.G[:-1, :-1])
    XV = [Q[:, :, :-1] for Q, _ in projections(stats, done)]
    where = {
        t: (b, span)
        for b, block in enumerate(stats.layout.blocks)
        for t, span in block.parts
    }
    own = [_Own(where[c.term][0], c.slope, XV, where[c.term][1]) for c in changes]
    if stats.rest:
        among = _between_blocks(stats, relative)
    else:
        among = _within_levels(stats, done.lead.factor, done.lead.lower)
    i, p = len(changes) + 1, stats.p
    traces, Q, P = np.empty((i, i)), np.empty((i, i, p, p)), np.empty((i, p, p))
    for a, one in enumerate(own):
        P[a] = -_product(one.XV, one.changed)
        for b, other in enumerate(own[: a + 1]):
            traces[a, b], Q[a, b] = _pair(among, one, other)
            traces[b, a], Q[b, a] = traces[a, b], Q[a, b].T
        traces[a, -1] = traces[-1, a] = _trace(among, one)
        Q[a, -1] = Q[-1, a] = -P[a]
    traces[-1, -1], Q[-1, -1], P[-1] = stats.n, XX, -XX
    return LinearSums(traces, P, Q, XX)


class _Own:
    """One change with its block, and ``Z'V0^-1X`` of its term before and after it."""

    def __init__(
        self,
        block: int,
        slope: Float[np.ndarray, "_k _k"],
        of_blocks: Sequence[Float[np.ndarray, "_j _k p"]],
        span: slice,
    ) -> None:
        self.block, self.slope, self.span = block, slope, span
        self.XV = of_blocks[block][:, span]
        self.changed = slope @ self.XV


def _product(
    one: Float[np.ndarray, "j k p"], other: Float[np.ndarray, "j k p"]
) -> Float[np.ndarray, "p p"]:
    """Sum over levels and effects of products of columns."""
    rows = one.shape[0] * one.shape[1]
    p = one.shape[2]  # 0 without fixed effects
    return one.reshape(rows, p).T @ other.reshape(rows, p)


# Z'V0^-1Z: of each level of the only block, or of all levels by pairs of blocks.
Within = Float[np.ndarray, "j k k"]
Between = dict[tuple[int, int], Float[np.ndarray, "_j _k _l _m"]]


def _within_levels(
    stats: Statistics, factor: Float[np.ndarray, "k k"], root: Within
) -> Within:
    """``Z_j'V0^-1Z_j`` of each level of the only block."""
    half = np.linalg.solve(root, factor.T @ stats.A)
    return stats.A - half.transpose(0, 2, 1) @ half


def _between_blocks(
    stats: Statistics, relative: Sequence[Float[np.ndarray, "_k _k"]]
) -> Between:
    """``Z'V0^-1Z`` by pairs of blocks, each (J, k, J', k')."""
    blocks = stats.layout.blocks
    sizes = [block.n_levels * block.k for block in blocks]
    _check_memory(sum(sizes))
    gram = _dense_gram(stats)
    scaled = np.empty_like(gram)  # Z'WZ Lambda
    edges = np.cumsum([0, *sizes])
    for block, start, end in zip(blocks, edges[:-1], edges[1:], strict=True):
        factor = block.join(relative)
        levels = gram[:, start:end].reshape(len(gram), block.n_levels, block.k)
        scaled[:, start:end] = (levels @ factor).reshape(len(gram), -1)
    inner = np.empty_like(gram)
    for block, start, end in zip(blocks, edges[:-1], edges[1:], strict=True):
        factor = block.join(relative)
        levels = scaled[start:end].reshape(block.n_levels, block.k, -1)
        inner[start:end] = (factor.T @ levels).reshape(end - start, -1)
    inner[np.diag_indices_from(inner)] += 1.0
    root = cholesky(inner, lower=True, overwrite_a=True, check_finite=False)
    half = solve_triangular(root, scaled.T, lower=True, check_finite=False)
    gram -= half.T @ half
    return {
        (a, b): gram[edges[a] : edges[a + 1], edges[b] : edges[b + 1]].reshape(
            one.n_levels, one.k, other.n_levels, other.k
        )
        for a, one in enumerate(blocks)
        for b, other in enumerate(blocks)
    }


def _check_memory(size: int) -> None:
    """Raise before a matrix over all random effects fills the memory."""
    needed, room = DENSE * 8.0 * size**2, SHARE * available_bytes()
    if needed > room:
        raise ModelError(
            f"Kenward-Roger degrees of freedom need the covariance of all {size:,} "
            f"random effects of crossed factors, {needed / 1e9:.1f} GB of "
            f"{room / 1e9:.1f} GB that can be had. With so many, "
            f"ddf='satterthwaite' gives the same to all digits shown."
        )


def _dense_gram(stats: Statistics) -> Float[np.ndarray, "q q"]:
    """``Z'WZ``: the levels of the lead, then the coordinates of the rest."""
    lead, k = stats.lead.n_levels * stats.lead.k, stats.lead.k
    gram = np.zeros((lead + stats.m, lead + stats.m))
    first = k * np.arange(stats.lead.n_levels)
    for a in range(k):
        for b in range(k):
            gram[first + a, first + b] = stats.A[:, a, b]
    level = np.repeat(first, np.diff(stats.indptr))
    for a in range(k):
        gram[level + a, lead + stats.columns] = stats.B[:, a]
    gram[lead:, :lead] = gram[:lead, lead:].T
    gram[lead:, lead:] = stats.R.times(np.eye(stats.m))
    return gram


def _part(among: Within | Between, one: _Own, other: _Own) -> Float[np.ndarray, "..."]:
    """``Z'V0^-1Z`` of two terms."""
    if isinstance(among, dict):
        whole = among[one.block, other.block]
        return whole[:, one.span, :, other.span]
    return among[:, one.span, other.span]


def _pair(
    among: Within | Between, one: _Own, other: _Own
) -> tuple[float, Float[np.ndarray, "p p"]]:
    """``tr(V0^-1 V_i V0^-1 V_j)`` and ``Q_ij``."""
    part = _part(among, one, other)
    if part.ndim == 3:
        left, right = one.slope @ part, part @ other.slope
        return float((left * right).sum()), _product(one.changed, part @ other.changed)
    j, k, others, m = part.shape
    left = np.einsum("ab,jblc->jalc", one.slope, part)
    right = part @ other.slope
    p = one.XV.shape[2]
    through = part.reshape(j * k, others * m) @ other.changed.reshape(others * m, p)
    product = one.changed.reshape(j * k, p).T @ through
    return float(np.vdot(left, right)), product


def _trace(among: Within | Between, one: _Own) -> float:
    """``tr(V0^-1 V_i)``."""
    part = _part(among, one, one)
    if part.ndim == 4:
        part = np.einsum("jajb->jab", part)
    return float((part * one.slope).sum())
