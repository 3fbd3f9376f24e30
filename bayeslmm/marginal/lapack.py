"""Three LAPACK and BLAS routines that release the GIL, on row-major arrays.

scipy.linalg's wrappers hold the GIL, so that chains in threads would wait in turn;
the same routines called through ctypes at scipy's own addresses do not. A row-major
lower triangle is LAPACK's column-major upper one, so nothing is copied.
"""

import ctypes
from importlib import import_module

import numpy as np
from jaxtyping import Float

_CHAR, _INT, _ARRAY = ctypes.c_char_p, ctypes.POINTER(ctypes.c_int), ctypes.c_void_p

# Python's own, by prototypes of ours: `ctypes.pythonapi` belongs to all.
_NAME_OF = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(
    ("PyCapsule_GetName", ctypes.pythonapi)
)
_ADDRESS_OF = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def _routine(module: str, name: str, *arguments: type) -> "ctypes._FuncPointer":
    """A Fortran routine as scipy exports it to Cython: in a capsule with its name."""
    capsule = import_module(f"scipy.linalg.{module}").__pyx_capi__[name]
    signature = _NAME_OF(capsule)
    return ctypes.CFUNCTYPE(None, *arguments)(_ADDRESS_OF(capsule, signature))


_POTRF = _routine("cython_lapack", "dpotrf", _CHAR, _INT, _ARRAY, _INT, _INT)
_POTRI = _routine("cython_lapack", "dpotri", _CHAR, _INT, _ARRAY, _INT, _INT)
_TRSM = _routine(
    "cython_blas",
    "dtrsm",
    *(_CHAR, _CHAR, _CHAR, _CHAR, _INT, _INT),
    *(ctypes.POINTER(ctypes.c_double), _ARRAY, _INT, _ARRAY, _INT),
)


def cholesky_in_place(matrix: Float[np.ndarray, "m m"]) -> bool:
    """Lower factor over the lower triangle; False if not positive definite."""
    return _call(_POTRF, matrix) == 0


def inverse_in_place(factor: Float[np.ndarray, "m m"]) -> None:
    """Lower triangle of (L L')^-1 over that of L."""
    _call(_POTRI, factor)


def solve_in_place(
    factor: Float[np.ndarray, "m m"],
    rhs: Float[np.ndarray, "m c"],
    *,
    transposed: bool = False,
) -> None:
    """Overwrite rhs by L^-1 rhs, or L^-T rhs."""
    m, columns = ctypes.c_int(factor.shape[0]), ctypes.c_int(rhs.shape[1])
    one, trans = ctypes.c_double(1.0), b"T" if transposed else b"N"
    triangle = (b"R", b"U", trans, b"N", columns, m, one)
    _TRSM(*triangle, factor.ctypes.data, m, rhs.ctypes.data, columns)


def _call(routine: "ctypes._FuncPointer", matrix: Float[np.ndarray, "m m"]) -> int:
    """Call a routine of the potrf family; its info."""
    m, info = ctypes.c_int(matrix.shape[0]), ctypes.c_int(0)
    routine(b"U", m, matrix.ctypes.data, m, info)
    return info.value
