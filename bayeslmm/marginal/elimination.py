"""The one factorisation: random effects eliminated at given relative factors.

Takes `Statistics` and the relative factors Lambda_t = L_t / sigma, gives an
`Elimination`, the blocked Cholesky factor of ``Lambda'Z'WZ Lambda + I`` together with
``G = [X y]'V0^-1[X y]`` (V0 = V / sigma**2); and `projections`, the per-level pieces of
``Z'V0^-1[X y]`` and ``Z'V0^-1Z Lambda`` from which gradients and conditional moments
are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.kernels import blocked
from bayeslmm.marginal.layout import left, left_transposed
from bayeslmm.marginal.statistics import Factors, Lead, Projection, Schur, Statistics


@dataclass(frozen=True, slots=True)
class Elimination:
    """Blocked factorisation at given relative factors.

    Attributes
    ----------
    log_det : float
        ``log |Lambda'Z'WZ Lambda + I|``; NaN if it is not positive definite.
    G : ndarray, shape (w, w)
        ``[X y]'V0^-1[X y]``, both triangles.
    factors : tuple of ndarray, shape (k, k)
        Relative factor of each block, the terms of a block along the diagonal.
    lead : Lead
        The lead, level by level.
    reduced_rhs : ndarray, shape (m, w)
        ``Z_r'P[X y]`` of the rest, the lead eliminated; m may be 0.
    schur : Schur
        Factor of ``S = Lambda_r' Z_r'PZ_r Lambda_r + I``.
    kappa : ndarray, shape (m, w)
        ``S^-1 Lambda_r' reduced_rhs``.
    """

    log_det: float
    G: Float[np.ndarray, "w w"]
    factors: tuple[Float[np.ndarray, "_k _k"], ...]
    lead: Lead
    reduced_rhs: Float[np.ndarray, "m w"]
    schur: Schur
    kappa: Float[np.ndarray, "m w"]


def eliminate(stats: Statistics, relative: Factors) -> Elimination:
    """Eliminate the random effects at given relative factors.

    Parameters
    ----------
    stats : Statistics
        Cross-products of the design.
    relative : sequence of ndarray, shape (k_t, k_t)
        Lambda_t of each bar term, unit-free, in the order of the design.

    Returns
    -------
    Elimination
        The factorisation and the Gram matrix G.

    References
    ----------
    .. [1] Bates et al. (2015). J. Stat. Softw. 67(1). https://doi.org/10.18637/jss.v067.i01
    """
    factors = tuple(block.join(relative) for block in stats.layout.blocks)
    arrays = np.empty_like(stats.A), np.empty_like(stats.F), np.empty_like(stats.B)
    lead = Lead(factors[0], *arrays)
    G, Fr = stats.WW.copy(), stats.Fr.copy()
    log_det = blocked.eliminate_lead(
        stats.A, stats.F, lead.factor, G, lead.root, lead.U
    )
    blocked.mirror_in_place(G)
    schur, log_det_rest = stats.R.reduce(stats, lead, factors[1:], Fr)
    half = schur.solve(left_transposed(Fr, stats.rest, factors[1:]))
    G -= half.T @ half
    kappa = schur.solve_transposed(half)
    return Elimination(log_det + log_det_rest, G, factors, lead, Fr, schur, kappa)


def projections(stats: Statistics, done: Elimination) -> tuple[Projection, ...]:
    """Per block: Q_j = Z_j'V0^-1[X y], shape (J, k, w), D_j = Z_j'V0^-1Z_j Lambda.

    Only the diagonal blocks of ``Z'V0^-1Z`` are formed.
    """
    lead, factors = done.lead, done.factors[1:]
    Q, D = np.empty_like(stats.F), np.empty_like(stats.A)
    blocked.lead_projections(stats.A, stats.F, lead.factor, lead.root, lead.U, Q, D)
    t = left(done.kappa, stats.rest, factors)
    Rt, blocks = done.schur.project(stats, lead, factors, t, (Q, D))
    rest_Q = done.reduced_rhs - Rt
    found = [(Q, D)]
    for block, own in zip(stats.rest, blocks, strict=True):
        found.append((block.levels(rest_Q), own))
    return tuple(found)


def factor_gradients(
    stats: Statistics,
    done: Elimination,
    projected: Sequence[Projection],
    weight: Float[np.ndarray, "w w"],
    sigma: float,
) -> tuple[Float[np.ndarray, "_k _k"], ...]:
    """dlogp/dL_t = (sum_j Q_j K Q_j' Lambda / sigma**2 - D_j) / sigma, each term."""
    gradients: dict[int, Float[np.ndarray, "_k _k"]] = {}
    blocks = stats.layout.blocks
    for block, factor, (Q, D) in zip(blocks, done.factors, projected, strict=True):
        for t, span in block.parts:
            gradient = np.zeros((span.stop - span.start,) * 2)
            edges = span.start, span.stop
            blocked.sum_gradient(Q, D, factor, weight, *edges, sigma**2, gradient)
            gradients[t] = gradient / sigma
    return tuple(gradients[t] for t in range(stats.layout.n_terms))
