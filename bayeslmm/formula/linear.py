"""Linear combinations of named coefficients, as text: ``Machine[B] - Machine[C] = 0``.

Takes a text and the names there are; gives the weight of each and the value that the
combination is compared with. Names may hold any signs, so they are looked for first,
the longest ones before the others.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import FormulaError, nearest_names

_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_WORD = re.compile(r"[^\s+*/()=-]+")


@dataclass(frozen=True, slots=True)
class Combination:
    """Weights of the coefficients, and what is added to their sum."""

    weights: Float[np.ndarray, " p"]
    constant: float

    def __add__(self, other: "Combination") -> "Combination":
        """The sum."""
        return Combination(self.weights + other.weights, self.constant + other.constant)

    def times(self, factor: float) -> "Combination":
        """A multiple."""
        return Combination(factor * self.weights, factor * self.constant)

    @property
    def is_number(self) -> bool:
        """Whether no coefficient is in it."""
        return not self.weights.any()


def parse_combination(text: str, places: Mapping[str, int], p: int) -> Combination:
    """Weights of a linear combination written as text.

    Parameters
    ----------
    text : str
        Sums and multiples of names, with ``=`` at most once: ``"B - A = 2"``.
    places : mapping of str to int
        Place of each name among the coefficients; several may have one place.
    p : int
        Number of coefficients.

    Returns
    -------
    Combination
        Of the left-hand side less the right-hand one.

    Raises
    ------
    FormulaError
        If a name is unknown, or the text no linear combination; with a caret.
    """
    reader = _Reader(text, places, p)
    found = reader.side()
    if reader.take("="):
        found = found + reader.side().times(-1.0)
    if reader.at < len(text):
        raise reader.error("This is not part of a linear combination.")
    if found.is_number:
        raise FormulaError("No coefficient is left in this combination.", text, 0)
    return found


class _Reader:
    """A position in the text, and what can be read from there on."""

    def __init__(self, text: str, places: Mapping[str, int], p: int) -> None:
        self.text, self.places, self.p, self.at = text, places, p, 0
        self.names = sorted(places, key=len, reverse=True)
        self._skip()

    def error(self, message: str) -> FormulaError:
        """An error with a caret at the position."""
        return FormulaError(message, self.text, min(self.at, len(self.text)))

    def take(self, sign: str) -> bool:
        """Whether the sign comes next; it is read."""
        if not self.text.startswith(sign, self.at):
            return False
        self.at += len(sign)
        self._skip()
        return True

    def side(self) -> Combination:
        """A sum of products."""
        total = self._product()
        while True:
            if self.take("+"):
                total = total + self._product()
            elif self.take("-"):
                total = total + self._product().times(-1.0)
            else:
                return total

    def _product(self) -> Combination:
        """Products and quotients, of which one factor at most is a coefficient."""
        found = self._factor()
        while True:
            start = self.at
            if self.take("*"):
                other = self._factor()
                if not (found.is_number or other.is_number):
                    self.at = start
                    raise self.error("A product of two coefficients is not linear.")
                one, number = (other, found) if found.is_number else (found, other)
                found = one.times(number.constant)
            elif self.take("/"):
                other = self._factor()
                if not other.is_number or other.constant == 0.0:
                    self.at = start
                    raise self.error("Divide by a number that is not 0.")
                found = found.times(1.0 / other.constant)
            else:
                return found

    def _factor(self) -> Combination:
        """A name, a number, a bracket, or one of them with a sign."""
        name = self._name()
        if name is not None:
            weights = np.zeros(self.p)
            weights[self.places[name]] = 1.0
            return Combination(weights, 0.0)
        if self.take("-"):
            return self._factor().times(-1.0)
        if self.take("+"):
            return self._factor()
        if self.take("("):
            found = self.side()
            if not self.take(")"):
                raise self.error("A bracket is not closed here.")
            return found
        number = _NUMBER.match(self.text, self.at)
        if number is None:
            raise self._unknown()
        self.at = number.end()
        self._skip()
        return Combination(np.zeros(self.p), float(number.group()))

    def _name(self) -> str | None:
        """The longest name that comes next, which is read."""
        for name in self.names:
            end = self.at + len(name)
            if not self.text.startswith(name, self.at):
                continue
            goes_on = self.text[end : end + 1]
            if name[-1].isalnum() and (goes_on.isalnum() or goes_on in ("_", ".", "[")):
                continue
            self.at = end
            self._skip()
            return name
        return None

    def _unknown(self) -> FormulaError:
        """What to say where neither a name nor a number comes."""
        word = _WORD.match(self.text, self.at)
        if word is None:
            return self.error("A coefficient or a number is missing here.")
        shown = word.group()
        return self.error(
            f"There is no coefficient {shown!r}.{nearest_names(shown, self.places)}"
        )

    def _skip(self) -> None:
        """Past blanks."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
