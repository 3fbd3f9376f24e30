"""Where the sampler of a joint model starts, and in which units.

Takes a log density with its gradient; gives the point to which damped Newton steps
climb in some of the coordinates, the units of the curvature there, and starts around
it at which the density is finite.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

Density = Callable[[Float[np.ndarray, " m"]], tuple[float, Float[np.ndarray, " m"]]]
"""Log density and gradient at a point."""

# Half the width of a central difference: coordinates have units of about the prior's
# width, so the error of a curvature is about 1e-6 of it.
WIDTH = 1e-3
# Steps stop when the next one promises less, in log density: the start need not be
# the mode, only near it.
ENOUGH, MOST_STEPS, LONGEST = 0.1, 50, 2.0
# A curvature below this, of a log density over coordinates in the prior's units, is
# taken for this one: no unit becomes wider than the prior's.
LEAST_CURVATURE = 1.0
HALVINGS = 40
# Starts are uniform on +- this in the units of the curvature.
RADIUS = 1.0


def climb(
    density: Density, x: Float[np.ndarray, " m"], chosen: Int[np.ndarray, " a"]
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, "a a"]]:
    """Climb by damped Newton steps in the chosen coordinates.

    Parameters
    ----------
    density : callable
        Log density and gradient.
    x : ndarray, shape (m,)
        Where to begin; finite there.
    chosen : ndarray of int
        Coordinates that move.

    Returns
    -------
    x : ndarray, shape (m,)
        Where the climb ended.
    basis : ndarray, shape (a, a)
        A root of the inverse curvature of the chosen coordinates there.
    """
    value, gradient = density(x)
    for _ in range(MOST_STEPS):
        inverse = _inverse_curvature(density, x, chosen)
        step = inverse @ gradient[chosen]
        gain = 0.5 * float(step @ gradient[chosen])
        if not gain > ENOUGH:
            break
        step *= min(1.0, LONGEST / float(np.abs(step).max()))
        moved = _ascend(density, x, value, chosen, step)
        if moved is None:
            break
        x, value, gradient = moved
    return x, np.linalg.cholesky(_inverse_curvature(density, x, chosen))


def _ascend(
    density: Density,
    x: Float[np.ndarray, " m"],
    value: float,
    chosen: Int[np.ndarray, " a"],
    step: Float[np.ndarray, " a"],
) -> tuple[Float[np.ndarray, " m"], float, Float[np.ndarray, " m"]] | None:
    """The first of ever shorter steps that rises; None if none does."""
    for _ in range(HALVINGS):
        moved = x.copy()
        moved[chosen] += step
        new, gradient = density(moved)
        if np.isfinite(gradient).all() and new > value:
            return moved, new, gradient
        step = 0.5 * step
    return None


def _inverse_curvature(
    density: Density, x: Float[np.ndarray, " m"], chosen: Int[np.ndarray, " a"]
) -> Float[np.ndarray, "a a"]:
    """Inverse of minus the Hessian by differences, every curvature made positive."""
    rows = np.empty((chosen.size, chosen.size))
    for i, coordinate in enumerate(chosen):
        ends = []
        for side in (WIDTH, -WIDTH):
            moved = x.copy()
            moved[coordinate] += side
            ends.append(density(moved)[1][chosen])
        rows[i] = (ends[1] - ends[0]) / (2.0 * WIDTH)
    rows = np.where(np.isfinite(rows), rows, 0.0)
    values, vectors = np.linalg.eigh(0.5 * (rows + rows.T))
    return (vectors / np.maximum(np.abs(values), LEAST_CURVATURE)) @ vectors.T


def scattered(
    density: Density, centre: Float[np.ndarray, " m"], seed: int
) -> Float[np.ndarray, " m"]:
    """A random start about the centre, so near to it that the density is finite."""
    away = np.random.default_rng(seed).uniform(-RADIUS, RADIUS, centre.size)
    for _ in range(HALVINGS):
        value, gradient = density(centre + away)
        if np.isfinite(value) and np.isfinite(gradient).all():
            return centre + away
        away = 0.5 * away
    return centre
