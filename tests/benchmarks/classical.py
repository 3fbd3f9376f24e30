"""Tests, intervals and power beside R and statsmodels: `run.py classical`.

CPU seconds of what comes after the fit: Satterthwaite's and Kenward and Roger's tests
against lmerTest and pbkrtest, profile and bootstrap of sleepstudy against lme4's, 1,000
simulated studies against as many fits of statsmodels. Every cell is a process; a peer
that is not done in `PATIENCE` is said to be so. Nothing here asserts a time.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from process import HERE, CellError, markdown, run_fresh, run_script

if TYPE_CHECKING:
    import pandas as pd

PATIENCE = 150.0  # seconds for one call of R
STUDIES = 1000
FEWER = 100  # of them statsmodels fits, each of which takes as long as the next
NAMES = {
    "satterthwaite": "lmerTest",
    "kenward-roger": "pbkrtest",
    "profile": "lme4, profile",
    "boot": "lme4, bootMer, 1,000",
}
SLEEP = "Reaction ~ Days + (Days | Subject)"
CELLS = {
    ("sleepstudy", SLEEP): tuple(NAMES),
    ("crossed", "y ~ x + (1 | g) + (1 | h)"): ("satterthwaite", "kenward-roger"),
    ("InstEval", "y ~ service + (1 | s) + (1 | d)"): (
        "satterthwaite",
        "kenward-roger",
    ),
}


# --- in the process of one cell -------------------------------------------------------


def frame(name: str) -> "pd.DataFrame":
    """Sleepstudy, 1e4 rows of two crossed factors, or as many of InstEval."""
    import numpy as np
    import pandas as pd

    import bayeslmm as lmm

    if name != "crossed":
        return lmm.load_data(name).iloc[:10_000]
    rng, n = np.random.default_rng(1), 10_000
    g, h, x = rng.integers(0, 200, n), rng.integers(0, 50, n), rng.normal(size=n)
    y = 0.1 * x + 0.5 * rng.normal(size=200)[g] + 0.4 * rng.normal(size=50)[h]
    return pd.DataFrame({"y": y + rng.normal(size=n), "x": x, "g": g, "h": h})


def measure(name: str, formula: str, what: str) -> dict[str, Any]:
    """CPU seconds of ours: the fit, and what is asked of it, each of a new fit."""
    import bayeslmm as lmm

    model = lmm.Model(formula, frame(name))

    def ask(fit: Any) -> None:
        if what == "profile":
            fit.interval(method="profile", criterion="ML")  # lme4 has ML's alone
        elif what == "boot":
            fit.interval(method="boot", nsim=1000, seed=1)
        else:
            fit.fixef(ddf=what)

    ask(model.fit_reml())  # kernels are loaded, or compiled
    return {"fit": least(model.fit_reml), "seconds": least(ask, model.fit_reml)}


def least(call: Callable[..., object], *given: Callable[[], object]) -> float:
    """CPU seconds of the fastest of 3 calls; arguments are made anew for each."""
    found = []
    for _ in range(3):
        made = [make() for make in given]
        begun = time.process_time()
        call(*made)
        found.append(time.process_time() - begun)
    return min(found)


def studies() -> dict[str, Any]:
    """CPU seconds of the power of 20 levels of 5 rows by Satterthwaite."""
    import bayeslmm as lmm

    def ask() -> None:
        lmm.power(
            "y ~ x + (1 | g)",
            study(),
            effect="x",
            parameters={"x": 0.3, "1|g_sigma": 0.5, "sigma": 1.0},
            nsim=STUDIES,
            seed=1,
            progress=False,
        )

    ask()
    return {"seconds": least(ask)}


def study() -> "pd.DataFrame":
    """Rows of a study without its response."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(1)
    return pd.DataFrame({"g": np.repeat(np.arange(20), 5), "x": rng.normal(size=100)})


STATSMODELS = """
import sys, time, warnings
import numpy as np, pandas as pd
from statsmodels.regression.mixed_linear_model import MixedLM
warnings.simplefilter("ignore")
rng, data = np.random.default_rng(1), pd.read_csv(sys.argv[1])
seconds = 0.0
for _ in range(int(sys.argv[2])):
    b = 0.5 * rng.normal(size=20)[data["g"]]
    data["y"] = 0.3 * data["x"] + b + rng.normal(size=len(data))
    begun = time.process_time()
    MixedLM.from_formula("y ~ x", groups="g", data=data).fit(reml=True).pvalues
    seconds += time.process_time() - begun
print('@@cell {"seconds": %.6f}' % seconds)
"""


# --- in the parent --------------------------------------------------------------------


def peer(name: str, formula: str, what: str) -> dict[str, Any] | str:
    """The same of R, or why there is none."""
    if shutil.which("Rscript") is None:
        return "no Rscript"
    with tempfile.TemporaryDirectory() as folder:
        data, path = frame(name), Path(folder) / "data.csv"
        data.to_csv(path, index=False)
        groups = [c for c in ("Subject", "g", "h", "s", "d", "service") if c in data]
        command = ["Rscript", str(HERE / "classical.R"), str(path), formula]
        try:
            return run_script([*command, ",".join(groups), what], PATIENCE)
        except CellError as error:
            return str(error).strip().splitlines()[-1]


def statsmodels() -> dict[str, Any] | str:
    """CPU seconds of as many fits of statsmodels, by those of fewer."""
    if shutil.which("uv") is None:
        return "no uv"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.csv"
        study().to_csv(path, index=False)
        command = ["uv", "run", "--no-project", "--with", "statsmodels", "python"]
        try:
            found = run_script(
                [*command, "-c", STATSMODELS, str(path), str(FEWER)], 2 * PATIENCE
            )
        except CellError as error:
            return str(error).strip().splitlines()[-1]
    return {"seconds": found["seconds"] * STUDIES / FEWER}


HEADER = ("data", "what", "ours, CPU s", "peer", "its CPU s", "peer / ours")


def line(
    data: str, what: str, ours: dict[str, Any], name: str, other: dict[str, Any] | str
) -> str:
    """One line of the table."""
    fields = [data, what, f"{ours['seconds']:.4f}", name]
    if isinstance(other, str):
        fields += [other, ""]
    else:
        ratio = other["seconds"] / ours["seconds"]
        fields += [f"{other['seconds']:.3f}", f"{ratio:.0f}x"]
    found = "| " + " | ".join(fields) + " |"
    print(found, file=sys.stderr)
    return found


def report(options: argparse.Namespace) -> str:
    """Markdown: what was run, and its table."""
    lines = []
    for (data, formula), asked in CELLS.items():
        if options.cases and not any(part in data for part in options.cases):
            continue
        for what in asked:
            cell = {"name": data, "formula": formula, "what": what}
            ours = run_fresh("classical.measure", **cell)
            lines.append(line(data, what, ours, NAMES[what], peer(**cell)))
    if not options.cases or "power" in options.cases:
        ours, what = run_fresh("classical.studies"), "1,000 studies, Satterthwaite"
        name = f"statsmodels, {FEWER} fits times {STUDIES // FEWER}"
        lines.append(line("power", what, ours, name, statsmodels()))
    return (
        "After the fit; R and statsmodels in their own processes, one thread.\n\n"
        + markdown(HEADER, lines)
    )
