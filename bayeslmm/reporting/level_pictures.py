"""Drawings of levels: their rows with three lines, and what pooling did to each.

Takes the tables of `level_lines`, `shrinkage_table` and `shrinkage_path`; gives figures
of a page.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from markupsafe import Markup

from bayeslmm.comparison.blocks import find_block
from bayeslmm.comparison.lines import LevelLines, Predictor, find_predictor, level_lines
from bayeslmm.comparison.table import interval_name
from bayeslmm.plots.fits import pooled_coefficients
from bayeslmm.plots.levels import choose_levels, pooling_reasons
from bayeslmm.plots.style import coefficient_unit, limits
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
    tick_words,
)
from bayeslmm.tables.numbers import counted, decimals_for, number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.posterior.densities import ComponentCurves
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

BAND = 0.9  # probability of the band of a line
PANEL = (170.0, 136.0)  # pixels, of one level
MOST_PANELS, MOST_ROWS = 20, 24  # levels with a panel, with a row
MOST_POINTS = 400  # rows of a level drawn as dots
ROW = 15.0  # pixels, of one level in a list
WIDE = 400.0  # pixels, of a list or a path
NAMES = 96.0  # pixels for names beside a list


# --- rows and lines -------------------------------------------------------------------


def lines_figure(reml: "RemlFit", post: "Posterior | None", sheet: Sheet) -> Figure:
    """The rows of the levels that moved most, with three lines.

    The rows must be in memory, and there must be a grouping factor.
    """
    block = find_block(reml.model, None)
    on_x = find_predictor(reml.model, block, None)
    own, pooled, center = pooled_coefficients(reml, block)
    moved = pooling_reasons(own, pooled, center, block.sizes)["most moved"]
    chosen = choose_levels(
        block.levels, None, block.group, {"most moved": moved}, most=MOST_PANELS
    ).positions
    far = np.nan_to_num(moved[chosen], nan=np.inf)
    chosen = chosen[np.argsort(-far, kind="stable")]
    found = level_lines(reml, post, block, chosen, on_x, BAND)
    held = found.lines.filter(["pooled", "partial", "lower", "upper"]).to_numpy()
    low, high = limits(found.points["y"].to_numpy(), held)
    panels = tuple(
        _level_panel(found, int(at), block.levels[at], on_x, (low, high), sheet)
        for at in chosen
    )
    which = (
        f"All {counted(len(block.levels), 'level')} of {block.group}"
        if len(chosen) == len(block.levels)
        else f"The {len(chosen)} of {len(block.levels):,} levels of {block.group} that "
        f"pooling moves most"
    )
    across = on_x.name or "the order of rows"
    adjusted = " less other columns and groups" if found.adjusted else ""
    method = reml.method
    legend = [
        ("rows", "rows"),
        ("own path", "its own line (no pooling)"),
        ("all path", "one line for all (complete pooling)"),
        ("reml path", f"partial pooling, {method}"),
    ]
    if post is not None:
        words = f"partial pooling, posterior {interval_name(BAND, 'eti')}"
        legend.append(("posterior area", words))
    caption = (
        f"{which}, the most moved first: {reml.model.design.response}{adjusted} over "
        f"{across}."
    )
    return Figure(caption, panels, tuple(legend), int(PANEL[0]))


def _level_panel(
    found: LevelLines,
    position: int,
    name: str,
    on_x: Predictor,
    ends: tuple[float, float],
    sheet: Sheet,
) -> Markup:
    """Rows and lines of one level."""
    points = found.points[found.points["level"] == position]
    lines = found.lines[found.lines["level"] == position]
    width, height = PANEL
    across = Scale(*padded(found.lines["x"], 0.03), 34.0, width - 4.0)
    up = Scale(*ends, height - 20.0, 20.0)
    marks = [_frame(across, up)]
    x = lines["x"].to_numpy(float)
    if "lower" in lines:
        low, high = lines["lower"].to_numpy(float), lines["upper"].to_numpy(float)
        marks.append(area(x, low, high, across, up, "posterior area"))
    step = max(1, -(-len(points) // MOST_POINTS))
    some = points.iloc[::step]
    px, py = some["x"].to_numpy(float), some["y"].to_numpy(float)
    marks.append(dots(px, py, across, up, "rows"))
    near = lines["x"].between(points["x"].min(), points["x"].max()).to_numpy()
    own = np.where(near, lines["own"].to_numpy(float), np.nan)
    marks.append(curve(x, own, across, up, "own path"))
    marks.append(curve(x, lines["pooled"].to_numpy(float), across, up, "all path"))
    marks.append(curve(x, lines["partial"].to_numpy(float), across, up, "reml path"))
    marks.append(label(34.0, 13.0, short(name, 18), "name"))
    n = f"n = {len(points):,}"
    marks.append(label(width - 4.0, 13.0, n, "tick", end="end"))
    ticks = named(across.ticks(3))
    if on_x.levels:
        ticks = [(float(i), short(v, 7)) for i, v in enumerate(on_x.levels[:4])]
    marks.append(axis_below(across, height - 20.0, ticks))
    marks.append(axis_beside(up, 34.0, up.ticks(3)))
    return sheet.draw(PANEL, marks, f"{short(name, 60)}, {n}", _ends_words(lines))


def _frame(across: Scale, up: Scale) -> Markup:
    """Faint lines at round values."""
    return Markup().join(
        line(across.start, up(v), across.stop, up(v), "guide") for v in up.ticks(3)
    )


def _ends_words(lines: pd.DataFrame) -> str:
    """Where the three lines begin and end."""
    first, last = lines.iloc[0], lines.iloc[-1]
    places = decimals_for(float(np.ptp(lines["partial"])) / 20.0 or 1.0)
    said = []
    for column, name in (
        ("own", "its own line"),
        ("partial", "partial pooling"),
        ("pooled", "complete pooling"),
    ):
        ends = float(first[column]), float(last[column])
        if all(map(math.isfinite, ends)):
            begin, end = (number(value, places) for value in ends)
            said.append(f"{name} from {begin} to {end}")
    return "; ".join(said)


# --- what pooling did -----------------------------------------------------------------


def shrinkage_figure(
    table: pd.DataFrame, group: str, method: str, sheet: Sheet
) -> Figure:
    """Own and pooled estimates of each level, effect by effect.

    `table` is that of `shrinkage_table`.
    """
    own = table[table["group"] == group]
    panels, shown = [], 0
    for effect in own["effect"].unique():
        part = own[own["effect"] == effect]
        moved = (part["no_pooling"] - part["partial_pooling"]).abs()
        if len(part) > 1.2 * MOST_ROWS:
            part = part.loc[moved.sort_values(ascending=False).index[:MOST_ROWS]]
        shown = len(part)
        part = part.sort_values("partial_pooling", ascending=False)
        panels.append(_pooled_rows(part, str(effect), sheet))
    n = own["level"].nunique()
    some = "" if shown == n else f"; the {shown} of {n:,} levels that moved most"
    legend = [
        ("own point", "own estimate (no pooling)"),
        ("reml point", f"partial pooling, {method}"),
        ("all path", "centre, to which levels are pulled"),
    ]
    if "posterior" in own.columns:
        legend.insert(2, ("posterior bar", f"posterior, {table.attrs['interval']}"))
    caption = (
        f"What pooling did to each level of {group}{some}. Intercepts are read where "
        "numeric predictors are at their means."
    )
    return Figure(caption, tuple(panels), tuple(legend), 340)


def _pooled_rows(part: pd.DataFrame, effect: str, sheet: Sheet) -> Markup:
    """A row for each level: where it was, and where pooling put it."""
    drawn = "lower" in part.columns
    known = part[["partial_pooling", "center", *(["lower", "upper"] * drawn)]]
    ends = limits(part["no_pooling"].to_numpy(), known.to_numpy())
    height = 24.0 + ROW * len(part) + 22.0
    across = Scale(*padded(ends, 0.02), NAMES, WIDE - 10.0)
    bottom = height - 22.0
    center = float(part["center"].iloc[0])
    marks = [
        label(NAMES, 13.0, short(effect, 40), "name"),
        *(line(across(v), 20.0, across(v), bottom, "guide") for v in across.ticks(4)),
        line(across(center), 20.0, across(center), bottom, "all path"),
    ]
    for i, (_, one) in enumerate(part.iterrows()):
        y = 24.0 + ROW * (i + 0.5)
        start, stop = float(one["no_pooling"]), float(one["partial_pooling"])
        marks.append(
            label(NAMES - 8.0, y + 3.5, short(one["level"], 15), "tick", end="end")
        )
        if drawn and math.isfinite(one["lower"]):
            ends = across(one["lower"]), across(one["upper"])
            marks.append(line(ends[0], y, ends[1], y, "posterior bar"))
        if math.isfinite(start):
            marks.append(line(across(start), y, across(stop), y, "moved"))
            marks.append(dot(across(start), y, 3.2, "own point"))
        marks.append(dot(across(stop), y, 3.4, "reml point"))
    marks.append(axis_below(across, bottom, named(across.ticks(4))))
    title = f"{effect}: own estimates and partial pooling of {len(part)} levels"
    return sheet.draw((WIDE, height), marks, title, _moved_words(part, effect))


def _moved_words(part: pd.DataFrame, effect: str) -> str:
    """Range before and after, the centre, and who moved most."""
    spread = float(part["partial_pooling"].std()) or 1.0
    places = decimals_for(spread / 10.0)
    pairs = []
    for column in ("no_pooling", "partial_pooling"):
        values = part[column].dropna()
        if len(values):
            low, high = number(values.min(), places), number(values.max(), places)
            pairs.append(f"from {low} to {high}")
    said = f"Own estimates run {pairs[0]}, " if len(pairs) == 2 else ""
    said += f"partial pooling {pairs[-1]}; "
    said += f"the centre is {number(float(part['center'].iloc[0]), places)}."
    moved = (part["no_pooling"] - part["partial_pooling"]).abs().dropna()
    if len(moved):
        own = part.loc[moved.index[int(moved.to_numpy().argmax())]]
        said += (
            f" {short(own['level'], 40)} moved most in {effect}, from "
            f"{number(own['no_pooling'], places)} to "
            f"{number(own['partial_pooling'], places)}."
        )
    return said


# --- the dial -------------------------------------------------------------------------


def dial_figure(
    paths: tuple[pd.DataFrame, ...],
    reml: "RemlFit",
    curves: "Mapping[str, ComponentCurves]",
    sheet: Sheet,
) -> Figure:
    """Estimates of the levels as an SD runs from 0 to infinity.

    `curves` of the SDs, by label, as far as there are any.
    """
    group = paths[0].attrs["group"]
    panels = tuple(
        _dial_panel(path, reml, curves.get(path.attrs["label"]), sheet)
        for path in paths
    )
    method = paths[0].attrs["method"]
    legend = [
        ("reml thin", "a level"),
        ("reml guide", f"{method}'s SD"),
        ("all path", "fixed effect"),
    ]
    if any(path.attrs["label"] in curves for path in paths):
        legend.append(("posterior area", "posterior of the SD"))
    caption = (
        f"The SD between levels of {group} as a dial: at 0 all levels are one "
        f"(complete pooling), at ∞ each stands alone (no pooling). What is not turned "
        f"is {paths[0].attrs['held']}."
    )
    return Figure(caption, panels, tuple(legend), 340)


def _dial_panel(
    path: pd.DataFrame,
    reml: "RemlFit",
    curves: "ComponentCurves | None",
    sheet: Sheet,
) -> Markup:
    """One effect: levels above, the posterior of the SD below."""
    attrs = path.attrs
    effect, halfway, at = attrs["effects"][0], attrs["halfway"], attrs["reml"]
    own = path[(path["level"] != "") & (path["effect"] == effect)]
    wide = own.pivot(index="sd", columns="level", values="estimate")
    values, sds = wide.to_numpy(), wide.index.to_numpy(float)
    x = _share(sds, halfway)
    here = int(np.argmin(np.abs(sds - at)))
    low, high = limits(values[-1], values[: here + 1])
    hill = 46.0 if curves is not None else 0.0
    size = (WIDE, 250.0 + hill)
    across = Scale(0.0, 1.0, 46.0, WIDE - 12.0)
    up = Scale(low, high, 208.0, 26.0)
    marks = [_frame(across, up), axis_beside(up, 46.0, up.ticks(4))]
    marks.append(label(46.0, 14.0, f"{short(effect, 30)} of each level", "name"))
    step = max(1, -(-values.shape[1] // 80))
    marks += [
        curve(x, values[:, j], across, up, "reml thin")
        for j in range(0, values.shape[1], step)
    ]
    fixed = path[(path["level"] == "") & (path["effect"] == effect)]
    if len(fixed):
        fx = _share(fixed["sd"].to_numpy(float), halfway)
        fy = fixed["estimate"].to_numpy(float)
        marks.append(curve(fx, fy, across, up, "all path"))
    place = across(float(_share(np.array([at]), halfway)[0]))
    bottom = 208.0 + hill
    marks.append(line(place, 20.0, place, bottom, "reml guide"))
    if curves is not None:
        marks.append(_hill(path, curves, across, 208.0 + hill, hill - 8.0))
    marks.append(axis_below(across, bottom, _sd_ticks(halfway)))
    unit = coefficient_unit(reml.model.design, effect)
    words = f"SD of {short(effect)} ({short(unit, 40)})"
    marks.append(label(0.5 * (46.0 + WIDE), bottom + 30.0, words, "tick", end="middle"))
    places = decimals_for((high - low) / 50.0)
    ends = values[0], values[here], values[-1]
    known = [e[np.isfinite(e)] for e in ends]
    said = [
        f"{number(e.min(), places)} to {number(e.max(), places)} {where}"
        for e, where in zip(
            known,
            ("at an SD of 0", f"at {attrs['method']}'s {at:.3g}", "at infinity"),
            strict=True,
        )
        if e.size
    ]
    title = f"{short(effect, 60)} of {values.shape[1]:,} levels over its SD"
    return sheet.draw(size, marks, title, f"Levels reach from {', '.join(said)}.")


def _share(sd: np.ndarray, halfway: float) -> np.ndarray:
    """Place of an SD on the axis, 0 to 1."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(sd), 1.0, sd / (sd + halfway))


def _sd_ticks(halfway: float) -> list[tuple[float, str]]:
    """Both ends of the dial, and round SDs between."""
    sds = [float(f"{halfway * s / (1.0 - s):.1g}") for s in (0.2, 0.4, 0.6, 0.8)]
    places = _share(np.array(sds), halfway).tolist()
    inner = [(p, tick_words(sd)) for p, sd in zip(places, sds, strict=True)]
    return [(0.0, "0"), *inner, (1.0, "∞")]


def _hill(
    path: pd.DataFrame,
    curves: "ComponentCurves",
    across: Scale,
    bottom: float,
    tall: float,
) -> Markup:
    """Posterior of the SD, per unit of the axis."""
    from bayeslmm.posterior.read_off import curve_table  # for draws alone

    halfway = path.attrs["halfway"]
    share = np.linspace(0.0, 1.0, 122)[1:-1]
    sd = halfway * share / (1.0 - share)
    density = curve_table(curves, sd)["density"].to_numpy()
    height = np.nan_to_num(density * halfway / (1.0 - share) ** 2)
    up = Scale(0.0, float(height.max()) or 1.0, bottom, bottom - tall)
    return area(share, np.zeros(len(share)), height, across, up, "posterior area")
