"""The numbers that a lesson's script reads, as lists and names for JSON.

Takes a `Lesson`; gives matrices row by row at full precision, rows and lines at what a
picture needs, and names that are shortened where they are long.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from bayeslmm.comparison.blocks import spread_of
from bayeslmm.comparison.lesson import LARGEST, Lesson
from bayeslmm.comparison.lesson_curve import SdCurve
from bayeslmm.comparison.lesson_equations import LessonEquations
from bayeslmm.comparison.lesson_left_out import WithoutLevels
from bayeslmm.comparison.lesson_words import LONGEST, in_sentence, value_digits
from bayeslmm.errors import printable
from bayeslmm.plots.style import coefficient_unit
from bayeslmm.tables.folding import ends_kept

PANELS = 18  # of rows and lines, those that pooling moves most
LABELS = 60_000  # letters of the names that are longer than is shown, in all
STEPS = 1000  # of the slider, even in sd / (sd + scale)
DRAWN, BEYOND = 0.995, 1.15  # the curve is drawn to this quantile, and as much more
PIXELS = 5  # digits of what is only drawn


def page_numbers(found: Lesson) -> dict[str, Any]:
    """All that the script reads."""
    dial, block = found.dial, found.dial.block
    at, shown = dial.turned[0], found.shown
    levels = [printable(block.levels[j]) for j in shown.tolist()]
    center_own = _largest(found)
    return {
        "size": {
            "k": len(dial.sds),
            "p": dial.equations.p,
            "w": len(dial.equations.s),
            "turned": at,
        },
        "labels": [ends_kept(label, LONGEST) for label in levels],
        "full": _full(levels),
        "n": block.sizes[shown].tolist(),
        "own": _values(found.own[shown]),
        "prob": found.prob,
        "percent": f"{100.0 * found.prob:g}%",
        "z": float(ndtri(0.5 + 0.5 * found.prob)),
        "digits": value_digits(found),
        "dial": {
            "scale": found.scale,
            "last": round(STEPS * LARGEST / (1.0 + LARGEST)),
            "end": LARGEST * found.scale,
            "start": float(dial.sds[at]),
        },
        "marks": {
            name: None if math.isnan(own := getattr(found.marks, name)) else own
            for name in ("reml", "ml", "median", "lower", "upper")
        },
        "names": _names(found),
        "fixedNames": [in_sentence(one) for one in dial.reml.design.fixed_names],
        "first": int(np.searchsorted(shown, found.fewest)),
        "newValue": center_own,
        "panels": _panels(found),
        "curve": None if found.curve is None else _curve(found, found.curve),
        **_algebra(found),
        **_equations(found.equations),
    }


def _algebra(found: Lesson) -> dict[str, Any]:
    """Turns between the data's columns and safe ones; see `Dial.estimates`."""
    dial, p = found.dial, found.dial.equations.p
    safe, block, w = dial.safe, dial.block, len(dial.equations.s)
    fixed = np.hstack([safe.coefficient_turn(), np.zeros((p, w - p))])
    beta0 = safe.coefficients(np.zeros(p))
    values, turn = np.linalg.eigh(dial.corr)
    spread = safe.unit * spread_of(safe, block.terms)
    return {
        "sigma": dial.reml.sigma,
        "scale": dial.reml.sigma / safe.unit,
        "sds": dial.sds.tolist(),
        "root": _flat(turn * np.sqrt(np.maximum(values, 0.0))),
        "back": _flat(dial.back),
        "spread": _flat(spread),
        "unspread": _flat(np.linalg.inv(spread)),
        "fixed": _flat(fixed),
        "beta0": _flat(beta0),
        "center": _flat(block.carried @ fixed),
        "origin": _flat(block.carried @ beta0),
    }


def _equations(own: LessonEquations) -> dict[str, Any]:
    """Products of levels and rows; symmetric matrices as their upper triangles."""
    shown, gone, left = own.shown, None, None
    if own.gone is not None:
        gone = {"S": _upper(own.gone.S), "s": _flat(own.gone.s)}
    if own.left is not None:
        left = {
            "scale": own.left.scale,
            "top": own.left.top,
            "count": len(own.left.s),
            "S": _upper(own.left.S),
            "s": _flat(own.left.s),
        }
    return {
        "A": _flat(shown.A),
        "F": _flat(shown.F),
        "f": _flat(shown.f),
        "S": _upper(shown.S[None]),
        "s": _flat(shown.s),
        "gone": gone,
        "usual": {
            "A": _flat(own.usual.A),
            "F": _flat(own.usual.F),
            "S": _upper(own.usual.S[None]),
        },
        "left": left,
    }


def _curve(found: Lesson, curve: SdCurve) -> dict[str, Any]:
    """The posterior of the SD, and how far it is drawn."""
    marks, form = found.marks, curve.prior
    high = float(curve.quantiles(np.array([DRAWN]))[0])
    return {
        "start": float(curve.log_sd[0]),
        "step": float(curve.log_sd[1] - curve.log_sd[0]),
        "logDensity": _flat(curve.log_density),
        "high": BEYOND * max(high, marks.reml, marks.ml),
        "without": None if found.without is None else _without(found.without),
        "prior": None
        if form is None
        else {"kind": form.kind, "a": form.a, "b": form.b, "constant": form.constant},
    }


def _without(own: WithoutLevels) -> dict[str, Any]:
    """Changes of the curve without each level, less their mean."""
    change = own.change - own.change.mean(axis=1, keepdims=True)
    return {
        "start": float(own.log_sd[0]),
        "step": float(own.log_sd[1] - own.log_sd[0]),
        "change": [
            None if np.isnan(one).any() else [float(f"{v:.7g}") for v in one]
            for one in change
        ],
    }


def _panels(found: Lesson) -> dict[str, Any] | None:
    """Rows and lines, to be drawn only."""
    if found.predictor is None:
        return None
    dial, at = found.dial, found.dial.turned[0]
    fitted = found.at_fit.coef[found.shown]
    ys = [
        np.concatenate([one.y, one.line.rest + one.line.Z @ coef])
        for one, coef in zip(found.panels, fitted, strict=True)
    ]
    y = np.concatenate(ys)
    moved = np.abs(found.own[found.shown] - fitted[:, at])
    order = np.argsort(-np.nan_to_num(moved, nan=-1.0), kind="stable")
    sizes, values = dial.block.sizes[found.shown], found.predictor.values
    return {
        "name": in_sentence(found.predictor.name),
        "first": order[:PANELS].tolist(),
        "thinned": bool(sum(len(one.x) for one in found.panels) < sizes.sum()),
        "x": _drawn([values.min(), values.max()]),
        "y": _drawn([y.min(), y.max()]),
        "levels": [
            {
                "x": _drawn(one.x),
                "y": _drawn(one.y),
                "line": {
                    "x": _drawn(one.line.x),
                    "Z": _drawn(one.line.Z.ravel()),
                    "rest": _drawn(one.line.rest),
                },
            }
            for one in found.panels
        ],
    }


def _names(found: Lesson) -> dict[str, str]:
    """Labels of axes."""
    group, effect = found.dial.block.group, found.effect
    unit = coefficient_unit(found.dial.reml.design, effect)
    names = [in_sentence(effect), in_sentence(group), ends_kept(printable(unit), 60)]
    return {
        "axis": f"{names[0]} of each {names[1]} ({names[2]})",
        "sd": f"SD of {names[0]} between levels of {names[1]} ({names[2]})",
    }


def _largest(found: Lesson) -> float:
    """The own estimate of a new level at first: two SDs above the centre."""
    dial, at = found.dial, found.dial.turned[0]
    center = float((dial.block.carried @ dial.reml.beta)[at])
    return center + 2.0 * (float(dial.sds[at]) or dial.halfway)


def _full(levels: Sequence[str]) -> dict[int, str]:
    """Names that are shown shortened: whole, as far as the page has room for all."""
    long = {j: name for j, name in enumerate(levels) if len(name) > LONGEST}
    most, lengths = LABELS, sorted(map(len, long.values()))
    room = LABELS
    for i, length in enumerate(lengths):  # short ones leave their room to long ones
        room = most // (len(lengths) - i)
        most -= min(length, room)
    return {j: ends_kept(name, room) for j, name in long.items()}


def _flat(values: Float[np.ndarray, "..."]) -> list[float]:
    """Row by row, every digit."""
    return values.ravel().tolist()


def _upper(values: Float[np.ndarray, "m w w"]) -> list[float]:
    """Upper triangles, row by row."""
    rows, columns = np.triu_indices(values.shape[1])
    return values[:, rows, columns].ravel().tolist()


def _values(values: Iterable[float]) -> list[float | None]:
    """Numbers; None where there is none."""
    return [None if math.isnan(one) else one for one in map(float, values)]


def _drawn(values: Iterable[float]) -> list[float]:
    """Numbers of a picture."""
    return [float(f"{one:.{PIXELS}g}") for one in values]
