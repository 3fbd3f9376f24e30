"""What an evaluation costs, and so which sampler is worth its while.

Takes `Statistics`; gives the expected time of one density with gradient from counts of
operations, not from a clock: the choice of method, and with it the draws of a seed,
must not depend on how busy the machine is.
"""

import numpy as np

from bayeslmm.fit.proposal import MAX_DIMENSION
from bayeslmm.marginal import Statistics

# Seconds on one core of 2026, measured on 13 designs, InstEval among them; the largest
# error of the sum was a factor of 1.6.
PER_CALL = 1e-5
PER_CROSSED_CALL = 3e-4  # a dozen numpy calls on small arrays
PER_CUBED_LEVEL = 2.5e-11  # dense factor and inverse of the m effects outside the lead
PER_PAIR_OF_COUPLINGS = 4.3e-9  # of one level of the lead, into the m x m matrix
PER_LEVEL = {"pooled": 1.5e-7, "pairs": 2.1e-8, "levels": 2.7e-8}  # levels: times k**2

# NUTS in whitened coordinates takes about this many gradients for a draw.
GRADIENTS_PER_DRAW = 8
# An evaluation is expensive beyond this: the default run of NUTS, 4 x 1300 draws, then
# takes 80 s of one core, an effective sample of 400 by importance under 3 s.
EXPENSIVE = 2e-3
# Shorter runs of NUTS than this, in seconds of one core, are not worth avoiding.
SHORT_RUN = 10.0
# Effective sample per chain that importance sampling stops at where an evaluation is
# expensive: what `diagnose` asks of every parameter (Vehtari et al. 2021).
ESS_PER_CHAIN = 100


def gradient_seconds(stats: Statistics) -> float:
    """Expected time of one log density with its gradient, one core.

    Parameters
    ----------
    stats : Statistics
        Cross-products of the design.

    Returns
    -------
    float
        Seconds, right to a factor of about 2.
    """
    if stats.kernel == "blocked":
        couplings = np.diff(stats.indptr).astype(float)
        return (
            PER_CROSSED_CALL
            + PER_CUBED_LEVEL * float(stats.m) ** 3
            + PER_PAIR_OF_COUPLINGS * float(couplings @ couplings)
        )
    if stats.kernel == "pooled":
        distinct = len(stats.arrays[0])
        return PER_CALL + PER_LEVEL["pooled"] * distinct
    effects = stats.lead.k**2 if stats.kernel == "levels" else 1
    return PER_CALL + PER_LEVEL[stats.kernel] * stats.lead.n_levels * effects


def prefers_importance(
    stats: Statistics, *, dimension: int, draws: int, tune: int, chains: int
) -> bool:
    """Whether importance sampling is to be tried before NUTS.

    Parameters
    ----------
    stats : Statistics
        Cross-products of the design.
    dimension : int
        Number of variance parameters.
    draws, tune, chains : int
        What NUTS would be asked for.

    Returns
    -------
    bool
        True if an evaluation takes more than 2 ms, the whole run of NUTS more than 10 s
        of one core, and there are at most 7 variance parameters. It does not depend on
        the number of cores, nor on the load of the machine.
    """
    seconds = gradient_seconds(stats)
    run = seconds * GRADIENTS_PER_DRAW * chains * (draws + tune)
    return dimension <= MAX_DIMENSION and seconds > EXPENSIVE and run > SHORT_RUN
