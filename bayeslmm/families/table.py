"""The families by name."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from scipy.special import expit, logit

from bayeslmm.errors import ModelError, is_choice, nearest_names
from bayeslmm.families import densities, spread
from bayeslmm.families.family import Array, Family, Link, Support

IDENTITY = Link("identity", lambda mu: mu, lambda eta: eta)
LOG = Link("log", np.log, np.exp)
LOGIT = Link("logit", logit, expit)
INVERSE = Link("inverse", np.reciprocal, np.reciprocal)
INVERSE_SQUARED = Link("inverse_squared", lambda mu: mu**-2.0, lambda eta: eta**-0.5)

BINARY = Support("0 and 1", lambda y: ~np.isin(y, (0.0, 1.0)))
UNIT = Support(
    "numbers between 0 and 1, both excluded", lambda y: (y <= 0.0) | (y >= 1.0)
)
ANGLES = Support("angles from -pi to pi", lambda y: np.abs(y) > np.pi)
COUNTS = Support("whole numbers of at least 0", lambda y: (y < 0.0) | (y % 1.0 != 0.0))
POSITIVE = Support("numbers above 0", lambda y: y <= 0.0)
NOT_NEGATIVE = Support("numbers of at least 0", lambda y: y < 0.0)


def _truncated_poisson(mu: Array) -> Array:
    """Mean of a Poisson count that is not 0; 1 in the limit of mu = 0."""
    return np.where(mu > 0.0, mu / -np.expm1(-np.maximum(mu, 1e-300)), 1.0)


def _truncated_negativebinomial(mu: Array, alpha: Array) -> Array:
    """Mean of a negative binomial count that is not 0; 1 in the limit of mu = 0."""
    zero = -alpha * np.log1p(mu / alpha)  # log probability of 0
    return np.where(mu > 0.0, mu / -np.expm1(np.minimum(zero, -1e-300)), 1.0)


# psi is the probability of what is not an extra zero.
_KNOWN = (
    Family(
        *("asymmetriclaplace", "mu", IDENTITY, ("b", "kappa")),
        scales=("b",),
        expected=lambda mu, o: mu + (1.0 - o["kappa"] ** 2) / (o["kappa"] * o["b"]),
    ),
    Family(
        *("bernoulli", "p", LOGIT, (), BINARY),
        density=densities.bernoulli,
        spread=spread.bernoulli,
        latent=spread.latent_logit,
    ),
    Family(
        *("beta", "mu", LOGIT, ("kappa",), UNIT),
        density=densities.beta,
        spread=spread.beta,
    ),
    Family(
        *("beta_binomial", "mu", LOGIT, ("kappa",)),
        trials=True,
        spread=spread.beta_binomial,
    ),
    Family(
        *("binomial", "p", LOGIT),
        trials=True,
        density=densities.binomial,
        spread=spread.binomial,
        latent=spread.latent_logit,
    ),
    Family(
        *("exgaussian", "mu", IDENTITY, ("sigma", "nu")),
        scales=("nu",),
        expected=lambda mu, o: mu + o["nu"],
    ),
    Family(
        *("exponential", "mu", LOG, (), NOT_NEGATIVE),
        density=densities.exponential,
        spread=spread.exponential,
    ),
    Family(
        *("gamma", "mu", INVERSE, ("alpha",), POSITIVE),
        density=densities.gamma,
        spread=spread.gamma,
    ),
    Family(
        *("gaussian", "mu", IDENTITY, ("sigma",)),
        weights=True,
        density=densities.normal,
        spread=spread.normal,
        latent=spread.latent_normal,
    ),
    Family(
        *("hurdle_gamma", "mu", LOG, ("alpha", "psi"), NOT_NEGATIVE),
        expected=lambda mu, o: o["psi"] * mu,
    ),
    Family(
        *("hurdle_lognormal", "mu", IDENTITY, ("sigma", "psi"), NOT_NEGATIVE),
        logged=True,
        expected=lambda mu, o: o["psi"] * np.exp(mu + 0.5 * o["sigma"] ** 2),
    ),
    Family(
        *("hurdle_negativebinomial", "mu", LOG, ("alpha", "psi"), COUNTS),
        expected=lambda mu, o: o["psi"] * _truncated_negativebinomial(mu, o["alpha"]),
    ),
    Family(
        *("hurdle_poisson", "mu", LOG, ("psi",), COUNTS),
        expected=lambda mu, o: o["psi"] * _truncated_poisson(mu),
    ),
    Family("laplace", "mu", IDENTITY, ("b",), scales=("b",), spread=spread.laplace),
    Family(
        *("lognormal", "mu", IDENTITY, ("sigma",), POSITIVE),
        logged=True,
        expected=lambda mu, o: np.exp(mu + 0.5 * o["sigma"] ** 2),
        density=densities.lognormal,
        spread=spread.lognormal,
        latent=spread.latent_normal,
    ),
    Family(
        *("negativebinomial", "mu", LOG, ("alpha",), COUNTS),
        density=densities.negative_binomial,
        spread=spread.negative_binomial,
        latent=spread.latent_negative_binomial,
    ),
    Family(
        *("poisson", "mu", LOG, (), COUNTS),
        density=densities.poisson,
        spread=spread.poisson,
        latent=spread.latent_poisson,
    ),
    Family(
        *("t", "mu", IDENTITY, ("sigma", "nu")),
        weights=True,
        density=densities.student,
    ),
    Family("vonmises", "mu", IDENTITY, ("kappa",), ANGLES, density=densities.von_mises),
    Family("wald", "mu", INVERSE_SQUARED, ("lam",), POSITIVE, density=densities.wald),
    Family("weibull", "mu", LOG, ("alpha",), POSITIVE, density=densities.weibull),
    Family(
        *("zero_inflated_binomial", "p", LOGIT, ("psi",)),
        trials=True,
        expected=lambda p, o: o["psi"] * p,
    ),
    Family(
        *("zero_inflated_negativebinomial", "mu", LOG, ("alpha", "psi"), COUNTS),
        expected=lambda mu, o: o["psi"] * mu,
    ),
    Family(
        *("zero_inflated_poisson", "mu", LOG, ("psi",), COUNTS),
        expected=lambda mu, o: o["psi"] * mu,
    ),
)
FAMILIES: Mapping[str, Family] = MappingProxyType({f.name: f for f in _KNOWN})

SEVERAL_PREDICTORS = (
    "categorical",
    "cumulative",
    "sratio",
    "multinomial",
    "dirichlet_multinomial",
)


def check_family(family: str) -> None:
    """Raise unless `family` names a family with one linear predictor.

    Parameters
    ----------
    family : str
        Name as bambi spells it, ``"gaussian"``, ``"poisson"``, ...

    Raises
    ------
    ModelError
        If the name is unknown, or the family has several linear predictors.
    """
    if is_choice(family, FAMILIES):
        return
    if is_choice(family, SEVERAL_PREDICTORS):
        raise ModelError(
            f"Family {family!r} has one linear predictor for each category, and a bar "
            "term would need a covariance across them, which this package does not "
            "write. Use bambi itself, or a family with one predictor."
        )
    raise ModelError(
        f"Unknown family {family!r}.{nearest_names(str(family), FAMILIES)} "
        f"Known families: {', '.join(FAMILIES)}."
    )
