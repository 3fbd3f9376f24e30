"""The tables of one fit for a paper: REML beside the posterior, a column for an error.

Takes a `Fit`; gives `PaperTables`: fixed effects, SDs and correlations, shares of
variance, and rows, levels and criteria.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from bayeslmm.comparison.table import interval_name
from bayeslmm.posterior.tables import check_interval
from bayeslmm.reporting.columns import (
    Column,
    Key,
    decimals_of,
    estimate_text,
    keys_of,
    long_frame,
    make_columns,
    row_names,
    section_of,
)
from bayeslmm.reporting.paper_notes import (
    SHARES_NOTE,
    ddf_words,
    missing_note,
    model_notes,
)
from bayeslmm.reporting.paper_tables import (
    Format,
    PaperTable,
    PaperTables,
    check_format,
)
from bayeslmm.reporting.tables import TextTable
from bayeslmm.tables import Table
from bayeslmm.tables.numbers import MISSING, degrees, interval, number, p_value

if TYPE_CHECKING:
    from bayeslmm.reml.ddf import Ddf
    from bayeslmm.reporting.fitted import Fitted

# Titles, and the components of each table.
PARTS = {
    "Fixed effects": ("fixef",),
    "Standard deviations and correlations": ("sd", "corr", "sigma"),
    "Shares of variance": ("share",),
    "Data and likelihood": ("count", "criterion"),
}


def fit_tables(
    fit: "Fitted",
    *,
    prob: float = 0.95,
    kind: Literal["eti", "hdi"] = "eti",
    ddf: "Ddf" = "satterthwaite",
    labels: Mapping[str, str] | None = None,
    format: Format = "markdown",
) -> PaperTables:
    """Tables of one fit; see `Fit.tables`, options as of `bayeslmm.model_table`.

    Raises
    ------
    ModelError
        If an option is unknown, `labels` names a row that there is not, or there is
        neither a REML fit nor a posterior.
    """
    check_interval(prob, kind)
    check_format(format)
    columns = [
        Column(own.method, own.fit, own.rows)
        for own in make_columns([fit], None, prob, kind, ddf)
    ]
    called, keys = row_names(columns, labels), keys_of(columns)
    frame, tests = long_frame(columns, called), len(columns) == 1
    common, found = model_notes(columns, named=True), []
    for title, components in PARTS.items():
        own = [key for key in keys if key[0] in components]
        if not own:
            continue
        sides = [_side(column, own, tests, (prob, kind)) for column in columns]
        header, *rows = (
            [cell for side in sides for cell in side[i]] for i in range(len(own) + 1)
        )
        named = [called[key] for key in own]
        body = tuple(
            (_section(key), (name, *cells))
            for key, name, cells in zip(own, named, rows, strict=True)
        )
        layout = TextTable(
            title=f"{title}: {columns[0].model.said}",
            header=("", *header),
            rows=body,
            notes=_notes(columns, own[0][0], body, ddf, common),
        )
        part = Table(frame[frame["component"].isin(components)])
        found.append(PaperTable(part, layout, format=format))
    return PaperTables(found)


def _section(key: Key) -> str:
    """The name above a row, where a table has several."""
    return section_of(key) if key[0] in ("sd", "corr", "sigma") else ""


def _side(
    column: Column, keys: Sequence[Key], tests: bool, asked: tuple[float, str]
) -> list[list[str]]:
    """Heads and cells of one fit: an estimate, and what says how sure it is."""
    drawn, component = column.method == "Posterior", keys[0][0]
    prob, kind = asked
    with_error = component in ("fixef", "sd", "corr", "sigma") or (
        drawn and component == "share"
    )
    tests = tests and not drawn and component == "fixef"
    head = [column.method]
    if with_error:
        head.append("SD" if drawn else "SE")
        head += ["df", "t", "p"] if tests else []
        head.append(interval_name(prob, kind if drawn else "wald"))
    found = [head]
    for key in keys:
        own = column.row(key)
        if own is None:
            found.append([""] * len(head))
            continue
        cells, places = [estimate_text(key, own)], decimals_of(key, own)
        if with_error:
            cells.append(number(own["se"], places))
            if tests:
                cells += [degrees(own["df"]), number(own["t"], 2), p_value(own["p"])]
            cells.append(interval(own["lower"], own["upper"], places))
        found.append(cells)
    return found


def _notes(
    columns: Sequence[Column],
    component: str,
    rows: Sequence[tuple[str, tuple[str, ...]]],
    ddf: "Ddf",
    common: Sequence[str],
) -> tuple[str, ...]:
    """What is said below a table."""
    if component == "count":
        return ()
    methods = [column.method for column in columns]
    notes = ["Posterior: median and SD."] if "Posterior" in methods else []
    if component == "share":
        return (*notes, SHARES_NOTE)
    tested = ddf_words(methods, ddf) if component == "fixef" else ""
    notes += [f"{tested[0].upper()}{tested[1:]}."] if tested else []
    if any(MISSING in cells for _, cells in rows):
        notes.append(missing_note(columns))
    return (*notes, *common)
