"""Predictions that have no mean or no SD, row by row.

Takes a `Target` and the columns of new rows, gives masks: of rows whose prediction
grows with an SD as fast as the density of that SD falls.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from bayeslmm.posterior.rays import HIGHEST, Ray, tail_point, tail_rays
from bayeslmm.posterior.target import Target

Unseen = Sequence[Float[np.ndarray, "m _k"] | None]


def rows_without(
    target: Target, X: Float[np.ndarray, "m p"], unseen: Unseen
) -> tuple[Bool[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
    """Whether predictions of rows have no mean, and whether they have no SD.

    Parameters
    ----------
    target : Target
        Target of the model.
    X : ndarray, shape (m, p)
        Fixed columns of the rows.
    unseen : sequence of ndarray, shape (m, k_t), or None
        Columns of each bar term where the level of a row was not in the data, NaN where
        it was; None for predictions without its effects.

    Returns
    -------
    tuple of ndarray of bool, shape (m,)
        What is said of a level that was in the data is never without them: its rows
        tell of the sum of fixed and random effects.
    """
    without = np.zeros((2, len(X)), bool)
    for ray in tail_rays(target):
        terms = {target.space.coordinates[i].term for i in ray.scales}
        own = [t for t in terms if t is not None]
        if None in terms or ray.has_mean(HIGHEST):
            continue  # sigma is no part of an expected response
        rows = np.ones(len(X), bool)
        for t in own:
            Z = unseen[t]
            rows &= True if Z is None else np.isfinite(Z).all(axis=1)
        if not rows.any():
            continue
        growth = _growth(target, ray, X, [(t, unseen[t]) for t in own])
        for q in (1, 2):
            for rate in np.unique(growth[growth > 0.0]):
                if not ray.has_mean(q * float(rate)):
                    without[q - 1] |= rows & (growth == rate)
    return without[0], without[1]


def _growth(
    target: Target,
    ray: Ray,
    X: Float[np.ndarray, "m p"],
    unseen: list[tuple[int, Float[np.ndarray, "m _k"] | None]],
) -> Float[np.ndarray, " m"]:
    """Power of the SDs of a ray with which the prediction of each row grows."""
    far, near = (
        _log_row_sizes(target, tail_point(target, ray, back), X, unseen)
        for back in (0.0, 1.0)
    )
    return np.maximum(np.round(np.nan_to_num(far - near)), 0.0)


def _log_row_sizes(
    target: Target,
    x: Float[np.ndarray, " m"],
    X: Float[np.ndarray, "n p"],
    unseen: list[tuple[int, Float[np.ndarray, "n _k"] | None]],
) -> Float[np.ndarray, " n"]:
    """Log SD of X beta, and of the effects of new levels of some terms, at a point."""
    variance = np.einsum("np,pq,nq->n", X, target.effects(x).beta_cov, X)
    for t, Z in unseen:
        if Z is not None:
            variance += np.square(Z @ target.factors(x[None])[t][0]).sum(axis=1)
    with np.errstate(divide="ignore"):
        return 0.5 * np.log(np.maximum(variance, 0.0))
