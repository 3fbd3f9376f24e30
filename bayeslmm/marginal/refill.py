"""Statistics of another response of the same rows: only the columns of y are new.

Takes `Statistics` and the products of a new y, gives its `Statistics`; products of X
and Z, couplings, orderings and the choice of the kernel are shared.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.kernels.pooled import Alike, alike_levels, pooled_products
from bayeslmm.marginal.statistics import Statistics, kernel_arrays, rest_columns


def alike_of(stats: Statistics) -> Alike | None:
    """Levels that the kernel pools, if it does."""
    return alike_levels(stats.A) if stats.kernel == "pooled" else None


def refill(
    stats: Statistics,
    alike: Alike | None,
    Wy: Float[np.ndarray, " w"],
    Fy: Sequence[Float[np.ndarray, "_j _k"]],
) -> Statistics:
    """The statistics of another response of the same rows.

    Parameters
    ----------
    stats : Statistics
        Those of some response.
    alike : Alike or None
        What `alike_of` says of them.
    Wy : ndarray, shape (w,)
        ``[X y]'Wy`` of the new one.
    Fy : sequence of ndarray, shape (J, k)
        ``Z_j'Wy`` of each block.
    """
    WW, F = stats.WW.copy(), tuple(F.copy() for F in stats.sums.F)
    WW[-1], WW[:, -1] = Wy, Wy
    for own, y in zip(F, Fy, strict=True):
        own[:, :, -1] = y
    sums, arrays = replace(stats.sums, WW=WW, F=F), stats.arrays
    Fr = rest_columns(sums, stats.layout)
    if alike is not None:
        arrays = (*arrays[:2], pooled_products(alike, F[0]))
    elif stats.kernel == "crossed":
        A, _, indptr, columns, B, R, _, *rest = arrays
        arrays = (A, F[0], indptr, columns, B, R, Fr, *rest)
    else:
        arrays = kernel_arrays(stats.kernel, stats.A, F[0])
    return replace(stats, sums=sums, Fr=Fr, arrays=arrays)
