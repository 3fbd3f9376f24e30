"""What numba makes of a kernel: machine code, cached on disk; loaded when it is wanted.

The wait is counted where we compile, in our own subclass of numba's dispatcher, so
nothing is hooked into numba: what others compile in the same process is theirs. A call
of a compiled kernel costs nothing more, because numba comes here only for a signature
that it has not seen.
"""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import config
from numba.core import sigutils
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc
from numba.core.runtime import rtsys

from bayeslmm.marginal.kernels.compiling import COMPILING
from bayeslmm.marginal.kernels.parts import Caller


class Stored(FunctionCache):
    """The cache of a function, read without numba's registries.

    To compile a function numba imports all that it could call, 0.1 s; finished machine
    code needs none of that, but the C functions of numba's runtime alone.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Machine code of a signature; None if there is none, and it is compiled."""
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            found = self._load_overload(sig, target_context)
        # Two processes that compile for different types at once may take one file.
        arguments, _ = sigutils.normalize_signature(sig)
        fits = found is not None and tuple(found.signature.args) == tuple(arguments)
        return found if fits else None


class Dispatcher(Caller):
    """A compiled function of this package; it counts the time that compiling takes."""

    def enable_caching(self) -> None:
        """Keep machine code on disk."""
        self._cache = Stored(self.py_func)

    def _compilation_chain_init_hook(self) -> None:
        """Load no extension: kernels take numbers and numpy's arrays alone."""

    def compile(self, sig: Any) -> Any:
        """Machine code of a signature, from the cache or made now.

        numba counts a miss of its cache before it compiles: loading is no wait.
        """
        if not COMPILING.said and _nothing_cached(self):
            COMPILING.say()
        before = self.stats.cache_misses.total()
        with COMPILING.watch(lambda: self.stats.cache_misses.total() > before):
            return super().compile(sig)


class Callback(CFunc):
    """A compiled C function of this package; likewise, once it is not in the cache."""

    def enable_caching(self) -> None:
        """Keep machine code on disk."""
        self._cache = Stored(self.__wrapped__)

    def _compile_uncached(self) -> Any:
        """Machine code made now."""
        with COMPILING.watch(lambda: True):
            return super()._compile_uncached()  # pyright: ignore[reportAttributeAccessIssue]


# Indices of numba's cache for this version of Python.
CACHED = f"*.py{sys.version_info.major}{sys.version_info.minor}.nbi"


def _nothing_cached(kernel: Dispatcher) -> bool:
    """Whether the first use on this machine is now: the cache holds none of ours."""
    folder = getattr(getattr(kernel, "_cache", None), "cache_path", None)
    return folder is not None and not any(Path(folder).glob(CACHED))


def is_uncached(kernel: Any) -> bool:
    """Whether there is a cache on disk, and none of this kernel in it."""
    file = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
    return file is not None and not Path(file._index_path).exists()


def _hash_sources(root: Path) -> str:
    """Hash of all kernels of the package: what a compiled function may depend on."""
    found = hashlib.sha256()
    for path in sorted(root.glob("*/kernels/*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


SOURCES = _hash_sources(Path(__file__).parents[2])


def _tied_to_sources(function: Any) -> Any:
    """Let the cache on disk hold as long as no kernel of the package changes.

    numba looks at the file of a function alone: code that it calls from other files
    could change, by an upgrade say, and the old machine code would go on being used.
    Nothing is tied where there is no cache; a test sees to it that the attributes of
    numba are where they are looked for.
    """
    file = getattr(getattr(function, "_cache", None), "_cache_file", None)
    if file is not None:
        file._source_stamp = (getattr(file, "_source_stamp", None), SOURCES)
    return function


def make_kernel(function: Callable, **options: Any) -> Any:
    """A function compiled when called, unless NUMBA_DISABLE_JIT asks for Python."""
    if config.DISABLE_JIT:  # pyright: ignore[reportAttributeAccessIssue]
        return function
    common = {"nopython": True, "nogil": True, "error_model": "numpy"}
    common["no_cfunc_wrapper"] = True  # a tenth of the time of compiling
    kernel = Dispatcher(
        function, targetoptions={**common, "boundscheck": None, **options}
    )
    kernel.enable_caching()
    return _tied_to_sources(kernel)


def make_callback(function: Callable, signature: Any) -> Any:
    """A C function of a signature, compiled or loaded now."""
    signature = sigutils.normalize_signature(signature)
    callback = Callback(function, signature, locals={}, options={})
    callback.enable_caching()
    _tied_to_sources(callback).compile()
    return callback
