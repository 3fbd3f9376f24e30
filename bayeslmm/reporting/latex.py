r"""A table of text as LaTeX: three lines by ``booktabs``, and no other package.

Decimal points stand below each other by ``\phantom``: a number that lacks digits has
their space, so that columns need no ``siunitx`` or ``dcolumn`` and may hold intervals.
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import zip_longest

from bayeslmm.errors import ModelError
from bayeslmm.reporting.cells import Line, aligned, one_line, widths, with_minus
from bayeslmm.reporting.tables import TextTable
from bayeslmm.tables.numbers import MISSING

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"$\sim$",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': r"\char34{}",
    "`": r"\textasciigrave{}",
    **{sign: "\\" + sign for sign in "%_&#${}"},
    "∞": r"$\infty$",
    "−": "$-$",
    "×": r"$\times$",
    "²": "$^2$",
}
# Names as LaTeX has them; omicron and the other sigma have none.
GREEK = {
    letter: unicodedata.name(letter).split()[-1].lower().replace("lamda", "lambda")
    for letter in "αβγδεζηθικλμνξπρστυφχψω"
}
KNOWN = SPECIAL | {letter: f"$\\{name}$" for letter, name in GREEK.items()}
# Up to here pdflatex has the letters by itself.
LATIN = "\u017f"
REFERENCE = re.compile(r"[A-Za-z0-9:._/+-]+")
# Characters of the longest cells beyond which letters are smaller, and advice is given.
LINE, PAGE = 60, 100
LONGEST_LABEL = 50  # characters


def check_reference(label: str, caption: str) -> None:
    """Raise `ModelError` unless a label can be referred to."""
    if label and not REFERENCE.fullmatch(label):
        raise ModelError(
            f"label must be letters, digits and any of ':._/+-', such as 'tab:sleep', "
            f"not {label!r}: LaTeX refers to it by \\ref."
        )
    if label and not caption:
        raise ModelError(
            "A label without a caption has no number that LaTeX could refer to. Give "
            "caption='...' too."
        )


def latex(table: TextTable, label: str = "") -> str:
    """A ``table`` environment with caption, label and notes."""
    columns = len(table.header)
    align = "l" if table.left else "c" if table.centred else "r"
    lines = [*_advice(table), r"\begin{table}[htbp]", r"\centering"]
    if table.title:
        lines.append(rf"\caption{{{escaped(table.title)}}}")
    if label:
        lines.append(rf"\label{{{label}}}")
    if sum(widths(table)) > LINE:
        lines.append(r"\footnotesize\setlength{\tabcolsep}{4pt}")
    lines += [
        rf"\begin{{tabular}}{{{_first(table)}{align * (columns - 1)}}}",
        r"\toprule",
        _row([escaped(name) for name in table.header]),
        r"\midrule",
        *_body(table),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if table.notes:
        notes = " \\\\\n".join(_start(escaped(note)) for note in table.notes)
        lines += [
            r"\par\smallskip",
            r"\begin{minipage}{\linewidth}\footnotesize",
            rf"\emph{{Note.}} {notes}",
            r"\end{minipage}",
        ]
    return "\n".join([*lines, r"\end{table}"])


def escaped(text: str) -> str:
    """Text that LaTeX sets as it is."""
    known = "".join(KNOWN.get(sign, sign) for sign in one_line(text))
    return known.replace("--", "-{}-{}")  # or they would be a dash


def _body(table: TextTable) -> list[str]:
    """Rows, each line of a cell one, under the names of their sections."""
    width = len(table.header)
    columns = [aligned([cells[i] for _, cells in table.rows]) for i in range(1, width)]
    lines: list[str] = []
    section = ""
    for i, (name, cells) in enumerate(table.rows):
        if name and name != section:
            lines += [r"\addlinespace"] if lines else []
            head = rf"\emph{{{escaped(name)}}}"
            lines.append(_row([rf"\multicolumn{{{width}}}{{l}}{{{head}}}"]))
        section = name
        own = [[_set(line) for line in column[i]] for column in columns]
        label = [escaped(cells[0])]
        lines += [_row(row) for row in zip_longest(label, *own, fillvalue="")]
    return lines


def _first(table: TextTable) -> str:
    """How the names of the rows stand: long ones on several lines."""
    return r"p{0.4\linewidth}" if widths(table)[0] > LONGEST_LABEL else "l"


def _set(line: Line) -> str:
    """A line of a cell with phantoms for what it lacks in width."""
    text = "--" if line.text == MISSING else escaped(with_minus(line.text, "−"))
    return _phantom(line.left) + text + _phantom(line.right)


def _phantom(missing: str) -> str:
    """The space of some digits."""
    return rf"\phantom{{{missing.replace('-', '$-$')}}}" if missing else ""


def _row(cells: Sequence[str]) -> str:
    """One row of the source."""
    return _start(" & ".join(cells)) + r" \\"


def _start(line: str) -> str:
    r"""What follows ``\\``, which takes a bracket or star for its own."""
    return "{}" + line if line.startswith(("[", "*")) else line


def _advice(table: TextTable) -> list[str]:
    """Comments on what the table needs."""
    lines = [r"% needs \usepackage{booktabs}"]
    if sum(widths(table)) > PAGE:
        lines.append("% many columns: sidewaystable of the package rotating is wider")
    texts = (table.title, *table.header, *table.notes)
    texts += tuple(text for name, cells in table.rows for text in (name, *cells))
    odd = {sign for text in texts for sign in one_line(text) if sign > LATIN}
    if odd - KNOWN.keys() - set("–—‘’“”"):
        lines.append("% letters that pdflatex lacks: use lualatex or xelatex")
    return lines
