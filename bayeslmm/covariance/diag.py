"""``diag``: no correlations."""

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


def _rows(cos: Sequence[Scalar], sin: Sequence[Scalar], k: int) -> Rows:
    """The identity."""
    del cos, sin
    return identity(k)


def _read(corr: Float[np.ndarray, "k k"]) -> Float[np.ndarray, " c"]:
    """None."""
    del corr
    return np.zeros(0)


def _slope(
    values: Float[np.ndarray, " c"], which: int, k: int
) -> Float[np.ndarray, "k k"]:
    """None has one."""
    raise IndexError(which, values, k)


def _count(k: int) -> int:
    """None."""
    del k
    return 0


def _none(given: object) -> list:
    """No pairs, no names."""
    del given
    return []


INDEPENDENT = Correlations(_rows, _read, _slope, _count, _none, _none)
DIAG = Structure("diag", INDEPENDENT, "independent effects")
HOMDIAG = Structure(
    "homdiag", INDEPENDENT, "independent effects with one SD", homogeneous=True
)
