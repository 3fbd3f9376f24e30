"""Fixed and random effects given the covariance: their exact Gaussian distribution.

Takes `Statistics`, factors, sigma and the prior of beta; gives conditional means and
covariances (BLUPs at a point estimate) and exact joint draws of ``(beta, b)``, from the
same factorisation as the likelihood.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.elimination import Elimination, eliminate, projections
from bayeslmm.marginal.kernels import draws
from bayeslmm.marginal.levels import draw_levels
from bayeslmm.marginal.likelihood import BetaPrior, Factors, beta_arrays, solve_beta
from bayeslmm.marginal.schur import left
from bayeslmm.marginal.statistics import Statistics


@dataclass(frozen=True, slots=True)
class EffectsMean:
    """Conditional distribution of the effects given the covariance parameters.

    Attributes
    ----------
    beta : ndarray, shape (p,)
        Mean of the fixed effects, units of y per unit of x.
    beta_cov : ndarray, shape (p, p)
        Their covariance.
    b : tuple of ndarray, shape (J_t, k_t)
        Mean of the random effects of each bar term (the BLUPs), y per unit of z.
    b_cov_given_beta : tuple of ndarray, shape (J_t, k_t, k_t)
        Covariance of each level's effects with beta taken as known: lme4's ``condVar``.
    b_cov : tuple of ndarray, shape (J_t, k_t, k_t)
        The same with the uncertainty of beta integrated in.
    """

    beta: Float[np.ndarray, " p"]
    beta_cov: Float[np.ndarray, "p p"]
    b: tuple[Float[np.ndarray, "_j _k"], ...]
    b_cov_given_beta: tuple[Float[np.ndarray, "_j _k _k"], ...]
    b_cov: tuple[Float[np.ndarray, "_j _k _k"], ...]


def conditional_mean(
    stats: Statistics, factors: Factors, sigma: float, prior: BetaPrior | None = None
) -> EffectsMean:
    """Mean and covariance of the effects given the covariance parameters.

    Use it for BLUPs at a point estimate; `draw_effects` gives joint draws.

    Parameters
    ----------
    stats : Statistics
        Cross-products of the design.
    factors : sequence of ndarray, shape (k_t, k_t)
        Lower Cholesky factors L_t of the random-effect covariances, units of y.
    sigma : float
        Residual SD, units of y.
    prior : BetaPrior, optional
        Prior of beta; flat if None.

    Returns
    -------
    EffectsMean
        Means and covariances.

    References
    ----------
    .. [1] Bates et al. (2015). J. Stat. Softw. 67(1). https://doi.org/10.18637/jss.v067.i01
    """
    done = eliminate(stats, [factor / sigma for factor in factors])
    fixed = solve_beta(done.G, sigma, prior)
    gamma = np.append(-fixed.beta, 1.0)
    b: dict[int, np.ndarray] = {}
    given: dict[int, np.ndarray] = {}
    total: dict[int, np.ndarray] = {}
    blocks = (stats.lead, *stats.rest)
    for block, (Q, D) in zip(blocks, projections(stats, done), strict=True):
        edges = (*block.starts, block.k)
        for i, t in enumerate(block.terms):
            span = slice(edges[i], edges[i + 1])
            relative = np.asarray(factors[t]) / sigma
            cov = relative @ relative.T
            response = cov @ Q[:, span]  # d E[b] / d [X y], of shape (J, k, w)
            b[t] = response @ gamma
            given[t] = sigma**2 * (cov - cov @ D[:, span, span] @ relative.T)
            on_beta = response[:, :, :-1]
            spread = on_beta @ fixed.covariance @ on_beta.transpose(0, 2, 1)
            total[t] = given[t] + spread
    order = range(stats.n_terms)
    return EffectsMean(
        beta=fixed.beta,
        beta_cov=fixed.covariance,
        b=tuple(b[t] for t in order),
        b_cov_given_beta=tuple(given[t] for t in order),
        b_cov=tuple(total[t] for t in order),
    )


def draw_effects(
    stats: Statistics,
    factors: Sequence[Float[np.ndarray, "s _k _k"]],
    sigma: Float[np.ndarray, " s"],
    rng: np.random.Generator,
    prior: BetaPrior | None = None,
    *,
    lead: bool = True,
) -> tuple[Float[np.ndarray, "s p"], tuple[Float[np.ndarray, "s _j _k"], ...]]:
    """Exact joint draws of the fixed and random effects, one per parameter draw.

    Parameters
    ----------
    stats : Statistics
        Cross-products of the design.
    factors : sequence of ndarray, shape (s, k_t, k_t)
        Draws of the Cholesky factor of each bar term, units of y.
    sigma : ndarray, shape (s,)
        Draws of the residual SD, units of y.
    rng : numpy.random.Generator
        Source of randomness; the draws depend on it and on nothing else.
    prior : BetaPrior, optional
        Prior of beta; flat if None.
    lead : bool, default True
        Whether to draw the effects of the leading block. Those of chosen levels can be
        drawn later, the same ones, by `draw_levels` with a generator like `rng`.

    Returns
    -------
    beta : ndarray, shape (s, p)
        Fixed effects.
    b : tuple of ndarray, shape (s, J_t, k_t)
        Random effects of each bar term; J_t = 0 for those of a lead left out.

    Notes
    -----
    ``beta ~ N(bhat, C)``, then ``b | beta`` through the factor of
    ``M = Lambda'Z'WZ Lambda + I``: with ``M = R R'``, ``u = M^-1 Lambda'Z'W(y - X beta)
    + sigma R^-T z`` and ``b = Lambda u``. The rest is drawn first, then the lead given
    it.
    """
    n_draws = len(sigma)
    z = rng.standard_normal((n_draws, stats.p + stats.m))
    beta, rest_b = np.empty((n_draws, stats.p)), np.empty((n_draws, stats.m))
    if stats.kernel in _FIXED_OF:
        _draw_compiled(stats, factors, sigma, prior, z, beta, rest_b)
    else:
        for s in range(n_draws):
            scale = float(sigma[s])
            done = eliminate(stats, [factor[s] / scale for factor in factors])
            beta[s] = draw_beta(done.G, scale, z[s, : stats.p], prior)
            gamma = np.append(-beta[s], 1.0)
            rest_b[s] = draw_rest(stats, done, gamma, scale, z[s, stats.p :])
    drawn = [
        rest_b[:, block.span].reshape(n_draws, block.n_levels, block.k)
        for block in stats.rest
    ]
    if lead:
        k = stats.lead.k
        relative = padded_factors(stats, factors)[:, 0, :k, :k] / sigma[:, None, None]
        own = draw_levels(stats, relative, sigma, beta, rest_b, rng)
    else:
        own = np.empty((n_draws, 0, stats.lead.k))
    return beta, by_term(stats, [own, *drawn])


_FIXED_OF = {
    "pooled": draws.pooled_fixed,
    "pairs": draws.pairs_fixed,
    "levels": draws.levels_fixed,
    "crossed": draws.crossed_fixed,
}


def _draw_compiled(
    stats: Statistics,
    factors: Sequence[Float[np.ndarray, "s _k _k"]],
    sigma: Float[np.ndarray, " s"],
    prior: BetaPrior | None,
    z: Float[np.ndarray, "s pm"],
    beta: Float[np.ndarray, "s p"],
    rest_b: Float[np.ndarray, "s m"],
) -> None:
    """Fill beta and the effects of the rest, all draws in one call of a kernel."""
    relative = padded_factors(stats, factors) / sigma[:, None, None, None]
    if not stats.rest:
        relative = np.ascontiguousarray(relative[:, 0])
    last = (beta, rest_b) if stats.rest else (beta,)
    kernel = _FIXED_OF[stats.kernel]
    kernel(
        *stats.arrays, stats.WW, relative, sigma, *beta_arrays(stats, prior), z, *last
    )


def padded_factors(
    stats: Statistics, factors: Sequence[Float[np.ndarray, "s _k _k"]]
) -> Float[np.ndarray, "s b k k"]:
    """Draws of the factors of all blocks, the terms of a block along the diagonal."""
    blocks = stats.layout.blocks
    widest = max(block.k for block in blocks)
    found = np.zeros((len(factors[0]), len(blocks), widest, widest))
    for b, block in enumerate(blocks):
        for t, start in zip(block.terms, block.starts, strict=True):
            span = slice(start, start + factors[t].shape[1])
            found[:, b, span, span] = factors[t]
    return found


def draw_beta(
    G: Float[np.ndarray, "w w"],
    sigma: float,
    z: Float[np.ndarray, " p"],
    prior: BetaPrior | None,
) -> Float[np.ndarray, " p"]:
    """One draw of the fixed effects given the variances, from standard normals z."""
    fixed = solve_beta(G, sigma, prior)
    return fixed.beta + np.linalg.cholesky(fixed.covariance) @ z


def draw_rest(
    stats: Statistics,
    done: Elimination,
    gamma: Float[np.ndarray, " w"],
    sigma: float,
    z: Float[np.ndarray, " m"],
) -> Float[np.ndarray, " m"]:
    """One draw of the random effects of all blocks but the lead, given beta.

    With gamma = (-beta, 1): b = Lambda (S^-1 Lambda'Fr gamma + sigma L^-T z).
    """
    spread = done.schur.solve_transposed(z[:, None])
    u = (done.kappa @ gamma)[:, None] + sigma * spread
    return left(u, stats.rest, done.factors[1:])[:, 0]


def by_term(
    stats: Statistics, drawn: Sequence[Float[np.ndarray, "s _j _k"]]
) -> tuple[Float[np.ndarray, "s _j _k"], ...]:
    """Draws of the blocks, cut into those of the bar terms."""
    terms: dict[int, np.ndarray] = {}
    for block, b in zip(stats.layout.blocks, drawn, strict=True):
        edges = (*block.starts, block.k)
        for i, t in enumerate(block.terms):
            terms[t] = b[:, :, edges[i] : edges[i + 1]]
    return tuple(terms[t] for t in range(stats.n_terms))
