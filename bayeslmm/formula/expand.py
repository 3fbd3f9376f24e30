"""The algebra of terms: ``a*b``, ``(a + b)^2``, ``a/b``, ``- a`` -> a sum of products.

Takes a tree; gives a `Part`: the terms as written, with offsets and bar terms set
apart, or the `LinearPredictor` in R's order. Follows R's ``terms.formula``, except that
what R drops in silence (``x^2`` for ``x``, ``- z`` without z) is an error.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from bayeslmm.errors import nearest_names
from bayeslmm.formula.functions import ALLOWED_FUNCTIONS, check_atom
from bayeslmm.formula.lexer import ParseError
from bayeslmm.formula.nodes import (
    STRUCTURE_WORDS,
    Atom,
    Bar,
    Binary,
    Call,
    Constant,
    LinearPredictor,
    Name,
    Node,
    Number,
    String,
    Term,
    Unary,
    atom_label,
    render,
)

# A guard against (a + b + ...)^k: more columns than rows long before this.
MAX_TERMS = 10_000


@dataclass(frozen=True, slots=True)
class Part:
    """A partial sum: terms in the order produced, and what is not a term.

    ``intercept`` is None until a 0 or 1 says otherwise; ``bars`` are `Bar` nodes or
    structure calls around one.
    """

    intercept: bool | None = None
    terms: dict[Term, None] = field(default_factory=dict)
    offsets: tuple[Atom, ...] = ()
    bars: tuple[Node, ...] = ()


def expand(tree: Node) -> Part:
    """Expand a tree into a sum, without duplicates.

    The left spine is a loop, so that a sum of a thousand terms is no deep recursion.
    """
    intercept, terms = None, {}
    offsets: list[Atom] = []
    bars: list[Node] = []
    for removed, summand in _summands(tree):
        part = _expand_summand(summand)
        if part.intercept is not None:
            intercept = part.intercept != removed
        if removed:
            _remove(terms, part, summand)
        else:
            terms.update(part.terms)
        offsets += part.offsets
        bars += part.bars
    return Part(intercept, terms, tuple(offsets), tuple(bars))


def linear_predictor(tree: Node, part: Part) -> LinearPredictor:
    """Terms by degree, then as written; their atoms by first use in `tree`.

    So R orders them: in ``y ~ b + a:b`` the interaction is ``b:a``.
    """
    order: dict[Atom, int] = {}
    for leaf in _leaves(tree):
        order.setdefault(_atom(leaf), len(order))
    terms = [Term(tuple(sorted(t.atoms, key=order.__getitem__))) for t in part.terms]
    terms.sort(key=lambda term: len(term.atoms))
    return LinearPredictor(part.intercept is not False, tuple(terms))


def structure_bar(node: Node) -> Bar | None:
    """The bar inside a structure call such as ``cs(x | g)``, None for other nodes."""
    if not isinstance(node, Call):
        return None
    bars = [argument for argument in node.args if isinstance(argument, Bar)]
    known = node.function in STRUCTURE_WORDS
    return bars[0] if bars and known else None


def _summands(tree: Node) -> Iterator[tuple[bool, Node]]:
    """The summands of a left-leaning sum in order, each with whether it is removed."""
    spine: list[tuple[bool, Node]] = []
    while isinstance(tree, Binary) and tree.operator in ("+", "-"):
        spine.append((tree.operator == "-", tree.right))
        tree = tree.left
    yield False, tree
    yield from reversed(spine)


def _expand_summand(node: Node) -> Part:
    """One summand: a product, a signed or bracketed sum, or a leaf."""
    match node:
        case Binary("+" | "-"):
            return expand(node)
        case Unary(operator, operand):
            inner = expand(operand)
            if operator == "+":
                return inner
            _check_removable(inner, operand)
            return Part(None if inner.intercept is None else not inner.intercept)
        case Binary("*" | ":" | "/" | "^"):
            return _expand_product(node)
        case Number(value) if value in (0, 1):
            return Part(value == 1)
        case Bar():
            _check_enclosed(node)
            return Part(bars=(node,))
        case Call("offset"):
            check_atom(node)
            return Part(offsets=(_atom(node.args[0]),))
        case Call() if _holds_bar(node):
            return Part(bars=(node,))
        case _:
            _check_term(node)
            return Part(terms={Term((_atom(node),)): None})


def _expand_product(node: Binary) -> Part:
    """``a*b``, ``a:b``, ``a/b`` or ``a^2``."""
    left = _factor(node, node.left)
    if node.operator == "^":
        return Part(left.intercept, _power(node, left.terms))
    right = _factor(node, node.right)
    intercept = left.intercept if right.intercept is None else right.intercept
    crossed = _cross(node, left.terms, right.terms)
    if node.operator == "*":
        crossed = {**left.terms, **right.terms, **crossed}
    elif node.operator == "/":
        whole = Term(_union(atom for term in left.terms for atom in term.atoms))
        crossed = {**left.terms, **_cross(node, [whole], right.terms)}
    return Part(intercept, crossed)


def _factor(product: Binary, node: Node) -> Part:
    """One side of a product, which cannot be a number, an offset or a random term."""
    if isinstance(node, Number):
        raise ParseError(_number_in_product(product, node), node.position)
    part = expand(node)
    if part.bars:
        message = (
            f"A random term cannot be multiplied ('{product.operator}'). Put the "
            "variable left of the bar, (x | g), or add the term with '+'."
        )
        raise ParseError(message, product.position)
    if part.offsets:
        message = "offset() cannot be part of a product. Add it with '+'."
        raise ParseError(message, product.position)
    return part


def _cross(node: Binary, left: Iterable[Term], right: Iterable[Term]) -> dict:
    """Products of every term on the left with every term on the right."""
    crossed: dict[Term, None] = {}
    for one in left:
        for other in right:
            crossed.setdefault(Term(_union((*one.atoms, *other.atoms))))
            if len(crossed) > MAX_TERMS:
                message = f"This gives more than {MAX_TERMS} terms. Write fewer."
                raise ParseError(message, node.position)
    return crossed


def _power(node: Binary, terms: dict[Term, None]) -> dict[Term, None]:
    """All products of up to so many of the terms."""
    exponent = node.right
    whole = isinstance(exponent, Number) and exponent.value % 1 == 0
    if not (isinstance(exponent, Number) and whole and exponent.value >= 1):
        message = (
            "Outside a function '^' means interactions up to an order, a whole number "
            f"from 1: (a + b)^2. For a power write I({render(node)})."
        )
        raise ParseError(message, node.position)
    if len(terms) == 1 and exponent.value > 1:
        base = render(node.left)
        message = (
            f"Outside a function {render(node)} means interactions of {base} with "
            f"itself, which is {base} (so R reads it). For the power write "
            f"I({render(node)}), or poly({base}, {render(exponent)})."
        )
        raise ParseError(message, node.position)
    # More factors than terms give nothing new.
    product = terms
    for _ in range(min(int(exponent.value), len(terms)) - 1):
        product = _cross(node, product, terms)
    return product


def _union(atoms: Iterable[Atom]) -> tuple[Atom, ...]:
    """Atoms without duplicates, as first met."""
    return tuple(dict.fromkeys(atoms))


def _atom(node: Node) -> Atom:
    """The atom of a leaf."""
    return Atom(atom_label(node), node)


def _leaves(tree: Node) -> Iterator[Node]:
    """Variables of a tree as written: what the formula's operators join."""
    stack = [tree]
    while stack:
        match stack.pop():
            case Binary("+" | "-" | "*" | ":" | "/" | "^", left, right):
                stack += [right, left]
            case Unary(_, operand):
                stack.append(operand)
            case Name() | Call() as leaf:
                yield leaf


def _holds_bar(node: Call) -> bool:
    """Whether a call is a structure word around a bar, checked for its word."""
    if structure_bar(node) is not None:
        return True
    bars = [argument for argument in node.args if isinstance(argument, Bar)]
    from_list = node.function in ALLOWED_FUNCTIONS
    if bars and not from_list:
        message = f"{node.function!r} is not a covariance structure." + nearest_names(
            node.function, STRUCTURE_WORDS
        )
        raise ParseError(message, node.position)
    if node.function in STRUCTURE_WORDS:
        message = (
            f"{node.function}() is a covariance structure and goes around a bar: "
            f"{node.function}(x | g)."
        )
        raise ParseError(message, node.position)
    return False


def _check_enclosed(bar: Bar) -> None:
    """A bar stands in brackets, else it would swallow the terms before it."""
    if bar.enclosed:
        return
    sign = "||" if bar.double else "|"
    last = _nearest_summand(bar.left, "right")
    if isinstance(last, Bar):
        message = "One term has one bar. Write (x | g) + (x | h) for two factors."
        raise ParseError(message, bar.position)
    message = (
        f"The bar is not in brackets, so it takes everything before it. Write "
        f"({render(last)} {sign} {render(bar.right)})."
    )
    raise ParseError(message, bar.position)


def _nearest_summand(tree: Node, side: Literal["left", "right"]) -> Node:
    """The first or last summand of a sum, for a message about what stands beside it."""
    while isinstance(tree, Binary) and tree.operator in ("+", "-"):
        tree = getattr(tree, side)
    return tree


def _remove(terms: dict[Term, None], part: Part, node: Node) -> None:
    """Take the terms of a part away; a term that is not there is likely misspelt."""
    _check_removable(part, node)
    for term in part.terms:
        if term not in terms:
            message = (
                f"'-' removes {term.label}, which is not among the terms before it."
                + nearest_names(term.label, [known.label for known in terms])
            )
            raise ParseError(message, term.atoms[0].position)
        del terms[term]


def _check_removable(part: Part, node: Node) -> None:
    """Only fixed terms and the intercept can be removed."""
    if part.bars or part.offsets:
        what = "A random term" if part.bars else "offset()"
        message = f"{what} cannot be removed with '-'. Leave it out."
        raise ParseError(message, node.position)


def _check_term(node: Node) -> None:
    """A leaf that is a variable."""
    match node:
        case Number():
            message = (
                f"The number {render(node)} is not a term: only 1 (intercept) and 0 "
                "(none) are. For arithmetic write I(...)."
            )
        case String() | Constant():
            message = (
                f"The constant {render(node)} is not a term. Name a column without "
                "quotes."
            )
        case Binary(operator, left, right):
            left = _nearest_summand(left, "right")
            right = _nearest_summand(right, "left")
            message = (
                f"'{operator}' is not an operator between terms. Write "
                f"I({render(Binary(operator, left, right))})."
            )
        case _:
            check_atom(node)
            return
    raise ParseError(message, node.position)


def _number_in_product(product: Binary, number: Number) -> str:
    """Message for ``2*x`` and for ``(1/g)``, which is often a bar mistyped."""
    bar = product.operator == "/" and product.left is number and number.value in (0, 1)
    if bar:
        meant = f"({render(number)} | {render(product.right)})"
        return f"A number cannot be divided into groups. Did you mean {meant}?"
    return (
        f"A number cannot be multiplied with terms ('{product.operator}'). For "
        f"arithmetic write I({render(product)})."
    )
