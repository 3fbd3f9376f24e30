"""Whether weighted points are trusted: the limits, and the sentences that say so.

Takes what the weights of a run say of themselves; gives the verdict, `ImportanceChecks`
and `Declined`.
"""

import math
from dataclasses import dataclass

from bayeslmm.posterior.independence import WeightCheck
from bayeslmm.reml.expense import MAX_DIMENSION

# Beyond these the weights are not trusted. Pareto k of Vehtari et al. (2024) alone is
# not enough: with 22 coordinates it was 0.58 where a mean was off by a quarter of an
# SD, and the effective share was 0.06.
MAX_PARETO_K, MIN_EFFICIENCY = 0.7, 0.2


@dataclass(frozen=True, slots=True)
class ImportanceChecks:
    """What decided about a run.

    Attributes
    ----------
    dimension, n_points, n_rounds : int
        Coordinates, points evaluated in all, and rounds, each with a proposal.
    pareto_k : float
        Shape of the tail of the weights of the last round.
    max_k : float
        What it was to be below, for so many points.
    efficiency : float
        Kish's effective share of the points of the last round; to be above 0.2.
    ess : float
        Smallest effective sample size of a variance parameter in the chains, of bulk
        and tails.
    seconds : float
        Wall time.
    """

    dimension: int
    n_points: int
    n_rounds: int
    pareto_k: float
    max_k: float
    efficiency: float
    ess: float
    seconds: float

    @property
    def rounds(self) -> str:
        """Number of rounds in words."""
        return "1 round" if self.n_rounds == 1 else f"{self.n_rounds} rounds"

    @property
    def brief(self) -> str:
        """Method and quality in a few words."""
        return (
            f"weighted points, {self.rounds}, k {self.pareto_k:.2f}, "
            f"ESS {self.ess:,.0f}"
        )

    @property
    def accepted(self) -> str:
        """What was done, and the checks, in one sentence."""
        last = "" if self.n_rounds == 1 else ", in the last round"
        return (
            f"{self.n_points:,} weighted points, {self.rounds}: Pareto k "
            f"{self.pareto_k:.2f} (below {self.max_k:.2f}) and effective share "
            f"{self.efficiency:.2f} (above {MIN_EFFICIENCY}){last}; ESS at least "
            f"{self.ess:,.0f}; {self.dimension} variance parameters (at most "
            f"{MAX_DIMENSION})."
        )


@dataclass(frozen=True, slots=True)
class Declined:
    """Importance sampling set aside, with the reason as a sentence."""

    reason: str
    checks: ImportanceChecks


def largest_k(n: int) -> float:
    """Pareto k up to which n points are trusted: min(0.7, 1 - 1 / log10(n)).

    References
    ----------
    .. [1] Vehtari, Simpson, Gelman, Yao and Gabry (2024). Pareto smoothed importance
       sampling. J. Mach. Learn. Res. 25(72). https://jmlr.org/papers/v25/19-556.html
    """
    return min(MAX_PARETO_K, 1.0 - 1.0 / math.log10(max(n, 2)))


def is_trusted(weights: WeightCheck) -> bool:
    """Whether the weights of a proposal's points pass."""
    limit = largest_k(weights.smoothed.size)
    return weights.pareto_k < limit and weights.efficiency > MIN_EFFICIENCY


def too_many(m: int) -> Declined:
    """A model with many coordinates is not tried."""
    nothing = ImportanceChecks(m, 0, 0, math.nan, math.nan, math.nan, math.nan, 0.0)
    return Declined(
        f"There are {m} variance parameters; weighted points are trusted for at most "
        f"{MAX_DIMENSION}.",
        nothing,
    )


def not_trusted(checks: ImportanceChecks) -> Declined:
    """Which check failed, with the numbers."""
    tried = f"{checks.n_points:,} points in {checks.rounds}"
    if not math.isfinite(checks.pareto_k):
        reason = (
            f"Weighted points were set aside: {tried} are too few, or have too little "
            "density, to judge their weights."
        )
    else:
        reason = (
            f"Weighted points were tried and set aside: after {tried} Pareto k is "
            f"{checks.pareto_k:.2f} (to be below {checks.max_k:.2f}) and the effective "
            f"share {checks.efficiency:.2f} (to be above {MIN_EFFICIENCY}), so they do "
            "not cover the posterior well enough."
        )
    return Declined(reason, checks)


def too_few(checks: ImportanceChecks, wanted: int) -> Declined:
    """Chains that move too little are not used."""
    return Declined(
        f"Weighted points were tried and set aside: {checks.n_points:,} in "
        f"{checks.rounds} gave an effective sample of {checks.ess:.0f}, too far from "
        f"the {wanted} wanted for so few draws.",
        checks,
    )
