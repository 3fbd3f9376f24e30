"""Names in figures: long ones wrapped or cut, and a dollar sign no mathematics."""

import re
import textwrap

from bayeslmm.graph.names import DIVISION_SLASH

WIDEST = 24  # letters of a line of a parameter's name
LONGEST_LEVEL = 24  # letters of a level's name
BREAKS = re.compile(r"(?<=[\[\]|:,_ )])")  # a name may go on below after these


def wrapped(name: str, width: int = WIDEST) -> str:
    """A parameter's name on as many lines as it needs, none wider than `width`.

    ``subj_corr[Intercept:condition[incongruent]]`` breaks after signs; a word that is
    wider than a line is broken anywhere.
    """
    lines = [""]
    for part in BREAKS.split(name):
        pieces = [part[i : i + width] for i in range(0, len(part), width)]
        for piece in pieces:
            if len(lines[-1]) + len(piece) > width and lines[-1]:
                lines.append("")
            lines[-1] += piece
    return plain("\n".join(line.rstrip() for line in lines))


def wrapped_words(text: str, width: int) -> str:
    """A text on lines no wider than `width`; lines that it has already stay apart."""
    lines = (textwrap.wrap(line, width) for line in text.split("\n"))
    return plain("\n".join(piece for pieces in lines for piece in pieces))


def level_name(name: str) -> str:
    """A level's name, its middle left out where it would push the figure aside.

    Both ends stay: names often differ in their last letters only.
    """
    if len(name) <= LONGEST_LEVEL:
        return plain(name)
    half = (LONGEST_LEVEL - 1) // 2
    return plain(f"{name[:half]}…{name[-half:]}")


def plain(text: str) -> str:
    """Text in which matplotlib sees no mathematics, with the slashes of the user."""
    return text.replace("$", r"\$").replace(DIVISION_SLASH, "/")
