"""Patterns of the inverse covariance of the residuals, and what is summed for each.

Takes a `ResidualStructure` with its rows; gives the `Pattern` list. A pattern is a
signed sum of *folds*, sparse matrices T of which each row adds up a few rows of the
data, all of one series: ``S = sum +-T'T``. So its cross-products are those of folded
rows, summed as rows always are, and products of neighbours come by ``2 a b = a**2 +
b**2 - (a - b)**2``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from bayeslmm.design.residual import ResidualRows, ResidualStructure, Series
from bayeslmm.marginal.kernels.patterns import (
    ALL,
    ENDS,
    EVEN,
    LAG,
    TOTAL,
    pattern_weights,
)

Codes = Int[np.ndarray, " n"]
# Positions of some rows.
Places = Int[np.ndarray, " a"]


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows of the data that are added up to one each, with their factors."""

    T: csr_array

    @property
    def first(self) -> Places:
        """A row of the data in each folded row."""
        return self.T.indices[self.T.indptr[:-1]]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern: its kind and number, its strata, its signed folds.

    ``count`` is how often the determinant has it.
    """

    kind: int
    number: float
    strata: tuple[int, int]
    folds: tuple[tuple[float, Fold], ...]
    count: float = 0.0


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of the patterns at a point, shape (P,), with their slopes (r, P).

    ``log_det`` is that of R, with its slopes (r,).
    """

    values: Float[np.ndarray, " p"]
    slopes: Float[np.ndarray, "r p"]
    log_det: float
    log_det_slopes: Float[np.ndarray, " r"]


@dataclass(frozen=True, slots=True)
class Law:
    """What turns coordinates into weights; see the kernels.

    Attributes
    ----------
    patterns : ndarray, shape (P, 5)
        Kind, number, strata and count of each pattern.
    counts : ndarray, shape (s,)
        Rows of each stratum; without strata one that nothing asks of.
    low : float
        Least rho.
    size : int
        Number r of coordinates.
    """

    patterns: Float[np.ndarray, "p 5"]
    counts: Float[np.ndarray, " s"]
    low: float
    size: int

    def at(self, x: Float[np.ndarray, " r"]) -> Weights:
        """Weights at coordinates x."""
        n = len(self.patterns)
        values, slopes = np.empty(n), np.empty((self.size, n))
        log_det_slopes = np.empty(self.size)
        log_det = pattern_weights(
            *(np.ascontiguousarray(x), self.patterns, self.counts, self.low),
            *(values, slopes, log_det_slopes),
        )
        return Weights(values, slopes, log_det, log_det_slopes)


def make_law(
    structure: ResidualStructure, rows: ResidualRows, patterns: list[Pattern]
) -> Law:
    """The law of the weights of the patterns of some rows."""
    table = [(p.kind, p.number, *p.strata, p.count) for p in patterns]
    counts = [0.0] if rows.stratum is None else np.bincount(rows.stratum)
    low = -1.0 if structure.series is None else structure.series.low
    size = len(structure.parameters)
    return Law(np.array(table, float), np.array(counts, float), low, size)


def find_patterns(structure: ResidualStructure, rows: ResidualRows) -> list[Pattern]:
    """The patterns of all rows."""
    known = next(a for a in (rows.stratum, rows.series) if a is not None)
    n, series = len(known), structure.series
    stratum = np.zeros(n, np.int64) if rows.stratum is None else rows.stratum
    if series is None or rows.series is None:
        return list(_rows(ALL, stratum, np.arange(n), n))
    if series.word == "cs":
        return list(_even(stratum, rows.series, n))
    return [*_rows(ALL, stratum, np.arange(n), n), *_lags(series, stratum, rows)]


def _rows(kind: int, stratum: Codes, at: Places, n: int) -> Iterator[Pattern]:
    """Some rows, by stratum."""
    own = stratum[at]
    for s in _occurring(own):
        fold = Fold(_selected(at[own == s], n))
        yield Pattern(kind, 0.0, (s, s), ((1.0, fold),))


def _occurring(codes: Codes) -> list[int]:
    """The different codes, rising: they are small, so that a table is quicker."""
    return np.flatnonzero(np.bincount(codes)).tolist()


def _selected(
    at: Places, n: int, factor: Float[np.ndarray, " a"] | None = None
) -> csr_array:
    """Each of some rows alone, times a factor."""
    values = np.ones(len(at)) if factor is None else factor
    return csr_array((values, at, np.arange(len(at) + 1)), shape=(len(at), n))


# --- neighbours in time ---------------------------------------------------------------


def _lags(series: Series, stratum: Codes, rows: ResidualRows) -> Iterator[Pattern]:
    """Neighbours in the order of time, by their distance and strata."""
    assert rows.series is not None, "ar1 has series"
    assert rows.time is not None, "ar1 has an order"
    n = len(stratum)
    order = np.lexsort((rows.time, rows.series))
    same = np.diff(rows.series[order]) == 0
    earlier, later = order[:-1][same], order[1:][same]
    far = series.steps(rows.time[later] - rows.time[earlier])
    for d in np.unique(far).tolist():
        own = far == d
        yield from _lag(d, stratum, earlier[own], later[own], n)


def _lag(
    d: float, stratum: Codes, earlier: Places, later: Places, n: int
) -> Iterator[Pattern]:
    """Neighbours that are d steps apart."""
    one, other = stratum[earlier], stratum[later]
    low, high = np.minimum(one, other), np.maximum(one, other)
    both = low * (int(stratum.max()) + 1) + high
    pairs = [divmod(pair, int(stratum.max()) + 1) for pair in _occurring(both)]
    among = sorted({s for pair in pairs for s in pair})
    ends = {s: _ends(earlier, later, n, stratum == s) for s in among}
    for s, fold in ends.items():
        yield Pattern(ENDS, d, (s, s), ((1.0, fold),))
    mixed = any(s != t for s, t in pairs)
    for s, t in pairs:
        own = (low == s) & (high == t)
        pair = earlier[own], later[own]
        whole = _ends(*pair, n) if mixed else ends[s]
        folds = ((1.0, whole), (-1.0, _differences(*pair, n)))
        yield Pattern(LAG, d, (s, t), folds, float(own.sum()))


def _ends(
    earlier: Places, later: Places, n: int, among: np.ndarray | None = None
) -> Fold:
    """Rows, as often as they are one of two neighbours."""
    often = np.bincount(earlier, minlength=n) + np.bincount(later, minlength=n)
    if among is not None:
        often = often * among
    at = np.flatnonzero(often)
    return Fold(_selected(at, n, np.sqrt(often[at])))


def _differences(earlier: Places, later: Places, n: int) -> Fold:
    """Later less earlier rows."""
    c = len(later)
    values = np.tile([1.0, -1.0], c)
    at = np.stack([later, earlier], axis=1).ravel()
    return Fold(csr_array((values, at, np.arange(0, 2 * c + 1, 2)), shape=(c, n)))


# --- levels with one correlation ------------------------------------------------------


def _even(stratum: Codes, series: Codes, n: int) -> Iterator[Pattern]:
    """Rows of levels of several, totals of levels by size and strata; other rows."""
    sizes = np.bincount(series)
    alone = np.flatnonzero(sizes[series] == 1)
    yield from _rows(ALL, stratum, alone, n)
    yield from _rows(EVEN, stratum, np.flatnonzero(sizes[series] > 1), n)
    first = np.full(len(sizes), -1)
    first[series[::-1]] = stratum[::-1]
    for m in np.unique(sizes[sizes > 1]).astype(float).tolist():
        inside = sizes[series] == m
        there = np.unique(stratum[inside]).tolist()
        for s in there:
            levels = float(((sizes == m) & (first == s)).sum())
            fold = _totals(series, inside & (stratum == s), n)
            yield Pattern(TOTAL, m, (s, s), ((1.0, fold),), levels)
        for s, t in combinations(there, 2):
            yield from _mixed(m, (s, t), stratum, series, inside, n)


def _mixed(
    m: float,
    pair: tuple[int, int],
    stratum: Codes,
    series: Codes,
    inside: np.ndarray,
    n: int,
) -> Iterator[Pattern]:
    """Products of the totals of two strata in the levels that have both."""
    one, other = (inside & (stratum == s) for s in pair)
    both = np.intersect1d(series[one], series[other])
    if not len(both):
        return
    shared = np.isin(series, both)
    parts = [(1.0, one | other), (-1.0, one), (-1.0, other)]
    folds = [(sign, _totals(series, rows & shared, n)) for sign, rows in parts]
    yield Pattern(TOTAL, m, pair, tuple(folds))


def _totals(series: Codes, rows: np.ndarray, n: int) -> Fold:
    """Sums of some rows by level."""
    at = np.flatnonzero(rows)
    at = at[np.argsort(series[at], kind="stable")]
    edges = np.flatnonzero(np.diff(series[at])) + 1
    indptr = np.concatenate([[0], edges, [len(at)]])
    return Fold(csr_array((np.ones(len(at)), at, indptr), shape=(len(indptr) - 1, n)))
