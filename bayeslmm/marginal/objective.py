"""What a search or a sampler takes: a function of the coordinates, with its gradient.

Two functions are read off the marginal likelihood: REML's criterion, with sigma at its
best, and the log density of the posterior. Both are an `Objective` over the coordinates
of a `ParameterSpace`. Curvature is taken of either in the same way.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from bayeslmm.design.space import ParameterSpace
from bayeslmm.marginal.effects import EffectsMean
from bayeslmm.marginal.statistics import Statistics

Bounds = tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]


@runtime_checkable
class Objective(Protocol):
    """A function of the variance parameters that is minimised, or sampled."""

    @property
    def space(self) -> ParameterSpace:
        """What the entries of x are."""
        ...

    @property
    def statistics(self) -> Statistics:
        """Cross-products in safe coordinates."""
        ...

    @property
    def start(self) -> Float[np.ndarray, " m"]:
        """Where searches begin."""
        ...

    def __call__(
        self, x: Float[np.ndarray, " m"], /
    ) -> tuple[float, Float[np.ndarray, " m"]]:
        """Value with its gradient."""
        ...

    def effects(self, x: Float[np.ndarray, " m"], /) -> EffectsMean:
        """Distribution of the fixed and random effects given x, units of the data."""
        ...


def steps(
    x: Float[np.ndarray, " m"],
    frame: Float[np.ndarray, "m f"],
    size: float,
    bounds: Bounds | None = None,
) -> tuple[Float[np.ndarray, "f m"], Float[np.ndarray, "f m"], Float[np.ndarray, " f"]]:
    """X a step up and down each column of a frame, within bounds, and how far."""
    along = frame.T
    up = down = np.full(len(along), size)
    if bounds is not None and np.isfinite(bounds).any():
        (lower, upper), moves, falls = bounds, along != 0.0, along < 0.0
        unit = np.where(moves, along, 1.0)
        above = (np.where(falls, lower, upper) - x) / unit
        below = (x - np.where(falls, upper, lower)) / unit
        up = np.minimum(size, np.where(moves, above, np.inf).min(axis=1))
        down = np.minimum(size, np.where(moves, below, np.inf).min(axis=1))
        held = up + down == 0.0  # two angles at their ends, which are no kinks
        up, down = np.where(held, size, up), np.where(held, size, down)
    return x + up[:, None] * along, x - down[:, None] * along, up + down


def second_differences(
    gradients: Callable[[Float[np.ndarray, "r m"]], Float[np.ndarray, "r m"]],
    x: Float[np.ndarray, " m"],
    frame: Float[np.ndarray, "m f"],
    size: float,
    bounds: Bounds | None = None,
) -> Float[np.ndarray, "f f"]:
    """Hessian along the columns of a frame, by differences of the exact gradient.

    Central, unless a bound is in the way; `gradients` takes all points at once.
    """
    ups, downs, far = steps(x, frame, size, bounds)
    slopes = gradients(np.concatenate([ups, downs])) @ frame
    found = (slopes[: len(far)] - slopes[len(far) :]) / far[:, None]
    return 0.5 * (found + found.T)
