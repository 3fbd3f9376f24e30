"""Who moved most under partial pooling, and why: sentences computed from the table.

A level's own estimate moves by (how much it is pooled) times (how far off it is), both
compared with the usual level; rows and what they say of an effect explain the former.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm.comparison.blocks import find_block
from bayeslmm.comparison.reliance import data_gram
from bayeslmm.comparison.shrinkage import shrinkage_table
from bayeslmm.errors import check_count
from bayeslmm.reml.centred import At
from bayeslmm.tables import Sentences
from bayeslmm.tables.numbers import counted, decimals_for, listed, number

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

NOTABLE = 1.2  # times the usual level; less is no reason
EVEN = 1e-9  # SEs of the usual level: nobody moved more than rounding


def shrinkage_reading(
    reml: "RemlFit",
    post: "Posterior | None" = None,
    *,
    term: str | None = None,
    top: int = 3,
    at: At = "mean",
) -> Sentences:
    """Which levels pooling moved most, and why, in words.

    Parameters
    ----------
    reml : RemlFit
        Fit by REML or ML.
    post : Posterior, optional
        Posterior of the same model: adds how sure the pooling of a level is.
    term : str, optional
        Grouping factor (``"Subject"``) or term (``"(Days | Subject)"``); the first one
        by default.
    top : int, default 3
        Levels told of each effect.
    at : {"zero", "mean"}, default "mean"
        As for `shrinkage_table`.

    Returns
    -------
    tuple of str
        Sentences, those of each effect together; units of y per unit of the column.

    Raises
    ------
    ModelError
        If there is no such term, `top` is no count, or the fits are of different
        models.

    See Also
    --------
    shrinkage_table : The numbers of these sentences.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(3, 10, seed=1).data
    >>> reml = lmm.Model("score ~ edu + (1 | classroom)", pupils).fit_reml()
    >>> for sentence in lmm.shrinkage_reading(reml, top=1):
    ...     print(sentence)  # doctest: +ELLIPSIS
    Intercept of c01 moved most...
    """
    top = check_count(top, "top", 1)
    table = shrinkage_table(reml, post, at=at)
    block = find_block(reml.model, term)
    table = table[table["group"] == block.group]
    said = []
    own = np.einsum("jaa->ja", data_gram(reml, block))
    for i, effect in enumerate(block.effects):
        usual = np.median(own[own[:, i] > 0.0, i])  # the SE of a level's own effect
        se = reml.sigma / float(np.sqrt(usual))
        rows = table[table["effect"] == effect].reset_index(drop=True)
        said += _of_effect(rows, effect, block.group, top, se)
    return Sentences(said)


def _of_effect(
    own: pd.DataFrame, effect: str, group: str, top: int, se: float
) -> list[str]:
    """Sentences about one effect."""
    moved = (own["partial_pooling"] - own["no_pooling"]).abs()
    missing = int(moved.isna().sum())
    said = []
    if missing:
        said.append(
            f"{counted(missing, 'level')} of {group} cannot say {effect} alone: its "
            "estimate is borrowed from the others."
        )
    known = own[moved.notna()]
    if not len(known) or moved.max() <= EVEN * se:
        return said
    order = moved.dropna().sort_values(ascending=False, kind="stable").index[:top]
    for place, i in enumerate(order):
        rank = "most" if place == 0 else "next"
        said.append(_of_level(own.loc[i], known, rank, se))
    return said


def _of_level(row: pd.Series, known: pd.DataFrame, rank: str, se: float) -> str:
    """What happened to one level, and why."""
    start, stop, center = (
        float(row[c]) for c in ("no_pooling", "partial_pooling", "center")
    )
    share = (start - stop) / (start - center) if start != center else np.nan
    told = [number(value, decimals_for(se, 2)) for value in (start, stop, center)]
    sentence = (
        f"{row['effect']} of {row['level']} moved {rank}, from {told[0]} to {told[1]}"
    )
    if 0.0 <= share <= 1.0:
        way = f"{100.0 * share:.0f}% of the way"
        sentence += f", {way} to the centre at {told[2]}"
    else:
        sentence += f", with the centre at {told[2]}"
    return f"{sentence}: {_why(row, known, share)}{_how_sure(row)}."


def _why(row: pd.Series, known: pd.DataFrame, share: float) -> str:
    """Few rows, rows that say little, far away, or pulled by other effects."""
    away = (known["no_pooling"] - known["center"]).abs()
    far = abs(row["no_pooling"] - row["center"]) / max(float(away.median()), 1e-300)
    usual, n = float(known["n"].median()), int(row["n"])
    reasons = []
    # odds of pooling are the information of the usual level over that of this one
    odds = known["pooling"] / (1.0 - known["pooling"]).clip(lower=1e-12)
    own = float(row["pooling"]) / max(1.0 - float(row["pooling"]), 1e-12)
    little = own / max(float(odds.median()), 1e-300)
    fewer = usual / n
    if fewer >= NOTABLE:
        reasons.append(f"it has few rows ({n:,}, the usual level {usual:,.0f})")
    if little / max(fewer, 1.0) >= NOTABLE:
        reasons.append(
            f"its rows say little of it (by leverage {little / max(fewer, 1.0):.1f} "
            "times less than as many usual ones)"
        )
    if far >= NOTABLE:
        reasons.append(
            f"it lay {far:.1f} times as far from the centre as the usual level"
        )
    if not 0.0 <= share <= 1.0:
        reasons.append("its other effects pull it along")
    if not reasons:
        return "neither rows nor distance set it apart"
    return listed(reasons)


def _how_sure(row: pd.Series) -> str:
    """Posterior of the pooling, if there is one."""
    if "pooling_mean" not in row or not np.isfinite(row["pooling_mean"]):
        return ""
    low, high = (100.0 * float(row[f"pooling_{end}"]) for end in ("lower", "upper"))
    return f"; its rows leave {low:.0f}% to {high:.0f}% of the effect's variance"
