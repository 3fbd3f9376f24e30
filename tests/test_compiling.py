"""Compiled kernels: the line that says so, and caches that hold as long as they may."""

import os
import subprocess
import sys
from pathlib import Path

from bayeslmm.fit.kernels import callbacks
from bayeslmm.marginal.kernels import algebra, pairs
from bayeslmm.marginal.kernels.compiling import SOURCES, _hash_sources

SCRIPT = """
import logging, sys
import numpy as np
from bayeslmm.marginal.kernels.algebra import cholesky, solve_lower
matrix = np.eye(2)
cholesky(matrix, 2)
solve_lower(matrix, np.ones(2), 2)
"""


def stderr_of_a_process(cache: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
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
