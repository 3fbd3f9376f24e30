"""Margins of functions of several coordinates of a lattice.

Takes a `Lattice` and a function of some of its coordinates, such as the correlation at
lag 2 of a Toeplitz structure; gives its quantiles. The density of these coordinates is
interpolated by its Fourier series, which loses no more than the trapezoid rule does,
and the indicator of "below q" is smoothed over about a step of the finer lattice, by a
kernel of order eight, which leaves moments up to the seventh as they are.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy.polynomial.hermite_e import hermeval
from scipy.optimize import root_scalar
from scipy.signal import resample
from scipy.special import ndtr

from bayeslmm.posterior.lattice import Lattice

# Points of the finer lattice for each step of the lattice, along each axis.
FINER = 3
# Width of the kernel in root mean square steps: the trapezoid rule then errs by about
# exp(-2 pi**2) times a power of 2 pi.
WIDTH = 1.0
# Step of the differences that give a function's slope, in steps of the finer lattice.
SLOPE_STEP = 1e-3
# Points of less probability, against the largest, count for nothing.
NEGLIGIBLE = 1e-9
# Quantiles are found to this share of the range of the function.
FOUND = 1e-7
# -(-1)**m / (2**m m!) of He_(2m - 1), m = 1 to 3: the kernel, integrated.
COEFFICIENTS = np.array([0.0, 1 / 2, 0.0, -1 / 8, 0.0, 1 / 48])

Function = Callable[[Float[np.ndarray, "n m"]], Float[np.ndarray, " n"]]


def smoothed_quantiles(
    lattice: Lattice,
    axes: range,
    function: Function,
    probabilities: tuple[float, ...],
) -> list[float]:
    """Quantiles of a function of some coordinates.

    Parameters
    ----------
    lattice : Lattice
        Points with their probabilities.
    axes : range
        Coordinates that the function depends on.
    function : callable
        Of all coordinates, shape (n, m), to values, shape (n,), unbounded.
    probabilities : tuple of float
        Between 0 and 1.

    Returns
    -------
    list of float
        Values of the function.
    """
    x, weights, step = _finer(lattice, axes)
    values = function(x)
    width = WIDTH * _change(x, step, function)
    width = np.maximum(width, 1e-12 * max(float(np.abs(values).max()), 1e-300))
    low, high = float((values - 9.0 * width).min()), float((values + 9.0 * width).max())

    def excess(value: float, probability: float) -> float:
        """Probability below a value, less the one wanted."""
        return float(weights @ _kernel((value - values) / width)) - probability

    return [
        root_scalar(
            excess, args=(p,), bracket=(low, high), xtol=FOUND * (high - low)
        ).root
        for p in probabilities
    ]


def _finer(
    lattice: Lattice, axes: range
) -> tuple[Float[np.ndarray, "n m"], Float[np.ndarray, " n"], Float[np.ndarray, " m"]]:
    """Points of a finer lattice over some axes, probabilities, and its step.

    The other coordinates, which are summed over, stand at 0; their step is 0.
    """
    own = lattice.nodes[:, axes.start : axes.stop]
    first = own.min(axis=0) - 1  # a margin of nothing, as the series is periodic
    density = np.zeros(own.max(axis=0) - first + 2)
    np.add.at(density, tuple((own - first).T), lattice.weights)
    for axis, n in enumerate(density.shape):
        density = np.asarray(resample(density, FINER * n, axis=axis))
    at = np.argwhere(density > NEGLIGIBLE * density.max())
    weights = density[tuple(at.T)]
    step, x = np.zeros(lattice.step.size), np.zeros((len(at), lattice.step.size))
    for i, axis in enumerate(axes):
        step[axis] = lattice.step[axis] / FINER
        origin = lattice.x[0, axis] - lattice.nodes[0, axis] * lattice.step[axis]
        x[:, axis] = origin + lattice.step[axis] * (first[i] + at[:, i] / FINER)
    return x, weights / weights.sum(), step


def _change(
    x: Float[np.ndarray, "n m"], step: Float[np.ndarray, " m"], function: Function
) -> Float[np.ndarray, " n"]:
    """Root of the sum of squares of the change over a step along each axis."""
    total = np.zeros(len(x))
    for axis in np.flatnonzero(step):
        moved = np.zeros(len(step))
        moved[axis] = SLOPE_STEP * step[axis]
        total += ((function(x + moved) - function(x - moved)) / (2 * SLOPE_STEP)) ** 2
    return np.sqrt(total)


def _kernel(u: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Distribution function of the kernel: Phi and Hermite functions of odd order."""
    density = np.exp(-0.5 * u * u) / math.sqrt(2.0 * math.pi)
    return ndtr(u) + density * hermeval(u, COEFFICIENTS)
