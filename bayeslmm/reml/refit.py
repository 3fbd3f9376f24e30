"""Estimates of many responses of the same rows, and nothing beside them.

Takes a fit, gives a `Refitter`: what bootstrap, power and simulation-based checks call
thousands of times. The search is that of `fit_reml`, its checks of the boundary
included; no model, sentences or tables are made.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from bayeslmm.design.another import answer_design
from bayeslmm.marginal.conditioning import reproduces
from bayeslmm.marginal.responding import Responder
from bayeslmm.reml.criterion import ProfiledProblem
from bayeslmm.reml.fit import RemlFit
from bayeslmm.reml.late import problem_of
from bayeslmm.reml.optimise import minimise


@dataclass(frozen=True, slots=True)
class Refitted:
    """Estimates of one response.

    Attributes
    ----------
    beta : ndarray, shape (p,)
        Fixed effects, units of y per unit of the columns of X.
    factors : tuple of ndarray, shape (k_t, k_t)
        Cholesky factors of the covariances of each bar term, units of y.
    sigma : float
        Residual SD, units of y.
    theta : ndarray, shape (m,)
        Where the search ended, safe coordinates.
    criterion : float
        Minus twice the maximised (restricted) log likelihood.
    converged : bool
        Whether the search ended at a minimum.
    """

    beta: Float[np.ndarray, " p"]
    factors: tuple[Float[np.ndarray, "_k _k"], ...]
    sigma: float
    theta: Float[np.ndarray, " m"]
    criterion: float
    converged: bool


@dataclass(frozen=True, slots=True)
class Refitter:
    """Gives the estimates of any response of the rows of a fit.

    Attributes
    ----------
    fit : RemlFit
        Where the searches start.
    responder : Responder
        What does not depend on y.
    problem : ProfiledProblem
        The criterion of the fit.
    """

    fit: RemlFit
    responder: Responder
    problem: ProfiledProblem

    def __call__(self, y: Float[np.ndarray, " n"]) -> Refitted:
        """Estimates of a response.

        Parameters
        ----------
        y : ndarray, shape (n,)
            Response of the rows used, units of y.

        Returns
        -------
        Refitted
            As `fit_reml` finds them; not converged if the predictors reproduce every
            response, which `fit_reml` refuses.

        Raises
        ------
        DataError
            If y is no response of these rows.
        """
        design = answer_design(self.fit.design, y)
        conditioned = self.responder.respond(design)
        problem = replace(
            self.problem, conditioned=conditioned.unmoved(), calls=Counter()
        )
        optimum = minimise(problem, self.fit.optimum)
        profile = problem.profile(optimum.theta)
        sigma = conditioned.unit * profile.sigma
        relative = problem.data_factors(optimum.theta)
        return Refitted(
            beta=conditioned.coefficients(profile.beta),
            factors=tuple(sigma * factor for factor in relative),
            sigma=sigma,
            theta=optimum.theta,
            criterion=profile.criterion
            + conditioned.criterion_shift(restricted=problem.restricted),
            converged=optimum.converged and not reproduces(design, conditioned),
        )


def make_refitter(fit: RemlFit) -> Refitter:
    """What refits a fit, for many responses.

    Parameters
    ----------
    fit : RemlFit
        A fit whose rows are in memory.

    Returns
    -------
    Refitter
        Call it with a response.

    Raises
    ------
    DataError
        If the rows were read in batches.
    """
    return Refitter(fit, fit.model.responder(), problem_of(fit))
