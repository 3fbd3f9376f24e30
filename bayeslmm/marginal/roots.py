"""Roots of the products of columns, which turn them to orthonormal ones.

Takes columns by their moments, and their rows where there are few; gives triangular
roots. Needs numpy and scipy only.
"""

import math

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_triangular

from bayeslmm.covariance import Structure
from bayeslmm.design.moments import ColumnMoments
from bayeslmm.design.rank import normalised

# Beyond this condition number the columns of a term are rescaled but not
# orthogonalised: they are linearly dependent to nearly all digits.
MAX_CONDITION = 1e12
# Numbers in columns up to which they are orthogonalised themselves; beyond, by their
# moments, which have half the digits of a root where columns are nearly dependent.
FEW = 2_000_000
# So few take no time; of columns of length 1 whose products have no eigenvalue below
# this, moments lose 3 of 16 digits.
LITTLE, FAR_APART = 100_000, 1e-3


def asks_rows(moments: ColumnMoments) -> bool:
    """Whether the root of columns is that of their rows: it costs little, or is better.

    Columns that are far from dependent have a root from their moments as good as any.
    """
    numbers = moments.n * len(moments.mean)
    if not LITTLE < numbers <= FEW:
        return numbers <= LITTLE
    scaled, _ = normalised(moments.root())
    return not np.linalg.eigvalsh(scaled.T @ scaled)[0] > FAR_APART


def root_of(
    moments: ColumnMoments,
    rows: Float[np.ndarray, "n c"] | None,
    *,
    backwards: bool = False,
) -> Float[np.ndarray, "c c"]:
    """Upper triangular R with R'R the mean products of moved columns.

    From the rows where they are given, else from their moments; columns in reverse
    order if `backwards`. The diagonal is positive.
    """
    if rows is not None:
        few, n = rows, len(rows)
    else:
        few, n = moments.root(), 1
    size = np.abs(few).max(axis=0)
    few = few / np.where(size > 0.0, size, 1.0)
    if backwards:
        few, size = few[:, ::-1], size[::-1]
    R = np.linalg.qr(few, mode="r") / math.sqrt(n)
    signs = np.where(np.diag(R) < 0.0, -1.0, 1.0)
    return signs[:, None] * R * size


def basis_of(
    structure: Structure,
    moments: ColumnMoments,
    rows: Float[np.ndarray, "n k"] | None,
) -> Float[np.ndarray, "k k"]:
    """Lower-triangular T for which the moved columns times T have mean square 1.

    Orthogonal as well where effects may be correlated: columns far from 0 are nearly
    parallel, and what the data say of their effects lies in small differences.
    """
    rms = moments.rms()
    rms[rms == 0.0] = 1.0
    k = len(rms)
    scale = np.diag(1.0 / rms)
    if structure.homogeneous:
        top = rms.max()
        scale = np.eye(k) / (top * math.sqrt(np.square(rms / top).mean()))
    if not structure.n_corr(k):
        return scale
    # From the last column up: reversed, Z T = Q has T lower triangular.
    R = root_of(moments, rows, backwards=True)
    scaled = R / rms[::-1]
    if not np.linalg.cond(scaled) < MAX_CONDITION:
        return scale
    inverse = solve_triangular(scaled, np.eye(k))[::-1, ::-1]
    return inverse / rms[:, None]
