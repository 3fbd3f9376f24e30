"""REML and ML: from a model to its point estimate.

Takes a `Model`, gives a `RemlFit`. The profiled criterion is minimised over the
relative covariance parameters; sigma, the fixed effects and the BLUPs follow in closed
form.
"""

import math
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.errors import ModelError, is_choice, warn_user
from bayeslmm.marginal import profiled_criterion
from bayeslmm.marginal.conditioning import reproduces
from bayeslmm.reml.criterion import ProfiledProblem, profiled_problem, sd_positions
from bayeslmm.reml.expense import REML_EVALUATIONS, say_if_long
from bayeslmm.reml.fit import RemlFit
from bayeslmm.reml.information import (
    ARBITRARY,
    NOT_IDENTIFIED,
    Information,
    fit_information,
)
from bayeslmm.reml.optimise import MAX_THETA, Optimum, minimise
from bayeslmm.reml.status import (
    FitStatus,
    boundary_message,
    boundary_parameters,
    sd_corr,
)
from bayeslmm.spec import ModelSpec

Method = Literal["REML", "ML"]
# lme4's tolerance of isSingular, for relative SDs of columns with mean square 1.
SINGULAR = 1e-4
# A residual SD below this share of what the fixed effects leave is rounding.
ROUNDING = 1e-12
# Fixed effects without an SE that a sentence names.
MOST_NAMED = 4


def fit_reml(model: ModelSpec, *, method: Method = "REML") -> RemlFit:
    """Fit a model by restricted or full maximum likelihood.

    Use it for lme4's estimates; the posterior is `Model.sample`.

    Parameters
    ----------
    model : Model
        A Gaussian model.
    method : {"REML", "ML"}, default "REML"
        Integrate the fixed effects out over a flat prior, or maximise over them too.

    Returns
    -------
    RemlFit
        Estimates, standard errors, BLUPs, and how the search ended.

    Raises
    ------
    ModelError
        If the family is not Gaussian, the method is unknown, or no residual variance is
        left.

    Warns
    -----
    FitWarning
        Once, if the fit is singular or did not converge; ``fit.status`` has the same
        sentence.

    References
    ----------
    .. [1] Bates et al. (2015). J. Stat. Softw. 67(1). https://doi.org/10.18637/jss.v067.i01
    """
    _check(model, method)
    design = model.design
    restricted = method == "REML"
    problem = profiled_problem(design, model.conditioned, restricted=restricted)
    theta = problem.start()
    say_if_long(
        problem.statistics,
        theta.size,
        lambda: problem(theta),
        REML_EVALUATIONS * theta.size,
        f"{method} of {theta.size} variance and {design.p} fixed parameters",
    )
    optimum = minimise(problem)
    safe = problem.factors(optimum.theta)
    profile = profiled_criterion(
        problem.statistics, safe, restricted=problem.restricted
    )
    if not _collapsed(optimum):
        _check_residual(model, problem.conditioned.unit * profile.sigma)
    conditioned = problem.conditioned
    relative = problem.data_factors(optimum.theta)
    sigma = conditioned.unit * profile.sigma
    factors = tuple(sigma * factor for factor in relative)
    boundary = boundary_parameters(design, factors)
    information = fit_information(problem, design, optimum, boundary)
    status = _status(design, method, problem, optimum, factors, information)
    unknown = NOT_IDENTIFIED in information.reasons.values()
    if status.singular or unknown or not status.converged:
        warn_user(status.message)
    return RemlFit(
        model=model,
        method=method,
        theta=relative_theta(relative, design),
        factors=factors,
        sigma=sigma,
        criterion=profile.criterion
        + conditioned.criterion_shift(restricted=problem.restricted),
        effects=conditioned.effects(
            tuple(profile.sigma * factor for factor in safe), profile.sigma
        ),
        information=information,
        status=status,
    )


def relative_theta(
    relative: tuple[Float[np.ndarray, "_k _k"], ...], design: Design
) -> tuple[Float[np.ndarray, " _m"], ...]:
    """lme4's theta of each term from its relative factor.

    The lower triangle by columns if unstructured; else relative SDs, then the free
    correlations.
    """
    found = []
    for term, factor in zip(design.groups, relative, strict=True):
        own = term.covariance
        if own.unstructured:
            found.append(factor.T[np.triu_indices(term.k)])
            continue
        sd, corr = sd_corr(term, factor)
        free = [corr[pair] for pair in own.correlations.pairs(term.k)]
        found.append(np.append(sd[: own.n_sd(term.k)], free))
    return tuple(found)


def _check(model: ModelSpec, method: str) -> None:
    """Raise `ModelError` for another family or an unknown method."""
    if not is_choice(method, get_args(Method)):
        raise ModelError(f"Unknown method {method!r}. Methods: 'REML', 'ML'.")
    if model.family != "gaussian":
        raise ModelError(
            f"{method} is defined here for family 'gaussian', and this model has "
            f"{model.family!r}. Use model.sample(method='joint'), or lme4's glmer."
        )


def _check_residual(model: ModelSpec, sigma: float) -> None:
    """Raise `ModelError` if nothing but rounding is left of the response."""
    design = model.design
    collapsed = not sigma > ROUNDING * model.conditioned.residual_sd  # also NaN
    if not (collapsed or reproduces(design, model.conditioned)):
        return
    if design.in_memory:
        raise ModelError(
            f"'{model.formula.text}' leaves no residual variance in {design.n} rows of "
            f"{design.response!r}: the predictors reproduce every response. Leave out "
            f"terms, or check whether the response was computed from them."
        )
    raise ModelError(
        f"'{model.formula.text}' leaves next to nothing of {design.response!r} in "
        f"{design.n} rows that were read in batches, which their sums of squares "
        f"cannot tell from 0. If the predictors reproduce the response, leave out "
        f"terms; if not, fit the model to a data frame in memory."
    )


def _status(
    design: Design,
    method: Method,
    problem: ProfiledProblem,
    optimum: Optimum,
    factors: tuple[Float[np.ndarray, "_k _k"], ...],
    information: Information,
) -> FitStatus:
    """How the search ended, with its sentence."""
    boundary = tuple(
        parameter
        for parameter in boundary_parameters(design, factors)
        if information.reasons.get(parameter.label) != NOT_IDENTIFIED
    )
    smallest = _smallest_pivot(problem, optimum.theta)
    if not optimum.converged:
        message = _failure_message(method, problem, optimum)
    elif boundary:
        edge = boundary_message(design, factors, boundary)
        message = " ".join([edge, *_unknown(information)])
    elif smallest < SINGULAR and not _unknown(information):
        message = (
            f"The covariance of the random effects is nearly singular: the smallest SD "
            f"is {smallest:.1e} of the residual one."
        )
    else:
        message = _success_message(method, information)
    return FitStatus(
        converged=optimum.converged,
        singular=bool(boundary) or smallest < SINGULAR,
        message=message,
        boundary=tuple(parameter.label for parameter in boundary),
        n_evaluations=problem.calls["evaluations"],
        gradient_norm=float(np.abs(optimum.gradient).max()),
    )


def _collapsed(optimum: Optimum) -> bool:
    """Whether sigma went to 0 beside the random effects."""
    return math.isfinite(optimum.criterion) and bool(
        np.abs(optimum.theta).max() >= MAX_THETA
    )


def _smallest_pivot(problem: ProfiledProblem, theta: Float[np.ndarray, " m"]) -> float:
    """Smallest relative SD or pivot of any term, in scaled columns."""
    return min(float(theta[at]) for b in problem.blocks for at in sd_positions(b))


def _success_message(method: Method, information: Information) -> str:
    """That the minimum was found, and whether it is one point."""
    found = f"The {method} criterion is at its minimum."
    return " ".join([found, *_unknown(information)])


def _unknown(information: Information) -> list[str]:
    """What is said of parameters that the data do not identify."""
    labels = [
        label
        for label, reason in information.reasons.items()
        if reason == NOT_IDENTIFIED
    ]
    if not labels:
        return []
    named, one = ", ".join(labels), len(labels) == 1
    return [
        f"{named} {'is' if one else 'are'} not identified: other values of "
        f"{'it' if one else 'them'} have the same criterion, because the fixed effects "
        f"or other random effects do the same. The {'value' if one else 'values'} "
        f"shown {'is' if one else 'are'} arbitrary. {_loose(information)}Leave out the "
        f"term or what repeats it."
    ]


def _loose(information: Information) -> str:
    """What is said of the fixed effects whose SE is arbitrary too."""
    loose = [key for key, why in information.reasons.items() if why == ARBITRARY]
    if not loose:
        return ""
    named, more = ", ".join(loose[:MOST_NAMED]), len(loose) - MOST_NAMED
    rest = f" and {more} more" if more > 0 else ""
    return f"Standard errors that would depend on that are left out: {named}{rest}. "


def _failure_message(method: Method, problem: ProfiledProblem, optimum: Optimum) -> str:
    """Why the lowest point found is no minimum, and what to try."""
    evaluations = problem.calls["evaluations"]
    if _collapsed(optimum):
        return (
            f"The {method} fit did not converge: the residual SD goes to 0 beside the "
            f"random effects, which reproduce every response. A grouping factor with "
            f"one row per level, or rows that repeat each other, does this; leave out "
            f"that term or aggregate the rows."
        )
    return (
        f"The {method} fit did not converge: after {evaluations} evaluations the "
        f"gradient of the criterion is still {np.abs(optimum.gradient).max():.1e}. The "
        f"estimates are the lowest point found and may be wrong; leave out random "
        f"effects, or look at the posterior."
    )
