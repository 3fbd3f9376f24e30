"""The line that says that kernels are compiled: once, where there is a wait."""

import os
import subprocess
import sys
from pathlib import Path

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
