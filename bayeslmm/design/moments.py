"""Moments of the columns of a design: what priors and scales need to know of the rows.

Takes columns (all rows, or those of a batch) and gives means, centred cross-products
and extremes; moments of parts add up to those of the whole. Needs numpy only.
"""

import operator
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np
from jaxtyping import Bool, Float, Int

# Columns of another size are squared in a unit of their own.
LARGE = 1e100
# Rows whose columns stay in the second-level cache; and how many times its range a
# column lies from zero to be counted from its first value there.
CHUNK, OFF = 1 << 15, 4.0
# A column whose size is this many times its range is far from zero: its mean is rounded
# by more than need be.
FAR = 1e6
# Columns for which products are summed without BLAS (measured: faster up to about 8).
MOST_WITHOUT_BLAS = 8


@dataclass(frozen=True, slots=True)
class ColumnMoments:
    """Moments of some columns over rows; ``+`` gives those of the rows of both.

    Attributes
    ----------
    n : int
        Rows.
    mean : ndarray, shape (c,)
        Means, units of the columns.
    products : ndarray, shape (c, c)
        Sums over rows of products of deviations from the means, in `unit`.
    low, high : ndarray, shape (c,)
        Smallest and largest value.
    unit : ndarray, shape (c,)
        1, or the power of two in which a column's deviations are squared: the square of
        1e200 is no number, and that of 1e-200 is 0.
    whole : ndarray of bool, shape (c,)
        Whether all values are whole numbers; asked of columns far from zero alone, and
        True for others.
    near : Near or None
        Moments of combinations of the columns that lie near zero, of which `products`
        say little: ``x^3`` beside x and ``x^2``, of years.

    References
    ----------
    .. [1] Chan, Golub and LeVeque (1983). Am. Stat. 37(3).
       https://doi.org/10.1080/00031305.1983.10483115
    """

    n: int
    mean: Float[np.ndarray, " c"]
    products: Float[np.ndarray, "c c"]
    low: Float[np.ndarray, " c"]
    high: Float[np.ndarray, " c"]
    unit: Float[np.ndarray, " c"]
    whole: Bool[np.ndarray, " c"]
    near: "Near | None" = None

    def __add__(self, other: "ColumnMoments") -> "ColumnMoments":
        """Moments of the rows of both; exact up to rounding, in any grouping."""
        if not self.n or not other.n:
            return other if not self.n else self
        n, step = self.n + other.n, other.mean - self.mean
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        unit = _units(np.maximum(np.abs(low), np.abs(high)))
        between = np.outer(step / unit, step / unit) * (self.n * (other.n / n))
        return ColumnMoments(
            n,
            self.mean + step * (other.n / n),
            self._products_in(unit) + other._products_in(unit) + between,
            low,
            high,
            unit,
            self.whole & other.whole,
            self.near and other.near and self.near + other.near,
        )

    def _products_in(self, unit: Float[np.ndarray, " c"]) -> Float[np.ndarray, "c c"]:
        """Products in another unit, no smaller than the own."""
        ratio = self.unit / unit
        return self.products * ratio * ratio[:, None]

    def moved(self, step: Float[np.ndarray, " c"]) -> "ColumnMoments":
        """Moments of the columns plus constants."""
        near = self.near and replace(self.near, origin=self.near.origin + step)
        low, high = self.low + step, self.high + step
        return replace(self, mean=self.mean + step, low=low, high=high, near=near)

    def nearest(
        self, turn: Float[np.ndarray, "c d"]
    ) -> tuple["ColumnMoments", Float[np.ndarray, "c d"]]:
        """What is known best of combinations of the columns: moments, and of what.

        The combinations less constants are those of the columns with these moments
        times the array.
        """
        if self.near is None:
            return self, turn
        return self.near.moments, np.linalg.solve(self.near.turn, turn)

    def combined(self, turn: Float[np.ndarray, "c d"]) -> "ColumnMoments":
        """Moments of combinations of the columns; extremes are bounds only."""
        if self.near is not None:
            own, step = self.nearest(turn)
            return own.combined(step).moved(self.near.origin @ turn)
        unit = _units(np.abs(turn).T @ self.size)
        scaled = turn * self.unit[:, None] / unit
        reach = np.abs(turn).T @ (self.high - self.low)
        mean = self.mean @ turn
        products = scaled.T @ self.products @ scaled
        whole = np.ones(len(mean), bool)
        return ColumnMoments(
            self.n, mean, products, mean - reach, mean + reach, unit, whole
        )

    def covariance(self, ddof: int = 0) -> Float[np.ndarray, "c c"]:
        """Covariances over rows, divided by n - `ddof` (by 1 at least)."""
        return self.products * self.unit * self.unit[:, None] / max(self.n - ddof, 1)

    def sd(self, ddof: int = 0) -> Float[np.ndarray, " c"]:
        """SDs over rows, as `numpy.std`; of columns of any size."""
        variance = self.products.diagonal() / max(self.n - ddof, 1)
        return np.sqrt(np.maximum(variance, 0.0)) * self.unit

    def rms(self) -> Float[np.ndarray, " c"]:
        """Roots of the means over rows of squares; of columns of any size."""
        return np.hypot(self.mean, self.sd())

    def second(self) -> Float[np.ndarray, "c c"]:
        """Means over rows of products of columns, not centred."""
        return self.covariance() + np.outer(self.mean, self.mean)

    def root(self) -> Float[np.ndarray, "r c"]:
        """A few rows with the same products, root'root = `second`.

        Its QR gives what that of all rows gives; unlike a root of `second` it does not
        suffer from means that are large against the SDs.
        """
        if self.near is not None:
            few = self.near.moments.root()[1:]
            return np.vstack([self.mean, np.linalg.solve(self.near.turn.T, few.T).T])
        spread = self.sd()
        unit = np.where(spread > 0.0, spread / self.unit, 1.0)
        products = self.products / unit / unit[:, None]
        values, vectors = np.linalg.eigh(products / max(self.n, 1))
        centred = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T * spread
        return np.vstack([self.mean, centred])

    @property
    def size(self) -> Float[np.ndarray, " c"]:
        """Largest absolute value of each column."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    @property
    def constant(self) -> Bool[np.ndarray, " c"]:
        """Which columns do not vary."""
        return self.low == self.high

    @property
    def far(self) -> Bool[np.ndarray, " c"]:
        """Which columns are far from zero, beside the range of their values."""
        return self.size > FAR * (self.high - self.low)

    @property
    def step(self) -> Float[np.ndarray, " c"]:
        """Distance of neighbouring doubles at the size of each column."""
        return np.spacing(self.size)


@dataclass(frozen=True, slots=True)
class Near:
    """Moments of ``(X - origin) turn``, combinations of columns that lie near zero.

    ``x^3`` at 2006 is 8e9 and varies by 1e7, nearly as x does: what it adds to x and
    ``x^2``, some tens, is gone from sums of its squares, but not from those of
    ``(x - m)^3``.

    Attributes
    ----------
    origin : ndarray, shape (c,)
        Taken off the columns.
    turn : ndarray, shape (c, c)
        The combinations; an inverse exists.
    moments : ColumnMoments
        Those of the combinations.
    """

    origin: Float[np.ndarray, " c"]
    turn: Float[np.ndarray, "c c"]
    moments: ColumnMoments

    def __add__(self, other: "Near") -> "Near":
        """That of the rows of both, in the combinations of the first."""
        step = (other.origin - self.origin) @ self.turn
        own = other.moments.combined(np.linalg.solve(other.turn, self.turn))
        return replace(self, moments=self.moments + own.moved(step))


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of the response, of X and of every bar term over the rows used.

    Attributes
    ----------
    y : ColumnMoments
        The response, one column.
    net : ColumnMoments
        The response less the offset.
    X : ColumnMoments
        Fixed-effect columns.
    Z : tuple of ColumnMoments
        Columns that vary, for each bar term.
    sizes : tuple of ndarray, shape (J,)
        Rows of each level, for each bar term.
    multiplied : ColumnMoments
        Numeric variables that are multiplied in X or Z.
    cells : mapping
        Number of combinations of levels that occur, by a pair of grouping factors;
        empty where the rows are in memory to count them.
    """

    y: ColumnMoments
    net: ColumnMoments
    X: ColumnMoments
    Z: tuple[ColumnMoments, ...]
    sizes: tuple[Int[np.ndarray, " _j"], ...]
    multiplied: ColumnMoments
    cells: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def __add__(self, other: "Moments") -> "Moments":
        """Moments of the rows of both, which must have the same levels."""
        return Moments(
            self.y + other.y,
            self.net + other.net,
            self.X + other.X,
            tuple(a + b for a, b in zip(self.Z, other.Z, strict=True)),
            tuple(a + b for a, b in zip(self.sizes, other.sizes, strict=True)),
            self.multiplied + other.multiplied,
        )


def near_moments(
    columns: Float[np.ndarray, "n c"],
    origin: Float[np.ndarray, " c"],
    turn: Float[np.ndarray, "c c"],
) -> ColumnMoments:
    """Moments of columns with those of combinations that lie near zero; see `Near`."""
    near = Near(origin, turn, column_moments((columns - origin) @ turn))
    return replace(column_moments(columns), near=near)


def column_moments(columns: Float[np.ndarray, "n c"]) -> ColumnMoments:
    """Moments of the columns of an array.

    Parameters
    ----------
    columns : ndarray, shape (n, c)
        Values; n at least 1 unless c is 0.

    Returns
    -------
    ColumnMoments
        In the units of the columns.
    """
    n, c = columns.shape
    if n > 2 * CHUNK:
        return _moments_of_chunks(columns)
    if not n or not c:
        return ColumnMoments(
            n,
            np.zeros(c),
            np.zeros((c, c)),
            np.full(c, np.inf),
            np.full(c, -np.inf),
            np.ones(c),
            np.ones(c, bool),
        )
    rows = np.ascontiguousarray(columns.T)  # runs along memory, several times faster
    low, high = rows.min(axis=1), rows.max(axis=1)
    varies = np.flatnonzero(low < high)
    low, high = low.astype(float), high.astype(float)
    mean, products = low.copy(), np.zeros((c, c))
    size = np.maximum(np.abs(low), np.abs(high))
    unit, whole = _units(size), (low < high) | (low % 1.0 == 0.0)
    if len(varies):
        some = rows if len(varies) == c else rows[varies]
        own = unit[varies]
        if (own != 1.0).any():
            some = some / own[:, None]
        mean[varies] = some.mean(axis=1)
        deviations = some - mean[varies, None]
        products[np.ix_(varies, varies)] = _products(deviations)
        far = (size > FAR * (high - low))[varies]
        if far.any():
            rest = np.where(far, deviations.mean(axis=1), 0.0)  # rounding of the mean
            products[np.ix_(varies, varies)] -= n * np.outer(rest, rest)
            mean[varies] += rest
            whole[varies[far]] = (rows[varies[far]] % 1.0 == 0.0).all(axis=1)
        mean[varies] *= own
    return ColumnMoments(n, mean, products, low, high, unit, whole)


def _moments_of_chunks(columns: Float[np.ndarray, "n c"]) -> ColumnMoments:
    """The same of many rows: runs that stay in the cache, in threads.

    Columns that lie off zero are counted from their first value, which loses nothing:
    means of runs that are added up would be rounded at the size of the values.
    """
    n, first = len(columns), column_moments(columns[:CHUNK])
    off = first.size > np.maximum(OFF * (first.high - first.low), 1.0)  # not 0 and 1
    origin = np.where(off, columns[0], 0.0)
    threads = min(os.cpu_count() or 1, n // (2 * CHUNK))
    edges = np.linspace(0, n, threads + 1).astype(int).tolist()

    def run(start: int, stop: int) -> ColumnMoments:
        """Moments of some rows, counted so."""
        if not off.any():
            return column_moments(columns[start:stop])
        values = columns[start:stop] - origin
        found = column_moments(values)
        return replace(found, whole=(values % 1.0 == 0.0).all(axis=0))

    def part(start: int, stop: int) -> ColumnMoments:
        """Moments of the rows of a thread."""
        runs = range(start, stop, CHUNK)
        return reduce(operator.add, (run(a, min(a + CHUNK, stop)) for a in runs))

    with ThreadPoolExecutor(threads) as pool:
        found = reduce(operator.add, pool.map(part, edges[:-1], edges[1:]))
    if not off.any():
        return found
    found = found.moved(origin)
    asked = found.far | found.constant
    return replace(found, whole=(found.whole & (origin % 1.0 == 0.0)) | ~asked)


def combined_moments(
    moments: ColumnMoments,
    rows: Float[np.ndarray, "n c"] | None,
    turn: Float[np.ndarray, "c c"] | None,
) -> ColumnMoments:
    """Moments of combined columns, from the rows where they are in memory."""
    if turn is None:
        return moments
    if rows is None:
        return moments.combined(turn)
    found = column_moments((rows - moments.mean) @ turn)
    return found.moved(moments.mean @ turn)


def _units(size: Float[np.ndarray, " c"]) -> Float[np.ndarray, " c"]:
    """1 for columns whose squares are ordinary numbers, else the power of two below."""
    usual = (size == 0.0) | ((size >= 1.0 / LARGE) & (size <= LARGE))
    if usual.all():
        return np.ones(len(size))
    return np.where(usual, 1.0, np.exp2(np.floor(np.log2(np.where(usual, 1.0, size)))))


def _products(rows: Float[np.ndarray, "c n"]) -> Float[np.ndarray, "c c"]:
    """Products of every two rows; few rows without BLAS.

    Its threads, one set for each thread that reads, take longer to meet than to work.
    """
    if len(rows) > MOST_WITHOUT_BLAS:
        return rows @ rows.T
    return np.einsum("ir,jr->ij", rows, rows)
