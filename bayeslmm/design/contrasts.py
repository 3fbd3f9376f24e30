"""What a user asks of the fixed effects: combinations by name, number or matrix.

Takes texts, weights by label, or a matrix; gives `Contrasts`, rows over the fixed
effects with their names. The same for REML and for the posterior.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from bayeslmm.design.aliasing import Aliasing
from bayeslmm.design.arrays import Design
from bayeslmm.errors import ModelError, is_number, listed, nearest_names, shortened
from bayeslmm.formula.linear import Combination, parse_combination

# How R writes the levels of a flag.
LOGICAL = {"True": "TRUE", "False": "FALSE"}
# Constants that leave the span of the combinations by a smaller share are rounding.
ROUNDING = 1e-10


@dataclass(frozen=True, slots=True)
class Contrasts:
    """Linear combinations of the fixed effects.

    Attributes
    ----------
    names : tuple of str
        What each is called.
    weights : ndarray, shape (l, p)
        Weights of the columns of X.
    constants : ndarray, shape (l,)
        Added to the combinations: ``Days = 10`` is ``Days - 10``.
    """

    names: tuple[str, ...]
    weights: Float[np.ndarray, "l p"]
    constants: Float[np.ndarray, " l"]


def coefficient_places(design: Design) -> dict[str, int]:
    """Place of each fixed effect by its label, and by R's name, ``x:fb``."""
    found: dict[str, int] = {}
    for variable in design.fixed:
        for cell, place in zip(variable.cells, variable.columns, strict=False):
            levels = [(atom, level or "") for atom, level in cell]
            for words in ({}, LOGICAL):
                atoms = (atom + words.get(level, level) for atom, level in levels)
                found.setdefault(":".join(atoms), place)
    if design.intercept is not None:
        found["(Intercept)"] = design.intercept
    return found | {label: place for place, label in enumerate(design.fixed_names)}


def make_contrasts(
    design: Design, what: object, aliasing: Aliasing | None = None
) -> Contrasts:
    """Combinations as a user writes them.

    Parameters
    ----------
    design : Design
        Whose fixed effects they combine.
    what : str, mapping, sequence or ndarray
        ``"Machine[B] - Machine[C]"``, ``"Days = 10"``; weights by label; a sequence of
        such, or a mapping of names to such; a matrix of shape (l, p) or (p,) in the
        order of `fixef`.
    aliasing : Aliasing, optional
        Columns that were dropped: a matrix may have a column for each of all.

    Returns
    -------
    Contrasts
        The rows.

    Raises
    ------
    ModelError
        If it is nothing of these, a label is unknown, all weights are 0, or a
        combination of all columns is not estimable.
    FormulaError
        If a text is no linear combination; with a caret.
    """
    named = _named(design, what, aliasing)
    if not named:
        raise ModelError(_unreadable(what))
    rows = [combination for _, combination in named]
    weights = np.array([row.weights for row in rows])
    for name, row in named:
        if row.is_number or not np.isfinite(row.weights).all():
            raise ModelError(
                f"The contrast {name!r} has no finite weight that is not 0, so it "
                f"compares nothing."
            )
    constants = np.array([row.constant for row in rows])
    return Contrasts(tuple(name for name, _ in named), weights, constants)


def check_consistent(asked: Contrasts) -> None:
    """Raise `ModelError` unless all combinations can be 0 at once."""
    columns = np.abs(asked.weights).max(axis=0)
    rows = asked.weights / np.where(columns > 0.0, columns, 1.0)
    unit = np.linalg.norm(rows, axis=1)
    rows, constants = rows / unit[:, None], asked.constants / unit
    vectors, sizes, _ = np.linalg.svd(rows, full_matrices=False)
    span = vectors[:, sizes > ROUNDING * sizes[0]]
    left = constants - span @ (span.T @ constants)
    if np.abs(left).max() > ROUNDING * np.abs(constants).max():
        raise ModelError(
            f"The hypotheses {listed(asked.names)} contradict each other: no values of "
            f"the fixed effects meet all of them, so there is no joint test."
        )


def _named(
    design: Design, what: object, aliasing: Aliasing | None
) -> list[tuple[str, Combination]]:
    """Names and rows of all that is asked for."""
    if isinstance(what, str):
        return [(what, _row(design, what))]
    if isinstance(what, Mapping) and what:
        if all(is_number(weight) for weight in what.values()):
            return [(_words(what), _row(design, what))]
        return [(str(name), _row(design, one)) for name, one in what.items()]
    matrix = _matrix(what)
    if matrix is not None:
        return _of_matrix(design, matrix, aliasing)
    if isinstance(what, Sequence):
        return [one for part in what for one in _named(design, part, aliasing)]
    raise ModelError(_unreadable(what))


def _of_matrix(
    design: Design, matrix: Float[np.ndarray, "l p"], aliasing: Aliasing | None
) -> list[tuple[str, Combination]]:
    """Rows over the columns kept, or over all that the formula asks for."""
    names, kept = design.fixed_names, matrix
    if aliasing is not None and matrix.shape[1] == len(aliasing.names):
        names, kept = aliasing.names, _kept_columns(matrix, aliasing)
    elif matrix.shape[1] != design.p:
        also = ""
        if aliasing is not None:
            also = (
                f" With those that were dropped there are {len(aliasing.names)}: "
                f"{', '.join(aliasing.names)}."
            )
        raise ModelError(
            f"The contrast matrix has {matrix.shape[1]} columns, and the model "
            f"{design.p} fixed effects: {', '.join(design.fixed_names)}.{also}"
        )
    return [
        (_words(dict(zip(names, row, strict=True))), _from_array(own))
        for row, own in zip(matrix, kept, strict=True)
    ]


def _kept_columns(
    matrix: Float[np.ndarray, "l p"], aliasing: Aliasing
) -> Float[np.ndarray, "l r"]:
    """Combinations of all columns as those of the columns kept.

    Estimable are those whose dropped weights are the same combination of the others as
    in every row of the data: they are combinations of means of rows.
    """
    loose = aliasing.loose(matrix)
    for row in np.flatnonzero(loose.any(axis=1)):
        name = _words(dict(zip(aliasing.names, matrix[row], strict=True)))
        needed = listed(np.array(aliasing.names)[loose[row]])
        raise ModelError(
            f"The contrast {name!r} (row {row + 1} of the matrix) is not estimable: it "
            f"is no combination of means of rows of the data, which cannot tell "
            f"{needed} from the other columns. {aliasing.sentence}"
        )
    return matrix[:, aliasing.kept]


def _row(design: Design, what: object) -> Combination:
    """One combination."""
    dropped = design.account.aliased
    width = design.p + len(dropped)  # dropped columns are read, and then refused
    places = {label: design.p + i for i, label in enumerate(dropped)}
    places |= coefficient_places(design)
    if isinstance(what, str):
        return _estimable(design, parse_combination(what, places, width))
    if isinstance(what, Mapping):
        weights = np.zeros(width)
        for label, weight in what.items():
            if label not in places:
                raise ModelError(
                    f"There is no fixed effect {str(label)!r}."
                    f"{nearest_names(label, design.fixed_names)}"
                )
            if not is_number(weight):
                raise ModelError(f"The weight of {label!r} is {weight!r}, no number.")
            weights[places[label]] += float(weight)
        return _estimable(design, Combination(weights, 0.0))
    matrix = _matrix(what)
    if matrix is None or matrix.shape != (1, design.p):
        raise ModelError(_unreadable(what))
    return _from_array(matrix[0])


def _estimable(design: Design, found: Combination) -> Combination:
    """A combination without the columns that others determine; they must not be in."""
    kept, dropped = np.split(found.weights, [design.p])
    for name, weight in zip(design.account.aliased, dropped, strict=True):
        if weight != 0.0:
            raise ModelError(
                f"{name!r} is not estimable: it was dropped, as other columns of the "
                f"data determine it. {design.account.dependence}"
            )
    return Combination(kept, found.constant)


def _matrix(what: object) -> Float[np.ndarray, "l p"] | None:
    """Numbers as rows, if that is what they are."""
    try:
        found = np.asarray(what, dtype=float)
    except (TypeError, ValueError):
        return None
    return np.atleast_2d(found) if found.ndim in (1, 2) and found.size else None


def _from_array(row: Float[np.ndarray, " p"]) -> Combination:
    """A row of a matrix."""
    return Combination(np.array(row, float), 0.0)


def _words(weights: Mapping[str, Any]) -> str:
    """``Machine[B] - 0.5 Machine[C]``."""
    text = ""
    for label, weight in weights.items():
        if weight == 0.0:
            continue
        size = "" if abs(weight) == 1.0 else f"{abs(weight):g} "
        sign = (" - " if text else "-") if weight < 0.0 else (" + " if text else "")
        text += f"{sign}{size}{label}"
    return text or "0"


def _unreadable(what: object) -> str:
    """What to say of something that is no contrast."""
    return (
        f"{shortened(what)} is no contrast. Give a text such as 'B - A = 0', weights "
        f"by label such as {{'B': 1, 'A': -1}}, a list or a mapping of names to such, "
        f"or a matrix with a column for each fixed effect."
    )
