"""Arrays and functions by their address: what a compiled loop is told of a solver.

Density, profile, draws and target are the same for every solver but for two or three
functions of its arrays (`entries`). So that each of them is compiled once and not once
for each solver, and the body of a solver once and not once inside each of them, they
take these functions by address, and the arrays as a table of addresses and shapes
(`Packed`). Such a call costs some nanoseconds. Under NUMBA_DISABLE_JIT an address is
the function itself, and a table the arrays themselves.
"""

from typing import Any

import numpy as np
from numba import carray, config, types
from numba.core import cgutils
from numba.extending import intrinsic

from bayeslmm.marginal.kernels.compiling import compiled
from bayeslmm.marginal.kernels.packed import RECORD

PLAINLY: bool = config.DISABLE_JIT  # pyright: ignore[reportAttributeAccessIssue]
ROW = types.Array(types.float64, 1, "C")
MATRIX = types.Array(types.float64, 2, "C")
CUBE = types.Array(types.float64, 3, "C")
TABLE = types.Array(types.int64, 1, "C")
# The signatures of what is called by address; see `entries` and `posterior.targets`.
GRAM = types.float64(TABLE, CUBE, MATRIX, ROW)
SLOPES = types.none(TABLE, CUBE, MATRIX, MATRIX, types.float64, ROW, CUBE)
REST = types.none(TABLE, CUBE, ROW, types.float64, ROW, ROW, ROW)


# By identity, as both are constants of modules: to hash a signature takes 10 us, as
# long as a density.
_ADDRESSES: dict[tuple[int, int], Any] = {}


def address_of(kernel: Any, signature: Any) -> Any:
    """Where the machine code of a kernel for a signature is, compiled or loaded now."""
    found = _ADDRESSES.get((id(kernel), id(signature)))
    if found is None:
        found = _ADDRESSES[id(kernel), id(signature)] = _made_at(kernel, signature)
    return found


def _made_at(kernel: Any, signature: Any) -> Any:
    """The same, for the first time."""
    made = kernel.made
    if PLAINLY:
        return made
    made.compile(signature.args)
    found = made.overloads[signature.args]
    assert found.signature.return_type == signature.return_type, found.signature
    return found.library.get_pointer_to_function(found.fndesc.llvm_func_name)


def by_address(signature: Any) -> Any:
    """What calls a function of a signature in compiled code: its address comes first.

    Called as numba calls: an error there is an error here.
    """
    if PLAINLY:
        return lambda function, arguments: function(*arguments)

    def typed(context: Any, address: Any, arguments: Any) -> Any:
        del context
        return signature.return_type(address, arguments), _call

    def _call(context: Any, builder: Any, own: Any, given: Any) -> Any:
        del own
        result, kinds, convention = (
            signature.return_type,
            signature.args,
            context.call_conv,
        )
        kind = convention.get_function_type(result, kinds).as_pointer()
        function = builder.inttoptr(given[0], kind)
        arguments = cgutils.unpack_tuple(builder, given[1])
        status, out = convention.call_function(
            builder, function, result, kinds, arguments
        )
        with cgutils.if_unlikely(builder, status.is_error):
            convention.return_status_propagate(builder, status)
        return out

    return intrinsic(typed)


def _as_pointer(typing_context: Any, address: Any) -> Any:
    """An integer as a pointer."""
    del typing_context

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), code


def _as_address(typing_context: Any, array: Any) -> Any:
    """Where the data of an array begin."""
    del typing_context

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        own = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.ptrtoint(own.data, cgutils.intp_t)

    return types.intp(array), code


_pointer: Any = intrinsic(_as_pointer)
_address: Any = intrinsic(_as_address)


@compiled
def _read_vector(table, i):
    at = RECORD * i
    return carray(_pointer(table[at]), (table[at + 1],), np.float64)


@compiled
def _read_matrix(table, i):
    at = RECORD * i
    return carray(_pointer(table[at]), (table[at + 1], table[at + 2]), np.float64)


@compiled
def _read_cube(table, i):
    at = RECORD * i
    shape = (table[at + 1], table[at + 2], table[at + 3])
    return carray(_pointer(table[at]), shape, np.float64)


@compiled
def _read_integers(table, i):
    at = RECORD * i
    return carray(_pointer(table[at]), (table[at + 1],), np.int64)


@compiled
def _read_integer_matrix(table, i):
    at = RECORD * i
    return carray(_pointer(table[at]), (table[at + 1], table[at + 2]), np.int64)


@compiled
def _cut(room, at, shape):
    return carray(_pointer(_address(room) + 8 * at), shape, np.float64)


def _item(table, i):
    return table[i]


def _cut_plainly(room, at, shape):
    return room[at : at + int(np.prod(shape))].reshape(shape)


# Array i of a table, by its number of indices; an array of a shape that lies in the
# room of an evaluation from a place on.
vector: Any = _item if PLAINLY else _read_vector
matrix: Any = _item if PLAINLY else _read_matrix
cube: Any = _item if PLAINLY else _read_cube
integers: Any = _item if PLAINLY else _read_integers
integer_matrix: Any = _item if PLAINLY else _read_integer_matrix
cut: Any = _cut_plainly if PLAINLY else _cut
