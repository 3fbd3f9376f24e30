"""``us``: every SD and every correlation free, by canonical partial correlations.

References
----------
.. [1] Lewandowski, Kurowicka and Joe (2009). J. Multivar. Anal. 100(9).
   https://doi.org/10.1016/j.jmva.2009.04.008
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from bayeslmm.covariance.structure import (
    Correlations,
    Rows,
    Scalar,
    Structure,
    cosines,
)


def pairs(k: int) -> list[tuple[int, int]]:
    """(row, column) of the strict lower triangle by columns, the order of tables."""
    return [(i, j) for j in range(k) for i in range(j + 1, k)]


def _count(k: int) -> int:
    """One for each pair."""
    return k * (k - 1) // 2


def _names(effects: Sequence[str]) -> list[str]:
    """The two effects."""
    return [f"{effects[j]}:{effects[i]}" for i, j in pairs(len(effects))]


def _read(corr: Float[np.ndarray, "k k"]) -> Float[np.ndarray, " c"]:
    """Those of the pairs."""
    return np.array([corr[pair] for pair in pairs(len(corr))])


def _slope(
    values: Float[np.ndarray, " c"], which: int, k: int
) -> Float[np.ndarray, "k k"]:
    """One entry and its mirror image."""
    del values
    i, j = pairs(k)[which]
    found = np.zeros((k, k))
    found[i, j] = found[j, i] = 1.0
    return found


def partial_exponents(k: int, eta: float) -> list[float]:
    """LKJ(eta) as a prior of the partial correlations, by rows, as their angles."""
    return [eta + 0.5 * (k - 2 - j) for i in range(1, k) for j in range(i)]


def _rows(cos: Sequence[Scalar], sin: Sequence[Scalar], k: int) -> Rows:
    """Factor row by row: what earlier partials leave of the length 1."""
    partials, rows = iter(cosines(cos, sin)), []
    for i in range(k):
        row, rest = [], 1.0
        for _ in range(i):
            w, root = next(partials)
            row.append(w * rest)
            rest = rest * root
        rows.append([*row, rest])
    return rows


def factor_to_partials(
    factor: Float[np.ndarray, "k k"], k: int
) -> Float[np.ndarray, " c"]:
    """Canonical partial correlations of a factor; 0 where a row is used up or null."""
    partials = []
    for i in range(1, k):
        rest = float(factor[i, : i + 1] @ factor[i, : i + 1])
        for j in range(i):
            root = math.sqrt(max(rest, 0.0))
            partials.append(factor[i, j] / root if root > 0.0 else 0.0)
            rest -= factor[i, j] ** 2
    return np.clip(np.array(partials), -1.0, 1.0)


def _pullback(
    angles: Float[np.ndarray, " c"], d_factor: Float[np.ndarray, "k k"], k: int
) -> Float[np.ndarray, " c"]:
    """Gradient with respect to the angles, row by row.

    With L[i, j] = cos_j prod_{m<j} sin_m: the own entry moves with the product before
    it, every later entry of the row by cos_j / sin_j of itself.
    """
    gradient = np.zeros(len(angles))
    halves = 0.5 * angles
    trig = cosines(np.cos(halves).tolist(), np.sin(halves).tolist())
    rows, c = _rows(np.cos(halves).tolist(), np.sin(halves).tolist(), k), 0
    for i in range(1, k):
        product = 1.0
        for j in range(i):
            w, root = trig[c]
            later = 0.0
            for m in range(j + 1, i + 1):
                later += d_factor[i, m] * rows[i][m]
            gradient[c] = later * w / max(root, 1e-300)
            product *= root
            gradient[c] -= d_factor[i, j] * product
            c += 1
    return gradient


FREE = Correlations(
    rows=_rows,
    read=_read,
    slope=_slope,
    count=_count,
    pairs=pairs,
    names=_names,
    exponents=partial_exponents,
    pullback=_pullback,
)
US = Structure("us", FREE, "free covariance", unstructured=True)
