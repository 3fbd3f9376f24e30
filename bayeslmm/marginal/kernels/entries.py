"""The functions of each solver that compiled loops call by address.

Of every solver: ``gram`` takes its blocks out of ``G = [X y]'W[X y]``, given as its
start, and returns the log determinant (NaN where that breaks down); ``slopes`` fills
the gradient by the relative factors, ``sum_j (Q_j K Q_j') Lambda / scale - D_j``, with
K = gamma gamma' + C, gamma = (-beta, 1). What the second needs of the first lies in the
``room`` of the evaluation, whose ``size`` follows from the arrays. Of crossed factors
``rest`` draws the effects of all blocks but the lead, given gamma.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bayeslmm.marginal.kernels import crossed, filled
from bayeslmm.marginal.kernels.blocked import (
    eliminate_lead,
    lead_projections,
    sum_gradient,
)
from bayeslmm.marginal.kernels.calls import (
    GRAM,
    REST,
    SLOPES,
    address_of,
    cube,
    cut,
    integers,
    matrix,
    vector,
)
from bayeslmm.marginal.kernels.compiling import compiled
from bayeslmm.marginal.kernels.packed import Packed
from bayeslmm.marginal.kernels.pairs import pairs_gradient, pairs_gram
from bayeslmm.marginal.kernels.pooled import pooled_gradient, pooled_gram
from bayeslmm.marginal.several import Crossed, Exchangeable, Filled
from bayeslmm.marginal.solvers import Levels, Pairs, Pooled
from bayeslmm.marginal.statistics import Solver


class Functions(NamedTuple):
    """Functions of a solver, and the numbers of room that its arrays need."""

    gram: Callable[..., float]
    slopes: Callable[..., None]
    size: Callable[..., int]
    rest: Callable[..., None] | None = None


class Entries(NamedTuple):
    """The functions of a solver with its arrays, as the kernels of `generic` start."""

    functions: Functions
    arrays: Packed

    @property
    def gram(self) -> Any:
        """Address of the function that all need."""
        return address_of(self.functions.gram, GRAM)

    @property
    def slopes(self) -> Any:
        """Address of the gradient's."""
        return address_of(self.functions.slopes, SLOPES)

    @property
    def where(self) -> tuple[Any, int]:
        """Table of the arrays, and the room of an evaluation."""
        return self.arrays.table, self.functions.size(*self.arrays)

    @property
    def alone(self) -> tuple[Any, ...]:
        """For sums."""
        return self.gram, *self.where

    @property
    def with_slopes(self) -> tuple[Any, ...]:
        """For density and profile."""
        return self.gram, self.slopes, *self.where

    @property
    def with_rest(self) -> tuple[Any, ...]:
        """For draws; without a rest nothing is at its address, and not called."""
        rest = self.functions.rest
        return self.gram, address_of(rest, REST) if rest else 0, *self.where


def entries_of(solver: Solver) -> Entries:
    """Those of a solver that does not go in steps."""
    return Entries(FUNCTIONS[type(solver)], solver.arrays)


# --- one grouping factor --------------------------------------------------------------


@compiled
def _pooled_gram(table, factors, G, _room):
    A, count, T = cube(table, 0), vector(table, 1), cube(table, 2)
    return pooled_gram(A, count, T, factors[0], G)


@compiled
def _pooled_slopes(table, factors, K, _C, scale, _room, gradient):
    A, count, T = cube(table, 0), vector(table, 1), cube(table, 2)
    pooled_gradient(A, count, T, factors[0], K, scale, gradient[0])


@compiled
def _pairs_gram(table, factors, G, room):
    A, F = matrix(table, 0), cube(table, 1)
    return pairs_gram(A, F, factors[0], G, cut(room, 0, (4, A.shape[1])))


@compiled
def _pairs_slopes(table, factors, K, C, scale, room, gradient):
    A, F = matrix(table, 0), cube(table, 1)
    beta = np.empty(C.shape[0])
    for c in range(beta.size):
        beta[c] = -K[beta.size, c]
    N = cut(room, 0, (4, A.shape[1]))
    pairs_gradient(A, F, N, factors[0], beta, C, scale, gradient[0])


@compiled
def _levels_room(A, F, room):
    return cut(room, 0, A.shape), cut(room, A.size, F.shape)


@compiled
def _levels_gram(table, factors, G, room):
    A, F = cube(table, 0), cube(table, 1)
    root, U = _levels_room(A, F, room)
    return eliminate_lead(A, F, factors[0], G, root, U)


@compiled
def _levels_slopes(table, factors, K, _C, scale, room, gradient):
    A, F = cube(table, 0), cube(table, 1)
    root, U = _levels_room(A, F, room)
    Q, D = np.empty(F.shape), np.empty(A.shape)
    lead_projections(A, F, factors[0], root, U, Q, D)
    gradient[:] = 0.0
    sum_gradient(Q, D, factors[0], K, 0, A.shape[1], scale, gradient[0])


# --- several --------------------------------------------------------------------------


@compiled
def _crossed_arrays(table, room):
    A, F, B = cube(table, 0), cube(table, 1), matrix(table, 4)
    couplings = (integers(table, 2), integers(table, 3), B)
    where = (integers(table, 7), integers(table, 8), integers(table, 9))
    m = where[0].size
    return A, F, couplings, where, crossed.rooms(A, F, B, m, (m, F.shape[2]), room)


@compiled
def _crossed_gram(table, factors, G, room):
    A, F, couplings, where, given = _crossed_arrays(table, room)
    products = (matrix(table, 5), matrix(table, 6))
    lead = (A, F)
    return crossed.eliminate_crossed(
        lead, couplings, products, where, factors, G, given
    )


@compiled
def _crossed_slopes(table, factors, K, _C, scale, room, gradient):
    A, F, couplings, where, given = _crossed_arrays(table, room)
    crossed.slopes_crossed(A, F, couplings, where, factors, given, K, scale, gradient)


@compiled
def _crossed_rest(table, factors, gamma, sigma, z, room, drawn):
    _, _, _, where, given = _crossed_arrays(table, room)
    crossed.draw_crossed(where, factors, given, gamma, sigma, z, drawn)


@compiled
def _filled_arrays(table, room):
    A, F, B = cube(table, 0), cube(table, 1), cube(table, 2)
    where = (integers(table, 5), integers(table, 6), integers(table, 7))
    contrasts = (cube(table, 8), vector(table, 9), cube(table, 10), integers(table, 11))
    m = where[0].size
    given = crossed.rooms(A, F, B, m, (F.shape[2], m), room)
    return (A, F, B), where, contrasts, given


@compiled
def _filled_gram(table, factors, G, room):
    lead, where, contrasts, given = _filled_arrays(table, room)
    products = (matrix(table, 3), matrix(table, 4))
    return filled.eliminate_filled(lead, products, where, contrasts, factors, G, given)


@compiled
def _filled_slopes(table, factors, K, _C, scale, room, gradient):
    lead, where, contrasts, given = _filled_arrays(table, room)
    filled.slopes_filled(lead, where, contrasts, factors, given, K, scale, gradient)


@compiled
def _filled_rest(table, factors, gamma, sigma, z, room, drawn):
    _, where, _, given = _filled_arrays(table, room)
    filled.draw_filled(where, factors, given, gamma, sigma, z, drawn)


def _no_room(A: np.ndarray, count: np.ndarray, T: np.ndarray) -> int:
    del A, count, T
    return 0


def _pairs_size(A: np.ndarray, F: np.ndarray) -> int:
    del F
    return 4 * A.shape[1]


def _levels_size(A: np.ndarray, F: np.ndarray) -> int:
    return A.size + F.size


def _several_size(A: np.ndarray, F: np.ndarray, *rest: np.ndarray) -> int:
    """Lead, couplings, three matrices of the rest, two of its columns."""
    B, R, Fr = [one for one in rest if one.dtype == float][:3]
    return A.size + F.size + B.size + 3 * R.size + 2 * Fr.size


_FILLED = Functions(_filled_gram, _filled_slopes, _several_size, _filled_rest)

FUNCTIONS: dict[type, Functions] = {
    Pooled: Functions(_pooled_gram, _pooled_slopes, _no_room),
    Pairs: Functions(_pairs_gram, _pairs_slopes, _pairs_size),
    Levels: Functions(_levels_gram, _levels_slopes, _levels_size),
    Crossed: Functions(_crossed_gram, _crossed_slopes, _several_size, _crossed_rest),
    Filled: _FILLED,
    Exchangeable: _FILLED,
}
