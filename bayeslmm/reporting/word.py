"""Tables of text as a Word document, through python-docx.

Real tables: three lines, a head that is repeated on each page, rows that are not cut at
the end of one, numbers with their decimal points below each other, notes below.
"""

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bayeslmm.errors import ModelError
from bayeslmm.reporting.cells import aligned, one_line, widths
from bayeslmm.reporting.tables import TextTable
from bayeslmm.reporting.web import spaced

if TYPE_CHECKING:
    from docx.document import Document
    from docx.table import Table, _Row

THICK, THIN = 12, 6  # eighths of a point
SIZE, SMALL = 10.0, 9.0  # points: of tables, of notes and wide tables
CHARACTER = 0.52  # width of one, in sizes of the letters
INCH = 72.0  # points: the margins of a page
UPRIGHT, LYING = 6.5 * INCH, 9.0 * INCH  # that it has for a table
LONGEST_LABEL = 30  # characters before a label goes on in the next line
MARGIN = 16.0  # points between columns
AFTER_BORDERS = ("w:shd", "w:tblLayout", "w:tblCellMar", "w:tblLook")  # schema's order
NO_BREAK = "\u00a0"


def docx(tables: Sequence[TextTable]) -> bytes:
    """A document with these tables, one below the other.

    A table that is wider than a page that lies has its columns in several, one below
    the other, with the names of the rows in each.

    Raises
    ------
    ModelError
        If python-docx is not installed.
    """
    try:
        from docx import Document
    except ImportError as error:
        raise ModelError(
            "Word documents need python-docx, which is not installed: "
            "pip install 'bayeslmm[docx]'. Markdown and HTML need nothing more, and "
            "Word opens HTML."
        ) from error
    document = Document()
    lying = any(sum(_points(table)) > UPRIGHT for table in tables)
    _set_page(document, lying=lying)
    for table in tables:
        _add(document, table, LYING if lying else UPRIGHT)
    found = io.BytesIO()
    document.save(found)
    return found.getvalue()


def _set_page(document: "Document", *, lying: bool) -> None:
    """Margins of an inch, and pages that lie for wide tables."""
    from docx.enum.section import WD_ORIENT
    from docx.shared import Pt

    page: Any = document.sections[0]
    page.left_margin = page.right_margin = Pt(INCH)
    if lying:
        page.orientation = WD_ORIENT.LANDSCAPE
        page.page_width, page.page_height = page.page_height, page.page_width


def _points(table: TextTable) -> list[float]:
    """How wide each column wants to be."""
    first, *others = widths(table)
    found = [min(first, LONGEST_LABEL), *others]
    return [MARGIN + CHARACTER * SIZE * one for one in found]


def panels(table: TextTable, room: float) -> list[TextTable]:
    """The table, or tables with some of its columns each, as many as there is room."""
    first, *others = _points(table)
    chosen: list[list[int]] = [[]]
    left = room - first
    for i, width in enumerate(others, start=1):
        if width > left and chosen[-1]:
            chosen.append([])
            left = room - first
        chosen[-1].append(i)
        left -= width
    return [_with_columns(table, [0, *columns]) for columns in chosen]


def _with_columns(table: TextTable, columns: Sequence[int]) -> TextTable:
    """Some of the columns."""
    rows = tuple(
        (section, tuple(cells[i] for i in columns)) for section, cells in table.rows
    )
    return replace(table, header=tuple(table.header[i] for i in columns), rows=rows)


def _add(document: "Document", table: TextTable, room: float) -> None:
    """Caption, table, notes."""
    from docx.shared import Pt

    if table.title:
        caption = document.add_paragraph()
        caption.add_run(one_line(table.title)).bold = True
        caption.paragraph_format.keep_with_next = True
        caption.paragraph_format.space_after = Pt(4.0)
    for i, panel in enumerate(panels(table, room)):
        if i:
            document.add_paragraph()  # or Word would make one table of two
        _add_table(document, panel)
    for i, note in enumerate(table.notes):
        below = document.add_paragraph()
        below.paragraph_format.space_after = Pt(0.0)
        if not i:
            first = below.add_run("Note. ")
            first.italic, first.font.size = True, Pt(SMALL)
        below.add_run(one_line(note)).font.size = Pt(SMALL)
    document.add_paragraph()


def _add_table(document: "Document", table: TextTable) -> None:
    """The table itself."""
    width = len(table.header)
    columns = [aligned([cells[i] for _, cells in table.rows]) for i in range(1, width)]
    heads = [
        (i, name)
        for i, (name, _) in enumerate(table.rows)
        if name and (not i or name != table.rows[i - 1][0])
    ]
    made = document.add_table(rows=1 + len(table.rows) + len(heads), cols=width)
    rows = iter(made.rows)
    _fill(next(rows), [one_line(name) for name in table.header], table, bold=True)
    named = dict(heads)
    for i, (_, cells) in enumerate(table.rows):
        if i in named:
            row = next(rows)
            _fill(row, [one_line(named[i])], table, italic=True)
            row.cells[0].merge(row.cells[-1])
        own = ["\n".join(spaced(line) for line in column[i]) for column in columns]
        _fill(next(rows), [one_line(cells[0]), *own], table)
    _size(made, _points(table))
    _mark(made)


def _fill(
    row: "_Row",
    texts: Sequence[str],
    table: TextTable,
    *,
    bold: bool = False,
    italic: bool = False,
) -> None:
    """Texts into the first cells of a row; a line break is one."""
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.shared import Pt

    right = WD_ALIGN_PARAGRAPH.RIGHT
    side = WD_ALIGN_PARAGRAPH.CENTER if table.centred else right
    for i, (cell, text) in enumerate(zip(row.cells, texts, strict=False)):
        paragraph = cell.paragraphs[0]
        paragraph.paragraph_format.space_after = Pt(0.0)
        if i and not table.left:
            paragraph.alignment = side
            text = text if bold else text.replace(" ", NO_BREAK)
        run = paragraph.add_run(text)
        run.bold, run.italic, run.font.size = bold or None, italic or None, Pt(SIZE)


def _size(made: "Table", points: Sequence[float]) -> None:
    """Widths of the columns; in the cells too, where Word looks first."""
    from docx.shared import Pt

    made.autofit = False
    for column, width in zip(made.columns, points, strict=True):
        column.width = Pt(width)
    for row in made.rows:
        cells = row._tr.tc_lst
        for cell, width in zip(cells, points, strict=False):
            cell.width = Pt(width if len(cells) == len(points) else sum(points))


def _mark(made: "Table") -> None:
    """Lines above, below the head and at the end; a head that is repeated."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    def element(name: str, **values: object) -> Any:  # noqa: ANN401
        found = OxmlElement(name)
        for key, value in values.items():
            found.set(qn(f"w:{key}"), str(value))
        return found

    def line(side: str, size: int) -> Any:  # noqa: ANN401
        return element(f"w:{side}", val="single", sz=size, space=0, color="auto")

    borders = element("w:tblBorders")
    borders.extend([line("top", THICK), line("bottom", THICK)])
    made._tbl.tblPr.insert_element_before(borders, *AFTER_BORDERS)
    for row in made.rows:
        row._tr.get_or_add_trPr().append(element("w:cantSplit"))
    made.rows[0]._tr.get_or_add_trPr().append(element("w:tblHeader"))
    for cell in made.rows[0].cells:
        under = element("w:tcBorders")
        under.append(line("bottom", THIN))
        cell._tc.get_or_add_tcPr().append(under)
