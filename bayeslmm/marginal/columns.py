"""Which columns are summed: those of the data, moved and turned.

A cross-product of columns whose mean is large against their SD has lost its digits once
it is summed: the columns must be moved first. Takes what is to be taken off the columns
and how they are combined; gives them for any rows. Needs numpy only.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design, GroupTerm
from bayeslmm.design.rows import Rows


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns ``([X y] - origin) turn`` and ``(Z_t - origins_t) bases_t``.

    Attributes
    ----------
    origin : ndarray, shape (w,)
        Taken off each column of [X y], y less the offset.
    turn : ndarray, shape (w, w), or None
        New columns of [X y] in terms of the moved ones; None leaves them.
    origins : tuple of ndarray, shape (k_t,)
        Taken off the columns that vary, for each bar term.
    bases : tuple of ndarray, shape (k_t, k_t), or None
        New columns of each bar term; None leaves them.
    """

    origin: Float[np.ndarray, " w"]
    turn: Float[np.ndarray, "w w"] | None
    origins: tuple[Float[np.ndarray, " _k"], ...]
    bases: tuple[Float[np.ndarray, "_k _k"], ...] | None

    def xy(self, rows: Rows, part: slice) -> Float[np.ndarray, "n w"]:
        """The columns of [X y] of a run of rows."""
        y = rows.y[part]
        if rows.offset is not None:
            y = y - rows.offset[part]
        moved = np.column_stack([rows.X[part], y])
        if self.origin.any():
            moved -= self.origin
        return moved if self.turn is None else moved @ self.turn

    def z(self, rows: Rows, t: int, part: slice) -> Float[np.ndarray, "n k"]:
        """The columns of a bar term of a run of rows."""
        moved = rows.Z[t][part]
        if self.origins[t].any():
            moved = moved - self.origins[t]
        basis = None if self.bases is None else self.bases[t]
        return moved if basis is None or is_identity(basis) else moved @ basis

    def undone(
        self, origin: Float[np.ndarray, " w"], intercept: int | None
    ) -> Float[np.ndarray, "w w"]:
        """From these columns of [X y] to the data's less another origin."""
        back = mover(origin - self.origin, intercept)
        return back if self.turn is None else np.linalg.solve(self.turn, back)

    def undone_z(
        self, t: int, origin: Float[np.ndarray, " k"], constant: int | None
    ) -> Float[np.ndarray, "k k"]:
        """The same of bar term number t."""
        back = mover(origin - self.origins[t], constant)
        return back if self.bases is None else np.linalg.solve(self.bases[t], back)

    def near(self, design: Design) -> tuple[tuple[np.ndarray, np.ndarray] | None, ...]:
        """Of X and each bar term what is taken off and the combinations.

        None where products of the design combine nothing.
        """
        found: list[tuple[np.ndarray, np.ndarray] | None] = [None]
        if self.turn is not None and design.products.fixed.entries:
            found = [(self.origin[:-1], self.turn[:-1, :-1])]
        bases = self.bases or (None,) * len(self.origins)
        for t, (origin, basis) in enumerate(zip(self.origins, bases, strict=True)):
            if basis is None or not design.products.of_term(t).entries:
                found.append(None)
            else:
                found.append((origin, basis))
        return tuple(found)


def data_columns(design: Design) -> Columns:
    """The columns of the data as they are."""
    origins = tuple(np.zeros(term.k) for term in design.groups)
    return Columns(np.zeros(design.p + 1), None, origins, None)


def near_columns(design: Design, rows: Rows) -> Columns:
    """Columns less their means over these rows, where a model has room for it.

    That is where an intercept can take it up: with one in X, and in the terms whose
    columns may be moved. Products are of variables less their means over these rows.
    """
    xy, at = np.zeros(design.p + 1), design.intercept
    if at is not None:
        xy = np.append(rows.X.mean(axis=0), rows.net.mean())
        xy[at] = 0.0
    origins = []
    for term, Z in zip(design.groups, rows.Z, strict=True):
        origin = Z.mean(axis=0) if term.is_closed else np.zeros(term.k)
        origins.append(np.where(np.array(term.effects) == "Intercept", 0.0, origin))
    if rows.multiplied is None or not rows.multiplied.shape[1]:
        return Columns(xy, None, tuple(origins), None)
    means, turn, bases = rows.multiplied.mean(axis=0), np.eye(design.p + 1), []
    own = design.products.fixed.turn(design.p, means)
    if own is not None:
        turn[:-1, :-1] = own
    for t, term in enumerate(design.groups):
        basis = design.products.of_term(t).turn(term.k, means)
        bases.append(np.eye(term.k) if basis is None else basis)
    return Columns(xy, turn, tuple(origins), tuple(bases))


def constant_of(term: GroupTerm) -> int | None:
    """Position of the intercept among the effects of a term."""
    return term.effects.index("Intercept") if "Intercept" in term.effects else None


def is_identity(matrix: Float[np.ndarray, "k k"]) -> bool:
    """Whether a matrix changes nothing."""
    return bool((matrix == np.eye(len(matrix))).all())


def mover(
    center: Float[np.ndarray, " k"], constant: int | None
) -> Float[np.ndarray, "k k"]:
    """The matrix C for which ``Z C`` are the columns of Z less their centers.

    Effects of the columns of Z are C times those of the moved columns.
    """
    matrix = np.eye(len(center))
    if constant is not None:
        matrix[constant] -= center
    return matrix
