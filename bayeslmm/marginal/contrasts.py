"""Draws of the effects of levels that are alike: means of classes, then contrasts.

Takes an `Exchangeable` solver and draws of the variance parameters, gives the fixed
effects and those of the rest. The means come from the compiled kernel of crossed
factors. With gamma = (-beta, 1), the deviation of a level's effects from the mean of
its class is ``Lambda (S^-1 Lambda'(F_j - mean F) gamma + sigma chol(S)^-T (z_j - mean
z))``, S = Lambda'A Lambda + I.
"""

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.fixed import BetaPrior, beta_arrays
from bayeslmm.marginal.several import Exchangeable
from bayeslmm.marginal.statistics import Statistics


def draw_alike(
    stats: Statistics,
    solver: Exchangeable,
    relative: Float[np.ndarray, "s b k k"],
    sigma: Float[np.ndarray, " s"],
    prior: BetaPrior | None,
    z: Float[np.ndarray, "s pm"],
) -> tuple[Float[np.ndarray, "s p"], Float[np.ndarray, "s m"]]:
    """Fixed effects, and those of the rest.

    Parameters
    ----------
    stats, solver
        The cross-products, and their solver.
    relative : ndarray, shape (s, blocks, k, k)
        Relative factors of the blocks, padded.
    sigma : ndarray, shape (s,)
        Residual SDs.
    prior : BetaPrior or None
        Prior of beta.
    z : ndarray, shape (s, p + m)
        Standard normal numbers.
    """
    from bayeslmm.marginal.kernels import generic
    from bayeslmm.marginal.kernels.entries import entries_of

    p, n_draws = stats.p, len(z)
    classes, layout = solver.classes, solver.classes.layout(stats.layout)
    by_level = [block.levels(z[:, p:].T) for block in stats.rest]
    lead = np.zeros((stats.lead.n_levels, 1, n_draws))
    _, *means = classes.mean_products([lead, *by_level])
    flat = np.vstack([own.reshape(-1, n_draws) for own in means]).T
    beta, found = np.empty((n_draws, p)), np.empty((n_draws, layout.m))
    own = (stats.WW, relative, sigma, *beta_arrays(stats.sums, prior))
    few = np.hstack([z[:, :p], flat])
    generic.fixed(*entries_of(solver).with_rest, *own, few, beta, found)
    rest_b = np.empty((n_draws, stats.m))
    gamma = np.hstack([-beta, np.ones((n_draws, 1))])
    blocks = zip(stats.rest, layout.rest, strict=True)
    for b, (block, few) in enumerate(blocks, start=1):
        F = classes.deviations(stats.sums.F[b], b)
        noise = classes.deviations(by_level[b - 1], b)
        factor = relative[:, b, : block.k, : block.k]
        drawn = np.empty((n_draws, block.n_levels, block.k))
        mean = found[:, few.span].reshape(n_draws, few.n_levels, few.k)
        for u, (first, size) in enumerate(
            zip(classes.first[b], classes.count[b], strict=True)
        ):
            at = np.flatnonzero(classes.of[b] == u)
            drawn[:, at] = (mean[:, u] / np.sqrt(size))[:, None]
            if size > 1:
                A = stats.sums.A[b][first]
                drawn[:, at] += _deviation(A, F[at], factor, gamma, sigma, noise[at])
        rest_b[:, block.span] = drawn.reshape(n_draws, -1)
    return beta, rest_b


def _deviation(
    A: Float[np.ndarray, "k k"],
    F: Float[np.ndarray, "n k w"],
    factor: Float[np.ndarray, "s k k"],
    gamma: Float[np.ndarray, "s w"],
    sigma: Float[np.ndarray, " s"],
    noise: Float[np.ndarray, "n k s"],
) -> Float[np.ndarray, "s n k"]:
    """Deviations of the effects of the levels of a class from their mean."""
    turned = factor.swapaxes(1, 2)
    root = np.linalg.cholesky(turned @ A @ factor + np.eye(len(A)))
    half = np.linalg.solve(root, turned @ np.einsum("nkw,sw->skn", F, gamma))
    half += sigma[:, None, None] * noise.transpose(2, 1, 0)
    return (factor @ np.linalg.solve(root.swapaxes(1, 2), half)).swapaxes(1, 2)
