"""The lines of complete, no and partial pooling, for figures.

Takes what is followed; gives points and straight lines on one predictor. Other fixed
effects are held at their means, by the regression with an intercept for each level.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.comparison.followed import Followed
from bayeslmm.comparison.regressions import Columns, varies_within

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
    known = varies_within(rows.codes, x)
    slope = float((rows.weights * within) @ y) / spread if known else np.nan
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
    """The response with other predictors at their means.

    What is the same in all rows of a level says nothing within levels: its coefficient
    is that of a regression of what the others leave, without the levels.
    """
    X = rows.X - rows.X.mean(axis=0)
    varying = np.ptp(X, axis=0) > 0.0
    others = varying & (np.arange(X.shape[1]) != rows.at)
    if not others.any():
        return rows.y, False
    root, y = np.sqrt(rows.weights), rows.y - rows.y.mean()
    within = varying & np.array([varies_within(rows.codes, x) for x in X.T])
    coef, one = np.zeros(X.shape[1]), np.ones((len(X), 1))
    for columns, intercepts in ((within, rows.dummies), (varying & ~within, one)):
        both = np.hstack([X[:, columns], intercepts]) * root[:, None]
        left = y - X @ coef
        coef[columns] = np.linalg.lstsq(both, root * left)[0][: columns.sum()]
    return rows.y - X[:, others] @ coef[others], True
