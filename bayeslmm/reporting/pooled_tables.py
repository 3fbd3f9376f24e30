"""What pooling did, as tables: of each effect, and of each level."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bayeslmm.reporting.tables import TextTable
from bayeslmm.tables.numbers import count, decimals_for, interval, number, row as in_row

if TYPE_CHECKING:
    from bayeslmm.reporting.facts import Shrinkage

MOST_LEVELS = 60  # with a row of their own
PERCENT = 100.0


def factors_table(own: "Shrinkage") -> TextTable:
    """How far the levels are pooled, effect by effect."""
    rows, drawn = [], own.column == "pooling_mean"
    for (group, effect), part in own.table.groupby(["group", "effect"], sort=False):
        label = f"{effect}|{group}"
        cells = [label, count(len(part))]
        for column in ("pooling", "pooling_mean")[: 1 + drawn]:
            shares = PERCENT * part[column]
            cells.append(number(float(shares.median()), 0))
            cells.append(interval(float(shares.min()), float(shares.max()), 0))
        if own.factors is not None:
            value = float(own.factors["pooling"].get(label, math.nan))
            cells.append(number(PERCENT * value, 0))
        rows.append(("", tuple(cells)))
    header = ["", "levels", f"{own.table.attrs['method']}, %", "least to most"]
    header += ["posterior, %", "least to most"] if drawn else []
    notes = [
        "pooled: share of an effect's variance that a level's own rows leave, median "
        "over levels; 0% is no pooling, 100% complete pooling"
    ]
    if drawn:
        notes.append("posterior: its mean over the draws, which knows no singular fit")
    if own.factors is not None:
        header.append("all levels together, %")
        notes.append(
            "all levels together: Gelman and Pardoe's pooling factor of the posterior"
        )
    title = "How far levels are pooled"
    return TextTable(title, tuple(header), tuple(rows), tuple(notes))


def levels_table(own: "Shrinkage") -> Iterator[TextTable]:
    """No, partial and complete pooling of each level, where levels are few."""
    for group, part in own.table.groupby("group", sort=False):
        if part["level"].nunique() > MOST_LEVELS:
            continue
        drawn = "posterior" in part.columns
        rows = []
        for effect, effects in part.groupby("effect", sort=False):
            spread = float(effects["partial_pooling"].std())
            scale = spread / 10.0 if spread > 0.0 else 1.0
            for _, one in effects.iterrows():
                values = [one["no_pooling"], one["partial_pooling"], one["center"]]
                cells = [str(one["level"]), count(one["n"]), *in_row(values, scale)]
                if drawn:
                    ends = one["lower"], one["upper"]
                    cells.append(interval(*ends, decimals_for(scale)))
                cells.append(number(PERCENT * float(one["pooling"]), 0))
                rows.append((str(effect), tuple(cells)))
        header = ["", "rows", "own", "partial pooling", "centre"]
        header += [own.table.attrs["interval"]] if drawn else []
        title = f"Every level of {group}"
        yield TextTable(title, (*header, "pooled, %"), tuple(rows))
