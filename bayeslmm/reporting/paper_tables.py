"""Tables for papers: numbers, their layout, and every format they can be written in.

`PaperTable` has one table, `PaperTables` those of one fit. Both print as text of their
format, show as HTML in a notebook and are written to the file that a name ends in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from bayeslmm.errors import ModelError, OutputError, as_path, is_choice
from bayeslmm.reporting.latex import latex
from bayeslmm.reporting.markdown import markdown
from bayeslmm.reporting.tables import TextTable
from bayeslmm.reporting.web import html_table, page, styled
from bayeslmm.reporting.word import docx
from bayeslmm.tables import Table

Format = Literal["markdown", "latex", "html", "docx", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)
ENDINGS: dict[str, Format] = {
    ".md": "markdown",
    ".tex": "latex",
    ".html": "html",
    ".docx": "docx",
    ".csv": "csv",
}


def check_format(value: object) -> Format:
    """The value as a format; `ModelError` for anything else."""
    if not is_choice(value, FORMATS):
        raise ModelError(
            f"Unknown format={value!r}. Options: {', '.join(map(repr, FORMATS))}."
        )
    return value  # pyright: ignore[reportReturnType]


@dataclass(frozen=True, slots=True, repr=False)
class PaperTable:
    r"""A table for a paper, in every format.

    Attributes
    ----------
    frame : Table
        All numbers, not rounded: one row for each model and parameter.
    layout : TextTable
        What is printed: caption, head, rows of text, notes.
    label : str
        By which LaTeX refers to it; empty for none.
    format : {"markdown", "latex", "html", "docx", "csv"}
        In which it prints. A Word document is no text: it prints as Markdown.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> table = lmm.model_table(lmm.Model("score ~ edu + (1 | classroom)", pupils)
    ...                         .fit_reml(), format="latex")
    >>> print(str(table).splitlines()[1])
    \begin{table}[htbp]
    >>> bool(table.frame["estimate"].notna().all())
    True
    """

    frame: Table
    layout: TextTable
    label: str = ""
    format: Format = "markdown"

    def __str__(self) -> str:
        """Text of the format."""
        return text_of((self,), self.format)

    def __repr__(self) -> str:
        """The same."""
        return str(self)

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return text_of((self,), "html")

    def _repr_latex_(self) -> str:
        """The table, for notebooks that become PDF."""
        return text_of((self,), "latex")

    def _repr_markdown_(self) -> str:
        """The table, for documents that are woven from Markdown."""
        return text_of((self,), "markdown")

    def save(self, path: str | PathLike[str]) -> Path:
        """Write it in the format that the name ends in.

        Parameters
        ----------
        path : str or path
            Ends in ``.md``, ``.tex``, ``.html``, ``.docx`` or ``.csv`` (numbers of full
            precision). A file that is there is replaced.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OutputError
            If the ending is none of these, or the file cannot be written.
        ModelError
            If python-docx, for ``.docx``, is not installed.
        """
        return save((self,), path)


class PaperTables(tuple[PaperTable, ...]):
    """Some tables for a paper as one document, in every format; a tuple of them.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> reml = lmm.Model("score ~ edu + (1 | classroom)", pupils).fit_reml()
    >>> tables = lmm.Fit(reml.model, reml, None).tables()
    >>> len(tables), tables[0].layout.header[:3]
    (4, ('', 'REML', 'SE'))
    """

    __slots__ = ()

    def __str__(self) -> str:
        """Text of the format, one table below the other."""
        return text_of(self, self[0].format)

    def __repr__(self) -> str:
        """The same."""
        return str(self)

    def _repr_html_(self) -> str:
        """The tables, for notebooks."""
        return text_of(self, "html")

    def _repr_latex_(self) -> str:
        """The tables, for notebooks that become PDF."""
        return text_of(self, "latex")

    def _repr_markdown_(self) -> str:
        """The tables, for documents that are woven from Markdown."""
        return text_of(self, "markdown")

    def save(self, path: str | PathLike[str]) -> Path:
        """Write them to one file; see `PaperTable.save`."""
        return save(self, path)


def text_of(tables: Sequence[PaperTable], format: Format) -> str:
    """Tables as text: of CSV the numbers, for Word what Markdown has."""
    if format == "csv":
        return _numbers(tables).to_csv(index=False)
    if format == "latex":
        return "\n\n".join(latex(one.layout, one.label) for one in tables)
    if format == "html":
        return styled(_fragments(tables))
    return "\n\n".join(markdown(one.layout) for one in tables)


def save(tables: Sequence[PaperTable], path: str | PathLike[str]) -> Path:
    """Tables into one file."""
    own = as_path(path, "path")
    format = ENDINGS.get(own.suffix.lower())
    if format is None:
        raise OutputError(
            f"{str(own)!r} does not say in which format to write tables. Let it end in "
            f"{', '.join(ENDINGS)}."
        )
    try:
        own.write_bytes(_bytes_of(tables, format))
    except OSError as error:
        raise OutputError(
            f"The tables could not be written to {str(own)!r} ({error.strerror}). Give "
            "a file in a folder that exists and can be written."
        ) from error
    return own


def _bytes_of(tables: Sequence[PaperTable], format: Format) -> bytes:
    """What a file of a format holds."""
    if format == "docx":
        return docx([one.layout for one in tables])
    text = text_of(tables, format)
    if format == "html":
        text = page(text, next((one.layout.title for one in tables), "") or "Tables")
    return f"{text.rstrip()}\n".encode("utf-8", "replace")


def _fragments(tables: Sequence[PaperTable]) -> str:
    """Tables as HTML."""
    return "\n".join(html_table(one.layout, one.label) for one in tables)


def _numbers(tables: Sequence[PaperTable]) -> pd.DataFrame:
    """The frames below each other: ``component`` says which rows are of which."""
    return pd.concat([pd.DataFrame(one.frame) for one in tables])
