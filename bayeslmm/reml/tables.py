"""Estimates -> tables: the DataFrames of a `RemlFit`."""

from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design, check_terms
from bayeslmm.design.residual import RATIO, RHO
from bayeslmm.design.space import SIGMA, Parameter
from bayeslmm.errors import ModelError, check_fraction, is_choice
from bayeslmm.reml.centred import centred_factors, is_at_mean
from bayeslmm.reml.chosen import Levels, chosen_levels
from bayeslmm.reml.effect_tests import effect_errors, t_columns
from bayeslmm.reml.late import problem_of
from bayeslmm.reml.profiled import sd_profile
from bayeslmm.reml.status import read_parameters
from bayeslmm.tables import Table, square_table
from bayeslmm.tables.both import (
    label_index,
    level_table,
    variance_table,
)

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.reml.fit import RemlFit

# SE of log sd beyond which a Wald interval on that scale means nothing: at 95% its ends
# would be a factor of 4 and more away.
NEAR_ZERO = 0.75


def estimates(fit: "RemlFit") -> Float[np.ndarray, " d"]:
    """Estimate of every parameter, in the order of the tables."""
    theta = fit.optimum.theta
    return estimates_of(fit.design, fit.beta, fit.factors, fit.sigma, theta)


def estimates_of(
    design: Design,
    beta: Float[np.ndarray, " p"],
    factors: tuple[Float[np.ndarray, "_k _k"], ...],
    sigma: float,
    theta: Float[np.ndarray, " m"],
) -> Float[np.ndarray, " d"]:
    """The same from where a search ended."""
    space = design.space
    scalars = {**space.profiled.scalars(theta), SIGMA.label: sigma}
    return read_parameters(design, space.parameters, factors, scalars, beta)


def summary_table(fit: "RemlFit", prob: float, ddf: object) -> "pd.DataFrame":
    """Every parameter: component, estimate, se, df, t, p, lower, upper."""
    check_fraction(prob, "prob")
    space = fit.design.space
    shown, rest = space.parameters, space.variances
    fixed = _fixed_columns(fit, ddf, prob)
    values = estimates(fit)[-len(rest) :]
    spreads = np.sqrt(np.diag(fit.information.covariance))
    z = NormalDist().inv_cdf(0.5 + prob / 2)
    bounds = [
        _profile(fit, parameter, z)
        if parameter.component == "sd" and spread > NEAR_ZERO
        else _wald(parameter, value, z * spread)
        for parameter, value, spread in zip(rest, values, spreads, strict=True)
    ]
    lower, upper = np.array(bounds).T
    others = {"estimate": values, "se": fit.information.se}
    others |= {"lower": lower, "upper": upper}
    nothing = np.full(len(rest), np.nan)
    return Table(
        {
            "component": [parameter.component for parameter in shown],
            **{
                name: np.append(column, others.get(name, nothing))
                for name, column in fixed.items()
            },
        },
        index=label_index(shown),
    )


def fixef_table(fit: "RemlFit", ddf: object) -> "pd.DataFrame":
    """Fixed effects: estimate, se, df, t, p."""
    return fixef_tests(fit, ddf, 0.95)[["estimate", "se", "df", "t", "p"]]


def fixef_tests(fit: "RemlFit", ddf: object, prob: float) -> "pd.DataFrame":
    """Fixed effects: estimate, se, df, t, p, lower, upper."""
    shown = fit.design.space.fixed
    return Table(_fixed_columns(fit, ddf, prob), index=label_index(shown))


def _fixed_columns(
    fit: "RemlFit", ddf: object, prob: float
) -> dict[str, Float[np.ndarray, " p"]]:
    """Tests of the fixed effects in the order of the tables."""
    order = [p.index[0] for p in fit.design.space.fixed]
    se, df = effect_errors(fit, ddf)
    return t_columns(fit.beta[order], se[order], df[order], prob)


def vcov_table(fit: "RemlFit") -> "pd.DataFrame":
    """Covariance of the fixed effects; NaN where they have no SE."""
    shown = fit.design.space.fixed
    order = [p.index[0] for p in shown]
    covariance = fit.beta_cov[np.ix_(order, order)].copy()
    loose = np.isnan(_fixed_se(fit))
    covariance[loose] = covariance[:, loose] = np.nan
    return square_table([p.label for p in shown], covariance)


def _fixed_se(fit: "RemlFit") -> Float[np.ndarray, " p"]:
    """SEs of the fixed effects; NaN where they go with what is not identified."""
    shown = fit.design.space.fixed
    se = np.sqrt(np.diag(fit.beta_cov))[[p.index[0] for p in shown]]
    loose = [p.label in fit.information.reasons for p in shown]
    return np.where(loose, np.nan, se)


def varcorr_table(fit: "RemlFit", at: str) -> "pd.DataFrame":
    """SDs, correlations and sigma with their variances and covariances."""
    if is_at_mean(at):
        fit = replace(fit, factors=centred_factors(fit.design, fit.factors))
    shown = fit.design.space.variances
    values = estimates(fit)[-len(shown) :]
    moments = [
        _second_moment(fit, parameter, float(value))
        for parameter, value in zip(shown, values, strict=True)
    ]
    numbers = {"estimate": values, "variance": np.array(moments)}
    return variance_table(fit.design, shown, numbers)


def ranef_table(
    fit: "RemlFit", condvar: str, levels: Levels | None = None
) -> "pd.DataFrame":
    """BLUPs, long by group, level and effect."""
    import pandas as pd

    options = {"given_beta": fit.effects.b_cov_given_beta, "joint": fit.effects.b_cov}
    if not is_choice(condvar, options):
        raise ModelError(
            f"Unknown condvar={condvar!r}. Options: 'given_beta' (beta taken as known, "
            f"as in lme4), 'joint'."
        )
    parts = []
    check_terms(fit.design, "random effects")
    chosen = chosen_levels(fit.design, levels)
    for term, own, b, cov in zip(
        fit.design.groups, chosen, fit.effects.b, options[condvar], strict=True
    ):
        at = list(own)
        names = [term.levels[i] for i in at]
        # rounding may leave -1e-18 where the variance is 0
        sd = np.sqrt(np.maximum(np.einsum("jkk->jk", cov[at]), 0.0))
        numbers = {"estimate": b[at].ravel(), "sd": sd.ravel()}
        parts.append(level_table(term.group, names, term.effects, numbers))
    return pd.concat(parts, ignore_index=True)


def coef_table(fit: "RemlFit") -> "pd.DataFrame":
    """Fixed effects plus BLUPs, long by group, level and effect."""
    import pandas as pd

    design = fit.design
    check_terms(design, "coefficients of levels")
    parts = []
    for group in dict.fromkeys(term.group for term in design.groups):
        terms = [t for t, term in enumerate(design.groups) if term.group == group]
        levels = design.groups[terms[0]].levels
        columns = {
            name: np.full(len(levels), value)
            for name, value in zip(design.fixed_names, fit.beta, strict=True)
        }
        for t in terms:
            for i, effect in enumerate(design.groups[t].effects):
                common = columns.get(effect, np.zeros(len(levels)))
                columns[effect] = common + fit.effects.b[t][:, i]
        values = np.column_stack(list(columns.values()))
        numbers = {"estimate": values.ravel()}
        parts.append(level_table(group, levels, tuple(columns), numbers))
    return pd.concat(parts, ignore_index=True)


def _wald(parameter: Parameter, value: float, reach: float) -> tuple[float, float]:
    """Interval of half-width `reach` on the working scale of an SD or correlation."""
    if not np.isfinite(reach):
        return np.nan, np.nan
    centre = parameter.working(value)
    return (
        float(parameter.natural(centre - reach)),
        float(parameter.natural(centre + reach)),
    )


def _profile(fit: "RemlFit", parameter: Parameter, z: float) -> tuple[float, float]:
    """Profile-likelihood interval of an SD; NaN where it cannot be had quickly."""
    if fit.model.conditioned.statistics.in_steps:
        return np.nan, np.nan
    at = (parameter.label, z)
    if at not in fit.profiled:
        fit.profiled[at] = _profile_limits(fit, parameter, z)
    return fit.profiled[at]


def _profile_limits(
    fit: "RemlFit", parameter: Parameter, z: float
) -> tuple[float, float]:
    """The same, searched."""
    assert parameter.term is not None, "an SD belongs to a term"
    relative = tuple(factor / fit.sigma for factor in fit.factors)
    t, effect = parameter.term, parameter.index[0]
    return sd_profile(problem_of(fit), relative, fit.theta, t, effect).limits(z**2)


def _second_moment(fit: "RemlFit", parameter: Parameter, value: float) -> float:
    """Variance or covariance of a row of `varcorr_table`."""
    if parameter.label == RHO and parameter.term is None:
        return value * fit.sigma**2  # of two rows of the first stratum
    if parameter.variable == RATIO and parameter.term is None:
        return (value * fit.sigma) ** 2  # of a row of that stratum
    if parameter.component != "corr" or parameter.term is None:
        return value**2
    factor = fit.factors[parameter.term]
    row, column = parameter.index
    return float(factor[row] @ factor[column])
