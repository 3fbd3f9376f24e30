"""Cells of text tables: how those that are numbers stand under each other.

Takes the cells of a column; gives for each line what it lacks on its left and right to
be as wide as the widest number, its decimal point below that of the others. Each format
sets this in its own way: LaTeX as phantoms, HTML and Word as spaces as wide as a digit.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from bayeslmm.reporting.tables import TextTable

NUMBER = re.compile(r"(-?)([\d,]+)(\.\d+)?(\**)")
# What numbers, intervals and p values are made of: there a hyphen is a minus sign.
NUMERIC = re.compile(r"[-\d.,\[\]()<=*∞e+p ]*\d[-\d.,\[\]()<=*∞e+p ]*")
DIGIT = re.compile(r"\d")
HYPHEN = re.compile(r"(?<![\w.])-(?=[\d∞])|(?<=e)-")
# What would break a line or a file: control characters, halves of characters.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Line(NamedTuple):
    """One line of a cell, and the missing width: ``left``, ``right`` as digits."""

    left: str
    text: str
    right: str


def aligned(column: Sequence[str]) -> list[list[Line]]:
    """The lines of each cell of a column, numbers with what they lack in width."""
    lines = [cell.split("\n") for cell in column]
    found = [NUMBER.fullmatch(line) for own in lines for line in own]
    parts = [match.groups("") for match in found if match]
    minus, whole, decimals, stars = (
        max((part[i] for part in parts), key=len, default="") for i in range(4)
    )
    return [[_line(one, minus, whole, decimals, stars) for one in own] for own in lines]


def _line(line: str, minus: str, whole: str, decimals: str, stars: str) -> Line:
    """One line beside the widest parts of its column."""
    match = NUMBER.fullmatch(line)
    if match is None:
        return Line("", line, "")
    own = [len(part) for part in match.groups("")]
    left = minus[own[0] :] + whole[: len(whole) - own[1]]
    right = decimals[own[2] :] + stars[own[3] :]
    return Line(DIGIT.sub("0", left), line, DIGIT.sub("0", right))


def widths(table: TextTable) -> list[int]:
    """Characters of the longest line of each column."""
    rows = [table.header, *(cells for _, cells in table.rows)]
    return [
        max(len(line) for cell in own for line in cell.split("\n"))
        for own in zip(*rows, strict=True)
    ]


def with_minus(line: str, minus: str) -> str:
    """A line with minus signs for the hyphens of its numbers; words as they are."""
    return HYPHEN.sub(minus, line) if NUMERIC.fullmatch(line) else line


def one_line(text: str) -> str:
    """Text from data on one line; a replacement character for what cannot be shown."""
    return UNPRINTABLE.sub("\ufffd", " ".join(text.split()))
