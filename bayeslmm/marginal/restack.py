"""A new response of the same rows under structured residuals.

Takes the safe columns of a `Responder` and the patterns; keeps the folded columns of X
and Z, so that a new y costs one product with each fold.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from bayeslmm.design.residual import ResidualStructure
from bayeslmm.design.rows import Rows
from bayeslmm.marginal.columns import Columns
from bayeslmm.marginal.patterns import Fold, find_patterns
from bayeslmm.marginal.stack import Folder, Stack
from bayeslmm.marginal.standins import StandIns


@dataclass(frozen=True, slots=True)
class _Folded:
    """Folded columns of X, and of Z of the lead and the rest; levels of the lead."""

    T: csr_array
    X: Float[np.ndarray, "f p"]
    codes: Int[np.ndarray, " f"]
    Z: Float[np.ndarray, "f k"]
    rest: csr_array


@dataclass(frozen=True, slots=True)
class Restacker:
    """Gives the stack of any response of some rows.

    ``stack`` is that of one of them; ``root`` (n,) has the roots of the weights;
    ``folds`` are those of every pattern, with their signs.
    """

    stack: Stack
    root: Float[np.ndarray, " n"] | None
    folds: tuple[tuple[tuple[float, _Folded], ...], ...]

    def respond(self, y: Float[np.ndarray, " n"]) -> Stack:
        """The stack of safe values of another response."""
        old = self.stack
        y = y if self.root is None else y * self.root
        WW, F, Fr = old.WW.copy(), old.F.copy(), old.Fr.copy()
        for p, folds in enumerate(self.folds):
            WW[p, -1] = WW[p, :, -1] = F[p, :, :, -1] = Fr[p, :, -1] = 0.0
            for sign, own in folds:
                folded = own.T @ y
                Xy = sign * (folded @ own.X)
                WW[p, -1, :-1] += Xy
                WW[p, :-1, -1] += Xy
                WW[p, -1, -1] += sign * float(folded @ folded)
                Fr[p, :, -1] += sign * (own.rest.T @ folded)
                if F.shape[1]:
                    F[p, :, :, -1] += sign * _level_sums(own, folded, F.shape[1])
        few = None if old.few is None else StandIns.of(old.A, F)
        return replace(old, WW=WW, F=F, Fr=Fr, few=few)


def _level_sums(
    own: _Folded, folded: Float[np.ndarray, " f"], n_levels: int
) -> Float[np.ndarray, "j k"]:
    """Products of the lead's folded columns with those of y, by level."""
    columns = [np.bincount(own.codes, column * folded, n_levels) for column in own.Z.T]
    return np.stack(columns, axis=1)


def make_restacker(
    structure: ResidualStructure, rows: Rows, stack: Stack, columns: Columns
) -> Restacker:
    """What computes the stacks of other responses; `columns` are the safe ones."""
    assert rows.residual is not None, "a design with a structure has coded its rows"
    folder = Folder.of(rows, stack.layout, columns)
    kept: dict[int, _Folded] = {}

    def folded(fold: Fold) -> _Folded:
        """The folded columns, those that patterns share kept."""
        if id(fold) not in kept:
            T = fold.T
            kept[id(fold)] = _Folded(
                *(T, (T @ folder.W)[:, :-1], folder.codes[fold.first]),
                *(T @ folder.Z, csr_array(T @ folder.rest)),
            )
        return kept[id(fold)]

    patterns = find_patterns(structure, rows.residual)
    folds = tuple(
        tuple((sign, folded(fold)) for sign, fold in own.folds) for own in patterns
    )
    root = None if rows.weights is None else np.sqrt(rows.weights)
    return Restacker(stack, root, folds)
