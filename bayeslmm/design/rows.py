"""The rows of a model: what stands in them, under a `Design` that says what it is.

Takes numbers and codes; gives `Rows`, all of them of a frame in memory, or some of a
batch; and the error for rows that were read in batches and let go. Needs numpy only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.moments import (
    ColumnMoments,
    Moments,
    column_moments,
    near_moments,
)
from bayeslmm.design.residual import ResidualRows
from bayeslmm.errors import DataError

Codes = Int[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows without missing values, ``y = X beta + sum_t Z_t b_t + offset + e``.

    Attributes
    ----------
    y : ndarray, shape (n,)
        Response, its own units.
    X : ndarray, shape (n, p)
        Fixed-effect columns, treatment coding; may have p = 0.
    Z : tuple of ndarray, shape (n, k)
        For each bar term the columns whose coefficients vary; units of the predictors.
    codes : tuple of ndarray of int, shape (n,)
        For each bar term the level of each row, 0 .. J-1.
    position : ndarray of int, shape (n,)
        Places of the rows in the data given, from 0.
    weights : ndarray, shape (n,), or None
        Precision weights as in lme4: residual variance is sigma**2 / weights.
    offset : ndarray, shape (n,), or None
        Known part of the mean, units of y.
    multiplied : ndarray, shape (n, a), or None
        Values of the numeric variables that are multiplied in X or Z.
    residual : ResidualRows or None
        Strata and series of the residuals, where they have a structure.
    """

    y: Float[np.ndarray, " n"]
    X: Float[np.ndarray, "n p"]
    Z: tuple[Float[np.ndarray, "n _k"], ...]
    codes: tuple[Codes, ...]
    position: Codes
    weights: Float[np.ndarray, " n"] | None = None
    offset: Float[np.ndarray, " n"] | None = None
    multiplied: Float[np.ndarray, "n a"] | None = None
    residual: ResidualRows | None = None

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.y.shape[0]

    @property
    def net(self) -> Float[np.ndarray, " n"]:
        """The response less the offset."""
        return self.y if self.offset is None else self.y - self.offset


def linear_predictor(
    rows: Rows,
    beta: Float[np.ndarray, " p"],
    b: Sequence[Float[np.ndarray, "_j _k"]] | None,
) -> Float[np.ndarray, " n"]:
    """X beta + offset, and Z b if there are random effects; units of y."""
    values = rows.X @ beta
    if rows.offset is not None:
        values += rows.offset
    if b is not None:
        for Z, codes, effects in zip(rows.Z, rows.codes, b, strict=True):
            values += np.einsum("nk,nk->n", Z, effects[codes])
    return values


def rows_moments(
    rows: Rows,
    sizes: tuple[Int[np.ndarray, " _j"], ...],
    near: Sequence[tuple[np.ndarray, np.ndarray] | None] = (),
) -> Moments:
    """Moments of rows, with the number of them that each level has.

    Parameters
    ----------
    rows : Rows
        Some rows, or all.
    sizes : tuple of ndarray, shape (J,)
        Rows of each level, for each bar term.
    near : sequence of (ndarray, ndarray) or None, optional
        For X and each bar term what `near_moments` takes, None where nothing is
        combined; empty for none at all.

    Returns
    -------
    Moments
        Of the response, X and every bar term.
    """
    first, *others = near or (None,) * (1 + len(rows.Z))
    X = _moments(rows.X, first)
    Z = [  # one of all columns of X is that array
        X if Z is rows.X and first is None else _moments(Z, own)
        for Z, own in zip(rows.Z, others, strict=True)
    ]
    y = column_moments(rows.y[:, None])
    none = np.empty((0, 0))
    return Moments(
        y=y,
        net=y if rows.offset is None else column_moments(rows.net[:, None]),
        X=X,
        Z=tuple(Z),
        sizes=sizes,
        multiplied=column_moments(none if rows.multiplied is None else rows.multiplied),
    )


def _moments(
    columns: Float[np.ndarray, "n c"], near: tuple[np.ndarray, np.ndarray] | None
) -> ColumnMoments:
    """Moments of columns, with combinations near zero where these are given."""
    return column_moments(columns) if near is None else near_moments(columns, *near)


def no_rows(p: int, k: Sequence[int], a: int) -> Rows:
    """Rows of p fixed columns, k varying ones for each bar term, a multiplied: none."""
    none = np.empty(0, dtype=np.int64)
    return Rows(
        y=np.empty(0),
        X=np.empty((0, p)),
        Z=tuple(np.empty((0, columns)) for columns in k),
        codes=(none,) * len(k),
        position=none,
        multiplied=np.empty((0, a)),
    )


def absence(source: str, what: str, *, saved: bool = False) -> DataError:
    """The error for something that needs rows which are gone, with the way out.

    Parameters
    ----------
    source : str
        Where the rows were read, ``'data.parquet'``.
    what : str
        What they are needed for, a plural that starts the reason.
    saved : bool
        Whether they were in memory, and not saved with the fit.
    """
    if saved:
        return DataError(
            f"The rows are not in a saved fit, and {what} would need them. Give the "
            f"data again, bayeslmm.load(..., data=...): they are compared with those "
            f"that were fitted. For predictions of some rows, give these to predict()."
        )
    return DataError(
        f"The rows of {source} were read in batches and are not in memory: {what} "
        f"would need them. For fitted values and residuals, iterate over "
        f"residual_batches(), which reads them again; for predictions of some rows, "
        f"read these into a data frame and give it to predict(); for anything else, "
        f"fit the model to a data frame in memory, a sample if need be."
    )
