"""The target of any solver of `marginal.solvers` as one compiled call.

Takes coordinates x, the table of the plan, the prior of beta and ``[X y]'W[X y]``
(`compiled.Plan`; the numbers of its arrays are here), and the solver's functions and
arrays (`marginal.kernels.entries`); gives the log posterior density and, with `slope`,
its gradient. Coordinates and priors are in the units of the data; `lift`, lower
triangular for each block, takes their factors to the safe columns of the statistics,
`unit` the residual SD to that of y there.
"""

import math

import numpy as np
from numba import types

from bayeslmm.marginal.kernels.calls import (
    ROW,
    TABLE,
    cube,
    integer_matrix,
    integers,
    matrix,
    vector,
)
from bayeslmm.marginal.kernels.compiling import compiled
from bayeslmm.marginal.kernels.generic import density
from bayeslmm.posterior.kernels.coordinates import (
    gather,
    is_far,
    lift_factors,
    log_prior,
    lower_slopes,
    spread,
)

# The arrays of the table.
TERMS, SIGMA, FORMS, TABLES, START, LIFT, UNIT = range(7)
PRECISION, MEAN, CONSTANTS, WW = range(7, 11)
_SOLVER = (types.int64, types.int64, TABLE, types.int64)
SIGNATURE = types.float64(ROW, TABLE, *_SOLVER, types.boolean, ROW)


@compiled
def target(x, table, gram, slopes, arrays, size, slope, gradient):
    """Log posterior density; `gradient` is filled with `slope`, and overwritten."""
    lift, terms = cube(table, LIFT), integer_matrix(table, TERMS)
    shape = (lift.shape[0], lift.shape[1], lift.shape[2])
    factors, d_factors = np.zeros(shape), np.zeros(shape)
    value = _begin(x, table, factors, gradient)
    if value == -math.inf:
        return value
    place = integers(table, SIGMA)[0]
    sigma = math.exp(x[place]) / vector(table, UNIT)[0]
    for b in range(factors.shape[0]):
        for i in range(factors.shape[1]):
            for j in range(i + 1):
                factors[b, i, j] /= sigma
    logp, d_log_sigma = density(
        *(gram, slopes, arrays, size, matrix(table, WW), factors, sigma),
        *(matrix(table, PRECISION), vector(table, MEAN), vector(table, CONSTANTS)),
        *(slope, d_factors),
    )
    if not math.isfinite(logp):  # no positive definite factor
        gradient[:] = 0.0
        return -math.inf
    if slope:
        gradient[place] += d_log_sigma
        lower_slopes(lift, d_factors)
        spread(x, terms, factors)
        gather(x, terms, factors, d_factors, gradient)
    return value + logp


@compiled
def _begin(x, table, factors, gradient):
    """Log prior density, with its gradient, and lifted factors at x."""
    if not is_far(x, vector(table, START)):
        spread(x, integer_matrix(table, TERMS), factors)
        value = log_prior(x, matrix(table, FORMS), cube(table, TABLES), gradient)
        if math.isfinite(value):
            lift_factors(cube(table, LIFT), factors)
            return value
    gradient[:] = 0.0
    return -math.inf
