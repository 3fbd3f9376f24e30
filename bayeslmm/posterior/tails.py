"""What the tails of a posterior allow: whether it is proper, and which means exist.

Takes a `Target`. Far out the density of the log of an SD falls as ``exp(slope t)``,
with a limit that does not depend on the other coordinates, and a quantity grows as
``exp(growth t)``: its moment q exists where ``slope + q growth < 0`` for every SD. The
SD itself grows with 1; so do a fixed effect under a flat prior that only the levels
tell of, and the effects of these levels, by their SDs given the variance parameters.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from bayeslmm.design.arrays import Design
from bayeslmm.design.space import POSITIVE, Values
from bayeslmm.errors import PriorError
from bayeslmm.posterior.target import Target

# Where the limits of the tails are read off: a factor exp(12), 160,000, in an SD; the
# slope is then within exp(-24) of its limit.
TAIL = 12.0
# Where it is read off on the left, as shares of that: a density that falls falls ever
# more steeply, so one place says enough. Far out the sum of squares that a small sigma
# divides is rounding where there are many levels; near, sigma may not yet be small
# beside the effects: it is 3e-6 of the SD of y where levels start at 3e5.
LOOKED_AT = (1.0, 0.75, 0.5, 1.25)
# Slopes this close to a whole number are taken as it: rounding of the likelihood at
# such ratios.
FLAT_SLOPE = 0.05


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


def find_tails(design: Design, target: Target) -> Tails:
    """Moments that do not exist, and that the posterior does.

    Parameters
    ----------
    design : Design
        Arrays of the model.
    target : Target
        Its target.

    Returns
    -------
    Tails
        Its moments, none of them missing where all means and SDs exist.

    Raises
    ------
    PriorError
        If the posterior of an SD is improper; the message names it.
    """
    slopes = _right_slopes(target)
    moments = np.zeros(target.start.size, int)
    for i in target.space.scales:
        moments[i] = sum(_exists(slopes[i], q) for q in (1.0, 2.0))
    growths = [
        (slopes[i], *_growth(design, target, i))
        for i in target.space.scales
        if moments[i] < 2
    ]
    missing = Missing(
        mean=_lacking([(slope, own, 1.0) for slope, own, _ in growths]),
        sd=_lacking([(slope, own, 2.0) for slope, own, _ in growths]),
        variance=_lacking([(slope, products, 1.0) for slope, _, products in growths]),
    )
    return Tails(moments, missing)


def rows_without(
    target: Target,
    X: Float[np.ndarray, "m p"],
    unseen: Sequence[Float[np.ndarray, "m _k"] | None],
) -> tuple[Bool[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
    """Whether predictions of rows have no mean, and whether they have no SD.

    Parameters
    ----------
    target : Target
        Target of the model.
    X : ndarray, shape (m, p)
        Fixed columns of the rows.
    unseen : sequence of ndarray, shape (m, k_t), or None
        Columns of each bar term where the level of a row was not in the data, NaN where
        it was; None for predictions without its effects.

    Returns
    -------
    tuple of ndarray of bool, shape (m,)
        What is said of a level that was in the data is never without them: its rows
        tell of the sum of fixed and random effects.
    """
    slopes = _right_slopes(target)
    without = np.zeros((2, len(X)), bool)
    for t in range(len(target.terms)):
        Z = unseen[t]
        rows = np.ones(len(X), bool) if Z is None else np.isfinite(Z).all(axis=1)
        sds = target.space.scales_of(t)
        for i in range(sds.start, sds.stop):
            if _exists(slopes[i], 2.0) or not rows.any():
                continue
            far, near = (
                _log_row_sizes(target, _tail_point(target, i, back), X, t, Z)
                for back in (0.0, 1.0)
            )
            growth = np.maximum(np.round(np.nan_to_num(far - near)), 0.0)
            for q in (1, 2):
                without[q - 1] |= rows & (slopes[i] + q * growth >= -FLAT_SLOPE)
    return without[0], without[1]


def _log_row_sizes(
    target: Target,
    x: Float[np.ndarray, " m"],
    X: Float[np.ndarray, "n p"],
    t: int,
    Z: Float[np.ndarray, "n k"] | None,
) -> Float[np.ndarray, " n"]:
    """Log SD of X beta, and of the effects of a new level of term t, at a point."""
    cov = target.effects(x).beta_cov
    variance = np.einsum("np,pq,nq->n", X, cov, X)
    if Z is not None:
        variance += np.square(Z @ target.factors(x[None])[t][0]).sum(axis=1)
    return 0.5 * _log(variance)


def _lacking(growths: list[tuple[float, dict[str, float], float]]) -> tuple[str, ...]:
    """Labels without a moment, given slopes, growths and the moment."""
    found = {
        label
        for slope, growth, q in growths
        for label, rate in growth.items()
        if not _exists(slope, q * rate)
    }
    return tuple(label for label in growths[0][1] if label in found) if growths else ()


def _exists(slope: float, power: float) -> bool:
    """Whether a quantity that grows with this power of an SD has a finite mean."""
    return slope + power < -FLAT_SLOPE


def _right_slopes(target: Target) -> dict[int, float]:
    """Slope of the log density far to the right, of the log of each SD."""
    slopes = {}
    for i in target.space.scales:
        step = np.zeros(target.start.size)
        step[i] = TAIL
        right = _slope(target, i, step)
        if not right < -FLAT_SLOPE:
            raise PriorError(_improper_right(target.space.coordinates[i].label))
        if not any(_falls_left(target, i, step * share) for share in LOOKED_AT):
            raise PriorError(_improper_left(target.space.coordinates[i].label))
        slopes[i] = right
    return slopes


def _falls_left(target: Target, i: int, step: Float[np.ndarray, " m"]) -> bool:
    """Whether the density falls towards 0 so many log units below the start."""
    return -_slope(target, i, -step) < -FLAT_SLOPE


def _slope(target: Target, i: int, step: Float[np.ndarray, " m"]) -> float:
    """Slope in coordinate i a step from the start; falling without end at density 0."""
    logp, gradient = target(target.start + step)
    return float(gradient[i] if logp > -math.inf else -math.inf * step[i])


def _growth(
    design: Design, target: Target, i: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Powers of one SD with which quantities, and variances, grow in the end."""
    far, near = (_tail_point(target, i, back) for back in (0.0, 1.0))
    own, products = (
        {label: _power(size, before[label]) for label, size in sizes.items()}
        for sizes, before in zip(
            _log_sizes(design, target, far),
            _log_sizes(design, target, near),
            strict=True,
        )
    )
    return own, products


def _tail_point(target: Target, i: int, back: float) -> Float[np.ndarray, " m"]:
    """A point in the tail of one SD, some log units nearer than the farthest."""
    point = target.start.copy()
    point[i] += TAIL - back
    return point


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


def _improper_right(label: str) -> str:
    """Message for an SD whose density does not fall at infinity."""
    if label == "sigma":
        return (
            "The posterior of 'sigma' is improper: its density does not fall as sigma "
            "grows, because there are too few rows for its flat prior. Give sigma a "
            "proper prior, for example priors='weak'."
        )
    return (
        f"The posterior of {label!r} is improper: its density does not fall as the SD "
        "grows. With a flat prior on an SD, a term needs at least 3 levels (one more "
        "for every fixed effect that is constant within them). Give the SD a proper "
        "prior, for example priors='weak'."
    )


def _improper_left(label: str) -> str:
    """Message for an SD whose density does not fall towards zero."""
    cause = (
        "the model reproduces the response exactly, as with one row per combination of "
        "levels or a constant response within them"
        if label == "sigma"
        else "its prior puts infinite weight near 0"
    )
    return (
        f"The posterior of {label!r} is improper: its density runs off towards 0, "
        f"because {cause}. Use a prior with a finite density at 0, or drop the term "
        "that cannot be told from the residual."
    )
