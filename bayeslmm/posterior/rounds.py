"""Points of one or more rounds, each from a proposal fitted to the rounds before.

Takes a `Target` and proposals; gives the points with their densities and weights. All
points count, whichever proposal they are from: the weight of each is its density over
that of the mixture of the proposals, by their shares of the points [1]_ [2]_.

.. [1] Veach and Guibas (1995). Optimally combining sampling techniques for Monte Carlo
   rendering. SIGGRAPH '95. https://doi.org/10.1145/218380.218498
.. [2] Cornuet, Marin, Mira and Robert (2012). Adaptive multiple importance sampling.
   Scand. J. Stat. 39(4). https://doi.org/10.1111/j.1467-9469.2011.00756.x
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.points import density_with_effects
from bayeslmm.posterior.proposal import Proposal
from bayeslmm.posterior.target import Target
from bayeslmm.posterior.visits import (
    densities_with_grams,
    in_threads,
    is_far,
    log_target,
    or_impossible,
    safe_point,
)

# Levels of a single factor from which a pass over them is what a point costs.
MANY_LEVELS = 5_000
# Streams of the seed: 2 and 3 are those of the chains' effects and of the lattice.
POINTS, CHAINS, EFFECTS_AT = 0, 1, 4


@dataclass(frozen=True, slots=True)
class Visit:
    """A point's log density and a draw of the effects given it; none if impossible."""

    log_density: float
    beta: Float[np.ndarray, " p"]
    b: dict[int, Float[np.ndarray, "_j _k"]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How points are evaluated: of what, with which effects, in how many threads.

    ``keep`` are the bar terms, by position in the design, whose effects are kept. The
    draws of batch k of the points, and the effects of point i, depend on ``seed`` and k
    or i alone, so they are the same whatever the number of threads.
    """

    target: Target
    seed: int
    keep: tuple[int, ...]
    cores: int

    @property
    def effects_at_once(self) -> bool:
        """Whether a point's effects cost little beside its density.

        With crossed factors in steps both come from one factorisation. Elsewhere the
        density has kernels that are much faster than any draw.
        """
        return self.target.statistics.in_steps

    @property
    def grams_at_once(self) -> bool:
        """Whether what draws of the fixed effects need is kept with the density.

        With one factor of very many levels a pass over these is all that either costs.
        """
        stats = self.target.statistics
        large = stats.lead.n_levels >= MANY_LEVELS and not stats.m
        return large and self.target.compiled is not None

    def generator(self, *stream: int) -> np.random.Generator:
        """Source of random numbers of one of the streams."""
        return np.random.default_rng(
            np.random.SeedSequence(self.seed, spawn_key=stream)
        )

    def densities(self, x: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
        """Log densities of points, by the fastest kernel."""
        visit = partial(log_target, self.target)
        return np.array(in_threads(visit, list(x), self.cores))

    def visits(self, x: Float[np.ndarray, "n m"], first: int) -> list[Visit]:
        """Points number ``first`` and on with their effects."""
        items = list(enumerate(x, start=first))
        return in_threads(lambda item: self.effects(*item), items, self.cores)

    def effects(self, i: int, x: Float[np.ndarray, " m"]) -> Visit:
        """Point i with its density and its draw of (beta, b): one factorisation."""
        if is_far(self.target, x):
            return Visit(-math.inf, np.empty(0), {})
        factors, sigma, rest = safe_point(self.target, x)
        stats = self.target.statistics_at(x)
        lead = bool(set(stats.lead.terms) & set(self.keep))
        rng = self.generator(EFFECTS_AT, i)
        value, beta, b = density_with_effects(
            stats, factors, sigma, rng, self.target.beta, lead=lead
        )
        safe = self.target.conditioned
        kept = {t: safe.random_effects(t, b[t]) for t in self.keep}
        return Visit(or_impossible(value + rest), safe.coefficients(beta), kept)


@dataclass(frozen=True, slots=True)
class Rounds:
    """All points so far.

    Attributes
    ----------
    proposals : tuple of Proposal
        One for each round.
    sizes : tuple of int
        Points of each round, in their order.
    batches : int
        Batches in which they were drawn.
    x : ndarray, shape (n, m)
        Points.
    log_density : ndarray, shape (n,)
        Log density of the target at each.
    visits : list of Visit
        The effects at each, where they cost little beside it; else empty.
    grams : ndarray, shape (n, w, w), or None
        What draws of the fixed effects need, where that is kept.
    """

    proposals: tuple[Proposal, ...]
    sizes: tuple[int, ...]
    batches: int
    x: Float[np.ndarray, "n m"]
    log_density: Float[np.ndarray, " n"]
    visits: list[Visit]
    grams: Float[np.ndarray, "n w w"] | None = None

    @property
    def log_weights(self) -> Float[np.ndarray, " n"]:
        """Log target density less that of the mixture of all proposals."""
        shares = np.log(np.array(self.sizes) / len(self.x))
        proposed = [
            share + own.log_density(self.x)
            for share, own in zip(shares, self.proposals, strict=True)
        ]
        return self.log_density - np.logaddexp.reduce(proposed, axis=0)

    @property
    def last_log_weights(self) -> Float[np.ndarray, " l"]:
        """The same of the last round alone, of which its own proposal is judged."""
        own = slice(len(self.x) - self.sizes[-1], None)
        proposed = self.proposals[-1].log_density(self.x[own])
        return self.log_density[own] - proposed

    def more(self, evaluation: Evaluation, n: int) -> "Rounds":
        """N more points of the last proposal."""
        rng = evaluation.generator(POINTS, self.batches)
        x, grams = self.proposals[-1].draw(n, rng), self.grams
        if evaluation.grams_at_once:
            target, cores, visits = evaluation.target, evaluation.cores, []
            densities, found = densities_with_grams(target, x, cores)
            grams = found if grams is None else np.concatenate([grams, found])
        elif evaluation.effects_at_once:
            visits = evaluation.visits(x, len(self.x))
            densities = np.array([visit.log_density for visit in visits])
        else:
            visits, densities = [], evaluation.densities(x)
        return replace(
            self,
            sizes=(*self.sizes[:-1], self.sizes[-1] + n),
            batches=self.batches + 1,
            x=np.concatenate([self.x, x]),
            log_density=np.append(self.log_density, densities),
            visits=self.visits + visits,
            grams=grams,
        )

    def then(self, proposal: Proposal) -> "Rounds":
        """The same before a further round."""
        proposals, sizes = (*self.proposals, proposal), (*self.sizes, 0)
        return replace(self, proposals=proposals, sizes=sizes)


def first_round(proposal: Proposal, m: int) -> Rounds:
    """A round without points yet."""
    return Rounds((proposal,), (0,), 0, np.empty((0, m)), np.empty(0), [])


def weighted_draws(
    target: Target, proposal: Proposal, n: int, seed: int, cores: int
) -> tuple[Float[np.ndarray, "n m"], Float[np.ndarray, " n"]]:
    """Points of one proposal, without effects, and their log weights."""
    evaluation = Evaluation(target, seed, (), cores)
    x = proposal.draw(n, evaluation.generator(POINTS, 0))
    return x, evaluation.densities(x) - proposal.log_density(x)
