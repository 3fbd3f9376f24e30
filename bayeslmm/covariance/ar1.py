"""``ar1``: first-order autoregressive, the correlation at lag d is ``rho**d``."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from bayeslmm.covariance.structure import (
    Correlations,
    Rows,
    Scalar,
    Structure,
    cosines,
    identity,
    lags,
)


def _rows(cos: Sequence[Scalar], sin: Sequence[Scalar], k: int) -> Rows:
    """Each effect is rho times the one before, and something new."""
    if k == 1:
        return identity(1)
    ((rho, root),) = cosines(cos, sin)
    return [
        [rho**i if i else 1.0, *(root * rho ** (i - j) for j in range(1, i + 1))]
        for i in range(k)
    ]


def _read(corr: Float[np.ndarray, "k k"]) -> Float[np.ndarray, " c"]:
    """From the nearest effects that have an SD.

    Where all are an even number of steps apart, rho and -rho are the same covariance:
    it is the positive one.
    """
    if len(corr) == 1:
        return np.zeros(0)
    row, column = np.tril_indices(len(corr), -1)
    held = np.isfinite(corr[row, column])
    if not held.any():
        return np.array([np.nan])
    lag, found = (row - column)[held], corr[row, column][held]
    nearest, odd = np.argmin(lag), found[lag % 2 == 1]
    size = abs(float(found[nearest])) ** (1.0 / lag[nearest])
    return np.array([-size if odd.size and odd[0] < 0.0 else size])


def _slope(
    values: Float[np.ndarray, " c"], which: int, k: int
) -> Float[np.ndarray, "k k"]:
    """Derivative of rho**lag."""
    lag = lags(k)
    return np.where(lag > 0, lag * values[which] ** np.maximum(lag - 1.0, 0.0), 0.0)


def _lost(held: Sequence[int], k: int) -> str:
    """At even lags the sign is."""
    del k
    if len({effect % 2 for effect in held}) != 1:
        return ""
    return (
        "the effects of {label} with an SD are an even number of steps apart, so the "
        "sign of its correlation is arbitrary"
    )


FADING = Correlations(_rows, _read, _slope, lost=_lost)
_WORDS = "correlations that fade with distance (first-order autoregressive)"
AR1 = Structure("ar1", FADING, f"one SD, {_WORDS}", homogeneous=True)
HETAR1 = Structure("hetar1", FADING, _WORDS)
