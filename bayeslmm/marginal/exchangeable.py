"""Levels of crossed factors that are alike: one of each kind stands for all of them.

In an experiment every subject sees every item, or those of one of a few lists: many
levels have equal products with themselves and equal ones with the levels of the other
factors. Within such a class of n levels turn the effects to their mean times sqrt(n)
and n - 1 contrasts. The turn is orthogonal, so the prior stays as it is, and contrasts
couple with nothing: those of a class are levels of a single factor, of whose products
with [X y] only a sum counts (`kernels.pooled`), and the means are a model of one level
for each class. Takes `Sums`, gives `Classes`; the cost of an evaluation then depends
neither on the number of subjects nor on that of items.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.marginal.kernels.pooled import SAME, equal_rows
from bayeslmm.marginal.layout import Layout
from bayeslmm.marginal.sums import Cells, Sums, block_pairs

# Classes are used if there are at most this share of the levels.
MOST_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Classes:
    """Which levels are alike, by block.

    ``of`` (J,) has the class of each level, ``first`` (u,) a level of each class and
    ``count`` (u,) how many there are.
    """

    of: tuple[Int[np.ndarray, " _j"], ...]
    first: tuple[Int[np.ndarray, " _u"], ...]
    count: tuple[Int[np.ndarray, " _u"], ...]

    def layout(self, layout: Layout) -> Layout:
        """That of the means: a level for each class."""
        blocks, offset = [], 0
        for position, (block, count) in enumerate(
            zip(layout.blocks, self.count, strict=True)
        ):
            blocks.append(replace(block, n_levels=len(count), offset=offset))
            offset += len(count) * block.k if position else 0
        return Layout(blocks[0], tuple(blocks[1:]), layout.n_terms)

    def means(self, sums: Sums, layout: Layout) -> Sums:
        """Sums of the means, each times the square root of its levels."""
        cells = []
        for (a, b), part in zip(_pairs(layout), sums.cells, strict=True):
            level, other = np.divmod(part.keys, len(self.of[b]))
            own, theirs = self.of[a][level], self.of[b][other]
            keys, at = np.unique(own * len(self.count[b]) + theirs, return_index=True)
            size = np.sqrt(self.count[a][own[at]] * self.count[b][theirs[at]])
            cells.append(Cells(keys, size[:, None, None] * part.values[at]))
        return Sums(
            n=sums.n,
            log_weights=sums.log_weights,
            WW=sums.WW,
            A=tuple(A[first] for A, first in zip(sums.A, self.first, strict=True)),
            F=tuple(self.mean_products(sums.F)),
            cells=tuple(cells),
        )

    def mean_products(
        self, F: Sequence[Float[np.ndarray, "_j _k _w"]]
    ) -> list[Float[np.ndarray, "_u _k _w"]]:
        """Sums of F over the levels of each class, over the root of their number."""
        found = []
        for own, of, count in zip(F, self.of, self.count, strict=True):
            total = np.zeros((len(count), *own.shape[1:]))
            np.add.at(total, of, own)
            found.append(total / np.sqrt(count)[:, None, None])
        return found

    def deviations(
        self, F: Float[np.ndarray, "j k w"], block: int
    ) -> Float[np.ndarray, "j k w"]:
        """F less its mean over the class of each level."""
        of, count = self.of[block], self.count[block]
        total = np.zeros((len(count), *F.shape[1:]))
        np.add.at(total, of, F)
        return F - (total / count[:, None, None])[of]

    def contrasts(
        self,
        A: Sequence[Float[np.ndarray, "_j _k _k"]],
        F: Sequence[Float[np.ndarray, "_j _k _w"]],
    ) -> "Contrasts":
        """What the contrasts of all classes add to the likelihood."""
        k = max(own.shape[1] for own in A)
        padded, count, edges = [np.empty((0, k, k))], [], [0]
        for own, first, size in zip(A, self.first, self.count, strict=True):
            several = size > 1
            room = k - own.shape[1]
            padded.append(np.pad(own[first[several]], ((0, 0), (0, room), (0, room))))
            count.append(size[several] - 1.0)
            edges.append(edges[-1] + len(padded[-1]))
        return Contrasts(
            np.concatenate(padded),
            np.concatenate(count),
            self.products(F),
            np.array(edges),
        )

    def products(
        self, F: Sequence[Float[np.ndarray, "_j _k _w"]]
    ) -> Float[np.ndarray, "u kw kw"]:
        """T of `Contrasts`: products of deviations, summed over each class."""
        widest = max(own.shape[1] for own in F) * F[0].shape[2]
        found = [np.empty((0, widest, widest))]
        for b, own in enumerate(F):
            left = self.deviations(own, b).reshape(len(own), -1)
            room = widest - left.shape[1]
            for u in np.flatnonzero(self.count[b] > 1):
                members = left[self.of[b] == u]
                found.append(np.pad(members.T @ members, (0, room))[None])
        return np.concatenate(found)


@dataclass(frozen=True, slots=True)
class Contrasts:
    """Contrasts of all classes, as kernels take them, padded to the widest block.

    ``A`` (u, k, k), ``count`` (u,) how many each stands for, ``T`` (u, k w, k w) sums
    of products; those of block b are ``edges[b] .. edges[b + 1]``.
    """

    A: Float[np.ndarray, "u k k"]
    count: Float[np.ndarray, " u"]
    T: Float[np.ndarray, "u kw kw"]
    edges: Int[np.ndarray, " b1"]

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """In the order of the kernels."""
        return self.A, self.count, self.T, self.edges


def no_contrasts(layout: Layout, w: int) -> Contrasts:
    """Those of levels of which no two are alike."""
    k = max(block.k for block in layout.blocks)
    edges = np.zeros(len(layout.blocks) + 1, np.int64)
    return Contrasts(
        np.empty((0, k, k)), np.empty(0), np.empty((0, k * w, k * w)), edges
    )


def find_classes(sums: Sums, layout: Layout) -> Classes | None:
    """Which levels are alike; None where too few are to be worth it.

    Levels are alike if their products with themselves and with each level of the other
    factors are equal, up to rounding.
    """
    rng = np.random.default_rng(0)
    marks = [rng.random(block.n_levels) for block in layout.blocks]
    if not _alike_patterns(sums, layout, marks):
        return None
    features = [[_labels(A)] for A in sums.A]
    labels = [_labels(part.values) for part in sums.cells]
    for (a, b), part, own in zip(_pairs(layout), sums.cells, labels, strict=True):
        level, other = np.divmod(part.keys, len(marks[b]))
        code = 1.0 + own @ np.sqrt(np.arange(2.0, 2.0 + own.shape[1]))
        features[a].append(_added(level, code * marks[b][other], len(marks[a])))
        features[b].append(_added(other, code * marks[a][level], len(marks[b])))
    found = [equal_rows(np.hstack(own)) for own in features]
    classes = Classes(
        tuple(of for _, of in found),
        tuple(first for first, _ in found),
        tuple(np.bincount(of) for _, of in found),
    )
    levels, kinds = sum(map(len, classes.of)), sum(map(len, classes.first))
    if kinds > MOST_SHARE * levels or not _hold(classes, sums, layout, labels):
        return None
    return classes


def _pairs(layout: Layout) -> list[tuple[int, int]]:
    """Positions of the blocks of each pair, in the order of `Sums.cells`."""
    place = {block.terms: i for i, block in enumerate(layout.blocks)}
    return [(place[a.terms], place[b.terms]) for a, b in block_pairs(layout)]


def _added(
    level: Int[np.ndarray, " c"], values: Float[np.ndarray, " c"], n_levels: int
) -> Float[np.ndarray, "j 1"]:
    """Sums by level: equal cells of two levels come in one order, so sums are equal."""
    return np.bincount(level, values, n_levels)[:, None]


def _alike_patterns(
    sums: Sums, layout: Layout, marks: list[Float[np.ndarray, " _j"]]
) -> bool:
    """Whether so few patterns of cells occur that a look at their values is worth it.

    Seconds are saved on large factors that are crossed at random.
    """
    patterns: list[list[np.ndarray]] = [[] for _ in marks]
    for (a, b), part in zip(_pairs(layout), sums.cells, strict=True):
        level, other = np.divmod(part.keys, len(marks[b]))
        patterns[a].append(_added(level, marks[b][other], len(marks[a])))
        patterns[b].append(_added(other, marks[a][level], len(marks[b])))
    kinds = sum(len(equal_rows(np.hstack(own))[0]) for own in patterns)
    return kinds <= MOST_SHARE * sum(map(len, marks))


def _labels(values: Float[np.ndarray, "j a b"]) -> Float[np.ndarray, "j ab"]:
    """Numbers that are equal where values are, up to rounding of the largest."""
    flat = values.ravel()
    if not flat.size:
        return values.reshape(len(values), -1)
    order = np.argsort(flat, kind="stable")
    step = SAME * max(float(np.abs(flat).max()), 1e-300)
    found = np.empty(flat.size)
    found[order] = np.cumsum(np.diff(flat[order], prepend=flat[order[0]]) > step)
    return found.reshape(len(values), -1)


def _hold(
    classes: Classes,
    sums: Sums,
    layout: Layout,
    labels: list[Float[np.ndarray, "_c _ab"]],
) -> bool:
    """Whether all cells of two classes are there, or none, and are equal."""
    for (a, b), part, own in zip(_pairs(layout), sums.cells, labels, strict=True):
        level, other = np.divmod(part.keys, len(classes.of[b]))
        rows, columns = classes.of[a][level], classes.of[b][other]
        pair = rows * len(classes.count[b]) + columns
        _, first, at, size = np.unique(
            pair, return_index=True, return_inverse=True, return_counts=True
        )
        whole = classes.count[a][rows[first]] * classes.count[b][columns[first]]
        if not np.array_equal(size, whole) or not np.array_equal(own[first][at], own):
            return False
    return True
