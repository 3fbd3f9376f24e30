"""Many responses of the same rows at one covariance: residuals and effects in SDs.

Takes the rows in safe coordinates and relative factors; gives a `Standardizer`, which
draws responses that the model makes there and turns any responses, the data's own among
them, into residuals and random effects in units of their SDs under the model. All
responses of a call share one factorisation: they are columns beside X.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal.elimination import Elimination, eliminate, projections
from bayeslmm.marginal.leverage import RowFit, fit_rows
from bayeslmm.marginal.saferows import SafeRows
from bayeslmm.marginal.statistics import Statistics, rest_columns

# A variance below this share of that of the effects is rounding: nothing is known of
# the level.
NOTHING = 1e-10


@dataclass(frozen=True, slots=True)
class Standard:
    """Residuals and effects of some responses.

    Attributes
    ----------
    residual : ndarray, shape (s, n)
        Conditional residuals over their SDs; NaN where they have none.
    fitted : ndarray, shape (s, n)
        Responses less conditional residuals, in residual SDs of weight 1.
    effects : tuple of ndarray, shape (s, J, k)
        Means of the random effects of each bar term over their SDs, the data's columns;
        NaN where they have none.
    """

    residual: Float[np.ndarray, "s n"]
    fitted: Float[np.ndarray, "s n"]
    effects: tuple[Float[np.ndarray, "s _j _k"], ...]


@dataclass(frozen=True, slots=True)
class Standardizer:
    """Standardises responses at one covariance.

    Attributes
    ----------
    rows : SafeRows
        The rows with their model.
    relative : tuple of ndarray, shape (k_t, k_t)
        Relative factors of each bar term, safe coordinates.
    seen : RowFit
        Leverage of the rows.
    spreads : tuple of ndarray, shape (J, k)
        SDs of the means of the random effects, the data's columns, in residual SDs.
    """

    rows: SafeRows
    relative: tuple[Float[np.ndarray, "_k _k"], ...]
    seen: RowFit
    spreads: tuple[Float[np.ndarray, "_j _k"], ...]

    def simulate(self, rng: np.random.Generator, s: int) -> Float[np.ndarray, "s n"]:
        """Responses that the model makes, in residual SDs, without the fixed part."""
        rows, layout = self.rows, self.rows.conditioned.statistics.layout
        n = len(rows.weights)
        Y = rng.standard_normal((s, n)) / np.sqrt(rows.weights)
        for block, Z, codes in zip(layout.blocks, rows.Z, rows.codes, strict=True):
            u = rng.standard_normal((s, block.n_levels, block.k))
            b = u @ block.join(self.relative).T
            for column in range(block.k):
                Y += Z[:, column] * b[:, codes, column]
        return Y

    def __call__(self, Y: Float[np.ndarray, "s n"]) -> Standard:
        """Residuals and effects of responses in residual SDs."""
        rows, p = self.rows, len(self.seen.beta)
        stats = _with_responses(rows, Y)
        done = eliminate(stats, self.relative)
        beta = self.seen.C @ done.G[:p, p:]  # (p, s)
        raw = Y - (rows.W[:, :p] @ beta).T
        effects = []
        found = zip(projections(stats, done), done.factors, strict=True)
        for b, ((Q, _), factor) in enumerate(found):
            left = Q[:, :, p:] - Q[:, :, :p] @ beta
            own = (factor @ (factor.T @ left)).transpose(2, 0, 1)  # (s, J, k)
            for column in range(own.shape[2]):
                raw -= rows.Z[b][:, column] * own[:, rows.codes[b], column]
            effects.append(own)
        room = (1.0 - self.seen.hat) / rows.weights
        return Standard(
            residual=raw / _positive(np.sqrt(room)),
            fitted=Y - raw,
            effects=tuple(
                own @ self.rows.conditioned.spread(t).T / spread
                for t, (own, spread) in enumerate(
                    zip(stats.layout.cut(effects), self.spreads, strict=True)
                )
            ),
        )


def make_standardizer(
    rows: SafeRows, relative: Sequence[Float[np.ndarray, "_k _k"]]
) -> Standardizer:
    """What standardises responses of some rows at some relative factors.

    Parameters
    ----------
    rows : SafeRows
        The rows with their model.
    relative : sequence of ndarray, shape (k_t, k_t)
        Relative factors of each bar term, safe coordinates.

    Returns
    -------
    Standardizer
        Call it with responses in residual SDs.
    """
    stats, seen = rows.conditioned.statistics, fit_rows(rows, relative)
    spreads = _effect_spreads(stats, eliminate(stats, relative), seen.C)
    return Standardizer(
        rows,
        tuple(relative),
        seen,
        tuple(
            _roots(rows.conditioned.spread(t), own, factor)
            for t, (own, factor) in enumerate(zip(spreads, relative, strict=True))
        ),
    )


def _effect_spreads(
    stats: Statistics, done: Elimination, C: Float[np.ndarray, "p p"]
) -> tuple[Float[np.ndarray, "_j _k _k"], ...]:
    """Covariance of the means of the effects, ``Sigma Z'Q Z Sigma`` level by level."""
    p, found = len(C), []
    of_blocks = zip(projections(stats, done), done.factors, strict=True)
    for (Q, D), factor in of_blocks:
        on_X = Q[:, :, :p]
        inner = factor.T @ (D - on_X @ C @ (on_X.transpose(0, 2, 1) @ factor))
        found.append(factor @ inner @ factor.T)
    return stats.layout.cut_square(found)


def _with_responses(rows: SafeRows, Y: Float[np.ndarray, "s n"]) -> Statistics:
    """Cross-products of X and Z with several responses."""
    stats, p = rows.conditioned.statistics, rows.W.shape[1] - 1
    layout, old = stats.layout, stats.sums
    weighted = Y * rows.weights
    WW = np.zeros((p + len(Y), p + len(Y)))
    WW[:p, :p] = old.WW[:p, :p]
    WW[:p, p:] = (weighted @ rows.W[:, :p]).T
    WW[p:, :p] = WW[:p, p:].T
    F = []
    for Z, codes, own in zip(rows.Z, rows.codes, old.F, strict=True):
        sums = np.empty((*own.shape[:2], len(Y)))
        for s, y in enumerate(weighted):
            for column in range(Z.shape[1]):
                sums[:, column, s] = np.bincount(codes, y * Z[:, column], len(own))
        F.append(np.concatenate([own[:, :, :p], sums], axis=2))
    sums = replace(old, WW=WW, F=tuple(F))
    return replace(stats, sums=sums, Fr=rest_columns(sums, layout))


def _roots(
    turn: Float[np.ndarray, "k k"],
    covariance: Float[np.ndarray, "j k k"],
    factor: Float[np.ndarray, "k k"],
) -> Float[np.ndarray, "j k"]:
    """SDs of the data's effects; NaN where they are rounding beside those of Sigma."""
    found = np.einsum("ia,jab,ib->ji", turn, covariance, turn)
    whole = np.square(turn @ factor).sum(axis=1)
    return np.sqrt(np.where(found > NOTHING * whole, found, np.nan))


def _positive(values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Where they are positive, else NaN."""
    return np.where(values > 0.0, values, np.nan)
