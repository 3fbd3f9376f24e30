"""``toep``: Toeplitz, a correlation for each number of steps between effects.

Any partial autocorrelations in (-1, 1) make a correlation matrix [1]_, so the angles
are theirs. With the reflections ``G_m = [[w_m, s_m], [s_m, -w_m]]`` of coordinates
m - 1 and m, row i of the factor is row 0 turned i times by ``G_1 G_2 ... G_{k-1}``: the
normalised lattice filter, without a division.

References
----------
.. [1] Barndorff-Nielsen and Schou (1973). J. Multivar. Anal. 3(4).
   https://doi.org/10.1016/0047-259X(73)90030-4
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from bayeslmm.covariance.structure import (
    Correlations,
    Rows,
    Scalar,
    Structure,
    cosines,
    lags,
)


def _count(k: int) -> int:
    """One for each lag."""
    return k - 1


def _pairs(k: int) -> list[tuple[int, int]]:
    """With the first effect."""
    return [(lag, 0) for lag in range(1, k)]


def _names(effects: Sequence[str]) -> list[str]:
    """``lag 1``, ``lag 2``."""
    return [f"lag {lag}" for lag in range(1, len(effects))]


def _rows(cos: Sequence[Scalar], sin: Sequence[Scalar], k: int) -> Rows:
    """Each effect is the one before, turned."""
    trig, rows = cosines(cos, sin), [[1.0]]
    for i in range(1, k):
        row = [*rows[-1], 0.0]
        for m in range(i, 0, -1):
            (w, root), left, right = trig[m - 1], row[m - 1], row[m]
            row[m - 1], row[m] = w * left + root * right, root * left - w * right
        rows.append(row)
    return rows


def _angles(values: Float[np.ndarray, " c"], k: int) -> Float[np.ndarray, " c"]:
    """By the recursion of Durbin and Levinson; behind a partial of +-1 those are 0."""
    del k
    partials: list[float] = []
    weights: list[float] = []  # of the effects between, the nearest first
    left = 1.0  # share of an effect that those between do not explain
    for lag, value in enumerate(values.tolist()):
        told = sum(w * values[lag - 1 - j] for j, w in enumerate(weights))
        partial = min(max((value - told) / left, -1.0), 1.0) if left > 0.0 else 0.0
        turned = [a - partial * b for a, b in zip(weights, weights[::-1], strict=True)]
        weights = [*turned, partial]
        left *= 1.0 - partial**2
        partials.append(partial)
    return np.arccos(np.array(partials))


def _read(corr: Float[np.ndarray, "k k"]) -> Float[np.ndarray, " c"]:
    """From any two effects so far apart that have an SD."""
    found = [corr.diagonal(-lag) for lag in range(1, len(corr))]
    return np.array([np.append(own[np.isfinite(own)], np.nan)[0] for own in found])


def _slope(
    values: Float[np.ndarray, " c"], which: int, k: int
) -> Float[np.ndarray, "k k"]:
    """All pairs so far apart move with it."""
    del values
    return (lags(k) == which + 1).astype(float)


def _spent(k: int) -> list[int]:
    """Those at longer lags."""
    return list(range(k - 2, -1, -1))


def _lost(held: Sequence[int], k: int) -> str:
    """Correlations at lags that no effects with an SD have."""
    seen = {abs(i - j) for i in held for j in held}
    lost = [f"lag {lag}" for lag in range(1, k) if lag not in seen]
    if not lost:
        return ""
    return f"no effects of {{label}} with an SD have a correlation at {', '.join(lost)}"


BY_LAG = Correlations(
    rows=_rows,
    read=_read,
    slope=_slope,
    count=_count,
    pairs=_pairs,
    names=_names,
    angles=_angles,
    prior_of="each partial autocorrelation",
    spent=_spent,
    lost=_lost,
)
_WORDS = "a correlation for each distance (Toeplitz)"
TOEP = Structure("toep", BY_LAG, _WORDS)
HOMTOEP = Structure("homtoep", BY_LAG, f"one SD, {_WORDS}", homogeneous=True)
