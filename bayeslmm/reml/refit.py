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
from bayeslmm.design.arrays import Design
from bayeslmm.marginal import Profile
from bayeslmm.marginal.conditioning import condition, reproduces
from bayeslmm.marginal.responding import Responder, make_responder
from bayeslmm.reml.criterion import ProfiledProblem, profiled_problem
from bayeslmm.reml.fit import RemlFit
from bayeslmm.reml.late import Ended, problem_of
from bayeslmm.reml.optimise import Optimum, minimise


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
    residual : ndarray, shape (r,)
        Ratios and rho of structured residuals.
    """

    beta: Float[np.ndarray, " p"]
    factors: tuple[Float[np.ndarray, "_k _k"], ...]
    sigma: float
    theta: Float[np.ndarray, " m"]
    criterion: float
    converged: bool
    residual: Float[np.ndarray, " r"]


@dataclass(frozen=True, slots=True)
class Refitter:
    """Gives the estimates of any response of some rows.

    Attributes
    ----------
    design : Design
        The rows, with any response.
    responder : Responder
        What does not depend on y.
    problem : ProfiledProblem
        The criterion, of any response.
    near : Optimum or None
        Where the searches start.
    """

    design: Design
    responder: Responder
    problem: ProfiledProblem
    near: Optimum | None

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
        ended, profile = self.search(y)
        conditioned, restricted = ended.problem.conditioned, ended.problem.restricted
        relative = ended.problem.data_factors(ended.optimum.theta)
        shift = conditioned.criterion_shift(restricted=restricted)
        return Refitted(
            beta=conditioned.coefficients(profile.beta),
            factors=tuple(ended.sigma * factor for factor in relative),
            sigma=ended.sigma,
            theta=ended.optimum.theta,
            criterion=profile.criterion + shift,
            converged=ended.optimum.converged,
            residual=self._residual(ended),
        )

    def _residual(self, ended: Ended) -> Float[np.ndarray, " r"]:
        """Ratios and rho where a search ended."""
        own = ended.optimum.theta[ended.problem.residual]
        return self.design.residual.natural(own) if self.design.residual else own

    def search(self, y: Float[np.ndarray, " n"]) -> tuple[Ended, Profile]:
        """Where the search of a response ends, and the profile there."""
        design = answer_design(self.design, y)
        conditioned = self.responder.respond(design)
        problem = replace(
            self.problem, conditioned=conditioned.unmoved(), calls=Counter()
        )
        optimum = minimise(problem, self.near)
        if reproduces(design, conditioned):
            optimum = replace(optimum, converged=False)
        profile = problem.profile(optimum.theta)
        return Ended(problem, optimum, conditioned.unit * profile.sigma), profile

    def warmed(self, y: Float[np.ndarray, " n"]) -> "Refitter":
        """The same, its searches starting where that of a response ends."""
        return replace(self, near=self.search(y)[0].optimum)


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
    responder = fit.model.responder()
    return Refitter(fit.design, responder, problem_of(fit), fit.optimum)


def design_refitter(design: Design, *, restricted: bool) -> Refitter:
    """What fits a design to many responses, without a model or a first fit."""
    conditioned = condition(design)
    problem = profiled_problem(design, conditioned, restricted=restricted)
    return Refitter(design, make_responder(design, conditioned), problem, None)
