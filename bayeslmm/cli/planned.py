"""The words of ``power`` and ``precision``: values and sizes as text, and tables."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bayeslmm.errors import ModelError
from bayeslmm.reporting.tables import TextTable
from bayeslmm.reporting.text import print_table
from bayeslmm.tables.frame import as_text

if TYPE_CHECKING:
    from rich.console import Console

    from bayeslmm.planning import Power, Precision


def numbers(given: Iterable[str]) -> dict[str, float]:
    """``["x=0.3"]`` as values by label; a label may hold ``=`` itself."""
    found = {}
    for text in given:
        label, sign, value = text.rpartition("=")
        try:
            found[label.strip()] = float(value)
        except ValueError:
            sign = ""
        if not sign or not label.strip():
            raise ModelError(
                f'--set needs LABEL=NUMBER, such as "x=0.3", not {text!r}.'
            )
    return found


def sizes(given: Iterable[str]) -> dict[str, list[int]]:
    """``["g=10,20"]`` as numbers of levels by column."""
    found = {}
    for text in given:
        name, sign, counts = text.rpartition("=")
        try:
            found[name.strip()] = [int(count) for count in counts.split(",")]
        except ValueError:
            sign = ""
        if not sign or not name.strip():
            raise ModelError(
                f'--levels needs COLUMN=NUMBERS, such as "g=10,20", not {text!r}.'
            )
    return found


def counts(text: str) -> list[int]:
    """``"1,2"`` as numbers of times."""
    try:
        return [int(count) for count in text.split(",")]
    except ValueError:
        raise ModelError(
            f'--rows needs NUMBERS, such as "1,2", not {text!r}.'
        ) from None


def print_power(console: "Console", found: "Power") -> None:
    """The table of a `Power`."""
    text = as_text(found.table)
    rows = tuple(("", tuple(map(str, row))) for row in text.itertuples(index=False))
    title = f"Power to find {found.effect} by {found.test}, alpha {found.alpha:g}"
    notes = (
        "mcse: Monte Carlo error of the power; lower, upper: its 95% interval",
        "estimate: mean over the studies; failed: fits without convergence or p value",
    )
    print_table(console, TextTable(title, tuple(map(str, text.columns)), rows, notes))


def print_precision(console: "Console", found: "Precision") -> None:
    """The table of a `Precision`."""
    text = as_text(found.table)
    rows = tuple(("", tuple(map(str, row))) for row in text.itertuples(index=False))
    title = f"Width to expect of {100 * found.prob:g}% intervals"
    notes = (
        "se: of a fixed effect; of log SDs and atanh correlations",
        "without: share of simulated studies that have no interval",
    )
    print_table(console, TextTable(title, tuple(map(str, text.columns)), rows, notes))
