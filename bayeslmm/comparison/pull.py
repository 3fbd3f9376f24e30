"""How hard each prior pulls at the REML estimate, before any draw is made."""

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayeslmm.covariance import factor_to_sd_corr
from bayeslmm.design.arrays import GroupTerm
from bayeslmm.design.space import POSITIVE, Parameter
from bayeslmm.errors import PriorError
from bayeslmm.priors import Priors, beta_prior, scale_logp, stretched_logp

if TYPE_CHECKING:
    from bayeslmm.reml.fit import RemlFit

# Step of the differences, in shares of an SD.
STEP = 1e-5


def prior_pull(reml: "RemlFit", priors: Priors) -> pd.Series:
    """Shift that the priors ask of each REML estimate, to first order, in REML SEs.

    Use it to see what a prior does apart from what averaging does. The log likelihood
    is taken as quadratic with the curvature of the SE; one Newton step then moves an
    estimate by (slope of its log prior) times SE squared. Each parameter is taken
    alone, but fixed effects together.

    Parameters
    ----------
    reml : RemlFit
        Fit by REML or ML.
    priors : Priors
        Priors of the same model.

    Returns
    -------
    Series
        By label, unit-free. NaN where there is no SE (boundary), or where the prior of
        the fixed effects is not Normal.
    """
    estimates = reml.summary()
    fixed = _fixed_pull(reml, priors)
    found = {}
    for parameter in reml.model.space.parameters:
        estimate = float(estimates["estimate"][parameter.label])
        se = float(estimates["se"][parameter.label])
        if parameter.component == "fixef":
            found[parameter.label] = fixed[parameter.index[0]]
        elif _is_moved(priors, parameter):
            found[parameter.label] = _moved_slope(reml, priors, parameter) * se
        elif parameter.component == "corr":
            found[parameter.label] = _corr_slope(reml, priors, parameter) * se
        else:
            found[parameter.label] = _scale_slope(priors, parameter, estimate) * se
    return pd.Series(found, dtype=float, name="prior_pull")


def _is_moved(priors: Priors, parameter: Parameter) -> bool:
    """Whether the prior of an SD or correlation refers to columns less their means."""
    return parameter.term is not None and priors.centered[parameter.term]


def _moved_slope(reml: "RemlFit", priors: Priors, parameter: Parameter) -> float:
    """Slope of a term's log prior in one SD or correlation at x = 0, by differences."""
    t = parameter.term
    assert t is not None, "SDs and correlations belong to a term"
    sd, corr = factor_to_sd_corr(reml.factors[t])
    if not np.isfinite(corr).all() or np.linalg.cond(corr) > 1e12:
        return float("nan")
    is_sd = parameter.component == "sd"
    step = STEP * (
        sd[parameter.index[0]] if is_sd else 1.0 - corr[parameter.index] ** 2
    )
    ends = []
    for move in (step, -step):
        sds, corrs = sd.copy(), corr.copy()
        if is_sd:
            sds[parameter.index[0]] += move
        else:
            corrs[parameter.index] += move
            corrs[parameter.index[::-1]] += move
        ends.append(_stated_density(priors, t, corrs * np.outer(sds, sds)))
    return float((ends[0] - ends[1]) / (2.0 * step))


def _stated_density(
    priors: Priors, t: int, covariance: Float[np.ndarray, "k k"]
) -> float:
    """Log prior density of the SDs and correlations that the priors refer to."""
    turn = priors.reference[t]
    assert turn is not None, "only for terms whose columns are moved"
    inverse = np.linalg.inv(turn)
    try:
        factor = np.linalg.cholesky(inverse @ covariance @ inverse.T)
    except np.linalg.LinAlgError:
        return float("nan")
    sd, corr = factor_to_sd_corr(factor)
    value = (priors.corr_eta[t] - 1.0) * float(np.linalg.slogdet(corr)[1])
    for prior, own in zip(priors.sd[t], sd.tolist(), strict=True):
        value += scale_logp(prior)(math.log(own))[0] - math.log(own)
    return value


def _fixed_pull(reml: "RemlFit", priors: Priors) -> np.ndarray:
    """Shift of the fixed effects under their Normal prior, shape (p,), in SEs."""
    se = np.sqrt(np.diag(reml.beta_cov))
    try:
        prior = beta_prior(priors, reml.model.design)
    except PriorError:  # not Normal: nothing in closed form
        return np.full(len(se), np.nan)
    if prior is None:
        return np.zeros(len(se))
    return reml.beta_cov @ prior.precision @ (prior.mean - reml.beta) / se


def _scale_slope(priors: Priors, parameter: Parameter, estimate: float) -> float:
    """Slope of the log prior density of an SD at its estimate."""
    if not estimate > max(parameter.bounds[0], -np.inf):
        return float("nan")
    prior = priors.of(parameter)
    if prior.is_flat:
        return 0.0
    if parameter.bounds != POSITIVE:  # a correlation of residuals
        slope = stretched_logp(prior)(float(parameter.working(estimate)))[1]
        low, high = parameter.bounds
        away = 2.0 * estimate - low - high  # less the Jacobian of the scaled atanh
        return (slope + 2.0 * away / (high - low)) / float(parameter.slope(estimate))
    slope_in_log = scale_logp(prior)(float(np.log(estimate)))[1]
    return (slope_in_log - 1.0) / estimate  # less the Jacobian of the log


def _corr_slope(reml: "RemlFit", priors: Priors, parameter: Parameter) -> float:
    """Slope of the log prior density of the correlations of a term in one of them."""
    assert parameter.term is not None
    eta = priors.corr_eta[parameter.term]
    term = reml.model.design.groups[parameter.term]
    corr = factor_to_sd_corr(reml.factors[parameter.term])[1]
    if not term.covariance.unstructured:
        return _shared_slope(term, corr, eta, parameter.index)
    if eta == 1.0:
        return 0.0
    if not np.isfinite(corr).all() or np.linalg.cond(corr) > 1e12:
        return float("nan")
    return float(2.0 * (eta - 1.0) * np.linalg.inv(corr)[parameter.index])


def _shared_slope(
    term: GroupTerm,
    corr: Float[np.ndarray, "k k"],
    eta: float,
    index: tuple[int, ...],
) -> float:
    """The same where pairs share correlations, by differences; NaN at an end."""
    own, k = term.covariance, term.k
    values = own.read(corr)
    if own.at_edge(values, k, STEP).any():
        return float("nan")
    row, column = index
    at = own.correlations.pairs(k).index((row, column))
    step = STEP * float(np.prod(np.sin(own.angles(values, k)) ** 2))
    move = step * (np.arange(len(values)) == at)
    ends = [own.corr_density(values + side * move, k, eta) for side in (1.0, -1.0)]
    return (ends[0] - ends[1]) / (2.0 * step)
