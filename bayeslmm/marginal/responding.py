"""A new response of the same rows: what does not depend on y is computed once.

Takes a model in safe coordinates whose rows are in memory, gives a `Responder`, which
keeps the safe columns and puts another y beside them. Sums of X and Z, couplings,
layouts and orderings are those of the first model; a new y costs one pass over the
rows.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import solve_triangular

from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.marginal.columns import Columns
from bayeslmm.marginal.conditioned import Conditioned, Twin
from bayeslmm.marginal.conditioning import (
    check_response,
    effect_bases,
    effect_centers,
    power_of_two,
    response_level,
)
from bayeslmm.marginal.restack import Restacker, make_restacker
from bayeslmm.marginal.sums import block_rows


@dataclass(frozen=True, slots=True)
class Responder:
    """What turns a response into the cross-products of its model.

    Attributes
    ----------
    conditioned : Conditioned
        The model of another response of the same rows, with its `Twin`.
    unroot : ndarray, shape (p, p)
        Inverse of its root.
    X : ndarray, shape (n, p)
        Safe columns of X.
    inverse : ndarray, shape (p, p)
        Of their weighted products.
    Z : tuple of ndarray, shape (k, n)
        Safe columns of each block times the weights, one in each row.
    codes : tuple of ndarray, shape (n,)
        Level of each row, for each block.
    weights : ndarray, shape (n,), or None
        Precision weights.
    restacker : Restacker or None
        The same of the patterns of structured residuals.
    """

    conditioned: Conditioned
    unroot: Float[np.ndarray, "p p"]
    X: Float[np.ndarray, "n p"]
    inverse: Float[np.ndarray, "p p"]
    Z: tuple[Float[np.ndarray, "_k n"], ...]
    codes: tuple[Int[np.ndarray, " n"], ...]
    weights: Float[np.ndarray, " n"] | None
    restacker: Restacker | None = None

    def respond(self, design: Design) -> Conditioned:
        """The model of a design that differs in y alone.

        Raises
        ------
        DataError
            If doubles cannot tell the response from its mean.
        """
        old, level = self.conditioned, response_level(design)
        spread = power_of_two(design.moments.net.sd(1)[0])
        net = rows_of(design, "another response").net
        y = (net - level) / spread
        along = self.inverse @ (self._weighted(y) @ self.X)
        y = y - self.X @ along
        left = power_of_two(math.sqrt(float(y @ self._weighted(y)) / design.n))
        y = y / left
        weighted = self._weighted(y)
        beta = spread * (self.unroot @ along)
        if design.intercept is not None:
            beta[design.intercept] += level
        blocks = zip(self.codes, self.Z, old.statistics.sums.F, strict=False)
        Fy = [_level_sums(codes, Z * y, len(F)) for codes, Z, F in blocks]
        Fy = Fy or [old.statistics.F[:, :, -1]]  # without bar terms: no levels
        Wy = np.append(weighted @ self.X, y @ weighted)
        found = replace(
            old,
            statistics=old.statistics.respond(Wy, Fy),
            unit=spread * left,
            beta=beta,
            stack=self.restacker and self.restacker.respond(y),
        )
        check_response(design, found)
        return found

    def _weighted(self, y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """A column times the weights."""
        return y if self.weights is None else y * self.weights


def make_responder(design: Design, conditioned: Conditioned) -> Responder:
    """What computes other responses of the rows of a design.

    Parameters
    ----------
    design : Design
        Arrays of the model, in memory.
    conditioned : Conditioned
        The same in safe coordinates.

    Returns
    -------
    Responder
        Memory is that of X and Z again.
    """
    root, layout = conditioned.root, conditioned.statistics.layout
    rows = rows_of(design, "another response")
    X, unroot = rows.X - conditioned.means, root
    if design.p:
        unroot = solve_triangular(root, np.eye(design.p))
        X = np.ascontiguousarray(solve_triangular(root, X.T, trans=1).T)
    weights = rows.weights
    scaled = X if weights is None else X * weights[:, None]
    turn = np.eye(design.p + 1)
    turn[: design.p, : design.p] = unroot
    columns = Columns(
        np.append(conditioned.means, 0.0),
        turn,
        effect_centers(design),
        effect_bases(design, conditioned.bases),
    )
    found = [
        block_rows(rows, block, slice(0, rows.n), columns)
        for block in layout.blocks
        if block.terms
    ]
    Z = [Z.T if weights is None else Z.T * weights for _, Z in found]
    return Responder(
        conditioned=replace(conditioned, twin=Twin.of(conditioned)),
        unroot=unroot,
        X=X,
        inverse=np.linalg.pinv(X.T @ scaled),
        Z=tuple(np.ascontiguousarray(rows) for rows in Z),
        codes=tuple(codes for codes, _ in found),
        weights=weights,
        restacker=_restacker(design, conditioned, columns),
    )


def _restacker(
    design: Design, conditioned: Conditioned, columns: Columns
) -> Restacker | None:
    """That of structured residuals, None without any."""
    if design.residual is None or conditioned.stack is None:
        return None
    rows = rows_of(design, "another response")
    return make_restacker(design.residual, rows, conditioned.stack, columns)


def _level_sums(
    codes: Int[np.ndarray, " n"], columns: Float[np.ndarray, "k n"], n_levels: int
) -> Float[np.ndarray, "j k"]:
    """Sums of the columns over the rows of each level."""
    return np.stack([np.bincount(codes, c, n_levels) for c in columns], axis=1)
