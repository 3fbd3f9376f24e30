"""Text -> tokens with positions, and the bracket check.

Takes the text of a formula; gives `Token`. Characters that cannot occur in a formula
are explained here, so that the parser meets only what it knows.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from bayeslmm.formula.nodes import is_plain_name

Kind = Literal["name", "quoted", "number", "string", "operator", "end"]


class ParseError(Exception):
    """What is wrong and where; `parse_formula` turns it into a `FormulaError`."""

    def __init__(self, message: str, position: int):
        super().__init__(message)
        self.message, self.position = message, position


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the formula; ``text`` is without quotes for names and strings."""

    kind: Kind
    text: str
    position: int


_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?L?)
  | (?P<name>[^\W\d](?:[\w.]|[^\x00-\x7f\s])*|\.(?:[\w.]|[^\x00-\x7f\s])*)
  | (?P<quoted>`(?:[^`\\]|\\[\s\S])+`)
  | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<operator>%[^%\s]*%|\|\||\*\*|==|!=|<=|>=|::|[-+*/^:|~(),=<>])
    """,
    re.VERBOSE,
)

_EXPLAINED = {
    "[": "Indexing with '[' is not part of a formula. Put the values in a column of "
    "their own and name it.",
    "{": "'{' is not part of a formula. Use round brackets.",
    "$": "'$' is not part of a formula. Name the column alone, without its data frame.",
    "@": "'@' is not part of a formula. Name the column alone.",
    "!": "'!' is not part of a formula. Write I(x == 0), or prepare a column.",
    "&": "'&' is not part of a formula. Multiply: I((x > 1) * (x < 3)).",
    "%": "A single '%' is not part of a formula; the remainder is '%%', inside I().",
    "`": "This back-quote is not closed. Close it after the column name.",
    '"': "This quote is not closed.",
    "'": "This quote is not closed.",
}


def tokenize(text: str) -> list[Token]:
    """All tokens and an ``end`` token, brackets known to match."""
    tokens, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ParseError(_unexpected(text[position]), position)
        if match.lastgroup != "space":
            tokens.append(_token(match, text))
        position = match.end()
    tokens.append(Token("end", "", len(text)))
    _check_brackets(tokens)
    return tokens


def _token(match: re.Match[str], text: str) -> Token:
    """One token from a match."""
    content, start, end = match.group(), match.start(), match.end()
    match match.lastgroup:
        case "number":
            if re.match(r"[\w.]", text[end : end + 1]):
                message = (
                    f"{content!r} runs into the letters after it. Write an operator "
                    f"between them, I({content} * x), or back-quote the column's name."
                )
                raise ParseError(message, start)
            return Token("number", content.removesuffix("L"), start)
        case "quoted":
            # a backslash before anything else is one of the name
            name = re.sub(r"\\([`\\])", r"\1", content[1:-1])
            return Token("quoted", name, start)
        case "string":
            return Token("string", re.sub(r"\\(.)", r"\1", content[1:-1]), start)
        case "name":
            _check_name(content, start)
            return Token("name", content, start)
        case _:
            return Token("operator", "^" if content == "**" else content, start)


def _check_name(name: str, position: int) -> None:
    """Refuse letters that are none, and Python's own names, ``x.__class__``."""
    for i, character in enumerate(name):
        if not is_plain_name("a" + character):
            raise ParseError(_unexpected(character), position + i)
    if any(part.startswith("__") and part.endswith("__") for part in name.split(".")):
        message = (
            f"{name!r} looks like Python's own attributes, which a formula cannot "
            "reach: it names columns and runs no code. Rename the column if it is one."
        )
        raise ParseError(message, position)


def _unexpected(character: str) -> str:
    """Why a character cannot be read."""
    if character in _EXPLAINED:
        return _EXPLAINED[character]
    name = unicodedata.name(character, f"U+{ord(character):04X}")
    shown = repr(character) if character.isascii() else f"{character!r} ({name})"
    return (
        f"The character {shown} is not part of a formula. If it was copied from a "
        "document, type it anew; if it belongs to a column name, back-quote the name: "
        "`my column`."
    )


def _check_brackets(tokens: list[Token]) -> None:
    """Every ``(`` has its ``)``; the error points at the one that has not."""
    opened = []
    for token in tokens:
        if token.kind != "operator":
            continue
        if token.text == "(":
            opened.append(token)
        elif token.text == ")":
            if not opened:
                message = "This bracket closes nothing. Remove it, or open one before."
                raise ParseError(message, token.position)
            opened.pop()
    if opened:
        raise ParseError("This bracket is never closed. Add ')'.", opened[-1].position)
