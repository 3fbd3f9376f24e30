"""Average information: curvature of the likelihood for the price of a few columns.

Takes a factorisation and directions in which the factors may move; gives the average of
observed and expected information, ``AI_ij = y'P V_i P V_j P y / 2``, whose working
vectors ``V_i P y`` need only more right-hand sides of the factorisation at hand. Newton
steps with it converge about as fast as with the Hessian.

References
----------
.. [1] Gilmour, Thompson and Cullis (1995). Biometrics 51(4).
   https://doi.org/10.2307/2533274
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.elimination import Elimination
from bayeslmm.marginal.kernels import blocked
from bayeslmm.marginal.layout import left_transposed
from bayeslmm.marginal.statistics import Factors, Projection, Statistics


@dataclass(frozen=True, slots=True)
class Direction:
    """One way in which a relative factor may move: dLambda_t / dtheta_i."""

    term: int
    slope: Float[np.ndarray, "_k _k"]


def average_information(
    stats: Statistics,
    done: Elimination,
    projected: Sequence[Projection],
    relative: Factors,
    directions: Sequence[Direction],
    beta: Float[np.ndarray, " p"],
    sigma: float,
    *,
    restricted: bool,
) -> Float[np.ndarray, "i i"]:
    """Curvature of the profiled criterion over the directions.

    Parameters
    ----------
    stats, done, projected
        Cross-products, the factorisation at the relative factors, its projections.
    relative : sequence of ndarray, shape (k_t, k_t)
        Relative factors, unit-free.
    directions : sequence of Direction
        The i parameters.
    beta, sigma
        Profiled fixed effects and residual SD.
    restricted : bool
        REML rather than ML.

    Returns
    -------
    ndarray, shape (i, i)
        Twice the average information, sigma profiled out: about the Hessian of the
        criterion near its minimum.
    """
    gamma = np.append(-beta, 1.0)
    scores = [Q @ gamma for Q, _ in projected]  # sigma^2 Z'V^-1 r
    residual = stats.layout.cut(scores)
    working = [
        _working(stats, d, np.asarray(relative[d.term]), residual[d.term])
        for d in directions
    ]
    lead = np.stack([w[0] for w in working], axis=-1)
    rest = np.stack([w[1] for w in working], axis=-1)
    lead_F, rest_F = _times_gram(stats, lead, rest)
    F, Fr = stats.F, stats.Fr
    own = np.einsum("jki,jkl->il", lead, lead_F) + rest.T @ rest_F
    with_xy = np.einsum("jki,jkw->iw", lead, F) + rest.T @ Fr
    gram = _gram(stats, done, lead_F, rest_F, own, with_xy)
    i, p = len(directions), stats.p
    scaled = gram / sigma**2
    information = scaled[:i, :i]
    if restricted:
        cross = scaled[:i, i : i + p]
        information -= cross @ np.linalg.solve(done.G[:p, :p] / sigma**2, cross.T)
    # with sigma^2: half of c'(Z'V^-1 r) and of dof, both over sigma^2
    dof = stats.n - (p if restricted else 0)
    others = np.concatenate([np.empty(0), *(own.ravel() for own in scores[1:])])
    dots = np.einsum("jki,jk->i", lead, scores[0]) + others @ rest
    with_sigma = dots / sigma**2
    return information - np.outer(with_sigma, with_sigma) / dof


def _working(
    stats: Statistics,
    direction: Direction,
    relative: Float[np.ndarray, "_k _k"],
    residual: Float[np.ndarray, "_j _k"],
) -> tuple[Float[np.ndarray, "j k"], Float[np.ndarray, " m"]]:
    """Coefficients c of V_i P y = Z c: those of the lead, and those of the rest."""
    moved = direction.slope @ relative.T
    own = residual @ (moved + moved.T)
    lead = np.zeros((stats.lead.n_levels, stats.lead.k))
    rest = np.zeros(stats.m)
    for block in stats.layout.blocks:
        levels = lead
        if block is not stats.lead:
            levels = rest[block.span].reshape(block.n_levels, block.k)
        for t, span in block.parts:
            if t == direction.term:
                levels[:, span] = own
    return lead, rest


def _times_gram(
    stats: Statistics,
    lead: Float[np.ndarray, "j k i"],
    rest: Float[np.ndarray, "m i"],
) -> tuple[Float[np.ndarray, "j k i"], Float[np.ndarray, "m i"]]:
    """``Z'WZ c`` for each column of coefficients."""
    rest_F, lead_F = stats.R.times(rest), stats.A @ lead
    blocked.couple_columns(*stats.coupling, lead, rest, lead_F, rest_F)
    return lead_F, rest_F


def _gram(
    stats: Statistics,
    done: Elimination,
    lead_F: Float[np.ndarray, "j k i"],
    rest_F: Float[np.ndarray, "m i"],
    own: Float[np.ndarray, "i i"],
    with_xy: Float[np.ndarray, "i w"],
) -> Float[np.ndarray, "i c"]:
    """``Q'V0^-1[Q X y]`` for the working vectors Q, by the factorisation at hand."""
    factor = done.factors[0]
    U = np.linalg.solve(done.lead.lower, factor.T @ lead_F)
    gram = np.hstack([own, with_xy])
    gram -= np.einsum("jki,jkc->ic", U, np.concatenate([U, done.lead.U], axis=2))
    reduced, factors = rest_F.copy(), done.factors[1:]
    blocked.reduce_columns(stats.indptr, stats.columns, done.lead.V, U, reduced)
    half = done.schur.solve(left_transposed(reduced, stats.rest, factors))
    xy = done.schur.solve(left_transposed(done.reduced_rhs, stats.rest, factors))
    return gram - half.T @ np.hstack([half, xy])
