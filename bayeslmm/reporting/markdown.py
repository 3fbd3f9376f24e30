"""A table of text as Markdown: a pipe table that lines up where it is read as text.

The caption is a line ``Table: ...``, which pandoc and Quarto know. A cell of several
lines is as many rows.
"""

import re
from itertools import zip_longest

from bayeslmm.reporting.cells import aligned, one_line
from bayeslmm.reporting.tables import TextTable

# Signs that Markdown, or pandoc, would take for markup.
MARKUP = re.compile(r"[\\|*_`<>~$&@]")
LINK = re.compile(r"\](?=\()|\[(?=\^)")


def markdown(table: TextTable) -> str:
    """The table with its caption and notes."""
    rows = [[escaped(name) for name in table.header], *_body(table)]
    columns = list(zip(*rows, strict=True))
    widths = [max(3, *map(_width, column)) for column in columns]
    first = ":" + "-" * (widths[0] - 1)
    marks = [_rule(width, table) for width in widths[1:]]
    lines = [_line(row, widths, table) for row in rows]
    lines.insert(1, "| " + " | ".join([first, *marks]) + " |")
    parts = [f"Table: {escaped(table.title)}"] if table.title else []
    parts.append("\n".join(lines))
    if table.notes:
        notes = [escaped(note) for note in table.notes]
        parts.append("*Note.* " + "  \n".join(notes))
    return "\n\n".join(parts)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return LINK.sub(r"\\\g<0>", MARKUP.sub(r"\\\g<0>", one_line(text)))


def _body(table: TextTable) -> list[list[str]]:
    """Rows of text: sections, labels, and a row for each line of the cells."""
    columns = [
        aligned([cells[i] for _, cells in table.rows])
        for i in range(1, len(table.header))
    ]
    rows: list[list[str]] = []
    section = ""
    for i, (name, cells) in enumerate(table.rows):
        if name and name != section:
            rows.append([f"*{escaped(name)}*", *[""] * len(columns)])
        section = name
        lines = [[_padded(line) for line in column[i]] for column in columns]
        label = [escaped(cells[0])]
        rows += [list(row) for row in zip_longest(label, *lines, fillvalue="")]
    return rows


def _padded(line: tuple[str, str, str]) -> str:
    """A line of a cell, a number with spaces around it."""
    left, text, right = line
    return " " * len(left) + escaped(text) + " " * len(right)


def _line(row: list[str], widths: list[int], table: TextTable) -> str:
    """One line of the source."""
    cells = [
        _beside(cell, width, centred=table.centred, left=i == 0 or table.left)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "| " + " | ".join(cells) + " |"


def _beside(cell: str, width: int, *, centred: bool, left: bool) -> str:
    """A cell as wide as its column."""
    space = width - _width(cell)
    before = 0 if left else space // 2 if centred else space
    return " " * before + cell + " " * (space - before)


def _rule(width: int, table: TextTable) -> str:
    """The dashes below a heading, which say where the column is aligned."""
    if table.left:
        return ":" + "-" * (width - 1)
    return (":" if table.centred else "-") + "-" * (width - 2) + ":"


def _width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    from rich.cells import cell_len

    return cell_len(text)
