"""What the residuals of a model are like: strata with SDs, series with correlations.

The residual of row i is ``sigma ratio_s(i) u_i``, and the u of the rows of one series
are correlated: ``rho`` for any two (cs), ``rho**d`` for two that are d steps apart
(ar1). Takes the factors of ``residual=`` and codes of the rows; gives a
`ResidualStructure`, which is known of all rows, and `ResidualRows`, which are theirs.
Needs numpy only.

References
----------
.. [1] Pinheiro and Bates (2000). Mixed-Effects Models in S and S-PLUS, chapter 5.
   https://doi.org/10.1007/b98882
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.space import POSITIVE, Parameter, entry_label

RATIO, RHO = "sigma_ratio", "rho"
# Decimals of gaps, in steps, beyond which they are equal: clock times are rounded.
DIGITS = 6

Places = Int[np.ndarray, " m"]


@dataclass(frozen=True, slots=True)
class ResidualRows:
    """Stratum, series and time of each row; None where the structure has none.

    Attributes
    ----------
    stratum : ndarray of int, shape (n,), or None
        Level of the factor of ``varident``.
    series : ndarray of int, shape (n,), or None
        Level of the factor of ``cs`` or ``ar1``.
    time : ndarray, shape (n,), or None
        When the row was, units of the column.
    """

    stratum: Int[np.ndarray, " n"] | None = None
    series: Int[np.ndarray, " n"] | None = None
    time: Float[np.ndarray, " n"] | None = None

    def take(self, places: Int[np.ndarray, " m"] | slice) -> "ResidualRows":
        """Some of the rows."""
        own = (self.stratum, self.series, self.time)
        return ResidualRows(*(None if a is None else a[places] for a in own))


@dataclass(frozen=True, slots=True)
class Strata:
    """``varident(group)``: an SD for each level, ratios to the first; rows of each."""

    group: str
    levels: tuple[str, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """``cs(group)`` or ``ar1(time | group)``: correlations of rows of one level.

    Attributes
    ----------
    word : {"cs", "ar1"}
        Which.
    group : str
        Grouping factor.
    levels : tuple of str
        Its levels.
    time : str
        Column that orders the rows; empty for cs.
    step : float
        Time from which one row is correlated by rho with another, units of `time`.
    regular : bool
        Whether all gaps are whole steps: then rho may be negative.
    largest : int
        Rows of the longest series.
    within : tuple of str
        Grouping factors of bar terms in whose levels each series lies.
    """

    word: Literal["cs", "ar1"]
    group: str
    levels: tuple[str, ...]
    time: str = ""
    step: float = 1.0
    regular: bool = True
    largest: int = 2
    within: tuple[str, ...] = ()

    @property
    def low(self) -> float:
        """Least correlation that the series may have."""
        if self.word == "cs":
            return -1.0 / (self.largest - 1)
        return -1.0 if self.regular else 0.0

    def steps(self, far: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Times between rows in steps; those that differ by rounding are equal."""
        return np.round(far / self.step, 0 if self.regular else DIGITS)

    @property
    def words(self) -> str:
        """What rho is, for a sentence."""
        rows = f"residuals of one {self.group}"
        if self.word == "cs":
            return f"the correlation of {rows}"
        step = f"{self.step:g} of {self.time}"
        return f"the correlation of {rows} that are {step} apart"


@dataclass(frozen=True, slots=True)
class ResidualStructure:
    """Strata times series; either may be missing.

    ``label`` is the structure as a reader writes it.
    """

    label: str
    strata: Strata | None = None
    series: Series | None = None
    # Not part of the value: parameters once they have been made.
    _kept: list[tuple[Parameter, ...]] = field(
        init=False, repr=False, compare=False, default_factory=list
    )

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Ratios of SDs, then rho: one coordinate each, in this order."""
        if not self._kept:
            self._kept.append((*self._ratios(), *self._rhos()))
        return self._kept[0]

    def _ratios(self) -> list[Parameter]:
        """SD of each stratum but the first, relative to that of the first."""
        if self.strata is None:
            return []
        first, *others = levels = self.strata.levels
        coords = tuple(others)
        words = "the residual SD of {} relative to that of {}"
        return [
            Parameter(
                *(entry_label(RATIO, coords, i), "sigma", RATIO, level),
                bounds=POSITIVE,
                words=words.format(level, first),
            )
            for i, level in enumerate(levels[1:])
        ]

    def _rhos(self) -> list[Parameter]:
        """The correlation."""
        own = self.series
        if own is None:
            return []
        bounds = (own.low, 1.0)
        return [Parameter(RHO, "sigma", RHO, bounds=bounds, words=own.words)]

    def natural(self, x: Float[np.ndarray, "*s r"]) -> Float[np.ndarray, "*s r"]:
        """Ratios and rho of coordinates."""
        columns = [p.natural(x[..., i]) for i, p in enumerate(self.parameters)]
        return np.stack(columns, axis=-1)

    def ratios(self, values: Float[np.ndarray, "*s r"]) -> Float[np.ndarray, "*s g"]:
        """SD of each stratum relative to sigma, from natural values."""
        own = values[..., : len(self._ratios())]
        return np.concatenate([np.ones((*own.shape[:-1], 1)), own], axis=-1)

    def scale(
        self, rows: ResidualRows, values: Float[np.ndarray, "*s r"]
    ) -> Float[np.ndarray, "*s n"] | float:
        """SD of each row relative to sigma, precision weights apart."""
        if self.strata is None or rows.stratum is None:
            return 1.0
        return self.ratios(values)[..., rows.stratum]

    def mean_square(self, values: Float[np.ndarray, "*s r"]) -> Float[np.ndarray, "*s"]:
        """Mean residual variance over the rows, in units of sigma squared."""
        if self.strata is None:
            return np.ones(values.shape[:-1])
        counts = np.array(self.strata.counts, float)
        return np.square(self.ratios(values)) @ (counts / counts.sum())

    def correlate(
        self,
        rows: ResidualRows,
        values: Float[np.ndarray, " r"],
        z: Float[np.ndarray, " n"],
    ) -> Float[np.ndarray, " n"]:
        """Standardised residuals from independent standard normals z."""
        own = self.series
        if own is None or rows.series is None:
            return z
        if rows.time is None:
            mean, size = _level_means(rows.series, z)
            whole = np.sqrt(1.0 + (size - 1.0) * values[-1])
            return np.sqrt(1.0 - values[-1]) * (z - mean) + whole * mean
        found = z.copy()
        for at, before, r in _neighbours(own, rows, values[-1]):
            found[at] = r * found[before] + np.sqrt(1.0 - r * r) * z[at]
        return found

    def whiten(
        self,
        rows: ResidualRows,
        values: Float[np.ndarray, " r"],
        e: Float[np.ndarray, " n"],
    ) -> Float[np.ndarray, " n"]:
        """Inverse of `correlate`: each residual given those before it in its series."""
        own = self.series
        if own is None or rows.series is None:
            return e
        if rows.time is None:
            mean, size = _level_means(rows.series, e)
            whole = np.sqrt(1.0 + (size - 1.0) * values[-1])
            return (e - mean) / np.sqrt(1.0 - values[-1]) + mean / whole
        found = e.copy()
        for at, before, r in _neighbours(own, rows, values[-1]):
            found[at] = (e[at] - r * e[before]) / np.sqrt(1.0 - r * r)
        return found

    def matrix(
        self,
        rows: ResidualRows,
        values: Float[np.ndarray, " r"],
        weights: Float[np.ndarray, " n"] | None = None,
    ) -> Float[np.ndarray, "n n"]:
        """Covariance of the residuals of some rows, in units of sigma squared.

        Parameters
        ----------
        rows : ResidualRows
            The rows.
        values : ndarray, shape (r,)
            Natural values of `parameters`: ratios, then rho.
        weights : ndarray, shape (n,), optional
            Precision weights.

        Returns
        -------
        ndarray, shape (n, n)
            R: the covariance of the residuals is ``sigma**2 R``.
        """
        n = len(next(a for a in (rows.stratum, rows.series) if a is not None))
        R, own = np.eye(n), self.series
        if own is not None and rows.series is not None:
            same = rows.series[:, None] == rows.series
            R = np.where(same, values[-1], 0.0)
            if rows.time is not None:
                far = own.steps(np.abs(rows.time[:, None] - rows.time))
                R = np.where(same, np.power(values[-1], np.where(same, far, 0)), 0.0)
            np.fill_diagonal(R, 1.0)
        sd = self.scale(rows, values) * np.ones(n)
        if weights is not None:
            sd = sd / np.sqrt(weights)
        return R * np.outer(sd, sd)


def _level_means(
    codes: Int[np.ndarray, " n"], values: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Mean of the values of each row's level, and the number of its rows."""
    size = np.bincount(codes)
    total = np.bincount(codes, values)
    return (total / np.maximum(size, 1))[codes], size[codes].astype(float)


def previous_rows(rows: ResidualRows) -> Int[np.ndarray, " n"]:
    """The row just before each in time in its series, -1 for the first."""
    assert rows.series is not None, "ar1 has series"
    assert rows.time is not None, "ar1 has an order"
    order = np.lexsort((rows.time, rows.series))
    same = np.diff(rows.series[order]) == 0
    found = np.full(len(order), -1)
    found[order[1:][same]] = order[:-1][same]
    return found


def _neighbours(
    series: Series, rows: ResidualRows, rho: float
) -> Iterator[tuple[Places, Places, Float[np.ndarray, " m"]]]:
    """Rows that are second of their series, then third ...: with those just before.

    Last is the correlation of the two.
    """
    assert rows.series is not None, "ar1 has series"
    assert rows.time is not None, "ar1 has an order"
    order = np.lexsort((rows.time, rows.series))
    first = np.flatnonzero(np.diff(rows.series[order], prepend=-1))
    sizes = np.diff(first, append=len(order))
    for step in range(1, int(sizes.max(initial=0))):
        at = first[sizes > step] + step
        now, before = order[at], order[at - 1]
        far = series.steps(rows.time[now] - rows.time[before])
        yield now, before, np.power(rho, far)
