"""How the bar terms of a model lie in its cross-products.

Takes the bar terms, gives a `Layout`: terms of one grouping factor merged into one
*block*; the block with the most levels *leads* (it is eliminated level by level), all
others form the *rest*, whose coordinates run by block, level and effect. The blocking
is that of MixedModels.jl (Bates, Alday, Kleinschmidt et al.). Needs numpy only.
"""

from dataclasses import dataclass

import numpy as np

from bayeslmm.design.arrays import GroupTerm


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


@dataclass(frozen=True, slots=True)
class Layout:
    """Blocks of a model.

    Attributes
    ----------
    lead : Block
        The block with the most levels.
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


def make_layout(groups: tuple[GroupTerm, ...]) -> Layout:
    """Merge the bar terms by grouping factor, the one with the most levels first."""
    members: dict[str, list[int]] = {}
    for t, term in enumerate(groups):
        members.setdefault(term.group, []).append(t)
    ordered = sorted(members.values(), key=lambda ts: -groups[ts[0]].n_levels)
    blocks, offset = [], 0
    for position, terms in enumerate(ordered):
        sizes = [groups[t].k for t in terms]
        starts = tuple(int(s) for s in np.cumsum([0, *sizes[:-1]]))
        n_levels, k = groups[terms[0]].n_levels, sum(sizes)
        blocks.append(Block(tuple(terms), starts, n_levels, k, offset))
        offset += n_levels * k if position else 0
    return Layout(blocks[0], tuple(blocks[1:]), len(groups))
