"""Every cell of a benchmark in a process of its own, with one BLAS thread.

A cell is a function of JSON arguments that returns JSON figures; what it prints besides
is dropped.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
MARK = "@@cell "
PACKAGES = ("bayeslmm", "pymc", "nutpie", "bambi", "arviz", "numba", "numpy")
SHORT = 0.5  # seconds: what takes longer is measured fewer times
REPEATS = 5


class CellError(Exception):
    """A cell that ended without figures; the message is the end of its errors."""


def run_fresh(
    function: str,
    *,
    cache: Path | None = None,
    seconds: float | None = None,
    **arguments: object,
) -> dict[str, Any]:
    """Figures of ``module.function(**arguments)`` in a new process.

    ``started`` is added: when the process was started, in seconds of the epoch. After
    `seconds`, if given, the process is ended with a `CellError`.
    """
    environment = {**os.environ, **ONE_THREAD}
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = str(cache)
    command = [sys.executable, str(HERE / "run.py"), "cell"]
    command += ["--call", json.dumps([function, arguments])]
    started = time.time()
    return {**figures(_finished(command, environment, seconds)), "started": started}


def run_script(command: list[str], seconds: float) -> dict[str, Any]:
    """Figures of a program that prints them on a marked line, as `lme4.R` does."""
    return figures(_finished(command, {**os.environ, **ONE_THREAD}, seconds))


def _finished(
    command: list[str], environment: dict[str, str], seconds: float | None
) -> "subprocess.CompletedProcess[str]":
    """A process that has ended, in time."""
    try:
        return subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise CellError(f"not done after {seconds:.0f} s") from error


def figures(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    """What a process printed on its marked line."""
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not lines:
        raise CellError(done.stderr[-2000:])
    return json.loads(lines[-1].removeprefix(MARK))


def best(function: Callable[[], object], repeats: int = REPEATS) -> float:
    """Seconds of the fastest of some calls; of fewer where one takes long."""
    seconds: list[float] = []
    while len(seconds) < repeats and sum(seconds) < repeats * SHORT:
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def warmed[T](function: Callable[[], T]) -> tuple[T, float]:
    """What a first call gives, which may compile, and the seconds of later ones."""
    return function(), best(function)


def heading(load: float) -> str:
    """When and where it ran, with which versions."""
    return (
        f"One BLAS thread, {os.cpu_count()} cores, load {load:.1f} at the start, "
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()} on "
        f"{platform.machine()}; {_versions()}."
    )


def markdown(header: tuple[str, ...], rows: list[str]) -> str:
    """Table of rows that are Markdown already."""
    return "\n".join(
        ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header), *rows]
    )


def _versions() -> str:
    """Versions of what is compared."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} absent")
    return ", ".join(found)
