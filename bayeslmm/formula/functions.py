"""The functions that a formula may call, and the check of one atom.

Takes a node that is to be one variable of the model; gives nothing, or a `ParseError`
that says what to write. This list is the whole of what a formula can run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bayeslmm.errors import nearest_names
from bayeslmm.formula.codings import WANTED, read_coding
from bayeslmm.formula.lexer import ParseError
from bayeslmm.formula.nodes import (
    PRECEDENCE,
    Bar,
    Binary,
    Call,
    Constant,
    Node,
    Number,
    String,
    Unary,
    names_in,
    render,
)


@dataclass(frozen=True, slots=True)
class FunctionRule:
    """How a function may be called.

    ``positional`` are its parameters by place, the first required; ``keywords`` those
    that may be named. ``outermost``: not inside another
    call, because it gives no single number for a row.
    """

    description: str
    positional: tuple[str, ...] = ("x",)
    keywords: tuple[str, ...] = ()
    outermost: bool = False


ALLOWED_FUNCTIONS: Mapping[str, FunctionRule] = MappingProxyType(
    {
        "I": FunctionRule("arithmetic as written"),
        "log": FunctionRule("logarithm", ("x", "base"), ("base",)),
        "log2": FunctionRule("logarithm to base 2"),
        "log10": FunctionRule("logarithm to base 10"),
        "log1p": FunctionRule("log(1 + x)"),
        "exp": FunctionRule("exponential"),
        "expm1": FunctionRule("exp(x) - 1"),
        "sqrt": FunctionRule("square root"),
        "abs": FunctionRule("absolute value"),
        "sin": FunctionRule("sine, radians"),
        "cos": FunctionRule("cosine, radians"),
        "tan": FunctionRule("tangent, radians"),
        "scale": FunctionRule(
            "centred, in SDs", ("x", "center", "scale"), ("center", "scale")
        ),
        "center": FunctionRule("minus its mean"),
        "poly": FunctionRule(
            "orthonormal polynomial, R's poly()",
            ("x", "degree"),
            ("degree", "raw"),
            outermost=True,
        ),
        "bs": FunctionRule(
            "B-spline, R's bs()",
            ("x", "df"),
            ("df", "knots", "degree", "intercept", "Boundary.knots"),
            outermost=True,
        ),
        "ns": FunctionRule(
            "natural spline, R's ns()",
            ("x", "df"),
            ("df", "knots", "intercept", "Boundary.knots"),
            outermost=True,
        ),
        "factor": FunctionRule("levels, whatever the column's type", outermost=True),
        "C": FunctionRule(
            "levels under a coding: Treatment, Sum, Helmert, Poly",
            ("x", "contrast"),
            outermost=True,
        ),
        "offset": FunctionRule("known part of the mean", outermost=True),
    }
)

_COMPARISONS = ("==", "!=", "<", ">", "<=", ">=")

# What people write from habit, and what to write here.
_INSTEAD = {
    "as.factor": "Write factor(x).",
    "interaction": "Write a:b.",
    "ln": "Write log(x).",
    "power": "Write I(x^2).",
    "pow": "Write I(x^2).",
    "square": "Write I(x^2).",
    "standardize": "Write scale(x).",
    "relevel": "Set the order of the categories in the data.",
    "ordered": "Set the order of the categories in the data.",
    "cbind": "It is for a response only.",
    "p": "It is for a response only.",
}


def check_atom(node: Node) -> None:
    """Refuse an atom that could not be evaluated, or names no column."""
    check_expression(node, outer=True)
    if next(names_in(node), None) is None:
        message = (
            f"{render(node)} names no column, so it is the same for every row. "
            "The intercept is written 1; drop anything else that is constant."
        )
        raise ParseError(message, node.position)


def check_expression(node: Node, *, outer: bool) -> None:
    """Refuse whatever is not arithmetic on columns or a call from the list."""
    match node:
        case Bar():
            message = "A random term cannot stand inside a function. Add it with '+'."
            raise ParseError(message, node.position)
        case String() | Constant():
            message = (
                f"The constant {render(node)} cannot be calculated with. A column is "
                "named without quotes; a text is for comparing, I(x == 'a')."
            )
            raise ParseError(message, node.position)
        case Unary(_, operand):
            check_expression(operand, outer=False)
        case Binary():
            _check_binary(node)
        case Call():
            _check_call(node, outer=outer)
        case _:
            return


def _check_binary(node: Binary) -> None:
    """Operators that mean arithmetic, and comparisons of two sides only."""
    if node.operator == ":":
        message = "':' inside a function is not supported; write a product with '*'."
        raise ParseError(message, node.position)
    sides = (node.left, node.right)
    if node.operator in _COMPARISONS and any(_is_comparison(side) for side in sides):
        message = "Comparisons cannot be chained. Multiply them: I((1 < x) * (x < 3))."
        raise ParseError(message, node.position)
    equality = node.operator in ("==", "!=")
    for side in sides:
        if not (equality and isinstance(side, String | Constant)):
            check_expression(side, outer=False)


def _is_comparison(node: Node) -> bool:
    """Whether a node is a comparison."""
    return isinstance(node, Binary) and PRECEDENCE[node.operator] == PRECEDENCE["<"]


def _check_call(node: Call, *, outer: bool) -> None:
    """A call of the list, with arguments that it takes."""
    bars = [argument for argument in node.args if isinstance(argument, Bar)]
    rule = ALLOWED_FUNCTIONS.get(node.function)
    if rule is None:
        raise ParseError(_unknown_function(node), node.position)
    if bars:
        message = (
            f"A random term cannot stand inside {node.function}(). Add it to the "
            f"formula with '+': (1 | {render(bars[0].right)})."
        )
        raise ParseError(message, node.position)
    if rule.outermost and not outer:
        message = (
            f"{node.function}() cannot stand inside another function or a "
            "calculation. Write it as a term of its own."
        )
        raise ParseError(message, node.position)
    _check_arguments(node, rule)
    # poly(log(x), 2) is fine, poly(poly(x, 2), 2) is not; I() and offset() only wrap.
    check_expression(node.args[0], outer=False)


def _check_arguments(node: Call, rule: FunctionRule) -> None:
    """Number, names and values of the arguments."""
    named = dict.fromkeys(rule.positional + rule.keywords)
    signature = f"It is {node.function}({', '.join(named)})."
    for key, value in node.keywords:
        if key not in rule.keywords:
            hint = (
                nearest_names(key, rule.keywords)
                if rule.keywords
                else (" A comparison is written '=='.")
            )
            message = f"{node.function}() has no argument {key!r}.{hint} {signature}"
            raise ParseError(message, value.position)
    n, most = len(node.args), len(rule.positional)
    if not 1 <= n <= most:
        allowed = "1 argument" if most == 1 else f"1 to {most} unnamed arguments"
        message = f"{node.function}() takes {allowed} and was given {n}. {signature}"
        raise ParseError(message, node.position)
    given = dict(zip(rule.positional[1:], node.args[1:], strict=False))
    for key, value in node.keywords:
        if key in given:
            message = f"{node.function}() was given {key!r} twice. {signature}"
            raise ParseError(message, value.position)
        given[key] = value
    for key, value in given.items():
        _check_value(node.function, key, value)


def _check_value(function: str, key: str, value: Node) -> None:
    """The value of an argument other than the first."""
    flag = isinstance(value, Constant) and value.value is not None
    number = isinstance(value, Number)
    whole = isinstance(value, Number) and value.value >= 1 and value.value % 1 == 0
    fine, wanted = {
        "df": (whole, "a whole number, 1 or more"),
        "knots": (_is_numbers(value), "a number or c() of numbers"),
        "Boundary.knots": (
            _is_numbers(value) and isinstance(value, Call) and len(value.args) == 2,
            "two numbers, c(low, high)",
        ),
        "intercept": (flag, "TRUE or FALSE"),
        "degree": (whole, "a whole number, 1 or more"),
        "raw": (flag, "TRUE or FALSE"),
        "center": (flag or number, "TRUE, FALSE or a number"),
        "scale": (flag or number, "TRUE, FALSE or a number"),
        "base": (number, "a number"),
        "contrast": (read_coding(value) is not None, WANTED),
    }[key]
    if not fine:
        message = (
            f"{key!r} of {function}() must be {wanted}; it was given {render(value)}."
        )
        raise ParseError(message, value.position)


def _is_numbers(node: Node) -> bool:
    """Whether a node is a number, perhaps with a sign, or ``c()`` of such."""
    if isinstance(node, Call):
        plain = node.function == "c" and node.args and not node.keywords
        return bool(plain) and all(_is_numbers(argument) for argument in node.args)
    if isinstance(node, Unary):
        return isinstance(node.operand, Number)
    return isinstance(node, Number)


def _unknown_function(node: Call) -> str:
    """Message for a call that is not on the list."""
    last = node.function.rpartition(".")[2]
    head = f"{node.function}() is not a function that a formula may call"
    if last != node.function and last in ALLOWED_FUNCTIONS:
        return f"{head}. Write {render(Call(last, node.args, node.keywords))}."
    if node.function in _INSTEAD:
        return f"{head}. {_INSTEAD[node.function]}"
    return (
        f"{head}: it runs no other code.{nearest_names(last, ALLOWED_FUNCTIONS)} "
        f"Prepare a column, or use one of {', '.join(ALLOWED_FUNCTIONS)}."
    )
