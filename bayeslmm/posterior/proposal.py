"""What points are drawn from where a posterior is to be weighted: a split Student-t.

The t is multivariate, in whitened coordinates, with a scale of its own on either side
of the mode in each: log SDs are skewed, and a symmetric proposal misses their long side
(Geweke 1989, https://doi.org/10.2307/1913710, section 4). What is fitted to points that
were drawn before is in `transport`.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from bayeslmm.posterior.mode import Laplace
from bayeslmm.posterior.target import Target
from bayeslmm.posterior.visits import in_threads, log_target

# Degrees of freedom: tails heavier than a normal's bound the weights. With 5 the
# effective share is up to 5% less than with 8; with 10, Pareto k is too large where an
# SD may be 0.
NU = 8.0
# Where the scale of each side is read off, in whitened units. Closer in, the long left
# tail of a log SD is missed (Dyestuff2: k 0.5 to 1); further out, the body is (scores
# in classrooms: effective share 0.65 instead of 0.84).
PROBES = (2.0, 4.0)
# Scales of a side, whatever the probes say; an SD near 0 asked for 1.9.
NARROWEST, WIDEST = 0.5, 5.0


@runtime_checkable
class Proposal(Protocol):
    """A density that points can be drawn from."""

    def draw(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n m"]:
        """Independent points."""
        ...

    def log_density(self, x: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
        """Log density at points, normalised."""
        ...


@dataclass(frozen=True, slots=True)
class SplitT:
    """A split multivariate Student-t at the mode of a target.

    Attributes
    ----------
    normal : Laplace
        Its mode and whitening basis.
    above, below : ndarray, shape (m,)
        Scale of the two sides in each whitened coordinate.
    log_constant : float
        Log density of proposing the mode.
    """

    normal: Laplace
    above: Float[np.ndarray, " m"]
    below: Float[np.ndarray, " m"]
    log_constant: float

    def draw(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n m"]:
        """Independent points."""
        t = np.abs(student(n, self.above.size, rng))
        # a side in proportion to its scale, so that the density is continuous
        is_above = rng.random(t.shape) * (self.above + self.below) < self.above
        z = np.where(is_above, self.above * t, -self.below * t)
        return self.normal.mode + z @ self.normal.basis.T

    def log_density(self, x: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
        """Log density of proposing each of some points."""
        z = np.linalg.solve(self.normal.basis, (x - self.normal.mode).T).T
        t = np.where(z > 0.0, z / self.above, -z / self.below)
        return self.log_constant - log_fall(t)


def student(n: int, m: int, rng: np.random.Generator) -> Float[np.ndarray, "n m"]:
    """Points of the standard multivariate t with `NU` degrees of freedom."""
    spread = np.sqrt(rng.chisquare(NU, n) / NU)
    return rng.standard_normal((n, m)) / spread[:, None]


def log_fall(t: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
    """What the log density of the standard t loses from its mode to each point."""
    return 0.5 * (NU + t.shape[1]) * np.log1p(np.einsum("nm,nm->n", t, t) / NU)


def log_peak(m: int) -> float:
    """Log density of the standard t at its mode."""
    at_zero = math.lgamma(0.5 * (NU + m)) - math.lgamma(0.5 * NU)
    return at_zero - 0.5 * m * math.log(NU * math.pi)


def make_proposal(target: Target, normal: Laplace, cores: int) -> SplitT:
    """Proposal whose sides fall off as the target does along each whitened axis.

    Parameters
    ----------
    target : Target
        Where it is probed.
    normal : Laplace
        Becomes that of the proposal.
    cores : int
        Threads that evaluate the probes.

    Returns
    -------
    SplitT
        Each side has the scale of the normal that has the target's density at the
        probes, the larger of the two.
    """
    m = normal.mode.size
    steps = [
        (i, side * probe) for side in (1.0, -1.0) for i in range(m) for probe in PROBES
    ]

    def scale(step: tuple[int, float]) -> float:
        """Scale of the normal that falls as far as the target at one probe."""
        i, size = step
        value = log_target(target, normal.mode + size * normal.basis[:, i])
        fall = normal.value - value
        if not fall > 0.0:
            return WIDEST
        return min(max(abs(size) / math.sqrt(2.0 * fall), NARROWEST), WIDEST)

    scales = np.array(in_threads(scale, steps, cores)).reshape(2, m, len(PROBES))
    above, below = scales.max(axis=2)
    log_constant = (
        log_peak(m)
        - float(np.log(0.5 * (above + below)).sum())
        - float(np.linalg.slogdet(normal.basis)[1])
    )
    return SplitT(normal, above, below, log_constant)
