"""What a pooling table says, in sentences that are computed from it.

A sentence is said only where its numbers hold; the thresholds are at the top.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from bayeslmm.comparison.lrt import anova
from bayeslmm.tables import Sentences
from bayeslmm.tables.numbers import counted, degrees, p_value, significant

if TYPE_CHECKING:
    from bayeslmm.reml.fit import RemlFit

FEW_DF = 4.0  # a 95% interval of t is then over 1.4 times that of the Normal
APART = 2.0  # SEs of the slope within levels; less is no bias that could be told
CLOSE = 0.25  # SEs between two estimates that say the same
LEVEL = 0.05  # of tests, where readers draw a line


class SlopeTest(NamedTuple):
    """F test of one slope for all levels: F, both degrees of freedom, p."""

    value: float
    df: float
    left: float
    p: float


class Told(NamedTuple):
    """All that the sentences are computed from."""

    table: pd.DataFrame
    group: str
    predictor: str
    slopes: SlopeTest
    fits: "Mapping[str, RemlFit]"

    def of(self, model: str, column: str = "Coef") -> float:
        """One number of the table."""
        return float(self.table.loc[model, column])  # pyright: ignore[reportArgumentType]


def conclusions(told: Told) -> Sentences:
    """The sentences that hold."""
    said = (_bias(told), _means(told), _pooling(told), _equal(told), _worth(told))
    return Sentences(one for one in said if one)


def _bias(told: Told) -> str:
    """Whether leaving out the levels changes the slope, and how noisy it makes it."""
    all_rows, within = told.of("LM-Global"), told.of("ANCOVA-Inter")
    apart = abs(all_rows - within) / told.of("ANCOVA-Inter", "se")
    if not np.isfinite(apart):
        return ""
    noise = told.of("LM-Global", "RMSE") / told.of("ANCOVA-Inter", "RMSE")
    noisy = f" and leaves a residual SD {noise:.1f} times as large"
    if apart < APART:
        return (
            f"Ignoring {told.group} gives {told.predictor} {significant(all_rows)}, "
            f"within levels it is {significant(within)}, {apart:.1f} SE away: no bias "
            f"that these rows could tell, but it takes rows as independent{noisy}."
        )
    return (
        f"Ignoring {told.group} biases the slope within levels: {told.predictor} is "
        f"{significant(all_rows)} over all rows and {significant(within)} within "
        f"levels, {apart:.1f} SE away, as it mixes in the slope between their means, "
        f"{significant(told.of('Aggregation'))}; it takes rows as independent{noisy}."
    )


def _means(told: Told) -> str:
    """What the regression of the means is of, and how little it knows."""
    between, within = told.of("Aggregation"), told.of("ANCOVA-Inter")
    df = told.of("Aggregation", "df")
    if not np.isfinite(between) or not np.isfinite(within):
        return ""
    said = (
        f"Aggregation asks another question, how the means of {told.group} go with "
        f"their mean {told.predictor}: {significant(between)} between levels against "
        f"{significant(within)} within"
    )
    if df > FEW_DF:
        return f"{said}."
    lower, upper = told.of("Aggregation", "lower"), told.of("Aggregation", "upper")
    if not np.isfinite(lower):
        return f"{said}, without any degree of freedom to say how sure."
    return (
        f"{said}, on {counted(int(df), 'degree')} of freedom: its interval runs from "
        f"{significant(lower)} to {significant(upper)}."
    )


def _pooling(told: Told) -> str:
    """Whether random intercepts and intercepts for each level agree on the slope."""
    fixed, mixed = told.of("ANCOVA-Inter"), told.of("LMM-Inter")
    apart = abs(fixed - mixed) / told.of("ANCOVA-Inter", "se")
    if not np.isfinite(apart):
        return ""
    verb = "agree on" if apart < CLOSE else "differ in"
    return (
        f"An intercept for each level and random intercepts {verb} the slope, "
        f"{significant(fixed)} and {significant(mixed)} ({apart:.2f} SE apart)."
    )


def _equal(told: Told) -> str:
    """Whether slopes differ by level, by F and by likelihood ratio."""
    one, fits = told.slopes, told.fits
    if not np.isfinite(one.p):
        return ""
    f = (
        f"F({degrees(one.df)}, {degrees(one.left)}) = {one.value:.2f}, "
        f"p {p_value(one.p)}"
    )
    ratio = anova(fits["LMM-Inter"], fits["LMM-Full"], method="REML").iloc[1]
    p = float(ratio["p_mixture"] if np.isfinite(ratio["p_mixture"]) else ratio["p"])
    lrt = f"REML likelihood ratio {ratio['chisq']:.2f}, p {p_value(p)}"
    if min(one.p, p) > LEVEL:
        words = f"Nothing says that the slopes differ by {told.group}"
    elif max(one.p, p) <= LEVEL:
        words = f"The slopes differ by {told.group}"
    else:
        words = f"The two tests disagree on whether slopes differ by {told.group}"
    return f"{words}: {f}; {lrt}."


def _worth(told: Told) -> str:
    """What the p value of the mixed model with slopes is worth."""
    z, honest = told.of("LMM-Full", "Pval"), told.of("LMM-Full", "p")
    df = told.of("LMM-Full", "df")
    if not np.isfinite(honest) or honest < 2.0 * z or df > 2 * FEW_DF:
        return ""
    drawn, also = "LMM-Full, posterior", ""
    if drawn in told.table.index:
        other = p_value(told.of(drawn, "p"))
        also = f", {other} as twice the posterior probability of the other sign"
    levels = next(iter(told.fits.values())).design.groups[0].n_levels
    return (
        f"With {counted(levels, 'level')} the SD of the slopes is barely known, and z "
        f"does not say so: p of {told.predictor} in LMM-Full is {p_value(z)} by z, "
        f"{p_value(honest)} on {degrees(df)} degrees of freedom{also}."
    )
