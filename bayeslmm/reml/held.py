"""One parameter held at a value: how the rest of a criterion is then reached.

Takes a `ProfiledProblem`; each class here says for a held value and the other
coordinates where theta and log sigma are, with the derivative by the others. What is
held is an SD, sigma, a correlation or a fixed effect, in safe units. ``working`` values
are logarithms of SDs, atanh of correlations, fixed effects in their SEs.

The columns of an unstructured term are turned so that an SD is the first pivot of its
factor, a correlation one of its first two rows: the other entries stay free of bounds,
and nothing is lost where a correlation is +-1.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bayeslmm.design.space import Parameter
from bayeslmm.marginal.routes import make_statistics
from bayeslmm.marginal.sums import turn_sums
from bayeslmm.reml.criterion import ProfiledProblem

# Natural log units around its estimate in which log sigma is searched.
FARTHEST = 40.0


class Place(NamedTuple):
    """A point of a criterion: theta, log sigma (None: the best), derivatives by rest.

    ``slope`` has a row for each theta and one for log sigma.
    """

    problem: ProfiledProblem
    theta: Float[np.ndarray, " m"]
    log_sigma: float | None
    slope: Float[np.ndarray, "m1 r"]


@dataclass(frozen=True, slots=True)
class HeldSd:
    """An SD, or the only parameter ``theta[at] * sigma`` of a structured term."""

    problem: ProfiledProblem
    at: int
    edges: tuple[float, float] = (0.0, math.inf)

    def start(self, theta: Float[np.ndarray, " m"]) -> Float[np.ndarray, " r"]:
        """The rest of theta and log sigma."""
        log_sigma = math.log(self.problem.profile(theta).sigma)
        return np.append(np.delete(theta, self.at), log_sigma)

    def bounds(self, start: Float[np.ndarray, " r"]) -> list[tuple[float, float]]:
        """Those of theta, and of log sigma around its estimate."""
        lower, upper = (np.delete(b, self.at) for b in self.problem.bounds)
        own = (start[-1] - FARTHEST, start[-1] + FARTHEST)
        return [*zip(lower, upper, strict=True), own]

    def place(self, held: float, rest: Float[np.ndarray, " r"]) -> Place:
        """Theta with the SD over sigma put in."""
        own, m = held * math.exp(-rest[-1]), len(rest)
        slope = np.insert(np.eye(m), self.at, np.zeros(m), axis=0)
        slope[self.at, -1] = -own
        theta = np.insert(rest[:-1], self.at, own)
        return Place(self.problem, theta, float(rest[-1]), slope)

    def natural(self, working: float) -> float:
        """SD of its logarithm."""
        return math.exp(working)


@dataclass(frozen=True, slots=True)
class HeldSigma:
    """The residual SD."""

    problem: ProfiledProblem
    edges: tuple[float, float] = (-math.inf, math.inf)

    def start(self, theta: Float[np.ndarray, " m"]) -> Float[np.ndarray, " r"]:
        """All of theta."""
        return theta

    def bounds(self, start: Float[np.ndarray, " r"]) -> list[tuple[float, float]]:
        """Those of theta."""
        del start
        return list(zip(*self.problem.bounds, strict=True))

    def place(self, held: float, rest: Float[np.ndarray, " r"]) -> Place:
        """Theta and the sigma held."""
        slope = np.eye(len(rest) + 1)[:, :-1]
        return Place(self.problem, rest, math.log(held), slope)

    def natural(self, working: float) -> float:
        """SD of its logarithm."""
        return math.exp(working)


@dataclass(frozen=True, slots=True)
class HeldCorrelation:
    """The correlation of two effects of an unstructured term.

    Their rows of the factor are ``lead`` times the first two of theta at ``places``
    (entries 00, 10 and 11); free are the first pivot and the second effect's SD.
    """

    problem: ProfiledProblem
    places: tuple[int, int, int]
    lead: Float[np.ndarray, "2 2"]
    edges: tuple[float, float] = (-1.0, 1.0)

    def start(self, theta: Float[np.ndarray, " m"]) -> Float[np.ndarray, " r"]:
        """The rest of theta, with the SD at the place of entry 10."""
        first, below, second = self.places
        row = self.lead[1] @ [[theta[first], 0.0], [theta[below], theta[second]]]
        found = theta.copy()
        found[below] = np.hypot(*row)
        return np.delete(found, second)

    def bounds(self, start: Float[np.ndarray, " r"]) -> list[tuple[float, float]]:
        """Neither SD may change its sign, for the correlation would."""
        del start
        first, below, second = self.places
        lower, upper = (bound.copy() for bound in self.problem.bounds)
        lower[[first, below]] = 0.0
        pairs = list(zip(lower, upper, strict=True))
        return pairs[:second] + pairs[second + 1 :]

    def place(self, held: float, rest: Float[np.ndarray, " r"]) -> Place:
        """Entries 10 and 11 such that the effects have the correlation."""
        first, below, second = self.places
        m = len(rest)
        slope = np.insert(np.eye(m), second, np.zeros(m), axis=0)
        across = math.sqrt(max(1.0 - held * held, 0.0))
        slope[below] = slope[second] = 0.0
        slope[below, first] = -self.lead[1, 0] / self.lead[1, 1]
        slope[below, below] = held / self.lead[1, 1]
        slope[second, below] = across / self.lead[1, 1]
        whole = np.vstack([slope, np.zeros(m)])
        return Place(self.problem, slope @ rest, None, whole)

    def natural(self, working: float) -> float:
        """Correlation of its atanh."""
        return math.tanh(working)


@dataclass(frozen=True, slots=True)
class HeldPair:
    """The SD of an effect together with its correlation with another one.

    Their rows of the factor are ``lead`` times the first two of theta at ``places``
    (entries 00, 10 and 11). The correlation is the object's, the SD what is held; free
    are the SD of the other effect, at the place of entry 10, and log sigma.
    """

    problem: ProfiledProblem
    places: tuple[int, int, int]
    lead: Float[np.ndarray, "2 2"]
    corr: float
    edges: tuple[float, float] = (0.0, math.inf)

    def start(self, theta: Float[np.ndarray, " m"]) -> Float[np.ndarray, " r"]:
        """The rest of theta, with the other SD, and log sigma."""
        first, below, second = self.places
        row = self.lead[1] @ [[theta[first], 0.0], [theta[below], theta[second]]]
        found = theta.copy()
        found[below] = np.hypot(*row)
        log_sigma = math.log(self.problem.profile(theta).sigma)
        return np.append(np.delete(found, [first, second]), log_sigma)

    def bounds(self, start: Float[np.ndarray, " r"]) -> list[tuple[float, float]]:
        """The other SD is positive, or the correlation would change its sign."""
        first, below, second = self.places
        lower, upper = (bound.copy() for bound in self.problem.bounds)
        lower[below] = 0.0
        lower, upper = (np.delete(b, [first, second]) for b in (lower, upper))
        own = (start[-1] - FARTHEST, start[-1] + FARTHEST)
        return [*zip(lower, upper, strict=True), own]

    def place(self, held: float, rest: Float[np.ndarray, " r"]) -> Place:
        """Entries 00, 10 and 11 such that the effects have SD and correlation."""
        first, below, second = self.places
        m, own = len(rest) + 1, held * math.exp(-rest[-1])
        kept = np.delete(np.arange(m), [first, second])
        at = int(np.flatnonzero(kept == below)[0])
        slope = np.zeros((m + 1, len(rest)))
        slope[kept, np.arange(len(kept))] = 1.0
        slope[-1, -1] = 1.0
        across = math.sqrt(max(1.0 - self.corr * self.corr, 0.0))
        slope[first, -1] = -own
        slope[below, at] = self.corr / self.lead[1, 1]
        slope[below, -1] = own * self.lead[1, 0] / self.lead[1, 1]
        slope[second, at] = across / self.lead[1, 1]
        theta = np.zeros(m)
        theta[kept] = rest[:-1]
        theta[first] = own
        other = float(rest[at])
        theta[below] = (self.corr * other - self.lead[1, 0] * own) / self.lead[1, 1]
        theta[second] = across * other / self.lead[1, 1]
        return Place(self.problem, theta, float(rest[-1]), slope)

    def natural(self, working: float) -> float:
        """SD of its logarithm."""
        return math.exp(working)


@dataclass(frozen=True, slots=True)
class HeldShared:
    """The only correlation that pairs of effects of a term share, an angle of theta."""

    problem: ProfiledProblem
    at: int
    term: int
    edges: tuple[float, float]

    def start(self, theta: Float[np.ndarray, " m"]) -> Float[np.ndarray, " r"]:
        """The rest of theta."""
        return np.delete(theta, self.at)

    def bounds(self, start: Float[np.ndarray, " r"]) -> list[tuple[float, float]]:
        """Those of the rest."""
        del start
        lower, upper = (np.delete(b, self.at) for b in self.problem.bounds)
        return list(zip(lower, upper, strict=True))

    def place(self, held: float, rest: Float[np.ndarray, " r"]) -> Place:
        """Theta with the angle put in."""
        block = self.problem.blocks[self.term]
        angle = float(block.structure.angles(np.array([held]), block.k)[0])
        whole = np.insert(
            np.eye(len(rest) + 1)[:, :-1], self.at, np.zeros(len(rest)), axis=0
        )
        return Place(self.problem, np.insert(rest, self.at, angle), None, whole)

    def natural(self, working: float) -> float:
        """Between the edges, the logistic curve of a number."""
        low, high = self.edges
        return low + (high - low) * 0.5 * (1.0 + math.tanh(working))


@dataclass(frozen=True, slots=True)
class HeldResidual:
    """A ratio or the correlation of structured residuals: an entry of theta."""

    problem: ProfiledProblem
    at: int
    parameter: Parameter

    @property
    def edges(self) -> tuple[float, float]:
        """None: theta has no bound there."""
        return -math.inf, math.inf

    def start(self, theta: Float[np.ndarray, " m"]) -> Float[np.ndarray, " r"]:
        """The rest of theta."""
        return np.delete(theta, self.at)

    def bounds(self, start: Float[np.ndarray, " r"]) -> list[tuple[float, float]]:
        """Those of the rest."""
        del start
        lower, upper = (np.delete(b, self.at) for b in self.problem.bounds)
        return list(zip(lower, upper, strict=True))

    def place(self, held: float, rest: Float[np.ndarray, " r"]) -> Place:
        """Theta with the entry put in."""
        theta = np.insert(rest, self.at, float(self.parameter.working(held)))
        whole = np.insert(
            np.eye(len(rest) + 1)[:, :-1], self.at, np.zeros(len(rest)), axis=0
        )
        return Place(self.problem, theta, None, whole)

    def natural(self, working: float) -> float:
        """Ratio or correlation."""
        return float(self.parameter.natural(working))


@dataclass(frozen=True, slots=True)
class HeldEffect:
    """A fixed effect, by maximum likelihood: its column goes to the offset.

    ``turn`` is orthogonal; the effect is ``zero + size`` times the first of the safe
    coefficients turned by it; ``se`` is its unit.
    """

    problem: ProfiledProblem
    turn: Float[np.ndarray, "p p"]
    zero: float
    size: float
    se: float
    edges: tuple[float, float] = (-math.inf, math.inf)

    def start(self, theta: Float[np.ndarray, " m"]) -> Float[np.ndarray, " r"]:
        """All of theta."""
        return theta

    def bounds(self, start: Float[np.ndarray, " r"]) -> list[tuple[float, float]]:
        """Those of theta."""
        del start
        return list(zip(*self.problem.bounds, strict=True))

    def held_problem(self, held: float) -> ProfiledProblem:
        """The criterion without the column, of what it leaves of the response."""
        stats, p = self.problem.statistics, len(self.turn)
        turn = np.zeros((p + 1, p))
        turn[:p, : p - 1] = self.turn[:, 1:]
        turn[:p, -1] = -(held - self.zero) / self.size * self.turn[:, 0]
        turn[-1, -1] = 1.0
        same = [np.eye(block.k) for block in self.problem.blocks]
        sums = turn_sums(stats.sums, stats.layout, turn, same)
        moved, stack = make_statistics(sums, stats.layout), self.problem.stack
        conditioned = replace(
            self.problem.conditioned,
            statistics=moved,
            stack=stack and stack.turned(turn, same),
        )
        return replace(self.problem, conditioned=conditioned)

    def place(self, held: float, rest: Float[np.ndarray, " r"]) -> Place:
        """The same theta; see `held_problem`."""
        del held
        slope = np.eye(len(rest) + 1)[:, :-1]
        return Place(self.problem, rest, None, slope)

    def natural(self, working: float) -> float:
        """Effect of its number of SEs."""
        return working * self.se


Held = (
    HeldSd
    | HeldSigma
    | HeldCorrelation
    | HeldPair
    | HeldShared
    | HeldResidual
    | HeldEffect
)


def held_effect(problem: ProfiledProblem, column: int, se: float) -> HeldEffect:
    """A fixed effect of the data."""
    conditioned = problem.conditioned
    weights = conditioned.coefficient_turn()[column]
    turn, length = np.linalg.qr(weights[:, None], mode="complete")
    zero = float(conditioned.coefficients(np.zeros(len(weights)))[column])
    return HeldEffect(problem, turn, zero, float(length[0, 0]), se)
