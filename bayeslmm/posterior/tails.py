"""What the tails of a posterior allow: whether it is proper, and which means exist.

Takes a `Target` and its `Ray`s. Along a ray the density falls as ``exp(slope t)`` and a
quantity grows as ``exp(growth t)``: its moment q exists where ``slope + q growth < 0``
for every ray. An SD on the ray grows with 1; so do a fixed effect under a flat prior
that only the levels tell of, and the effects of these levels, by their SDs given the
variance parameters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.arrays import Design
from bayeslmm.design.space import POSITIVE, Values
from bayeslmm.errors import PriorError
from bayeslmm.posterior.improper import (
    too_few_levels,
    too_few_rows,
    towards_end,
    towards_zero,
)
from bayeslmm.posterior.rays import (
    FLAT_SLOPE,
    HIGHEST,
    TAIL,
    Ray,
    tail_point,
    tail_rays,
)
from bayeslmm.posterior.target import Target

# Where it is read off on the left, as shares of `TAIL`: a density that falls falls ever
# more steeply, so one place says enough. Far out the sum of squares that a small sigma
# divides is rounding where there are many levels; near, sigma may not yet be small
# beside the effects: it is 3e-6 of the SD of y where levels start at 3e5.
LOOKED_AT = (1.0, 0.75, 0.5, 1.25)


@dataclass(frozen=True, slots=True)
class Missing:
    """Moments of a posterior that do not exist, so that nothing may print them.

    Attributes
    ----------
    mean, sd : tuple of str
        Labels of the parameters, and of the effects of levels (``Intercept|g``), that
        have no mean, or no SD; what has no mean has no SD.
    variance : tuple of str
        Labels of the SDs and correlations whose variance or covariance has no mean.
    """

    mean: tuple[str, ...] = ()
    sd: tuple[str, ...] = ()
    variance: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tails:
    """What the tails of a posterior allow.

    Attributes
    ----------
    moments : ndarray of int, shape (m,)
        Highest moment, up to the second, of the SD of each coordinate; 0 for a
        correlation, which has all.
    missing : Missing
        What follows for every quantity.
    """

    moments: Int[np.ndarray, " m"]
    missing: Missing


def effect_label(effect: str, group: str) -> str:
    """Label of an effect that varies over levels, ``Days|Subject``."""
    return f"{effect}|{group}"


def find_tails(design: Design, target: Target, set_name: str = "") -> Tails:
    """Moments that do not exist, and that the posterior does.

    Parameters
    ----------
    design : Design
        Arrays of the model.
    target : Target
        Its target.
    set_name : str, optional
        Name of the set that its priors are, for the advice of an error.

    Returns
    -------
    Tails
        Its moments, none of them missing where all means and SDs exist.

    Raises
    ------
    PriorError
        If the posterior of an SD is improper; the message names it.
    """
    rays = tail_rays(target)
    if reason := improper_reason(design, target, rays, set_name):
        raise PriorError(reason)
    moments = np.zeros(target.start.size, int)
    for i in target.space.scales:
        own = [ray for ray in rays if i in ray.scales]
        moments[i] = sum(all(r.has_mean(q) for r in own) for q in (1.0, 2.0))
    return Tails(moments, missing_moments(design, target, rays))


def missing_moments(design: Design, target: Target, rays: Sequence[Ray]) -> Missing:
    """What does not exist, given the rays."""
    found = [
        (ray, *growths(design, target, ray))
        for ray in rays
        if not ray.has_mean(HIGHEST)
    ]
    return Missing(
        mean=_lacking([(ray, own, 1.0) for ray, own, _ in found]),
        sd=_lacking([(ray, own, 2.0) for ray, own, _ in found]),
        variance=_lacking([(ray, products, 1.0) for ray, _, products in found]),
    )


def improper_reason(
    design: Design, target: Target, rays: Sequence[Ray], set_name: str
) -> str:
    """Why a posterior is improper, with what to do; empty where it is proper."""
    space = target.space
    for ray in rays:
        if ray.is_proper:
            continue
        if space.sigma in ray.scales:
            return too_few_rows(design, space, ray)
        return too_few_levels(design, space, ray, set_name)
    for i in space.scales:
        step = np.zeros(target.start.size)
        step[i] = TAIL
        if not any(_falls(target, i, -step * share) for share in LOOKED_AT):
            return towards_zero(space.coordinates[i].label)
    return _at_an_end(target)


def _at_an_end(target: Target) -> str:
    """Why the posterior of a parameter of the residuals runs off to its limit."""
    space = target.space
    known = {p.label: p for p in space.parameters if p.bounds != POSITIVE}
    for i in range(*target.residual.indices(target.start.size)):
        label, step = space.coordinates[i].label, np.zeros(target.start.size)
        for sign, end in zip((-1.0, 1.0), (-np.inf, np.inf), strict=True):
            step[i] = sign * TAIL
            falls = any(_falls(target, i, step * share) for share in LOOKED_AT)
            if label in known and not falls:
                return towards_end(label, float(known[label].natural(np.array(end))))
    return ""


def _lacking(found: list[tuple[Ray, dict[str, float], float]]) -> tuple[str, ...]:
    """Labels without a moment, given rays, growths and the moment."""
    lacking = {
        label
        for ray, growth, q in found
        for label, rate in growth.items()
        if rate and not ray.has_mean(q * rate)
    }
    return tuple(label for label in found[0][1] if label in lacking) if found else ()


def _falls(target: Target, i: int, step: Float[np.ndarray, " m"]) -> bool:
    """Whether the density falls, so many log units from the start, as one goes on."""
    logp, gradient = target(target.start + step)
    slope = float(gradient[i]) * float(np.sign(step[i]))
    return logp == -math.inf or slope < -FLAT_SLOPE


def growths(
    design: Design, target: Target, ray: Ray
) -> tuple[dict[str, float], dict[str, float]]:
    """Powers of the SDs with which quantities, and variances, grow in the end."""
    far, near = (tail_point(target, ray, back) for back in (0.0, 1.0))
    own, products = (
        {label: _power(size, before[label]) for label, size in sizes.items()}
        for sizes, before in zip(
            _log_sizes(design, target, far),
            _log_sizes(design, target, near),
            strict=True,
        )
    )
    return own, products


def _power(size: float, before: float) -> float:
    """Power of an SD that grew by e, 0 where it does not grow, or has no size."""
    if not math.isfinite(size) or not math.isfinite(before):
        return 0.0
    return max(float(np.round(size - before)), 0.0)


def _log_sizes(
    design: Design, target: Target, x: Float[np.ndarray, " m"]
) -> tuple[dict[str, float], dict[str, float]]:
    """Log of the size of every unbounded quantity at a point, and of every variance.

    That of fixed effects and of effects of levels is their SD given the point, of the
    level that has most. A covariance is at most the product of its SDs.
    """
    sds = [np.linalg.norm(root[0], axis=-1) for root in target.factors(x[None])]
    effects = target.effects(x)
    fixed = 0.5 * _log(np.diag(effects.beta_cov))
    spreads, scalars = [(sd, sd) for sd in sds], target.space.scalars(x)
    sizes, variances = {}, {}
    for p in design.space.parameters:
        if p.component == "fixef":
            sizes[p.label] = float(fixed[p.index[0]])
        elif p.component == "corr" and p.term is not None:
            variances[p.label] = float(_log(sds[p.term][list(p.index)]).sum())
        elif p.bounds == POSITIVE:
            size = float(_log(p.read(fixed, spreads, scalars)))
            sizes[p.label], variances[p.label] = size, 2.0 * size
    for term, cov in zip(design.groups, effects.b_cov, strict=True):
        most = 0.5 * _log(np.einsum("jkk->jk", cov).max(axis=0))
        for effect, size in zip(term.effects, most, strict=True):
            sizes[effect_label(effect, term.group)] = float(size)
    return sizes, variances


def _log(values: Values) -> Values:
    """Logarithms; minus infinity of what rounding made negative."""
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(values, 0.0))
