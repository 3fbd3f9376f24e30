"""The named prior sets: where every number comes from.

Takes a `Design` and a family; gives one `Prior` for each coefficient, each free SD and
sigma, and the eta of each LKJ, with its reason.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design, GroupTerm, rows_of
from bayeslmm.design.moments import ColumnMoments, column_moments
from bayeslmm.errors import PriorError
from bayeslmm.families import FAMILIES
from bayeslmm.priors.prior import Prior

# 2.5 SDs of the response per SD of the predictor: rstanarm's and bambi's multiplier.
WIDTH = 2.5
# blme's gamma(shape = 2.5, rate = 0) on an SD is improper. The rate that makes it a
# prior, in units of 1 / (SD of the effect's scale), is a heuristic: with 3 groups the
# likelihood falls as 1 / sd**2, so sd**1.5 needs a rate that is felt; 0.25 leaves the
# density at one SD of y within a factor exp(-0.25) of blme's.
BOUNDARY_SHAPE, BOUNDARY_RATE = 2.5, 0.25
# wishart(df = k + 2.5) is |R|**0.75 on the correlations: LKJ with this eta.
BOUNDARY_ETA = 1.75


@dataclass(frozen=True, slots=True)
class PriorSet:
    """Priors of a set, before a user's own replace some of them.

    ``centered``: those of unstructured terms with an intercept refer to columns less
    their means, and products to centred variables, so that they do not depend on the
    origin of a predictor.
    """

    fixed: tuple[Prior, ...]
    sd: tuple[tuple[Prior, ...], ...]
    corr_eta: tuple[float, ...]
    sigma: Prior
    corr_reason: str
    centered: bool


@dataclass(frozen=True, slots=True)
class Scales:
    """Centre and spread of the response on the scale of the linear predictor."""

    centre: float
    spread: float
    words: str


def _normal(mean: float, sd: float, reason: str) -> Prior:
    """Normal(mean, sd)."""
    return Prior("Normal", (("mu", mean), ("sigma", sd)), reason)


def _half_t(df: float, scale: float, reason: str) -> Prior:
    """HalfStudentT(df, scale)."""
    return Prior("HalfStudentT", (("nu", df), ("sigma", scale)), reason)


def linear_scales(design: Design, family: str) -> Scales:
    """Centre and spread that a linear predictor of this family can be expected to have.

    Identity links use mean and SD of the response (less its offset); log and inverse
    links the link of the mean, where a unit is a factor e or the mean itself.
    """
    net, mean = design.moments.net, float(design.moments.y.mean[0])
    link = FAMILIES[family].link
    if FAMILIES[family].logged:
        y = rows_of(design, "logarithms of the response").y
        net = column_moments(np.log(y[y > 0])[:, None])
    if link.name == "identity":
        return Scales(float(net.mean[0]), float(net.sd(1)[0]), "sd y")
    if link.name == "logit" or mean <= 0.0:
        return Scales(0.0, 1.0, f"{link.name} scale")
    value = float(link.forward(np.array(mean)))
    if link.name == "log":
        return Scales(value - _mean_offset(design), 1.0, "log scale")
    return Scales(value, value, f"{link.name} of mean y")


def _mean_offset(design: Design) -> float:
    """Mean of the offset, 0 without one."""
    return float(design.moments.y.mean[0] - design.moments.net.mean[0])


def weak_set(design: Design, family: str, centred: bool) -> PriorSet:
    """The default: weakly informative, invariant to shifting and rescaling x and y."""
    scales = linear_scales(design, family)
    eta = tuple(2.0 for _ in design.groups)
    return PriorSet(
        _weak_fixed(design, scales, centred),
        tuple(
            _weak_sd(term, design.effect_moments(t), scales)
            for t, term in enumerate(design.groups)
        ),
        eta,
        _half_t(3.0, scales.spread, scales.words),
        "mildly against correlations of +-1",
        centered=True,
    )


def _weak_fixed(design: Design, scales: Scales, centred: bool) -> tuple[Prior, ...]:
    """Normal priors of the coefficients."""
    intercept = design.intercept
    X = design.fixed_moments if centred else design.moments.X
    if intercept is None and design.products.level and centred:
        return _weak_levels(design, scales)
    if intercept is None:
        return _weak_without_intercept(design, scales)
    slopes = [j for j in range(design.p) if j != intercept]
    sd = np.zeros(design.p)
    sd[slopes] = WIDTH * scales.spread / X.sd(1)[slopes]
    priors = [
        _normal(0.0, float(sd[j]), f"{WIDTH:g} {scales.words} / sd x") for j in slopes
    ]
    width, reason = WIDTH * scales.spread, f"mean y, {WIDTH:g} {scales.words}"
    if slopes and centred:
        reason += ", at the mean of the predictors"
    elif slopes:
        # The same prior, carried from the mean of the predictors to x = 0.
        width = float(np.hypot(width, np.linalg.norm(sd * X.mean)))
        reason += ", widened to x = 0"
    priors.insert(intercept, _normal(scales.centre, width, reason))
    return tuple(priors)


def _weak_levels(design: Design, scales: Scales) -> tuple[Prior, ...]:
    """With the indicators of a factor in place of an intercept: a mean for each."""
    X, width = design.fixed_moments, WIDTH * scales.spread
    found = []
    for j in range(design.p):
        if j in design.products.level:
            reason = f"mean y, {WIDTH:g} {scales.words}"
            found.append(_normal(scales.centre, width, reason))
        else:
            reason = f"{WIDTH:g} {scales.words} / sd x"
            found.append(_normal(0.0, width / float(X.sd(1)[j]), reason))
    return tuple(found)


def _weak_without_intercept(design: Design, scales: Scales) -> tuple[Prior, ...]:
    """Without an intercept the columns must carry the level of y: root mean squares."""
    size = math.hypot(scales.centre, scales.spread)
    rms = design.moments.X.rms()
    reason = f"{WIDTH:g} rms y / rms x (no intercept)"
    return tuple(_normal(0.0, WIDTH * size / float(r), reason) for r in rms)


def effect_sds(columns: ColumnMoments) -> Float[np.ndarray, " k"]:
    """Sample SD of each varying column; 1 for a constant one such as the intercept."""
    return np.where(columns.constant, 1.0, columns.sd(1))


def _weak_sd(
    term: GroupTerm, moments: ColumnMoments, scales: Scales
) -> tuple[Prior, ...]:
    """Half-t priors of the SDs of one term."""
    columns = effect_sds(moments)
    scale = scales.spread / columns
    if term.covariance.homogeneous:
        reason = f"{scales.words}, shared by {term.k} effects"
        return (_half_t(3.0, float(scale.max()), reason),)
    return tuple(
        _half_t(
            3.0, float(s), scales.words if c == 1.0 else f"{scales.words} / sd column"
        )
        for s, c in zip(scale, columns, strict=True)
    )


def flat_set(design: Design, family: str, centred: bool) -> PriorSet:
    """Flat on everything: the mode in (SD, correlation, sigma) is REML."""
    del family, centred
    flat = Prior("HalfFlat", (), "mode is REML")
    return PriorSet(
        tuple(Prior("Flat", (), "as in REML") for _ in range(design.p)),
        tuple((flat,) * t.covariance.n_sd(t.k) for t in design.groups),
        tuple(1.0 for _ in design.groups),
        flat,
        "uniform",
        centered=True,
    )


def brms_set(design: Design, family: str, centred: bool) -> PriorSet:
    """Defaults of brms: half-t of width max(2.5, mad y), flat slopes, LKJ(1)."""
    del centred
    if design.rows is None:
        raise PriorError(
            "The set 'brms' has the median of the response and its median absolute "
            "deviation, which cannot be had from rows that are read in batches. Use "
            "'weak', which has the mean and the SD, or give priors by name."
        )
    location, scale = _brms_scale(design, family)
    fixed = [Prior("Flat", (), "brms leaves slopes flat") for _ in range(design.p)]
    if design.intercept is not None:
        args = (("nu", 3.0), ("mu", location), ("sigma", scale))
        fixed[design.intercept] = Prior(
            "StudentT", args, "median y, max(2.5, mad y); not Normal: method='joint'"
        )
    sd = _half_t(3.0, scale, "max(2.5, mad y)")
    return PriorSet(
        tuple(fixed),
        tuple((sd,) * t.covariance.n_sd(t.k) for t in design.groups),
        tuple(1.0 for _ in design.groups),
        sd,
        "uniform",
        centered=False,
    )


def _brms_scale(design: Design, family: str) -> tuple[float, float]:
    """Location of brms and scale: median and mad on the link scale, to one decimal."""
    own, y = FAMILIES[family], rows_of(design, "medians of the response").y
    if own.link.name == "logit":
        return 0.0, 2.5
    if own.link_of_mean != "identity":
        y = np.where(y == 0.0, 0.1, y)
    y = np.log(y) if own.logged else own.link.forward(y)
    median = float(np.median(y))
    mad = round(1.4826 * float(np.median(np.abs(y - median))), 1)
    return round(median, 1) - _mean_offset(design), max(2.5, mad)


def boundary_avoiding_set(design: Design, family: str, centred: bool) -> PriorSet:
    """Priors of blme: density sd**1.5 at 0, so that no mode lies on the boundary.

    blme puts wishart(df = k + 2.5) on the covariance relative to sigma**2, which is
    sd**1.5 on each SD and det(R)**0.75 on the correlations R. Here the SDs are
    absolute and the gamma has a small rate, so that there is a posterior to sample.

    References
    ----------
    .. [1] Chung et al. (2013). Psychometrika 78(4).
       https://doi.org/10.1007/s11336-013-9328-2
    """
    scales, flat = linear_scales(design, family), flat_set(design, family, centred)
    sd = []
    for t, term in enumerate(design.groups):
        scale = scales.spread / effect_sds(design.effect_moments(t))
        if term.covariance.homogeneous:
            scale = scale.max(keepdims=True)
        reason = f"zero at 0 as in blme; rate {BOUNDARY_RATE:g} / ({scales.words})"
        sd.append(
            tuple(
                Prior(
                    "Gamma",
                    (("alpha", BOUNDARY_SHAPE), ("beta", BOUNDARY_RATE / float(s))),
                    reason,
                )
                for s in scale
            )
        )
    eta = tuple(
        BOUNDARY_ETA if t.covariance.n_corr(t.k) else 1.0 for t in design.groups
    )
    sigma = Prior("HalfFlat", (), "flat in blme")
    reason = "wishart(df = k + 2.5) of blme"
    return PriorSet(flat.fixed, tuple(sd), eta, sigma, reason, centered=True)


def bambi_set(design: Design, family: str, centred: bool) -> PriorSet:
    """Bambi 0.21's own defaults; correlations, which bambi has not, get LKJ(2)."""
    del centred  # bambi's numbers do not depend on it; their meaning does
    located = family in ("gaussian", "t")
    mean = float(design.moments.y.mean[0]) if located else 0.0
    sd_y = float(design.moments.y.sd()[0]) if located else 1.0
    fixed, intercept_sd = _bambi_fixed(design, family, mean, sd_y)
    sd = []
    for term, columns in zip(design.groups, design.moments.Z, strict=True):
        values = [
            intercept_sd if effect == "Intercept" else WIDTH * sd_y / float(sd_column)
            for effect, sd_column in zip(term.effects, columns.sd(), strict=True)
        ]
        if term.covariance.homogeneous:
            values = [max(values)]
        reason = "bambi: scale of the matching common effect"
        sd.append(tuple(Prior("HalfNormal", (("sigma", v),), reason) for v in values))
    sigma = _half_t(4.0, sd_y, "bambi: sd y")
    if not located:
        sigma = Prior("HalfNormal", (("sigma", 1.0),), "bambi")
    eta = tuple(2.0 for _ in design.groups)
    reason = "bambi has no correlations; LKJ(2)"
    return PriorSet(fixed, tuple(sd), eta, sigma, reason, centered=False)


def _bambi_fixed(
    design: Design, family: str, mean: float, sd_y: float
) -> tuple[tuple[Prior, ...], float]:
    """Bambi's priors of the coefficients, and the scale it gives an intercept.

    The scale refers to raw predictors although the intercept it goes to is that of the
    centred ones; reproduced as it is.
    """
    binary = family in ("bernoulli", "binomial")
    X = rows_of(design, "shares of the levels").X if binary else np.empty((0, 0))
    sd = np.zeros(design.p)
    for variable in design.fixed:
        columns = list(variable.columns)
        if variable.name != "Intercept":
            sd[columns] = (
                _bambi_binary_sd(X[:, columns], bool(variable.coords))
                if binary
                else WIDTH * sd_y / design.moments.X.sd()[columns]
            )
    centre = float(np.linalg.norm(sd * design.moments.X.mean))
    width = math.hypot(WIDTH * sd_y, centre)
    own = (0.0, 1.5) if binary else (mean, width)
    priors = tuple(
        _normal(*own, "bambi: 2.5 sd y, widened by the slopes")
        if j == design.intercept
        else _normal(0.0, float(sd[j]), "bambi: 2.5 sd y / sd x")
        for j in range(design.p)
    )
    return priors, width


def _bambi_binary_sd(
    block: Float[np.ndarray, "n c"], categorical: bool
) -> Float[np.ndarray, " c"]:
    """Bambi's slope scales for a binary response: 1 for indicators, else 1 / sd x."""
    if categorical and np.isin(block, (0.0, 1.0)).all():
        return np.ones(block.shape[1])
    column = block.sum(axis=1) if categorical else block
    return np.broadcast_to(1.0 / column.std(axis=0), block.shape[1]).copy()


SETS: MappingProxyType[str, Callable[[Design, str, bool], PriorSet]] = MappingProxyType(
    {
        "weak": weak_set,
        "flat": flat_set,
        "bambi": bambi_set,
        "brms": brms_set,
        "boundary-avoiding": boundary_avoiding_set,
    }
)
NAMED_SETS: tuple[str, ...] = tuple(SETS)
