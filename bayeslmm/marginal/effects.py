"""Fixed and random effects given the covariance: their exact Gaussian distribution.

Takes `Statistics`, factors, sigma and the prior of beta; gives conditional means and
covariances (BLUPs at a point estimate) and exact joint draws of ``(beta, b)``, from the
same factorisation as the likelihood.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.contrasts import draw_alike
from bayeslmm.marginal.elimination import Elimination, eliminate, projections
from bayeslmm.marginal.fixed import (
    BetaPrior,
    beta_arrays,
    draw_beta,
    draw_betas,
    solve_beta,
)
from bayeslmm.marginal.layout import left
from bayeslmm.marginal.levels import draw_levels
from bayeslmm.marginal.several import Exchangeable
from bayeslmm.marginal.statistics import Factors, Statistics


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
    b, given, total = [], [], []
    projected = list(zip(*projections(stats, done), strict=True))
    Qs = stats.layout.cut(Q.swapaxes(1, 2) for Q in projected[0])
    Ds = stats.layout.cut_square(projected[1])
    for factor, Q, D in zip(factors, Qs, Ds, strict=True):
        relative = np.asarray(factor) / sigma
        cov = relative @ relative.T
        response = cov @ Q.swapaxes(1, 2)  # d E[b] / d [X y], of shape (J, k, w)
        b.append(response @ gamma)
        given.append(sigma**2 * (cov - cov @ D @ relative.T))
        on_beta = response[:, :, :-1]
        spread = on_beta @ fixed.covariance @ on_beta.transpose(0, 2, 1)
        total.append(given[-1] + spread)
    return EffectsMean(
        beta=fixed.beta,
        beta_cov=fixed.covariance,
        b=tuple(b),
        b_cov_given_beta=tuple(given),
        b_cov=tuple(total),
    )


def draw_effects(
    stats: Statistics,
    factors: Sequence[Float[np.ndarray, "s _k _k"]],
    sigma: Float[np.ndarray, " s"],
    rng: np.random.Generator,
    prior: BetaPrior | None = None,
    *,
    lead: bool = True,
    grams: Float[np.ndarray, "s w w"] | None = None,
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
    grams : ndarray, shape (s, w, w), optional
        ``[X y]'V0^-1[X y]`` at each, if it is known; of one factor, where no level is
        looked at for the fixed effects then.

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
    relative = stats.layout.join(factors) / sigma[:, None, None, None]
    if grams is not None and not stats.m:
        beta, rest_b = draw_betas(grams, sigma, z, prior), np.empty((n_draws, 0))
    else:
        beta, rest_b = _draw_fixed(stats, relative, sigma, prior, z)
    own, k = np.empty((n_draws, 0, stats.lead.k)), stats.lead.k
    if lead:
        lead_factor = np.ascontiguousarray(relative[:, 0, :k, :k])
        own = draw_levels(stats, lead_factor, sigma, beta, rest_b, rng)
    return beta, stats.layout.cut([own, *rest_levels(stats, rest_b)])


def _draw_fixed(
    stats: Statistics,
    relative: Float[np.ndarray, "s b k k"],
    sigma: Float[np.ndarray, " s"],
    prior: BetaPrior | None,
    z: Float[np.ndarray, "s pm"],
) -> tuple[Float[np.ndarray, "s p"], Float[np.ndarray, "s m"]]:
    """Fixed effects and those of the rest, all in one compiled call if there is one."""
    beta, rest_b = np.empty((len(z), stats.p)), np.empty((len(z), stats.m))
    solver = stats.solver
    if isinstance(solver, Exchangeable):
        return draw_alike(stats, solver, relative, sigma, prior, z)
    if not stats.in_steps:
        from bayeslmm.marginal.kernels import generic
        from bayeslmm.marginal.kernels.entries import entries_of

        own = (stats.WW, relative, sigma, *beta_arrays(stats.sums, prior))
        generic.fixed(*entries_of(solver).with_rest, *own, z, beta, rest_b)
        return beta, rest_b
    for s, scale in enumerate(sigma.tolist()):
        done = eliminate(stats, stats.layout.cut_square(relative[s]))
        beta[s] = draw_beta(done.G, scale, z[s, : stats.p], prior)
        gamma = np.append(-beta[s], 1.0)
        rest_b[s] = draw_rest(stats, done, gamma, scale, z[s, stats.p :])
    return beta, rest_b


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


def rest_levels(
    stats: Statistics, rest_b: Float[np.ndarray, "s m"]
) -> list[Float[np.ndarray, "s _j _k"]]:
    """Effects of the rest, coordinate by coordinate, as those of its blocks."""
    return [
        rest_b[:, block.span].reshape(len(rest_b), block.n_levels, block.k)
        for block in stats.rest
    ]
