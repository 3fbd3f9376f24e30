"""A small picture of both intervals for each row of the table of estimates.

Takes the table of `compare`; gives a drawing for each row. Rows of one section share a
scale where that leaves all of them wide enough to be seen; others have their own, with
ticks.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from bayeslmm.comparison.table import Row
from bayeslmm.reporting.svg import (
    Scale,
    Sheet,
    axis_below,
    dot,
    line,
    named,
    padded,
    round_values,
)
from bayeslmm.tables.numbers import row as in_row

if TYPE_CHECKING:
    import pandas as pd

WIDTH, ROW, AXIS = 200.0, 30.0, 18.0  # pixels: of a picture, of its row, of ticks
MARGIN = 14.0  # pixels beside the scale, for words of ticks
NARROWEST = 1.0 / 14.0  # of a shared scale: an interval that is narrower is not seen
SQUEEZED = 0.2  # of a scale with 0: intervals that are narrower have one without
ENDS = ("reml", "reml_lower", "reml_upper", "median", "lower", "upper")


@dataclass(frozen=True, slots=True)
class Span:
    """Ends of the scale of a row; whether other rows share it, and ticks are below."""

    low: float
    high: float
    shared: bool
    ticks: bool


def spans(table: "pd.DataFrame") -> dict[str, Span]:
    """The scale of each row of the table of `compare`."""
    found: dict[str, Span] = {}
    for component, own in table.groupby("component", sort=False):
        rows = {str(label): _known(one) for label, one in own.iterrows()}
        if component == "corr":
            found |= _shared(rows, (-1.0, 1.0))
            continue
        alone = [k for k in rows if k == "Intercept" or component == "sigma"]
        others = {k: v for k, v in rows.items() if k not in alone}
        fits = _fits_together(others, component == "sd")
        found |= {k: _own(rows[k]) for k in alone}
        if fits is not None:
            found |= _shared(others, fits)
        else:
            found |= {k: _own(v) for k, v in others.items()}
    return found


def _known(one: Row) -> list[float]:
    """Points and ends of a row that are there."""
    values = [float(one[name]) for name in ENDS if name in one]
    return [value for value in values if math.isfinite(value)]


def _shared(rows: dict[str, list[float]], ends: tuple[float, float]) -> dict[str, Span]:
    """One scale for all rows, ticks below the last."""
    last = next(reversed(rows)) if rows else ""
    return {k: Span(*ends, shared=True, ticks=k == last) for k in rows}


def _own(values: list[float]) -> Span:
    """A scale for one row; 0 is on it unless it would squeeze the intervals."""
    low, high = padded(values)
    held = padded([*values, 0.0])
    if high - low >= SQUEEZED * (held[1] - held[0]):
        low, high = held
    return Span(low, high, shared=False, ticks=True)


def _fits_together(
    rows: dict[str, list[float]], positive: bool
) -> tuple[float, float] | None:
    """Ends of one scale for all rows, None where some would hardly be seen."""
    values = [value for own in rows.values() for value in own]
    if len(rows) < 2 or not values:
        return None
    low, high = padded(values)
    held = padded([*values, 0.0])
    if positive or high - low >= SQUEEZED * (held[1] - held[0]):
        low, high = held
    widths = [max(own) - min(own) for own in rows.values() if len(own) > 1]
    if any(width < NARROWEST * (high - low) for width in widths if width > 0.0):
        return None
    return low, high


def interval_pictures(table: "pd.DataFrame", sheet: Sheet) -> dict[str, Markup]:
    """A drawing of the intervals of each row, with what is seen in words.

    Parameters
    ----------
    table : DataFrame
        What `compare` gives; columns of one fit may be missing.
    sheet : Sheet
        Of the page.

    Returns
    -------
    dict of Markup
        By label.
    """
    places = spans(table)
    return {
        str(label): _picture(str(label), one, places[str(label)], table.attrs, sheet)
        for label, one in table.iterrows()
    }


def _picture(
    label: str, one: Row, span: Span, names: Mapping[Any, Any], sheet: Sheet
) -> Markup:
    """Both intervals of one row on its scale."""
    across = Scale(span.low, span.high, MARGIN, WIDTH - MARGIN)
    ticks = round_values(span.low, span.high, 2 if span.high > 1e4 else 3)
    marks = [line(across(v), 0.0, across(v), ROW, "guide") for v in ticks]
    if across.holds(0.0):
        marks.append(line(across(0.0), 0.0, across(0.0), ROW, "zero"))
    sides = [side for side in ("reml", "posterior") if _point(one, side) is not None]
    for i, side in enumerate(sides):
        y = ROW * (0.5 if len(sides) == 1 else (0.32, 0.68)[i])
        marks += _interval(one, side, across, y)
    height = ROW
    if span.ticks:
        height += AXIS
        marks.append(axis_below(across, ROW, named(ticks)))
    words = f"{label}: {words_of(one, names)}"
    return sheet.draw((WIDTH, height), marks, words)


def _interval(one: Row, side: str, across: Scale, y: float) -> list[Markup]:
    """Line and dot of one side."""
    point, lower, upper = _numbers(one, side)
    marks = []
    if math.isfinite(lower) and math.isfinite(upper):
        marks.append(line(across(lower), y, across(upper), y, f"{side} bar"))
    marks.append(dot(across(point), y, 3.6, f"{side} point"))
    return marks


def _numbers(one: Row, side: str) -> tuple[float, float, float]:
    """Point and ends of one side."""
    names = ("reml", "reml_lower", "reml_upper")
    names = names if side == "reml" else ("median", "lower", "upper")
    point, lower, upper = (float(one[name]) for name in names)
    return point, lower, upper


def _point(one: Row, side: str) -> float | None:
    """Point of one side, None where there is none."""
    if ("reml" if side == "reml" else "median") not in one:
        return None
    point = _numbers(one, side)[0]
    return point if math.isfinite(point) else None


def words_of(one: Row, names: Mapping[Any, Any]) -> str:
    """What the picture of a row shows."""
    said = []
    for side, method, interval in (
        ("reml", names["method"], names["reml_interval"]),
        ("posterior", "posterior median", names["interval"]),
    ):
        if _point(one, side) is None:
            continue
        point, lower, upper = _numbers(one, side)
        scale = float(one["reml_se" if side == "reml" else "sd"])
        shown = in_row((point, lower, upper), scale)
        if math.isfinite(lower) and math.isfinite(upper):
            side_of = "; 0 inside" if lower <= 0.0 <= upper else ""
            said.append(
                f"{method} {shown[0]}, {interval} {shown[1]} to {shown[2]}{side_of}"
            )
        else:
            said.append(f"{method} {shown[0]}, no interval")
    return "; ".join(said) or "no estimate"
