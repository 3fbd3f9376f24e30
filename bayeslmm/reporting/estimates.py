"""REML and the posterior in one table, with a picture of both intervals in each row."""

from typing import TYPE_CHECKING

import pandas as pd

from bayeslmm.comparison.table import Row
from bayeslmm.reporting.interval_pictures import interval_pictures
from bayeslmm.reporting.svg import Sheet
from bayeslmm.reporting.tables import DDF_NOTE, TextTable, missing_notes, section_of
from bayeslmm.tables.numbers import decimals_for, interval, number, row as in_row

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior

BOTH = "difference_in_se"


def estimates_table(
    table: pd.DataFrame, post: "Posterior | None", sheet: Sheet
) -> TextTable:
    """The table of `compare`, or one side of it, with pictures.

    Parameters
    ----------
    table : DataFrame
        What `compare` gives; columns of one fit may be missing.
    post : Posterior or None
        What its missing means are said of.
    sheet : Sheet
        Of the page.
    """
    pictures = interval_pictures(table, sheet)
    names, sides = table.attrs, []
    header: list[str] = [""]
    if "reml" in table:
        sides.append(("reml", "reml_se", "reml_lower", "reml_upper"))
        header += [names["method"], "SE", names["reml_interval"]]
    if "median" in table:
        sides.append(("median", "sd", "lower", "upper"))
        header += ["median", "SD", names["interval"]]
    header.append("intervals")
    header += ["difference"] if BOTH in table else []
    rows = []
    for label, one in table.iterrows():
        cells = [str(label)]
        for side in sides:
            cells += _cells(one, *side)
        cells.append(pictures[str(label)])
        cells += _difference(one) if BOTH in table else []
        rows.append((section_of(label, one, names["unit"]), tuple(cells)))
    notes = tuple(_notes(table, post))
    what = (
        f"{names['method']} beside the posterior"
        if len(sides) == 2
        else ("Posterior" if "median" in table else names["method"])
    )
    title = f"{what}, {names['unit']}"
    return TextTable(title, tuple(header), tuple(rows), notes)


def _cells(one: Row, point: str, error: str, lower: str, upper: str) -> list[str]:
    """Point, its error, and its interval, rounded by the error."""
    scale = one[error]
    known = scale == scale and scale > 0.0
    places = decimals_for(scale if known else one[point])
    return [
        *in_row((one[point], scale), scale),
        interval(one[lower], one[upper], places),
    ]


def _difference(one: Row) -> list[str]:
    """How far apart both are."""
    star = " *" if one["difference_unit"] == "posterior SD" else ""
    return [number(one[BOTH], 2) + star]


def _notes(table: pd.DataFrame, post: "Posterior | None") -> list[str]:
    """What the columns are."""
    method, notes = table.attrs["method"], []
    if BOTH in table:
        notes.append(
            f"intervals: {method} above (blue), posterior below (orange); rows of a "
            f"section share a scale where that shows all of them, the line is at 0"
        )
        notes.append(f"difference: {table.attrs['difference']}, in {method} SEs")
        if (table["difference_unit"] == "posterior SD").any():
            notes.append(f"* no {method} SE at the boundary: in posterior SDs")
    if "reml" in table and (table["component"] == "fixef").any():
        notes.append(DDF_NOTE.replace("df, p and intervals", f"{method} intervals"))
    return [*notes, *(missing_notes(post) if post is not None else ())]
