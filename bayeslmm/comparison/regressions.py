"""Ordinary regressions on the way to a mixed model: pooled, by group, of group means.

Takes columns of a design and the level of each row; gives coefficients with their
standard errors, by statsmodels. These are what tutorials set beside a mixed model, not
what this package is for.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

ROUNDING = 1e-14  # of the largest value; a smaller mean is 0
CONSTANT = 1e-9  # of its range; a smaller step within a level is rounding
ALIASED = 1e-7  # of its length left by the columns before; the tolerance of R's lm


@dataclass(frozen=True, slots=True)
class Regression:
    """The coefficient of one column.

    Attributes
    ----------
    coef, se : float
        Estimate and standard error, units of y per unit of the column; NaN where the
        rows do not tell it, or leave no degrees of freedom.
    df, sse : float
        Residual degrees of freedom, and residual sum of squares, weighted if rows have
        weights.
    """

    coef: float
    se: float
    df: float
    sse: float

    @property
    def rmse(self) -> float:
        """Root of the residual sum of squares over *its own* degrees of freedom."""
        return float(np.sqrt(self.sse / self.df)) if self.df > 0 else np.nan


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows of a model, as regressions need them.

    ``y`` (n,) less the offset, ``X`` (n, p), ``at`` the column of X that is followed,
    ``codes`` (n,) the level of each row, ``weights`` (n,), 1 where there are none.
    """

    y: Float[np.ndarray, " n"]
    X: Float[np.ndarray, "n p"]
    at: int
    codes: Int[np.ndarray, " n"]
    weights: Float[np.ndarray, " n"]

    @property
    def dummies(self) -> Float[np.ndarray, "n j"]:
        """Indicators of all levels."""
        return (self.codes[:, None] == np.unique(self.codes)).astype(float)


def regression(
    y: Float[np.ndarray, " n"],
    X: Float[np.ndarray, "n p"],
    at: int,
    weights: Float[np.ndarray, " n"] | None = None,
) -> Regression:
    """Least squares of y on X: the coefficient of column `at`.

    Columns that others determine are left out; NaN is the coefficient of such a one.
    """
    from statsmodels.regression.linear_model import WLS

    own: Any = np.ones(len(y)) if weights is None else weights
    X = _near_zero(X)
    others = _independent(np.delete(X, at, axis=1))
    columns = _independent(np.column_stack([others, X[:, at]]))
    alone = columns.shape[1] > others.shape[1]
    if not columns.shape[1]:
        return Regression(np.nan, np.nan, float(len(y)), float(own @ y**2))
    fit = WLS(y, columns, weights=own).fit()
    df, sse = float(fit.df_resid), float(fit.ssr)
    return Regression(
        coef=float(fit.params[-1]) if alone else np.nan,
        se=float(fit.bse[-1]) if alone and df > 0 else np.nan,
        df=df,
        sse=sse,
    )


def varies_within(codes: Int[np.ndarray, " n"], x: Float[np.ndarray, " n"]) -> bool:
    """Whether a column has different values in the rows of any level."""
    order = np.argsort(codes, kind="stable")
    same = np.diff(codes[order]) == 0
    steps = np.abs(np.diff(x[order])[same])
    return bool((steps > CONSTANT * np.ptp(x)).any())


def _near_zero(X: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "n p"]:
    """Columns less their means where one is constant: the same slopes, more digits."""
    constant = np.ptp(X, axis=0) == 0.0
    if not (constant & (X[0] != 0.0)).any():
        return X
    return np.where(constant, X, X - X.mean(axis=0))


def _independent(X: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "n r"]:
    """Columns that those before them do not determine, as R's lm keeps them."""
    kept: list[Float[np.ndarray, " n"]] = []
    basis = np.empty((len(X), 0))
    for column in X.T:
        left = column - basis @ (basis.T @ column)
        left -= basis @ (basis.T @ left)  # once more, for the digits
        length = float(np.linalg.norm(left))
        if length > ALIASED * float(np.linalg.norm(column)):
            kept.append(column)
            basis = np.column_stack([basis, left / length])
    return np.column_stack(kept) if kept else np.empty((len(X), 0))


def pooled(rows: Columns) -> Regression:
    """All rows as if they were of one level: complete pooling."""
    return regression(rows.y, rows.X, rows.at, rows.weights)


def intercepts(rows: Columns) -> Regression:
    """An intercept for each level, one slope: analysis of covariance."""
    X = np.hstack([rows.X, rows.dummies])
    return regression(rows.y, X, rows.at, rows.weights)


def slopes(rows: Columns) -> Regression:
    """An intercept and a slope for each level: the slope of the first one."""
    own, x = rows.dummies, rows.X[:, [rows.at]]
    X = np.hstack([rows.X, own, own[:, 1:] * (x - x.mean())])
    return regression(rows.y, X, rows.at, rows.weights)


def means(rows: Columns) -> Regression:
    """The means of the levels, one row each."""
    _, level = np.unique(rows.codes, return_inverse=True)
    total = np.bincount(level, rows.weights)
    average = []
    for column in (rows.y, *rows.X.T):
        own = np.bincount(level, rows.weights * column) / total
        own[np.abs(own) < ROUNDING * np.abs(column).max()] = 0.0
        average.append(own)
    return regression(average[0], np.column_stack(average[1:]), rows.at)


def two_stage(rows: Columns) -> tuple[Regression, int]:
    """The mean of the slopes of each level's own regression; levels without one."""
    found = [_of_level(rows, level) for level in np.unique(rows.codes)]
    own = np.array([one for one in found if np.isfinite(one)])
    missing = len(found) - len(own)
    if not len(own):
        return Regression(np.nan, np.nan, 0.0, 0.0), missing
    return regression(own, np.ones((len(own), 1)), 0), missing


def _of_level(rows: Columns, level: np.integer) -> float:
    """Slope of one level's own rows, with an intercept of their own."""
    own = rows.codes == level
    X = np.column_stack([rows.X[own], np.ones(own.sum())])
    return regression(rows.y[own], X, rows.at, rows.weights[own]).coef


def equal_slopes(
    one: Regression, many: Regression
) -> tuple[float, float, float, float]:
    """F test of `intercepts` against `slopes`: F, both df, p."""
    from scipy.stats import f as f_distribution

    top = one.df - many.df
    if top <= 0 or many.df <= 0:
        return np.nan, top, many.df, np.nan
    value = (one.sse - many.sse) / top / (many.sse / many.df)
    return value, top, many.df, float(f_distribution.sf(value, top, many.df))
