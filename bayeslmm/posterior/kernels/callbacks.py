"""C callbacks for nutpie: the whitened target without Python, so without the GIL.

nutpie hands over pointers: to the whitened coordinates z, to where gradient and value
go, and one of ours, to a table of arrays by address and shape (`pack`). The compiled
targets do the rest.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Int
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from bayeslmm.marginal.kernels.compiling import compiled, compiled_callback
from bayeslmm.marginal.several import Crossed, Exchangeable, Filled
from bayeslmm.marginal.solvers import Levels, Pairs, Pooled
from bayeslmm.posterior.kernels.targets import (
    crossed_target,
    filled_target,
    levels_target,
    pairs_target,
    pooled_target,
)

# Address and up to three lengths of an array; most arrays that a target takes.
RECORD, MOST = 4, 26
# The first arrays are the same for all kernels, the statistics follow.
MODE, BASIS, OFFSET, TERMS, SIGMA, FORMS, TABLES, START, LIFT, UNIT = range(10)
PRECISION, MEAN, CONSTANTS, WW, FIRST = range(10, 15)
# What a callback returns: fine, a point that counts as divergent, another model's.
DONE, IMPOSSIBLE, MISFIT = 0, 4, -1

_NUMBERS = types.CPointer(types.float64)
_LOGP = types.int64(types.uint64, _NUMBERS, _NUMBERS, _NUMBERS, types.voidptr)
_EXPAND = types.int64(types.uint64, types.uint64, _NUMBERS, _NUMBERS, types.voidptr)


def pack(arrays: tuple[np.ndarray, ...]) -> Int[np.ndarray, " records"]:
    """Addresses and shapes of arrays, which must be kept alive by the caller."""
    if len(arrays) > MOST:
        raise ValueError(f"{len(arrays)} arrays, and a callback reads {MOST} at most")
    records = np.ones((MOST, RECORD), np.int64)
    for i, array in enumerate(arrays):
        if not array.flags.c_contiguous or array.dtype not in (np.float64, np.int64):
            raise ValueError(
                f"array {i} is {array.dtype}, shape {array.shape}; a callback reads "
                "whole arrays of float64 or int64"
            )
        record = records[i]
        record[0] = array.ctypes.data
        record[1 : 1 + array.ndim] = array.shape
    return records.ravel()


def _as_pointer(typing_context, address):
    """An integer as a pointer."""
    del typing_context

    def code(context, builder, signature, arguments):
        del context, signature
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), code


_pointer: Any = intrinsic(_as_pointer)


@compiled
def _vector(head, i):
    """Array i, one index."""
    at = RECORD * i
    return carray(_pointer(head[at]), (head[at + 1],), np.float64)


@compiled
def _matrix(head, i):
    """Array i, two indices."""
    at = RECORD * i
    return carray(_pointer(head[at]), (head[at + 1], head[at + 2]), np.float64)


@compiled
def _cube(head, i):
    """Array i, three indices."""
    at = RECORD * i
    shape = (head[at + 1], head[at + 2], head[at + 3])
    return carray(_pointer(head[at]), shape, np.float64)


@compiled
def _integers(head, i):
    """Array i of integers, one index."""
    at = RECORD * i
    return carray(_pointer(head[at]), (head[at + 1],), np.int64)


@compiled
def _common(head):
    """Plan and prior as the targets take them."""
    at = RECORD * TERMS
    terms = carray(_pointer(head[at]), (head[at + 1], head[at + 2]), np.int64)
    priors = (_matrix(head, FORMS), _cube(head, TABLES), _vector(head, START))
    safe = (_cube(head, LIFT), _vector(head, UNIT))
    plan = (terms, _integers(head, SIGMA), *priors, *safe)
    prior = (_matrix(head, PRECISION), _vector(head, MEAN), _vector(head, CONSTANTS))
    return plan, prior, _matrix(head, WW)


@compiled
def _enter(m, z, logp, data):
    """Whether the point has our dimension, our arrays, coordinates, empty gradient.

    The value is NaN until it is known: numba reports an error (no memory) to the caller
    of a C function as success, and the sampler takes NaN for a divergence.
    """
    logp[0] = np.nan
    head = carray(data, (RECORD * MOST,), np.int64)
    mode, basis = _vector(head, MODE), _matrix(head, BASIS)
    x, fits = mode.copy(), m == mode.size
    for i in range(x.size if fits else 0):
        for j in range(x.size):
            x[i] += basis[i, j] * z[j]
    return fits, head, x, np.zeros(x.size)


@compiled
def _leave(fits, value, gradient, head, out, logp):
    """Value relative to the mode's and whitened gradient, written for nutpie."""
    if not fits:
        return MISFIT
    basis = _matrix(head, BASIS)
    logp[0] = value - _vector(head, OFFSET)[0]
    finite = np.isfinite(value)
    for j in range(gradient.size):
        total = 0.0
        for i in range(gradient.size):
            total += basis[i, j] * gradient[i]
        out[j] = total
        finite = finite and np.isfinite(total)
    return DONE if finite else IMPOSSIBLE


# `m > 0` is true: a constant would compile the target once more, for constants.


def _pooled(m, z, out, logp, data):
    fits, head, x, gradient = _enter(m, z, logp, data)
    plan, prior, WW = _common(head)
    arrays = (_cube(head, FIRST), _vector(head, FIRST + 1), _cube(head, FIRST + 2))
    value = pooled_target(x, plan, prior, WW, arrays, m > 0, gradient)
    return _leave(fits, value, gradient, head, out, logp)


def _pairs(m, z, out, logp, data):
    fits, head, x, gradient = _enter(m, z, logp, data)
    plan, prior, WW = _common(head)
    arrays = (_matrix(head, FIRST), _cube(head, FIRST + 1))
    value = pairs_target(x, plan, prior, WW, arrays, m > 0, gradient)
    return _leave(fits, value, gradient, head, out, logp)


def _levels(m, z, out, logp, data):
    fits, head, x, gradient = _enter(m, z, logp, data)
    plan, prior, WW = _common(head)
    arrays = (_cube(head, FIRST), _cube(head, FIRST + 1))
    value = levels_target(x, plan, prior, WW, arrays, m > 0, gradient)
    return _leave(fits, value, gradient, head, out, logp)


def _crossed(m, z, out, logp, data):
    fits, head, x, gradient = _enter(m, z, logp, data)
    plan, prior, WW = _common(head)
    arrays = (
        *(_cube(head, FIRST), _cube(head, FIRST + 1)),
        *(_integers(head, FIRST + 2), _integers(head, FIRST + 3)),
        *(_matrix(head, FIRST + 4), _matrix(head, FIRST + 5)),
        _matrix(head, FIRST + 6),
        *(_integers(head, FIRST + 7), _integers(head, FIRST + 8)),
        _integers(head, FIRST + 9),
    )
    value = crossed_target(x, plan, prior, WW, arrays, m > 0, gradient)
    return _leave(fits, value, gradient, head, out, logp)


def _filled(m, z, out, logp, data):
    fits, head, x, gradient = _enter(m, z, logp, data)
    plan, prior, WW = _common(head)
    arrays = (
        *(_cube(head, FIRST), _cube(head, FIRST + 1), _cube(head, FIRST + 2)),
        *(_matrix(head, FIRST + 3), _matrix(head, FIRST + 4)),
        *(_integers(head, FIRST + 5), _integers(head, FIRST + 6)),
        *(_integers(head, FIRST + 7), _cube(head, FIRST + 8)),
        *(_vector(head, FIRST + 9), _cube(head, FIRST + 10)),
        _integers(head, FIRST + 11),
    )
    value = filled_target(x, plan, prior, WW, arrays, m > 0, gradient)
    return _leave(fits, value, gradient, head, out, logp)


def _copy(_m, n, z, out, _data):
    """What nutpie stores of a draw: z itself."""
    for i in range(n):
        out[i] = z[i]
    return DONE


_LOGP_OF = {
    Pooled: _pooled,
    Pairs: _pairs,
    Levels: _levels,
    Crossed: _crossed,
    Filled: _filled,
    Exchangeable: _filled,
}


def logp_callback(solver: type) -> Any:
    """Compiled callback of a solver: has the ``address`` that nutpie calls."""
    return _callback(_LOGP_OF[solver])


@cache
def _callback(logp: Callable[..., int]) -> Any:
    """The same of a function."""
    return compiled_callback(logp, _LOGP)


@cache
def expand_callback() -> Any:
    """Compiled callback that stores a draw."""
    return compiled_callback(_copy, _EXPAND)
