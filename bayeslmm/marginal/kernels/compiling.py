"""The ways to compile a kernel, and one line before the wait for it.

Takes a function, gives its compiled form, cached on disk by numba; only what a model
calls is compiled or loaded. The wait is counted where we compile, in our own subclass
of numba's dispatcher, so nothing is hooked into numba: what others compile in the same
process is theirs. Where nothing of ours is in the cache the line comes at once, else
when more than two seconds have passed: after an upgrade, or for a new kind of model. A
call of a compiled kernel costs nothing more, because numba comes here only for a
signature that it has not seen. The line is a record of the logger ``bayeslmm``, which
goes to stderr unless logging is set up otherwise.
"""

import hashlib
import inspect
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numba import config
from numba.core import sigutils
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc
from numba.core.runtime import rtsys

from bayeslmm.marginal.kernels.parts import Caller

# Seconds of waiting for the compiler before a word is said of it.
PATIENCE = 2.0
LOOK_AGAIN = 0.1  # seconds
# Wall seconds for REML and posterior of one factor, measured on two cores of 2026: 25
# where they are free, 46 where others use them too; for crossed factors a third more.
NOTICE = (
    "Compiling kernels for this kind of model: about 30 s, once on this machine "
    "(`bayeslmm warmup` does it ahead)."
)


class Wait:
    """Says once in a process what it waits for, when that has taken `PATIENCE`.

    Waits of the same kind add up: many kernels of half a second are a long wait too.

    Parameters
    ----------
    words : str
        What is said.
    """

    def __init__(self, words: str) -> None:
        self.words, self.seconds, self.said = words, 0.0, False
        self._thread = threading.local()

    @contextmanager
    def watch(self, busy: Callable[[], bool]) -> Iterator[None]:
        """Count the time of a block, unless it lies inside another one.

        Parameters
        ----------
        busy : callable
            Whether the block does what the words say; asked late, and at its end.
        """
        if self.said or getattr(self._thread, "watching", False):
            yield
            return
        done = threading.Event()
        started, self._thread.watching = time.perf_counter(), True
        threading.Thread(target=self._say, args=(done, busy), daemon=True).start()
        try:
            yield
        finally:
            done.set()
            self._thread.watching = False
            if busy():
                self.seconds += time.perf_counter() - started

    def say(self) -> None:
        """Say it now, if it has not been said."""
        if not self.said:
            self.said = True
            logging.getLogger("bayeslmm").warning(self.words)

    def _say(self, done: threading.Event, busy: Callable[[], bool]) -> None:
        """Say it when patience ends, if it is so by then or soon after."""
        delay = max(PATIENCE - self.seconds, 0.0)
        while not done.wait(delay):
            if busy():
                self.say()
                return
            delay = LOOK_AGAIN


COMPILING = Wait(NOTICE)


class Stored(FunctionCache):
    """The cache of a function, read without numba's registries.

    To compile a function numba imports all that it could call, 0.1 s; finished machine
    code needs none of that, but the C functions of numba's runtime alone.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Machine code of a signature; None if there is none, and it is compiled."""
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


class Kernel(Caller):
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


def _nothing_cached(kernel: Kernel) -> bool:
    """Whether the first use on this machine is now: the cache holds none of ours."""
    folder = getattr(getattr(kernel, "_cache", None), "cache_path", None)
    return folder is not None and not any(Path(folder).glob(CACHED))


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


def _kernel(function: Callable, **options: Any) -> Any:
    """A function compiled when called, unless NUMBA_DISABLE_JIT asks for Python."""
    plain = inspect.unwrap(function)  # run-time type checkers wrap it
    if config.DISABLE_JIT:  # pyright: ignore[reportAttributeAccessIssue]
        return plain
    common = {"nopython": True, "nogil": True, "error_model": "numpy"}
    common["no_cfunc_wrapper"] = True  # a tenth of the time of compiling
    kernel = Kernel(plain, targetoptions={**common, "boundscheck": None, **options})
    kernel.enable_caching()
    return _tied_to_sources(kernel)


def compiled(function: Callable) -> Callable:
    """Compile without the GIL, cached on disk; sees through run-time type checkers."""
    return _kernel(function)


def compiled_fast(function: Callable) -> Callable:
    """As `compiled`, sums reordered so that they vectorise; NaN keeps its meaning."""
    return _kernel(function, fastmath={"reassoc", "contract", "nsz", "arcp"})


def compiled_callback(function: Callable, signature: Any) -> Any:
    """A C function of a signature, cached likewise; has an ``address``."""
    signature = sigutils.normalize_signature(signature)
    callback = Callback(inspect.unwrap(function), signature, locals={}, options={})
    callback.enable_caching()
    _tied_to_sources(callback).compile()
    return callback
