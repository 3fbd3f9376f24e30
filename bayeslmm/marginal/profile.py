"""The profiled criteria of REML and ML: sigma and beta at their best.

Takes `Statistics` and relative factors, gives minus twice the profiled (restricted) log
likelihood, its exact gradient, and its curvature by average information. It is the
density of `likelihood` at its own sigma.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.average import Direction, average_information
from bayeslmm.marginal.elimination import eliminate, factor_gradients, projections
from bayeslmm.marginal.fixed import LOG_2PI, Profile, degrees_left, profile_given
from bayeslmm.marginal.kernels.compiling import LOADING_ONE, Ledger
from bayeslmm.marginal.kernels.plain import levels_profiles as plain_profiles
from bayeslmm.marginal.likelihood import gram, is_plain_at
from bayeslmm.marginal.statistics import Factors, Slopes, Statistics

# Of the plain steps in the place of `generic.profiles`.
_OWN = Ledger(LOADING_ONE)


def profiled_criterion(
    stats: Statistics, relative: Factors, *, restricted: bool = True
) -> Profile:
    """REML or ML criterion, sigma and beta profiled out.

    Parameters
    ----------
    stats : Statistics
        Cross-products of the design.
    relative : sequence of ndarray, shape (k_t, k_t)
        Relative factors Lambda_t = L_t / sigma, unit-free.
    restricted : bool, default True
        REML (beta integrated over a flat prior) rather than ML (beta maximised).

    Returns
    -------
    Profile
        ``criterion`` is minus twice the maximised (restricted) log likelihood, the
        density of y, weights included.

    References
    ----------
    .. [1] Bates et al. (2015). J. Stat. Softw. 67(1). https://doi.org/10.18637/jss.v067.i01
    """
    log_det, G = gram(stats, relative)
    return profile_given(stats.sums, log_det, G, restricted=restricted)


def profiled_gradient(
    stats: Statistics, relative: Factors, *, restricted: bool = True
) -> tuple[float, Slopes]:
    """Profiled criterion with its gradient with respect to each Lambda_t.

    The profile is flat in sigma and beta, so the gradient is that of the log density
    at their best values (envelope theorem).
    """
    if stats.in_steps:
        return _gradient_in_steps(stats, relative, restricted=restricted)
    points = stats.layout.join(relative)[None]
    values, slopes = profiles(stats, points, restricted=restricted)
    return float(values[0]), stats.layout.cut_square(slopes[0])


def _gradient_in_steps(
    stats: Statistics, relative: Factors, *, restricted: bool
) -> tuple[float, Slopes]:
    """The same from one factorisation."""
    done = eliminate(stats, relative)
    found = profile_given(stats.sums, done.log_det, done.G, restricted=restricted)
    projected = projections(stats, done)
    own = factor_gradients(stats, done, projected, found.weight, found.sigma)
    return found.criterion, tuple(-2.0 * found.sigma * d for d in own)


def profiles(
    stats: Statistics, relative: Float[np.ndarray, "r b k k"], *, restricted: bool
) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, "r b k k"]]:
    """The same at r points in one call, of a solver that does not go in steps.

    Points and slopes are relative factors of the blocks, padded (`Layout.join`). While
    that pays (`compiling`) in plain numpy: of one factor over points and levels, of
    several in steps.
    """
    sums, plain = stats.sums, is_plain_at(stats, _OWN, len(relative))
    dof, p = degrees_left(sums, restricted=restricted), sums.p
    values, slopes = np.empty(len(relative)), np.zeros(relative.shape)
    given = dof, restricted
    if plain and stats.m:
        for i, own in enumerate(relative):
            factors = stats.layout.cut_square(own)
            found = _gradient_in_steps(stats, factors, restricted=restricted)
            values[i], slopes[i] = found[0], stats.layout.join(found[1])
        return values, slopes
    if plain:
        own = (stats.A, stats.F, sums.WW, relative[:, 0])
        with np.errstate(all="ignore"):
            plain_profiles(*own, *given, values, slopes[:, 0])
    else:
        from bayeslmm.marginal.kernels import generic
        from bayeslmm.marginal.kernels.entries import entries_of

        points, own = np.ascontiguousarray(relative), entries_of(stats.solver)
        square = np.empty((p + 1, p + 1))
        room = np.empty(p), np.empty((p, p)), square, square.copy()
        at = (*own.with_slopes, sums.WW, points)
        generic.profiles(*at, *given, room, values, slopes)
    return values + (dof * (1.0 + LOG_2PI) - sums.log_weights), -2.0 * slopes


def profiled_curvature(
    stats: Statistics,
    relative: Factors,
    directions: Sequence[Direction],
    *,
    restricted: bool = True,
) -> tuple[float, Slopes, Float[np.ndarray, "i i"]]:
    """Profiled criterion, its gradient, and its curvature by average information.

    Use it where an evaluation is expensive: all three come from one factorisation.

    Parameters
    ----------
    stats, relative, restricted
        As for `profiled_criterion`.
    directions : sequence of Direction
        The i parameters of the curvature.

    Returns
    -------
    criterion : float
        The profiled criterion.
    d_factors : tuple of ndarray, shape (k_t, k_t)
        Derivatives with respect to the entries of each Lambda_t.
    curvature : ndarray, shape (i, i)
        About the Hessian over the directions.

    References
    ----------
    .. [1] Gilmour, Thompson and Cullis (1995). Biometrics 51(4).
       https://doi.org/10.2307/2533274
    """
    done = eliminate(stats, relative)
    profile = profile_given(stats.sums, done.log_det, done.G, restricted=restricted)
    projected = projections(stats, done)
    weight = profile.weight
    sigma = profile.sigma
    gradients = factor_gradients(stats, done, projected, weight, sigma)
    curvature = average_information(
        *(stats, done, projected, relative, directions, profile.beta, sigma),
        restricted=restricted,
    )
    return profile.criterion, tuple(-2.0 * sigma * d for d in gradients), curvature


def log_sigma_gradient(
    stats: Statistics, relative: Factors, *, restricted: bool = True
) -> Slopes:
    """Gradient of the logarithm of the profiled sigma with respect to each Lambda_t.

    ``-(sum_j s_j s_j') Lambda_t / (dof sigma**2)`` with s_j = Z_j'V0^-1(y - X beta),
    by the envelope theorem: beta is at its best, and dof sigma**2 is the minimum of
    (y - X beta)'V0^-1(y - X beta).
    """
    done = eliminate(stats, relative)
    profile = profile_given(stats.sums, done.log_det, done.G, restricted=restricted)
    gamma = np.append(-profile.beta, 1.0)
    scores = stats.layout.cut(Q @ gamma for Q, _ in projections(stats, done))
    dof = degrees_left(stats.sums, restricted=restricted)
    own = zip(scores, relative, strict=True)
    return tuple(-(s.T @ s) @ L / (dof * profile.sigma**2) for s, L in own)
