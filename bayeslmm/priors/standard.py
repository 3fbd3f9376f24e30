"""The priors of an SD that are argued about, each in the scale of the data.

Takes the priors of a model and its `Design`; gives `Priors` by name in which only the
SDs of the random effects have another prior, and the defaults of bambi, brms and blme,
in which all have. The scale s of an SD is that of the default set: the SD of y over
that of the column.

References
----------
.. [1] Gelman (2006). Bayesian Anal. 1(3). https://doi.org/10.1214/06-BA117A
.. [2] Simpson et al. (2017). Stat. Sci. 32(1). https://doi.org/10.1214/16-STS576
.. [3] Chung et al. (2013). Psychometrika 78(4).
   https://doi.org/10.1007/s11336-013-9328-2
"""

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

from bayeslmm.design.arrays import Design
from bayeslmm.priors.make import make_priors
from bayeslmm.priors.prior import Prior, Priors
from bayeslmm.priors.scale import ROOT_INVERSE_GAMMA
from bayeslmm.priors.sets import effect_sds, linear_scales

# BUGS's default of a variance, whose weight near 0 Gelman warns of.
VAGUE = 0.001
# What the priors of a fit are called beside them.
FITTED = "as fitted"


def _inverse_gamma(s: float) -> Prior:
    """InverseGamma(0.001, 0.001 s**2) of the variance."""
    return Prior(ROOT_INVERSE_GAMMA, (("alpha", VAGUE), ("beta", VAGUE * s * s)))


OF_SDS: MappingProxyType[str, Callable[[float], Prior]] = MappingProxyType(
    {
        "half-normal": lambda s: Prior("HalfNormal", (("sigma", s),)),
        "half-t": lambda s: Prior("HalfStudentT", (("nu", 3.0), ("sigma", s))),
        "half-Cauchy": lambda s: Prior("HalfCauchy", (("beta", s),)),
        "exponential (PC)": lambda s: Prior("Exponential", (("lam", 1.0 / s),)),
        "gamma(2)": lambda s: Prior("Gamma", (("alpha", 2.0), ("beta", 1.0 / s))),
        "inverse-gamma": _inverse_gamma,
        "uniform on sd": lambda _: Prior("HalfFlat"),
        "uniform on variance": lambda _: Prior("FlatVariance"),
        "uniform on log sd": lambda _: Prior("FlatLog"),
    }
)
SETS_BY_NAME = MappingProxyType(
    {"bambi": "bambi", "brms": "brms", "blme": "boundary-avoiding"}
)
STANDARD: tuple[str, ...] = (*OF_SDS, *SETS_BY_NAME)
_WORDS = {
    "HalfFlat": "uniform on sd",
    "Flat": "uniform on sd",
    "FlatVariance": "uniform on the variance",
    "FlatLog": "uniform on log sd",
    ROOT_INVERSE_GAMMA: "InverseGamma({alpha:.3g}, {beta:.3g}) on the variance",
}


def standard_priors(name: str, priors: Priors, design: Design) -> Priors:
    """The priors of a model with those of its SDs, or all, replaced by standard ones.

    Parameters
    ----------
    name : str
        One of `STANDARD`.
    priors : Priors
        Those of the model, whose references stay.
    design : Design
        Arrays of the model.

    Returns
    -------
    Priors
        The scale of each SD is the SD of y over that of its column.

    Raises
    ------
    PriorError
        If the set needs rows that are not in memory (brms).
    """
    if name in SETS_BY_NAME:
        return make_priors(
            SETS_BY_NAME[name],
            design,
            center_predictors=priors.center_predictors,
            family=priors.family,
        )
    spread = linear_scales(design, priors.family).spread
    found = []
    for t, term in enumerate(design.groups):
        scales = (spread / effect_sds(design.effect_moments(t))).tolist()
        if term.covariance.homogeneous:
            scales = [max(scales)]
        found.append(tuple(OF_SDS[name](s) for s in scales))
    return replace(priors, name=name, sd=tuple(found))


def prior_words(prior: Prior) -> str:
    """A prior for a table, those without PyMC's name in words."""
    words = _WORDS.get(prior.name)
    return str(prior) if words is None else words.format(**prior.arguments)
