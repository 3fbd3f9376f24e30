"""Which route a model takes: the one place where it is decided.

Takes the sums over rows, gives `Statistics` with the solver that costs least. Costs are
counts of operations and entries, so that every machine takes the same route and
computes the same numbers; memory only refuses what it cannot hold.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.design.memory import SHARE, available_bytes
from bayeslmm.errors import DataError
from bayeslmm.marginal.columns import data_columns
from bayeslmm.marginal.dense import DenseRest, dense_bytes
from bayeslmm.marginal.exchangeable import Classes, find_classes
from bayeslmm.marginal.kernels.pooled import levels_to_pool
from bayeslmm.marginal.layout import Layout, make_layout
from bayeslmm.marginal.panels import Panels, find_panels, pair_bytes
from bayeslmm.marginal.several import Crossed, Exchangeable, Filled, InSteps
from bayeslmm.marginal.solvers import Levels, NoRest, Pairs, Pooled
from bayeslmm.marginal.sparse import SPARSE_BYTES, SparseRest
from bayeslmm.marginal.statistics import (
    Rest,
    Solver,
    Statistics,
    lead_couplings,
    rest_columns,
)
from bayeslmm.marginal.sums import Sums, sum_rows

Route = tuple[Rest, Solver]

# Coordinates of the rest up to which plain loops beat calls of LAPACK with Python
# between them (measured: 0.1 ms against 0.2 at 30, even at about 120).
SMALL_REST = 100
# Share of the couplings of all levels below which zeros are left out.
MOSTLY_ZERO = 0.25
# A dense factor and its inverse cost as much as a sparse one of m**3 over this many
# multiplications (measured: 10 to 21 on crossed factors with a rest of 1000 to 3000).
SPARSE_COST = 20.0
# Of m**2, the entries of a factor that is still sparse.
SPARSE_SHARE = 1 / 8
# Multiplications of a sparse factor beyond which a model is refused where a dense one
# would not fit: some 100 s for each evaluation with its gradient.
MOST_OPERATIONS = 3e11


class Parts(NamedTuple):
    """What a route is made from; see `Statistics`. It may sort the couplings."""

    sums: Sums
    layout: Layout
    coupling: tuple[np.ndarray, np.ndarray, np.ndarray]
    Fr: Float[np.ndarray, "m w"]


def cross_products(design: Design) -> Statistics:
    """Cross-products of a design, computed once for all evaluations.

    Parameters
    ----------
    design : Design
        Arrays of the model.

    Returns
    -------
    Statistics
        Memory is the number of levels times a few numbers, plus the entries of the
        Cholesky factor of the levels outside the largest grouping factor: with crossed
        factors up to the square of their number, with nested ones about as many.

    References
    ----------
    .. [1] Bates et al. (2015). J. Stat. Softw. 67(1). https://doi.org/10.18637/jss.v067.i01
    """
    layout = make_layout(design)
    rows = rows_of(design, "cross-products")
    return make_statistics(sum_rows(rows, layout, data_columns(design)), layout)


def choose_route(parts: Parts) -> Route:
    """The route that costs least.

    With several grouping factors one level of each class where few differ, loops where
    the rest is small, panels where its factor fills little, else LAPACK. With one, what
    levels share few different A, two effects for each, or any number, in this order.

    Raises
    ------
    DataError
        If the matrices of the rest would not fit into memory.
    """
    if not parts.layout.m:
        A, F = parts.sums.A[0], parts.sums.F[0]
        alike = levels_to_pool(A, F.shape[2]) if len(A) else None
        if alike is not None:
            return NoRest(), Pooled.of(A, F, alike)
        return one_factor(parts, Pairs if A.shape[1] == 2 else Levels)
    classes = find_classes(parts.sums, parts.layout)
    if classes is not None and classes.layout(parts.layout).m <= SMALL_REST:
        return exchangeable(parts, classes)
    return several_factors(parts)


def make_statistics(
    sums: Sums, layout: Layout, route: Callable[[Parts], Route] = choose_route
) -> Statistics:
    """The sums over all rows in the layout of a route, by default the best.

    Raises
    ------
    DataError
        If the matrices of the rest would not fit into memory.
    """
    parts = Parts(
        sums, layout, lead_couplings(sums, layout), rest_columns(sums, layout)
    )
    R, solver = route(parts)
    return Statistics(sums, layout, *parts.coupling, R, parts.Fr, solver)


# --- the routes -----------------------------------------------------------------------


def one_factor(
    parts: Parts, solver: type[Pooled] | type[Pairs] | type[Levels]
) -> Route:
    """A walk over the levels of the one grouping factor."""
    return NoRest(), solver.of(parts.sums.A[0], parts.sums.F[0])


def exchangeable(parts: Parts, classes: Classes) -> Route:
    """One level for each class; what is no density reads the matrix of them all."""
    small = parts.layout.m <= SMALL_REST  # whose loops would hold all couplings whole
    rest = (
        DenseRest.of(parts.sums, parts.layout) if small else several_factors(parts)[0]
    )
    return rest, Exchangeable.of(parts.sums, parts.layout, classes)


def several_factors(parts: Parts) -> Route:
    """The route of levels that all differ."""
    if parts.layout.m <= SMALL_REST:
        return small_rest(parts)
    panels = affordable_panels(parts)
    return dense_rest(parts) if panels is None else sparse_rest(parts, panels)


def small_rest(parts: Parts) -> Route:
    """Loops over the levels of several factors."""
    rest = DenseRest.of(parts.sums, parts.layout)
    lead = parts.sums.A[0], parts.sums.F[0]
    return rest, loops(parts.layout, lead, parts.coupling, rest.values, parts.Fr)


def loops(
    layout: Layout,
    lead: tuple[np.ndarray, np.ndarray],
    coupling: tuple[np.ndarray, np.ndarray, np.ndarray],
    R: Float[np.ndarray, "m m"],
    Fr: Float[np.ndarray, "m w"],
) -> Crossed | Filled:
    """Over couplings, or over whole arrays where most of them would not be zero."""
    if len(coupling[1]) < MOSTLY_ZERO * layout.lead.n_levels * layout.m:
        return Crossed.of(layout, *lead, *coupling, R, Fr)
    return Filled.of(layout, lead, coupling, (R, Fr))


def dense_rest(parts: Parts) -> Route:
    """Steps with LAPACK."""
    return DenseRest.of(parts.sums, parts.layout), InSteps()


def sparse_rest(parts: Parts, panels: Panels | None = None) -> Route:
    """Steps in panels."""
    if panels is None:
        panels = _find_panels(parts, math.inf, math.inf)
        assert panels is not None, "nothing is beyond infinity"
    rest = SparseRest.of(parts.sums, parts.layout, panels, parts.coupling)
    return rest, InSteps()


def weighted_route(
    layout: Layout,
    lead: tuple[np.ndarray, np.ndarray],
    coupling: tuple[np.ndarray, np.ndarray, np.ndarray],
    R: Float[np.ndarray, "m m"],
    Fr: Float[np.ndarray, "m w"],
) -> Route:
    """That of weighted sums of cross-products, whose weights move: nothing is searched.

    `lead` are A and F.
    """
    if not layout.m:
        return NoRest(), (Pairs if lead[0].shape[1] == 2 else Levels).of(*lead)
    if layout.m <= SMALL_REST:
        return DenseRest(R), loops(layout, lead, coupling, R, Fr)
    return DenseRest(R), InSteps()


def affordable_panels(parts: Parts) -> Panels | None:
    """Panels of the rest where they cost less than a dense matrix.

    They never take more memory than that: where it fits, what room there is decides
    nothing, and where it does not, panels too large for the room are refused.

    Raises
    ------
    DataError
        If what costs less does not fit into memory.
    """
    m, pairs = float(parts.layout.m), pair_bytes(parts.coupling[0])
    room, dense = SHARE * available_bytes(), dense_bytes(parts.layout.m)
    most = min(SPARSE_SHARE * m**2, (dense - pairs) / SPARSE_BYTES)
    most_operations = m**3 / SPARSE_COST
    if dense > room:
        most = min(most, (room - pairs) / SPARSE_BYTES)
        most_operations = min(most_operations, MOST_OPERATIONS)
    found = _find_panels(parts, most, most_operations)
    if found is None and dense > room:
        raise DataError(
            f"The {parts.layout.m:,} random effects outside the largest grouping "
            f"factor cannot be told apart one by one: their covariance would take "
            f"{dense / 1e9:.1f} GB, of {room / 1e9:.1f} GB that can be had, and too "
            f"much of it is not zero for a sparse one (at most {max(most, 0.0):,.0f} "
            f"entries or {most_operations:.0e} multiplications). Group the smaller "
            f"factors by coarser columns, or leave one out."
        )
    return found


def _find_panels(parts: Parts, most: float, most_operations: float) -> Panels | None:
    """Panels of at most so many entries and multiplications."""
    indptr, columns, _ = parts.coupling
    return find_panels(
        indptr, columns, parts.layout, most=most, most_operations=most_operations
    )
