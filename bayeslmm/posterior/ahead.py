"""On first use a second process compiles what a posterior needs last.

numba compiles one kernel at a time in a process, whatever its threads. Takes the solver
of a target whose kernels are not in the cache on disk; starts a Python that compiles
gradient and draws into it while this one begins with the density, and ends it with the
posterior. Whatever fails there is compiled here, as without it: it says nothing, reads
no data, and ends when this process does, however that ends.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bayeslmm.marginal.statistics import Solver
from bayeslmm.posterior.compiled import CompiledTarget
from bayeslmm.posterior.options import available_cores

MODULE = "bayeslmm.posterior.ahead"


@contextmanager
def compiling_ahead(target: CompiledTarget | None) -> Iterator[None]:
    """Compile in a second process, while the block runs, if there is need and room.

    Parameters
    ----------
    target : CompiledTarget or None
        What is sampled; nothing is done without one.
    """
    if target is None or not _is_worth_it():
        yield
        return
    try:
        process = _started(target.statistics.solver)
    except OSError:  # where there are no processes
        yield
        return
    with process:
        try:
            yield
        finally:
            process.kill()


def _is_worth_it() -> bool:
    """Whether there is a second core, a cache, and nothing in it of a target."""
    if available_cores() < 2 or not sys.executable or hasattr(sys, "frozen"):
        return False
    from bayeslmm.marginal.kernels.machine import is_uncached
    from bayeslmm.posterior.kernels.targets import target

    return is_uncached(target.made)


def _started(solver: Solver) -> "subprocess.Popen[bytes]":
    """The process; what it reads ends with this one."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-P", "-m", MODULE, type(solver).__name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def compile_last(name: str) -> None:
    """Compile what a posterior needs last, for the solver of a name."""
    from bayeslmm.marginal.kernels.blocked import draw_levels
    from bayeslmm.marginal.kernels.calls import REST, SLOPES, address_of
    from bayeslmm.marginal.kernels.entries import FUNCTIONS
    from bayeslmm.marginal.kernels.generic import fixed
    from bayeslmm.posterior.kernels.callbacks import logp_callback
    from bayeslmm.posterior.kernels.coordinates import spread_draws

    own = next(own for kind, own in FUNCTIONS.items() if kind.__name__ == name)
    address_of(own.slopes, SLOPES)
    for kernel, arguments in zip(
        (fixed, draw_levels, spread_draws), signatures(), strict=True
    ):
        compiled: Any = kernel
        compiled.made.compile(arguments)
    if own.rest is not None:
        address_of(own.rest, REST)
    logp_callback()


def signatures() -> tuple[tuple[Any, ...], ...]:
    """Types with which fixed effects, levels and factors are drawn."""
    from numba import types

    from bayeslmm.marginal.kernels.calls import CUBE, MATRIX, ROW, TABLE

    number, points = types.int64, types.Array(types.float64, 4, "C")
    given = (number, number, TABLE, number, MATRIX, points, ROW)
    couplings = (TABLE, TABLE, MATRIX)
    return (
        (*given, MATRIX, ROW, ROW, MATRIX, MATRIX, MATRIX),
        (CUBE, CUBE, *couplings, CUBE, ROW, MATRIX, MATRIX, TABLE, number, CUBE, CUBE),
        (MATRIX, types.Array(types.int64, 2, "C"), points),
    )


def _end_with_parent() -> None:
    """What is read ends when the process that started this one does."""
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    compile_last(sys.argv[1])
