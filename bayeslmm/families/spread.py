"""Variances of responses: about their means, and on the scale of the linear predictor.

The first are those of the families in PyMC's parametrisation. The second are what a
share of variance has for a residual where the response is no sum of parts: of one 0 or
1 that of the logistic distribution, of which a logit is the threshold; of a count with
a log link ``ln(1 + variance / mean**2)``, which a log-normal variable with that mean
and variance has on the log scale.

References
----------
.. [1] Gelman et al. (2019). Am. Stat. 73(3).
   https://doi.org/10.1080/00031305.2018.1549100
.. [2] Nakagawa et al. (2017). J. R. Soc. Interface 14(134).
   https://doi.org/10.1098/rsif.2017.0213
"""

import math

import numpy as np

from bayeslmm.families.family import Array, Others

LOGISTIC = math.pi**2 / 3.0


def bernoulli(p: Array, o: Others, trials: Array) -> Array:
    """P (1 - p)."""
    del o, trials
    return p * (1.0 - p)


def binomial(p: Array, o: Others, trials: Array) -> Array:
    """Of the count: n p (1 - p)."""
    del o
    return trials * p * (1.0 - p)


def beta_binomial(p: Array, o: Others, trials: Array) -> Array:
    """Of the count; kappa is the sum of the two shapes."""
    kappa = o["kappa"]
    return trials * p * (1.0 - p) * (kappa + trials) / (kappa + 1.0)


def beta(mu: Array, o: Others, trials: Array) -> Array:
    """Kappa is the sum of the two shapes."""
    del trials
    return mu * (1.0 - mu) / (1.0 + o["kappa"])


def exponential(mu: Array, o: Others, trials: Array) -> Array:
    """The mean squared."""
    del o, trials
    return mu**2


def gamma(mu: Array, o: Others, trials: Array) -> Array:
    """Alpha is the shape."""
    del trials
    return mu**2 / o["alpha"]


def laplace(mu: Array, o: Others, trials: Array) -> Array:
    """B is the scale."""
    del trials
    return 2.0 * o["b"] ** 2 + 0.0 * mu


def lognormal(mu: Array, o: Others, trials: Array) -> Array:
    """Mu and sigma are those of the logs."""
    del trials
    square = o["sigma"] ** 2
    return np.expm1(square) * np.exp(2.0 * mu + square)


def negative_binomial(mu: Array, o: Others, trials: Array) -> Array:
    """Poisson's and that of its gamma of shape alpha."""
    del trials
    return mu + mu**2 / o["alpha"]


def normal(mu: Array, o: Others, trials: Array) -> Array:
    """At weight 1."""
    del trials
    return o["sigma"] ** 2 + 0.0 * mu


def poisson(mu: Array, o: Others, trials: Array) -> Array:
    """The mean."""
    del o, trials
    return mu


def latent_logit(expected: Array, o: Others) -> Array:
    """Of one trial, whatever its chance."""
    del o
    return LOGISTIC + 0.0 * expected


def latent_normal(expected: Array, o: Others) -> Array:
    """That of the response, or of its log."""
    return o["sigma"] ** 2 + 0.0 * expected


def latent_poisson(expected: Array, o: Others) -> Array:
    """Of a count with this mean."""
    del o
    return np.log1p(1.0 / expected)


def latent_negative_binomial(expected: Array, o: Others) -> Array:
    """The same with the variance of the gamma."""
    return np.log1p(1.0 / expected + 1.0 / o["alpha"])
