"""A model in safe coordinates, and the way back to the data's.

Holds cross-products of columns in which arithmetic is safe (see `conditioning`) with
what leads from estimates, draws and densities there to those of the data, and back.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_triangular

from bayeslmm.marginal.columns import is_identity
from bayeslmm.marginal.effects import EffectsMean, conditional_mean
from bayeslmm.marginal.fixed import BetaPrior
from bayeslmm.marginal.routes import make_statistics
from bayeslmm.marginal.stack import Stack
from bayeslmm.marginal.statistics import Statistics
from bayeslmm.marginal.sums import turn_sums


@dataclass(frozen=True, slots=True)
class Conditioned:
    """A model in safe coordinates.

    The X of the data less its means is ``X_safe root``, its y is
    ``X beta + unit y_safe``, and ``Z_safe = Z movers bases``.

    Attributes
    ----------
    statistics : Statistics
        Cross-products of the safe columns.
    unit : float
        Unit of y in safe coordinates, units of y: about the SD of what X leaves.
    means : ndarray, shape (p,)
        Taken off the columns of X; 0 for the intercept, and for all without one.
    intercept : int or None
        Column of X that is the intercept.
    root : ndarray, shape (p, p)
        Upper triangular; the moved X is the safe one times it.
    beta : ndarray, shape (p,)
        The regression that was taken off y, on the moved columns, units of y.
    movers : tuple of ndarray, shape (k_t, k_t)
        Turn the columns of each bar term into the moved ones; the identity where a term
        keeps its origin.
    bases : tuple of ndarray, shape (k_t, k_t)
        Lower triangular; the safe columns are the moved ones times it.
    twin : Twin or None
        The model of another response of the same rows with terms at the origin of the
        data, if it is known; None after `unmoved`.
    stack : Stack or None
        Cross-products by pattern, where the residuals have a structure; `statistics`
        are then those of independent residuals of one SD.
    """

    statistics: Statistics
    unit: float
    means: Float[np.ndarray, " p"]
    intercept: int | None
    root: Float[np.ndarray, "p p"]
    beta: Float[np.ndarray, " p"]
    movers: tuple[Float[np.ndarray, "_k _k"], ...]
    bases: tuple[Float[np.ndarray, "_k _k"], ...]
    twin: "Twin | None" = None
    stack: Stack | None = None

    def at(self, residual: Float[np.ndarray, " r"]) -> "Conditioned":
        """The model at coordinates of the residuals' parameters: an ordinary one."""
        if self.stack is None:
            return self
        return replace(self, statistics=self.stack.at(residual), stack=None, twin=None)

    # --- densities ------------------------------------------------------------------

    @property
    def log_jacobian(self) -> float:
        """What the log density of y has more than that of the safe y, beta integrated.

        A flat prior of beta is flat in the units of the data.
        """
        p = len(self.beta)
        log_root = float(np.log(np.abs(np.diag(self.root))).sum())
        return (p - self.statistics.n) * math.log(self.unit) - log_root

    def criterion_shift(self, *, restricted: bool) -> float:
        """What the REML (or ML) criterion of the data has more than the safe one."""
        if restricted:
            return -2.0 * self.log_jacobian
        return 2.0 * self.statistics.n * math.log(self.unit)

    @property
    def residual_sd(self) -> float:
        """SD of what X leaves of y, units of y."""
        stats = self.statistics
        left = float(stats.WW[-1, -1]) / max(stats.n - stats.p, 1)
        return self.unit * math.sqrt(max(left, 0.0))

    # --- random effects -------------------------------------------------------------

    def reference(self, t: int) -> Float[np.ndarray, "k k"]:
        """Effects of the data's columns of a term from those of the moved ones."""
        return self.movers[t]

    def spread(self, t: int) -> Float[np.ndarray, "k k"]:
        """Effects of the data's columns from safe ones, the unit of y apart."""
        return self.reference(t) @ self.bases[t]

    def factors(
        self, safe: tuple[Float[np.ndarray, "_k _k"], ...]
    ) -> tuple[Float[np.ndarray, "_k _k"], ...]:
        """Relative factors for the columns of the data from those of safe columns.

        Lower triangular where no term was moved.
        """
        return tuple(self.spread(t) @ factor for t, factor in enumerate(safe))

    def unmoved(self, kept: Sequence[bool] | None = None) -> "Conditioned":
        """The same with terms at the origin of the data; those in `kept` stay moved.

        The bases of such a term are lower triangular between the data's columns and
        orthonormal ones, so the cross-products are only rotated: no digit is lost.
        """
        kept = [False] * len(self.bases) if kept is None else kept
        if self.twin is not None and not any(kept):
            return self.twin.respond(self)
        return self._turned(kept)[0]

    def _turned(
        self, kept: Sequence[bool]
    ) -> tuple["Conditioned", tuple[Float[np.ndarray, "_k _k"], ...]]:
        """The same, with what leads there from the safe columns of each term."""
        stay = [
            k or is_identity(moved) for k, moved in zip(kept, self.movers, strict=True)
        ]
        if all(stay):
            return self, tuple(np.eye(len(basis)) for basis in self.bases)
        turns, bases, movers = [], [], []
        for t, stays in enumerate(stay):
            turn, basis = np.eye(len(self.bases[t])), self.bases[t]
            if not stays:
                turn, upper = np.linalg.qr(self.spread(t).T)
                signs = np.where(np.diag(upper) < 0.0, -1.0, 1.0)
                turn, basis = turn * signs, upper.T * signs
            turns.append(turn)
            bases.append(basis)
            movers.append(self.movers[t] if stays else np.eye(len(basis)))
        stats = self.statistics
        same = np.eye(len(stats.WW))
        sums = turn_sums(stats.sums, stats.layout, same, turns)
        found = replace(
            self,
            stack=self.stack and self.stack.turned(same, turns),
            statistics=make_statistics(sums, stats.layout),
            movers=tuple(movers),
            bases=tuple(bases),
            twin=None,
        )
        return found, tuple(turns)

    # --- effects of the data --------------------------------------------------------

    @property
    def to_moved(self) -> Float[np.ndarray, "p p"]:
        """Coefficients of the moved columns from those of the data's columns."""
        turn = np.eye(len(self.means))
        if self.intercept is not None:
            turn[self.intercept] += self.means
        return turn

    def coefficients(
        self, safe: Float[np.ndarray, "*s p"]
    ) -> Float[np.ndarray, "*s p"]:
        """Fixed effects of the data's columns from those of safe ones."""
        if not len(self.means):
            return safe
        flat = safe.reshape(-1, safe.shape[-1])
        moved = self.beta[:, None] + self.unit * solve_triangular(self.root, flat.T)
        if self.intercept is not None:
            moved[self.intercept] -= self.means @ moved
        return moved.T.reshape(safe.shape)

    def coefficient_turn(self) -> Float[np.ndarray, "p p"]:
        """Derivative of the data's fixed effects by the safe ones."""
        turn = self.unit * solve_triangular(self.root, np.eye(len(self.root)))
        if self.intercept is not None:
            turn[self.intercept] -= self.means @ turn
        return turn

    def safe_coefficients(
        self, beta: Float[np.ndarray, "*s p"]
    ) -> Float[np.ndarray, "*s p"]:
        """Fixed effects of safe columns from those of the data's columns."""
        moved = beta @ self.to_moved.T
        return (moved - self.beta) @ self.root.T / self.unit

    def random_effects(
        self, t: int, safe: Float[np.ndarray, "*s k"]
    ) -> Float[np.ndarray, "*s k"]:
        """Random effects of the data's columns from those of safe ones."""
        return safe @ (self.unit * self.spread(t)).T

    def safe_effects(
        self, t: int, b: Float[np.ndarray, "*s k"]
    ) -> Float[np.ndarray, "*s k"]:
        """Random effects of safe columns from those of the data's columns."""
        moved = b @ np.linalg.inv(self.movers[t]).T
        inverse = solve_triangular(self.bases[t], np.eye(b.shape[-1]), lower=True)
        return moved @ inverse.T / self.unit

    def effects(
        self,
        safe: tuple[Float[np.ndarray, "_k _k"], ...],
        sigma: float,
        prior: BetaPrior | None = None,
    ) -> EffectsMean:
        """Conditional mean of the effects of the data.

        ``safe`` are factors of safe columns, ``sigma`` the residual SD in safe units,
        ``prior`` that of the safe fixed effects; flat if None.
        """
        mean = conditional_mean(self.statistics, safe, sigma, prior)
        terms = range(len(self.bases))
        turns = [self.unit * self.spread(t) for t in terms]
        turn = self.coefficient_turn()
        return EffectsMean(
            beta=self.coefficients(mean.beta),
            beta_cov=turn @ mean.beta_cov @ turn.T,
            b=tuple(mean.b[t] @ turns[t].T for t in terms),
            b_cov_given_beta=tuple(
                turns[t] @ mean.b_cov_given_beta[t] @ turns[t].T for t in terms
            ),
            b_cov=tuple(turns[t] @ mean.b_cov[t] @ turns[t].T for t in terms),
        )


@dataclass(frozen=True, slots=True)
class Twin:
    """The model of another response of the same rows, terms at the data's origin.

    Or some of them where they were moved to. ``turns`` lead there from the safe columns
    of each term.
    """

    conditioned: Conditioned
    turns: tuple[Float[np.ndarray, "_k _k"], ...]

    @classmethod
    def of(cls, moved: Conditioned, kept: Sequence[bool] | None = None) -> "Twin":
        """From a model whose terms may have been moved; those in `kept` stay so."""
        return cls(*moved._turned([False] * len(moved.bases) if kept is None else kept))

    def respond(self, moved: Conditioned) -> Conditioned:
        """The same of the response of another model of these rows."""
        stats = self.conditioned.statistics
        bases = [block.join(self.turns) for block in stats.layout.blocks]
        sums = moved.statistics.sums
        Fy = [F[:, :, -1] @ T for F, T in zip(sums.F, bases, strict=True)]
        return replace(
            self.conditioned,
            stack=moved.stack and moved.stack.turned(np.eye(stats.p + 1), self.turns),
            statistics=stats.respond(sums.WW[-1], Fy),
            unit=moved.unit,
            beta=moved.beta,
        )
