"""What R and lme4 make of a formula, and the formulas of the reference fits."""

import pytest

from bayeslmm.formula import parse_formula


def blocks(text: str) -> list[tuple[list[str], str, str]]:
    """Effects, grouping factor and structure of each block of the bar terms `text`."""
    return [
        (
            ["1"] * bar.predictor.intercept + [t.label for t in bar.predictor.terms],
            bar.group_label,
            bar.structure,
        )
        for bar in parse_formula(f"y ~ {text}").random
    ]


# R 4.2.2, attr(terms(y ~ ...), "intercept") and "term.labels", joined by "; ".
R_TERMS = [
    ("a*b*c - a:b", 1, "a; b; c; a:c; b:c; a:b:c"),
    ("(a+b+c)^2", 1, "a; b; c; a:b; a:c; b:c"),
    ("(a + b) ** 2", 1, "a; b; a:b"),
    ("a/b/c", 1, "a; a:b; a:b:c"),
    ("b:a + a", 1, "a; b:a"),
    ("b + a:b + (a+b)^3", 1, "b; a; b:a"),
    ("(a+b)/c", 1, "a; b; a:b:c"),
    ("a + (0+b)", 0, "a; b"),
    ("a*(b-1)", 0, "a; b; a:b"),
    ("a:b + c + b", 1, "c; b; a:b"),
    ("-1 + x", 0, "x"),
    ("x + 0", 0, "x"),
    ("0 + x + 1", 1, "x"),
    ("a+b-a", 1, "b"),
    ("(a+b)*(c+d)", 1, "a; b; c; d; a:c; a:d; b:c; b:d"),
    ("(a*b)^2", 1, "a; b; a:b"),
    ("(a+b)^2 - a", 1, "b; a:b"),
    ("offset(z) + x", 1, "x"),
    ("a:a + a/a", 1, "a"),
    ("I( x^ 2) + log( x+1)", 1, "I(x^2); log(x + 1)"),
    ("poly( x,2, raw=TRUE)", 1, "poly(x, 2, raw = TRUE)"),
    ("exp(-x^2) + I(-(x+1)/10)", 1, "exp(-x^2); I(-(x + 1)/10)"),
    ("log(100000*x)", 1, "log(1e+05 * x)"),
    ("I(x>3 ) + I(a %% 2==1) + I(2^-x)", 1, "I(x > 3); I(a%%2 == 1); I(2^-x)"),
]


@pytest.mark.parametrize(("text", "intercept", "labels"), R_TERMS)
def test_fixed_terms_are_those_of_r(text, intercept, labels):
    predictor = parse_formula(f"y ~ {text} + (1 | q)").fixed
    assert predictor.intercept == bool(intercept)
    assert "; ".join(term.label for term in predictor.terms) == labels


# lme4 1.1-31, findbars(expandDoubleVerts(...)); a before a:b as in its documentation.
LME4_BARS = [
    ("(1|g)", [("1", "g")]),
    ("(x|g)", [("1 x", "g")]),
    ("(1 + x|g)", [("1 x", "g")]),
    ("(0+x|g)", [("x", "g")]),
    ("(-1+x|g)", [("x", "g")]),
    ("(x-1|g)", [("x", "g")]),
    ("(x||g)", [("1", "g"), ("x", "g")]),
    ("(0+x||g)", [("x", "g")]),
    ("(1||g)", [("1", "g")]),
    ("(x*w||g)", [("1", "g"), ("x", "g"), ("w", "g"), ("x:w", "g")]),
    ("(x*w|g)", [("1 x w x:w", "g")]),
    ("(1|a/b)", [("1", "a"), ("1", "a:b")]),
    ("(1|a/b/c)", [("1", "a"), ("1", "a:b"), ("1", "a:b:c")]),
    ("(x|a/b)", [("1 x", "a"), ("1 x", "a:b")]),
    ("(f||a/b)", [("1", "a"), ("1", "a:b"), ("f", "a"), ("f", "a:b")]),
    ("(1|a:b)", [("1", "a:b")]),
    ("(1|b:a)", [("1", "b:a")]),
    ("(1|g) + (0+x|g)", [("1", "g"), ("x", "g")]),
    ("(1|plate) + (1|sample)", [("1", "plate"), ("1", "sample")]),
    ("((1|g) + (1|h))", [("1", "g"), ("1", "h")]),
    ("(1|a*b)", [("1", "a"), ("1", "b"), ("1", "a:b")]),  # reformulas, as lme4 2.0
    ("(1|a+b)", [("1", "a"), ("1", "b")]),
    ("(1|factor(g))", [("1", "factor(g)")]),
    ("(poly(x, 2)|`my g`)", [("1 poly(x,2)", "my g")]),
]


@pytest.mark.parametrize(("text", "expected"), LME4_BARS)
def test_bar_terms_are_those_of_lme4(text, expected):
    found = [
        (" ".join(effect.replace(" ", "") for effect in effects), group)
        for effects, group, _ in blocks(text)
    ]
    assert found == expected


STRUCTURED = [
    ("us(x|g)", "us", "(x | g)"),
    ("diag(f|g)", "diag", "diag(f | g)"),
    ("cs(0+f|g)", "cs", "cs(0 + f | g)"),
    ("ar1(0+f|g)", "ar1", "ar1(0 + f | g)"),
    ("cs(f|g, hom=TRUE)", "homcs", "homcs(f | g)"),
    ("diag(f|g, hom=TRUE)", "homdiag", "homdiag(f | g)"),
    ("ar1(f|g, hom=FALSE)", "hetar1", "hetar1(f | g)"),
    ("ar1(f|g, hom=TRUE)", "ar1", "ar1(f | g)"),
    ("toep(0+f|g)", "toep", "toep(0 + f | g)"),
    ("toep(f|g, hom=TRUE)", "homtoep", "homtoep(f | g)"),
    ("homcs((f|g))", "homcs", "homcs(f | g)"),
]


@pytest.mark.parametrize(("text", "structure", "label"), STRUCTURED)
def test_structure_words(text, structure, label):
    (term,) = parse_formula(f"y ~ {text}").random
    assert (term.structure, term.label) == (structure, label)


def test_structure_covers_every_group_of_a_nesting():
    assert blocks("cs(f|a/b)") == [(["1", "f"], "a", "cs"), (["1", "f"], "a:b", "cs")]


# The formulas of the reference fits, with what they become.
REFERENCE = [
    ("Reaction ~ 0 + Days + (Days|Subject)", "Reaction ~ 0 + Days + (Days | Subject)"),
    (
        "Reaction ~ Days + I(Days^2) + (Days||Subject)",
        "Reaction ~ Days + I(Days^2) + (1 | Subject) + (0 + Days | Subject)",
    ),
    (
        "Reaction ~ Days + offset(5 * Days^2 / 10) + (Days|Subject)",
        "Reaction ~ Days + offset(5 * Days^2/10) + (Days | Subject)",
    ),
    ("Yield ~ 1 + (1|Batch)", "Yield ~ 1 + (1 | Batch)"),
    (
        "cbind(incidence, size - incidence) ~ period + (1|herd) + (1|obs)",
        "p(incidence, size) ~ period + (1 | herd) + (1 | obs)",
    ),
    (
        "score ~ Machine + (Machine||Worker)",
        "score ~ Machine + (1 | Worker) + (0 + Machine | Worker)",
    ),
    (
        "score ~ 0 + Machine + (1|Worker) + (1|Worker:Machine)",
        "score ~ 0 + Machine + (1 | Worker) + (1 | Worker:Machine)",
    ),
    (
        "strength ~ 1 + (1|batch/cask)",
        "strength ~ 1 + (1 | batch) + (1 | batch:cask)",
    ),
    (
        "weight ~ treatment * sex + litsize + (1|litter)",
        "weight ~ treatment + sex + litsize + treatment:sex + (1 | litter)",
    ),
    (
        "y ~ 1 + service*dept + (1|s) + (1|d)",
        "y ~ service + dept + service:dept + (1 | s) + (1 | d)",
    ),
    ("y ~ (1|g)", "y ~ 1 + (1 | g)"),
    ("y ~ 0 + (1|g)", "y ~ 0 + (1 | g)"),
]


@pytest.mark.parametrize(("text", "canonical"), REFERENCE)
def test_canonical_text(text, canonical):
    assert str(parse_formula(text)) == canonical
