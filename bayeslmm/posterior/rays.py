"""How fast a posterior falls as SDs grow: alone, and several of them together.

Takes a `Target`, gives its `Ray`s. Far out the log density of the logs of SDs is linear
in every cone in which they have one order of size, so its limits along the rays on
which some SDs grow at one rate, and all others stay, decide everything: the density is
integrable where it falls along each, and a quantity that grows as ``exp(growth t)`` has
a moment q where it falls faster than that grows.

With SDs S on the ray, the likelihood with the effects integrated out falls as
``exp(-d t)``, ``d = rank(Z_S) - q``: as many independent columns as the effects of S
have, less the dimensions of them in which fixed effects under a flat prior lie. A prior
adds its own power.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.posterior.target import Target

# Where the limits of the tails are read off: a factor exp(12), 160,000, in an SD; the
# slope is then within exp(-24) of its limit.
TAIL = 12.0
# The same for several SDs, whose effects may say the same of the rows: then no digits
# are left between them from e**7 on. The slope is within 5e-5 for each level.
TOGETHER = 5.0
# Slopes this close to a whole number are taken as it: rounding of the likelihood at
# such ratios.
FLAT_SLOPE = 0.05
# A prior whose power still grows by this much from a tail to one twice as far, or that
# is beyond this power, falls faster than any: it has all moments.
GROWS, ANY_POWER = 0.5, -1e3
# The highest moment that anything asks for.
HIGHEST = 2.0
# SDs up to which all sets of them are looked at: 255; of more, all pairs and the whole.
ALL_SETS = 8


@dataclass(frozen=True, slots=True)
class Ray:
    """Some SDs that grow together.

    Attributes
    ----------
    scales : tuple of int
        Their coordinates.
    slope : float
        Slope of the log density of the logs of SDs in the end.
        Minus infinity where a prior falls faster than any power.
    prior : float
        The part of it that is the priors', Jacobians included: 1 for each flat SD,
        minus the degrees of freedom for a half-t.
    reach : float
        How far out it was read off, in log units.
    """

    scales: tuple[int, ...]
    slope: float
    prior: float
    reach: float = TAIL

    @property
    def is_proper(self) -> bool:
        """Whether the density can be integrated along it."""
        return self.slope < -FLAT_SLOPE

    @property
    def falls(self) -> float:
        """Power with which the likelihood falls, where the prior does not hide it."""
        return float(max(round(self.prior - self.slope), 0))

    def has_mean(self, power: float) -> bool:
        """Whether what grows with this power of the SDs has a finite mean."""
        return self.slope + power < -FLAT_SLOPE


def tail_rays(target: Target) -> tuple[Ray, ...]:
    """Rays along which moments may not exist, each SD alone first.

    Sets of several are left out where their parts say as much: the likelihood falls
    along them no slower than along each part, and the priors fall.

    Notes
    -----
    Correlations are held: along rays on which they go to 1 or -1 too, one combination
    of effects alone grows, and an LKJ prior with eta of 1/2 or more falls faster than
    what a second flat SD adds.
    """
    alone = [ray_of(target, (i,)) for i in target.space.scales]
    heavy = [ray for ray in alone if ray.prior > -math.inf]
    found = list(alone)
    for several in _sets(heavy):
        prior = math.fsum(ray.prior for ray in several)
        least = min(ray.slope - ray.prior for ray in several)
        if least + prior + HIGHEST >= -FLAT_SLOPE:
            found.append(ray_of(target, tuple(i for r in several for i in r.scales)))
    return tuple(found)


def _sets(rays: list[Ray]) -> Iterator[tuple[Ray, ...]]:
    """All sets of two or more; of very many the pairs and the whole."""
    n = len(rays)
    sizes = range(2, n + 1) if n <= ALL_SETS else (2, n)
    for size in sizes:
        yield from itertools.combinations(rays, size)


def ray_of(target: Target, scales: tuple[int, ...]) -> Ray:
    """The ray of some SDs."""
    own = list(scales)
    prior = math.fsum(_power(target, i) for i in scales)
    if prior == -math.inf:
        return Ray(scales, prior, prior)
    reach = TAIL if len(scales) == 1 else TOGETHER
    logp, gradient = target(tail_point(target, Ray(scales, 0.0, prior, reach)))
    slope = float(gradient[own].sum()) if logp > -math.inf else -math.inf
    return Ray(scales, slope, prior, reach)


def _power(target: Target, i: int) -> float:
    """Slope of a prior of the log of an SD in the end."""
    middle, logp = float(target.start[i]), target.scale_logp[i]
    near, far = (logp(middle + times * TAIL)[1] for times in (1.0, 2.0))
    return -math.inf if far < near - GROWS or far < ANY_POWER else far


def tail_point(target: Target, ray: Ray, back: float = 0.0) -> Float[np.ndarray, " m"]:
    """A point far out on a ray, some log units nearer than the farthest."""
    point = target.start.copy()
    point[list(ray.scales)] += ray.reach - back
    return point
