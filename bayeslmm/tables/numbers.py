"""Numbers as text: as many decimals as the standard error supports."""

import math
from collections.abc import Iterable

DIGITS = 3  # of the standard error; the rest of a row takes its decimals
MOST_DECIMALS = 7  # beyond this, and above 1e7, a number reads better as 1.23e-09
MISSING = "-"


def decimals_for(scale: float, digits: int = DIGITS) -> int:
    """Decimals that show `digits` significant digits of `scale`; 0 for large ones."""
    if not math.isfinite(scale) or scale == 0.0:
        return digits
    return max(digits - 1 - math.floor(math.log10(abs(scale))), 0)


def number(value: float, decimals: int) -> str:
    """One number with so many decimals; a hyphen where there is none."""
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if decimals > MOST_DECIMALS or abs(value) >= 1e7:
        return f"{value:.{DIGITS - 1}e}"
    text = f"{value:.{decimals}f}"
    return text[1:] if text.startswith("-") and float(text) == 0.0 else text


def significant(value: float, digits: int = DIGITS) -> str:
    """One number with so many significant digits."""
    return number(value, decimals_for(value, digits))


def row(values: Iterable[float], scale: float) -> list[str]:
    """Numbers of one parameter, all with the decimals that its scale supports.

    Where there is no scale the first number takes its place.
    """
    values = list(values)
    if not math.isfinite(scale) or scale <= 0.0:
        finite = [abs(v) for v in values if math.isfinite(v) and v != 0.0]
        scale = finite[0] if finite else 1.0
    return [number(value, decimals_for(scale)) for value in values]


def interval(lower: float, upper: float, decimals: int) -> str:
    """``[6.16, 13.64]``; a hyphen where there is none."""
    if math.isnan(lower) and math.isnan(upper):
        return MISSING
    return f"[{number(lower, decimals)}, {number(upper, decimals)}]"


def degrees(value: float) -> str:
    """Degrees of freedom: ``17.0``, ``3``, ``295``."""
    whole = value == round(value, 6) if math.isfinite(value) else False
    return number(value, 0 if whole or abs(value) >= 100.0 else 1)


def p_value(value: float) -> str:
    """A p value, ``0.017``, or ``<0.001``."""
    return "<0.001" if value < 0.001 else number(value, 3)


def count(value: float | int) -> str:
    """A count with thousands separated; a hyphen where there is none."""
    return f"{value:,.0f}" if math.isfinite(value) else MISSING


def counted(n: int, noun: str) -> str:
    """``1 level``, ``1,000 levels``."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def listed(parts: Iterable[str]) -> str:
    """``a, b and c``."""
    parts = list(parts)
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
