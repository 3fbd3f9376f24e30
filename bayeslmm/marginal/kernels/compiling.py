"""The two ways to compile a kernel, and one line when that is about to take seconds.

Takes a function, gives its compiled form, cached on disk by numba; only what a model
calls is compiled or loaded. numba announces a compilation after it has looked in its
cache, so the line appears where a wait begins and nowhere else. It is a record of the
logger ``bayeslmm``, which goes to stderr unless logging is set up otherwise.
"""

import inspect
import logging
from collections.abc import Callable

from numba import njit
from numba.core import event

# Wall seconds on one quiet core: 4 for REML of one factor, 12 for everything that a
# posterior with crossed factors needs. REML with a sparse rest compiles 1.7 times as
# long as with a dense one (28 s against 16 on a busy machine).
NOTICE = "Compiling kernels for this kind of model, once on this machine (4 to 20 s)."


def compiled(function: Callable) -> Callable:
    """Compile without the GIL, cached on disk; sees through run-time type checkers."""
    return njit(cache=True, nogil=True, error_model="numpy")(inspect.unwrap(function))


def compiled_fast(function: Callable) -> Callable:
    """As `compiled`, sums reordered so that they vectorise; NaN keeps its meaning."""
    flags = {"reassoc", "contract", "nsz", "arcp"}
    return njit(cache=True, nogil=True, error_model="numpy", fastmath=flags)(
        inspect.unwrap(function)
    )


class FirstCompilation(event.Listener):
    """Says once that kernels of this package are being compiled."""

    def __init__(self) -> None:
        """Nothing has been said yet."""
        self.said = False

    def on_start(self, event: event.Event) -> None:
        """Say so if the function is ours and nothing was said before."""
        function = (event.data or {})["dispatcher"].py_func
        if not self.said and function.__module__.startswith("bayeslmm."):
            self.said = True
            logging.getLogger("bayeslmm").warning(NOTICE)

    def on_end(self, event: event.Event) -> None:
        """Nothing: the results say that it is over."""


event.register("numba:compile", FirstCompilation())
