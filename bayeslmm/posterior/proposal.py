"""Points of a split Student-t at the mode of a target, with densities and effects.

The t is multivariate, in whitened coordinates, with a scale of its own on either side
of the mode in each: log SDs are skewed, and a symmetric proposal misses their long side
(Geweke 1989, https://doi.org/10.2307/1913710, section 4).

Point i is made by the i-th generator of the seed, so it is the same whatever the number
of points and threads, and its effects can be drawn again later instead of being kept.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.points import density_with_effects
from bayeslmm.posterior.mode import Laplace
from bayeslmm.posterior.target import Target
from bayeslmm.posterior.visits import (
    in_threads,
    is_far,
    log_target,
    or_impossible,
    safe_point,
)

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
# Streams of the seed.
POINTS, CHAINS = 0, 1


@dataclass(frozen=True, slots=True)
class Visit:
    """One point: coordinates, log density, log weight, and a draw of the effects.

    ``beta`` is empty and ``b`` has no terms where only the density was asked for.
    """

    x: Float[np.ndarray, " m"]
    log_density: float
    log_weight: float
    beta: Float[np.ndarray, " p"]
    b: dict[int, Float[np.ndarray, "_j _k"]]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A split multivariate Student-t at the mode of a target.

    Attributes
    ----------
    target : Target
        Where the points are evaluated.
    normal : Laplace
        Its mode and whitening basis.
    seed : int
        Point i depends on it and on i alone.
    keep : tuple of int
        Bar terms, by position in the design, whose effects are kept.
    above, below : ndarray, shape (m,)
        Scale of the two sides in each whitened coordinate.
    log_constant : float
        Log density of proposing the mode.
    """

    target: Target
    normal: Laplace
    seed: int
    keep: tuple[int, ...]
    above: Float[np.ndarray, " m"]
    below: Float[np.ndarray, " m"]
    log_constant: float

    @property
    def draws_at_once(self) -> bool:
        """Whether a point's effects cost little beside its density.

        With crossed factors both come from one factorisation. With one grouping factor
        the density has kernels that are much faster than any draw.
        """
        return self.target.statistics.in_steps

    def visit(self, i: int) -> Visit:
        """Point i with its density, and with its effects if they cost little."""
        return self.effects(i) if self.draws_at_once else self.density(i)

    def density(self, i: int) -> Visit:
        """Point i with its density, by the fastest kernel."""
        _, x, log_q = self._place(i)
        value = log_target(self.target, x)
        return Visit(x, value, value - log_q, np.empty(0), {})

    def effects(self, i: int) -> Visit:
        """Point i with its density and its draw of (beta, b): one factorisation."""
        rng, x, log_q = self._place(i)
        if is_far(self.target, x):
            return Visit(x, -math.inf, -math.inf, np.empty(0), {})
        factors, sigma, rest = safe_point(self.target, x)
        stats = self.target.statistics_at(x)
        lead = bool(set(stats.lead.terms) & set(self.keep))
        value, beta, b = density_with_effects(
            stats, factors, sigma, rng, self.target.beta, lead=lead
        )
        value = or_impossible(value + rest)
        safe = self.target.conditioned
        kept = {t: safe.random_effects(t, b[t]) for t in self.keep}
        return Visit(x, value, value - log_q, safe.coefficients(beta), kept)

    def log_density(self, x: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
        """Log density of proposing each of some points."""
        z = np.linalg.solve(self.normal.basis, (x - self.normal.mode).T).T
        return self._log_q(np.where(z > 0.0, z / self.above, -z / self.below))

    def _log_q(self, t: Float[np.ndarray, "*n m"]) -> Float[np.ndarray, "*n"]:
        """The same of distances in scales of their sides."""
        square = np.einsum("...m,...m->...", t, t)
        fall = 0.5 * (NU + t.shape[-1]) * np.log1p(square / NU)
        return np.asarray(self.log_constant - fall)

    def _place(
        self, i: int
    ) -> tuple[np.random.Generator, Float[np.ndarray, " m"], float]:
        """Coordinates of point i, the log density of proposing it, its generator."""
        rng = np.random.default_rng(
            np.random.SeedSequence(self.seed, spawn_key=(POINTS, i))
        )
        m = self.normal.mode.size
        t = np.abs(rng.standard_normal(m)) / math.sqrt(rng.chisquare(NU) / NU)
        # a side in proportion to its scale, so that the density is continuous
        is_above = rng.random(m) * (self.above + self.below) < self.above
        z = np.where(is_above, self.above * t, -self.below * t)
        log_q = float(self._log_q(t))
        return rng, self.normal.mode + self.normal.basis @ z, log_q


def make_proposal(
    target: Target, normal: Laplace, seed: int, keep: tuple[int, ...], cores: int
) -> Proposal:
    """Proposal whose sides fall off as the target does along each whitened axis.

    Parameters
    ----------
    target, normal, seed, keep
        Become those of the proposal.
    cores : int
        Threads that evaluate the probes.

    Returns
    -------
    Proposal
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
        math.lgamma(0.5 * (NU + m))
        - math.lgamma(0.5 * NU)
        - 0.5 * m * math.log(NU * math.pi)
        - float(np.log(0.5 * (above + below)).sum())
        - float(np.linalg.slogdet(normal.basis)[1])
    )
    return Proposal(target, normal, seed, keep, above, below, log_constant)
