"""Drawings of variance components and of residuals.

Takes `ComponentPanel`s and `CheckPanels`; gives figures of a page.
"""

import math

import numpy as np
from markupsafe import Markup

from bayeslmm.comparison.check_panels import CheckPanels, Quantiles
from bayeslmm.comparison.component_curves import shown_curves
from bayeslmm.comparison.components import ComponentPanel
from bayeslmm.reporting.figure import Figure
from bayeslmm.reporting.svg import (
    Scale,
    Sheet,
    area,
    axis_below,
    axis_beside,
    curve,
    dot,
    dots,
    label,
    line,
    named,
    padded,
    short,
)
from bayeslmm.tables.numbers import number, significant

PANEL = (280.0, 226.0)  # pixels
POINTS = 160  # of a curve
FAN = {"wald": "Wald", "profile": "profile", "eti": "ETI", "hdi": "HDI"}
MOST_DOTS = 1_500


def components_figure(
    panels: list[ComponentPanel], method: str, sheet: Sheet
) -> Figure:
    """Prior, likelihood and posterior of each component, with every interval."""
    caption = (
        "What data and prior say of each variance component: prior times likelihood "
        "is the posterior (the likelihood drawn at its height). Below, 95% intervals "
        "by every method."
    )
    legend = (
        ("own path dash", "prior"),
        ("reml path", "likelihood; Wald, profile"),
        ("posterior path", "posterior; ETI, HDI"),
        ("reml guide", method),
    )
    drawn = tuple(_component(panel, method, sheet) for panel in panels)
    return Figure(caption, drawn, legend, 260)


def _component(panel: ComponentPanel, method: str, sheet: Sheet) -> Markup:
    """Curves above, intervals below."""
    shown, row = shown_curves(panel, POINTS), panel.row
    values = shown.values
    across = Scale(float(values[0]), float(values[-1]), 48.0, PANEL[0] - 10.0)
    up = Scale(0.0, 1.05 * shown.height, 120.0, 22.0)
    nothing = np.zeros(len(values))
    height = np.minimum(shown.posterior, 1.05 * shown.height)
    marks = [
        label(48.0, 13.0, short(panel.label, 34), "name"),
        area(values, nothing, height, across, up, "posterior area"),
        curve(values, height, across, up, "posterior path"),
    ]
    for own, look in ((shown.prior, "own path dash"), (shown.likelihood, "reml path")):
        if own is not None:
            inside = np.where(own <= 1.05 * shown.height, own, np.nan)
            marks.append(curve(values, inside, across, up, look))
    marks.append(line(across.start, 120.0, across.stop, 120.0, "axis"))
    if math.isfinite(row["reml"]):
        x = across(row["reml"])
        marks.append(line(x, 22.0, x, 196.0, "reml guide"))
    for i, (key, name) in enumerate(FAN.items()):
        marks.append(_fan(row, key, name, across, 134.0 + 16.0 * i))
    marks.append(axis_below(across, 202.0, named(across.ticks(4))))
    said = [_fan_words(row, key, name) for key, name in FAN.items()]
    title = (
        f"{short(panel.label, 60)}: posterior median {significant(row['median'])}, "
        f"{method} {significant(row['reml'])}"
    )
    return sheet.draw(PANEL, marks, title, f"95% intervals: {'; '.join(said)}.")


def _fan(row: dict, key: str, name: str, across: Scale, y: float) -> Markup:
    """One interval with its point and name."""
    look = "posterior" if key in ("eti", "hdi") else "reml"
    low, high = row[f"{key}_lower"], row[f"{key}_upper"]
    words = label(across.start - 6.0, y + 3.5, name, "tick", end="end")
    if not (math.isfinite(low) and math.isfinite(high)):
        return words + label(across.start + 4.0, y + 3.5, "none", "tick")
    bar = line(across(low), y, across(high), y, f"{look} bar")
    point = row["median" if look == "posterior" else "reml"]
    ends = words + bar
    return (
        ends + dot(across(point), y, 3.2, f"{look} point")
        if math.isfinite(point)
        else ends
    )


def _fan_words(row: dict, key: str, name: str) -> str:
    """One interval in words."""
    low, high = row[f"{key}_lower"], row[f"{key}_upper"]
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{name} none"
    return f"{name} {significant(low)} to {significant(high)}"


# --- residuals ------------------------------------------------------------------------


def check_figure(panels: CheckPanels, unit: str, sheet: Sheet) -> Figure:
    """Residuals by fitted values, and quantiles beside those the model makes."""
    drawn = [_residuals(panels, unit, sheet)]
    drawn += [
        _quantiles(own, panels.prob, sheet)
        for own in (panels.residuals, *panels.effects[:4])
    ]
    caption = (
        f"Do the data look like the model? Standardised residuals over fitted values, "
        f"and quantiles of residuals and random effects beside normal ones. "
        f"{100 * panels.prob:g}% of {panels.nsim} responses that the model makes stay "
        f"within a band throughout."
    )
    legend = (
        ("rows", "data"),
        ("reml path", "smooth curve"),
        ("posterior area", "band of responses of the model"),
    )
    return Figure(caption, tuple(drawn), legend, 260)


def _residuals(panels: CheckPanels, unit: str, sheet: Sheet) -> Markup:
    """Standardised residuals over fitted values."""
    rows = panels.rows
    x, y = rows["fitted"].to_numpy(float), rows["residual"].to_numpy(float)
    some = _some(y)
    across = Scale(*padded(x, 0.03), 40.0, PANEL[0] - 8.0)
    up = Scale(*padded([*y, -3.0, 3.0], 0.04), 186.0, 22.0)
    marks = [
        label(40.0, 13.0, "Residuals over fitted values", "name"),
        *(line(40.0, up(v), across.stop, up(v), "guide") for v in up.ticks(5)),
        line(40.0, up(0.0), across.stop, up(0.0), "zero"),
        dots(x[some], y[some], across, up, "rows"),
    ]
    if panels.trend is not None:
        marks.append(curve(*panels.trend, across, up, "reml path"))
    marks += [
        axis_below(across, 186.0, named(across.ticks(4))),
        axis_beside(up, 40.0, up.ticks(5)),
        label(
            0.5 * (40.0 + PANEL[0]),
            217.0,
            f"fitted {short(unit, 30)}",
            "tick",
            end="middle",
        ),
    ]
    far = int((np.abs(y) > 3.0).sum())
    said = (
        f"{len(y):,} residuals from {number(float(y.min()), 1)} to "
        f"{number(float(y.max()), 1)} SDs, {far} of them beyond 3."
    )
    return sheet.draw(PANEL, marks, "Standardised residuals over fitted values", said)


def _some(y: np.ndarray) -> np.ndarray:
    """Rows that are drawn: those far off, and an even part of the others."""
    if len(y) <= MOST_DOTS:
        return np.arange(len(y))
    step = -(-len(y) // MOST_DOTS)
    return np.union1d(np.arange(0, len(y), step), np.flatnonzero(np.abs(y) > 3.0))


def _quantiles(own: Quantiles, prob: float, sheet: Sheet) -> Markup:
    """Quantiles beside normal ones, with the band of the model's own."""
    x = own.table["normal"].to_numpy(float)
    y, low, high = (
        own.table[c].to_numpy(float) for c in ("observed", "lower", "upper")
    )
    across = Scale(*padded(x, 0.04), 40.0, PANEL[0] - 8.0)
    up = Scale(*padded([*y, *low, *high], 0.04), 186.0, 22.0)
    marks = [
        label(40.0, 13.0, f"Quantiles: {short(own.of, 25)}", "name"),
        *(line(40.0, up(v), across.stop, up(v), "guide") for v in up.ticks(5)),
        area(x, low, high, across, up, "posterior area"),
        dots(x, y, across, up, "rows"),
        axis_below(across, 186.0, named(across.ticks(4))),
        axis_beside(up, 40.0, up.ticks(5)),
        label(0.5 * (40.0 + PANEL[0]), 217.0, "normal quantiles", "tick", end="middle"),
    ]
    outside = int(((y < low) | (y > high)).sum())
    said = (
        f"{outside} of {len(y)} points shown lie outside of the {100 * prob:g}% band."
    )
    return sheet.draw(PANEL, marks, f"Quantiles of {short(own.of, 60)}", said)
