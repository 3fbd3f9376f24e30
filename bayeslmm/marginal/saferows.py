"""The rows of a model in safe coordinates: what the cross-products are sums of.

Takes a design whose rows are in memory and its `Conditioned` model; gives the columns
behind the sums, terms at the origin of the data, so that single rows can be taken out
of them or looked at beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import solve_triangular

from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.errors import ModelError
from bayeslmm.marginal.columns import Columns
from bayeslmm.marginal.conditioned import Conditioned, Twin
from bayeslmm.marginal.conditioning import (
    effect_bases,
    effect_centers,
    response_level,
)
from bayeslmm.marginal.sums import block_rows


@dataclass(frozen=True, slots=True)
class SafeRows:
    """Columns of the rows in safe coordinates, beside the model that they are of.

    Attributes
    ----------
    conditioned : Conditioned
        Cross-products of these columns, and the way back; terms at the data's origin,
        or those that were kept where they were moved to.
    W : ndarray, shape (n, w)
        [X y].
    Z : tuple of ndarray, shape (n, k)
        Columns that vary, of each block.
    codes : tuple of ndarray of int, shape (n,)
        Level of each row, for each block.
    weights : ndarray, shape (n,)
        Precision weights; ones without.
    """

    conditioned: Conditioned
    W: Float[np.ndarray, "n w"]
    Z: tuple[Float[np.ndarray, "n _k"], ...]
    codes: tuple[Int[np.ndarray, " n"], ...]
    weights: Float[np.ndarray, " n"]


def safe_rows(
    design: Design,
    conditioned: Conditioned,
    what: str,
    kept: Sequence[bool] | None = None,
) -> SafeRows:
    """The rows of a design in the coordinates of its model.

    Parameters
    ----------
    design : Design
        Arrays of the model, in memory.
    conditioned : Conditioned
        The same in safe coordinates.
    what : str
        What the rows are needed for, a plural: ``"influences of rows"``.
    kept : sequence of bool, optional
        Bar terms that stay where they were moved to, as those of a `Target` do whose
        priors refer to the means; by default none.

    Raises
    ------
    DataError
        If the rows were read in batches.
    ModelError
        If the residuals have a structure.
    """
    if design.residual is not None:
        raise ModelError(
            f"There are no {what} with residual={design.residual.label!r}: they take "
            f"residuals to be independent. Look at residuals('scaled'), which are "
            f"independent with one SD if the model holds."
        )
    rows, twin = rows_of(design, what), Twin.of(conditioned, kept)
    columns, all_rows = safe_columns(design, conditioned), slice(0, rows.n)
    blocks = conditioned.statistics.layout.blocks
    found = [block_rows(rows, block, all_rows, columns) for block in blocks]
    turns = [block.join(twin.turns) for block in blocks]
    weights = np.ones(rows.n) if rows.weights is None else rows.weights
    return SafeRows(
        conditioned=twin.conditioned,
        W=columns.xy(rows, all_rows),
        Z=tuple(Z @ turn for (_, Z), turn in zip(found, turns, strict=True)),
        codes=tuple(codes for codes, _ in found),
        weights=weights,
    )


def safe_columns(design: Design, conditioned: Conditioned) -> Columns:
    """The columns whose cross-products a model in safe coordinates has.

    ``X_safe = (X - means) root^-1`` and ``y_safe = (y - X beta) / unit``.
    """
    p, level = design.p, response_level(design)
    turn, beta = np.eye(p + 1), conditioned.beta.copy()
    if design.intercept is not None:
        beta[design.intercept] -= level
    if p:
        turn[:p, :p] = solve_triangular(conditioned.root, np.eye(p))
    turn[:p, p] = -beta / conditioned.unit
    turn[p, p] = 1.0 / conditioned.unit
    return Columns(
        np.append(conditioned.means, level),
        turn,
        effect_centers(design),
        effect_bases(design, conditioned.bases),
    )
