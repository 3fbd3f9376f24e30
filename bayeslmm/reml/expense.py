"""Which sampler is worth its while, and what is worth saying before a wait.

Takes `Statistics`, which say what an evaluation costs from counts of operations, not
from a clock: the choice of method, and with it the draws of a seed, must not depend on
how busy the machine is.
"""

import logging
import time

from bayeslmm.design.memory import SHARE, available_bytes
from bayeslmm.marginal import Statistics
from bayeslmm.marginal.objective import Objective
from bayeslmm.marginal.stack import Stack

# NUTS in whitened coordinates takes about this many gradients for a draw.
GRADIENTS_PER_DRAW = 8
# An evaluation is expensive beyond this, seconds of one core: the default run of NUTS,
# 4 x 1300 draws, then takes 4 s of one core. With 10,000 levels of two effects (0.2 ms)
# NUTS took 10 s, an effective sample of 400 by importance 0.6 s.
EXPENSIVE = 1e-4
# Shorter runs of NUTS than this, in seconds of one core, are not worth avoiding.
SHORT_RUN = 3.0
# With several grouping factors, whose gradient takes twice the time of the density and
# NUTS 0.3 s or more, these are: subjects crossed with items, with slopes on both, took
# 0.3 s by NUTS and 0.1 s by points, with 5% of the trials missing 3.0 s and 0.25 s.
SHORT_RUN_OF_SEVERAL = 0.3
# With one factor whose levels are of so many kinds that they, and not the call, are
# what an evaluation costs, and few parameters: 1e6 rows in 1e4 groups of 40 sizes took
# 0.24 s by NUTS and 0.07 s by points, with the same effective sample.
OF_MANY_KINDS, FEW_OF_SINGLE = 1.5e-5, 4
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
# Points for an effective draw, at least.
POINTS_PER_EFFECTIVE = 2
# Seconds that are said before they are waited for.
WORTH_SAYING = 20.0
# Variance parameters and columns of X that cost nothing beside what is counted.
FEW_PARAMETERS, FEW_COLUMNS = 20, 100
# Evaluations of the criterion for each variance parameter: 20 to 31 with 36 and 105.
REML_EVALUATIONS = 30
# Evaluations that a search by exact curvature takes the time of: 35 and 360 with 210
# parameters, inside and on the boundary.
EXACT_EVALUATIONS = 100


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
    if few and stats.seconds * count < WORTH_SAYING:
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
    if stats.seconds <= WORTH_A_THREAD:
        return 1
    room = SHARE * available_bytes() / stats.evaluation_bytes
    return max(1, int(min(cores, room)))


def prefers_importance(
    stats: Statistics | Stack, *, dimension: int, draws: int, tune: int, chains: int
) -> bool:
    """Whether importance sampling is to be tried before NUTS.

    Parameters
    ----------
    stats : Statistics or Stack
        Cross-products of the design.
    dimension : int
        Number of variance parameters.
    draws, tune, chains : int
        What NUTS would be asked for.

    Returns
    -------
    bool
        True if there are at most 7 variance parameters and, of one core, an evaluation
        takes over 0.1 ms and the whole run of NUTS over 3 s; or, for 200 draws of a
        chain or more, with several grouping factors the whole run over 0.3 s, with one
        and at most 4 parameters an evaluation over 15 us. It does not depend on the
        number of cores, nor on the load of the machine.
    """
    if dimension > MAX_DIMENSION:
        return False
    seconds = stats.seconds
    run = seconds * GRADIENTS_PER_DRAW * chains * (draws + tune)
    enough = draws >= POINTS_PER_EFFECTIVE * ESS_PER_CHAIN
    if enough and isinstance(stats, Statistics):
        if stats.layout.rest:
            return run > SHORT_RUN_OF_SEVERAL
        if dimension <= FEW_OF_SINGLE and seconds > OF_MANY_KINDS:
            return True
    return seconds > EXPENSIVE and run > SHORT_RUN
