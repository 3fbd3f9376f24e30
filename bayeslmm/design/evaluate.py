"""Atoms of a formula -> numbers and factors (what R calls the model frame).

Takes expression nodes and columns, walks the nodes with numpy (never ``eval``) and
gives a `NumericColumn` or a `FactorColumn` for each atom. Functions whose result
depends on all rows (``scale``, ``center``, ``poly``) take what was learnt of these from
a memory. Rows with missing values must have been dropped before.

formulae, bambi's parser, is not used: it lacks lme4's meaning (``||``, ``^``, ``log``,
``factor``) and costs 1.5 s to import.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.data.numbers import EXACT, check_holds_ids, to_floats
from bayeslmm.design.frame import (
    FactorColumn,
    FactorLevels,
    RawColumn,
    to_factor,
    to_flag_factor,
)
from bayeslmm.design.splines import SPLINES, spline_values
from bayeslmm.design.stateful import (
    is_raw_poly,
    poly_degree,
    poly_values,
    setting,
)
from bayeslmm.errors import DataError, FormulaError
from bayeslmm.formula import (
    Atom,
    Binary,
    Call,
    Constant,
    Name,
    Node,
    Number,
    String,
    Unary,
)
from bayeslmm.formula.nodes import render

Memory = dict[str, tuple[float, ...]]
"""What ``scale``, ``poly``, ``bs`` and their kin learnt, by the text of the call."""


@dataclass(frozen=True, slots=True)
class NumericColumn:
    """One numeric variable, or the several columns of ``poly()``.

    ``values`` has shape (n, c), and ``names`` one name for each column.
    """

    values: Float[np.ndarray, "n c"]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NumericNames:
    """What a `NumericColumn` is, without rows."""

    names: tuple[str, ...]


AnyNumeric = NumericColumn | NumericNames
Column = NumericColumn | FactorColumn
Described = Column | NumericNames | FactorLevels
"""What is known of an atom: its column, or names or levels alone."""

FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "exp": np.exp,
    "expm1": np.expm1,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
}

OPERATORS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.true_divide,
    "^": np.power,
    "%%": np.mod,
    "%/%": np.floor_divide,
    "<": np.less,
    ">": np.greater,
    "<=": np.less_equal,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


@dataclass(frozen=True, slots=True)
class RawRows:
    """The rows on which atoms are evaluated: their columns, and the memory.

    ``text`` is the formula, for messages.
    """

    columns: Mapping[str, RawColumn]
    n: int
    memory: Memory
    text: str


def evaluate_atom(atom: Atom, rows: RawRows) -> Column:
    """One atom on the rows given; finite, or a `DataError` that counts what is not."""
    if is_factor(atom, rows):
        return evaluate_factor(atom, rows)
    with np.errstate(all="ignore"):  # reported below, with the name of the atom
        values = np.asarray(_evaluate(atom.node, rows))
    if values.dtype == bool:
        return to_flag_factor(np.broadcast_to(values, (rows.n,)))
    if values.ndim < 2:
        values = np.broadcast_to(values, (rows.n,))[:, None]
    _check_finite(atom.label, values)
    names = column_names(atom.label, values.shape[1])
    return NumericColumn(values.astype(float, copy=False), names)


def is_factor(atom: Atom, rows: RawRows) -> bool:
    """Whether an atom is a factor among the predictors: factor(x), or text."""
    node = atom.node
    text = isinstance(node, Name) and rows.columns[node.name].kind == "text"
    return text or _is_factor_call(node)


def column_names(label: str, c: int) -> tuple[str, ...]:
    """Names of the c columns of an atom, numbered if there are several."""
    return (label,) if c == 1 else tuple(f"{label}{i + 1}" for i in range(c))


def evaluate_factor(atom: Atom, rows: RawRows) -> FactorColumn:
    """One atom as a factor with the levels that occur, whatever its column's type."""
    return to_factor(factor_values(atom, rows))


def factor_values(atom: Atom, rows: RawRows) -> RawColumn:
    """What an atom that is read as a factor holds: a column, or an expression."""
    node = factor_node(atom)
    if isinstance(node, Name):
        return rows.columns[node.name]
    with np.errstate(all="ignore"):
        values = np.broadcast_to(_evaluate(node, rows), (rows.n,))
    _check_finite(atom.label, values[:, None])
    check_holds_ids(atom.label, values, EXACT, computed=True)
    kind = "flag" if values.dtype == bool else "number"
    return RawColumn(atom.label, kind, values, np.zeros(rows.n, dtype=bool))


def factor_node(atom: Atom) -> Node:
    """The node without the factor() or C() around it."""
    node = atom.node
    return node.args[0] if isinstance(node, Call) and _is_factor_call(node) else node


def is_factor_call(atom: Atom) -> bool:
    """Whether an atom is factor(x) or C(x)."""
    return _is_factor_call(atom.node)


def nodes_in(node: Node) -> Iterator[Node]:
    """Every node below a node and itself, inner ones first."""
    children: tuple[Node, ...] = ()
    if isinstance(node, Call):
        children = node.args
    elif isinstance(node, Unary):
        children = (node.operand,)
    elif isinstance(node, Binary):
        children = (node.left, node.right)
    for child in children:
        yield from nodes_in(child)
    yield node


def calls_in(node: Node) -> Iterator[Call]:
    """Every call below a node, inner ones first."""
    return (found for found in nodes_in(node) if isinstance(found, Call))


def check_comparisons(node: Node, text: Mapping[str, tuple[str, ...]]) -> None:
    """Raise if a text column is compared with a value that it has not."""
    for found in nodes_in(node):
        sides = (found.left, found.right) if isinstance(found, Binary) else ()
        names = [side.name for side in sides if isinstance(side, Name)]
        values = [side.value for side in sides if isinstance(side, String)]
        for name, value in zip(names, values, strict=False):
            if name in text and value not in text[name]:
                raise DataError(
                    f"Column {name!r} has no value {value!r} to compare with."
                )


def argument_values(node: Call, rows: RawRows) -> Float[np.ndarray, " n"]:
    """First argument of a call on the rows, True and False as 1 and 0."""
    with np.errstate(all="ignore"):
        values = _as_number(_evaluate(node.args[0], rows))
    values = np.broadcast_to(values, (rows.n,))
    _check_finite(render(node.args[0]), values[:, None])
    return values


def n_columns(atom: Atom, rows: RawRows) -> int:
    """Number of columns of a numeric atom, 0 for True and False; values are ignored."""
    with np.errstate(all="ignore"):
        values = np.asarray(_evaluate(atom.node, rows))
    if values.dtype == bool:
        return 0
    return values.shape[1] if values.ndim > 1 else 1


def _is_factor_call(node: Node) -> bool:
    """Whether a node is factor(x) or C(x)."""
    return isinstance(node, Call) and node.function in ("factor", "C")


def _check_finite(label: str, values: np.ndarray) -> None:
    """Raise where an expression is infinite or undefined for values that are given."""
    n_bad = int((~np.isfinite(values)).any(axis=1).sum())
    if n_bad:
        raise DataError(
            f"{label!r} is infinite or undefined for {n_bad} of {len(values)} rows "
            f"whose values are given (the log of zero, say, or of a negative number). "
            f"Drop those rows or change the expression."
        )


# --- nodes ----------------------------------------------------------------------------


def _evaluate(node: Node, rows: RawRows) -> np.ndarray:
    """Value of a node: a number, or an array over the rows."""
    if isinstance(node, Number) or (
        isinstance(node, Constant) and node.value is not None
    ):
        return np.asarray(node.value)
    if isinstance(node, Name):
        return _numbers(node, rows)
    if isinstance(node, Unary):
        value = _as_number(_evaluate(node.operand, rows))
        return np.asarray(-value if node.operator == "-" else value)
    if isinstance(node, Binary):
        return _binary(node, rows)
    if isinstance(node, Call):
        return _call(node, rows)
    raise FormulaError(
        f"{render(node)} is not a number here. Text can only be compared with a "
        f'column, as in I(sex == "Male").',
        rows.text,
        node.position,
    )


def _numbers(node: Name, rows: RawRows) -> np.ndarray:
    """Values of a numeric or flag column."""
    column = rows.columns[node.name]
    if column.kind == "flag":
        return column.values
    if column.kind == "number":
        return to_floats(node.name, column.values)
    raise DataError(
        f"Column {node.name!r} holds text ({len(column.levels)} different values), so "
        f"nothing can be computed with it. Use it as it stands, as a factor, or "
        f"convert it to numbers."
    )


def _as_number(value: np.ndarray) -> np.ndarray:
    """True and False as 1 and 0, the rest as it is."""
    return value.astype(float) if value.dtype == bool else value


def _binary(node: Binary, rows: RawRows) -> np.ndarray:
    """Arithmetic or a comparison."""
    for side, other in ((node.left, node.right), (node.right, node.left)):
        if isinstance(other, String) and isinstance(side, Name):
            return _compare_text(node, side, other.value, rows)
    left, right = (_as_number(_evaluate(n, rows)) for n in (node.left, node.right))
    return np.asarray(OPERATORS[node.operator](left, right))


def _compare_text(node: Binary, side: Name, value: str, rows: RawRows) -> np.ndarray:
    """Whether a text column has (or has not) one value."""
    column = rows.columns[side.name]
    if node.operator not in ("==", "!=") or column.kind != "text":
        raise FormulaError(
            f"Only a text column can be compared with text, and only by == or !=; "
            f"{side.name!r} holds {column.kind}s.",
            rows.text,
            node.position,
        )
    code = column.levels.index(value) if value in column.levels else -1
    same = column.values == code
    return same if node.operator == "==" else ~same


# --- calls ----------------------------------------------------------------------------


def _call(node: Call, rows: RawRows) -> np.ndarray:
    """Value of a function call; the formula room has checked its arguments."""
    name = node.function
    if name == "I":
        return _evaluate(node.args[0], rows)  # a comparison stays True and False
    x = _as_number(_evaluate(node.args[0], rows))
    if name in ("scale", "center"):
        return _scale(node, x, rows)
    if name == "poly":
        return _poly(node, x, rows)
    if name in SPLINES:
        return spline_values(node, np.asarray(x), rows.memory[render(node)])
    value = np.asarray(FUNCTIONS[name](x))
    base = setting(node, 1, "base", None) if name == "log" else None
    return value if base is None else np.asarray(value / np.log(base))


def _scale(
    node: Call, x: Float[np.ndarray, " n"], rows: RawRows
) -> Float[np.ndarray, " n"]:
    """R's scale(): minus the mean, over the SD; center(): minus the mean."""
    mean, sd = rows.memory[render(node)]
    return (x - mean) / sd


def _poly(
    node: Call, x: Float[np.ndarray, " n"], rows: RawRows
) -> Float[np.ndarray, "n d"]:
    """R's poly(): orthonormal polynomials by their recurrence, or powers (raw)."""
    degree = poly_degree(node)
    if is_raw_poly(node):
        return x[:, None] ** np.arange(1, degree + 1)
    return poly_values(x, rows.memory[render(node)])
