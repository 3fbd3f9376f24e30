"""More points, and better ones, until a posterior by weighted points is good enough.

Takes the first round of points and what is `Wanted`; gives the last `Batch`: all points
with the chains over them. A round whose weights fail, or are too uneven, is followed by
one whose proposal is fitted to all points so far; one that is good enough by more
points of its own.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.posterior.independence import (
    Chains,
    WeightCheck,
    check_weights,
    smallest_ess,
    walk,
    worth_by_stays,
)
from bayeslmm.posterior.rounds import CHAINS, Evaluation, Rounds
from bayeslmm.posterior.transport import fit_proposal
from bayeslmm.posterior.trust import is_trusted

# The first points of a round, which say whether to go on and how many more there must
# be: this many, or this share of the points that are made in any case.
PILOT, PILOT_SHARE = 400, 0.25
# Rounds, each with a proposal fitted to the points before it. The largest weight fell
# from 20 to 200 times the mean to 4 to 7 in the third (nested slopes, SDs near 0).
MOST_ROUNDS = 3
# Chains that are worth less than this share of their points, by how long they stay at
# each, have some large weights: a further round is tried before more points. With 2 to
# 4 coordinates it was 0.55 to 0.75, with 7 at the mode 0.02 to 0.5.
GOOD_SHARE = 0.5
# Points are added for a little more than the effective sample that is missing.
MARGIN = 1.05
# Where they were still too few, this many times as many.
GROWTH = 1.1
# The estimate from the draws' own autocorrelation may be this many times too large.
TRUSTED = 2.0
# A run that would need this many times the points that it may have is given up at once;
# its own estimate of what it needs may be off by half.
HOPELESS = 2.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is asked for.

    ``draws`` of each of ``chains`` at most; not to stop before ``fewest`` points, nor
    before an effective sample of ``ess``.
    """

    draws: int
    chains: int
    fewest: int
    ess: float

    @property
    def most(self) -> int:
        """Points of all chains."""
        return self.draws * self.chains

    @property
    def pilot(self) -> int:
        """Points of a round before it is judged."""
        wanted = max(PILOT, PILOT_SHARE * min(self.fewest, self.most))
        return self.round_up(min(wanted, self.most))

    def round_up(self, n: int | float) -> int:
        """The next number of points that the chains share evenly."""
        return math.ceil(n / self.chains) * self.chains


@dataclass(frozen=True, slots=True)
class Batch:
    """All points so far, what the last round's weights say, and chains over them.

    ``ess`` is that of the variance parameter that mixes worst, or, while more points
    are made in any case, ``worth``: the draws that the chains are worth by their stays.
    """

    rounds: Rounds
    log_weights: Float[np.ndarray, " n"]
    weights: WeightCheck
    chains: Chains
    worth: float
    ess: float

    @property
    def size(self) -> int:
        """Number of points."""
        return self.log_weights.size


def grow(evaluation: Evaluation, first: Rounds, wanted: Wanted) -> tuple[Batch, bool]:
    """Points until there are enough or they are not trusted; whether that was reached.

    After Ctrl-C, the batches that are complete, if they are trusted.
    """
    batch = _extend(evaluation, first, wanted.pilot, wanted)
    try:
        while (rounds := _next(batch, wanted)) is not None:
            batch = _extend(evaluation, *rounds, wanted)
    except KeyboardInterrupt:
        if not is_trusted(batch.weights):
            raise
        return batch, False
    return batch, True


def _next(batch: Batch, wanted: Wanted) -> tuple[Rounds, int] | None:
    """What is to be done next, with how many points; None if nothing more is."""
    good = is_trusted(batch.weights)
    enough = batch.ess >= wanted.ess and batch.size >= wanted.fewest
    if good and enough:
        return None
    may_go_on = batch.size < wanted.most or math.isfinite(wanted.ess)
    if not good or (may_go_on and batch.worth < GOOD_SHARE * batch.chains.index.size):
        adapted = _refitted(batch.rounds, check_weights(batch.log_weights))
        if adapted is not None:
            return adapted, wanted.pilot
    missing = _missing(batch, wanted) if good else 0
    return (batch.rounds, missing) if missing > 0 else None


def trusted_points(
    evaluation: Evaluation, first: Rounds, n: int
) -> tuple[Float[np.ndarray, "r m"], Float[np.ndarray, " r"]] | None:
    """Points with their weights, n in each round until one is trusted; None if none is.

    Weights sum to 1; points without weight are left out.
    """
    rounds: Rounds | None = first
    while rounds is not None:
        rounds = rounds.more(evaluation, n)
        whole = check_weights(rounds.log_weights)
        if is_trusted(check_weights(rounds.last_log_weights)):
            kept = whole.smoothed > 0.0
            return rounds.x[kept], whole.smoothed[kept]
        rounds = _refitted(rounds, whole)
    return None


def _refitted(rounds: Rounds, weights: WeightCheck) -> Rounds | None:
    """A further round, its proposal fitted to all points; None if there is none."""
    if len(rounds.sizes) == MOST_ROUNDS:
        return None
    fitted = fit_proposal(rounds.x, weights.smoothed, rounds.proposals[0])
    return None if fitted is None else rounds.then(fitted)


def _missing(batch: Batch, wanted: Wanted) -> int:
    """Points that a trusted round is to have more; 0 if enough, or too far from it.

    All draws that are wanted; for an effective sample up to twice as many.
    """
    n, most = batch.size, wanted.most
    needed = max(GROWTH * n, wanted.fewest)
    if math.isfinite(wanted.ess):
        by_repeats = wanted.ess * _points_per_draw(batch.chains)
        measured = wanted.ess * n / max(batch.ess, 1.0)
        if MARGIN * max(by_repeats, measured / TRUSTED) > HOPELESS * most:
            return 0
        needed = max(needed, MARGIN * by_repeats)
        most = math.floor(HOPELESS * most)
    else:
        needed = most
    return max(wanted.round_up(min(needed, most)) - n, 0)


def _points_per_draw(chains: Chains) -> float:
    """Points for one effective draw: (1 + r) / (1 - r), r the share of repeats.

    Chains of independence Metropolis forget a point when they leave it. The estimate
    from few draws' own autocorrelation is much noisier: on InstEval 400 points asked
    for 920 where 580 were enough.
    """
    repeats = 1.0 - float(chains.acceptance.mean()) if chains.acceptance.size else 1.0
    return (1.0 + repeats) / max(1.0 - repeats, 1e-9)


def _extend(evaluation: Evaluation, rounds: Rounds, n: int, wanted: Wanted) -> Batch:
    """The rounds with n more points, and the chains over all points."""
    rounds = rounds.more(evaluation, n)
    log_weights = rounds.log_weights
    weights = check_weights(rounds.last_log_weights)
    if not weights.smoothed.any():
        none = np.zeros((wanted.chains, 0))
        still = Chains(none.astype(int), none)
        return Batch(rounds, log_weights, weights, still, 0.0, 0.0)
    rng, n_points = evaluation.generator(CHAINS, CHAINS), len(rounds.x)
    # points of several rounds are draws of the mixture of proposals in random order
    order = np.arange(n_points)
    if len(rounds.sizes) > 1:
        order = rng.permutation(order)
    walked = walk(log_weights, order, wanted.draws, wanted.chains, rng)
    ess = worth = worth_by_stays(walked.index)
    if n_points >= min(wanted.fewest, wanted.most):
        ess = smallest_ess(rounds.x[walked.index])
    return Batch(rounds, log_weights, weights, walked, worth, ess)
