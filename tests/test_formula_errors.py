"""Every formula that is refused: the words of the message and where its caret is."""

import re

import pytest
from sampling import unchecked

from bayeslmm.errors import BayesLMMError, FormulaError
from bayeslmm.formula import parse_formula

REFUSED = [
    # the bar and what is around it
    ("y ~ x + 1|g", "not in brackets.*Write \\(1 \\| g\\)", 9),
    ("y ~ x||g", "not in brackets.*Write \\(x \\|\\| g\\)", 5),
    ("y ~ (1|g)|h", "One term has one bar", 9),
    ("y ~ (|g)", "Nothing stands left of '\\|'", 5),
    ("y ~ (||g)", "Nothing stands left of '\\|\\|'", 5),
    ("y ~ (g|)", "No grouping factor stands right", 7),
    ("y ~ (0|g)", "Nothing varies between the levels of g", 5),
    ("y ~ (x-x-1||g)", "Nothing varies", 8),
    ("y ~ (1|g|h)", "has one bar", 8),
    ("y ~ ((1|g)|h)", "inside another", 10),
    ("y ~ (1|(g|h))", "has one bar", 9),
    ("y ~ (1|1)", "constant 1 cannot group", 7),
    ("y ~ (1|g+0)", "constant 0 cannot group", 9),
    ("y ~ (1|TRUE)", "constant TRUE cannot group", 7),
    ("y ~ (1|log(g))", "log\\(\\) cannot make a grouping factor", 7),
    ("y ~ (1|interaction(a, b))", "crossed grouping columns with ':'", 7),
    ("y ~ (1|g-h)", "'-' cannot stand right of the bar", 8),
    ("y ~ (1|g^2)", "'\\^' cannot stand right of the bar", 8),
    ("y ~ (1|'g')", '"g" cannot stand right of the bar', 7),
    ("y ~ (1|.)", "all other columns", 7),
    ("y ~ (1 g)", "missing between '1' and 'g'.*'\\|'", 7),
    ("y ~ (1/g)", "Did you mean \\(1 \\| g\\)", 5),
    ("y ~ I((1|g))", "cannot stand inside I\\(\\)", 4),
    ("y ~ I(x*(1|g))", "cannot stand inside a function", 10),
    ("y ~ (1|g)*x", "cannot be multiplied", 9),
    ("y ~ x:(1|g)", "cannot be multiplied", 5),
    ("y ~ x - (1|g)", "cannot be removed", 10),
    ("y ~ -(1|g)", "cannot be removed", 7),
    ("(1|g) ~ x", "left of '~'", 2),
    ("y ~ (offset(x)|g)", "offset\\(\\) cannot vary", 12),
    # two blocks that share an effect
    ("y ~ (1|g)+(1|g)", "there twice", 12),
    ("y ~ (1|g)+(1|factor(g))", "there twice \\(once as \\(1 \\| g\\)", 12),
    ("y ~ (1|a/b)+(1|b:a)", "\\(1 \\| b:a\\) is there twice", 14),
    ("y ~ (1|g)+(x|g)", "an intercept.*or \\(1 \\| g\\) and \\(0 \\+ x \\| g\\)", 12),
    ("y ~ (x|g)+(1|g)", "Write \\(1 \\| g\\) alone, or \\(x \\| g\\) alone", 12),
    ("y ~ (0+x|g)+(0+x+w|g)", "an effect x, so", 18),
    ("y ~ (x||g)+(x|g)", "an effect x, so", 13),
    # structures
    ("y ~ diag(x||g)", "'\\|\\|' and diag\\(\\) both", 10),
    ("y ~ cs(x||g)", "or diag\\(x \\| g\\) for no correlation", 8),
    ("y ~ dig(x|g)", "not a covariance structure. Did you mean 'diag'", 4),
    ("y ~ foo(x|g)", "There are: 'us', 'diag'", 4),
    ("y ~ us(x) + (1|g)", "goes around a bar", 4),
    ("y ~ cs(x|g, hom=3)", "cannot take hom = 3", 16),
    ("y ~ us(x|g, hom=TRUE)", "cannot take hom = TRUE", 16),
    ("y ~ cs(x|g, 2)", "takes one bar term", 4),
    # the frame of the formula
    ("y ~ x", "no random term.*Add \\(1 \\| group\\)", 5),
    ("~ x + (1|g)", "no response", 0),
    ("1 ~ x + (1|g)", "no response", 0),
    ("x + (1|g)", "has no '~'", 9),
    ("y = x + (1|g)", "has '=' where '~' belongs", 2),
    ("y ~ x ~ (1|g)", "two '~'", 6),
    ("y ~ ", "nothing right of '~'", 2),
    ("y ~ x + ", "ends after '\\+'", 8),
    ("y ~ x +* z", "'\\*' has nothing on its left", 7),
    ("y ~ (x + ) + (1|g)", "A bracket ends after '\\+'", 9),
    ("y ~ () + (1|g)", "nothing in this bracket", 5),
    ("y ~ log(x + (1|g)", "never closed", 7),
    ("y ~ x + (1|g))", "closes nothing", 13),
    ("y ~ `x + (1|g)", "back-quote is not closed", 4),
    ("y ~ 'x + (1|g)", "quote is not closed", 4),
    ("y ~ a b + (1|g)", "missing between 'a' and 'b'", 6),
    ("y ~ (a, b) + (1|g)", "comma separates arguments", 6),
    ("y ~ x + (1|g), z", "comma separates arguments", 13),
    ("y ~ y + (1|g)", "response y is also on the right", 4),
    ("y ~ x + (1|y)", "response y is also on the right", 11),
    ("cbind(s) ~ x + (1|g)", "cbind\\(\\) takes two columns", 0),
    # terms
    ("y ~ a %in% b + (1|g)", "'%in%' is not supported.*a/b", 6),
    ("y ~ a %o% b + (1|g)", "'%o%' is unknown", 6),
    ("y ~ . + (1|g)", "Name the columns", 4),
    ("y ~ x^2 + (1|g)", "Outside a function x\\^2.*I\\(x\\^2\\), or poly\\(x, 2\\)", 5),
    ("y ~ (a+b)^x + (1|g)", "interactions up to an order", 9),
    ("y ~ (a+b)^0 + (1|g)", "interactions up to an order", 9),
    ("y ~ 2*x + (1|g)", "I\\(2 \\* x\\)", 4),
    ("y ~ x + 3 + (1|g)", "The number 3 is not a term", 8),
    ("y ~ 2x + (1|g)", "'2' runs into the letters", 4),
    ("y ~ pi + (1|g)", "The number pi is not a term", 4),
    ("y ~ 'x' + (1|g)", "Name a column without quotes", 4),
    ("y ~ NULL + (1|g)", "The constant NULL is not a term", 4),
    ("y ~ x > 3 + (1|g)", "Write I\\(x > 3\\)", 6),
    ("y ~ a*b - a:d + (1|g)", "removes a:d.*Did you mean 'a:b'", 10),
    ("y ~ offset(x):a + (1|g)", "offset\\(\\) cannot be part of a product", 13),
    ("y ~ x - offset(x) + (1|g)", "offset\\(\\) cannot be removed", 8),
    ("y ~ sigma + (1|g)", "share its name with the residual SD", 4),
    ("y ~ 0 + Intercept + (1|g)", "share its name with the intercept", 8),
    ("y ~ `a:b` + a:b + (1|g)", "share the name 'a:b'", 12),
    ("y ~ x + (1|`a:b`) + (1|a:b)", "share the name 'a:b'", 23),
    ("y ~ `log(x)` + log(x) + (1|g)", "share the name 'log\\(x\\)'", 15),
    # functions
    ("y ~ lgo(x) + (1|g)", "it runs no other code. Did you mean 'log'", 4),
    ("y ~ as.factor(x) + (1|g)", "Write factor\\(x\\)", 4),
    ("y ~ np.log(x) + (1|g)", "Write log\\(x\\)", 4),
    ("y ~ stats::poly(x, 2) + (1|g)", "Name the function alone", 9),
    ("y ~ log() + (1|g)", "1 to 2 unnamed arguments and was given 0", 4),
    ("y ~ exp(x, z) + (1|g)", "takes 1 argument and was given 2", 4),
    ("y ~ poly(x, -1) + (1|g)", "whole number, 1 or more; it was given -1", 12),
    ("y ~ poly(x, 2, raw=T) + (1|g)", "must be TRUE or FALSE; it was given T", 19),
    ("y ~ poly(x, 2, rwa=TRUE) + (1|g)", "no argument 'rwa'. Did you mean 'raw'", 19),
    ("y ~ poly(x, 2, degree=2) + (1|g)", "given 'degree' twice", 22),
    ("y ~ poly(raw=TRUE, x) + (1|g)", "Named arguments come after", 19),
    ("y ~ scale(x, center=z) + (1|g)", "TRUE, FALSE or a number", 20),
    ("y ~ C(a, Summ) + (1|g)", "must be Treatment.*Sum, Helmert or Poly", 9),
    ("y ~ log(poly(x, 2)) + (1|g)", "poly\\(\\) cannot stand inside", 8),
    ("factor(y) ~ x + (1|g)", "factor\\(\\) cannot stand inside", 0),
    ("y ~ I(x = 3) + (1|g)", "written '=='", 10),
    ("y ~ I(3) + (1|g)", "names no column", 4),
    ("y ~ I(1 < x < 3) + (1|g)", "cannot be chained", 12),
    ("y ~ I(a:b) + (1|g)", "':' inside a function", 7),
    ("y ~ I(x + 'a') + (1|g)", "cannot be calculated with", 10),
    ("y ~ log(TRUE) + (1|g)", "cannot be calculated with", 8),
    # code
    ("y ~ x.__class__ + (1|g)", "Python's own attributes", 4),
    ("y ~ __import__('os').system('x') + (1|g)", "Python's own attributes", 4),
    ("y ~ x.mean() + (1|g)", "x.mean\\(\\) is not a function that a formula may", 4),
    ("y ~ eval('1') + (1|g)", "eval\\(\\) is not a function that a formula may", 4),
    ("y ~ x[0] + (1|g)", "Indexing", 5),
    ("y ~ df$x + (1|g)", "without its data frame", 6),
    ("y ~ I(lambda x: x) + (1|g)", "no lambda", 13),
    ("y ~ {x} + (1|g)", "round brackets", 4),
    ("y ~ !x + (1|g)", "'!' is not part", 4),
    ("y ~ I(x & z) + (1|g)", "Multiply", 8),
    ("y ~ x; z", "';' is not part of a formula", 5),
    ("y ~ x − z + (1|g)", "MINUS SIGN", 6),
    ("y ~ x−z + (1|g)", "MINUS SIGN", 5),
    ("y ~ x\u200b + (1|g)", "ZERO WIDTH SPACE", 5),
]


@pytest.mark.parametrize(("text", "words", "position"), REFUSED)
def test_refused_with_caret(text, words, position):
    with pytest.raises(FormulaError, match=words) as caught:
        parse_formula(text)
    assert caught.value.position == position
    assert str(caught.value).endswith(f"\n  {text}\n  {' ' * position}^")


@pytest.mark.parametrize("text", [None, 3, b"y ~ x", ["y ~ x"]])
def test_formula_is_a_string(text):
    with pytest.raises(FormulaError, match=f"got {type(text).__name__}"):
        parse_formula(text)


@pytest.mark.parametrize("columns", ["pi", None, 3])
def test_columns_are_a_list_of_names(columns):
    with unchecked(), pytest.raises(FormulaError, match="columns must be the names"):
        parse_formula("y ~ I(x * pi) + (1 | g)", columns=columns)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_empty_formula(text):
    with pytest.raises(FormulaError, match="formula is empty"):
        parse_formula(text)


def test_too_many_terms_stop_early():
    names = " + ".join(f"v{i}" for i in range(60))
    with pytest.raises(FormulaError, match=re.escape("more than 10000 terms")):
        parse_formula(f"y ~ ({names})^6 + (1 | g)")


@pytest.mark.parametrize("opened", ["(", "log(", "-", "x^", "I(x + "])
def test_deep_nesting_is_a_formula_error(opened):
    closed = ")" * opened.count("(")
    with pytest.raises(FormulaError, match="nested too deeply"):
        parse_formula(f"y ~ I({opened * 5000}x{closed * 5000}) + (1 | g)")


def test_formula_error_is_ours_and_a_value_error():
    assert issubclass(FormulaError, BayesLMMError)
    assert issubclass(FormulaError, ValueError)
