"""Benchmarks: `python tests/benchmarks/run.py small [--markdown FILE]`.

Every cell (case, method) runs in a fresh process; the table has ratios to our own run,
so that a busy machine spoils all rows alike. Nothing here asserts a time. A new case
goes into `cases.py`, a new method into `methods.py`.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).parent
REFERENCE = "ours"
PACKAGES = ("bayeslmm", "pymc", "nutpie", "bambi", "arviz", "numba", "numpy")
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
MARK = "@@cell "
ESCAPED_BAR = "\\|"  # a bare one would end the cell of a Markdown table


@dataclass(frozen=True, slots=True)
class Cell:
    """What one method did with one case; seconds, effective draws, divergences."""

    case: str
    method: str
    cold: float
    imported: float
    built: float
    sampled: float
    min_ess: float
    divergences: int
    worst: str

    @property
    def while_sampling(self) -> float:
        """Smallest bulk ESS per second of tuning and drawing."""
        return self.min_ess / self.sampled

    @property
    def with_compilation(self) -> float:
        """The same, with building and compiling the model."""
        return self.min_ess / (self.built + self.sampled)

    @property
    def with_import(self) -> float:
        """The same per second of a cold process, from its start to its tables."""
        return self.min_ess / self.cold


# --- in the process of one cell -------------------------------------------------------


def measure(options: argparse.Namespace) -> None:
    """Run one cell and print its figures as the last line."""
    from cases import CASES
    from methods import METHODS, Task

    case = next(case for case in CASES if case.name == options.case)
    task = Task(
        case,
        case.load(),
        options.draws,
        options.chains,
        options.cores,
        options.seed,
    )
    run = METHODS[options.method](task)
    tables_done = time.time()
    import arviz as az

    found = az.ess(run.draws, var_names=list(run.variables), method="bulk")
    smallest = {
        name: float(values.min())  # skips the NaN of a constant, as on a diagonal
        for name, values in found.data_vars.items()
    }
    worst = min(smallest, key=smallest.__getitem__)
    seconds = run.clock.seconds
    figures = {
        "imported": seconds["import"],
        "built": seconds["build"],
        "sampled": seconds["sample"],
        "min_ess": smallest[worst],
        "divergences": int(run.draws["sample_stats"]["diverging"].sum()),
        "worst": worst,
        "tables_done": tables_done,
    }
    print(MARK + json.dumps(figures))


# --- in the parent --------------------------------------------------------------------


def run_cell(
    case: str, method: str, options: argparse.Namespace, cache: Path | None
) -> Cell:
    """One cell in a fresh process; `cold` ends when its tables are printed."""
    command = [sys.executable, str(HERE / "run.py"), "cell"]
    command += ["--case", case, "--method", method]
    for name in ("draws", "chains", "cores", "seed"):
        command += [f"--{name}", str(getattr(options, name))]
    environment = {**os.environ, **ONE_THREAD}
    if cache is not None:
        environment["NUMBA_CACHE_DIR"] = str(cache)
    start = time.time()
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not lines:
        raise SystemExit(f"{case}, {method} failed:\n{done.stderr[-3000:]}")
    figures = json.loads(lines[-1].removeprefix(MARK))
    cold = figures.pop("tables_done") - start
    return Cell(case=case, method=method, cold=cold, **figures)


def run_suite(options: argparse.Namespace) -> list[Cell]:
    """Every cell of a suite; ours also as on a machine that never compiled it."""
    from cases import CASES

    cells = []
    for case in (case for case in CASES if case.suite == options.suite):
        for method in case.methods:
            if options.methods and method not in options.methods:
                continue
            if method == REFERENCE:
                with tempfile.TemporaryDirectory() as cache:
                    first = run_cell(case.name, method, options, Path(cache))
                cells.append(
                    Cell(**{**asdict(first), "method": f"{method}, first run"})
                )
                run_cell(case.name, method, options, None)  # fills the machine's cache
            cells.append(run_cell(case.name, method, options, None))
            print(row(cells[-1], cells), file=sys.stderr)
    return cells


HEADER = (
    "case",
    "method",
    "min ESS",
    "divergences",
    "sampling, s",
    "build, s",
    "cold, s",
    "ESS/s sampling",
    "with compile",
    "cold process",
    "ours / it, sampling",
    "with compile",
    "cold process",
)


def row(cell: Cell, cells: Sequence[Cell]) -> str:
    """One line of the table; ratios to our own run on the same case."""
    rates = (cell.while_sampling, cell.with_compilation, cell.with_import)
    own = [c for c in cells if (c.case, c.method) == (cell.case, REFERENCE)]
    ratios = ["", "", ""]
    if own and not cell.method.startswith(REFERENCE):
        theirs = (own[0].while_sampling, own[0].with_compilation, own[0].with_import)
        ratios = [f"{a / b:.0f}x" for a, b in zip(theirs, rates, strict=True)]
    fields = [
        cell.case,
        cell.method,
        f"{cell.min_ess:.0f} ({cell.worst.replace('|', ESCAPED_BAR)})",
        f"{cell.divergences}",
        f"{cell.sampled:.2f}",
        f"{cell.built:.2f}",
        f"{cell.cold:.1f}",
        *(f"{rate:.0f}" for rate in rates),
        *ratios,
    ]
    return "| " + " | ".join(fields) + " |"


def table(cells: Sequence[Cell], options: argparse.Namespace, load: float) -> str:
    """Markdown: what was run, where, and the figures."""
    return "\n".join(
        [
            f"{options.chains} chains x {options.draws} draws on {options.cores} "
            f"cores, one BLAS thread, load {load:.1f} at the start, "
            f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()} on "
            f"{platform.machine()}; {_versions()}.",
            "",
            "| " + " | ".join(HEADER) + " |",
            "|" + " --- |" * len(HEADER),
            *(row(cell, cells) for cell in cells),
        ]
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


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", help="a suite of cases.py (small), or 'cell'")
    parser.add_argument("--markdown", type=Path, help="file for the table")
    parser.add_argument("--methods", nargs="*", help="only these")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--cores", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--method", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.suite == "cell":
        measure(options)
        return
    load = os.getloadavg()[0]
    text = table(run_suite(options), options, load)
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")


if __name__ == "__main__":
    main()
