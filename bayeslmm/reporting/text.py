"""Tables and sentences on a terminal, through rich."""

import shutil
from collections.abc import Iterable
from io import StringIO
from typing import TYPE_CHECKING

from bayeslmm.comparison import answer, compare, effect_tests, reading
from bayeslmm.reporting.describe import header_lines
from bayeslmm.reporting.tables import (
    TextTable,
    comparison_table,
    posterior_table,
    reml_table,
    tests_table,
)
from bayeslmm.tables.folding import folded

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.console import Console
    from rich.table import Table

    from bayeslmm.posterior.diagnose import Diagnosis
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.reporting.fitted import Fitted
    from bayeslmm.spec import ModelSpec

NARROWEST_LABEL = 12  # characters of a parameter's label before it is folded


def print_header(console: "Console", model: "ModelSpec") -> None:
    """Formula in bold, the rest below it."""
    first, *rest = header_lines(model)
    console.print(first, style="bold", markup=False, highlight=False)
    print_lines(console, rest)


def print_answer(console: "Console", sentences: Iterable[str]) -> None:
    """What to read before any table."""
    print_section(console, "In short", sentences)


def print_reml(console: "Console", reml: "RemlFit") -> None:
    """The REML table with its notes."""
    print_table(console, reml_table(reml))


def print_posterior(console: "Console", post: "Posterior") -> None:
    """The posterior table with its notes."""
    print_table(console, posterior_table(post))


def print_comparison(
    console: "Console",
    table: "DataFrame",
    tests: "DataFrame",
    sentences: Iterable[str],
) -> None:
    """What `compare` gives, and `effect_tests`, and the reading."""
    print_table(console, comparison_table(table))
    print_tests(console, tests)
    print_section(console, "Reading", sentences)


def print_tests(console: "Console", tests: "DataFrame") -> None:
    """What `effect_tests` gives; nothing without fixed effects."""
    if len(tests):
        print_table(console, tests_table(tests))


def print_diagnosis(console: "Console", diagnosis: "Diagnosis") -> None:
    """What the diagnostics say."""
    print_section(console, "Diagnosis", diagnosis.messages)


def print_fit(console: "Console", fit: "Fitted") -> None:
    """All that there is of a fit, as the command line has it."""
    reml, post = fit.reml, fit.posterior
    both = None if reml is None or post is None else compare(reml, post)
    diagnosis = None if post is None else post.diagnose()
    print_header(console, fit.model)
    if reml is None and post is None:
        return
    print_answer(console, answer(reml, post, table=both, diagnosis=diagnosis))
    if reml is not None:
        print_reml(console, reml)
    if post is not None:
        print_posterior(console, post)
    if reml is not None and post is not None and both is not None:
        print_comparison(console, both, effect_tests(reml, post), reading(reml, post))
    elif reml is not None:
        print_tests(console, effect_tests(reml))
    if diagnosis is not None:
        print_diagnosis(console, diagnosis)


def reml_text(reml: "RemlFit") -> str:
    """A REML fit as text."""
    console = _page()
    with console.capture() as text:
        print_reml(console, reml)
    return f"{reml.formula}\n{text.get().rstrip()}"


def fit_text(fit: "Fitted", end: Iterable[str] = ()) -> str:
    """The fits as text, with lines at the end that say where they are from."""
    console = _page()
    with console.capture() as text:
        print_fit(console, fit)
        if end:
            print_section(console, "Saved results", end)
    return text.get().rstrip()


def _page() -> "Console":
    """A console that writes nowhere, as wide as the terminal."""
    from rich.console import Console

    width = shutil.get_terminal_size((100, 24)).columns
    # in a notebook rich would show the text beside what is captured
    return Console(file=StringIO(), width=width, force_jupyter=False)


def print_section(console: "Console", title: str, lines: Iterable[str]) -> None:
    """A title and indented lines below it."""
    from rich.padding import Padding
    from rich.text import Text

    console.print()
    console.print(title, style="bold", markup=False, highlight=False)
    for line in lines:
        console.print(Padding(Text(line), (0, 0, 0, 2), expand=False))


def print_lines(console: "Console", lines: Iterable[str]) -> None:
    """Plain lines, indented where they wrap too."""
    from rich.padding import Padding
    from rich.text import Text

    for line in lines:
        console.print(Padding(Text(line), (0, 0, 0, 2), expand=False))


def print_table(console: "Console", table: TextTable) -> None:
    """A table with its notes; on a narrow terminal numbers run over the edge whole."""
    others = sum(width + 2 for width in _widths(table)[1:])
    room = max(console.width - others, NARROWEST_LABEL)
    drawn = rich_table(table, None if table.left else room)
    if console.width < others + room and not table.left:
        drawn.width = others + room
    console.print()
    console.print(drawn, crop=False)
    print_lines(console, table.notes)


def rich_table(table: TextTable, room: int | None = None) -> "Table":
    """The same table as a rich object; labels on lines of `room` characters."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(
        title=Text(table.title, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        padding=(0, 1),
    )
    for i, name in enumerate(table.header):
        if i == 0 or table.left:
            drawn.add_column(Text(name), overflow="fold")
        else:
            drawn.add_column(Text(name), justify="right", no_wrap=True)
    section = table.rows[0][0]
    for name, cells in table.rows:
        if name != section:
            drawn.add_section()
            section = name
        label, *numbers = cells
        label = label if room is None else folded(label, room)
        drawn.add_row(Text(label), *(Text(cell) for cell in numbers))
    return drawn


def _widths(table: TextTable) -> list[int]:
    """Characters that each column needs."""
    columns = zip(table.header, *(cells for _, cells in table.rows), strict=True)
    return [max(map(len, column)) for column in columns]
