"""How long a fresh machine compiles for each kind of model: `python first_use.py`.

By hand. Each model is fitted in two processes, with an empty cache of machine code and
then with what the first one left there, by REML alone and with its posterior; seconds
from the start of Python to the summary. What is compiled is the difference. Wall
seconds are those of a quiet machine alone, so CPU seconds are beside them, those of
the process that compiles ahead included.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from process import heading, markdown, run_fresh

# The solver that `routes` chooses, and a model with levels for it.
KINDS = {
    "Pooled": "score ~ edu + (1 | classroom)",
    "Pairs": "score ~ edu + (edu | classroom)",
    "Levels": "score ~ edu + (edu + age | classroom)",
    "Crossed": "score ~ edu + (1 | school/classroom)",
    "Filled": "score ~ edu + (edu | classroom) + (1 | test)",
    "Exchangeable": "rt ~ condition + (condition | subj) + (condition | item)",
}
HEADER = ("levels", "model", "fit", "first, s", "CPU", "later, s", "CPU", "compiled, s")


def fit(kind: str, posterior: bool) -> dict[str, float]:
    """Fit in this process, which is new."""
    import bayeslmm as lmm

    data = experiment() if kind == "Exchangeable" else pupils()
    model = lmm.Model(KINDS[kind], data)
    found = type(model.conditioned.statistics.solver).__name__
    assert found == kind, found
    model.fit_reml().summary()
    if posterior:
        model.sample(method="nuts", seed=1, progress=False).summary()
    return {"cpu": sum(os.times()[:4]), "done": time.time()}


def pupils() -> Any:
    """Pupils of classrooms in schools who sat tests; some are missing."""
    from bayeslmm.cli.warmup import simulate_pupils

    return simulate_pupils()


def experiment() -> Any:
    """30 subjects, each of whom sees 24 items under two conditions."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(1)
    subj, item, condition = (one.ravel() for one in np.indices((30, 24, 2)))
    by_subj, by_item = rng.normal(size=(30, 2)), rng.normal(size=(24, 2))
    effects = by_subj[subj] * [50.0, 15.0] + by_item[item] * [30.0, 10.0]
    rt = 500.0 + (effects * np.c_[np.ones(len(subj)), condition]).sum(axis=1)
    rt += 20.0 * condition + rng.normal(scale=80.0, size=len(subj))
    names = {"subj": subj.astype(str), "item": item.astype(str)}
    return pd.DataFrame({"rt": rt, "condition": condition, **names})


def measure(kind: str, posterior: bool) -> str:
    """A row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        given = {"kind": kind, "posterior": posterior}
        runs = [run_fresh("first_use.fit", cache=Path(folder), **given) for _ in "12"]
    (first, cpu), (later, again) = (
        (run["done"] - run["started"], run["cpu"]) for run in runs
    )
    cells = (f"{one:.1f}" for one in (first, cpu, later, again, cpu - again))
    what = "posterior" if posterior else "REML"
    formula = KINDS[kind].replace("|", "\\|")
    return f"| {kind} | `{formula}` | {what} | {' | '.join(cells)} |"


def main() -> None:
    """Measure all kinds, or some."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    options = parser.parse_args()
    print(heading(os.getloadavg()[0]) + "\n")
    rows = [measure(kind, what) for kind in options.kinds for what in (False, True)]
    print(markdown(HEADER, rows))


if __name__ == "__main__":
    main()
