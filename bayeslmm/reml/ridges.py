"""What the restricted likelihood looks like where a fit is singular.

Takes a `RemlFit`; gives for each parameter on its boundary the rise of the criterion
along it (`Slope`), and for a correlation of 1 or -1 over the SD and the correlation
together (`Plane`), everything else at its best.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.space import Parameter
from bayeslmm.reml.curves import rising
from bayeslmm.reml.held import HeldPair
from bayeslmm.reml.intervals import scale_profile
from bayeslmm.reml.late import problem_of
from bayeslmm.reml.profiled import DevianceProfile, combination_profile
from bayeslmm.reml.status import sd_corr
from bayeslmm.reml.turned import turned_problem

if TYPE_CHECKING:
    from bayeslmm.reml.fit import RemlFit

# Fall of twice the log likelihood at the ends of 95% intervals of one parameter, and of
# regions of two.
FALL_95, REGION_95 = 3.841, 5.991
# zeta up to which a curve goes: the 99% interval.
FARTHEST = 2.576
# Points of a plane, of SDs and of correlations.
PLANE = (11, 13)
# SDs of a combination of effects below this share of the largest SD are 0.
NO_SD = 1e-8


@dataclass(frozen=True, slots=True)
class Slope:
    """The criterion along one parameter.

    Attributes
    ----------
    term : int
        Number of the bar term.
    label : str
        The parameter, or the combination of effects whose SD it is.
    values : ndarray, shape (s,)
        Its values, units of the data.
    rise : ndarray, shape (s,)
        How much higher the criterion is there than at the fit.
    lower, upper : float
        The 95% profile interval; the ends of what it can be where that is all.
    estimate : float
        The fit's.
    weights : ndarray, shape (k,), or None
        The combination, where it is one.
    """

    term: int
    label: str
    values: Float[np.ndarray, " s"]
    rise: Float[np.ndarray, " s"]
    lower: float
    upper: float
    estimate: float
    weights: Float[np.ndarray, " k"] | None = None


@dataclass(frozen=True, slots=True)
class Plane:
    """The criterion over an SD and a correlation.

    Attributes
    ----------
    term : int
        Number of the bar term.
    sd, corr : str
        Labels of both.
    sds, corrs : ndarray
        Their values on the grid.
    rise : ndarray, shape (corrs, sds)
        How much higher the criterion is there.
    """

    term: int
    sd: str
    corr: str
    sds: Float[np.ndarray, " s"]
    corrs: Float[np.ndarray, " c"]
    rise: Float[np.ndarray, "c s"]


def slopes_at(fit: "RemlFit") -> tuple[Slope, ...]:
    """The criterion along every parameter on the boundary; of lost ranks too."""
    known = {p.label: p for p in fit.design.space.parameters}
    found, estimates = [], fit.varcorr()["estimate"]
    for label in fit.status.boundary:
        value = float(estimates[label])
        one = scale_profile(fit, known[label], value)
        lost = known[label].component == "corr" and abs(value) < 1.0
        term = known[label].term
        if one is None or term is None or (lost and _is_full(fit, term)):
            continue
        found.append(_slope(one, term, label, value))
    return (*found, *(_combination(fit, t) for t in _lost_ranks(fit)))


def _slope(
    one: DevianceProfile,
    term: int,
    label: str,
    estimate: float,
    weights: Float[np.ndarray, " k"] | None = None,
) -> Slope:
    """The curve of a profile."""
    values, zeta = rising(*one.curve(FARTHEST))
    lower, upper = one.limits(FALL_95)
    return Slope(term, label, values, np.square(zeta), lower, upper, estimate, weights)


def _is_full(fit: "RemlFit", t: int) -> bool:
    """Whether a term has a correlation for each pair."""
    return fit.design.groups[t].covariance.unstructured


def _lost_ranks(fit: "RemlFit") -> list[int]:
    """Unstructured terms that are singular though no SD is 0 and no correlation 1."""
    found = []
    for t, (term, factor) in enumerate(
        zip(fit.design.groups, fit.factors, strict=True)
    ):
        sd, corr = sd_corr(term, factor)
        lost = term.covariance.unstructured and (np.diag(factor) == 0.0).any()
        off = np.abs(corr[np.tril_indices(term.k, -1)])
        if lost and (sd > 0.0).all() and (off < 1.0).all():
            found.append(t)
    return found


def null_weights(factor: Float[np.ndarray, "k k"]) -> Float[np.ndarray, " k"]:
    """The combination of effects of length 1 that does not vary."""
    vectors, _, _ = np.linalg.svd(factor)
    weights = vectors[:, -1]
    return weights * np.sign(weights[np.abs(weights).argmax()])


def _combination(fit: "RemlFit", t: int) -> Slope:
    """The SD of a combination of the effects of a term."""
    term, weights = fit.design.groups[t], null_weights(fit.factors[t])
    relative = tuple(factor / fit.sigma for factor in fit.factors)
    one = combination_profile(problem_of(fit), relative, fit.theta, t, weights[None, :])
    parts = [f"{w:+.2f} {e}" for w, e in zip(weights, term.effects, strict=True)]
    label = f"the SD of {' '.join(parts)} of {term.group}"
    return _slope(one, t, label, 0.0, weights)


def planes_at(fit: "RemlFit") -> tuple[Plane, ...]:
    """The criterion over SD and correlation, for terms with a correlation of +-1."""
    found = []
    for t, term in enumerate(fit.design.groups):
        own = {p.index: p for p in fit.design.space.corrs(t)}
        _, corr = sd_corr(term, fit.factors[t])
        edge = [
            pair
            for pair in own
            if len(pair) == 2 and abs(corr[pair]) == 1.0 and pair[0] != pair[1]
        ]
        if term.covariance.unstructured and edge:
            found.append(_plane(fit, t, own[edge[0]]))
    return tuple(found)


def _plane(fit: "RemlFit", t: int, parameter: Parameter) -> Plane:
    """The criterion over the SD of the second effect of a pair, and its correlation."""
    term, (row, column) = fit.design.groups[t], parameter.index
    intercept = term.effects.index("Intercept") if "Intercept" in term.effects else -1
    held, free = (row, column) if column == intercept else (column, row)
    if held == intercept:
        held, free = free, held
    sd = next(p for p in fit.design.space.sds(t) if p.index == (held,))
    problem = problem_of(fit)
    relative = tuple(factor / fit.sigma for factor in fit.factors)
    turned = turned_problem(
        problem, relative, fit.theta, t, np.eye(term.k)[[held, free]]
    )
    places = np.arange(problem.m)[problem.blocks[t].where]
    corner = (int(places[0]), int(places[1]), int(places[term.k]))
    scale = problem.conditioned.unit * float(turned.lead[0, 0])
    own, _ = sd_corr(term, fit.factors[t])
    one = scale_profile(fit, sd, float(own[held]))
    assert one is not None, "an SD has a profile"
    most = one.limits(REGION_95)[1]
    sds = np.linspace(0.0, min(most, 50.0 * own[held]), PLANE[0])
    corrs = np.sin(np.linspace(-0.5 * np.pi, 0.5 * np.pi, PLANE[1]))  # more at the ends
    rise = []
    for value in corrs.tolist():
        pair = HeldPair(turned.problem, corner, turned.lead, value)
        profile = DevianceProfile(pair, scale, turned.best, 0.0)
        rise.append(profile.falls_along((sds / scale).tolist()))
    return Plane(t, sd.label, parameter.label, sds, corrs, np.array(rise))
