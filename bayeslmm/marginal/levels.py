"""Random effects of the leading block, level by level, given everything else.

Given the variance parameters, beta and the effects of the other blocks, the levels of
the lead are independent: those of a few levels can be drawn without the others. Takes
`Statistics` and draws of the rest, gives draws of the levels asked for. Levels come in
runs of `RUN`, each with a generator of its own, so that a level's draws are the same
whether it is drawn alone or with all others, in one thread or many.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.marginal.kernels import blocked
from bayeslmm.marginal.statistics import Statistics

# Levels that share a generator.
RUN = 64
# Numbers drawn (draws x levels x effects) from which on threads pay.
THREADED = 1_000_000


def draw_levels(
    stats: Statistics,
    relative: Float[np.ndarray, "s k k"],
    sigma: Float[np.ndarray, " s"],
    beta: Float[np.ndarray, "s p"],
    rest_b: Float[np.ndarray, "s m"],
    rng: np.random.Generator,
    levels: Sequence[int] | Int[np.ndarray, " c"] | None = None,
) -> Float[np.ndarray, "s _c k"]:
    """Draws of the effects of some levels of the leading block.

    Parameters
    ----------
    stats : Statistics
        Cross-products of the design.
    relative : ndarray, shape (s, k, k)
        Draws of the lead's relative factor, L / sigma.
    sigma : ndarray, shape (s,)
        Draws of the residual SD, units of y.
    beta : ndarray, shape (s, p)
        Draws of the fixed effects.
    rest_b : ndarray, shape (s, m)
        Draws of the effects of the other blocks; m = 0 without any.
    rng : numpy.random.Generator
        Spawns one generator for each run of levels of the block.
    levels : sequence of int, optional
        Levels wanted, in this order; all if None.

    Returns
    -------
    ndarray, shape (s, c, k)
        Effects of the levels, units of y per unit of z.
    """
    J, k = stats.lead.n_levels, stats.lead.k
    wanted = np.arange(J) if levels is None else np.asarray(levels, dtype=np.int64)
    gamma = np.column_stack([-beta, np.ones(len(beta))])
    out = np.empty((len(sigma), len(wanted), k))
    generators = rng.spawn(-(-J // RUN))

    def draw(run: int) -> None:
        """Draw one run of levels and keep those wanted."""
        first, last = run * RUN, min((run + 1) * RUN, J)
        z = generators[run].standard_normal((last - first, len(sigma), k))
        mine = np.flatnonzero((wanted >= first) & (wanted < last))
        own = np.empty((len(sigma), len(mine), k))
        blocked.draw_levels(
            stats.A,
            stats.F,
            *(stats.indptr, stats.columns, stats.B),
            *(relative, sigma, gamma, rest_b),
            *(wanted[mine], first, z, own),
        )
        out[:, mine] = own

    runs = np.unique(wanted // RUN).tolist()
    if out.size < THREADED:
        for run in runs:
            draw(run)
        return out
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(draw, runs))
    return out
