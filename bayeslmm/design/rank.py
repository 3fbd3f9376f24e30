"""Which columns of the fixed part repeat others, from rows or from their moments.

Takes the columns (all rows, or their moments where the rows were summed); gives the
`Dependence` among them, and its sentence. Needs numpy only.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from bayeslmm.design.moments import ColumnMoments

# R's tolerance for linear dependence (lm, and lme4's check.rankX): the part of a column
# that the columns before it leave, relative to its length.
RANK_TOLERANCE = 1e-7
# Columns whose normalised cross-products have no eigenvalue below this are independent
# by far (singular values above 1e-4), so that the slower QR is not needed.
SURELY_INDEPENDENT = 1e-8

# A combination of columns that is shorter than this share of its addends is rounding; a
# root of cross-products has an error of the root of the machine epsilon.
VANISHED, VANISHED_IN_ROOT = 1e-13, 3e-7

# A coefficient of a column that is dropped this near to a whole number is that.
ROUNDING = 1e-7

# Columns, and addends of one, that a message names.
MOST_NAMED = 4


@dataclass(frozen=True, slots=True, eq=False)
class Dependence:
    """Columns without an effect of their own.

    Attributes
    ----------
    zero : tuple of str
        Columns that are zero in every row.
    repeats : tuple of str
        Each other column that earlier ones determine, written in terms of these.
    kept : ndarray of int, shape (r,)
        The columns that are left.
    relation : ndarray, shape (r, p)
        Every column in terms of these.
    """

    zero: tuple[str, ...]
    repeats: tuple[str, ...]
    kept: Int[np.ndarray, " r"]
    relation: Float[np.ndarray, "r p"]

    def __str__(self) -> str:
        """What was seen, and why it cannot be."""
        said = []
        if self.zero:
            said.append(
                f"{_some(tuple(map(repr, self.zero)), ', ')}: zero in every row used, "
                f"so there is no effect to estimate."
            )
        if self.repeats:
            said.append(
                f"Fixed-effect columns are linearly dependent: "
                f"{_some(self.repeats, '; ')}. Their effects cannot be told apart."
            )
        return " ".join(said)


def _some(said: tuple[str, ...], between: str) -> str:
    """The first few, and how many others."""
    more = f"{between}{len(said) - MOST_NAMED} more"
    rest = more if len(said) > MOST_NAMED else ""
    return between.join(said[:MOST_NAMED]) + rest


def dependence_of_rows(
    X: Float[np.ndarray, "n p"],
    names: tuple[str, ...],
    intercept: int | None = None,
    turn: Float[np.ndarray, "p p"] | None = None,
) -> Dependence | None:
    """Linear dependence among columns, None if there is none.

    With an intercept columns are looked at less their means, and with a `turn` as
    products of centred variables: a year is as good as a time since the start.
    """
    if not names:
        return None
    center = np.zeros(len(names))
    if intercept is not None:
        low, high = X.min(axis=0), X.max(axis=0)
        center = np.where(low < high, X.mean(axis=0), 0.0)
    scaled, length = normalised(X - center)
    if turn is not None:
        scaled = combined(scaled, length[:, None] * turn, VANISHED)
    if np.linalg.eigvalsh(scaled.T @ scaled)[0] > SURELY_INDEPENDENT:
        return None
    found = dependent_columns(np.linalg.qr(scaled, mode="r"), RANK_TOLERANCE)
    if not found:
        return None
    raw, length = normalised(X)
    root = np.linalg.qr(raw, mode="r")
    own, moved, spread = (raw, np.zeros(len(names)), length)
    if intercept is not None:
        own, spread = normalised(X - center)
        moved = np.where(np.arange(len(names)) == intercept, 0.0, center)
    relation = _relation(found, np.linalg.qr(own, mode="r"), spread, moved, intercept)
    return _repeats(found, root, length, names, relation)


def surely_independent(X: ColumnMoments, intercept: int | None) -> bool:
    """Whether moments alone show that no column repeats others, without the rows."""
    scaled, _ = moved_root(X, intercept)
    return bool(np.linalg.eigvalsh(scaled.T @ scaled)[0] > SURELY_INDEPENDENT)


def dependence_of_moments(
    X: ColumnMoments,
    names: tuple[str, ...],
    intercept: int | None = None,
    turn: Float[np.ndarray, "p p"] | None = None,
) -> Dependence | None:
    """The same from means and centred cross-products, where rows are not in memory."""
    if not names:
        return None
    scaled = combined_root(X, intercept, turn)
    found = dependent_columns(scaled, moments_tolerance(len(names)))
    if not found:
        return None
    raw, length = normalised(math.sqrt(X.n) * X.root())
    own, spread, moved = raw, length, np.zeros(len(names))
    if intercept is not None:
        own, spread = moved_root(X, intercept)
        moved = np.where(X.constant, 0.0, X.mean)
    relation = _relation(found, own, spread, moved, intercept)
    return _repeats(found, raw, length, names, relation)


def combined_root(
    X: ColumnMoments, intercept: int | None, turn: Float[np.ndarray, "p p"] | None
) -> Float[np.ndarray, "r p"]:
    """Few rows with the products of combinations of the columns, of length 1."""
    if turn is None:
        return moved_root(X, intercept)[0]
    known, weights = X.nearest(turn)
    scaled, length = moved_root(known, intercept)
    return combined(scaled, length[:, None] * weights, VANISHED_IN_ROOT)


def moved_root(
    X: ColumnMoments, intercept: int | None
) -> tuple[Float[np.ndarray, "r p"], Float[np.ndarray, " p"]]:
    """Few rows with the products of the columns, of length 1, and the lengths.

    The columns are less their means if there is an intercept. Singular values whose
    squares are rounding are made 0: they would leave a column that repeats others a
    part of its own.
    """
    if X.near is not None:
        scaled, length = moved_root(X.near.moments, intercept)
        return normalised(np.linalg.solve(X.near.turn.T, (scaled * length).T).T)
    moved = X
    if intercept is not None:
        moved = replace(X, mean=np.where(X.constant, X.mean, 0.0))
    scaled, length = normalised(moved.root())
    _, values, vectors = np.linalg.svd(scaled, full_matrices=False)
    least = values[0] * math.sqrt(len(values) * np.finfo(float).eps)
    return np.where(values > least, values, 0.0)[:, None] * vectors, length


def combined(
    columns: Float[np.ndarray, "r p"],
    weights: Float[np.ndarray, "p c"],
    vanished: float,
) -> Float[np.ndarray, "r c"]:
    """Combinations of columns of length 1, of length 1 again.

    What is shorter than the share `vanished` of its addends is rounding, and made 0.
    """
    scaled, length = normalised(columns @ weights)
    scaled[:, length <= vanished * np.abs(weights).sum(axis=0)] = 0.0
    return scaled


def moments_tolerance(p: int) -> float:
    """`RANK_TOLERANCE` for moments, which give columns up to sqrt(machine epsilon).

    A heuristic: ten times the error of a root of p eigenvalues.
    """
    return max(RANK_TOLERANCE, 10.0 * math.sqrt(p * np.finfo(float).eps))


def normalised(
    columns: Float[np.ndarray, "r p"],
) -> tuple[Float[np.ndarray, "r p"], Float[np.ndarray, " p"]]:
    """Columns of length 1 or 0, and their lengths; no square over- or underflows."""
    size = np.abs(columns).max(axis=0)
    there = size > 0.0
    scaled = columns / np.where(there, size, 1.0)
    length = np.sqrt(np.einsum("ij,ij->j", scaled, scaled))
    return scaled / np.where(there, length, 1.0), length * size


def dependent_columns(
    triangle: Float[np.ndarray, "r p"], tolerance: float
) -> list[tuple[int, Bool[np.ndarray, " p"]]]:
    """Columns that earlier ones determine, with the independent ones before each.

    In the order of the formula, as R pivots, so that the later column is the one named.
    """
    r, p = triangle.shape
    basis, rank = np.empty((r, p), order="F"), 0
    independent = np.zeros(p, dtype=bool)
    dependent = []
    for j in range(p):
        rest, known = triangle[:, j], basis[:, :rank]
        for _ in range(2):  # once more, as the first pass leaves rounding
            rest = rest - known @ (known.T @ rest)
        size = np.linalg.norm(rest)
        if size < tolerance:
            dependent.append((j, independent.copy()))
        else:
            basis[:, rank] = rest / size
            independent[j], rank = True, rank + 1
    return dependent


def _relation(
    dependent: list[tuple[int, Bool[np.ndarray, " p"]]],
    root: Float[np.ndarray, "r p"],
    length: Float[np.ndarray, " p"],
    mean: Float[np.ndarray, " p"],
    intercept: int | None,
) -> Float[np.ndarray, "k p"]:
    """Every column in terms of those that earlier ones do not determine.

    From any rows with the products of the columns of length 1 less their means, which
    the intercept takes up.
    """
    p = root.shape[1]
    gone = [j for j, _ in dependent]
    kept = np.setdiff1d(np.arange(p), gone)
    found = np.zeros((len(kept), p))
    found[np.arange(len(kept)), kept] = 1.0
    own = np.linalg.lstsq(root[:, kept], root[:, gone], rcond=None)[0]
    own *= length[gone] / np.where(length[kept] > 0.0, length[kept], 1.0)[:, None]
    if intercept is not None:
        at = int(np.flatnonzero(kept == intercept)[0])
        own[at] += mean[gone] - mean[kept] @ own
    whole = np.round(own)
    found[:, gone] = np.where(np.abs(own - whole) < ROUNDING, whole, own)
    return found


def _repeats(
    dependent: list[tuple[int, Bool[np.ndarray, " p"]]],
    root: Float[np.ndarray, "r p"],
    length: Float[np.ndarray, " p"],
    names: tuple[str, ...],
    relation: Float[np.ndarray, "k p"],
) -> Dependence:
    """Dependent columns, given any matrix with the cross-products of all."""
    zero = tuple(names[j] for j, _ in dependent if length[j] == 0.0)
    repeated = [(j, before) for j, before in dependent if length[j] > 0.0]
    first = repeated[:MOST_NAMED]
    said = [_combination(j, before, root, length, names) for j, before in first]
    others = [repr(names[j]) for j, _ in repeated[MOST_NAMED:]]
    kept = np.setdiff1d(np.arange(len(names)), [j for j, _ in dependent])
    return Dependence(zero, (*said, *others), kept, relation)


def _combination(
    j: int,
    before: Bool[np.ndarray, " p"],
    triangle: Float[np.ndarray, "r p"],
    length: Float[np.ndarray, " p"],
    names: tuple[str, ...],
) -> str:
    """A column written in terms of others, ``'c' = 2 'a' + 1 'b'``."""
    scaled = np.linalg.lstsq(triangle[:, before], triangle[:, j], rcond=None)[0]
    terms = tuple(
        f"{scaled[i] * length[j] / length[at]:.4g} {names[at]!r}"
        for i, at in enumerate(np.flatnonzero(before))
        if abs(scaled[i]) > 1e-6
    )
    return f"{names[j]!r} = {_some(terms, ' + ')}".replace("+ -", "- ")
