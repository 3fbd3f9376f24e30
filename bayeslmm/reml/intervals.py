"""Intervals by profile likelihood and by parametric bootstrap, and profile curves.

Takes a `RemlFit`, gives tables indexed by its labels, with sentences about what was
done below them.
"""

import math
import warnings
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.space import SIGMA, Parameter
from bayeslmm.errors import (
    FitWarning,
    ModelError,
    check_fraction,
    is_choice,
)
from bayeslmm.reml.boot import bootstrap, percentiles
from bayeslmm.reml.curves import Profile, rising
from bayeslmm.reml.held import (
    HeldCorrelation,
    HeldResidual,
    HeldShared,
    HeldSigma,
    held_effect,
)
from bayeslmm.reml.late import problem_of
from bayeslmm.reml.profiled import DevianceProfile, sd_profile
from bayeslmm.reml.tables import estimates, estimates_of
from bayeslmm.reml.turned import flat_theta, turned_problem
from bayeslmm.tables import Table
from bayeslmm.tables.both import label_index

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.reml.fit import RemlFit

# Chance outside the curves of `profile_table`, as lme4's alphamax.
FARTHEST_ALPHA = 0.01
FIXED_BY_ML = (
    "Fixed effects: profile of the ML criterion; the REML criterion has none of them, "
    "for they are integrated out."
)


def profile_intervals(
    fit: "RemlFit",
    prob: float,
    criterion: str | None,
    shown: tuple[Parameter, ...] | None = None,
) -> "pd.DataFrame":
    """Profile-likelihood limits of every parameter, or of some."""
    check_fraction(prob, "prob")
    fall = NormalDist().inv_cdf(0.5 + prob / 2) ** 2
    shown, profiles, notes = _profiles(fit, criterion, shown)
    bounds = [
        (math.nan, math.nan) if one is None else one.limits(fall) for one in profiles
    ]
    for parameter, one, pair in zip(shown, profiles, bounds, strict=True):
        if one is None:
            continue
        for word, value, edge in zip(
            ("lower", "upper"), pair, one.held.edges, strict=True
        ):
            if math.isfinite(edge) and value == one.scale * edge:
                notes.append(
                    f"{parameter.label}: the {word} limit is the end of what it can "
                    f"be; the likelihood does not fall far enough before."
                )
    lower, upper = np.array(bounds).T
    return _table({"lower": lower, "upper": upper}, shown, notes)


def profile_curves(
    fit: "RemlFit", criterion: str | None, shown: tuple[Parameter, ...] | None = None
) -> Profile:
    """Profile curves of all parameters or some, long by parameter."""
    import pandas as pd

    shown, profiles, notes = _profiles(fit, criterion, shown)
    most = NormalDist().inv_cdf(1.0 - FARTHEST_ALPHA / 2.0)
    parts, edges = [], {}
    for parameter, one in zip(shown, profiles, strict=True):
        if one is not None:
            values, zeta = rising(*one.curve(most))
            index = pd.Index([parameter.label] * len(zeta), name="label")
            parts.append(pd.DataFrame({"value": values, "zeta": zeta}, index=index))
            low, high = one.held.edges
            edges[parameter.label] = (one.scale * low, one.scale * high)
    table = Table(pd.concat(parts))
    table.attrs["notes"] = tuple(notes)
    method = fit.method if criterion is None else criterion
    return Profile(table, "ML" if method == "ML" else "REML", edges, fit.design)


def profile_falls(
    fit: "RemlFit", values: Float[np.ndarray, " d"]
) -> Float[np.ndarray, " d"]:
    """How far the profile of each parameter has fallen at a value of it.

    A value is inside the profile interval of probability `prob` where the fall is at
    most the quantile of chi-square with one degree of freedom: one search, where the
    limits take many.

    Parameters
    ----------
    fit : RemlFit
        A fit.
    values : ndarray, shape (d,)
        One value of each parameter, in the order of ``design.space``, its own units.

    Returns
    -------
    ndarray, shape (d,)
        Fall of twice the log likelihood, at least 0; NaN without a profile.
    """
    profiles = _profiles(fit, None)[1]
    falls = [
        math.nan if one is None else max(one.fall_at(float(value) / one.scale), 0.0)
        for one, value in zip(profiles, values, strict=True)
    ]
    return np.array(falls)


def boot_intervals(
    fit: "RemlFit",
    prob: float,
    nsim: object,
    seed: int | np.random.Generator | None,
    n_jobs: object,
    progress: object,
) -> "pd.DataFrame":
    """Percentiles of the estimates of simulated responses."""
    check_fraction(prob, "prob")
    found = bootstrap(fit, nsim, seed, n_jobs, progress)
    draws = [
        estimates_of(fit.design, end.beta, end.factors, end.sigma, end.theta)
        for end in found.ends
    ]
    lower, upper = percentiles(np.array(draws), prob)
    columns = {"lower": lower, "upper": upper}
    return _table(columns, fit.design.space.parameters, [*found.notes])


def _table(
    columns: dict[str, Float[np.ndarray, " d"]],
    shown: tuple[Parameter, ...],
    notes: list[str],
) -> Table:
    """Columns by label, with sentences."""
    table = Table(columns, index=label_index(shown))
    table.attrs["notes"] = tuple(notes)
    return table


def _profiles(
    fit: "RemlFit", criterion: str | None, shown: tuple[Parameter, ...] | None = None
) -> tuple[tuple[Parameter, ...], list[DevianceProfile | None], list[str]]:
    """Every parameter with its profile, None where there is none; what is said."""
    if criterion is not None and not is_choice(criterion, ("REML", "ML")):
        raise ModelError(
            f"Unknown criterion={criterion!r}. Options: 'REML', 'ML', or None for the "
            f"fit's own."
        )
    method = criterion or fit.method
    everything = fit.design.space.parameters
    shown, own = everything if shown is None else shown, _by(fit, method)
    notes = [f"Profile of the {method} criterion."]
    fixed = any(p.component == "fixef" for p in shown)
    by_ml = _by(fit, "ML") if fixed else own
    if method == "REML" and fixed:
        notes.append(FIXED_BY_ML)
    found, values = [], dict(zip(everything, estimates(own).tolist(), strict=True))
    for parameter in shown:
        if parameter.component == "fixef":
            found.append(_of_effect(by_ml, parameter))
        else:
            found.append(scale_profile(own, parameter, values[parameter]))
        if found[-1] is None:
            notes.append(f"{parameter.label}: no profile; the bootstrap has limits.")
    return shown, found, notes


def _by(fit: "RemlFit", method: str) -> "RemlFit":
    """The fit by a criterion."""
    if fit.method == method:
        return fit
    from bayeslmm.reml.estimate import fit_reml

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return fit_reml(fit.model, method="ML" if method == "ML" else "REML", start=fit)


def _of_effect(fit: "RemlFit", parameter: Parameter) -> DevianceProfile | None:
    """Profile of a fixed effect."""
    column = parameter.index[0]
    se, problem = math.sqrt(fit.beta_cov[column, column]), problem_of(fit)
    if not se > 0.0 or parameter.label in fit.information.reasons:
        return None
    relative = tuple(factor / fit.sigma for factor in fit.factors)
    best = flat_theta(problem, relative, fit.theta)
    estimate = float(fit.beta[column]) / se
    return DevianceProfile(held_effect(problem, column, se), 1.0, best, estimate)


def scale_profile(
    fit: "RemlFit", parameter: Parameter, value: float
) -> DevianceProfile | None:
    """Profile of an SD, a correlation or sigma at its estimate; None without one."""
    problem = problem_of(fit)
    relative = tuple(factor / fit.sigma for factor in fit.factors)
    if parameter.component == "sd" and parameter.term is not None:
        effect = parameter.index[0]
        return sd_profile(problem, relative, fit.theta, parameter.term, effect)
    best = flat_theta(problem, relative, fit.theta)
    if parameter.term is None and parameter != SIGMA:
        at = problem.space.place(parameter.label)
        assert at is not None, "it has a coordinate"
        held = HeldResidual(problem, at, parameter)
        return DevianceProfile(held, 1.0, best, float(best[at]))
    if parameter.component == "sigma":
        unit = problem.conditioned.unit
        held, at = HeldSigma(problem), math.log(fit.sigma / unit)
        return DevianceProfile(held, unit, best, at)
    t = parameter.term
    if t is None or not math.isfinite(value):
        return None
    block = problem.blocks[t]
    places = np.arange(problem.m)[block.where]
    inside = min(max(value, -1.0 + 1e-9), 1.0 - 1e-9)
    if block.structure.unstructured:
        pair = np.eye(block.k)[list(parameter.index)]
        found = turned_problem(problem, relative, fit.theta, t, pair)
        corner = (int(places[0]), int(places[1]), int(places[block.k]))
        held = HeldCorrelation(found.problem, corner, found.lead)
        return DevianceProfile(held, 1.0, found.best, math.atanh(inside))
    if abs(parameter.index[0] - parameter.index[1]) > 1:
        return None  # a longer lag: its range depends on those before
    first = places[-block.structure.n_corr(block.k)]
    edges = (block.structure.low(block.k) + 1e-9, 1.0 - 1e-9)
    middle, half = 0.5 * (edges[0] + edges[1]), 0.5 * (edges[1] - edges[0])
    at = math.atanh(min(max((value - middle) / half, -1.0 + 1e-9), 1.0 - 1e-9))
    return DevianceProfile(HeldShared(problem, int(first), t, edges), 1.0, best, at)
