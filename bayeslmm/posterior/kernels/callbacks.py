"""C callbacks for nutpie: the whitened target without Python, so without the GIL.

nutpie hands over pointers: to the whitened coordinates z, to where gradient and value
go, and one of ours, to a table of arrays by address and shape (`Packed`): the
whitening, then what the compiled target takes, which is called by its address.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import carray, types

from bayeslmm.marginal.kernels.calls import (
    by_address,
    integers,
    matrix,
    vector,
)
from bayeslmm.marginal.kernels.compiling import compiled_callback
from bayeslmm.marginal.kernels.packed import RECORD
from bayeslmm.posterior.kernels.targets import SIGNATURE

# The arrays of the table; of the last one where the functions are, and the room.
MODE, BASIS, OFFSET, TARGET, ARRAYS, SOLVER, ALL = range(7)
# What a callback returns: fine, a point that counts as divergent, another model's.
DONE, IMPOSSIBLE, MISFIT = 0, 4, -1

_NUMBERS = types.CPointer(types.float64)
_LOGP = types.int64(types.uint64, _NUMBERS, _NUMBERS, _NUMBERS, types.voidptr)
_EXPAND = types.int64(types.uint64, types.uint64, _NUMBERS, _NUMBERS, types.voidptr)
_call_target = by_address(SIGNATURE)


def _logp(m, z, out, logp, data):
    """Value relative to the mode's, and gradient, by z.

    The value is NaN until it is known: numba reports an error (no memory) to the caller
    of a C function as success, and the sampler takes NaN for a divergence.
    """
    logp[0] = np.nan
    table = carray(data, (RECORD * ALL,), np.int64)
    mode, basis = vector(table, MODE), matrix(table, BASIS)
    if m != mode.size:
        return MISFIT
    x, gradient = np.empty(mode.size), np.empty(mode.size)
    for i in range(mode.size):
        x[i] = mode[i]
        for j in range(mode.size):
            x[i] += basis[i, j] * z[j]
    own = integers(table, SOLVER)
    given = (own[1], own[2], integers(table, ARRAYS), own[3])
    at = (x, integers(table, TARGET), *given, True, gradient)
    value = _call_target(own[0], at)
    logp[0] = value - vector(table, OFFSET)[0]
    finite = np.isfinite(value)
    for j in range(mode.size):
        total = 0.0
        for i in range(mode.size):
            total += basis[i, j] * gradient[i]
        out[j] = total
        finite = finite and np.isfinite(total)
    return DONE if finite else IMPOSSIBLE


def _copy(_m, n, z, out, _data):
    """What nutpie stores of a draw: z itself."""
    for i in range(n):
        out[i] = z[i]
    return DONE


@cache
def logp_callback() -> Any:
    """Compiled callback of every target: has the ``address`` that nutpie calls."""
    return compiled_callback(_logp, _LOGP)


@cache
def expand_callback() -> Any:
    """Compiled callback that stores a draw."""
    return compiled_callback(_copy, _EXPAND)
