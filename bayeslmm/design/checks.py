"""What a design must satisfy before anything is fitted to it.

Takes the arrays and gives nothing, or a `DataError` that names the columns and says
what to do. The limits on levels and effects are those of lme4's ``lmerControl``.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from bayeslmm.data.numbers import is_whole
from bayeslmm.design.arrays import Design, GroupTerm, parameters
from bayeslmm.design.digits import check_sums
from bayeslmm.design.response import check_varies
from bayeslmm.design.rows import Columns
from bayeslmm.design.scan import Scan
from bayeslmm.errors import DataError, FormulaError
from bayeslmm.formula import Formula, Name, RandomTerm

# R's tolerance for linear dependence (lm, and lme4's check.rankX): the part of a column
# that the columns before it leave, relative to its length.
RANK_TOLERANCE = 1e-7
# Columns whose normalised cross-products have no eigenvalue below this are independent
# by far (singular values above 1e-4), so that the slower QR is not needed.
SURELY_INDEPENDENT = 1e-8


# --- before the matrices are built ----------------------------------------------------


def check_not_swapped(formula: Formula, columns: Columns) -> None:
    """Raise for ``(g | x)``: a text column that varies by a measurement.

    Grouping by a number is fine for codes. It is taken for a slip if the number is not
    whole, is different in every row, or is itself a slope of the fixed part while the
    left-hand side is not.
    """
    for bar in _suspects(formula, lambda node: _kind(node, columns)):
        refuse_swapped(formula, bar, columns[bar.group[0].columns[0]].values)


def _suspects(
    formula: Formula, kind: Callable[[object], str | None]
) -> Iterator[RandomTerm]:
    """Bar terms of one text column by one number."""
    for bar in formula.random:
        atoms = [atom for term in bar.predictor.terms for atom in term.atoms]
        alone = len(bar.group) == len(atoms) == 1
        if alone and [kind(a.node) for a in (*atoms, *bar.group)] == ["text", "number"]:
            yield bar


def refuse_swapped(
    formula: Formula,
    bar: RandomTerm,
    values: np.ndarray,
    n: int | None = None,
) -> None:
    """Raise if the numbers that a term groups by look like measurements.

    `values` are those of all rows, or the different ones of `n` rows.
    """
    fixed = {atom.label for term in formula.fixed.terms for atom in term.atoms}
    left, right = bar.predictor.terms[0].atoms[0].label, bar.group[0].label
    whole = is_whole(values)
    slope = right in fixed and left not in fixed
    n_different = len(np.unique(values))
    if not whole or slope or n_different == (len(values) if n is None else n):
        raise FormulaError(
            f"({left} | {right}) lets the effects of {left!r}, a factor, vary by "
            f"{right!r}, a number with {n_different} different values. "
            f"The grouping factor stands on the right of the bar: did you mean "
            f"({right} | {left})? If {right!r} is a code, "
            f"make it text in the data: data[{right!r}].astype(str).",
            formula.text,
            bar.position,
        )


def check_scan_not_swapped(scan: Scan) -> None:
    """`check_not_swapped` from what the first pass over batches found."""

    def kind(node: object) -> str | None:
        if not isinstance(node, Name):
            return None
        own = scan.kinds[node.name]
        return "number" if own in ("integer", "real", "null") else own

    for bar in _suspects(scan.formula, kind):
        numbers = scan.factors[bar.group[0].label].numbers
        assert numbers is not None  # the column is one of numbers
        refuse_swapped(scan.formula, bar, numbers.values, scan.n_rows)


def _kind(node: object, columns: Columns) -> str | None:
    """Kind of a column that stands as it is; None for an expression."""
    return columns[node.name].kind if isinstance(node, Name) else None


# --- the design -----------------------------------------------------------------------


def check_design(design: Design, *, gaussian: bool) -> None:
    """Raise unless coefficients and variances can be told apart."""
    for term in design.groups:
        _check_levels(design, term, gaussian=gaussian)
    _check_labels(design)
    _check_n_rows(design, gaussian=gaussian)
    turn = design.fixed_turn
    check_full_rank(design.X, design.fixed_names, design.intercept, turn)


def check_streamed(design: Design) -> None:
    """`check_design`, and that the response varies, from the moments of all rows."""
    y = design.moments.y
    check_varies(design.response, float(y.low[0]), float(y.high[0]), design.n)
    for term in design.groups:
        _check_levels(design, term, gaussian=True)
    _check_labels(design)
    _check_n_rows(design, gaussian=True)
    check_sums(design)
    _check_moments_rank(design)


def _check_levels(design: Design, term: GroupTerm, *, gaussian: bool) -> None:
    """Levels and effects of one term against the number of rows."""
    n, j, q = design.n, term.n_levels, term.n_levels * term.k
    if j < 2:
        raise DataError(
            f"The grouping factor {term.group!r} has 1 level ({term.levels[0]!r}) in "
            f"the {n} rows used. A grouping factor must have at least 2, as one level "
            f"says nothing of how levels differ. Drop {term.label}."
        )
    if gaussian and j >= n:
        raise DataError(
            f"The grouping factor {term.group!r} has {j} levels for {n} rows: the "
            f"number of levels must be < number of observations, else its variance and "
            f"the residual variance cannot be told apart. Drop {term.label} or group "
            f"by a coarser column."
        )
    if gaussian and q >= n:
        raise DataError(
            f"{term.label} has {q} random effects ({term.k} for each of {j} levels) "
            f"for {n} rows: the number of random effects must be < number of "
            f"observations, else their variances and the residual variance cannot be "
            f"told apart. Let fewer effects vary, for example (1 | {term.group})."
        )


def _check_labels(design: Design) -> None:
    """Raise if two parameters would have one name, as a and a column called a[q]."""
    labels = [parameter.label for parameter in parameters(design)]
    for label in labels:
        if labels.count(label) > 1:
            raise DataError(
                f"Two parameters of the model would both be called {label!r}. Rename "
                f"a column."
            )


def _check_n_rows(design: Design, *, gaussian: bool) -> None:
    """Rows against fixed-effect coefficients."""
    if design.n < design.p + gaussian:
        raise DataError(
            f"There are {design.n} rows for {design.p} fixed-effect coefficients "
            f"({', '.join(design.fixed_names[:6])}"
            f"{', ...' if design.p > 6 else ''}), which leaves nothing to estimate the "
            f"residual variance from. Drop some of them or get more rows."
        )


def check_full_rank(
    X: Float[np.ndarray, "n p"],
    names: tuple[str, ...],
    intercept: int | None = None,
    turn: Float[np.ndarray, "p p"] | None = None,
) -> None:
    """Raise if columns of X are linearly dependent, saying which and how.

    With an intercept columns are looked at less their means, and with a `turn` as
    products of centred variables: a year is as good as a time since the start.
    """
    if not names:
        return
    size = np.abs(X).max(axis=0)  # first, so that no square over- or underflows
    _check_not_zero(size, names)
    center = np.zeros(len(names))
    if intercept is not None:
        low, high = X.min(axis=0), X.max(axis=0)
        center = np.where(low < high, X.mean(axis=0), 0.0)
    moved = X - center
    scaled, _ = _normalised(moved if turn is None else moved @ turn)
    if np.linalg.eigvalsh(scaled.T @ scaled)[0] > SURELY_INDEPENDENT:
        return
    found = _dependent_columns(np.linalg.qr(scaled, mode="r"), RANK_TOLERANCE)
    if found:
        raw, length = _normalised(X)
        raise DataError(_dependent(found, np.linalg.qr(raw, mode="r"), length, names))


def _check_moments_rank(design: Design) -> None:
    """The same from means and centred cross-products, where rows are not in memory.

    These give the columns only up to a rotation and about sqrt(machine epsilon), which
    is what the tolerance is raised to if there are many columns (a heuristic: ten times
    the error of a root of p eigenvalues).
    """
    X, names = design.moments.X, design.fixed_names
    if not names:
        return
    _check_not_zero(X.size, names)
    moved = X
    if design.intercept is not None:
        moved = replace(X, mean=np.where(X.constant, X.mean, 0.0))
    if design.fixed_turn is not None:
        moved = moved.combined(design.fixed_turn)
    tolerance = max(RANK_TOLERANCE, 10.0 * math.sqrt(len(names) * np.finfo(float).eps))
    found = _dependent_columns(_normalised(moved.root())[0], tolerance)
    if found:
        raw, length = _normalised(math.sqrt(X.n) * X.root())
        raise DataError(_dependent(found, raw, length, names))


def _normalised(
    columns: Float[np.ndarray, "r p"],
) -> tuple[Float[np.ndarray, "r p"], Float[np.ndarray, " p"]]:
    """Columns of length 1, and their lengths; no square over- or underflows."""
    size = np.abs(columns).max(axis=0)
    scaled = columns / size
    length = np.sqrt(np.einsum("ij,ij->j", scaled, scaled))
    return scaled / length, length * size


def _check_not_zero(size: Float[np.ndarray, " p"], names: tuple[str, ...]) -> None:
    """Raise for columns that are zero in every row."""
    if (size == 0.0).any():
        zero = [name for name, s in zip(names, size, strict=True) if s == 0.0]
        raise DataError(
            f"{', '.join(map(repr, zero))}: zero in every row used, so there is no "
            f"effect to estimate. {_advice(zero)}"
        )


def _dependent(
    dependent: list[tuple[int, list[int]]],
    root: Float[np.ndarray, "r p"],
    length: Float[np.ndarray, " p"],
    names: tuple[str, ...],
) -> str:
    """Message for dependent columns, given any matrix with their cross-products."""
    said = "; ".join(
        _combination(j, before, root, length, names) for j, before in dependent
    )
    advice = _advice([names[j] for j, _ in dependent])
    return (
        f"Fixed-effect columns are linearly dependent: {said}. Their effects "
        f"cannot be told apart. {advice}"
    )


def _advice(labels: list[str]) -> str:
    """What a formula can do about columns that are zero or repeat others.

    A column is no term: of an interaction of factors, of whose cells some are empty,
    the main effects alone can be kept, or one factor of the cells that occur.
    """
    said: dict[str, str] = {}
    for label in labels:
        name, _, coords = label.partition("[")
        parts = name.split(":")
        if len(parts) == 1 or not coords:
            said[name] = f"Leave {name!r} out of the formula, or what it repeats."
            continue
        said[name] = (
            f"Not all combinations of {' and '.join(map(repr, parts))} have rows of "
            f"their own: write {' + '.join(parts)} without the interaction"
        )
        if coords.count(", ") == len(parts) - 1:  # all of them factors
            text = " + ':' + ".join(f"data[{part!r}].astype(str)" for part in parts)
            said[name] += (
                f", or make one factor of the combinations that occur and use it in "
                f"place of {' * '.join(parts)}: data['{'_'.join(parts)}'] = {text}"
            )
        said[name] += "."
    return " ".join(said.values())


def _dependent_columns(
    triangle: Float[np.ndarray, "r p"], tolerance: float
) -> list[tuple[int, list[int]]]:
    """Columns that earlier ones determine, with the independent ones before each.

    In the order of the formula, as R pivots, so that the later column is the one named.
    """
    basis = np.empty((len(triangle), 0))
    independent: list[int] = []
    dependent = []
    for j in range(triangle.shape[1]):
        rest = triangle[:, j]
        for _ in range(2):  # once more, as the first pass leaves rounding
            rest = rest - basis @ (basis.T @ rest)
        size = np.linalg.norm(rest)
        if size < tolerance:
            dependent.append((j, independent.copy()))
        else:
            basis = np.column_stack([basis, rest / size])
            independent.append(j)
    return dependent


def _combination(
    j: int,
    before: list[int],
    triangle: Float[np.ndarray, "r p"],
    length: Float[np.ndarray, " p"],
    names: tuple[str, ...],
) -> str:
    """A column written in terms of others, ``'c' = 2 'a' + 1 'b'``."""
    scaled = np.linalg.lstsq(triangle[:, before], triangle[:, j], rcond=None)[0]
    terms = [
        f"{scaled[i] * length[j] / length[at]:.4g} {names[at]!r}"
        for i, at in enumerate(before)
        if abs(scaled[i]) > 1e-6
    ]
    return f"{names[j]!r} = {' + '.join(terms)}".replace("+ -", "- ")
