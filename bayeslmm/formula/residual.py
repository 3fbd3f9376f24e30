"""``residual="varident(g) * ar1(time | h)"``: text -> `ResidualTerm` for each factor.

The grammar of what the residuals of a model are like. It is that of formulas, read by
their parser: words go around a grouping factor, and ``*`` multiplies standard
deviations by strata with correlations within series.
"""

from collections.abc import Collection

from bayeslmm.errors import FormulaError, listed, nearest_names
from bayeslmm.formula.bars import check_group
from bayeslmm.formula.expand import expand
from bayeslmm.formula.lexer import ParseError
from bayeslmm.formula.nodes import (
    RESIDUAL_WORDS,
    Atom,
    Bar,
    Binary,
    Call,
    Name,
    Node,
    ResidualTerm,
    atom_label,
    render,
)
from bayeslmm.formula.parser import parse_expression

FORMS = {
    "varident": "varident(g), an SD for each level of g",
    "cs": "cs(g), one correlation within the levels of g",
    "ar1": "ar1(time | g), correlations that fall with the time between rows of g",
}
_KNOWN = "; ".join(FORMS.values())


def residual_terms(
    text: object, columns: Collection[object] = ()
) -> tuple[ResidualTerm, ...]:
    """The factors of what `residual` says of the residuals.

    Parameters
    ----------
    text : str
        ``"varident(g)"``, ``"cs(g)"``, ``"ar1(time | g)"``, or varident times one of
        the others.
    columns : collection, optional
        Names of the data's columns.

    Raises
    ------
    FormulaError
        If the text is none of these; the message shows it with a caret.
    """
    if not isinstance(text, str) or not text.strip():
        raise FormulaError(
            f"residual must be text such as 'ar1(time | g)', not {text!r}. It may be: "
            f"{_KNOWN}; or a product of varident with one of the others. Leave it out "
            f"for independent residuals of one SD."
        )
    line = " ".join(text.splitlines())
    try:
        terms = tuple(map(_term, _factors(parse_expression(line, columns))))
        _check_product(terms)
    except ParseError as error:
        raise FormulaError(error.message, line, error.position) from None
    return terms


def _factors(node: Node) -> list[Node]:
    """The factors of a product, in order."""
    if isinstance(node, Binary) and node.operator == "*":
        return [*_factors(node.left), *_factors(node.right)]
    return [node]


def _term(node: Node) -> ResidualTerm:
    """One word with its grouping factor, and its order if it has one."""
    if not isinstance(node, Call) or node.function not in RESIDUAL_WORDS:
        raise ParseError(_unknown(node), node.position)
    word = node.function
    if len(node.args) != 1 or node.keywords:
        raise ParseError(f"Write {FORMS[word]}.", node.position)
    inside, order = node.args[0], None
    if word == "ar1":
        if not isinstance(inside, Bar) or inside.double:
            message = (
                f"ar1() needs to know in which order the rows of a series come: write "
                f"ar1(time | {render(inside)}), time being a column of numbers."
            )
            raise ParseError(message, node.position)
        order, inside = _order(inside.left), inside.right
    elif isinstance(inside, Bar):
        message = f"{word}() takes a grouping factor and no bar: {FORMS[word]}."
        raise ParseError(message, inside.position)
    check_group(inside)
    terms = list(expand(inside).terms)
    if len(terms) != 1:
        message = f"{word}() takes one grouping factor; crossed columns are a:b."
        raise ParseError(message, inside.position)
    label = f"{order.label} | {render(inside)}" if order else render(inside)
    return ResidualTerm(word, terms[0].atoms, order, f"{word}({label})", node.position)


def _unknown(node: Node) -> str:
    """Message for what is no structure of residuals."""
    if isinstance(node, Binary):
        return (
            f"Structures of residuals are multiplied by '*' and nothing else, and "
            f"{node.operator!r} stands here. There are: {_KNOWN}."
        )
    found = node.function if isinstance(node, Call) else render(node)
    near = nearest_names(found, RESIDUAL_WORDS)
    meant = near if near.startswith(" Did") else ""
    return f"{found!r} is no structure of residuals. There are: {_KNOWN}.{meant}"


def _order(node: Node) -> Atom:
    """The column that says when a row was."""
    if isinstance(node, Name):
        return Atom(atom_label(node), node)
    message = (
        f"{render(node)} says no order. Left of the bar stands the column of numbers "
        f"that says when a row of a series was: ar1(time | g)."
    )
    raise ParseError(message, node.position)


def _check_product(terms: tuple[ResidualTerm, ...]) -> None:
    """At most one factor of SDs and one of correlations."""
    for kind in (("varident",), ("cs", "ar1")):
        several = [term for term in terms if term.word in kind]
        if len(several) > 1:
            message = (
                f"{listed([term.label for term in several])} cannot be multiplied: "
                f"residuals have one set of SDs, varident(g), times one correlation "
                f"structure, cs(g) or ar1(time | g). Crossed strata are varident(a:b)."
            )
            raise ParseError(message, several[1].position)
