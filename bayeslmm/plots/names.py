"""Names in figures: long ones wrapped or cut, and a dollar sign no mathematics."""

import textwrap

from bayeslmm.graph.names import DIVISION_SLASH
from bayeslmm.tables.folding import ends_kept, folded

WIDEST = 24  # letters of a line of a parameter's name
LONGEST_LEVEL = 24  # letters of a level's name


def wrapped(name: str, width: int = WIDEST) -> str:
    """A parameter's name on as many lines as it needs, none wider than `width`."""
    return plain(folded(name, width))


def wrapped_words(text: str, width: int) -> str:
    """A text on lines no wider than `width`; lines that it has already stay apart."""
    lines = (textwrap.wrap(line, width) for line in text.split("\n"))
    return plain("\n".join(piece for pieces in lines for piece in pieces))


def level_name(name: str) -> str:
    """A level's name, its middle left out where it would push the figure aside."""
    return plain(ends_kept(name, LONGEST_LEVEL))


def plain(text: str) -> str:
    """Text in which matplotlib sees no mathematics, with the slashes of the user."""
    return text.replace("$", r"\$").replace(DIVISION_SLASH, "/")
