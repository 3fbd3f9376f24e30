"""Fixed and random effects as mixtures of Normals over the variance parameters.

Given the variance parameters each effect is Normal, with mean and SD in closed form;
its posterior is the mixture over `WeightedPoints`. Density and tail probabilities need
no draw of the effect itself: a probability of 1e-9 is as well known as one of a half.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr

from bayeslmm.design.arrays import Design
from bayeslmm.errors import ModelError, nearest_names
from bayeslmm.marginal import EffectsMean
from bayeslmm.posterior.margins import mixture_quantiles
from bayeslmm.posterior.tails import effect_label
from bayeslmm.posterior.visits import fixed_visitor
from bayeslmm.posterior.weighted import WeightedPoints

# Points of a mixture, at most; and numbers of random effects given them that may be
# computed (a point takes all levels at once), and points that are taken in any case.
MOST_POINTS, MOST_NUMBERS, FEWEST_POINTS = 2000, 4_000_000, 50


@dataclass(frozen=True, slots=True)
class NormalMixture:
    """A mixture of Normals.

    Attributes
    ----------
    weights : ndarray, shape (n,)
        Probability of each component.
    means, sds : ndarray, shape (n,)
        Units of the effect.
    """

    weights: Float[np.ndarray, " n"]
    means: Float[np.ndarray, " n"]
    sds: Float[np.ndarray, " n"]

    def density(self, values: Float[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
        """Density at values."""
        z = (values[:, None] - self.means) / self.sds
        heights = np.exp(-0.5 * z * z) / (np.sqrt(2.0 * np.pi) * self.sds)
        return heights @ self.weights

    def below(self, value: float) -> float:
        """Probability below a value, exact in the tail."""
        return float(self.weights @ ndtr((value - self.means) / self.sds))

    def above(self, value: float) -> float:
        """Probability above a value, exact in the tail."""
        return float(self.weights @ ndtr((self.means - value) / self.sds))

    def quantiles(self, *probabilities: float) -> list[float]:
        """Values below which probabilities lie."""
        given = (self.weights, self.means, self.sds)
        return mixture_quantiles(*given, probabilities)


def fixed_mixture(points: WeightedPoints, column: int) -> NormalMixture:
    """Posterior of the fixed effect of a column of X."""
    lattice = points.lattice
    if lattice is not None:
        variance = lattice.beta_var[:, column]
        given = (lattice.weights, lattice.beta[:, column], variance)
    else:
        kept, weights = _kept(points, MOST_POINTS)
        visit = fixed_visitor(points.target)
        found = [visit(x) for x in points.x[kept]]
        means = np.array([beta[column] for _, beta, _ in found])
        given = (weights, means, np.array([v[column] for *_, v in found]))
    return NormalMixture(given[0], given[1], np.sqrt(given[2]))


def random_mixture(
    points: WeightedPoints, t: int, level: int, effect: int
) -> NormalMixture:
    """Posterior of one effect of one level of a bar term."""
    given = [
        (weight, own.b[t][level, effect], own.b_cov[t][level, effect, effect])
        for weight, own in effects_at(points)
    ]
    weights, means, variances = np.array(given).T
    # an SD of 0 has effects of 0: rounding may leave -1e-18
    sds = np.sqrt(np.maximum(variances, np.finfo(float).tiny))
    return NormalMixture(weights, means, sds)


def effects_at(points: WeightedPoints) -> Iterator[tuple[float, EffectsMean]]:
    """Weights, and the distribution of the effects given each point.

    All points, or an even sample where the model is large.
    """
    blocks = points.target.statistics.layout.blocks
    numbers = sum(b.n_levels * b.k * b.k for b in blocks)
    most = int(np.clip(MOST_NUMBERS // numbers, FEWEST_POINTS, MOST_POINTS))
    kept, weights = _kept(points, most)
    for x, weight in zip(points.x[kept], weights.tolist(), strict=True):
        yield weight, points.target.effects(x)


def _kept(
    points: WeightedPoints, most: int
) -> tuple[Int[np.ndarray, " s"], Float[np.ndarray, " s"]]:
    """All points, or an even sample of them."""
    if len(points.weights) <= most:
        return np.arange(len(points.weights)), points.weights
    total = np.cumsum(points.weights)
    places = total[-1] * (np.arange(most) + 0.5) / most
    kept = np.minimum(np.searchsorted(total, places), len(total) - 1)
    return kept, np.full(most, 1.0 / most)


def find_effect(design: Design, label: str) -> tuple[int, int, int] | None:
    """Term, level and effect of ``Days|Subject[308]``; None for another label.

    Raises
    ------
    ModelError
        If the effect varies over the factor, and the level is none of its.
    """
    for t, term in enumerate(design.groups):
        for i, effect in enumerate(term.effects):
            short = "1" if effect == "Intercept" else effect
            for name in (effect, short):
                start = f"{effect_label(name, term.group)}["
                if not (label.startswith(start) and label.endswith("]")):
                    continue
                level = label[len(start) : -1]
                if level in term.levels:
                    return t, term.levels.index(level), i
                raise ModelError(
                    f"There is no level {level!r} of {term.group!r}."
                    f"{nearest_names(level, term.levels[:1000])}"
                )
    return None
