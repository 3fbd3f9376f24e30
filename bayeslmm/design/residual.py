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

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.space import POSITIVE, Parameter, entry_label

RATIO, RHO = "sigma_ratio", "rho"
# Decimals of gaps, in steps, beyond which they are equal: clock times are rounded.
DIGITS = 6


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


@dataclass(frozen=True, slots=True)
class Strata:
    """``varident(group)``: an SD for each level; ratios are to the first."""

    group: str
    levels: tuple[str, ...]


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
        group, coords = self.strata.group, tuple(others)
        words = "the residual SD of {} relative to that of {}"
        return [
            Parameter(
                *(entry_label(RATIO, coords, i), "sigma", RATIO, level, group),
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
        given = (RHO, "sigma", RHO, None, own.group)
        return [Parameter(*given, bounds=bounds, words=own.words)]

    def ratios(self, values: Float[np.ndarray, " r"]) -> Float[np.ndarray, " s"]:
        """SD of each stratum relative to sigma, from natural parameters."""
        n = len(self._ratios())
        return np.append(1.0, values[:n])

    def natural(self, x: Float[np.ndarray, "*s r"]) -> Float[np.ndarray, "*s r"]:
        """Ratios and rho of coordinates."""
        columns = [p.natural(x[..., i]) for i, p in enumerate(self.parameters)]
        return np.stack(columns, axis=-1)

    def scale(
        self, rows: ResidualRows, values: Float[np.ndarray, " r"]
    ) -> Float[np.ndarray, " n"] | float:
        """SD of each row relative to sigma, precision weights apart."""
        if self.strata is None or rows.stratum is None:
            return 1.0
        return self.ratios(values)[rows.stratum]

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
