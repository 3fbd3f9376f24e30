"""The ways to compile a kernel: not before it is called, nor while plain numpy does.

Takes a function, gives a `Kernel`, which numba compiles when it is first called, from
the cache on disk if it can (`machine`); only what a model calls is compiled or loaded.
To load numba and a dozen kernels takes as long as thousands of small steps in numpy,
so a kernel may have a plain twin, which works until that would have paid: a small fit
by REML never loads numba, on a fresh machine it compiles nothing, and whatever fits
many times has compiled kernels almost from its start. What is counted are calls and
entries, not seconds: every machine takes the same turns and computes the same numbers.

The wait for the compiler is told of in one line. Where nothing of ours is in the cache
the line comes at once, else when more than two seconds have passed: after an upgrade,
or for a new kind of model. The line is a record of the logger ``bayeslmm``, which goes
to stderr unless logging is set up otherwise.
"""

import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, update_wrapper
from typing import Any

import numpy as np

# Seconds of waiting for the compiler before a word is said of it.
PATIENCE = 2.0
LOOK_AGAIN = 0.1  # seconds
# Wall seconds that first use takes longer, REML and posterior, measured on two cores of
# 2026 that are free: 4 with one factor, 10 with crossed ones; where others use them, 2
# to 3 times that.
NOTICE = (
    "Compiling kernels for this kind of model: about 5 s, for crossed factors 12 s, "
    "once on this machine (`bayeslmm warmup` does it ahead)."
)

# Seconds, one core of 2026: to load numba with the kernels of a fit; of a plain step,
# some twenty calls of numpy; of an entry of the arrays that it reads.
LOADING, PER_STEP, PER_ENTRY = 0.25, 5e-5, 1.5e-7
# Likewise to load one kernel more: twice that, for not yet compiled it takes 0.4.
LOADING_ONE = 0.01
# Entries of a step that is left to the compiler even if it is the first one.
MOST_ENTRIES = 100_000
# Of numba's: sums may be reordered.
FAST = frozenset({"reassoc", "contract", "nsz", "arcp"})


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


class Ledger:
    """How much plain steps have cost; they end when that is what loading costs.

    Parameters
    ----------
    limit : float
        Seconds: `LOADING` for all kernels until numba is loaded, `LOADING_ONE` for one.

    Attributes
    ----------
    spent : float
        Seconds to expect of the plain steps so far; infinite once there are no more.
    ended : bool
        Of all ledgers: no more plain steps in this process.
    """

    ended = False

    def __init__(self, limit: float) -> None:
        self.limit, self.spent = limit, 0.0

    @property
    def open(self) -> bool:
        """Whether there may be plain steps."""
        return not Ledger.ended and self.spent < self.limit

    def affords(self, entries: int, steps: int = 1) -> bool:
        """Whether steps that read so many entries are plain; they are then paid for."""
        if entries > MOST_ENTRIES or not self.open:
            return False
        self.spent += PER_STEP * steps + PER_ENTRY * entries
        return True

    def close(self) -> None:
        """No more plain steps: numba is there."""
        self.spent = float("inf")


PLAIN = Ledger(LOADING)


def end_plain() -> None:
    """No more plain steps in this process, of any kernel.

    What fits many times begins with it: its numbers are then those of compiled kernels,
    to the last digit, whatever the process did before.
    """
    Ledger.ended = True


def is_plain(own: Ledger, entries: int, steps: int = 1) -> bool:
    """Whether steps are plain: of the ledger for all, or else by that of one kernel."""
    return PLAIN.affords(entries, steps) or own.affords(entries, steps)


class Kernel:
    """A function of arrays and numbers that is compiled when it has to be.

    Kernels that call it see the compiled function, by numba's own word for the type of
    an object; anything else asked of it is asked of that too.

    Parameters
    ----------
    function : callable
        What is compiled; its cache lies beside its file.
    plain : callable, optional
        The same in numpy, for as long as that pays.
    options : dict
        Of the compiler.
    """

    def __init__(
        self, function: Callable, plain: Callable | None = None, **options: Any
    ) -> None:
        self.py_func = inspect.unwrap(function)  # run-time type checkers wrap it
        update_wrapper(self, self.py_func)
        self.plain, self._options = plain, options
        self._own = Ledger(LOADING_ONE)
        self._made: Any = None
        self._called: Any = None  # once it is called
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any) -> Any:
        """The plain twin while that pays, then the compiled function.

        Not as soon as there is one, as part of another that was compiled: from the
        cache that one comes without its parts, and this would take another turn.
        """
        if self._called is not None:
            return self._called(*arguments)
        if self.plain is not None and is_plain(self._own, _entries(arguments)):
            with np.errstate(all="ignore"):  # as compiled code is, of numbers too large
                return self.plain(*arguments)
        self._called = self.made
        return self._called(*arguments)

    def __reduce__(self) -> str:
        """Pickled by name, as functions are."""
        return self.py_func.__qualname__

    def __getattr__(self, name: str) -> Any:
        """Anything that numba knows of the compiled function."""
        if name.startswith("__"):  # what copy and pickle look for
            raise AttributeError(name)
        return getattr(self.made, name)

    @property
    def made(self) -> Any:
        """The compiled function, which loads numba."""
        with self._lock:
            if self._made is None:
                from bayeslmm.marginal.kernels.machine import make_kernel

                self._made = make_kernel(self.py_func, **self._options)
                PLAIN.close()
        return self._made

    @property
    def _numba_type_(self) -> Any:
        """What numba takes this for in the kernels that call it."""
        return self.made._numba_type_


def _entries(arguments: tuple[Any, ...]) -> int:
    """Numbers in the arrays among some arguments."""
    return sum(one.size for one in arguments if isinstance(one, np.ndarray))


def compiled(function: Callable) -> Callable:
    """Compile without the GIL, cached on disk; sees through run-time type checkers."""
    return Kernel(function)


def compiled_fast(function: Callable) -> Callable:
    """As `compiled`, sums reordered so that they vectorise; NaN keeps its meaning."""
    return Kernel(function, fastmath=set(FAST))


def compiled_after(plain: Callable) -> Callable[[Callable], Callable]:
    """As `compiled`, once its twin in numpy has had its time."""
    return partial(Kernel, plain=plain)


def compiled_fast_after(plain: Callable) -> Callable[[Callable], Callable]:
    """As `compiled_fast`, likewise."""
    return partial(Kernel, plain=plain, fastmath=set(FAST))


def compiled_callback(function: Callable, signature: Any) -> Any:
    """A C function of a signature, cached likewise; has an ``address``."""
    from bayeslmm.marginal.kernels.machine import make_callback

    return make_callback(inspect.unwrap(function), signature)
