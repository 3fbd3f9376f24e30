"""lme4's formula grammar: laws of the algebra, labels, responses."""

import pytest
from hypothesis import assume, given, strategies as st

from bayeslmm.errors import FormulaError
from bayeslmm.formula import (
    ALLOWED_FUNCTIONS,
    Binary,
    Call,
    Constant,
    Name,
    Number,
    String,
    Unary,
    names_in,
    parse_formula,
    render,
)
from bayeslmm.formula.lexer import tokenize


def fixed(text: str) -> tuple[bool, list[str]]:
    """Intercept and labels of the fixed part `text`."""
    predictor = parse_formula(f"y ~ {text} + (1 | q)").fixed
    return predictor.intercept, [term.label for term in predictor.terms]


# --- laws -----------------------------------------------------------------------------

ATOMS = ("a", "b.c", "x_1", "log(x + 1)", "I(x^2)", "poly(z, 2, raw = TRUE)", "`my x`")

# A sum of products as text, with the set of its terms worked out beside it: each term a
# set of atoms. An oracle of the algebra that shares nothing with the parser.
Algebra = tuple[str, frozenset[frozenset[str]]]


def _combine(parts: tuple[Algebra, str, Algebra]) -> Algebra:
    (left_text, left), operator, (right_text, right) = parts
    crossed = frozenset(one | other for one in left for other in right)
    terms = {
        "+": left | right,
        ":": crossed,
        "*": left | right | crossed,
        "/": left | {frozenset().union(*left) | other for other in right},
    }[operator]
    return f"({left_text}) {operator} ({right_text})", frozenset(terms)


algebra = st.recursive(
    st.sampled_from(ATOMS).map(lambda a: (a, frozenset({frozenset({a.strip("`")})}))),
    lambda inner: st.tuples(inner, st.sampled_from("+:*/"), inner).map(_combine),
    max_leaves=6,
)
BARS = (
    "(1 | g)",
    "(x || h / i)",
    "(x * w - 1 | k:l)",
    "cs(f | m, hom = TRUE)",
    "ar1(0 + f | `n n`)",
    "(1 | factor(o))",
)
bars = st.lists(st.sampled_from(BARS), min_size=1, unique=True).map(" + ".join)
formulas = st.tuples(
    st.sampled_from(["y", "log(y/10)", "cbind(s, n - s)", "p(s, n)"]),
    algebra.map(lambda pair: pair[0]),
    st.sampled_from(["", " - 1", " + 0", " + offset(log(t))"]),
    bars,
).map(lambda p: f"{p[0]} ~ {p[1]}{p[2]} + {p[3]}")


def term_sets(text: str) -> set[frozenset[str]]:
    """Terms of the fixed part `text` as sets of atoms."""
    predictor = parse_formula(f"y ~ {text} + (1 | q)").fixed
    return {frozenset(atom.label for atom in term.atoms) for term in predictor.terms}


@given(algebra)
def test_terms_are_those_of_set_algebra(pair):
    text, terms = pair
    assert term_sets(text) == terms


@given(algebra)
def test_terms_come_by_degree_and_once(pair):
    predictor = parse_formula(f"y ~ {pair[0]} + (1 | q)").fixed
    degrees = [len(term.atoms) for term in predictor.terms]
    assert degrees == sorted(degrees)
    assert len(set(predictor.terms)) == len(predictor.terms)


@given(algebra, algebra)
def test_product_is_its_sum(left, right):
    a, b = f"({left[0]})", f"({right[0]})"
    assert fixed(f"{a} * {b}") == fixed(f"{a} + {b} + {a}:{b}")


@given(algebra)
def test_square_is_product_with_itself(pair):
    text, terms = pair
    assume(len(terms) > 1)
    assert term_sets(f"({text})^2") == term_sets(f"({text}):({text})")


@given(algebra, algebra)
def test_minus_undoes_plus(left, right):
    a, b = f"({left[0]})", f"({right[0]})"
    assert term_sets(f"{a} + {b} - {b}") == left[1] - right[1]


@given(st.permutations(["a", "b", "a:b", "log(x)", "(1 | g)", "(x || h)"]))
def test_order_of_summands_changes_no_term(summands):
    formula = parse_formula("y ~ " + " + ".join(summands))
    assert set(formula.fixed.terms) == set(
        parse_formula("y ~ a * b + log(x) + (1 | g)").fixed.terms
    )
    assert {bar.label for bar in formula.random} == {
        "(1 | g)",
        "(1 | h)",
        "(0 + x | h)",
    }


@given(formulas)
def test_canonical_text_reads_back(text):
    formula = parse_formula(text)
    again = parse_formula(str(formula))
    assert again == formula
    assert set(again.columns) == set(formula.columns)


@given(formulas, st.data())
def test_white_space_means_nothing(text, data):
    words = [_written(text, token) for token in tokenize(text)]
    gaps = st.sampled_from(["", " ", "\n", "\t  ", "\u00a0"])
    spaced = "".join(word + data.draw(gaps) for word in words)
    assert parse_formula(spaced) == parse_formula(text)
    assert str(parse_formula(spaced)) == str(parse_formula(text))


def _written(text: str, token) -> str:
    """The token with its quotes, as it stands in `text`."""
    return f"`{token.text}`" if token.kind == "quoted" else token.text


@given(st.text(alphabet="ygx019.,+-*/:^|()=<>~ `'\"%I log_é", max_size=30))
def test_any_text_is_a_formula_or_a_formula_error(text):
    try:
        formula = parse_formula(text)
    except FormulaError:
        return  # any other exception fails the test
    assert formula.random
    assert parse_formula(str(formula)) == formula


# --- nodes, labels, responses ---------------------------------------------------------


def atom(text: str):
    """The only atom of the fixed part `text`."""
    (term,) = parse_formula(f"y ~ {text} + (1 | q)").fixed.terms
    (only,) = term.atoms
    return only


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("x", Name("x")),
        ("`a b`", Name("a b")),
        (
            "poly(x, 2, raw = TRUE)",
            Call("poly", (Name("x"), Number(2.0)), (("raw", Constant(True)),)),
        ),
        (
            "poly(x, degree=2L, raw=False)",
            Call(
                "poly",
                (Name("x"),),
                (("degree", Number(2.0)), ("raw", Constant(False))),
            ),
        ),
        ("C(a, Treatment)", Call("C", (Name("a"), Name("Treatment")))),
        ("I(-x^2)", Call("I", (Unary("-", Binary("^", Name("x"), Number(2.0))),))),
        (
            "I(a - b - 1)",
            Call("I", (Binary("-", Binary("-", Name("a"), Name("b")), Number(1.0)),)),
        ),
        (
            "I(2^3^x)",
            Call("I", (Binary("^", Number(2.0), Binary("^", Number(3.0), Name("x"))),)),
        ),
        ("I(s == 'q')", Call("I", (Binary("==", Name("s"), String("q")),))),
    ],
)
def test_nodes(text, node):
    assert atom(text).node == node


def test_pi_is_a_number_and_quoted_pi_a_column():
    assert atom("sin(2*pi*x)").columns == ("x",)
    assert atom("sin(2*`pi`*x)").label == "sin(2 * `pi` * x)"
    assert atom("sin(2*`pi`*x)").columns == ("pi", "x")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("my.var_2", "my.var_2"),
        ("`my col`", "my col"),
        ("log( `my col`+1 )", "log(`my col` + 1)"),
        ("größe", "größe"),
        ("नाम", "नाम"),
        ("I((x - 5)*2)", "I((x - 5) * 2)"),
        ("I(x - (5 - z))", "I(x - (5 - z))"),
        ("I((x^2)^3)", "I((x^2)^3)"),
        ("I((-x)^2)", "I((-x)^2)"),
        ("I((x*2) + 1)", "I(x * 2 + 1)"),  # R keeps these brackets; one variable here
        ("I(x*1e-7 + .5)", "I(x * 1e-07 + 0.5)"),
        ("log(x, base = 10)", "log(x, base = 10)"),
        ("I(s == 'it\"s')", 'I(s == "it\\"s")'),
    ],
)
def test_labels_are_deparsed(text, label):
    assert atom(text).label == label
    assert atom(render(atom(text).node)).label == label


def test_product_is_one_term_whatever_its_order():
    ab, ba = (parse_formula(f"y ~ {t} + (1|g)").fixed.terms[0] for t in ("a:b", "b:a"))
    assert ab == ba
    assert hash(ab) == hash(ba)
    assert (ab.label, ba.label) == ("a:b", "b:a")


@pytest.mark.parametrize(
    ("left", "response", "trials"),
    [
        ("log(y + 1)", "log(y + 1)", None),
        ("y/100", "y/100", None),
        ("`a response`", "a response", None),
        ("cbind(s, f)", "s", "s + f"),
        ("cbind(s, n - s)", "s", "n"),
        ("cbind(s, n - r)", "s", "s + (n - r)"),
        ("p(s, n)", "s", "n"),
    ],
)
def test_responses(left, response, trials):
    formula = parse_formula(f"{left} ~ x + (1 | g)")
    assert formula.response.label == response
    assert (formula.trials and formula.trials.label) == trials


def test_columns_and_positions():
    text = (
        "log(y) ~ C(a, Treatment) + offset(z*2) + offset(w) + offset(z * 2) + (x | g:h)"
    )
    formula = parse_formula(text)
    assert formula.columns == ("y", "a", "z", "w", "x", "g", "h")
    assert [offset.label for offset in formula.offsets] == ["z * 2", "w"]
    for variable in formula.atoms:
        for name in names_in(variable.node):
            assert text[name.position] == name.name
    assert text[formula.random[0].position] == "|"


def test_text_is_one_line_with_the_same_positions():
    formula = parse_formula("y ~ x\n  + (1 | g)")
    assert formula.text == "y ~ x   + (1 | g)"


def test_long_sum_is_no_deep_recursion():
    names = [f"v{i}" for i in range(3000)]
    assert fixed(" + ".join(names))[1] == names


@pytest.mark.parametrize("function", sorted(set(ALLOWED_FUNCTIONS) - {"offset"}))
def test_every_allowed_function_is_a_term(function):
    assert atom(f"{function}(x)").label == f"{function}(x)"
