"""A curve through many points: where their mean goes.

Takes points; gives a smoothing spline (scipy's, its smoothness by cross-validation)
through means of groups of neighbours, so that a million points cost no more than some
hundred.
"""

import numpy as np
from jaxtyping import Float

BINS, POINTS, FEWEST = 60, 100, 6


def smooth(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]] | None:
    """The curve on a grid over x; None with fewer than six different x.

    References
    ----------
    .. [1] Woltring (1986). Adv. Eng. Softw. 8(2).
       https://doi.org/10.1016/0141-1195(86)90098-7
    """
    from scipy.interpolate import make_smoothing_spline

    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    different = np.concatenate([[0], np.cumsum(np.diff(x) > 0.0)])
    n_bins = min(BINS, int(different[-1]) + 1)
    if n_bins < FEWEST:
        return None
    # equal x stay together
    first = np.searchsorted(different, np.arange(different[-1] + 1))
    bins = (first[different] * n_bins) // len(x)
    _, bins, counts = np.unique(bins, return_inverse=True, return_counts=True)
    if len(counts) < FEWEST:
        return None
    at, mean = np.bincount(bins, x) / counts, np.bincount(bins, y) / counts
    low, span = at[0], at[-1] - at[0]
    if not span > 0.0 or not (np.diff((at - low) / span) > 0.0).all():  # rounding
        return None
    curve = make_smoothing_spline((at - low) / span, mean, w=counts / counts.max())
    grid = np.linspace(0.0, 1.0, POINTS)
    return low + span * grid, curve(grid)
