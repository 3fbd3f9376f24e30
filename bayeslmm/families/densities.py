"""Log densities of the smooth families with two derivatives in the linear predictor.

Each takes responses, linear predictors, the other parameters in PyMC's parametrisation
and trials (read by the binomial alone), of shapes that broadcast; gives a `Density`.
Tests hold the values equal to PyMC's, the derivatives to differences. The Laplace
approximation to a likelihood whose effects are integrated out needs all three.

References
----------
.. [1] McCullagh & Nelder (1989). Generalized Linear Models, chapter 2.
   https://doi.org/10.1007/978-1-4899-3242-6
"""

import math

import numpy as np
from scipy.special import (
    betaln,
    expit,
    gammaln,
    i0e,
    polygamma,
    psi,
    xlog1py,
    xlogy,
)

from bayeslmm.families.family import Array, Density, Others

LOG_TWO_PI = math.log(2.0 * math.pi)


def normal(y: Array, eta: Array, others: Others, trials: Array) -> Density:
    """Normal with mean eta and SD sigma."""
    del trials
    precision = others["sigma"] ** -2.0
    apart = y - eta
    value = -0.5 * (LOG_TWO_PI + precision * apart**2) - np.log(others["sigma"])
    return Density(value, precision * apart, -precision + 0.0 * eta)


def lognormal(y: Array, eta: Array, others: Others, trials: Array) -> Density:
    """The exponential of a Normal with mean eta and SD sigma."""
    value, slope, curvature = normal(np.log(y), eta, others, trials)
    return Density(value - np.log(y), slope, curvature)


def student(y: Array, eta: Array, others: Others, trials: Array) -> Density:
    """Student's t about eta with scale sigma and nu degrees of freedom."""
    del trials
    sigma, nu = others["sigma"], others["nu"]
    z = (y - eta) / sigma
    # of gammas that nearly cancel where nu is large
    constant = -betaln(0.5 * nu, 0.5) - 0.5 * np.log(nu) - np.log(sigma)
    wide = nu + z**2
    return Density(
        constant - 0.5 * (nu + 1.0) * np.log1p(z**2 / nu),
        (nu + 1.0) * z / (sigma * wide),
        (nu + 1.0) * (z**2 - nu) / (sigma * wide) ** 2,
    )


def von_mises(y: Array, eta: Array, others: Others, trials: Array) -> Density:
    """Angles about eta with concentration kappa."""
    del trials
    kappa = others["kappa"]
    along, across = kappa * np.cos(y - eta), kappa * np.sin(y - eta)
    constant = LOG_TWO_PI + np.log(i0e(kappa)) + kappa
    return Density(along - constant, across, -along)


def binomial(y: Array, eta: Array, others: Others, trials: Array) -> Density:
    """Successes out of trials with log odds eta."""
    del others
    chance = expit(eta)
    ways = -np.log1p(trials) - betaln(trials - y + 1.0, y + 1.0)
    value = ways + y * eta - trials * np.logaddexp(0.0, eta)
    return Density(value, y - trials * chance, -trials * chance * expit(-eta))


def bernoulli(y: Array, eta: Array, others: Others, trials: Array) -> Density:
    """0 or 1 with log odds eta."""
    del others, trials
    sign = 2.0 * y - 1.0
    value, miss = -np.logaddexp(0.0, -sign * eta), expit(-sign * eta)
    return Density(value, sign * miss, -miss * expit(sign * eta))


def beta(y: Array, eta: Array, others: Others, trials: Array) -> Density:
    """Proportions with logit of the mean eta and a + b = kappa."""
    del trials
    kappa, mu, rest = others["kappa"], expit(eta), expit(-eta)
    a, b = mu * kappa, rest * kappa
    value = xlogy(a - 1.0, y) + xlog1py(b - 1.0, -y) - betaln(a, b)
    by_mu = kappa * (np.log(y) - np.log1p(-y) - psi(a) + psi(b))
    twice = -(kappa**2) * (polygamma(1, a) + polygamma(1, b))
    inner = mu * rest
    curvature = twice * inner**2 + by_mu * inner * (rest - mu)
    return Density(value, by_mu * inner, curvature)


def poisson(y: Array, eta: Array, others: Others, trials: Array) -> Density:
    """Counts with log mean eta."""
    del others, trials
    mu = np.exp(eta)
    return Density(y * eta - mu - gammaln(y + 1.0), y - mu, -mu)


def negative_binomial(y: Array, eta: Array, others: Others, trials: Array) -> Density:
    """Counts with log mean eta and variance mu + mu^2 / alpha."""
    del trials
    alpha = others["alpha"]
    log_odds = eta - np.log(alpha)
    share, rest = expit(log_odds), expit(-log_odds)
    # ways, of gammas that nearly cancel where alpha is large
    value = -betaln(alpha, y + 1.0) - np.log(y + alpha)
    value = value - y * np.logaddexp(0.0, -log_odds)
    value = value - alpha * np.logaddexp(0.0, log_odds)
    return Density(value, y - (y + alpha) * share, -(y + alpha) * share * rest)


def exponential(y: Array, eta: Array, others: Others, trials: Array) -> Density:
    """Waiting times with log mean eta."""
    del others, trials
    ratio = y * np.exp(-eta)
    return Density(-eta - ratio, ratio - 1.0, -ratio)


def gamma(y: Array, eta: Array, others: Others, trials: Array) -> Density:
    """Positive numbers with mean 1 / eta and shape alpha."""
    del trials
    alpha = others["alpha"]
    value = xlogy(alpha, alpha * eta) - gammaln(alpha)
    value = value + (alpha - 1.0) * np.log(y) - alpha * eta * y
    return Density(value, alpha / eta - alpha * y, -alpha / eta**2 + 0.0 * y)


def weibull(y: Array, eta: Array, others: Others, trials: Array) -> Density:
    """Positive numbers with log mean eta and shape alpha."""
    del trials
    alpha = others["alpha"]
    log_scale = eta - gammaln(1.0 + 1.0 / alpha)
    log_ratio = np.log(y) - log_scale
    power = np.exp(alpha * log_ratio)
    value = np.log(alpha) - log_scale + (alpha - 1.0) * log_ratio - power
    return Density(value, alpha * (power - 1.0), -(alpha**2) * power)


def wald(y: Array, eta: Array, others: Others, trials: Array) -> Density:
    """Inverse Gaussian with mean eta^(-1/2) and shape lam."""
    del trials
    lam, root = others["lam"], np.sqrt(eta)
    distance = y * eta - 2.0 * root + 1.0 / y
    value = 0.5 * (np.log(lam) - LOG_TWO_PI - 3.0 * np.log(y) - lam * distance)
    curvature = -0.25 * lam * root**-3.0 + 0.0 * y
    return Density(value, -0.5 * lam * (y - 1.0 / root), curvature)
