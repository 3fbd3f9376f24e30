"""A table of text as HTML: caption, heads with their scope, three lines, any colours.

The lines have the colour of the text, and nothing has a background: a table looks right
on a light page and on a dark one.
"""

import html

from bayeslmm.reporting.cells import Line, aligned, one_line, with_minus
from bayeslmm.reporting.tables import TextTable
from bayeslmm.tables.numbers import MISSING

STYLE = """
.bayeslmm-table { border-collapse: collapse; margin: .5em 0; color: inherit;
 background: none; font-variant-numeric: tabular-nums; border: 0 solid currentColor;
 border-width: 2px 0; line-height: 1.35; }
.bayeslmm-table caption { caption-side: top; text-align: left; padding: 0 0 .4em;
 color: inherit; font-weight: 600; }
.bayeslmm-table th, .bayeslmm-table td { padding: .15em .7em; text-align: right;
 vertical-align: top; white-space: nowrap; font-weight: 400; border: 0;
 background: none; }
.bayeslmm-table.centred th, .bayeslmm-table.centred td { text-align: center; }
.bayeslmm-table.left td, .bayeslmm-table.left thead th { text-align: left;
 white-space: normal; }
.bayeslmm-table th:first-child { text-align: left; padding-left: 0; max-width: 24em;
 min-width: 8em; white-space: normal; overflow-wrap: anywhere; }
.bayeslmm-table thead th, .bayeslmm-table thead td { font-weight: 600;
 border-bottom: 1px solid currentColor; max-width: 16em; white-space: normal;
 overflow-wrap: anywhere; vertical-align: bottom; }
.bayeslmm-table th[scope=rowgroup] { font-style: italic; padding-top: .5em; }
.bayeslmm-notes { font-size: .85em; max-width: 50em; overflow-wrap: anywhere; }
.bayeslmm-notes p { margin: .1em 0; }
"""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
body {{ font: 1rem/1.45 system-ui, sans-serif; margin: 2rem; }}
.bayeslmm-scroll {{ overflow-x: auto; }}
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
    return f"<div>\n<style>{STYLE}</style>\n{body}\n</div>"


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
