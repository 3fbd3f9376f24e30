"""What a search or a sampler takes: a function of the coordinates, with its gradient.

Two functions are read off the marginal likelihood: REML's criterion, with sigma at its
best, and the log density of the posterior. Both are an `Objective` over the coordinates
of a `ParameterSpace`. Curvature is taken of either in the same way.
"""

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from bayeslmm.design.space import ParameterSpace
from bayeslmm.marginal.effects import EffectsMean
from bayeslmm.marginal.statistics import Statistics

Function = Callable[[Float[np.ndarray, " m"]], tuple[float, Float[np.ndarray, " m"]]]
"""Value and gradient at a point."""
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
) -> Iterator[tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"], float]]:
    """X a step up and down each column of a frame, within bounds, and how far."""
    lower, upper = bounds or (np.full(x.size, -np.inf), np.full(x.size, np.inf))
    for direction in frame.T:
        above = np.where(direction < 0.0, lower, upper) - x
        below = x - np.where(direction < 0.0, upper, lower)
        moves = direction != 0.0
        up = min(size, np.min(above[moves] / direction[moves]))
        down = min(size, np.min(below[moves] / direction[moves]))
        if up + down == 0.0:  # two angles at their ends, which are no kinks
            up = down = size
        yield x + up * direction, x - down * direction, up + down


def second_differences(
    function: Function,
    x: Float[np.ndarray, " m"],
    frame: Float[np.ndarray, "m f"],
    size: float,
    bounds: Bounds | None = None,
) -> Float[np.ndarray, "f f"]:
    """Hessian along the columns of a frame, by differences of the exact gradient.

    Central, unless a bound is in the way.
    """
    rows = [
        frame.T @ (function(up)[1] - function(down)[1]) / far
        for up, down, far in steps(x, frame, size, bounds)
    ]
    found = np.array(rows).reshape(frame.shape[1], frame.shape[1])
    return 0.5 * (found + found.T)
