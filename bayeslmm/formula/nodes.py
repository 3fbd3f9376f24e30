"""What a formula is made of: expression nodes, and the expanded `Formula`.

Takes nothing and gives the frozen classes that the parser builds and the design room
walks. Positions (index of a character in the text) are for carets in messages; two
nodes that differ only in position are equal.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

from bayeslmm.formula.markup import sentence_list

# Their meaning is the room `covariance`'s, to the right of this one.
StructureWord = Literal[
    "us", "diag", "cs", "ar1", "toep", "homdiag", "homcs", "hetar1", "homtoep"
]
STRUCTURE_WORDS: tuple[StructureWord, ...] = get_args(StructureWord)
# What a bar has without a word.
PLAIN: StructureWord = "us"
# Words that take hom = FALSE (an SD for each effect) and hom = TRUE (one SD).
HOM_FORMS: dict[str, tuple[StructureWord, StructureWord]] = {
    "diag": ("diag", "homdiag"),
    "cs": ("cs", "homcs"),
    "ar1": ("hetar1", "ar1"),
    "toep": ("toep", "homtoep"),
}

# Structures of the residuals: SDs by strata, correlations within series.
RESIDUAL_WORDS = ("varident", "cs", "ar1")


@dataclass(frozen=True, slots=True)
class Name:
    """A column, ``edu`` or back-quoted; ``name`` is without the quotes."""

    name: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric constant; ``pi`` is one too."""

    value: float
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class String:
    """A text constant, as in ``I(sex == "Male")``."""

    value: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Constant:
    """TRUE, FALSE or NULL (True, False, None)."""

    value: bool | None
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of one of ``ALLOWED_FUNCTIONS``; its arity has been checked."""

    function: str
    args: "tuple[Node, ...]"
    keywords: "tuple[tuple[str, Node], ...]" = ()
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """``+`` or ``-`` before an operand."""

    operator: str
    operand: "Node"
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands; inside an atom one of ``+ - * / ^ %% %/% == != < > <= >=``."""

    operator: str
    left: "Node"
    right: "Node"
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Bar:
    """``left | right`` or ``left || right``; never inside an `Atom`."""

    left: "Node"
    right: "Node"
    double: bool
    enclosed: bool  # in parentheses, or the argument of a structure word
    position: int = field(default=0, compare=False)


Node = Name | Number | String | Constant | Call | Unary | Binary | Bar


@dataclass(frozen=True, slots=True)
class Atom:
    """One variable in the sense of R's model frame: ``edu``, ``log(x)``, ``I(x^2)``."""

    label: str
    node: Node

    @property
    def position(self) -> int:
        """Index in the text of its first use."""
        return self.node.position

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the data columns that it reads, as first used."""
        return tuple(dict.fromkeys(name.name for name in names_in(self.node)))


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """A product of atoms, ``a:b``; equal to ``b:a``."""

    atoms: tuple[Atom, ...]

    @property
    def label(self) -> str:
        """The atoms' labels joined by colons."""
        return ":".join(atom.label for atom in self.atoms)

    def __eq__(self, other: object) -> bool:
        """Whether both are products of the same atoms."""
        return isinstance(other, Term) and set(self.atoms) == set(other.atoms)

    def __hash__(self) -> int:
        """Hash that does not depend on the order of the atoms."""
        return hash(frozenset(self.atoms))


@dataclass(frozen=True, slots=True)
class LinearPredictor:
    """Expanded sum of terms: no duplicates, by degree, then as written (R's order)."""

    intercept: bool
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class RandomTerm:
    """One bar term after expansion: one covariance block.

    Attributes
    ----------
    predictor : LinearPredictor
        Effects that vary between levels.
    group : tuple of Atom
        Crossed grouping columns, two for ``(1 | a:b)``.
    structure : StructureWord
        Structure of the covariance, ``us`` without a word.
    label : str
        The term as a reader writes it, ``(Days | Subject)``.
    position : int
        Index in the text of the bar term that it came from.
    """

    predictor: LinearPredictor
    group: tuple[Atom, ...]
    structure: StructureWord
    label: str
    position: int = field(default=0, compare=False)

    @property
    def group_label(self) -> str:
        """Grouping factor, ``Subject`` or ``a:b``."""
        return ":".join(atom.label for atom in self.group)


@dataclass(frozen=True, slots=True)
class ResidualTerm:
    """One factor of what the residuals are like, ``ar1(time | g)``.

    ``group`` are crossed columns, ``order`` the column that says when a row was.
    """

    word: str
    group: tuple[Atom, ...]
    order: Atom | None
    label: str
    position: int = field(default=0, compare=False)

    @property
    def group_label(self) -> str:
        """Grouping factor, ``Subject`` or ``a:b``."""
        return ":".join(atom.label for atom in self.group)


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula, expanded; ``str()`` gives its canonical text.

    Attributes
    ----------
    text : str
        The formula as written (line breaks as spaces), to which positions refer.
    response : Atom
        Response; the successes of ``cbind(s, f)`` and ``p(s, n)``.
    trials : Atom or None
        Number of trials, for ``cbind(s, f)`` and ``p(s, n)``.
    fixed : LinearPredictor
        Fixed effects.
    offsets : tuple of Atom
        Arguments of ``offset()``, without the call.
    random : tuple of RandomTerm
        Bar terms in the order written, each expanded.
    residual : tuple of ResidualTerm, optional
        Factors of the structure of the residuals, none if they are independent.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> formula = lmm.parse_formula("y ~ a * b + (1 | school / class)")
    >>> str(formula)
    'y ~ a + b + a:b + (1 | school) + (1 | school:class)'
    """

    text: str = field(compare=False)
    response: Atom
    trials: Atom | None
    fixed: LinearPredictor
    offsets: tuple[Atom, ...]
    random: tuple[RandomTerm, ...]
    residual: tuple[ResidualTerm, ...] = ()

    @property
    def groupings(self) -> tuple[RandomTerm | ResidualTerm, ...]:
        """Everything that groups rows: bar terms, then factors of the residuals."""
        return (*self.random, *self.residual)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all data columns that the formula reads, as first used."""
        found = (name for atom in self.atoms for name in atom.columns)
        return tuple(dict.fromkeys(found))

    @property
    def atoms(self) -> tuple[Atom, ...]:
        """All atoms, once each: response, trials, fixed, offsets, random, residual."""
        found = [self.response, *([self.trials] if self.trials else [])]
        found += [atom for term in self.fixed.terms for atom in term.atoms]
        found += self.offsets
        for bar in self.random:
            found += [atom for term in bar.predictor.terms for atom in term.atoms]
            found += bar.group
        return tuple(dict.fromkeys([*found, *self.residual_atoms]))

    @property
    def residual_atoms(self) -> tuple[Atom, ...]:
        """Atoms of the residuals; their positions are those in another text."""
        found = [(*own.group, *filter(None, [own.order])) for own in self.residual]
        return tuple(atom for atoms in found for atom in atoms)

    @property
    def predictor_terms(self) -> tuple[Term, ...]:
        """Terms of the fixed part, then of the effects that vary, as written."""
        parts = [self.fixed, *(bar.predictor for bar in self.random)]
        return tuple(term for part in parts for term in part.terms)

    @property
    def predictor_atoms(self) -> tuple[Atom, ...]:
        """Their atoms without duplicates."""
        found = (atom for term in self.predictor_terms for atom in term.atoms)
        return tuple(dict.fromkeys(found))

    def __str__(self) -> str:
        """Canonical text of the expanded formula; parsing it gives an equal formula."""
        left = render(self.response.node)
        if self.trials is not None:
            left = f"p({left}, {render(self.trials.node)})"
        offsets = [f"offset({render(atom.node)})" for atom in self.offsets]
        parts = [render_predictor(self.fixed), *offsets]
        return f"{left} ~ " + " + ".join(parts + [term.label for term in self.random])

    def _repr_html_(self) -> str:
        """The same in a notebook, part by part."""
        said = [
            f"fixed: {render_predictor(self.fixed)}",
            *(f"known: offset({render(atom.node)})" for atom in self.offsets),
            *(f"varies: {term.label}" for term in self.random),
            *(f"residuals: {term.label}" for term in self.residual),
        ]
        return sentence_list(str(self), [*said, f"columns: {', '.join(self.columns)}"])


def names_in(node: Node) -> Iterator[Name]:
    """Every `Name` below a node, as written; the contrast of ``C()`` is not a name."""
    if isinstance(node, Name):
        yield node
    elif isinstance(node, Call):
        args = node.args[:1] if node.function == "C" else node.args
        for child in (*args, *(value for _, value in node.keywords)):
            yield from names_in(child)
    elif isinstance(node, Unary):
        yield from names_in(node.operand)
    elif isinstance(node, Binary | Bar):
        yield from names_in(node.left)
        yield from names_in(node.right)


# --- canonical text -------------------------------------------------------------------

# R's precedence (help("Syntax")), higher binds tighter.
PRECEDENCE = {
    "||": 1,
    "|": 1,
    **dict.fromkeys(("==", "!=", "<", ">", "<=", ">="), 2),
    "+": 3,
    "-": 3,
    "*": 4,
    "/": 4,
    **dict.fromkeys(("%%", "%/%", "%in%"), 5),
    ":": 6,
    "^": 8,
}
UNARY_PRECEDENCE = 7
_TIGHT = ("/", ":", "^", "%%", "%/%")  # written without spaces by R's deparse
RESERVED = {"TRUE": True, "FALSE": False, "True": True, "False": False, "NULL": None}


def atom_label(node: Node) -> str:
    """Label of an atom: R's deparse, but a lone column without back-quotes."""
    return node.name if isinstance(node, Name) else render(node)


def render(node: Node) -> str:
    """Text of an expression as R deparses it, with no more brackets than needed."""
    match node:
        case Name(name):
            return _render_name(name)
        case Number(value):
            return "pi" if value == math.pi else _render_number(value)
        case String(value):
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case Constant(value):
            return {True: "TRUE", False: "FALSE", None: "NULL"}[value]
        case Call(function, args, keywords):
            named = [f"{key} = {render(value)}" for key, value in keywords]
            return f"{function}({', '.join([*map(render, args), *named])})"
        case Unary(operator, operand):
            return operator + _inside(operand, UNARY_PRECEDENCE)
        case Bar(left, right, double):
            return f"({render(left)} {'||' if double else '|'} {render(right)})"
        case Binary(operator, left, right):
            return _render_binary(operator, left, right)


def render_predictor(predictor: LinearPredictor) -> str:
    """Sum of terms, ``1`` or ``0`` only where it is needed."""
    terms = [":".join(render(a.node) for a in term.atoms) for term in predictor.terms]
    if not predictor.intercept:
        return " + ".join(["0", *terms])
    return " + ".join(terms) or "1"


def _render_binary(operator: str, left: Node, right: Node) -> str:
    """Both operands, bracketed where the precedence or the side asks for it."""
    level = PRECEDENCE[operator]
    right_first = operator == "^"  # the only operator that groups to the right
    space = "" if operator in _TIGHT else " "
    # `<` and its kin do not chain, so an operand of their own level is bracketed.
    left_level = level + 1 if right_first or level == PRECEDENCE["<"] else level
    right_level = UNARY_PRECEDENCE if right_first else level + 1
    left_text, right_text = _inside(left, left_level), _inside(right, right_level)
    return f"{left_text}{space}{operator}{space}{right_text}"


def _inside(node: Node, level: int) -> str:
    """Text of an operand, in brackets if it binds less than `level`."""
    own = 99
    if isinstance(node, Binary):
        own = PRECEDENCE[node.operator]
    elif isinstance(node, Unary):
        own = UNARY_PRECEDENCE
    return render(node) if own >= level else f"({render(node)})"


def is_plain_name(name: str) -> bool:
    """Whether a name needs no back-quotes: letters, digits, dots, underscores."""
    starts_as_number = name[:1] == "." and name[1:2].isdigit()
    return name.replace(".", "_").isidentifier() and not starts_as_number


def _render_name(name: str) -> str:
    """A name, back-quoted unless it can stand without."""
    plain = is_plain_name(name) and name not in RESERVED and name not in (".", "pi")
    return name if plain else "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _render_number(value: float) -> str:
    """A number as R prints it: 15 digits, fixed unless scientific is shorter."""
    mantissa, exponent = f"{value:.14e}".split("e")
    digits = mantissa.rstrip("0").rstrip(".")
    scientific = f"{digits}e{int(exponent):+03d}"
    decimals = max(len(digits.replace(".", "")) - 1 - int(exponent), 0)
    fixed = f"{value:.{decimals}f}"
    return fixed if len(fixed) <= len(scientific) else scientific
