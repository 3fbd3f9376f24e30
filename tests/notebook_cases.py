"""What a notebook shows, and whether two runs of it show the same.

Text must be equal word for word, its numbers to the printed precision: the last digit
may differ by one, because machines round differently. Cells with the tag `draws` hold
what a sampler has drawn, which another processor draws differently: only their words
are compared. Of pictures it is asked that they are there.
"""

import re
from itertools import zip_longest
from typing import Any

from bayeslmm.graph.sampling import BUILDING
from bayeslmm.marginal.kernels.compiling import COMPILING

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.]*\w)")
DECIMAL = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.]*\w)")
NAME = re.compile(r"https?://\S+|doi:\S+|CC-BY \S+|\b\d{4}\.\d{4,5}\b")  # or arXiv's
# A home, a drive, the folders of an installation: nobody else has them.
FOLDERS = r"(?<![\w:/.])/(home|Users|tmp|work|root|usr|opt|mnt)/"
MACHINE_PATH = re.compile(rf"{FOLDERS}|\b[A-Z]:\\")
ONCE = {COMPILING.words, BUILDING.words}  # said by the first run on a machine


def code_cells(notebook: Any) -> list[Any]:
    """Those that can show something."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(cell: Any) -> list[str]:
    """All that a cell shows as text, one entry for each stream or kind of text."""
    streams: dict[str, str] = {}  # the pieces of one stream, however they were cut
    for output in cell.outputs:
        if output.output_type == "stream":
            streams[output.name] = streams.get(output.name, "") + output.text
    shown = [
        str(words)
        for output in cell.outputs
        if output.output_type in ("display_data", "execute_result")
        for kind, words in sorted(output.data.items())
        if kind.startswith("text/")
    ]
    return [*(streams[name] for name in sorted(streams) if name == "stdout"), *shown]


def noise(cell: Any) -> list[str]:
    """Errors and what went to stderr, but for the line before the first compiling."""
    said = [
        line
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
        for line in output.text.splitlines()
        if line.strip() and line.strip() not in ONCE
    ]
    return said + [o.evalue for o in cell.outputs if o.output_type == "error"]


def pictures(cell: Any) -> int:
    """How many it shows."""
    return sum(
        kind.startswith("image/")
        for output in cell.outputs
        for kind in output.get("data", {})
    )


def alternatives(cell: Any) -> list[str]:
    """What each picture says to those who cannot see it, or nothing."""
    return [
        output.get("metadata", {}).get(kind, {}).get("alt", "")
        for output in cell.outputs
        for kind in output.get("data", {})
        if kind.startswith("image/")
    ]


def same_number(saved: str, new: str) -> bool:
    """Whether two numbers are equal as printed, but for one in the last digit.

    Whole numbers are counts, and equal or not.
    """
    if saved == new:
        return True
    if "." not in saved or _last_digit(saved) != _last_digit(new):
        return False
    return abs(float(saved) - float(new)) < 1.5 * _last_digit(saved)


def _last_digit(number: str) -> float:
    """What one in the last digit is worth."""
    digits, _, power = number.partition("e")
    return 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))


def difference(saved: Any, new: Any) -> str | None:
    """What a cell no longer shows as it was saved; None if it does."""
    if pictures(saved) != pictures(new):
        return f"{pictures(saved)} pictures saved, {pictures(new)} now"
    drawn = "draws" in saved.metadata.get("tags", [])
    for before, after in zip_longest(texts(saved), texts(new), fillvalue=""):
        if found := _difference(before, after, drawn):
            return found
    return None


def _difference(saved: str, new: str, drawn: bool) -> str | None:
    """The first word or number in which two texts differ, with the words before it."""
    words = [_words(saved), _words(new)]
    for at, (before, after) in enumerate(zip_longest(*words, fillvalue="(nothing)")):
        numbers = [NUMBER.findall(before), NUMBER.findall(after)]
        told_apart = NUMBER.sub("#", before) != NUMBER.sub("#", after)
        if told_apart or not (drawn or all(map(same_number, *numbers))):
            context = " ".join(words[0][:at][-6:])
            return f"saved {before!r}, now {after!r}, after {context!r}"
    return None


def _words(text: str) -> list[str]:
    """Words; rules are as long as the widest number, and an object is anywhere."""
    return re.sub(r"[-─━]{3,}", "---", re.sub(r"0x[0-9a-f]+", "0x", text)).split()


def loose_numbers(notebook: Any) -> list[str]:
    """Decimal numbers of the prose that no cell computes or asserts."""
    held = [words for c in code_cells(notebook) for words in (c.source, *texts(c))]
    known = set(DECIMAL.findall(" ".join(held)))
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    said = DECIMAL.findall(NAME.sub(" ", " ".join(prose)))
    return [number for number in said if number not in known]
