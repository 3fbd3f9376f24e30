"""One pass over the batches of a source, in threads.

Takes a source and what is to be done with a batch; gives the state of each thread at
the end. The result is of all rows or there is none: an error in one thread, or Ctrl-C,
stops the others and is raised.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Literal, NamedTuple

from bayeslmm.design.progress import progress_bar
from bayeslmm.design.source import Batch, Source, Stream
from bayeslmm.errors import check_count

# Below this a thread costs more to start than it reads.
ROWS_PER_THREAD = 500_000
MOST_THREADS = 1024  # more were never of use, and the system may refuse them
# Seconds: how often progress is looked at, when it can be judged, what is worth a bar.
POLL, JUDGE, LONG = 0.1, 1.0, 5.0

Progress = bool | Literal["auto"]


def n_threads(source: Source, most: int | None = None) -> int:
    """Threads that are worth starting for a source."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    if most is not None:
        most = min(check_count(most, "threads", 1), MOST_THREADS)
    most = most or available or os.cpu_count() or 1
    if source.n_rows is None:
        return most
    return max(1, min(most, source.n_rows // ROWS_PER_THREAD))


def read_batches[State](
    source: Source,
    columns: tuple[str, ...],
    start: Callable[[], State],
    see: Callable[[State, Batch], None],
    *,
    threads: int,
    n_rows: int | None = None,
    title: str = "Reading",
    note: str = "",
    progress: Progress = "auto",
) -> list[State]:
    """Show every batch to the state of one of the threads.

    Parameters
    ----------
    source : Source
        Rows.
    columns : tuple of str
        Columns to read.
    start : callable
        Makes the state of a thread.
    see : callable
        Takes a state and a batch, and changes the state.
    threads : int
        Threads at most.
    n_rows : int, optional
        Rows that are expected, if known.
    title : str
        What is being read, for the progress bar.
    note : str
        What is printed above the bar, if there is one.
    progress : bool or "auto"
        Whether to show a bar, on a terminal or in a notebook; "auto" for reads that
        take more than 5 s. With True the note is printed elsewhere too.

    Returns
    -------
    list
        The states, in the order of the threads' shares.

    Raises
    ------
    Exception
        The first that a thread met; KeyboardInterrupt when interrupted.
    """
    stop, done = threading.Event(), [0] * threads

    def work(t: int, stream: Stream) -> State:
        state = start()
        for batch in stream():
            if stop.is_set():
                break
            see(state, batch)
            done[t] += batch.n
        return state

    streams = source.open(columns, threads)
    with ThreadPoolExecutor(len(streams)) as pool:
        jobs = [pool.submit(work, t, stream) for t, stream in enumerate(streams)]
        try:
            _watch(jobs, done, n_rows or source.n_rows, _Words(title, note), progress)
        finally:
            stop.set()  # after an error or Ctrl-C the others end at their next batch
    return [job.result() for job in jobs]


class _Words(NamedTuple):
    """What is shown with a bar."""

    title: str
    note: str


def _watch(
    jobs: list[Future],
    done: list[int],
    n_rows: int | None,
    words: _Words,
    progress: Progress,
) -> None:
    """Wait for all threads, or the first error, with a bar if it takes long."""
    started, expected = time.monotonic(), 0.0
    while not _ended(jobs):
        elapsed = time.monotonic() - started
        if elapsed < JUDGE or not sum(done):
            continue
        expected = elapsed * n_rows / sum(done) if n_rows else elapsed
        if progress is True or (progress == "auto" and expected > LONG):
            break
    if not _ended(jobs):
        with _bar(words, n_rows, expected, always=progress is True) as advance:
            while not _ended(jobs):
                advance(sum(done))
            advance(sum(done))


def _ended(jobs: list[Future]) -> bool:
    """Wait a little; whether all threads are done, or one has failed."""
    waiting = wait(jobs, timeout=POLL, return_when=FIRST_EXCEPTION)
    return not waiting.not_done or _failed(waiting.done)


def _failed(jobs: set[Future]) -> bool:
    """Whether one of the finished jobs ended in an error."""
    return any(job.exception() is not None for job in jobs)


@contextmanager
def _bar(
    words: _Words, n_rows: int | None, expected: float, *, always: bool
) -> Iterator[Callable[[int], None]]:
    """A progress bar under the plan and its time.

    Where there is no terminal the plan alone, if it is asked for.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if words.note and (console.is_terminal or console.is_jupyter or always):
        console.print(f"{words.note}; about {expected:.0f} s", highlight=False)
    with progress_bar(words.title, n_rows, unit="rows") as advance:
        yield advance
