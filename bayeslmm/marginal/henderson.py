"""Henderson's equations of one grouping factor, its effects under any penalty.

Takes `Sums` in safe columns and the relative factors of all other bar terms; gives the
fixed effects and every level's effects as functions of a `Penalty` on the latter: the
mixed model equations, solved with the levels eliminated one by one. A penalty of 0
(no pooling) and an infinite one (complete pooling) are penalties like others, where the
factors of `effects` would end in infinity over infinity.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import eigh

from bayeslmm.errors import ModelError
from bayeslmm.marginal.layout import Block, Layout
from bayeslmm.marginal.sums import Sums, block_pairs

# Directions of the effects that keep less than this share of their information are
# those that a penalty of 0 leaves open.
OPEN = 1e-9
# Numbers held for the products of one factor's levels with all other effects.
MOST_NUMBERS = 20_000_000
MOST_OTHERS = 3_000  # effects of other factors: a system of so many is solved as one


@dataclass(frozen=True, slots=True)
class Penalty:
    """What holds the k effects of a level.

    They are b = free a + held u: the sum of squares has u'u more, and nothing of a.
    ``free`` (k, f) and ``held`` (k, h) are in units of the residual SD.
    """

    free: Float[np.ndarray, "k f"]
    held: Float[np.ndarray, "k h"]

    def spread(
        self, A: Float[np.ndarray, "j k k"]
    ) -> tuple[Float[np.ndarray, "j k k"], Bool[np.ndarray, " j"]]:
        """H_j = (A_j + P)^-1, and which levels have one; pinned effects have 0."""
        h = self.held.shape[1]
        inner = np.eye(h) + self.held.T @ A @ self.held
        # free effects given the held ones, then all: a block at a time
        own = self.held @ np.linalg.solve(
            inner, np.broadcast_to(self.held.T, (len(A), h, len(self.held)))
        )
        if not self.free.shape[1]:
            return own, np.ones(len(A), dtype=bool)
        left = self.free.T @ (A - A @ own @ A) @ self.free
        whole = np.sqrt(
            np.maximum(np.einsum("jaa->ja", self.free.T @ A @ self.free), 0)
        )
        unit = np.where(whole > 0.0, whole, 1.0)
        scaled = left / (unit[:, :, None] * unit[:, None, :])
        known = np.linalg.eigvalsh(scaled)[:, 0] > OPEN
        turn = self.free - own @ A @ self.free
        inverse = np.linalg.pinv(scaled, rcond=OPEN, hermitian=True)
        inverse /= unit[:, :, None] * unit[:, None, :]
        return own + turn @ inverse @ turn.swapaxes(1, 2), known


@dataclass(frozen=True, slots=True)
class Solved:
    """Effects under one penalty, safe columns and units; covariances by sigma^2.

    ``w`` (p + o,) are the fixed effects and those of other factors, ``cov`` their
    covariance; ``open`` (p + o, n) the directions that nothing identifies; ``b``
    (j, k) the effects of the levels, ``H`` (j, k, k) their covariance given w, and
    ``slope`` (j, k, p + o) minus their derivative by w; ``known`` (j,) as of
    `Penalty.spread`.
    """

    w: Float[np.ndarray, " w"]
    cov: Float[np.ndarray, "w w"]
    open: Float[np.ndarray, "w n"]
    b: Float[np.ndarray, "j k"]
    H: Float[np.ndarray, "j k k"]
    slope: Float[np.ndarray, "j k w"]
    known: Bool[np.ndarray, " j"]


@dataclass(frozen=True, slots=True)
class Henderson:
    """The equations; `solve` them under a penalty.

    ``A`` (j, k, k), ``F`` (j, k, p + o), ``f`` (j, k) are products of the levels' own
    columns with themselves, with all else and with y; ``S`` and ``s`` those of all
    else, the penalty of the other factors added. ``p`` fixed effects come first.
    """

    A: Float[np.ndarray, "j k k"]
    F: Float[np.ndarray, "j k w"]
    f: Float[np.ndarray, "j k"]
    S: Float[np.ndarray, "w w"]
    s: Float[np.ndarray, " w"]
    p: int

    def solve(self, penalty: Penalty) -> Solved:
        """All effects under a penalty.

        In directions of the fixed effects that a penalty of 0 leaves open the free
        effects are as small as they can be: the limit of smaller and smaller ones.
        """
        H, known = penalty.spread(self.A)
        slope = H @ self.F
        own = np.einsum("jkl,jl->jk", H, self.f)
        S = self.S - np.einsum("jka,jkb->ab", self.F, slope)
        s = self.s - np.einsum("jka,jk->a", slope, self.f)
        w, cov, open_ = self._others(S, s)
        b = own - slope @ w
        if open_.shape[1] and penalty.free.shape[1]:
            moves = (slope @ open_)[known].reshape(-1, open_.shape[1])
            z = np.linalg.lstsq(moves, b[known].ravel(), rcond=None)[0]
            w = w + open_ @ z
            b = own - slope @ w
        return Solved(w, cov, open_, b, H, slope, known)

    def _others(
        self, S: Float[np.ndarray, "w w"], s: Float[np.ndarray, " w"]
    ) -> tuple[
        Float[np.ndarray, " w"], Float[np.ndarray, "w w"], Float[np.ndarray, "w n"]
    ]:
        """Solution, covariance, and open directions of the reduced equations."""
        p = self.p
        inverse = np.linalg.inv(S[p:, p:])
        if not p:
            return inverse @ s, inverse, np.empty((len(s), 0))
        to_others = -inverse @ S[p:, :p]
        left = S[:p, :p] + S[:p, p:] @ to_others
        shares, turn = eigh(0.5 * (left + left.T), self.S[:p, :p])
        lift = np.vstack([turn, to_others @ turn])
        closed = shares > OPEN
        kept = lift[:, closed]
        cov = (kept / shares[closed]) @ kept.T
        w = (kept / shares[closed]) @ (kept.T @ s)
        cov[p:, p:] += inverse
        w[p:] += inverse @ s[p:]
        return w, cov, lift[:, ~closed]


def henderson(
    sums: Sums,
    layout: Layout,
    at: int,
    relative: Sequence[Float[np.ndarray, "_k _k"]],
) -> Henderson:
    """Equations of block number `at`; `relative` are the factors of all terms.

    Raises
    ------
    ModelError
        If the other factors have so many effects that they cannot be solved as one.

    References
    ----------
    .. [1] Henderson (1975). Biometrics 31(2). https://doi.org/10.2307/2529430
    """
    own, p = layout.blocks[at], sums.p
    starts, o = _places(layout, at, p)
    if o > MOST_OTHERS or own.n_levels * own.k * (p + o) > MOST_NUMBERS:
        raise ModelError(
            f"Beside the chosen grouping factor ({own.n_levels:,} levels) the others "
            f"have {o:,} effects, too many to be solved at once (at most "
            f"{MOST_OTHERS:,}). Choose with term= the factor with the most levels."
        )
    F = np.zeros((own.n_levels, own.k, p + o))
    F[:, :, :p] = sums.F[at][:, :, :p]
    S, s = np.zeros((p + o, p + o)), np.zeros(p + o)
    S[:p, :p], s[:p] = sums.WW[:p, :p], sums.WW[:p, -1]
    for b, start in starts.items():
        _add_block(S, s, sums, layout.blocks[b], b, start, relative)
    for (one, other), cells in zip(block_pairs(layout), sums.cells, strict=True):
        level, other_level = np.divmod(cells.keys, other.n_levels)
        blocks = [layout.blocks.index(block) for block in (one, other)]
        values = one.join(relative).T @ cells.values @ other.join(relative)
        if at not in blocks:
            rows = _columns(starts[blocks[0]], level, one.k)
            columns = _columns(starts[blocks[1]], other_level, other.k)
            S[rows[:, :, None], columns[:, None, :]] = values
            S[columns[:, :, None], rows[:, None, :]] = values.swapaxes(1, 2)
            continue
        if at == blocks[0]:  # rows of the chosen block stay as they are
            values = cells.values @ other.join(relative)
            columns, mine = _columns(starts[blocks[1]], other_level, other.k), level
        else:
            values = (one.join(relative).T @ cells.values).swapaxes(1, 2)
            columns, mine = _columns(starts[blocks[0]], level, one.k), other_level
        F[mine[:, None, None], np.arange(own.k)[:, None], columns[:, None, :]] = values
    return Henderson(sums.A[at], F, sums.F[at][:, :, -1], S, s, p)


def _places(layout: Layout, at: int, p: int) -> tuple[dict[int, int], int]:
    """First coordinate of each other block among all else, and how many they are."""
    starts, o = {}, 0
    for b, block in enumerate(layout.blocks):
        if b != at:
            starts[b] = p + o
            o += block.n_levels * block.k
    return starts, o


def _add_block(
    S: Float[np.ndarray, "w w"],
    s: Float[np.ndarray, " w"],
    sums: Sums,
    block: Block,
    b: int,
    start: int,
    relative: Sequence[Float[np.ndarray, "_k _k"]],
) -> None:
    """Products of another block with itself, X and y, in place."""
    factor, p = block.join(relative), sums.p
    columns = _columns(start, np.arange(block.n_levels), block.k)
    inner = np.eye(block.k) + factor.T @ sums.A[b] @ factor
    S[columns[:, :, None], columns[:, None, :]] = inner
    mixed = factor.T @ sums.F[b]
    S[columns.ravel(), :p] = mixed[:, :, :p].reshape(-1, p)
    S[:p, columns.ravel()] = S[columns.ravel(), :p].T
    s[columns.ravel()] = mixed[:, :, -1].ravel()


def _columns(start: int, level: np.ndarray, k: int) -> np.ndarray:
    """Coordinates of the effects of some levels of a block, (c, k)."""
    return start + level[:, None] * k + np.arange(k)
