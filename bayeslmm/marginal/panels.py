"""Where the entries of a sparse matrix of the rest lie: order, fill, panels.

Levels of the rest are joined where one level of the lead couples with both. Nested
factors join few, and their Cholesky factor is as sparse; crossed ones fill more. Takes
the couplings of `Statistics`, gives `Panels`, found once for all evaluations: the order
of elimination and the places of all entries of the factor, which are also those of the
matrix and of the part of its inverse that gradients need.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from bayeslmm.marginal.kernels import couplings, ordering, panels as panel_kernels
from bayeslmm.marginal.layout import Layout

# Columns of a panel at most: a block of it and the row it meets stay in the cache.
WIDEST = 64


@dataclass(frozen=True, slots=True)
class Panels:
    """Places of the entries of a symmetric matrix of the rest, and of its factor.

    Attributes
    ----------
    order, rank : ndarray, shape (m,)
        Coordinate of the rest at each place of the order of elimination, and its
        inverse.
    shape : tuple of ndarray
        What the kernels of `kernels.panels` take: first column, first row and first
        value of each panel, rows of all panels, panel of each column.
    kind, lag : ndarray, shape (m,)
        Block of the rest and number within its level, of each place.
    sizes : ndarray, shape (blocks,)
        Effects for each level of the blocks of the rest.
    width, stride : ndarray, shape (m,)
        Effects of the level, and columns of the panel, of each coordinate of the rest.
    operations : float
        Multiplications of one factorisation.
    """

    order: Int[np.ndarray, " m"]
    rank: Int[np.ndarray, " m"]
    shape: tuple[Int[np.ndarray, "..."], ...]
    kind: Int[np.ndarray, " m"]
    lag: Int[np.ndarray, " m"]
    sizes: Int[np.ndarray, " blocks"]
    width: Int[np.ndarray, " m"]
    stride: Int[np.ndarray, " m"]
    operations: float

    @property
    def n_values(self) -> int:
        """Entries that are kept, those above the diagonal of a panel included."""
        return int(self.shape[3][-1])


def times_panels(
    panels: Panels, values: Float[np.ndarray, " v"], columns: Float[np.ndarray, "m c"]
) -> Float[np.ndarray, "m c"]:
    """A symmetric matrix in panels times columns, both by coordinate."""
    product = np.zeros_like(columns)
    where = (panels.shape, panels.kind, panels.lag, panels.sizes)
    panel_kernels.multiply_panels(*where, values, columns[panels.order], product)
    return product[panels.rank]


def find_panels(
    indptr: Int[np.ndarray, " j1"],
    columns: Int[np.ndarray, " nnz"],
    layout: Layout,
    *,
    most: float,
    most_operations: float,
) -> Panels | None:
    """Order of elimination and panels, or None where they would be too large.

    Parameters
    ----------
    indptr, columns : ndarray
        Couplings of lead and rest; see `Statistics`.
    layout : Layout
        Blocks of the model.
    most : float
        Entries of the factor at most.
    most_operations : float
        Multiplications of one factorisation at most.

    Returns
    -------
    Panels or None
        None as soon as one of the two is exceeded, at the cost of what came before.
    """
    kind, lag, node = _coordinates(layout)
    weight = np.array([b.k for b in layout.rest])[kind[lag == 0]]
    cliques = _cliques(indptr, columns, lag, node, len(weight))
    degree = ordering.exact_degrees(*cliques, weight, most)
    if degree.min(initial=0) < 0:
        return None
    order, starts, rows, clique, operations = ordering.minimum_degree(
        *cliques, weight, degree, most, most_operations
    )
    if not np.isfinite(operations):
        return None
    position = ordering.postorder(starts, rows, order, clique)
    found = ordering.find_panels(starts, rows, order, clique, position, weight, WIDEST)
    edges, starts, below = found
    panel = np.repeat(np.arange(len(edges) - 1), np.diff(starts))
    below = below[np.lexsort((below, panel))]
    at_node = np.argsort(position)
    first = np.flatnonzero(lag == 0)[at_node]  # coordinates of the levels, in order
    shape, places = _expand(edges, starts, below, weight[at_node])
    by_place = np.repeat(first, weight[at_node])
    by_place += np.arange(layout.m) - np.repeat(places[:-1], weight[at_node])
    rank = np.empty(layout.m, np.int64)
    rank[by_place] = np.arange(layout.m)
    sizes = np.array([block.k for block in layout.rest])
    return Panels(
        order=by_place,
        rank=rank,
        shape=shape,
        kind=kind[by_place],
        lag=lag[by_place],
        sizes=sizes,
        width=sizes[kind],
        stride=np.diff(shape[0])[shape[4][rank]],
        operations=operations,
    )


def _coordinates(
    layout: Layout,
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Block, number within its level, and level (counted over blocks) of each."""
    kind = np.concatenate(
        [np.full(b.n_levels * b.k, i) for i, b in enumerate(layout.rest)]
    )
    lag = np.concatenate([np.tile(np.arange(b.k), b.n_levels) for b in layout.rest])
    return kind, lag, np.cumsum(lag == 0) - 1


def _cliques(
    indptr: Int[np.ndarray, " j1"],
    columns: Int[np.ndarray, " nnz"],
    lag: Int[np.ndarray, " m"],
    node: Int[np.ndarray, " m"],
    n_nodes: int,
) -> tuple[Int[np.ndarray, "..."], ...]:
    """Levels of the rest by level of the lead, where there are several; and back."""
    is_first = lag[columns] == 0
    edges = np.concatenate([[0], np.cumsum(is_first)])[indptr]
    nodes, counts = node[columns[is_first]], np.diff(edges)
    nodes = nodes[np.repeat(counts > 1, counts)]
    counts = counts[counts > 1]
    edges = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    by_clique = csr_array(
        (np.ones(len(nodes), np.int8), nodes, edges), shape=(len(counts), n_nodes)
    )
    by_node = by_clique.tocsc()
    back = by_node.indptr.astype(np.int64), by_node.indices.astype(np.int64)
    return edges, nodes, *back


def _expand(
    edges: Int[np.ndarray, " q1"],
    starts: Int[np.ndarray, " q1"],
    below: Int[np.ndarray, " r"],
    weight: Int[np.ndarray, " n"],
) -> tuple[tuple[Int[np.ndarray, "..."], ...], Int[np.ndarray, " n1"]]:
    """Panels of levels to panels of coordinates; first place of each level."""
    places = np.concatenate([[0], np.cumsum(weight)])
    own = np.diff(edges)
    # nodes of each panel: its own, then those below it
    nodes = np.empty(edges[-1] + len(below), np.int64)
    first = edges[:-1] + starts[:-1]
    is_own = np.zeros(len(nodes), bool)
    is_own[np.repeat(first - edges[:-1], own) + np.arange(edges[-1])] = True
    nodes[is_own], nodes[~is_own] = np.arange(edges[-1]), below
    heft = np.concatenate([[0], np.cumsum(weight[nodes])])
    rows = np.repeat(places[nodes] - heft[:-1], weight[nodes]) + np.arange(heft[-1])
    row_starts = heft[np.concatenate([first, [len(nodes)]])]
    width = np.diff(places[edges])
    at = np.concatenate([[0], np.cumsum(width * np.diff(row_starts))])
    panel_of = np.repeat(np.arange(len(own)), width)
    return (places[edges], row_starts, rows, at, panel_of), places


def place_products(
    panels: Panels,
    first: Int[np.ndarray, " c"],
    other: Int[np.ndarray, " c"],
    cells: Float[np.ndarray, "c k other"],
    values: Float[np.ndarray, " v"],
) -> None:
    """Write products of levels of the rest, at their first coordinates, into panels."""
    where = (panels.rank, panels.shape, panels.stride, values)
    couplings.place_blocks(first, other, cells, *where)


def find_pairs(
    panels: Panels, indptr: Int[np.ndarray, " j1"], columns: Int[np.ndarray, " nnz"]
) -> Int[np.ndarray, " c"]:
    """Places of the blocks of levels that one level of the lead couples with."""
    is_first = (panels.lag[panels.rank] == 0)[columns]
    counts = np.diff(np.concatenate([[0], np.cumsum(is_first)])[indptr])
    pairs = np.empty(int((counts * (counts + 1)).sum()) // 2, np.int64)
    where = (panels.rank, panels.width, panels.shape)
    couplings.find_pairs(indptr, columns, *where, pairs)
    return pairs


def pair_bytes(indptr: Int[np.ndarray, " j1"]) -> float:
    """Memory of the places of all pairs, at most."""
    counts = np.diff(indptr).astype(float)
    return 8.0 * float(counts @ (counts + 1.0)) / 2.0
