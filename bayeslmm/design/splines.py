"""Splines in a formula: the bases of R's ``bs()`` and ``ns()``.

Takes calls and numbers; the state, boundary and interior knots, is learnt once of all
rows of the fit. Beyond the boundary ``bs`` goes on as the polynomial of the last piece,
``ns`` as a straight line.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import DataError
from bayeslmm.formula import Call, Constant, Node, Number, Unary, render

if TYPE_CHECKING:
    from scipy.interpolate import BSpline

SPLINES = ("bs", "ns")
CUBIC = 3


def spline_state(
    node: Call, x: Float[np.ndarray, " n"], low: float, high: float
) -> tuple[float, ...]:
    """Boundary knots, then interior ones: as given, or quantiles of x.

    Parameters
    ----------
    node : Call
        A call of bs() or ns().
    x : ndarray, shape (n,)
        Values of all rows; not looked at unless `needs_quantiles`.
    low, high : float
        Their range.
    """
    given = _numbers(node, "Boundary.knots") or (low, high)
    ends = min(given), max(given)
    inner = _numbers(node, "knots")
    if needs_quantiles(node):
        n = n_quantiles(node)
        inside = x[(x >= ends[0]) & (x <= ends[1])]
        inner = tuple(np.quantile(inside, np.arange(1, n + 1) / (n + 1)).tolist())
    inner = tuple(sorted(inner))
    if not ends[0] < ends[1] or any(not ends[0] < k < ends[1] for k in inner):
        raise DataError(
            f"The knots of {render(node)} must lie between its boundary knots, and are "
            f"{', '.join(f'{k:g}' for k in inner) or 'none'} between {ends[0]:g} and "
            f"{ends[1]:g}. Lower df, or give knots= inside the range of "
            f"{render(node.args[0])}."
        )
    return *ends, *inner


def needs_quantiles(node: Call) -> bool:
    """Whether interior knots are quantiles of the values of all rows."""
    return n_quantiles(node) > 0


def n_quantiles(node: Call) -> int:
    """Number of interior knots that df asks for."""
    least = least_df(node)
    if _numbers(node, "knots"):
        return 0
    df = _argument(node, "df")
    return int(df.value) - least if isinstance(df, Number) else 0


def least_df(node: Call) -> int:
    """Columns without interior knots: the degree (1 for ns), and the intercept."""
    return (_degree(node) if node.function == "bs" else 1) + _has_intercept(node)


def check_df(node: Call) -> None:
    """Raise if df asks for fewer columns than there are without interior knots."""
    if n_quantiles(node) < 0:
        raise DataError(
            f"{render(node)} asks for fewer columns than {least_df(node)}, which it "
            f"has without interior knots. Raise df, or lower the degree of bs()."
        )


def spline_values(
    node: Call, x: Float[np.ndarray, " n"], state: Sequence[float]
) -> Float[np.ndarray, "n c"]:
    """The columns of bs() or ns() at x, in R's order."""
    degree, first = _degree(node), 0 if _has_intercept(node) else 1
    ends, inner = state[:2], state[2:]
    knots = np.array([ends[0]] * (degree + 1) + [*inner] + [ends[1]] * (degree + 1))
    basis = _basis(knots, degree)
    if node.function == "bs":
        return basis(x)[:, first:]
    at = np.clip(x, ends[0], ends[1])
    values = basis(at)[:, first:]
    outside = (x - at)[:, None]
    if outside.any():
        values = values + outside * basis.derivative()(at)[:, first:]
    curvature = basis.derivative(2)(np.array(ends))[:, first:]
    rotation = np.linalg.qr(curvature.T, mode="complete")[0]
    return values @ rotation[:, 2:]


def n_outside(x: Float[np.ndarray, " n"], state: Sequence[float]) -> int:
    """How many values lie beyond the boundary knots."""
    return int(((x < state[0]) | (x > state[1])).sum())


def _basis(knots: Float[np.ndarray, " t"], degree: int) -> "BSpline":
    """All B-splines on the knots, as one function with a column for each."""
    from scipy.interpolate import BSpline

    return BSpline(knots, np.eye(len(knots) - degree - 1), degree, extrapolate=True)


def _degree(node: Call) -> int:
    """Degree of the pieces."""
    given = _argument(node, "degree")
    return int(given.value) if isinstance(given, Number) else CUBIC


def _has_intercept(node: Call) -> bool:
    """Whether the constant is in the span of the columns."""
    given = _argument(node, "intercept")
    return isinstance(given, Constant) and bool(given.value)


def _argument(node: Call, key: str) -> Node | None:
    """An argument by its name; df may stand second."""
    if key == "df" and len(node.args) > 1:
        return node.args[1]
    return dict(node.keywords).get(key)


def _numbers(node: Call, key: str) -> tuple[float, ...]:
    """Values of ``c(1, 2)`` or of one number, empty if not given."""
    given = _argument(node, key)
    nodes = given.args if isinstance(given, Call) else () if given is None else (given,)
    return tuple(_value(one) for one in nodes)


def _value(node: Node) -> float:
    """A number, perhaps with a sign."""
    if isinstance(node, Unary):
        value = _value(node.operand)
        return -value if node.operator == "-" else value
    assert isinstance(node, Number), "the formula room has checked it"
    return float(node.value)
