"""The two ways to compile a kernel, and one line when that is about to take seconds.

Takes a function, gives its compiled form, cached on disk by numba; only what a model
calls is compiled or loaded. numba announces a compilation after it has looked in its
cache, so the line appears where a wait begins and nowhere else. It is a record of the
logger ``bayeslmm``, which goes to stderr unless logging is set up otherwise.
"""

import hashlib
import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import event, sigutils
from numba.core.ccallback import CFunc

# Wall seconds on a quiet core of 2026: 4 for REML of one factor, 12 for a posterior
# with crossed factors, 20 for a sparse rest; up to twice that where cores are slow.
NOTICE = "Compiling kernels for this kind of model, once on this machine (5 to 40 s)."


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
    Nothing is tied where there is no cache (NUMBA_DISABLE_JIT); a test sees to it that
    the attributes of numba are where they are looked for.
    """
    file = getattr(getattr(function, "_cache", None), "_cache_file", None)
    if file is not None:
        file._source_stamp = (getattr(file, "_source_stamp", None), SOURCES)
    return function


def compiled(function: Callable) -> Callable:
    """Compile without the GIL, cached on disk; sees through run-time type checkers."""
    options = {"cache": True, "nogil": True, "error_model": "numpy"}
    return _tied_to_sources(njit(**options)(inspect.unwrap(function)))


def compiled_fast(function: Callable) -> Callable:
    """As `compiled`, sums reordered so that they vectorise; NaN keeps its meaning."""
    options = {"cache": True, "nogil": True, "error_model": "numpy"}
    flags = {"reassoc", "contract", "nsz", "arcp"}
    return _tied_to_sources(njit(**options, fastmath=flags)(inspect.unwrap(function)))


def compiled_callback(function: Callable, signature: Any) -> Any:
    """A C function of a signature, cached likewise; has an ``address``."""
    signature = sigutils.normalize_signature(signature)
    callback = CFunc(inspect.unwrap(function), signature, locals={}, options={})
    callback.enable_caching()
    _tied_to_sources(callback).compile()
    return callback


class FirstCompilation(event.Listener):
    """Says once that kernels of this package are being compiled."""

    def __init__(self) -> None:
        """Nothing has been said yet."""
        self.said = False

    def on_start(self, event: event.Event) -> None:
        """Say so if the function is ours and nothing was said before."""
        dispatcher = (event.data or {}).get("dispatcher")
        module = getattr(getattr(dispatcher, "py_func", None), "__module__", "")
        if not self.said and module.startswith("bayeslmm."):
            self.said = True
            logging.getLogger("bayeslmm").warning(NOTICE)

    def on_end(self, event: event.Event) -> None:
        """Nothing: the results say that it is over."""


event.register("numba:compile", FirstCompilation())
