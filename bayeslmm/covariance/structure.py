"""One covariance structure of k effects: what all structures have in common.

A `Structure` is a word, the pattern of its correlations and how many SDs there are. A
`Correlations` has what distinguishes a pattern. Each free correlation has an **angle**
between 0 and pi, whose cosine is a partial correlation of effects in their order (or
the one correlation, scaled to its range). Any angles are possible together, and the
factor is smooth in them up to both ends, where as a function of a correlation it has an
infinite slope. Point estimates are searched over angles; coordinates for sampling are
x with ``cos(angle) = tanh(x)``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from bayeslmm.formula.nodes import StructureWord

Scalar = Any
"""A float, a complex number or a PyTensor scalar."""
Rows = list[list[Scalar]]
"""Lower triangle of a factor: row i has entries 0 .. i."""

# Complex step: its square is no number beside 1.
STEP = 1e-30


def scaled_angles(
    values: Float[np.ndarray, " c"], low: float
) -> Float[np.ndarray, " c"]:
    """Angles of correlations between `low` and 1, each by itself."""
    share = np.clip((values - low) / (1.0 - low), 0.0, 1.0)
    return 2.0 * np.arccos(np.sqrt(share))


def cosines(cos: Sequence[Scalar], sin: Sequence[Scalar]) -> list[tuple[Scalar, ...]]:
    """Cosine and sine of angles, from those of their halves."""
    return [(2.0 * c * c - 1.0, 2.0 * c * s) for c, s in zip(cos, sin, strict=True)]


@dataclass(frozen=True, slots=True)
class Correlations:
    """A pattern of correlations. The defaults are those of one for all pairs.

    `rows`, `read` and `slope` are asked only where a correlation is free.

    Attributes
    ----------
    rows : callable
        (cosines, sines, k) of half the angles -> factor of the correlation matrix, with
        no more than ``+ * / **``, so that it is analytic and works in PyTensor.
    read : callable
        Correlation matrix, shape (k, k), NaN beside SDs of 0 -> free correlations, NaN
        where none says.
    slope : callable
        (free correlations, which, k) -> derivative of the matrix by that one.
    count, pairs, names : callable
        How many are free among k effects, where each stands in the matrix, and its
        name, given those of the effects.
    low : callable
        k -> smallest of them.
    angles : callable or None
        (free correlations, k) -> angles; None if each is scaled to its own range.
    exponents : callable or None
        (k, eta) -> b of the prior ``(1 - cos(angle)**2)**(b - 1)`` of each; None if
        all are eta.
    pullback : callable or None
        (angles, d_factor, k) -> gradient by the angles; None to step through `rows`.
    prior_of : str
        What the symmetric Beta of the prior is of, if not of the correlations.
    spent : callable
        k -> how many later correlations have ranges that are ``1 - cos(angle)**2`` as
        wide, for each: the exponent by which it enters their Jacobian.
    lost : callable
        (effects with an SD, k) -> words for what they leave open of ``{label}``.
    """

    rows: Callable[[Sequence[Scalar], Sequence[Scalar], int], Rows]
    read: Callable[[Float[np.ndarray, "k k"]], Float[np.ndarray, " c"]]
    slope: Callable[[Float[np.ndarray, " c"], int, int], Float[np.ndarray, "k k"]]
    count: Callable[[int], int] = lambda k: int(k > 1)
    pairs: Callable[[int], list[tuple[int, int]]] = lambda k: [(1, 0)][: k - 1]
    names: Callable[[Sequence[str]], list[str]] = lambda e: ["rho"][: len(e) - 1]
    low: Callable[[int], float] = lambda _: -1.0
    angles: Callable[..., Float[np.ndarray, " c"]] | None = None
    exponents: Callable[[int, float], list[float]] | None = None
    pullback: Callable[..., Float[np.ndarray, " c"]] | None = None
    prior_of: str = ""
    spent: Callable[[int], list[int]] = lambda k: [0] * int(k > 1)
    lost: Callable[[Sequence[int], int], str] = lambda *_: ""


@dataclass(frozen=True, slots=True)
class Structure:
    """One covariance structure.

    Attributes
    ----------
    word : str
        The word in a formula, ``"cs"``.
    correlations : Correlations
        Pattern of its correlations.
    words : str
        What it is, for a reader.
    homogeneous : bool
        Whether all effects of a level share one SD.
    unstructured : bool
        Whether nothing is shared: theta is lme4's and the prior LKJ.
    """

    word: StructureWord
    correlations: Correlations
    words: str
    homogeneous: bool = False
    unstructured: bool = False

    def n_sd(self, k: int) -> int:
        """Number of free SDs of a term with k effects."""
        return 1 if self.homogeneous else k

    def n_corr(self, k: int) -> int:
        """Number of free correlations of a term with k effects."""
        return self.correlations.count(k)

    def n_theta(self, k: int) -> int:
        """Number of variance parameters of a term with k effects."""
        return self.n_sd(k) + self.n_corr(k)

    def is_full(self, k: int) -> bool:
        """Whether it is the unstructured covariance under another name.

        So are ``cs``, ``hetar1`` and ``toep`` of two effects.
        """
        return self.n_theta(k) == k * (k + 1) // 2

    def is_shared(self, k: int) -> bool:
        """Whether pairs of effects share correlations."""
        return not self.unstructured and self.n_corr(k) > 0

    def low(self, k: int) -> float:
        """Smallest correlation that is possible."""
        return self.correlations.low(k)

    def read(self, corr: Float[np.ndarray, "k k"]) -> Float[np.ndarray, " c"]:
        """Free correlations of a matrix that is NaN beside SDs of 0."""
        if not self.n_corr(len(corr)):
            return np.zeros(0)
        return self.correlations.read(corr)

    def angles(
        self, values: Float[np.ndarray, " c"], k: int
    ) -> Float[np.ndarray, " c"]:
        """Angles of the free correlations, each between 0 and pi."""
        if self.correlations.angles is None:
            return scaled_angles(values, self.low(k))
        return self.correlations.angles(values, k)

    def at_edge(
        self, values: Float[np.ndarray, " c"], k: int, edge: float
    ) -> Bool[np.ndarray, " c"]:
        """Which free correlations stand at an end of their range, or are NaN.

        The range is what the ones before leave; behind one at its end there is none.
        """
        partials = np.cos(self.angles(np.nan_to_num(values), k))
        ends = np.abs(partials) >= 1.0 - 2.0 * edge / (1.0 - self.low(k))
        return np.maximum.accumulate(ends) | np.isnan(values)

    def exponents(self, k: int, eta: float) -> list[float]:
        """Exponent b of the prior ``(1 - cos(angle)**2)**(b - 1)`` of each angle."""
        if self.correlations.exponents is None:
            return [eta] * self.n_corr(k)
        return self.correlations.exponents(k, eta)

    def corr_density(
        self, values: Float[np.ndarray, " c"], k: int, eta: float
    ) -> float:
        """Log prior density of shared correlations themselves, up to a constant."""
        rest = np.sin(self.angles(values, k)) ** 2
        powers = [
            b - 1.0 - later
            for b, later in zip(
                self.exponents(k, eta), self.correlations.spent(k), strict=True
            )
        ]
        return float(np.array(powers) @ np.log(rest))

    def prior(self, k: int, eta: float) -> dict[str, Any]:
        """Prior of the correlations: name, arguments, and of what if not of them."""
        if self.unstructured:
            return {"name": "LKJ", "args": {"eta": eta}}
        args = {"alpha": eta, "beta": eta, "lower": self.low(k), "upper": 1.0}
        of = self.correlations.prior_of
        return {"name": "Beta", "args": args} | ({"of": of} if of else {})

    def prior_words(self, k: int, eta: float) -> str:
        """The same for a reader."""
        if self.unstructured:
            return f"LKJ(eta={eta:.4g})"
        low, of = self.low(k), self.correlations.prior_of
        text = f"Beta({eta:.4g}, {eta:.4g}) on ({low:.4g}, 1)"
        return f"{text} of {of}" if of else f"{text}, mean {0.5 * (1.0 + low):.4g}"

    def corr_factor(
        self, angles: Float[np.ndarray, " c"], k: int
    ) -> Float[np.ndarray, "k k"]:
        """Cholesky factor of the correlation matrix."""
        return np.real(self._factor(0.5 * angles, k))

    def corr_factors(
        self, shares: Float[np.ndarray, "n c"], k: int
    ) -> Float[np.ndarray, "n k k"]:
        """Cholesky factors at n points, of ``(1 + cos(angle)) / 2`` between 0 and 1."""
        found = np.zeros((len(shares), k, k))
        if not shares.shape[1]:
            return found + np.eye(k)
        cos, sin = list(np.sqrt(shares.T)), list(np.sqrt(1.0 - shares.T))
        for i, row in enumerate(self.correlations.rows(cos, sin, k)):
            for j, entry in enumerate(row):
                found[:, i, j] = entry
        return found

    def corr_pullback(
        self,
        angles: Float[np.ndarray, " c"],
        d_factor: Float[np.ndarray, "k k"],
        k: int,
    ) -> Float[np.ndarray, " c"]:
        """Gradient with respect to the angles from that to `corr_factor`.

        By complex steps, which give the derivative to rounding, at the ends too.
        """
        if self.correlations.pullback is not None:
            return self.correlations.pullback(angles, d_factor, k)
        gradient = np.zeros(len(angles))
        for c in range(len(angles)):
            half = 0.5 * angles + 0j
            half[c] += 0.5j * STEP
            gradient[c] = np.vdot(d_factor, np.imag(self._factor(half, k))) / STEP
        return gradient

    def _factor(self, half: np.ndarray, k: int) -> np.ndarray:
        """Factor at half the angles, which may be complex."""
        if not len(half):
            return np.eye(k)
        cos, sin = np.cos(half).tolist(), np.sin(half).tolist()
        rows = self.correlations.rows(cos, sin, k)
        return np.array([row + [0.0] * (k - len(row)) for row in rows])


def lags(k: int) -> np.ndarray:
    """Number of steps between two effects, shape (k, k)."""
    return np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
