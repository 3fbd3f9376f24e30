"""Many simulated responses: some at a time, with a bar, in processes.

Takes what is done with some of them and a source of seeds; gives the results of all, in
order, the same whatever the number of processes.
"""

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from bayeslmm.design.progress import progress_bar
from bayeslmm.errors import ModelError, is_count
from bayeslmm.marginal.kernels.compiling import end_plain

# Responses handed out together: some milliseconds of work for each message.
CHUNK = 50
# Seconds from which on "auto" shows a bar.
LONG = 5.0

Progress = bool | Literal["auto"]


def check_jobs(n_jobs: object) -> int:
    """The number of processes; `ModelError` if it is none."""
    if n_jobs == 0 or not is_count(n_jobs):
        raise ModelError(
            f"n_jobs must be a whole number of processes, or -1 for all cores, not "
            f"{n_jobs!r}."
        )
    return int(n_jobs)


def in_chunks[T](
    work: Callable[[int, np.random.Generator], list[T]],
    nsim: int,
    rng: np.random.Generator,
    *,
    n_jobs: int,
    progress: Progress,
    title: str,
    size: int = CHUNK,
    partial: bool = False,
) -> list[T]:
    """The results of so many responses.

    Parameters
    ----------
    work : callable
        Number of responses and the generator to draw them with -> a result for each.
    nsim : int
        Responses in all.
    rng : Generator
        Whose children the chunks draw with.
    n_jobs : int
        Processes, through joblib: -1 for all cores; a Dask cluster inside
        ``joblib.parallel_config("dask")``.
    progress : bool or "auto"
        Whether to show a bar; "auto" where it takes more than some seconds.
    title : str
        What stands beside the bar.
    size : int
        Responses handed out together; the seeds depend on it.
    partial : bool
        Whether Ctrl-C gives what there is until then, if there is something.
    """
    work = functools.partial(_compiled, work)
    sizes = [size] * (nsim // size) + ([nsim % size] if nsim % size else [])
    chunks = list(zip(sizes, rng.spawn(len(sizes)), strict=True))
    if n_jobs == 1:
        parts = (work(*one) for one in chunks)
    else:
        parts = _in_processes(work, chunks, n_jobs)
    found: list[T] = []
    try:
        for part in with_bar(parts, len(chunks), progress, title):
            found += part
    except KeyboardInterrupt:
        if not (partial and found):
            raise
    return found


def _compiled[T](
    work: Callable[[int, np.random.Generator], list[T]],
    count: int,
    rng: np.random.Generator,
) -> list[T]:
    """Some results by compiled kernels: so many fits pay for them in each process.

    Plain steps round otherwise, and a seed would not say all whatever the processes.
    """
    end_plain()
    return work(count, rng)


def _in_processes[T](
    work: Callable[[int, np.random.Generator], list[T]],
    chunks: list[tuple[int, np.random.Generator]],
    n_jobs: int,
) -> Iterator[list[T]]:
    """Results in order, as they come where the backend can say so."""
    from joblib import Parallel, delayed
    from joblib.parallel import get_active_backend

    backend: Any = get_active_backend()[0]
    one_by_one = backend.supports_return_generator
    run: Any = Parallel(n_jobs, return_as="generator" if one_by_one else "list")
    yield from run(delayed(work)(*one) for one in chunks)


def with_bar[T](
    parts: Iterator[T], total: int, progress: Progress, title: str
) -> Iterator[T]:
    """The parts with a bar: if it is wanted, or takes long and somebody sees it."""
    start, asked = time.monotonic(), progress is True
    if progress == "auto":
        yield next(parts)
        left = (time.monotonic() - start) * (total - 1)
        progress, total = left > LONG, total - 1
    if not progress:
        yield from parts
        return
    with progress_bar(title, total, always=asked) as advance:
        for done, part in enumerate(parts, start=1):
            yield part
            advance(done)
