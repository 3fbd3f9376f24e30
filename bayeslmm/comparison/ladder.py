"""The lines of complete, no and partial pooling, for figures.

Takes what is followed; gives points and straight lines on one predictor. Other fixed
effects are held at their means, by the regression with an intercept for each level.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.comparison.followed import Followed
from bayeslmm.comparison.regressions import Columns

Line = Float[np.ndarray, " 2"]  # intercept and slope


@dataclass(frozen=True, slots=True)
class Ladder:
    """Points, and lines as intercept and slope; NaN where rows do not tell one.

    Attributes
    ----------
    x, y : ndarray, shape (n,)
        Points; y less what other predictors say beyond their means.
    adjusted : bool
        Whether there are others.
    pooled : ndarray, shape (2,)
        The line of all rows.
    common : ndarray, shape (j, 2)
        Lines of the levels with one slope.
    own : ndarray, shape (j, 2)
        Lines of the levels, each from its own rows.
    means : ndarray, shape (j, 2)
        Means of x and y of each level.
    between : ndarray, shape (2,)
        The line of the means.
    """

    x: Float[np.ndarray, " n"]
    y: Float[np.ndarray, " n"]
    adjusted: bool
    pooled: Line
    common: Float[np.ndarray, "j 2"]
    own: Float[np.ndarray, "j 2"]
    means: Float[np.ndarray, "j 2"]
    between: Line


def ladder(followed: Followed) -> Ladder:
    """Every line of the way from complete pooling to a slope for each level."""
    rows, x = followed.rows, followed.x
    y, adjusted = _adjusted(rows)
    levels = np.arange(len(followed.block.levels))
    parts = [rows.codes == level for level in levels]
    at = [(x[own], y[own], rows.weights[own]) for own in parts]
    means = np.array([[np.average(v, weights=w) for v in (a, b)] for a, b, w in at])
    within = x - means[rows.codes, 0]
    spread = float((rows.weights * within) @ within)
    slope = float((rows.weights * within) @ y) / spread if spread > 0.0 else np.nan
    common = np.column_stack(
        [means[:, 1] - slope * means[:, 0], np.full(len(levels), slope)]
    )
    return Ladder(
        x=x,
        y=y,
        adjusted=adjusted,
        pooled=straight(x, y, rows.weights),
        common=common,
        own=np.array([straight(*one) for one in at]),
        means=means,
        between=straight(means[:, 0], means[:, 1], np.ones(len(levels))),
    )


def straight(
    x: Float[np.ndarray, " m"], y: Float[np.ndarray, " m"], w: Float[np.ndarray, " m"]
) -> Line:
    """Intercept and slope by least squares; NaN where x is constant."""
    centre = np.average(x, weights=w)
    spread = float(np.average((x - centre) ** 2, weights=w))
    if not spread > (1e-12 * np.abs(x).max(initial=0.0)) ** 2:
        return np.array([np.nan, np.nan])
    slope = float(np.average((x - centre) * y, weights=w)) / spread
    return np.array([float(np.average(y, weights=w)) - slope * centre, slope])


def _adjusted(rows: Columns) -> tuple[Float[np.ndarray, " n"], bool]:
    """The response with other predictors at their means."""
    others = np.delete(rows.X, rows.at, axis=1)
    others = others[:, np.ptp(others, axis=0) > 0.0]
    if not others.shape[1]:
        return rows.y, False
    first = (rows.codes == 0).astype(float)
    root = np.sqrt(rows.weights)[:, None]
    X = np.column_stack([others, rows.X[:, rows.at], first, rows.dummies])
    coef = np.linalg.lstsq(root * X, root[:, 0] * rows.y)[0][: others.shape[1]]
    return rows.y - (others - others.mean(axis=0)) @ coef, True
