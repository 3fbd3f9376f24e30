"""The public verb: text -> `Formula`, and the checks that span the whole formula.

Takes a string; gives the expanded formula, or a `FormulaError` with a caret.
"""

from collections.abc import Collection

from bayeslmm.errors import FormulaError, printable
from bayeslmm.formula.bars import random_terms
from bayeslmm.formula.expand import Part, expand, linear_predictor
from bayeslmm.formula.functions import check_expression
from bayeslmm.formula.lexer import ParseError
from bayeslmm.formula.nodes import (
    Atom,
    Bar,
    Binary,
    Call,
    Formula,
    Node,
    ResidualTerm,
    atom_label,
    names_in,
    render,
)
from bayeslmm.formula.parser import parse_sides
from bayeslmm.formula.residual import residual_terms

# Labels of parameters that every model has.
_OWN_LABELS = {"Intercept": "the intercept", "sigma": "the residual SD"}
# Those of parameters of structured residuals.
_RESIDUAL_LABELS = {
    "rho": "the correlation of residuals",
    "sigma_ratio": "the ratio of residual SDs",
}


def parse_formula(
    text: object, *, columns: Collection[object] = (), residual: object = None
) -> Formula:
    """Read a formula in lme4's grammar.

    Use it to see what a formula means before there are data; `Model` calls it.

    Parameters
    ----------
    text : str
        ``response ~ terms + (effects | group)``. Terms combine with ``+ : * / ^ -``;
        functions are those in ``ALLOWED_FUNCTIONS``. A bar term is ``(x | g)``,
        ``(x || g)`` without correlations, or within a structure word, ``cs(x | g)``.
    columns : collection, optional
        Names of the data's columns. One called ``pi`` is then that column, not 3.14159,
        as in R; back-quoted it always is.
    residual : str, optional
        What the residuals are like, ``"varident(g)"``, ``"cs(g)"``,
        ``"ar1(time | g)"`` or a product; without it they are independent with one SD.
        With it a formula need not have a random term.

    Returns
    -------
    Formula
        The formula expanded to terms in R's order.

    Raises
    ------
    FormulaError
        If the text is not a formula with a response and a random term, or `residual`
        none of its structures; the message shows it with a caret and says what to
        write.

    References
    ----------
    .. [1] Bates et al. (2015). J. Stat. Softw. 67(1), section 2.
       https://doi.org/10.18637/jss.v067.i01

    Examples
    --------
    >>> formula = parse_formula("score ~ edu * sex + (edu || class)")
    >>> str(formula)
    'score ~ edu + sex + edu:sex + (1 | class) + (0 + edu | class)'
    >>> [term.label for term in formula.fixed.terms]
    ['edu', 'sex', 'edu:sex']
    """
    if not isinstance(text, str):
        raise FormulaError(
            f"A formula is a string, such as 'y ~ x + (1 | g)'; got "
            f"{type(text).__name__}. Put it in quotes."
        )
    if isinstance(columns, str) or not isinstance(columns, Collection):
        raise FormulaError(
            f"columns must be the names of the data's columns, such as list(data) "
            f"gives, not {columns!r}."
        )
    if printable(text) != text:
        raise FormulaError(
            f"The formula {printable(text)!r} holds half of a character (a lone "
            f"surrogate), which can be neither printed nor saved. Rename the column."
        )
    # One line, so that the caret stands below the character; positions stay the same.
    line = "".join(" " if character.isspace() else character for character in text)
    if not line.strip():
        raise FormulaError("The formula is empty. Write y ~ x + (1 | g).")
    terms = () if residual is None else residual_terms(residual, columns)
    try:
        return _build(text, line, columns, terms)
    except ParseError as error:
        raise FormulaError(error.message, line, error.position) from None
    except RecursionError:
        message = "The formula is nested too deeply to be read. Prepare columns."
        raise FormulaError(message, line) from None


def _build(
    given: str,
    text: str,
    columns: Collection[object],
    residual: tuple[ResidualTerm, ...],
) -> Formula:
    """The formula from both sides, checked; `text` is what is given on one line."""
    left, right = parse_sides(given, columns)
    response, trials = _response(left)
    part = expand(right)
    if not residual:
        _check_random(text, part)
    fixed = linear_predictor(right, part)
    offsets = tuple(dict.fromkeys(part.offsets))  # once each, as in R
    random = random_terms(part.bars)
    formula = Formula(text, response, trials, fixed, offsets, random, residual)
    _check_response_use(formula)
    _check_labels(formula)
    return formula


def _response(node: Node) -> tuple[Atom, Atom | None]:
    """Response, and the trials of ``cbind(s, f)`` or ``p(s, n)``."""
    if isinstance(node, Bar):
        message = "A random term stands left of '~'. It belongs to the right."
        raise ParseError(message, node.position)
    if not (isinstance(node, Call) and node.function in ("cbind", "p")):
        return _response_atom(node), None
    if len(node.args) != 2 or node.keywords:
        message = (
            f"{node.function}() takes two columns: cbind(successes, failures) or "
            "p(successes, trials)."
        )
        raise ParseError(message, node.position)
    successes, other = node.args
    response, second = _response_atom(successes), _response_atom(other)
    if node.function == "p":
        return response, second
    if isinstance(other, Binary) and other.operator == "-" and other.right == successes:
        return response, _response_atom(other.left)  # cbind(s, n - s)
    total = Binary("+", successes, other, node.position)
    return response, Atom(atom_label(total), total)


def _response_atom(node: Node) -> Atom:
    """An atom left of ``~``, where operators are arithmetic."""
    check_expression(node, outer=False)
    if next(names_in(node), None) is None:
        message = (
            f"The formula has no response: {render(node)} names no column. Write "
            "response ~ predictors + (1 | group)."
        )
        raise ParseError(message, node.position)
    return Atom(atom_label(node), node)


def _check_random(text: str, part: Part) -> None:
    """At least one bar term: without one this is not a mixed model."""
    if not part.bars:
        message = (
            "The formula has no random term, so there is nothing to pool and this is "
            "an ordinary regression. Add (1 | group), or fit it with statsmodels' ols. "
            "Correlated residuals need none: residual='ar1(time | g)'."
        )
        raise ParseError(message, len(text.rstrip()))


def _check_response_use(formula: Formula) -> None:
    """The response explains nothing, and groups nothing."""
    used = [atom for term in formula.predictor_terms for atom in term.atoms]
    for bar in formula.random:
        used += bar.group
    if formula.response in formula.residual_atoms:
        raise FormulaError(
            f"The response {formula.response.label} cannot say what its own residuals "
            f"are like. Name another column in residual=."
        )
    for atom in used:
        if atom == formula.response:
            message = (
                f"The response {atom.label} is also on the right of '~', where it "
                "would explain itself. Remove it there."
            )
            raise ParseError(message, atom.position)


def _check_labels(formula: Formula) -> None:
    """Different variables have different labels, and none that of a parameter."""
    terms = formula.predictor_terms
    taken = _OWN_LABELS | (_RESIDUAL_LABELS if formula.residual else {})
    for term in terms:
        if term.label in taken:
            message = (
                f"A column called {term.label} would share its name with "
                f"{taken[term.label]}. Rename it, or write I({term.label})."
            )
            raise ParseError(message, term.atoms[0].position)
    named = [(term.label, term.atoms) for term in terms]
    named += [(atom.label, (atom,)) for atom in formula.atoms]
    named += [(own.group_label, own.group) for own in formula.groupings]
    sources: dict[str, str] = {}
    for label, atoms in named:
        source = ":".join(render(atom.node) for atom in atoms)
        first = sources.setdefault(label, source)
        if first != source:
            message = (
                f"{first} and {source} would share the name {label!r} in every table. "
                "Rename the column."
            )
            raise ParseError(message, atoms[0].position)
