"""Marks of small drawings in a page: lines, dots, words, axes.

Takes numbers; gives SVG as `Markup`. Colours and widths are those of the classes of the
page's style, so that a drawing follows the reader's light or dark; each drawing says in
words what is seen.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

NICE = (1.0, 2.0, 2.5, 5.0, 10.0)  # steps between ticks, times a power of ten
TICK, BELOW = 4.0, 13.0  # lengths in pixels: of a tick, down to the words below it


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to pixels: `low` to `high` go to `start` to `stop`."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """Place of a value, never far outside."""
        span = self.high - self.low or 1.0
        share = min(max((value - self.low) / span, -0.02), 1.02)
        return self.start + share * (self.stop - self.start)

    def holds(self, value: float) -> bool:
        """Whether a value lies inside."""
        return self.low <= value <= self.high

    def ticks(self, about: int = 4) -> list[float]:
        """Round values inside, about so many."""
        return round_values(self.low, self.high, about)


def round_values(low: float, high: float, about: int = 4) -> list[float]:
    """Round values from `low` to `high`, about so many."""
    span = high - low
    if not (math.isfinite(span) and span > 0.0):
        return [low] if math.isfinite(low) else []
    raw = span / max(about, 1)
    size = 10.0 ** math.floor(math.log10(raw))
    step = min((own * size for own in NICE), key=lambda own: abs(math.log(own / raw)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = 12 - math.floor(math.log10(step))
    return [round(i * step, digits) for i in range(first, last + 1)]


def padded(values: Iterable[float], share: float = 0.06) -> tuple[float, float]:
    """Ends of an axis that holds all finite values, with a margin."""
    known = [float(value) for value in values if math.isfinite(value)]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    margin = share * (high - low) or 0.5 * abs(high) or 0.5
    return low - margin, high + margin


def tick_words(value: float) -> str:
    """A tick as short as it can be."""
    text = f"{value:.6g}"
    return text.replace("-", "\N{MINUS SIGN}") if "e" not in text else text


# --- marks ----------------------------------------------------------------------------


def line(x1: float, y1: float, x2: float, y2: float, look: str) -> Markup:
    """A straight line."""
    return Markup(
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'class="{look}"/>'
    )


def dot(x: float, y: float, radius: float, look: str) -> Markup:
    """A dot."""
    return Markup(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" class="{look}"/>')


def dots(
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " n"],
    across: Scale,
    up: Scale,
    look: str,
) -> Markup:
    """Many dots as one path of round ends."""
    places = dict.fromkeys(
        f"M{across(a):.1f} {up(b):.1f}h0"
        for a, b in zip(x.tolist(), y.tolist(), strict=True)
        if math.isfinite(a) and math.isfinite(b)
    )
    return Markup(f'<path d="{"".join(places)}" class="{look}"/>')


def curve(
    x: Sequence[float] | Float[np.ndarray, " n"],
    y: Sequence[float] | Float[np.ndarray, " n"],
    across: Scale,
    up: Scale,
    look: str,
) -> Markup:
    """A line through points; it breaks where they are not known."""
    pieces, pen = [], "M"
    for a, b in zip(map(float, x), map(float, y), strict=True):
        if not (math.isfinite(a) and math.isfinite(b)):
            pen = "M"
            continue
        pieces.append(f"{pen}{across(a):.1f} {up(b):.1f}")
        pen = "L"
    return Markup(f'<path d="{"".join(pieces)}" class="{look}"/>')


def area(
    x: Float[np.ndarray, " n"],
    low: Float[np.ndarray, " n"],
    high: Float[np.ndarray, " n"],
    across: Scale,
    up: Scale,
    look: str,
) -> Markup:
    """What lies between two curves."""
    known = np.isfinite(low) & np.isfinite(high)
    there = [
        f"{across(a):.1f} {up(b):.1f}"
        for a, b in zip(x[known], high[known], strict=True)
    ]
    back = [
        f"{across(a):.1f} {up(b):.1f}"
        for a, b in zip(x[known][::-1], low[known][::-1], strict=True)
    ]
    if not there:
        return Markup()
    return Markup(f'<path d="M{"L".join(there + back)}Z" class="{look}"/>')


def label(
    x: float, y: float, text: str, look: str = "", *, end: str = "start"
) -> Markup:
    """Words; `end` is the side of them that stands at x."""
    return Markup('<text x="{}" y="{}" text-anchor="{}" class="{}">{}</text>').format(
        f"{x:.1f}", f"{y:.1f}", end, f"words {look}".strip(), text
    )


def axis_below(across: Scale, y: float, ticks: Iterable[tuple[float, str]]) -> Markup:
    """An axis with its ticks; words at the ends stay inside of the drawing."""
    marks = [line(across.start, y, across.stop, y, "axis")]
    for value, words in ticks:
        x = across(value)
        marks.append(line(x, y, x, y + TICK, "axis"))
        marks.append(label(x, y + BELOW, words, "tick", end="middle"))
    return Markup().join(marks)


def axis_beside(up: Scale, x: float, ticks: Iterable[float]) -> Markup:
    """Faint words and lines at round values, to the left of x."""
    marks = [
        label(x - 4.0, up(value) + 3.5, tick_words(value), "tick", end="end")
        for value in ticks
    ]
    return Markup().join(marks)


def named(values: Iterable[float]) -> list[tuple[float, str]]:
    """Ticks with their words."""
    return [(value, tick_words(value)) for value in values]


@dataclass(slots=True)
class Sheet:
    """Hands out the names of the drawings of one page: no two are the same."""

    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def draw(
        self,
        size: tuple[float, float],
        marks: Iterable[Markup],
        title: str,
        description: str = "",
    ) -> Markup:
        """A drawing of a width and height in pixels, with what is seen in words."""
        key = f"d{next(self._numbers)}"
        width, height = (f"{length:g}" for length in size)
        said = Markup('<title id="{}t">{}</title>').format(key, title)
        names = f"{key}t"
        if description:
            said += Markup('<desc id="{}d">{}</desc>').format(key, description)
            names += f" {key}d"
        return Markup(
            '<svg viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
            'aria-labelledby="{names}">{said}{marks}</svg>'
        ).format(w=width, h=height, names=names, said=said, marks=Markup().join(marks))


def short(text: str, most: int = 24) -> str:
    """A name whose middle is left out where it would push a drawing aside."""
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
