"""REML of a factor that varies: `python tests/benchmarks/many.py [--lme4 SECONDS]`.

`y ~ f + (f | g)`, a factor of 6 to 20 kinds, so 21 to 210 variance parameters, in
levels of 40 rows of random kinds, with a covariance of full rank and of rank 5: by the
exact curvature, and by differences of the gradient as before. CPU seconds, one thread,
one run; `--lme4` is how long lme4 may take for each. Nothing here asserts a time.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import argparse  # noqa: E402
import shutil  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402
from pathlib import Path  # noqa: E402
from unittest.mock import patch  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from process import HERE, CellError, run_script  # noqa: E402

import bayeslmm as lmm  # noqa: E402
from bayeslmm.reml.criterion import ProfiledProblem  # noqa: E402

FORMULA = "y ~ f + (f | g)"
# Kinds, levels, rank of the covariance.
CASES = ((6, 40, 6), (10, 100, 10), (20, 300, 20), (20, 1000, 20), (20, 300, 5))


def conditions(kinds: int, levels: int, rank: int) -> pd.DataFrame:
    """40 rows of random kinds in each level, always the same ones; noise of SD 1."""
    rng = np.random.default_rng(kinds + levels + rank)
    n = 40 * levels
    g, f = np.repeat(np.arange(levels), 40), rng.integers(0, kinds, n)
    weights = rng.standard_normal((kinds, rank)) / np.sqrt(rank)
    effects = rng.standard_normal((levels, rank)) @ weights.T
    y = 0.5 * rng.standard_normal(kinds)[f] + effects[g, f] + rng.standard_normal(n)
    names = pd.Categorical([f"f{own:02d}" for own in f])
    return pd.DataFrame({"y": y, "f": names, "g": [f"g{own:04d}" for own in g]})


def ours(data: pd.DataFrame, *, exact: bool) -> tuple[float, float]:
    """CPU seconds of the second fit, which compiles nothing, and its criterion."""
    model, seconds = lmm.Model(FORMULA, data), 0.0
    with patch.object(ProfiledProblem, "has_exact_curvature", exact):
        for _ in range(2):
            started = time.process_time()
            fit = model.fit_reml()
            seconds = time.process_time() - started
    return seconds, fit.criterion


def lme4(data: pd.DataFrame, seconds: float) -> tuple[float, float]:
    """Seconds of lme4's fit and its criterion; NaN if it takes longer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        data.to_csv(path, index=False)
        command = ["Rscript", str(HERE / "lme4.R"), str(path), FORMULA, "g", "0.1"]
        try:
            found = run_script(command, seconds)
        except CellError:
            return np.nan, np.nan
    return found["seconds"], found["criterion"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lme4", type=float, default=0.0)
    patience = parser.parse_args().lme4 if shutil.which("Rscript") else 0.0
    warnings.simplefilter("ignore", lmm.FitWarning)
    print("| kinds, levels, rank | exact | differences | lme4 | criterion above ours |")
    print("|---|---|---|---|---|")
    for case in CASES:
        data = conditions(*case)
        exact, criterion = ours(data, exact=True)
        other, reached = ours(data, exact=False)
        peer = lme4(data, patience) if patience else (np.nan, np.nan)
        times = (
            f"{exact:.2f} s | {other:.2f} s ({other / exact:.0f}x) | {peer[0]:.2f} s"
        )
        above = f"{reached - criterion:.0e}, {peer[1] - criterion:.0e}"
        print(f"| {case} | {times} | {above} |", flush=True)


if __name__ == "__main__":
    main()
