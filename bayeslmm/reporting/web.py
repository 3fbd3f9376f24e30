"""A table of text as HTML: caption, heads with their scope, three lines, any colours.

The lines have the colour of the text, and nothing has a background: a table looks right
on a light page and on a dark one.
"""

import html
from pathlib import Path

from bayeslmm.reporting.cells import Line, aligned, one_line, with_minus
from bayeslmm.reporting.tables import TextTable
from bayeslmm.tables.numbers import MISSING

STYLE = Path(__file__).with_name("tables.css")
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
body {{ font: 1rem/1.45 system-ui, sans-serif; margin: 2rem; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
DIGIT_WIDE, POINT_WIDE = "\u2007", "\u2008"  # spaces


def styled(body: str) -> str:
    """A fragment with the style of its tables."""
    style = STYLE.read_text(encoding="utf-8")
    return f'<div class="bayeslmm">\n<style>\n{style}</style>\n{body}\n</div>'


def page(body: str, title: str) -> str:
    """A file that a browser opens."""
    return PAGE.format(title=escaped(title), body=body)


def html_table(table: TextTable, label: str = "") -> str:
    """The table with its caption and notes, without a style."""
    kind = " left" if table.left else " centred" if table.centred else ""
    name = f' id="{html.escape(label)}"' if label else ""
    lines = [
        '<div class="bayeslmm-scroll">',
        f'<table class="bayeslmm-table{kind}"{name}>',
        *([f"<caption>{escaped(table.title)}</caption>"] if table.title else []),
        "<thead><tr>",
        *(_head(name, "col") for name in table.header),
        "</tr></thead>",
        *_bodies(table),
        "</table>",
        "</div>",
    ]
    notes = [f"<p>{escaped(note)}</p>" for note in table.notes]
    if notes:
        notes[0] = notes[0].replace("<p>", "<p><em>Note.</em> ", 1)
        lines += ['<div class="bayeslmm-notes">', *notes, "</div>"]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text that a browser shows as it is, in its own direction."""
    return f"<bdi>{html.escape(one_line(text))}</bdi>"


def _head(name: str, scope: str, more: str = "") -> str:
    """A cell that names others; an empty one names none."""
    if not name:
        return "<td></td>"
    return f'<th scope="{scope}"{more}>{escaped(name)}</th>'


def _bodies(table: TextTable) -> list[str]:
    """One ``tbody`` for each section."""
    width = len(table.header)
    columns = [aligned([cells[i] for _, cells in table.rows]) for i in range(1, width)]
    lines = ["<tbody>"]
    section = ""
    for i, (name, cells) in enumerate(table.rows):
        if name and name != section:
            lines += ["</tbody>", "<tbody>"] if len(lines) > 1 else []
            lines.append(f"<tr>{_head(name, 'rowgroup', f' colspan="{width}"')}</tr>")
        section = name
        own = "".join(f"<td>{_lines(column[i])}</td>" for column in columns)
        lines.append(f"<tr>{_head(cells[0], 'row')}{own}</tr>")
    return [*lines, "</tbody>"]


def _lines(lines: list[Line]) -> str:
    """The lines of a cell."""
    return "<br>".join(html.escape(spaced(line)) for line in lines)


def spaced(line: Line) -> str:
    """A line with spaces as wide as what it lacks; minus signs, and a dash for none."""
    if line.text == MISSING:
        return "–"
    text = one_line(with_minus(line.text, "−"))
    return _spaces(line.left) + text + _spaces(line.right)


def _spaces(missing: str) -> str:
    """Spaces as wide as digits and points."""
    return "".join(POINT_WIDE if one in ".," else DIGIT_WIDE for one in missing)
