"""What a fit need not know before it is asked: effects, and standard errors.

Takes a `RemlFit`, gives its `EffectsMean` and its `Information`: both follow from where
the search ended. Whether any parameter has no standard error is said at the fit, so
they are late only where that is known without them.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal import EffectsMean
from bayeslmm.reml.criterion import ProfiledProblem, profiled_problem
from bayeslmm.reml.identified import unseen_directions
from bayeslmm.reml.information import FLAT, Information, fit_information, scaled_values
from bayeslmm.reml.optimise import Optimum

if TYPE_CHECKING:
    from bayeslmm.reml.fit import RemlFit


def is_regular(problem: ProfiledProblem, optimum: Optimum, known: bool) -> bool:
    """Whether every parameter has an SE, seen from the design and the curvature.

    `known` if the design has been seen to identify all of them.
    """
    curvature = optimum.curvature
    if not optimum.converged or curvature is None or not curvature.free.all():
        return False
    if not scaled_values(curvature).min() > FLAT:
        return False
    return (
        known
        or problem.stack is not None
        or not unseen_directions(problem.statistics, restricted=problem.restricted)
    )


def late_information(fit: "RemlFit") -> Information:
    """Uncertainty of SDs, correlations and sigma, nothing being at its boundary."""
    return fit_information(problem_of(fit), fit.design, fit.optimum, ())


def late_effects(fit: "RemlFit") -> EffectsMean:
    """Fixed effects and BLUPs with their covariances."""
    return problem_of(fit).effects(fit.optimum.theta)


class Ended(NamedTuple):
    """Where a search has ended: criterion, optimum, and the residual SD in units of y.

    All that degrees of freedom need to know of a fit.
    """

    problem: ProfiledProblem
    optimum: Optimum
    sigma: float

    @property
    def turn(self) -> Float[np.ndarray, "p p"]:
        """Fixed effects of the data by those that have covariance (X'V0^-1X)^-1."""
        conditioned = self.problem.conditioned
        return self.sigma / conditioned.unit * conditioned.coefficient_turn()


def ended_of(fit: "RemlFit") -> Ended:
    """Where the search of a fit has ended."""
    return Ended(problem_of(fit), fit.optimum, fit.sigma)


def problem_of(fit: "RemlFit") -> ProfiledProblem:
    """The criterion that a fit has minimised."""
    restricted = fit.method == "REML"
    return profiled_problem(fit.design, fit.model.conditioned, restricted=restricted)
