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
from bayeslmm.design.space import Parameter
from bayeslmm.errors import ModelError, is_choice, shortened, warn_user
from bayeslmm.marginal.conditioning import reproduces
from bayeslmm.reml.criterion import ProfiledProblem, profiled_problem, sd_positions
from bayeslmm.reml.expense import (
    EXACT_EVALUATIONS,
    REML_EVALUATIONS,
    say_if_long,
)
from bayeslmm.reml.fit import RemlFit
from bayeslmm.reml.information import ARBITRARY, NOT_IDENTIFIED, fit_information
from bayeslmm.reml.late import is_regular
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


def fit_reml(
    model: ModelSpec, *, method: Method = "REML", start: RemlFit | None = None
) -> RemlFit:
    """Fit a model by restricted or full maximum likelihood.

    Use it for lme4's estimates; the posterior is `Model.sample`.

    Parameters
    ----------
    model : Model
        A Gaussian model.
    method : {"REML", "ML"}, default "REML"
        Integrate the fixed effects out over a flat prior, or maximise over them too.
    start : RemlFit, optional
        A fit of a model with the same random terms, where the search starts: several
        times faster if the responses are alike. Where the estimate is at the boundary
        the usual starts are tried as well.

    Returns
    -------
    RemlFit
        Estimates, standard errors, BLUPs, and how the search ended.

    Raises
    ------
    ModelError
        If the family is not Gaussian, the method is unknown, `start` is of another
        model, or no residual variance is left.

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
    _check_start(model, start)
    design = model.design
    restricted = method == "REML"
    problem = profiled_problem(design, model.conditioned, restricted=restricted)
    what = f"{method} of {problem.m} variance and {design.p} fixed parameters"
    exact = problem.has_exact_curvature
    say_if_long(
        problem, EXACT_EVALUATIONS if exact else REML_EVALUATIONS * problem.m, what
    )
    optimum = minimise(problem, None if start is None else start.optimum)
    profile, conditioned = problem.profile(optimum.theta), problem.conditioned
    sigma = conditioned.unit * profile.sigma
    if not _collapsed(optimum):
        _check_residual(model, sigma)
    relative = problem.data_factors(optimum.theta)
    factors = tuple(sigma * factor for factor in relative)
    boundary = boundary_parameters(design, factors)
    found, reasons = {}, {}
    regular = not boundary and is_regular(
        problem, optimum, _known(model, method, start)
    )
    if not regular or problem.statistics.in_steps:  # dear to do again
        found = {
            "information": fit_information(problem, design, optimum, boundary),
            "effects": problem.effects(optimum.theta),
        }
        reasons = found["information"].reasons
    status = _status(design, method, problem, optimum, factors, boundary, reasons)
    unknown = NOT_IDENTIFIED in reasons.values()
    if status.singular or unknown or not status.converged:
        warn_user(status.message)
    return RemlFit(
        model=model,
        method=method,
        theta=(
            *relative_theta(relative, design),
            *([optimum.theta[problem.residual]] if problem.stack is not None else []),
        ),
        factors=factors,
        sigma=sigma,
        beta=conditioned.coefficients(profile.beta),
        criterion=profile.criterion
        + conditioned.criterion_shift(restricted=restricted),
        status=status,
        optimum=optimum,
        regular=regular,
        found=found,
    )


def _known(model: ModelSpec, method: Method, start: RemlFit | None) -> bool:
    """Whether a fit of the same rows has shown that their design identifies all."""
    rows = model.design.rows
    known = start and start.model.design.rows
    if start is None or rows is None or known is None or known.X is not rows.X:
        return False
    return start.method == method and start.regular


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


def _check_start(model: ModelSpec, start: object) -> None:
    """Raise `ModelError` if a search for this model cannot start where that ended."""
    if start is None:
        return
    if not isinstance(start, RemlFit):
        raise ModelError(
            f"start must be what fit_reml() gives, of a model with the same random "
            f"terms, not {shortened(start)} ({type(start).__name__})."
        )
    own, other = (
        [(term.label, term.effects, term.structure) for term in m.design.groups]
        for m in (model, start.model)
    )
    if own != other:
        raise ModelError(
            f"start is a fit of {start.model.formula.text!r}, whose random terms are "
            f"not those of {model.formula.text!r}, and so its estimates say nothing of "
            f"where to search. Leave start out."
        )


def _check_residual(model: ModelSpec, sigma: float) -> None:
    """Raise `ModelError` if nothing but rounding is left of the response."""
    design = model.design
    collapsed = not sigma > ROUNDING * model.conditioned.residual_sd  # also NaN
    if not (collapsed or reproduces(design, model.conditioned)):
        return
    if design.rows is not None:
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
    at_edge: tuple[Parameter, ...],
    reasons: dict[str, str],
) -> FitStatus:
    """How the search ended, with its sentence."""
    boundary = tuple(p for p in at_edge if reasons.get(p.label) != NOT_IDENTIFIED)
    smallest = _smallest_pivot(problem, optimum.theta)
    if not optimum.converged:
        message = _failure_message(method, problem, optimum)
    elif boundary:
        edge = boundary_message(design, factors, boundary)
        message = " ".join([edge, *_unknown(reasons)])
    elif smallest < SINGULAR and not _unknown(reasons):
        message = (
            f"The covariance of the random effects is nearly singular: the smallest SD "
            f"is {smallest:.1e} of the residual one."
        )
    else:
        found = f"The {method} criterion is at its minimum."
        message = " ".join([found, *_unknown(reasons)])
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
    pivots = [float(theta[at]) for b in problem.blocks for at in sd_positions(b)]
    return min(pivots, default=math.inf)


def _unknown(reasons: dict[str, str]) -> list[str]:
    """What is said of parameters that the data do not identify."""
    labels = [label for label, reason in reasons.items() if reason == NOT_IDENTIFIED]
    if not labels:
        return []
    named, one = ", ".join(labels), len(labels) == 1
    return [
        f"{named} {'is' if one else 'are'} not identified: other values of "
        f"{'it' if one else 'them'} have the same criterion, because the fixed effects "
        f"or other random effects do the same. The {'value' if one else 'values'} "
        f"shown {'is' if one else 'are'} arbitrary. {_loose(reasons)}Leave out the "
        f"term or what repeats it."
    ]


def _loose(reasons: dict[str, str]) -> str:
    """What is said of the fixed effects whose SE is arbitrary too."""
    loose = [key for key, why in reasons.items() if why == ARBITRARY]
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
