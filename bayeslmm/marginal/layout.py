"""How the bar terms of a model lie in its cross-products.

Takes the bar terms, gives a `Layout`: terms of one grouping factor merged into one
*block*; the block with the most levels *leads* (it is eliminated level by level), all
others form the *rest*, whose coordinates run by block, level and effect. The one place
where arrays of terms are joined into those of blocks, and cut again. The blocking is
that of MixedModels.jl (Bates, Alday, Kleinschmidt et al.). Needs numpy only.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.errors import ModelError


@dataclass(frozen=True, slots=True)
class Block:
    """All bar terms of one grouping factor, side by side.

    ``terms`` are positions in ``design.groups``; ``starts`` the first column of each in
    the block; ``offset`` the block's first coordinate in the rest (0 for the lead).
    """

    terms: tuple[int, ...]
    starts: tuple[int, ...]
    n_levels: int
    k: int
    offset: int

    @property
    def span(self) -> slice:
        """Coordinates of the block in the rest."""
        return slice(self.offset, self.offset + self.n_levels * self.k)

    def levels(self, rest: Float[np.ndarray, "m w"]) -> Float[np.ndarray, "j k w"]:
        """Rows of the rest that are the block's, by level."""
        return rest[self.span].reshape(self.n_levels, self.k, -1)

    @property
    def parts(self) -> Iterator[tuple[int, slice]]:
        """Each term with its effects among those of the block."""
        ends = (*self.starts[1:], self.k)[: len(self.terms)]
        return zip(self.terms, map(slice, self.starts, ends), strict=True)

    def join(
        self, of_terms: Sequence[Float[np.ndarray, "*s _k _k"]]
    ) -> Float[np.ndarray, "*s k k"]:
        """Square matrices of its terms (of all terms given) along the diagonal."""
        if len(self.terms) == 1:
            return np.ascontiguousarray(of_terms[self.terms[0]], dtype=float)
        if not self.terms:
            return np.eye(self.k)
        found = np.zeros((*of_terms[self.terms[0]].shape[:-2], self.k, self.k))
        for t, span in self.parts:
            found[..., span, span] = of_terms[t]
        return found


@dataclass(frozen=True, slots=True)
class Layout:
    """Blocks of a model.

    Attributes
    ----------
    lead : Block
        The block with the most levels; one of no levels without bar terms.
    rest : tuple of Block
        The other blocks, in falling order of their levels; empty with one factor.
    n_terms : int
        Number of bar terms.
    """

    lead: Block
    rest: tuple[Block, ...]
    n_terms: int

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The lead, then the rest."""
        return (self.lead, *self.rest)

    @property
    def m(self) -> int:
        """Number of coordinates of the rest."""
        return sum(block.n_levels * block.k for block in self.rest)

    def join(
        self, of_terms: Sequence[Float[np.ndarray, "*s _k _k"]]
    ) -> Float[np.ndarray, "*s b k k"]:
        """Square matrices of the terms as those of the blocks, padded to the widest."""
        if not self.rest:
            return self.lead.join(of_terms)[..., None, :, :]
        widest = max(block.k for block in self.blocks)
        shape = (*of_terms[0].shape[:-2], len(self.blocks), widest, widest)
        found = np.zeros(shape)
        for b, block in enumerate(self.blocks):
            found[..., b, : block.k, : block.k] = block.join(of_terms)
        return found

    def cut(
        self, of_blocks: Iterable[Float[np.ndarray, "..."]]
    ) -> tuple[Float[np.ndarray, "..."], ...]:
        """Arrays of the blocks, effects last, as those of the terms."""
        return self._cut(of_blocks, square=False)

    def cut_square(
        self, of_blocks: Iterable[Float[np.ndarray, "..."]]
    ) -> tuple[Float[np.ndarray, "..."], ...]:
        """Square matrices of the blocks, or padded ones, as those of the terms."""
        return self._cut(of_blocks, square=True)

    def _cut(
        self, of_blocks: Iterable[Float[np.ndarray, "..."]], *, square: bool
    ) -> tuple[Float[np.ndarray, "..."], ...]:
        """Along the last axis, or along the last two."""
        if self.n_terms == 1:
            return tuple(of_blocks)
        found = {}
        for block, own in zip(self.blocks, of_blocks, strict=True):
            for t, span in block.parts:
                found[t] = own[..., span, span] if square else own[..., span]
        return tuple(found[t] for t in range(self.n_terms))


def make_layout(design: Design) -> Layout:
    """Merge the bar terms by grouping factor, the one with the most levels first.

    Among those in whose levels the series of the residuals lie, if these have any.
    Without bar terms the lead has no levels.
    """
    groups, series = design.groups, design.residual and design.residual.series
    if not groups:
        return Layout(Block((), (), 0, 1, 0), (), 0)
    members: dict[str, list[int]] = {}
    for t, term in enumerate(groups):
        members.setdefault(term.group, []).append(t)
    may_lead = members if series is None else series.within
    if not any(group in may_lead for group in members):
        raise ModelError(
            f"Without {', '.join(series.within) if series else ''} the series of the "
            f"residuals lie within the levels of no grouping factor, and rows of "
            f"different levels would be correlated. Leave out another term."
        )
    ordered = sorted(
        members.values(),
        key=lambda ts: (groups[ts[0]].group not in may_lead, -groups[ts[0]].n_levels),
    )
    blocks, offset = [], 0
    for position, terms in enumerate(ordered):
        sizes = [groups[t].k for t in terms]
        starts = tuple(int(s) for s in np.cumsum([0, *sizes[:-1]]))
        n_levels, k = groups[terms[0]].n_levels, sum(sizes)
        blocks.append(Block(tuple(terms), starts, n_levels, k, offset))
        offset += n_levels * k if position else 0
    return Layout(blocks[0], tuple(blocks[1:]), len(groups))


def left(
    matrix: Float[np.ndarray, "m c"],
    blocks: tuple[Block, ...],
    factors: Sequence[Float[np.ndarray, "_k _k"]],
) -> Float[np.ndarray, "m c"]:
    """Lambda_r times `matrix`, block-diagonal over the levels of each block."""
    product = np.empty((matrix.shape[0], matrix.shape[1]))
    for block, factor in zip(blocks, factors, strict=True):
        span = block.span
        if block.k == 1:
            np.multiply(matrix[span], factor[0, 0], out=product[span])
            continue
        levels = block.levels(matrix)
        product[span] = (factor @ levels).reshape(-1, matrix.shape[1])
    return product


def left_transposed(
    matrix: Float[np.ndarray, "m c"],
    blocks: tuple[Block, ...],
    factors: Sequence[Float[np.ndarray, "_k _k"]],
) -> Float[np.ndarray, "m c"]:
    """Lambda_r' times `matrix`."""
    return left(matrix, blocks, [factor.T for factor in factors])
