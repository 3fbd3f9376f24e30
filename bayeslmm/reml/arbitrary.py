"""Which fixed effects have an SE that goes with what nothing identifies.

The criterion is the same along a flat direction, but the variance of a fixed effect
need not be: that of a group's own dummy has the arbitrary SD of the group in it. Takes
a `ProfiledProblem`, an estimate and its flat directions; gives the columns of X.
"""

import numpy as np
from jaxtyping import Bool, Float

from bayeslmm.marginal.elimination import eliminate
from bayeslmm.marginal.fixed import solve_beta
from bayeslmm.reml.criterion import ProfiledProblem
from bayeslmm.reml.optimise import rounding

# How far theta is moved to either side, in its units, and the change of the logarithm
# of a variance over that which is none: the second order and rounding cancel.
STEP, NO_CHANGE = 1e-3, 1e-6
# Rise of the criterion over a step, with rounding, along what is not flat after all: a
# direction of little curvature, or one known to a few digits where x is far from 0.
RISE = 1e-8


def arbitrary_fixef(
    problem: ProfiledProblem,
    theta: Float[np.ndarray, " m"],
    moves: Float[np.ndarray, "m r"],
) -> Bool[np.ndarray, " p"]:
    """Fixed effects whose variance changes along a flat direction.

    Parameters
    ----------
    problem : ProfiledProblem
        The criterion.
    theta : ndarray, shape (m,)
        Its minimum.
    moves : ndarray, shape (m, r)
        Directions in which it is flat.

    Returns
    -------
    ndarray of bool, shape (p,)
        By column of X.
    """
    found = np.zeros(problem.statistics.p, bool)
    if not (found.size and moves.shape[1]):
        return found
    lowest, _ = problem(theta)
    for move in moves.T:
        longest = np.max(np.abs(move) / problem.units(theta))
        step = STEP * move / max(longest, np.finfo(float).tiny)
        rise = problem(theta + step)[0] - lowest
        if rise < RISE + 10.0 * rounding(lowest):
            change = _log_variances(problem, theta + step)
            change -= _log_variances(problem, theta - step)
            found |= np.abs(change) > NO_CHANGE
    return found


def _log_variances(
    problem: ProfiledProblem, theta: Float[np.ndarray, " m"]
) -> Float[np.ndarray, " p"]:
    """Logarithms of the variances of the data's fixed effects, the unit of y apart."""
    done = eliminate(problem.statistics_at(theta), problem.factors(theta))
    safe = solve_beta(done.G, problem.profile(theta).sigma, None).covariance
    turn = problem.conditioned.coefficient_turn() / problem.conditioned.unit
    return np.log(np.einsum("ij,jk,ik->i", turn, safe, turn))
