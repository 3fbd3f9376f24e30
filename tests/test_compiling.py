"""Compiled kernels: the line that says so, and caches that hold as long as they may."""

import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bayeslmm.marginal.kernels import algebra, compiling, pairs
from bayeslmm.marginal.kernels.compiling import Kernel, Wait
from bayeslmm.marginal.kernels.machine import SOURCES, _hash_sources
from bayeslmm.posterior.kernels import callbacks

# Patience for less than the first of two kernels takes.
SCRIPT = """
import numpy as np
from bayeslmm.marginal.kernels import compiling
compiling.PATIENCE = 0.05
from bayeslmm.marginal.kernels.algebra import cholesky, solve_lower
matrix = np.eye(2)
cholesky(matrix, 2)
solve_lower(matrix, np.ones(2), 2)
"""


def stderr_of_a_process(cache: Path, script: str = SCRIPT) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


def test_the_first_process_says_once_that_it_compiles_and_the_next_nothing(tmp_path):
    first = stderr_of_a_process(tmp_path)
    assert first.count("Compiling kernels") == 1  # two kernels, one line
    assert "once on this machine" in first
    assert "Compiling" not in stderr_of_a_process(tmp_path)


LOADED = """
import sys
import numpy as np
from bayeslmm.marginal.kernels.algebra import cholesky
factor = np.array([[4.0, 0.0], [2.0, 5.0]])
assert cholesky(factor, 2), factor
assert factor.tolist() == [[2.0, 0.0], [1.0, 2.0]], factor
print(cholesky.stats.cache_misses.total(), "numba.typed.dictimpl" in sys.modules)
"""


def test_what_is_in_the_cache_is_loaded_without_what_compiling_needs(tmp_path):
    """numba's registries take 0.1 s, and are loaded where there is a miss."""
    for expected in ("1 True", "0 False"):
        done = subprocess.run(
            [sys.executable, "-c", LOADED],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected


def test_the_line_comes_before_the_wait_where_nothing_is_cached(tmp_path):
    patient = SCRIPT.replace("PATIENCE = 0.05", "PATIENCE = 1e9")
    first = stderr_of_a_process(tmp_path, patient)
    assert "about 5 s, for crossed factors 12 s, once on this machine" in first
    assert "Compiling" not in stderr_of_a_process(tmp_path, patient)


PARTS = """
import numpy as np
from bayeslmm.marginal.kernels.compiling import compiled

@compiled
def inner(x, i):
    if x[0] > 1.0:
        raise ValueError("too large", i, x[0])
    return x[0]

@compiled
def outer(x, i):
    return inner(x, i) + inner(x, i)

for first in (1.0, 4.0):
    try:
        print(outer(np.array([first]), 3))
    except ValueError as error:
        print(error)
print(len(inner.overloads), inner(np.array([0.5]), 3), len(inner.overloads))
"""


def test_what_a_kernel_calls_is_part_of_it_and_raises_what_it_raises(tmp_path):
    """The inner function has machine code of its own once Python has called it."""
    script = tmp_path / "parts.py"  # numba keeps no code of a string
    script.write_text(PARTS)
    found = []
    for _ in ("compiled", "loaded"):
        done = subprocess.run(
            [sys.executable, str(script)],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(done.stdout.splitlines())
    assert found[0] == found[1] == ["2.0", "('too large', 3, 4.0)", "0 0.5 1"]


@pytest.mark.slow
def test_nothing_is_left_to_compile_after_the_warm_up(tmp_path):
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "bayeslmm", "warmup"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert "Done in" in done.stdout
    assert "Compiling kernels" not in done.stderr
    fits = """
import warnings
import bayeslmm as lmm
from bayeslmm.marginal.kernels import compiling
warnings.simplefilter("ignore")
compiling.PATIENCE = 0.0
data = lmm.simulate_classrooms(12, 20, seed=3).data
for formula in ("score ~ 1 + (1 | classroom)", "score ~ edu + (edu | classroom)"):
    lmm.fit(formula, data, draws=100, chains=2, seed=1)
"""
    assert "Compiling" not in stderr_of_a_process(tmp_path, fits)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "PATIENCE", 0.1)


def test_short_waits_add_up_and_are_told_of_once(impatient, caplog):
    wait = Wait("long")
    for _ in range(3):
        with wait.watch(lambda: True):
            time.sleep(0.06)
    assert [record.message for record in caplog.records] == ["long"]
    assert wait.seconds >= 0.1


def test_a_wait_for_something_else_is_not_told_of(impatient, caplog):
    wait = Wait("long")
    with wait.watch(lambda: False):
        time.sleep(0.15)
    assert (caplog.records, wait.seconds) == ([], 0.0)


def test_a_wait_inside_a_wait_is_counted_once(impatient):
    wait = Wait("long")
    with wait.watch(lambda: True):
        for _ in range(2):
            with wait.watch(lambda: True):
                time.sleep(0.02)
    assert 0.04 <= wait.seconds < 0.08


def test_an_error_while_waiting_ends_the_wait(impatient, caplog):
    wait = Wait("long")
    with pytest.raises(KeyboardInterrupt), wait.watch(lambda: True):
        raise KeyboardInterrupt
    time.sleep(0.15)
    assert caplog.records == []


def test_a_kernel_is_pickled_and_called_from_threads():
    kernel = pickle.loads(pickle.dumps(algebra.cholesky))
    assert isinstance(kernel, Kernel)
    found: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: found.append(kernel(4.0 * np.eye(2), 2)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4


def test_a_change_in_any_kernel_of_the_package_is_seen(tmp_path):
    for name in ("a/kernels/x.py", "b/kernels/y.py", "b/other.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("old")
    before = _hash_sources(tmp_path)
    (tmp_path / "b/other.py").write_text("new")
    assert _hash_sources(tmp_path) == before
    (tmp_path / "b/kernels/y.py").write_text("new")
    assert _hash_sources(tmp_path) != before


def test_caches_on_disk_are_tied_to_all_kernels():
    """numba's own stamp is of one file: what that file calls may have changed."""
    for function in (
        algebra.cholesky,
        pairs.pairs_gram,
        callbacks.expand_callback(),
    ):
        assert SOURCES in function._cache._cache_file._source_stamp
