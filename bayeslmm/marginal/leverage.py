"""Rows beside the model: what each row's response adds to its own fitted value.

Takes the rows in safe coordinates and relative factors; gives the diagonal of the hat
matrix, fixed and random effects together, with what deleting any one row does at these
factors. Everything comes from the factorisation of the cross-products: no matrix with
n columns is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.design.memory import SHARE, available_bytes
from bayeslmm.errors import ModelError
from bayeslmm.marginal.elimination import Elimination, eliminate, projections
from bayeslmm.marginal.fixed import BetaPrior, solve_beta
from bayeslmm.marginal.layout import Block, left_transposed
from bayeslmm.marginal.saferows import SafeRows
from bayeslmm.marginal.statistics import Statistics

# Matrices of the size of the effects outside the largest factor, held at a time.
DENSE = 3
# Bytes that any machine has: to ask what is left takes as long as a small model's rows.
SMALL = 2e6
# A leverage nearer to 1 than this is 1: the rest is rounding, and so is the residual.
SATURATED = 1e-12


@dataclass(frozen=True, slots=True)
class RowFit:
    """Rows at given relative factors, beta and b at their best; safe coordinates.

    With ``Q = V0^-1 - V0^-1 X C X'V0^-1``, ``C = (X'V0^-1 X)^-1`` and weights w:

    Attributes
    ----------
    hat : ndarray, shape (n,)
        Leverage ``h = 1 - Q_ii / w_i``, from 0 to 1: lme4's ``hatvalues``.
    residual : ndarray, shape (n,)
        Conditional residual ``(Q y)_i / w_i``, its variance ``sigma^2 (1 - h) / w``.
    X : ndarray, shape (n, p)
        ``(V0^-1 X)_i / w_i``: X less what the random effects take up of it.
    beta : ndarray, shape (p,)
        Fixed effects.
    C : ndarray, shape (p, p)
        Their covariance over sigma squared.
    weights : ndarray, shape (n,)
        Precision weights.
    quad : float
        ``y'Q y``.
    """

    hat: Float[np.ndarray, " n"]
    residual: Float[np.ndarray, " n"]
    X: Float[np.ndarray, "n p"]
    beta: Float[np.ndarray, " p"]
    C: Float[np.ndarray, "p p"]
    weights: Float[np.ndarray, " n"]
    quad: float

    @property
    def pull(self) -> Float[np.ndarray, " n"]:
        """``w / (1 - h)``: 1 over the variance of a row given all others, over sigma^2.

        That is of its prediction by them; 0 where there is none, at h = 1.
        """
        room = 1.0 - self.hat
        return np.divide(self.weights, room, out=np.zeros_like(room), where=room > 0.0)

    @property
    def dropped_beta(self) -> Float[np.ndarray, "n p"]:
        """Fixed effects less those without each row: ``w C x e / (1 - h)``."""
        return (self.X @ self.C) * (self.pull * self.residual)[:, None]

    @property
    def dropped_variances(self) -> Float[np.ndarray, "n p p"]:
        """C without each row: ``C + w C x x'C / (1 - h)``."""
        Cx = self.X @ self.C
        return self.C + np.einsum("np,nq->npq", Cx * self.pull[:, None], Cx)

    @property
    def dropped_quad(self) -> Float[np.ndarray, " n"]:
        """``y'Q y`` without each row: less ``w e^2 / (1 - h)``."""
        return self.quad - self.pull * self.residual**2


def fit_rows(
    rows: SafeRows,
    relative: Sequence[Float[np.ndarray, "_k _k"]],
    sigma: float = 1.0,
    prior: BetaPrior | None = None,
) -> RowFit:
    """Leverage, residuals and what deletions need, of all rows.

    Parameters
    ----------
    rows : SafeRows
        The rows with their model.
    relative : sequence of ndarray, shape (k_t, k_t)
        Relative factors of each bar term, safe coordinates.
    sigma : float, optional
        Residual SD, safe units; asked for beside a prior only.
    prior : BetaPrior, optional
        Of the fixed effects, safe coordinates; flat without. Then C is their posterior
        covariance over sigma squared, and Q the inverse of the covariance of y.

    Returns
    -------
    RowFit
        Memory is that of X again; with several grouping factors also the square of
        the effects outside the largest.

    Raises
    ------
    ModelError
        If that square would not fit into memory.

    References
    ----------
    .. [1] Demidenko and Stukel (2005). Influence analysis for linear mixed-effects
       models. Stat. Med. 24(6). https://doi.org/10.1002/sim.1974
    """
    stats = rows.conditioned.statistics
    done = eliminate(stats, relative)
    p = stats.p
    left_over = rows.W.copy()
    found = zip(projections(stats, done), done.factors, strict=True)
    for b, ((Q, _), factor) in enumerate(found):
        effects = factor @ (factor.T @ Q)  # Lambda M^-1 Lambda' Z'W[X y], (J, k, w)
        left_over -= np.einsum("nk,nkw->nw", rows.Z[b], effects[rows.codes[b]])
    fixed = solve_beta(done.G, sigma, prior)
    C, beta = fixed.covariance / sigma**2, fixed.beta
    X = left_over[:, :p]
    spread = _random_spread(stats, done, rows) + np.einsum("np,pq,nq->n", X, C, X)
    hat = rows.weights * spread
    return RowFit(
        hat=np.where(hat < 1.0 - SATURATED, hat, 1.0),
        residual=left_over[:, p] - X @ beta,
        X=X,
        beta=beta,
        C=C,
        weights=rows.weights,
        quad=fixed.quad * sigma**2,
    )


def _random_spread(
    stats: Statistics, done: Elimination, rows: SafeRows
) -> Float[np.ndarray, " n"]:
    """``z'Lambda M^-1 Lambda'z`` of each row, M = Lambda'Z'WZ Lambda + I."""
    inverse = np.linalg.inv(done.lead.lower)[rows.codes[0]]
    u = np.einsum("nij,nj->ni", inverse, rows.Z[0] @ done.lead.factor)
    own = np.einsum("ni,ni->n", u, u)
    if stats.m:
        own += _rest_spread(stats, done, rows, u)
    return own


def _rest_spread(
    stats: Statistics, done: Elimination, rows: SafeRows, u: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, " n"]:
    """What the other factors add: a'T a, a = z_r - V'u and T = Lambda_r S^-1 Lambda_r'.

    A row's level of the lead is coupled to few coordinates of the rest, the row's own
    among them, so only that part of T is looked at.
    """
    _check_memory(stats.m)
    half = done.schur.solve(
        left_transposed(np.eye(stats.m), stats.rest, done.factors[1:])
    )
    T = half.T @ half
    order = np.argsort(rows.codes[0], kind="stable")
    ends = np.cumsum(np.bincount(rows.codes[0], minlength=stats.lead.n_levels))
    found, place = np.empty(len(order)), np.empty(stats.m, dtype=np.int64)
    for level, own in enumerate(np.split(order, ends[:-1])):
        entries = slice(stats.indptr[level], stats.indptr[level + 1])
        columns = stats.columns[entries]
        place[columns] = np.arange(len(columns))
        a = -u[own] @ done.lead.V[entries].T
        for block, Z, codes in zip(stats.rest, rows.Z[1:], rows.codes[1:], strict=True):
            at = place[_coordinates(block, codes[own])]
            np.add.at(a, (np.arange(len(own))[:, None], at), Z[own])
        found[own] = np.einsum("nc,nc->n", a @ T[np.ix_(columns, columns)], a)
    return found


def _coordinates(block: Block, codes: np.ndarray) -> np.ndarray:
    """Coordinates in the rest of the effects of some levels, (n, k)."""
    return block.offset + codes[:, None] * block.k + np.arange(block.k)


def _check_memory(size: int) -> None:
    """Raise before a matrix over the rest fills the memory."""
    needed = DENSE * 8.0 * size**2
    if needed < SMALL:
        return
    room = SHARE * available_bytes()
    if needed > room:
        raise ModelError(
            f"Leverage needs the covariance of the {size:,} random effects outside the "
            f"largest grouping factor, {needed / 1e9:.1f} GB of {room / 1e9:.1f} GB "
            f"that can be had. Look at residuals(kind='scaled'), which need none."
        )
