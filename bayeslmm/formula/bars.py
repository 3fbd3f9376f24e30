"""Bar terms: ``(x || a/b)`` -> one `RandomTerm` for each covariance block.

Takes the `Bar` nodes and structure calls that `expand` set apart; gives the blocks as
lme4 means them [1]_, each checked, and refuses two blocks that share an effect.

References
----------
.. [1] Bates et al. (2015). J. Stat. Softw. 67(1). https://doi.org/10.18637/jss.v067.i01
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from bayeslmm.formula.expand import expand, linear_predictor, structure_bar
from bayeslmm.formula.lexer import ParseError
from bayeslmm.formula.nodes import (
    HOM_FORMS,
    PLAIN,
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
    RandomTerm,
    StructureWord,
    Unary,
    render,
    render_predictor,
)

_TWO_BARS = (
    "A random term has one bar, with effects on its left and the grouping factor on "
    "its right. Write (x | g); for two factors (x | g) + (x | h)."
)

_WORDS: dict[str, StructureWord] = {word: word for word in STRUCTURE_WORDS}


def random_terms(nodes: Iterable[Node]) -> tuple[RandomTerm, ...]:
    """All bar terms, expanded, without an effect that occurs twice."""
    terms = [term for node in nodes for term in _expand_bar(node)]
    _check_shared_effects(terms)
    return tuple(terms)


def _expand_bar(node: Node) -> Iterator[RandomTerm]:
    """One written bar term: split by ``||``, then by the groups of ``a/b``."""
    structure = PLAIN
    bar = structure_bar(node)
    if isinstance(node, Call) and bar is not None:
        structure = _structure(node)
        if bar.double:
            inside = f"({render(bar.left)} | {render(bar.right)})"
            also = (
                "" if structure == "diag" else f", or diag{inside} for no correlation"
            )
            message = (
                f"'||' and {node.function}() both set the covariance. Write "
                f"{node.function}{inside}{also}."
            )
            raise ParseError(message, bar.position)
    elif isinstance(node, Bar):
        bar = node
    assert bar is not None  # `expand` sets apart nothing else
    groups = _groups(bar)
    for predictor in _blocks(bar):
        for group in groups:
            yield RandomTerm(
                predictor,
                group,
                structure,
                _label(predictor, group, structure),
                bar.position,
            )


def _blocks(bar: Bar) -> list[LinearPredictor]:
    """The left side as one predictor, or one for each term of ``||``.

    Without data a factor is a term like any other, so ``(f || g)`` keeps the levels of
    f in one correlated block, as lme4 1.1 does.
    """
    if isinstance(bar.left, Bar) and not bar.left.enclosed:
        raise ParseError(_TWO_BARS, bar.position)
    part = expand(bar.left)
    if part.bars:
        message = "A random term cannot stand inside another. Write one bar per term."
        raise ParseError(message, bar.position)
    if part.offsets:
        message = "offset() cannot vary between groups. Add it outside the bar term."
        raise ParseError(message, part.offsets[0].position)
    predictor = linear_predictor(bar.left, part)
    if not (predictor.intercept or predictor.terms):
        message = (
            f"Nothing varies between the levels of {render(bar.right)}: the left side "
            "is empty once the intercept is removed. Write (1 | g) or (0 + x | g)."
        )
        raise ParseError(message, bar.left.position)
    if not bar.double:
        return [predictor]
    blocks = [LinearPredictor(True, ())] if predictor.intercept else []
    return blocks + [LinearPredictor(False, (term,)) for term in predictor.terms]


def _groups(bar: Bar) -> list[tuple[Atom, ...]]:
    """Crossed columns of each grouping factor: ``a/b`` is a, then a:b."""
    check_group(bar.right)
    return [term.atoms for term in expand(bar.right).terms]


def check_group(node: Node) -> None:
    """A grouping factor is made of columns by ``:`` ``/`` ``*`` and ``+`` only."""
    match node:
        case Name() | Call("factor", (Name(),), ()):
            return
        case Binary(":" | "/" | "*" | "+", left, right):
            check_group(left)
            check_group(right)
            return
        case Number() | Constant():
            message = (
                f"The constant {render(node)} cannot group rows: all would be in one "
                "level. Name the column that says which rows belong together."
            )
        case Bar():
            message = _TWO_BARS
        case Call("interaction"):
            message = "Write crossed grouping columns with ':', (1 | a:b)."
        case Call(function):
            message = (
                f"{function}() cannot make a grouping factor. Prepare a column and "
                "name it; crossed columns are a:b."
            )
        case _:
            operator = node.operator if isinstance(node, Binary | Unary) else ""
            found = f"'{operator}'" if operator else render(node)
            message = (
                f"{found} cannot stand right of the bar, where only columns and "
                "':' '/' belong: (1 | g), (1 | a:b), (1 | a/b). For a column named "
                "so, use back-quotes."
            )
    raise ParseError(message, node.position)


def _structure(node: Call) -> StructureWord:
    """Structure that a word and its ``hom`` argument ask for."""
    word = _WORDS[node.function]
    if len(node.args) != 1:
        message = f"{word}() takes one bar term, {word}(x | g)."
        raise ParseError(message, node.position)
    if not node.keywords:
        return word
    key, value = node.keywords[0]
    allowed = key == "hom" and word in HOM_FORMS and len(node.keywords) == 1
    if not (allowed and isinstance(value, Constant) and value.value is not None):
        message = (
            f"{word}() cannot take {key} = {render(value)}. Only {_listed(HOM_FORMS)} "
            "have an argument, hom = TRUE (one SD) or hom = FALSE (one SD per effect)."
        )
        raise ParseError(message, value.position)
    return HOM_FORMS[word][bool(value.value)]


def _listed(words: Iterable[str]) -> str:
    """Words in a sentence, ``diag, cs and ar1``."""
    *some, last = words
    return f"{', '.join(some)} and {last}"


def _label(
    predictor: LinearPredictor, group: tuple[Atom, ...], structure: StructureWord
) -> str:
    """The block as a reader writes it, ``(0 + x | a:b)``, ``cs(f | g)``."""
    word = "" if structure == PLAIN else structure
    columns = ":".join(render(atom.node) for atom in group)
    return f"{word}({render_predictor(predictor)} | {columns})"


def _check_shared_effects(terms: list[RandomTerm]) -> None:
    """No effect of a grouping factor in two blocks: they could not be told apart."""
    seen: dict[tuple[frozenset[str], object], RandomTerm] = {}
    for term in terms:
        group = frozenset(_column(atom) for atom in term.group)
        effects = [*term.predictor.terms, *([None] if term.predictor.intercept else [])]
        for effect in effects:
            first = seen.setdefault((group, effect), term)
            if first is not term:
                what = "an intercept" if effect is None else f"an effect {effect.label}"
                raise ParseError(_shared(first, term, what), term.position)


def _shared(first: RandomTerm, second: RandomTerm, what: str) -> str:
    """Message for two blocks with a common effect."""
    if first.predictor == second.predictor:
        same = "" if first.label == second.label else f" (once as {first.label})"
        return f"The random term {second.label} is there twice{same}. Remove one."
    rest = LinearPredictor(
        second.predictor.intercept and not first.predictor.intercept,
        tuple(t for t in second.predictor.terms if t not in first.predictor.terms),
    )
    smaller = replace(second, label=_label(rest, second.group, second.structure))
    keep = f" and {smaller.label}" if rest.intercept or rest.terms else " alone"
    return (
        f"{first.label} and {second.label} both give each level of "
        f"{second.group_label} {what}, so the two cannot be told apart. Write "
        f"{second.label} alone, or {first.label}{keep}."
    )


def _column(atom: Atom) -> str:
    """Column behind a grouping atom, ``g`` for ``factor(g)``."""
    return atom.columns[0]
