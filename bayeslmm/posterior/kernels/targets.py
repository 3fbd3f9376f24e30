"""The target of each solver of `marginal.solvers` as one compiled call.

Takes coordinates x, the `plan` (of `compiled.Plan`, in its order), the Normal
prior of beta (precision, mean, constants) and the arrays of `Statistics`; gives the log
posterior density and, with `slope`, its gradient. Coordinates and priors are in the
units of the data; `lift`, lower triangular for each block, takes their factors to the
safe columns of the statistics, `unit` the residual SD to that of y there.
"""

import math

import numpy as np

from bayeslmm.marginal.kernels.compiling import compiled
from bayeslmm.marginal.kernels.crossed import crossed_density
from bayeslmm.marginal.kernels.filled import filled_density
from bayeslmm.marginal.kernels.single import (
    levels_density,
    pairs_density,
    pooled_density,
)
from bayeslmm.posterior.kernels.coordinates import (
    gather,
    is_far,
    lift_factors,
    log_prior,
    lower_slopes,
    spread,
)


@compiled
def pooled_target(x, plan, prior, WW, arrays, slope, gradient):
    """One grouping factor whose levels share few different cross-products."""
    A, count, T = arrays
    factors, d, value = _begin(x, plan, 1, A.shape[1], gradient)
    if value == -math.inf:
        return value
    sigma, (precision, mean, constants) = _sigma(x, plan), prior
    logp, d_log_sigma = pooled_density(
        *(A, count, T, WW, factors[0] / sigma, sigma),
        *(precision, mean, (constants[0], constants[1]), slope, d[0]),
    )
    return _end(x, plan, factors, d, value + logp, d_log_sigma, slope, gradient)


@compiled
def pairs_target(x, plan, prior, WW, arrays, slope, gradient):
    """One grouping factor with two effects."""
    A, F = arrays
    factors, d, value = _begin(x, plan, 1, 2, gradient)
    if value == -math.inf:
        return value
    sigma, (precision, mean, constants) = _sigma(x, plan), prior
    logp, d_log_sigma = pairs_density(
        *(A, F, WW, factors[0] / sigma, sigma),
        *(precision, mean, (constants[0], constants[1]), slope, d[0]),
    )
    return _end(x, plan, factors, d, value + logp, d_log_sigma, slope, gradient)


@compiled
def levels_target(x, plan, prior, WW, arrays, slope, gradient):
    """One grouping factor with any number of effects."""
    A, F = arrays
    factors, d, value = _begin(x, plan, 1, A.shape[1], gradient)
    if value == -math.inf:
        return value
    sigma, (precision, mean, constants) = _sigma(x, plan), prior
    logp, d_log_sigma = levels_density(
        *(A, F, WW, factors[0] / sigma, sigma),
        *(precision, mean, (constants[0], constants[1]), slope, d[0]),
    )
    return _end(x, plan, factors, d, value + logp, d_log_sigma, slope, gradient)


@compiled
def crossed_target(x, plan, prior, WW, arrays, slope, gradient):
    """Several grouping factors, all but the largest of them small."""
    A, F, indptr, columns, B, R, Fr, block_of, start_of, sizes = arrays
    factors, d, value = _begin(x, plan, sizes.size, sizes.max(), gradient)
    if value == -math.inf:
        return value
    sigma, (precision, mean, constants) = _sigma(x, plan), prior
    logp, d_log_sigma = crossed_density(
        *(A, F, indptr, columns, B, R, Fr, block_of, start_of, sizes),
        *(WW, factors / sigma, sigma),
        *(precision, mean, (constants[0], constants[1]), slope, d),
    )
    return _end(x, plan, factors, d, value + logp, d_log_sigma, slope, gradient)


@compiled
def filled_target(x, plan, prior, WW, arrays, slope, gradient):
    """Several grouping factors of which most levels meet."""
    sizes = arrays[7]
    factors, d, value = _begin(x, plan, sizes.size, sizes.max(), gradient)
    if value == -math.inf:
        return value
    sigma, (precision, mean, constants) = _sigma(x, plan), prior
    logp, d_log_sigma = filled_density(
        *(*arrays, WW, factors / sigma, sigma),
        *(precision, mean, (constants[0], constants[1]), slope, d),
    )
    return _end(x, plan, factors, d, value + logp, d_log_sigma, slope, gradient)


@compiled
def _sigma(x, plan):
    """Residual SD at x in safe units."""
    return math.exp(x[plan[1][0]]) / plan[6][0]


@compiled
def _begin(x, plan, n_blocks, k, gradient):
    """Padded factors at x, zeros for their gradient, and the log prior density."""
    terms, _, forms, tables, start, lift, _ = plan
    factors, d_factors = np.zeros((n_blocks, k, k)), np.zeros((n_blocks, k, k))
    if is_far(x, start):
        gradient[:] = 0.0
        return factors, d_factors, -math.inf
    spread(x, terms, factors)
    value = log_prior(x, forms, tables, gradient)
    if not math.isfinite(value):
        gradient[:] = 0.0
        return factors, d_factors, -math.inf
    lift_factors(lift, factors)
    return factors, d_factors, value


@compiled
def _end(x, plan, factors, d_factors, value, d_log_sigma, slope, gradient):
    """The value, with the likelihood's gradient added to the prior's."""
    if not math.isfinite(value):  # no positive definite factor
        gradient[:] = 0.0
        return -math.inf
    if slope:
        gradient[plan[1][0]] += d_log_sigma
        lower_slopes(plan[5], d_factors)
        spread(x, plan[0], factors)
        gather(x, plan[0], factors, d_factors, gradient)
    return value
