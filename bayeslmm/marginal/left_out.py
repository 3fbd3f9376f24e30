"""Rows and levels under the law of all others, the variance parameters given.

Takes the rows in safe coordinates with their model, relative factors and sigma at many
points; gives ``log p(y_c | y_-c, factors, sigma)`` of each case c, beta and b
integrated out, from one factorisation for each point and all cases at once. With y
Normal of precision ``Q = V^-1 - V^-1X (X'V^-1X + P0)^-1 X'V^-1`` around ``m = X m0``, a
row given all others is Normal with precision ``Q_ii`` and residual ``(Q (y - m))_i /
Q_ii``; and a level's rows, independent of all others but for beta, are what the density
of all rows has more than that of the sums without theirs.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.fixed import LOG_2PI, BetaPrior
from bayeslmm.marginal.leverage import SATURATED, RowFit
from bayeslmm.marginal.saferows import SafeRows

# Numbers of one array over points and cases that are held at a time.
HELD = 2_000_000


@dataclass(frozen=True, slots=True)
class Eliminated:
    """Levels of the one grouping factor eliminated at many points.

    Attributes
    ----------
    inverse : ndarray, shape (s, J, k, k)
        ``root^-1 Lambda'`` of each level, root that of ``Lambda'A Lambda + I``.
    U : ndarray, shape (s, J, k, w)
        ``root^-1 Lambda'F``.
    log_det : ndarray, shape (s, J)
        Log determinant of ``V_j W_j / sigma^2``.
    taken : ndarray, shape (s, J, w, w)
        ``U'U``: what the level's effects take of ``[X y]'W[X y]``.
    """

    inverse: Float[np.ndarray, "s j k k"]
    U: Float[np.ndarray, "s j k w"]
    log_det: Float[np.ndarray, "s j"]
    taken: Float[np.ndarray, "s j w w"]


@dataclass(frozen=True, slots=True)
class Fixed:
    """Fixed effects integrated out of ``G = [X y]'V^-1[X y]``, at many points."""

    mean: Float[np.ndarray, "*s p"]
    covariance: Float[np.ndarray, "*s p p"]
    cost: Float[np.ndarray, "*s"]


def level_densities(
    rows: SafeRows,
    relative: Float[np.ndarray, "s k k"],
    sigma: Float[np.ndarray, " s"],
    prior: BetaPrior | None,
) -> Float[np.ndarray, "s j"]:
    """Log density of the rows of each level given all others, at many points.

    Parameters
    ----------
    rows : SafeRows
        Rows of a model with one grouping factor.
    relative : ndarray, shape (s, k, k)
        Relative factor of its block, safe coordinates.
    sigma : ndarray, shape (s,)
        Residual SD, safe units.
    prior : BetaPrior or None
        Of the safe fixed effects; flat if None.

    Returns
    -------
    ndarray, shape (s, J)
        Densities of y in the units of the data.

    References
    ----------
    .. [1] Sundararajan and Keerthi (2001). Neural Comput. 13(5).
       https://doi.org/10.1162/08997660151134343
    """
    sums, w = rows.conditioned.statistics.sums, rows.W.shape[1]
    codes, n_levels = rows.codes[0], len(sums.A[0])
    size = np.bincount(codes, minlength=n_levels)
    log_weights = np.bincount(codes, np.log(rows.weights), minlength=n_levels)
    own = np.zeros((n_levels, w, w))
    np.add.at(own, codes, np.einsum("nv,nw,n->nvw", rows.W, rows.W, rows.weights))
    constant = log_weights - size * (LOG_2PI + 2.0 * np.log(rows.conditioned.unit))
    found = np.empty((len(sigma), n_levels))
    for part in _parts(len(sigma), n_levels * w * w):
        done = _eliminated(rows, relative[part])
        scale = sigma[part, None]
        whole = sums.WW - done.taken.sum(axis=1)
        rest = whole[:, None] - own + done.taken
        moving = done.log_det + 2.0 * size * np.log(scale)
        moving += integrated(whole, sigma[part], prior).cost[:, None]
        moving -= integrated(rest, scale, prior).cost
        found[part] = 0.5 * (constant - moving)
    return found


def row_densities(
    rows: SafeRows,
    relative: Float[np.ndarray, "s k k"],
    sigma: Float[np.ndarray, " s"],
    prior: BetaPrior | None,
) -> Float[np.ndarray, "s n"]:
    """Log density of each row given all others, at many points.

    As `level_densities`, of which the parameters are; a model with one grouping factor.
    """
    sums, codes, Z = rows.conditioned.statistics.sums, rows.codes[0], rows.Z[0]
    n, w = rows.W.shape
    found = np.empty((len(sigma), n))
    for part in _parts(len(sigma), n * (w + Z.shape[1])):
        done = _eliminated(rows, relative[part])
        whole = sums.WW - done.taken.sum(axis=1)
        fixed = integrated(whole, sigma[part], prior)
        effects = np.swapaxes(done.inverse, -1, -2) @ done.U
        left = rows.W - np.einsum("nk,snkw->snw", Z, effects[:, codes])
        X, scale = left[..., :-1], sigma[part, None]
        spread = np.square(np.einsum("snlk,nk->snl", done.inverse[:, codes], Z)).sum(-1)
        own = np.einsum("snp,spq,snq->sn", X, fixed.covariance, X) / scale**2
        residual = left[..., -1] - np.einsum("snp,sp->sn", X, fixed.mean)
        hat = rows.weights * (spread + own)
        found[part] = _given_others(rows, hat, residual, scale)
    return found


def fitted_densities(
    rows: SafeRows, seen: RowFit, sigma: float
) -> Float[np.ndarray, " n"]:
    """The same at one point, from rows beside any model; sigma in safe units."""
    return _given_others(rows, seen.hat, seen.residual, np.asarray(sigma))


def _given_others(
    rows: SafeRows,
    hat: Float[np.ndarray, "*s n"],
    residual: Float[np.ndarray, "*s n"],
    sigma: Float[np.ndarray, "..."],
) -> Float[np.ndarray, "*s n"]:
    """Log density from leverage and conditional residual; NaN at leverage 1.

    Such a row alone tells of a fixed effect whose prior is flat.
    """
    room = np.where(hat < 1.0 - SATURATED, 1.0 - hat, np.nan)
    precision = rows.weights / sigma**2 * room
    quad = rows.weights / sigma**2 * residual**2 / room
    log_unit = 2.0 * np.log(rows.conditioned.unit)
    return 0.5 * (np.log(precision) - LOG_2PI - log_unit - quad)


def _eliminated(rows: SafeRows, relative: Float[np.ndarray, "s k k"]) -> Eliminated:
    """Levels of the one grouping factor eliminated."""
    sums = rows.conditioned.statistics.sums
    turned = np.swapaxes(relative, -1, -2)[:, None]
    inner = turned @ sums.A[0] @ relative[:, None]
    root = np.linalg.cholesky(inner + np.eye(inner.shape[-1]))
    inverse = np.linalg.solve(root, np.broadcast_to(turned, root.shape))
    U = inverse @ sums.F[0]
    log_det = 2.0 * np.log(np.einsum("sjkk->sjk", root)).sum(axis=-1)
    return Eliminated(inverse, U, log_det, np.swapaxes(U, -1, -2) @ U)


def integrated(
    G: Float[np.ndarray, "*s w w"],
    sigma: Float[np.ndarray, "..."],
    prior: BetaPrior | None,
) -> Fixed:
    """The fixed effects, and ``log |C^-1| + y'V^-1y + m0'P0m0 - bhat'C^-1bhat``.

    ``G = [X y]'V0^-1[X y]``, V = sigma^2 V0.
    """
    scaled = G / np.square(sigma)[..., None, None]
    precision, rhs, quad = (
        scaled[..., :-1, :-1],
        scaled[..., :-1, -1],
        scaled[..., -1, -1],
    )
    if prior is not None:
        shift = prior.precision @ prior.mean
        precision, rhs = precision + prior.precision, rhs + shift
        quad = quad + prior.mean @ shift
    covariance = np.linalg.inv(precision)
    mean = np.einsum("...pq,...q->...p", covariance, rhs)
    log_det = np.linalg.slogdet(precision)[1]
    cost = log_det + quad - np.einsum("...p,...p->...", rhs, mean)
    return Fixed(mean, covariance, cost)


def _parts(n: int, each: int) -> list[slice]:
    """Runs of points so few that what is held for each fits."""
    step = max(1, HELD // max(each, 1))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]
