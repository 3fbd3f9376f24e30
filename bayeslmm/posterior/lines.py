"""Density of a function of the coordinates, averaged over lines through points.

Along a line ``x + a direction`` a component rises by a. Given the line its density is
that of the coordinates, normalised over a; averaged over points drawn from the
distribution it is the density of the component, without a histogram and without a
bandwidth (Rao-Blackwell [1]_). The same function serves the posterior, with draws or
points of a lattice, and the prior, with points drawn from it.

References
----------
.. [1] Gelfand and Smith (1990). Sampling-based approaches to calculating marginal
   densities. J. Am. Stat. Assoc. 85(410). https://doi.org/10.1080/01621459.1990.10476213
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.integrate import cumulative_simpson
from scipy.interpolate import make_interp_spline
from scipy.stats import gaussian_kde

# Points between two nodes at which a density is integrated.
BETWEEN = 16
# Log density below the largest beyond which a density counts as 0.
NEGLIGIBLE = 700.0

# Slope of a log density from which on the density itself falls to 0 at the end of its
# range, and how far out of the nodes stands for that end.
STEEP, FAR = 1.25, 40.0

# Bandwidth of a kernel density, in Scott's: of a ratio of two a bump is a wave.
SMOOTH = 1.3

LogDensity = Callable[[Float[np.ndarray, "n m"]], Float[np.ndarray, " n"]]


@dataclass(frozen=True, slots=True)
class WorkingDensity:
    """Density of a component on its scale without bounds.

    Attributes
    ----------
    nodes : ndarray, shape (n,)
        Values, evenly spaced.
    log_density : ndarray, shape (n,)
        Normalised to an area of 1.
    """

    nodes: Float[np.ndarray, " n"]
    log_density: Float[np.ndarray, " n"]

    def log_at(self, values: Float[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
        """Log density; beyond the nodes it goes on in a straight line."""
        spline = make_interp_spline(self.nodes, self.log_density, k=5)
        inside = np.clip(values, self.nodes[0], self.nodes[-1])
        ends = np.gradient(self.log_density, self.nodes)
        slope = np.where(values < self.nodes[0], max(ends[0], 0.0), min(ends[-1], 0.0))
        with np.errstate(invalid="ignore"):
            beyond = np.where(values == inside, 0.0, (values - inside) * slope)
        return np.asarray(spline(inside)) + beyond

    def edges(self) -> tuple[float, float]:
        """Working values that stand for the ends of the range of a component.

        The last node where the density of an SD does not fall to 0 at SD 0 (its log
        rises by 1 with that of the SD), else so far out that it has.
        """
        ends = np.gradient(self.log_density, self.nodes)
        low, high = (FAR * (abs(slope) > STEEP) for slope in (ends[0], ends[-1]))
        return float(self.nodes[0] - low), float(self.nodes[-1] + high)

    def below(self, values: Float[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
        """Probability below values; the tail beyond the nodes is an exponential's."""
        fine, first = self.fine(), self._end_slope()
        density = np.exp(self.log_at(fine))
        tail = density[0] / first if first > 0.0 else 0.0
        total = tail + cumulative_simpson(density, x=fine, initial=0.0)
        inside = np.interp(values, fine, total)
        if first > 0.0:
            far = np.exp(self.log_at(np.minimum(values, fine[0]))) / first
            inside = np.where(values < fine[0], far, inside)
        return np.clip(inside, 0.0, 1.0)

    def above(self, values: Float[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
        """Probability above values, which keeps its digits in the upper tail."""
        mirrored = WorkingDensity(-self.nodes[::-1], self.log_density[::-1])
        return mirrored.below(-values)

    def quantiles(
        self, probabilities: Float[np.ndarray, " q"]
    ) -> Float[np.ndarray, " q"]:
        """Values below which probabilities lie."""
        fine = self.fine()
        return np.interp(probabilities, self.below(fine), fine)

    def mean_sd(self) -> tuple[float, float]:
        """Mean and SD on this scale."""
        fine = self.fine()
        weights = np.exp(self.log_at(fine))
        weights /= weights.sum()
        mean = float(weights @ fine)
        return mean, float(np.sqrt(weights @ (fine - mean) ** 2))

    def fine(self) -> Float[np.ndarray, " f"]:
        """Nodes with points between them."""
        size = BETWEEN * (len(self.nodes) - 1) + 1
        return np.linspace(self.nodes[0], self.nodes[-1], size)

    def _end_slope(self) -> float:
        """Slope of the log density at the lower end."""
        return float(np.gradient(self.log_density, self.nodes)[0])


def normalised(
    nodes: Float[np.ndarray, " n"], log_density: Float[np.ndarray, " n"]
) -> WorkingDensity:
    """A density with an area of 1 over its nodes, from one up to a constant."""
    top = float(log_density.max())
    kept = np.maximum(log_density - top, -NEGLIGIBLE)
    area = float(np.trapezoid(np.exp(kept), nodes))
    return WorkingDensity(nodes, kept - np.log(area))


def density_along(
    points: Float[np.ndarray, "s m"],
    weights: Float[np.ndarray, " s"],
    start: Float[np.ndarray, " s"],
    direction: Float[np.ndarray, " m"],
    nodes: Float[np.ndarray, " n"],
    log_density: LogDensity,
) -> WorkingDensity:
    """Density of a component at some values.

    Parameters
    ----------
    points : ndarray, shape (s, m)
        Points of the distribution.
    weights : ndarray, shape (s,)
        Their probabilities.
    start : ndarray, shape (s,)
        The component at each.
    direction : ndarray, shape (m,)
        Along which it rises by as much as one moves.
    nodes : ndarray, shape (n,)
        Values, evenly spaced, that hold nearly all of the distribution.
    log_density : callable
        Of points, shape (k, m), up to a constant.

    Returns
    -------
    WorkingDensity
        At the nodes.
    """
    moves = nodes[None, :] - start[:, None]
    at = points[:, None, :] + moves[:, :, None] * direction
    found = log_density(at.reshape(-1, points.shape[1])).reshape(moves.shape)
    found = found - found.max(axis=1, keepdims=True)
    lines = np.exp(found)
    lines /= np.trapezoid(lines, nodes, axis=1)[:, None]
    with np.errstate(divide="ignore"):
        return normalised(nodes, np.log(weights @ lines))


def kernel_density(
    values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"] | None = None
) -> gaussian_kde:
    """Density of what there is no direction for."""
    return gaussian_kde(values, lambda own: SMOOTH * own.scotts_factor(), weights)
