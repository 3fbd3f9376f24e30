"""How a file is to be read, as the caller said it.

Takes the keywords of `read`; gives checked `Options`, and the words in which messages
name them, for Python and for the command line at once.
"""

import codecs
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from encodings.aliases import aliases

from bayeslmm.errors import ModelError, is_choice, is_number, nearest_names

SEPARATOR = re.compile(r"[^\r\n\"'\x80-\U0010ffff]")
# What is missing in a text file. pandas takes "None" too, which is a level of many
# factors ("treatment: None").
MISSING = (
    "",
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "-NaN",
    "-nan",
    "1.#IND",
    "1.#QNAN",
    "<NA>",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "n/a",
    "nan",
    "null",
)


@dataclass(frozen=True, slots=True)
class Options:
    """How to read a file; None where the caller left it to us."""

    sep: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    na: tuple[str, ...] = ()
    sheet: str | int | None = None

    @property
    def missing(self) -> list[str]:
        """All texts that are missing values: as R's na.strings where "" is given."""
        return [*self.na] if "" in self.na else [*MISSING, *self.na]


def option(name: str, value: str) -> str:
    """An option and its value, as Python and as the command line have it.

    Examples
    --------
    >>> option("sep", ";")
    "sep=';' (on the command line --sep ';')"
    """
    shown = {"\t": "'\\t'"}.get(value, f"'{value}'")
    return f"{name}={shown} (on the command line --{name} {shown})"


def checked_options(
    sep: object, decimal: object, encoding: object, na: object, sheet: object
) -> Options:
    """The options of `read`, each what it must be.

    Raises
    ------
    ModelError
        If one cannot be what it is given as.
    """
    if decimal is not None and not is_choice(decimal, (".", ",")):
        raise ModelError(f"decimal must be '.' or ',', not {decimal!r}.")
    if sheet is not None and (not isinstance(sheet, str | int) or sheet is True):
        raise ModelError(
            f"sheet must be the name of a sheet, or its number from 1, not {sheet!r}."
        )
    return Options(
        _separator(sep),
        None if decimal is None else str(decimal),
        _encoding(encoding),
        _missing(na),
        sheet,
    )


def _separator(sep: object) -> str | None:
    """The separator: one character, which pandas does not take for an expression."""
    if sep is None:
        return None
    if is_choice(sep, ("\\t",)):  # as a shell passes it on
        return "\t"
    if not isinstance(sep, str) or not SEPARATOR.fullmatch(sep):
        raise ModelError(
            f"sep={sep!r} is not a separator: give one character, ',' ';' '|' or a "
            f"tab '\\t'. Regular expressions are not taken; write a file with other "
            f"separators anew."
        )
    return sep


def _encoding(encoding: object) -> str | None:
    """The name of an encoding that Python knows."""
    if encoding is None:
        return None
    try:
        codecs.lookup(str(encoding))
    except (LookupError, ValueError) as error:  # ValueError: no text of an encoding
        known = {name.replace("_", "-") for name in aliases.values()}
        hint = nearest_names(str(encoding).lower(), sorted(known))
        raise ModelError(
            f"There is no encoding {encoding!r}.{hint} Common ones: 'utf-8', 'cp1252' "
            f"(Windows), 'latin-1', 'utf-16'."
        ) from error
    return str(encoding)


def _missing(na: object) -> tuple[str, ...]:
    """Further texts that are missing values; one text may name several.

    Nothing beside a comma is no empty text: "-," would make NA a level unasked.
    """
    if na is None:
        return ()
    if isinstance(na, str):
        parts = [part.strip() for part in na.split(",")]
        return tuple(part for part in parts if part) if "," in na else (parts[0],)
    given = list(na) if isinstance(na, Iterable) else [na]
    fits = all(isinstance(value, str) or is_number(value) for value in given)
    if isinstance(na, Mapping) or not fits:
        raise ModelError(
            f"na must be text or a list of texts that are missing values, such as "
            f"'-,?' or ['-', '?'], not {na!r}."
        )
    return tuple(str(value) for value in given)
