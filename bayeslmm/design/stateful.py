"""What scale(), center() and poly() learn from all rows, and how it is used.

Takes calls and numbers; the state comes from moments or from sums of the recurrence, so
that it can be learnt from rows in memory or batch by batch.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import DataError
from bayeslmm.formula import Call, Constant, Number, render


def setting(
    node: Call, position: int, keyword: str, default: float | bool | None
) -> float | bool | None:
    """A constant argument of a call, by position or keyword."""
    given = dict(node.keywords).get(keyword)
    if given is None and len(node.args) > position:
        given = node.args[position]
    return given.value if isinstance(given, Number | Constant) else default


def scale_state(node: Call, n: int, mean: float, spread: float) -> tuple[float, float]:
    """What scale() or center() takes off and divides by, from mean and SD (ddof 0)."""
    center = setting(node, 1, "center", True)
    shift = mean if center is True else float(center or 0.0)
    scale = setting(node, 2, "scale", node.function == "scale")
    # Without centring R divides by the root mean square, also with n - 1.
    root = np.hypot(spread, mean - shift) * np.sqrt(n / max(n - 1, 1))
    sd = float(root if scale is True else scale or 1.0)
    if not sd > 0.0:
        raise DataError(
            f"{render(node)} divides by the SD, and {render(node.args[0])} has the "
            f"same value in all {n} rows. Drop the term."
        )
    return shift, sd


def poly_degree(node: Call) -> int:
    """Degree of a call of poly()."""
    return int(setting(node, 1, "degree", 1.0) or 1)


def is_raw_poly(node: Call) -> bool:
    """Whether a call of poly() asks for plain powers."""
    return bool(setting(node, 2, "raw", False))


def check_poly(node: Call, n_values: int) -> None:
    """Raise if a variable has too few different values for poly()."""
    degree = poly_degree(node)
    if degree >= n_values:
        raise DataError(
            f"{render(node)} needs more than {degree} different values, and "
            f"{render(node.args[0])} has {n_values}. Lower the degree."
        )


def check_powers(norm: Sequence[float]) -> None:
    """Raise if the powers that poly() takes are beyond the range of numbers."""
    if not all(0.0 < square < np.inf for square in norm):
        raise DataError(
            "poly() squares powers of its variable, which are beyond what a number can "
            "hold. Rescale the variable: poly(scale(x), 2) has the same columns."
        )


def poly_values(
    x: Float[np.ndarray, " n"], state: tuple[float, ...]
) -> Float[np.ndarray, "n d"]:
    """Orthonormal polynomials of degree 1, 2, ... at x."""
    degree = (len(state) - 1) // 2
    alpha, norm = state[:degree], state[degree:]
    basis = poly_basis(x, alpha, norm)
    return np.column_stack(basis[1:]) / np.sqrt(norm[1:])


def poly_basis(
    x: Float[np.ndarray, " n"], alpha: Sequence[float], norm: Sequence[float]
) -> list[Float[np.ndarray, " n"]]:
    """Orthogonal polynomials of degree 0, 1, ..., one more than there are alpha."""
    basis = [np.ones_like(x)]
    for d in range(len(alpha)):
        new = (x - alpha[d]) * basis[-1]
        if d:
            new = new - norm[d] / norm[d - 1] * basis[-2]
        basis.append(new)
    return basis
