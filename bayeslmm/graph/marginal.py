"""The integrated PyMC model: SDs, correlations and sigma are the only variables.

Takes a Gaussian `Model`; gives a graph whose log density is `bayeslmm.marginal`'s,
in pure PyTensor, so that it can be drawn, extended and sampled by any PyMC sampler.
The term with most levels is eliminated level by level (unrolled k x k Cholesky factors,
as vectors over the levels); the others are dense, so keep them small.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.design.space import SIGMA
from bayeslmm.errors import ModelError
from bayeslmm.graph.blocks import Factor, add_factors, add_scale, at_reference
from bayeslmm.graph.names import Tensor, response_name
from bayeslmm.graph.products import Products, make_products, weighted_products
from bayeslmm.graph.residual import add_residual
from bayeslmm.marginal import BetaPrior
from bayeslmm.priors import beta_prior
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import pymc as pm


def marginal_model(model: ModelSpec) -> "pm.Model":
    """PyMC model of the variance parameters, beta and b integrated out.

    Variables are ``x|g_sigma``, ``g_corr_partial`` (with ``g_corr`` read off it),
    ``sigma``, and ``sigma_ratio`` and ``rho_unit`` of structured residuals; the
    potential ``<response>_marginal`` is log p(y | SDs, corr, sigma).

    Parameters
    ----------
    model : Model
        Gaussian, with Normal or flat priors of the fixed effects.

    Returns
    -------
    pymc.Model
        Its log density at a point is the kernel's plus the log priors.

    Raises
    ------
    ModelError
        If the family is not Gaussian, or the dense part would be too large.
    PriorError
        If a prior of a fixed effect is neither Normal nor flat.
    """
    import pymc as pm

    if model.family != "gaussian":
        raise ModelError(
            f"Random effects can be integrated out exactly for family 'gaussian' only, "
            f"not {model.family!r}. Use to_pymc(marginal=False)."
        )
    design, priors = model.design, model.priors
    prior = beta_prior(priors, design)
    rows = rows_of(design, "the PyMC graph of the integrated model")
    rows = at_reference(rows, priors)
    products = make_products(design, rows)
    structure = design.residual
    apart = structure.parameters if structure is not None else ()
    with pm.Model() as graph:
        factors = add_factors(design, priors)
        of_none = (p for p in model.space.variances if p.term is None)
        scales = [p for p in of_none if p not in apart]
        scalars = {p.label: add_scale(p.label, priors.of(p)) for p in scales}
        tensors = add_residual(design, priors)
        if tensors is not None:
            products = weighted_products(design, rows, products, tensors)
        sigma = scalars[SIGMA.label]
        logp = marginal_logp(design, products, factors, sigma, prior)
        pm.Potential(f"{response_name(design)}_marginal", logp)
    return graph


# --- the graph ------------------------------------------------------------------------


def marginal_logp(
    design: Design,
    products: Products,
    factors: Sequence[Factor],
    sigma: Tensor,
    prior: BetaPrior | None,
) -> Tensor:
    """Graph of log p(y | factors, sigma) with beta and b integrated out.

    Eliminates, one after the other, the levels of the main term, the other terms and
    beta from the Cholesky factor of the joint precision.
    """
    import pytensor.tensor as pt

    variance = sigma**2
    width = products.width
    H, S = _scaled_products(products, factors, variance)
    log_det_main: Tensor = 0.0
    n_random = width
    if products.main >= 0:
        own, term = factors[products.main], design.groups[products.main]
        log_det_main, S = _eliminate_main(products, own, variance, H, S)
        n_random += term.n_levels * term.k
    log_det_rest, S = _eliminate_rest(S, width)
    log_V = log_det_main + log_det_rest - products.log_weights
    log_variance: Tensor = pt.log(variance)
    log_V = log_V + (design.n - n_random) * log_variance
    # S / variance is [X y]' V^-1 [X y]
    return -0.5 * (log_V + _integrate_beta(design, products, S / variance, prior))


def _scaled_products(
    products: Products,
    factors: Sequence[Factor],
    variance: Tensor,
) -> tuple[list[Tensor], Tensor]:
    """H and T, columns of the other terms times their factors, variance added."""
    import pytensor.tensor as pt

    H: list[Tensor] = [pt.as_tensor_variable(h) for h in products.H]
    T: Tensor = pt.as_tensor_variable(products.T)
    if not products.rest:
        return H, T
    width = sum(
        levels * len(factors[t])
        for t, levels in zip(products.rest, products.rest_levels, strict=True)
    )
    scale = _rest_scale(products, factors)
    T = scale.T @ T @ scale
    at = np.arange(width)
    return [h @ scale for h in H], T[at, at].inc(variance)


def _rest_scale(products: Products, factors: Sequence[Factor]) -> Tensor:
    """Block-diagonal factor of the other terms, identity on the columns of X and y."""
    import pytensor.tensor as pt

    size = products.width + len(products.shift) + 1
    scale: Tensor = pt.eye(size, dtype="float64")
    start = 0
    for t, levels in zip(products.rest, products.rest_levels, strict=True):
        at = start + np.arange(levels)
        for i, row in enumerate(factors[t]):
            for j, entry in enumerate(row):
                scale = scale[at + i * levels, at + j * levels].set(entry)
        start += len(factors[t]) * levels
    return scale


def _eliminate_main(
    products: Products,
    L: Factor,
    variance: Tensor,
    H: list[Tensor],
    S: Tensor,
) -> tuple[Tensor, Tensor]:
    """Log determinant of the main term's blocks, and the Schur complement.

    One unrolled Cholesky factor of ``L' A_j L + variance I`` for all levels at once.
    """
    import pytensor.tensor as pt

    k = len(products.A)
    log_det: Tensor = 0.0
    C: list[list[Tensor]] = []
    rows: list[Tensor] = []
    for a in range(k):
        row: list[Tensor] = []
        for b in range(a):
            inner = sum(row[c] * C[b][c] for c in range(b))
            row.append((_block_entry(products, L, a, b) - inner) / C[b][b])
        diagonal = _block_entry(products, L, a, a) + variance
        row.append(pt.sqrt(diagonal - sum(entry**2 for entry in row)))
        C.append(row)
        right = sum(L[f][a] * H[f] for f in range(a, k))  # row a of L' Z'W [Z X y]
        right = right - sum(row[c][:, None] * rows[c] for c in range(a))
        rows.append(right / row[a][:, None])
        log_det = log_det + _sum_log(row[a])
        S = S - (rows[a][:, :, None] * rows[a][:, None, :]).sum(axis=0)
    return log_det, S


def _block_entry(products: Products, L: Factor, a: int, b: int) -> Tensor:
    """Entry (a, b) of L' A_j L for all levels at once, shape (J,)."""
    k = len(products.A)
    return sum(
        L[e][a] * L[f][b] * products.A[max(e, f)][min(e, f)]
        for e in range(a, k)
        for f in range(b, k)
    )


def _sum_log(x: Tensor) -> Tensor:
    """Twice the sum of logs: the log determinant from the diagonal of a factor."""
    import pytensor.tensor as pt

    logs: Tensor = pt.log(x)
    return 2.0 * logs.sum()


def _eliminate_rest(S: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Log determinant of the first `width` columns, and the Schur complement."""
    import pytensor.tensor as pt
    from pytensor.tensor.linalg import cholesky, solve_triangular

    if width == 0:
        return 0.0, S
    C: Tensor = cholesky(S[:width, :width])
    solved = solve_triangular(C, S[:width, width:], lower=True)
    return _sum_log(pt.diag(C)), S[width:, width:] - solved.T @ solved


def _integrate_beta(
    design: Design,
    products: Products,
    Q: Tensor,
    prior: BetaPrior | None,
) -> Tensor:
    """-2 log density less log determinant of V, from Q = [X y]' V^-1 [X y].

    The columns of X are eliminated one by one: a LAPACK call would cost numba half a
    minute of compiling for a matrix this small.
    """
    import pytensor.tensor as pt

    p = design.p
    added, away = np.zeros((p + 1, p + 1)), np.zeros(p)
    n_proper, log_det = 0, 0.0
    if prior is not None:
        n_proper, log_det = prior.n_proper, prior.log_det
        away = prior.mean - products.shift
        added[:p, :p] = prior.precision
        added[:p, p] = added[p, :p] = prior.precision @ away
        added[p, p] = away @ prior.precision @ away
    S: Tensor = Q + added
    value: Tensor = (design.n - p + n_proper) * math.log(2.0 * math.pi) - log_det
    for _ in range(p):
        column = S[1:, 0]
        value = value + pt.log(S[0, 0])
        S = S[1:, 1:] - column[:, None] * column[None, :] / S[0, 0]
    return value + S[0, 0]
