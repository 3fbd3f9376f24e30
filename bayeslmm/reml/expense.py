"""What an evaluation costs, and so which sampler is worth its while.

Takes `Statistics`; gives the expected time of one density with gradient from counts of
operations, not from a clock: the choice of method, and with it the draws of a seed,
must not depend on how busy the machine is.
"""

import logging
import time

import numpy as np

from bayeslmm.design.memory import SHARE, available_bytes
from bayeslmm.marginal import Statistics
from bayeslmm.marginal.objective import Objective
from bayeslmm.marginal.panels import PanelMatrix

# Seconds on one core of 2026 when called from Python, measured on 20 designs, InstEval
# among them; the largest error of their sum was a factor of 1.6. From nutpie's callback
# the first four cost some microseconds less, which matters for no choice below.
PER_CALL = {
    "pooled": 1e-5,
    "pairs": 1e-5,
    "levels": 1e-5,
    "crossed": 1e-5,
    "blocked": 3e-4,  # a dozen numpy calls on small arrays
    "sparse": 3e-4,
}
# For each level of the lead ("pooled": each distinct level; "levels": times k**2).
PER_LEVEL = {
    "pooled": 1.5e-7,
    "pairs": 2.1e-8,
    "levels": 2.7e-8,
    "crossed": 2e-7,
    "blocked": 2e-7,
    "sparse": 2e-7,
}
# Factor and inverse of the m effects outside the lead, times m**3: loops, or LAPACK.
PER_CUBED_EFFECT = {"crossed": 6e-10, "blocked": 2.5e-11}
# Of a sparse factor: each entry that is kept, each multiplication of the factorisation
# (measured on 9 designs, nested and crossed, to a factor of 1.7).
PER_ENTRY, PER_OPERATION = 1.4e-7, 2.9e-10
# Each pair of couplings of one level of the lead, added into the m x m matrix.
PER_PAIR_OF_COUPLINGS = 4.3e-9

# NUTS in whitened coordinates takes about this many gradients for a draw.
GRADIENTS_PER_DRAW = 8
# An evaluation is expensive beyond this, seconds of one core: the default run of NUTS,
# 4 x 1300 draws, then takes 4 s of one core. With 10,000 levels of two effects (0.2 ms)
# NUTS took 10 s, an effective sample of 400 by importance 0.6 s.
EXPENSIVE = 1e-4
# Shorter runs of NUTS than this, in seconds of one core, are not worth avoiding.
SHORT_RUN = 3.0
# Importance sampling is for few coordinates: the effective share of the points falls
# with them (0.11 of 4000 with 11, 0.06 with 22), and so does the trust in checks made
# of the points themselves.
MAX_DIMENSION = 7
# Below this, threads wait for each other's Python code (0.1 ms a point) longer than
# they help.
WORTH_A_THREAD = 1e-4
# Effective sample per chain that importance sampling stops at where an evaluation is
# expensive: what `diagnose` asks of every parameter (Vehtari et al. 2021).
ESS_PER_CHAIN = 100
# Seconds that are said before they are waited for.
WORTH_SAYING = 20.0
# Variance parameters and columns of X that cost nothing beside what is counted.
FEW_PARAMETERS, FEW_COLUMNS = 20, 100
# Evaluations of the criterion for each variance parameter: 20 to 31 with 36 and 105.
REML_EVALUATIONS = 30


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
    levels = len(stats.arrays[0]) if stats.kernel == "pooled" else stats.lead.n_levels
    effects = stats.lead.k**2 if stats.kernel == "levels" else 1
    seconds = PER_CALL[stats.kernel] + PER_LEVEL[stats.kernel] * levels * effects
    if not stats.rest:
        return seconds
    couplings = np.diff(stats.indptr).astype(float)
    seconds += PER_PAIR_OF_COUPLINGS * float(couplings @ couplings)
    if isinstance(stats.R, PanelMatrix):
        panels = stats.R.panels
        return seconds + PER_ENTRY * panels.n_values + PER_OPERATION * panels.operations
    return seconds + PER_CUBED_EFFECT[stats.kernel] * float(stats.m) ** 3


def say_if_long(objective: Objective, count: int, what: str) -> None:
    """Say before a long wait how long it will be, from the time of one evaluation.

    Nothing is timed where the counts of operations leave no doubt.

    Parameters
    ----------
    objective : Objective
        What is about to be evaluated many times.
    count : int
        How many times, more or less.
    what : str
        What is being done, and over how many parameters.
    """
    stats = objective.statistics
    few = objective.space.size <= FEW_PARAMETERS and stats.p <= FEW_COLUMNS
    if few and gradient_seconds(stats) * count < WORTH_SAYING:
        return
    each = _seconds(objective)
    if each < 1.0:  # the first may have loaded kernels
        each = _seconds(objective)
    if each * count > WORTH_SAYING:
        logging.getLogger("bayeslmm").warning(
            "%s takes some %.0f s here: about %.0f evaluations of %.2g s each. Fewer "
            "effects that vary, or a simpler structure such as diag(), take less.",
            what,
            each * count,
            count,
            each,
        )


def _seconds(objective: Objective) -> float:
    """Wall time of one evaluation."""
    started = time.perf_counter()
    objective(objective.start)
    return time.perf_counter() - started


def useful_threads(stats: Statistics, cores: int) -> int:
    """Threads that make evaluations faster: all that have the memory, or one."""
    if gradient_seconds(stats) <= WORTH_A_THREAD:
        return 1
    room = SHARE * available_bytes() / stats.evaluation_bytes
    return max(1, int(min(cores, room)))


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
        True if an evaluation takes over 0.1 ms, the whole run of NUTS over 3 s of one
        core, and there are at most 7 variance parameters. It does not depend on
        the number of cores, nor on the load of the machine.
    """
    seconds = gradient_seconds(stats)
    run = seconds * GRADIENTS_PER_DRAW * chains * (draws + tune)
    return dimension <= MAX_DIMENSION and seconds > EXPENSIVE and run > SHORT_RUN
