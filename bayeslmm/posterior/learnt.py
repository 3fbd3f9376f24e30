"""How much of a posterior is the data's: contraction, overlap with the prior, levels.

Takes `ComponentCurves` and `WeightedPoints`; gives the share of the prior's spread that
is gone, the share of the posterior that lies under the prior, and to how many levels,
seen without error, the data of a grouping factor amount.
"""

import math

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.posterior.components import Component
from bayeslmm.posterior.densities import ComponentCurves
from bayeslmm.posterior.lines import WorkingDensity, normalised
from bayeslmm.posterior.weighted import WeightedPoints
from bayeslmm.reml.centred import centred_factors

# How far beyond the posterior a prior is looked at, on the working scale, at so many
# values; and how far from 1 its area may be for a prior that is proper.
REACH, LOOKED_AT, AREA = 45.0, 4001, 0.02


def proper_prior(curves: ComponentCurves) -> WorkingDensity | None:
    """The prior of a component as a density; None if it has none, or a flat one."""
    nodes = curves.posterior.nodes
    wide = np.linspace(nodes[0] - REACH, nodes[-1] + REACH, LOOKED_AT)
    log_density = curves.prior(wide)
    if np.isnan(log_density).any():
        return None
    with np.errstate(over="ignore"):
        area = float(np.trapezoid(np.exp(log_density), wide))
    return normalised(wide, log_density) if abs(area - 1.0) < AREA else None


def contraction(curves: ComponentCurves, prior: WorkingDensity | None) -> float:
    """1 less posterior over prior variance, of the log of an SD, the atanh of a corr.

    0 where the data have said nothing of the spread, 1 where the prior says nothing
    beside them; below 0 where the data have made a value less certain. NaN without a
    proper prior.

    References
    ----------
    .. [1] Schad, Betancourt and Vasishth (2021). Toward a principled Bayesian workflow
       in cognitive science. Psychol. Methods 26(1).
       https://doi.org/10.1037/met0000275
    """
    if prior is None:
        return math.nan
    return 1.0 - (curves.posterior.mean_sd()[1] / prior.mean_sd()[1]) ** 2


def overlap(curves: ComponentCurves, prior: WorkingDensity | None) -> float:
    """Share of the posterior that lies under the prior: area below both densities.

    The same on any scale of the component. Garrett and Zeger take a parameter for
    weakly identified from .35 on. NaN without a proper prior.

    References
    ----------
    .. [1] Garrett and Zeger (2000). Latent class model diagnosis. Biometrics 56(4).
       https://doi.org/10.1111/j.0006-341X.2000.01055.x
    """
    if prior is None:
        return math.nan
    values = curves.posterior.fine()
    both = np.minimum(curves.posterior.log_at(values), curves.prior(values))
    return float(min(np.trapezoid(np.exp(both), values), 1.0))


def effective_levels(
    design: Design, points: WeightedPoints, component: Component
) -> float:
    """Levels seen without error that would tell as much of an SD; NaN of other kinds.

    With ``reliability_j = 1 - var(b_j | y) / sd**2``, at the posterior medians of the
    coordinates, the information on the log of the SD is
    ``2 sum(reliability_j**2)``: J levels whose effects are known have 2 J.

    References
    ----------
    .. [1] Gelman and Pardoe (2006). Bayesian measures of explained variance and pooling
       in multilevel models. Technometrics 48(2).
       https://doi.org/10.1198/004017005000000517
    """
    parameter = component.parameter
    if parameter is None or parameter.component != "sd" or parameter.term is None:
        return math.nan
    t, effect = parameter.term, parameter.index[0]
    x = middle(points)
    roots = [root[0] for root in points.target.factors(x[None])]
    left = points.target.effects(x).b_cov_given_beta[t]
    if component.at_mean:
        nothing = [np.eye(term.k) for term in design.groups]
        inverse = centred_factors(design, nothing)[t]
        roots[t] = inverse @ roots[t]
        left = inverse @ left @ inverse.T
    variance = float(roots[t][effect] @ roots[t][effect])
    reliability = np.clip(1.0 - left[:, effect, effect] / variance, 0.0, 1.0)
    return float(np.square(reliability).sum())


def middle(points: WeightedPoints) -> Float[np.ndarray, " m"]:
    """Posterior median of each coordinate."""
    found = np.empty(points.x.shape[1])
    for i, own in enumerate(points.x.T):
        order = np.argsort(own)
        total = np.cumsum(points.weights[order])
        at = int(np.searchsorted(total, 0.5 * total[-1]))
        found[i] = own[order[min(at, len(order) - 1)]]
    return found
