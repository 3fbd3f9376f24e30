"""``cs``: compound symmetry, one correlation for all pairs."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from bayeslmm.covariance.structure import (
    Correlations,
    Rows,
    Scalar,
    Structure,
    identity,
)


def _low(k: int) -> float:
    """K effects cannot all be further apart than this."""
    return -1.0 / (k - 1) if k > 1 else -1.0


def _rows(cos: Sequence[Scalar], sin: Sequence[Scalar], k: int) -> Rows:
    """Factor of (1 - rho) I + rho 11': constant below the diagonal of a column."""
    if k == 1:
        return identity(1)
    width = 1.0 - _low(k)
    rho = _low(k) + width * cos[0] * cos[0]
    up = math.sqrt(width) * sin[0]  # root of 1 - rho
    # roots of 1 + j rho; the last is that of (k - 1) (rho - low)
    roots = [(1.0 + j * rho) ** 0.5 for j in range(k - 1)]
    roots.append(math.sqrt(k - 1) * math.sqrt(width) * cos[0])
    diagonal = [up * roots[j] / roots[j - 1] for j in range(1, k)]
    below = [rho * up / (roots[j - 1] * roots[j]) for j in range(1, k - 1)]
    return [
        [1.0],
        *([rho, *below[: i - 1], diagonal[i - 1]] for i in range(1, k)),
    ]


def _read(corr: Float[np.ndarray, "k k"]) -> Float[np.ndarray, " c"]:
    """That of any two effects that have an SD."""
    if len(corr) == 1:
        return np.zeros(0)
    below = corr[np.tril_indices(len(corr), -1)]
    return np.append(below[np.isfinite(below)], np.nan)[:1]


def _slope(
    values: Float[np.ndarray, " c"], which: int, k: int
) -> Float[np.ndarray, "k k"]:
    """All pairs move with it."""
    del values, which
    return 1.0 - np.eye(k)


COMPOUND = Correlations(_rows, _read, _slope, low=_low)
CS = Structure("cs", COMPOUND, "one correlation for all pairs (compound symmetry)")
HOMCS = Structure(
    "homcs",
    COMPOUND,
    "one SD and one correlation for all pairs (compound symmetry)",
    homogeneous=True,
)
