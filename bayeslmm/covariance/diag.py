"""``diag``: no correlations."""

from typing import NoReturn

from bayeslmm.covariance.structure import Correlations, Structure


def _never(*given: object) -> NoReturn:
    """There is nothing to ask it of."""
    raise AssertionError(f"no correlation is free: {given}")


NONE_FREE = Correlations(
    *(_never, _never, _never), lambda _: 0, lambda _: [], lambda _: []
)
DIAG = Structure("diag", NONE_FREE, "independent effects")
HOMDIAG = Structure(
    "homdiag", NONE_FREE, "independent effects with one SD", homogeneous=True
)
