"""How much the likelihood sees of each entry of the covariances: tr(P V_i P V_j).

V_i is the derivative of V by entry i of a term's covariance of safe columns, or by log
sigma. With G the products Z'WZ less what the fixed effects take, and C_i the change of
a covariance, tr(P V_i P V_j) = sum over pairs of levels of tr(C_i G C_j G'): a
quadratic form in C_i and C_j whose matrix is a sum of products of the blocks of G.
Pairs of levels that never meet have only the part of the fixed effects, whose sum over
all pairs is a product of two sums. So the cost is that of a pass over the
cross-products, whatever the number of levels.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cholesky, solve_triangular

from bayeslmm.marginal.curvature import outer_total, quadratic, square
from bayeslmm.marginal.layout import Block, Layout
from bayeslmm.marginal.statistics import Statistics
from bayeslmm.marginal.sums import block_pairs

# Multiplications that all products may take: about 1 s.
MOST_OPERATIONS = 2e9
# An entry that no row knows of has this share or less of the square of what its columns
# could have: rounding leaves 1e-16.
NOTHING = 1e-12

Entry = tuple[int, int, int] | None
"""Term, row and column of an entry of a covariance; None for log sigma."""
Meeting = tuple[
    int, int, Float[np.ndarray, "c k o"], Int[np.ndarray, " c"], Int[np.ndarray, " c"]
]
"""Two blocks, the products of levels that meet, and those levels of either."""


def entry_positions(layout: Layout) -> list[Entry]:
    """Log sigma, then the lower triangle of every term's covariance, by blocks."""
    found: list[Entry] = [None]
    for block in layout.blocks:
        stops = (*block.starts[1:], block.k)
        for t, start, stop in zip(block.terms, block.starts, stops, strict=True):
            found += [(t, i, j) for i in range(stop - start) for j in range(i + 1)]
    return found


def entry_products(
    stats: Statistics, *, restricted: bool
) -> tuple[Float[np.ndarray, "e e"], Float[np.ndarray, " e"]] | None:
    """``tr(P V_i P V_j)`` of all entries, and the size of each V_i.

    Parameters
    ----------
    stats : Statistics
        Cross-products in safe coordinates.
    restricted : bool
        Whether P takes the fixed effects off, or is W.

    Returns
    -------
    products : ndarray, shape (e, e)
        In the order of `entry_positions`.
    size : ndarray, shape (e,)
        Root of ``tr(W V_i W V_i)``; of what it could be where no row knows of V_i.
        None is returned instead of both where they would take long.
    """
    p = stats.p if restricted else 0
    if _operations(stats, p) > MOST_OPERATIONS:
        return None
    layout = stats.layout
    picks, first = [_picks(block) for block in layout.blocks], 1
    at = []
    for pick in picks:
        at.append(slice(first, first + len(pick)))
        first += len(pick)
    fixed = _fixed_parts(stats, p)
    totals = [outer_total(part) for part in fixed]
    products, size = np.zeros((first, first)), np.zeros(first)
    products[0, 0], size[0] = 4.0 * (stats.n - p), 2.0 * np.sqrt(stats.n)
    for one, other, G, level, other_level in _meetings(stats):
        H = fixed[one][level] @ fixed[other][other_level].transpose(0, 2, 1)
        apart = np.einsum("abpq,dcpq->abcd", totals[one], totals[other], optimize=True)
        seen = quadratic(G - H) + (apart - quadratic(H))
        form = picks[one] @ square(seen) @ picks[other].T
        products[at[one], at[other]] = form
        products[at[other], at[one]] = form.T
        if one == other:
            along = 2.0 * picks[one] @ (G - H).sum(axis=0).ravel()
            products[0, at[one]] = products[at[one], 0] = along
            size[at[one]] = _sizes(G, picks[one])
    return products, size


def _operations(stats: Statistics, p: int) -> float:
    """Multiplications that the products of all entries take, roughly."""
    blocks = stats.layout.blocks
    own = sum(b.n_levels * (float(b.k) ** 4 + (b.k * p) ** 2) for b in blocks)
    pairs = zip(block_pairs(stats.layout), stats.sums.cells, strict=True)
    return own + sum(
        len(cells.keys) * float(a.k * b.k) * (a.k * b.k + p) for (a, b), cells in pairs
    )


def _picks(block: Block) -> Float[np.ndarray, "e kk"]:
    """Each entry of the block's terms as a symmetric matrix, flat."""
    found = []
    stops = (*block.starts[1:], block.k)
    for start, stop in zip(block.starts, stops, strict=True):
        for i in range(start, stop):
            for j in range(start, i + 1):
                change = np.zeros((block.k, block.k))
                change[i, j] = change[j, i] = 1.0
                found.append(change.ravel())
    return np.array(found)


def _fixed_parts(stats: Statistics, p: int) -> list[Float[np.ndarray, "_j _k _p"]]:
    """``Z'WX`` of each block, in columns of X that are orthonormal under W."""
    if not p:
        return [F[:, :, :0] for F in stats.sums.F]
    root = cholesky(stats.WW[:-1, :-1], lower=True)
    return [
        solve_triangular(root, F[:, :, :-1].reshape(-1, p).T, lower=True).T.reshape(
            *F.shape[:2], p
        )
        for F in stats.sums.F
    ]


def _meetings(stats: Statistics) -> Iterator[Meeting]:
    """Each block with itself, then each pair of blocks."""
    for b, (block, A) in enumerate(zip(stats.layout.blocks, stats.sums.A, strict=True)):
        levels = np.arange(block.n_levels)
        yield b, b, A, levels, levels
    position = {block.terms: b for b, block in enumerate(stats.layout.blocks)}
    pairs = block_pairs(stats.layout)
    for (one, other), cells in zip(pairs, stats.sums.cells, strict=True):
        level, other_level = np.divmod(cells.keys, other.n_levels)
        at = position[one.terms], position[other.terms]
        yield *at, cells.values, level, other_level


def _sizes(
    G: Float[np.ndarray, "j k k"], pick: Float[np.ndarray, "e kk"]
) -> Float[np.ndarray, " e"]:
    """Size of the change of V by each entry of a block's terms."""
    found = np.einsum("ea,ab,eb->e", pick, square(quadratic(G)), pick)
    diagonal = np.einsum("jkk->k", G)
    could = pick**2 @ np.outer(diagonal, diagonal).ravel() / len(G)
    # squares are compared: their rounding is that of the products
    known = np.where(found > NOTHING * could, found, could)
    return np.sqrt(np.where(known > 0.0, known, 1.0))
