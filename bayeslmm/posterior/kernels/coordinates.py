"""Coordinates to Cholesky factors and back, and their priors, compiled.

The same functions as in `covariance.coordinates` and `priors.scale`, for the structures
whose factors are products of SDs and partial correlations: ``us`` and the diagonal
ones. A term is a row of integers ``(first, n_sd, correlated, block, start, k)``: its
first coordinate, its free SDs, whether partial correlations follow, and where its
factor lies in the padded factors of all blocks. Priors are separable: a row of numbers
``(kind, a, b, constant)`` for each coordinate; for a table its number, its first knot
and the step between knots.
"""

import math

import numpy as np

from bayeslmm.marginal.kernels.compiling import compiled

# Kinds of priors; the first six in the order of `priors.scale.Kind`.
FLAT, HALF_NORMAL, HALF_T, GAMMA, INVERSE_GAMMA, LOG_NORMAL, TABLE, PARTIAL = range(8)
LOG_2 = math.log(2.0)
# Coordinates further than this from the start count as impossible: a factor exp(60) in
# an SD, where no proper posterior has mass and squares are still far from overflow.
FARTHEST = 60.0


@compiled
def log_prior(x, forms, tables, gradient):
    """Log prior density of all coordinates; `gradient` is overwritten by its own."""
    total = 0.0
    for i in range(x.size):
        kind, a, b, constant = forms[i, 0], forms[i, 1], forms[i, 2], forms[i, 3]
        if kind == PARTIAL:
            value, slope = _partial(x[i], a)
            value += constant
        elif kind == TABLE:
            value, slope = _table(x[i] - b, constant, tables[int(a)])
        else:
            value, slope = _closed(kind, a, b, x[i])
            value += constant
        total += value
        gradient[i] = slope
    return total


@compiled
def log_priors(points, forms, tables, start, values):
    """Log prior density at several points; minus infinity far from the start."""
    gradient = np.empty(points.shape[1])
    for s in range(values.size):
        far = is_far(points[s], start)
        values[s] = -math.inf if far else log_prior(points[s], forms, tables, gradient)


@compiled
def _closed(kind, a, b, x):
    """Log density of log sd but for its constant, and the slope; see `ScaleForm`."""
    if kind == HALF_NORMAL:
        square = math.exp(2.0 * (x - math.log(b)))
        return x - 0.5 * square, 1.0 - square
    if kind == HALF_T:
        z = 2.0 * (x - math.log(b)) - math.log(a)
        small = math.exp(-abs(z))
        weight = 1.0 / (1.0 + small) if z > 0.0 else small / (1.0 + small)
        log1p = max(z, 0.0) + math.log1p(small)
        return x - 0.5 * (a + 1.0) * log1p, 1.0 - (a + 1.0) * weight
    if kind == GAMMA:
        rate = b * math.exp(x)
        return a * x - rate, a - rate
    if kind == INVERSE_GAMMA:
        rate = b * math.exp(-x)
        return -a * x - rate, rate - a
    if kind == LOG_NORMAL:
        z = (x - a) / b
        return -0.5 * z * z, -z / b
    return x, 1.0


@compiled
def _partial(x, exponent):
    """(1 - tanh(x)**2)**exponent, exact where tanh rounds to 1."""
    log_sech2 = 2.0 * (LOG_2 - abs(x) - math.log1p(math.exp(-2.0 * abs(x))))
    return exponent * log_sech2, -2.0 * exponent * math.tanh(x)


@compiled
def _table(above, step, table):
    """Cubic Hermite interpolation of values and slopes, linear beyond the knots."""
    values, slopes = table[0], table[1]
    last = values.size - 1
    position = above / step
    if position <= 0.0 or position >= last:
        end = 0 if position <= 0.0 else last
        return values[end] + slopes[end] * (above - end * step), slopes[end]
    i = int(position)
    t = position - i
    u = 1.0 - t
    rise = values[i + 1] - values[i]
    d0, d1 = step * slopes[i] - rise, rise - step * slopes[i + 1]
    bend = t * u * (d0 * u + d1 * t)
    slope = rise + (u - t) * (d0 * u + d1 * t) + t * u * (d1 - d0)
    return values[i] + t * rise + bend, slope / step


@compiled
def spread(x, terms, factors):
    """Cholesky factor of every term at x, into the padded factors of the blocks."""
    factors[:] = 0.0
    for t in range(terms.shape[0]):
        first, n_sd, correlated = terms[t, 0], terms[t, 1], terms[t, 2]
        block, start, k = terms[t, 3], terms[t, 4], terms[t, 5]
        c = first + n_sd
        for i in range(k):
            left = math.exp(x[first + min(i, n_sd - 1)])  # of the row's SD
            if correlated:
                for j in range(i):
                    factors[block, start + i, start + j] = left * math.tanh(x[c])
                    left /= math.cosh(x[c])
                    c += 1
            factors[block, start + i, start + i] = left


@compiled
def gather(x, terms, factors, d_factors, gradient):
    """Add to `gradient` what the factors' own gradients mean for the coordinates.

    With w = tanh(x_c) of entry (i, j): the entry itself moves with what is left of the
    row's SD times 1 - w**2, every later entry of the row with -w times itself.
    """
    for t in range(terms.shape[0]):
        first, n_sd, correlated = terms[t, 0], terms[t, 1], terms[t, 2]
        block, start, k = terms[t, 3], terms[t, 4], terms[t, 5]
        c = first + n_sd
        for i in range(k):
            later = 0.0  # sum of gradient times entry, from here to the diagonal
            for j in range(i + 1):
                later += (
                    d_factors[block, start + i, start + j]
                    * factors[block, start + i, start + j]
                )
            sd_at = first + min(i, n_sd - 1)
            gradient[sd_at] += later
            if not correlated:
                continue
            left = math.exp(x[sd_at])
            for j in range(i):
                slope = d_factors[block, start + i, start + j]
                later -= slope * factors[block, start + i, start + j]
                sech = 1.0 / math.cosh(x[c])
                gradient[c] += slope * left * sech * sech - math.tanh(x[c]) * later
                left *= sech
                c += 1


@compiled
def lift_factors(lift, factors):
    """The padded factors times the lower-triangular `lift` from the left, in place."""
    for b in range(factors.shape[0]):
        for i in range(factors.shape[1] - 1, -1, -1):
            for j in range(i + 1):
                total = 0.0
                for a in range(j, i + 1):
                    total += lift[b, i, a] * factors[b, a, j]
                factors[b, i, j] = total


@compiled
def lower_slopes(lift, d_factors):
    """Slopes by the factors from those by the lifted ones, in place: lift' times."""
    for b in range(d_factors.shape[0]):
        for i in range(d_factors.shape[1]):
            for j in range(i + 1):
                total = 0.0
                for a in range(i, d_factors.shape[1]):
                    total += lift[b, a, i] * d_factors[b, a, j]
                d_factors[b, i, j] = total


@compiled
def is_far(x, start):
    """Whether a coordinate is further from its start than `FARTHEST`, or NaN."""
    far = False
    for i in range(x.size):
        far = far or not abs(x[i] - start[i]) < FARTHEST
    return far


@compiled
def spread_draws(draws, terms, factors):
    """The padded factors at every one of many points."""
    for s in range(draws.shape[0]):
        spread(draws[s], terms, factors[s])
