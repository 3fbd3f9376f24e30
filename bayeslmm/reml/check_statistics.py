"""Statistics of departures from the model's assumptions, of many responses at once.

Takes `Standard` residuals and effects, a row for each response; gives a number for
each. None of them depends on the size of sigma or of the SDs, so that what is compared
with responses of the estimated model is their shape.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from scipy.special import log_ndtr

from bayeslmm.design.arrays import Design
from bayeslmm.marginal.standardizing import Standard

# Levels without which nothing is said of the shape of their effects.
FEWEST_LEVELS = 10
# Rows of a level from which it has a scale and an order of its own.
ROWS_OF_A_SCALE, ROWS_OF_A_SERIES = 2, 3.0

Codes = Int[np.ndarray, " n"]
Pairs = Int[np.ndarray, " d"]
Values = Float[np.ndarray, " s"]


@dataclass(frozen=True, slots=True)
class Statistic:
    """One departure.

    Attributes
    ----------
    check : str
        What is looked at: ``"normality"``, ``"scale"``, ``"outliers"``,
        ``"autocorrelation"``.
    of : str
        Of what: ``"residuals"``, ``"Subject: Days"``, ``"fitted values"``.
    name : str
        The statistic in a word or two.
    value : callable
        Its value for each response.
    centred : bool
        Whether it departs to both sides of what the model makes.
    """

    check: str
    of: str
    name: str
    value: Callable[[Standard], Values]
    centred: bool = False


def statistics(
    design: Design, codes: tuple[Codes, ...], series: tuple[str, Pairs, Pairs] | None
) -> list[Statistic]:
    """What can be looked at in a design.

    Parameters
    ----------
    design : Design
        Bar terms and levels.
    codes : tuple of ndarray of int, shape (n,)
        Level of each row, for each bar term.
    series : (str, ndarray, ndarray) or None
        Grouping factor and neighbours within its levels: earlier and later rows.
    """
    found = [Statistic("normality", "residuals", "A-squared", residual_normality)]
    for t, term in enumerate(design.groups):
        if term.n_levels < FEWEST_LEVELS:
            continue
        found += [
            Statistic(
                "normality", f"{term.group}: {effect}", "A-squared", _of_effect(t, k)
            )
            for k, effect in enumerate(term.effects)
        ]
    found.append(Statistic("outliers", "residuals", "largest, SDs", largest))
    found.append(
        Statistic("scale", "fitted values", "corr with |r|", scale_trend, True)
    )
    for group, own in grouped(design, codes).items():
        sizes = np.bincount(own)
        if (sizes >= ROWS_OF_A_SCALE).sum() > 1:
            found.append(Statistic("scale", group, "share of |r|", _by_level(own)))
    if series is not None:
        group, before, after = series
        found.append(
            Statistic(
                "autocorrelation", group, "lag-1 corr", _neighbours(before, after), True
            )
        )
    return found


def grouped(design: Design, codes: tuple[Codes, ...]) -> dict[str, Codes]:
    """Levels of the rows by each grouping factor."""
    found: dict[str, Codes] = {}
    for term, own in zip(design.groups, codes, strict=True):
        found.setdefault(term.group, own)
    return found


# --- the statistics -------------------------------------------------------------------


def anderson_darling(values: Float[np.ndarray, "s m"]) -> Values:
    """Anderson and Darling's A-squared with mean and SD of the values themselves.

    References
    ----------
    .. [1] Stephens (1974). EDF statistics for goodness of fit. J. Am. Stat. Assoc.
       69(347). https://doi.org/10.1080/01621459.1974.10480196
    """
    m = values.shape[1]
    z = np.sort(values, axis=1)
    z = (z - z.mean(axis=1)[:, None]) / z.std(axis=1, ddof=1)[:, None]
    weight = (2.0 * np.arange(1, m + 1) - 1.0) / m
    return -m - (log_ndtr(z) + log_ndtr(-z[:, ::-1])) @ weight


def residual_normality(seen: Standard) -> Values:
    """A-squared of the standardised residuals."""
    return anderson_darling(seen.residual)


def largest(seen: Standard) -> Values:
    """Largest standardised residual."""
    return np.abs(seen.residual).max(axis=1)


def scale_trend(seen: Standard) -> Values:
    """Correlation of the size of the residuals with the fitted values.

    References
    ----------
    .. [1] Glejser (1969). J. Am. Stat. Assoc. 64(325).
       https://doi.org/10.1080/01621459.1969.10500976
    """
    size, fitted = np.abs(seen.residual), seen.fitted
    size = size - size.mean(axis=1)[:, None]
    fitted = fitted - fitted.mean(axis=1)[:, None]
    both = np.sqrt((size**2).sum(axis=1) * (fitted**2).sum(axis=1))
    return (size * fitted).sum(axis=1) / np.where(both > 0.0, both, np.inf)


def _by_level(codes: Codes) -> Callable[[Standard], Values]:
    """Share of the variance of the residuals' sizes that is between levels: Levene's.

    References
    ----------
    .. [1] Brown and Forsythe (1974). J. Am. Stat. Assoc. 69(346).
       https://doi.org/10.1080/01621459.1974.10482955
    """
    n, sizes = len(codes), np.bincount(codes)
    adding = csr_matrix((np.ones(n), (np.arange(n), codes)))

    def share(seen: Standard) -> Values:
        size = np.abs(seen.residual)
        size = size - size.mean(axis=1)[:, None]
        between = (size @ adding) ** 2 / sizes
        return between.sum(axis=1) / (size**2).sum(axis=1)

    return share


def _neighbours(before: Pairs, after: Pairs) -> Callable[[Standard], Values]:
    """Correlation of neighbouring residuals."""

    def lag_one(seen: Standard) -> Values:
        one, other = seen.residual[:, before], seen.residual[:, after]
        size = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
        return (one * other).sum(axis=1) / size

    return lag_one


def _of_effect(t: int, k: int) -> Callable[[Standard], Values]:
    """A-squared of one random effect over the levels of which something is known."""

    def normality(seen: Standard) -> Values:
        own = seen.effects[t][:, :, k]
        known = np.isfinite(own).all(axis=0)
        if known.sum() < FEWEST_LEVELS:
            return np.full(len(own), np.nan)
        return anderson_darling(own[:, known])

    return normality


def neighbours(codes: Codes, order: Codes) -> tuple[Pairs, Pairs]:
    """Rows that follow each other within a level: the earlier and the later ones.

    ``order`` has the place of each row in time.
    """
    rows = np.lexsort((order, codes))
    same = codes[rows[1:]] == codes[rows[:-1]]
    return rows[:-1][same], rows[1:][same]
