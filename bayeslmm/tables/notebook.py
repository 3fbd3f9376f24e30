"""What a notebook shows of a result: a heading, sentences and tables, escaped.

Takes text and frames; gives a fragment of HTML without colours of its own, so that it
is right on a light page and on a dark one.
"""

import html
from collections.abc import Iterable

import pandas as pd

from bayeslmm.formula.markup import sentence_list
from bayeslmm.tables.frame import Table, as_text


def fragment(
    head: str = "",
    sentences: Iterable[str] = (),
    tables: Iterable[pd.DataFrame] = (),
) -> str:
    """A heading, a list of sentences, and tables below each other.

    Parameters
    ----------
    head : str
        One line above the rest; empty for none.
    sentences : iterable of str
        Each is an item of a list.
    tables : iterable of DataFrame
        Rounded as a `Table` is; rows that only count are not named.
    """
    above = sentence_list(head, sentences)
    return "\n".join([*filter(None, [above]), *map(_table, tables)])


def lined(lines: Iterable[str]) -> str:
    """Lines in letters of one width, which scroll where they are too long."""
    text = html.escape("\n".join(lines))
    return f'<pre style="overflow-x:auto">{text}</pre>'


def _table(own: pd.DataFrame) -> str:
    """A table as notebooks show tables."""
    table = Table(own)
    table.attrs = own.attrs
    if not isinstance(own.index, pd.RangeIndex):
        return table._repr_html_() or ""
    return as_text(table).to_html(index=False, notebook=True)
