"""Our posterior beside those of PyMC and bambi: effective draws per second.

The table has ratios to our own run, so that a busy machine spoils all rows alike.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from process import markdown, run_fresh

REFERENCE = "ours"
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


def measure(
    case: str, method: str, draws: int, chains: int, cores: int, seed: int
) -> dict[str, Any]:
    """Figures of one method with one case."""
    from cases import find_case
    from methods import METHODS, Task

    chosen = find_case(case)
    task = Task(chosen, chosen.load(), draws, chains, cores, seed)
    run = METHODS[method](task)
    tables_done = time.time() - run.clock.seconds.get("first", 0.0)  # of two runs one
    import arviz as az

    found = az.ess(run.draws, var_names=list(run.variables), method="bulk")
    smallest = {
        name: float(values.min())  # skips the NaN of a constant, as on a diagonal
        for name, values in found.data_vars.items()
    }
    worst = min(smallest, key=smallest.__getitem__)
    seconds = run.clock.seconds
    return {
        "imported": seconds["import"],
        "built": seconds["build"],
        "sampled": seconds["sample"],
        "min_ess": smallest[worst],
        "divergences": int(run.draws["sample_stats"]["diverging"].sum()),
        "worst": worst,
        "tables_done": tables_done,
    }


# --- in the parent --------------------------------------------------------------------


def run_cell(
    case: str, method: str, options: argparse.Namespace, cache: Path | None
) -> Cell:
    """One cell in a fresh process; `cold` ends when its tables are printed."""
    settings = {
        name: getattr(options, name) for name in ("draws", "chains", "cores", "seed")
    }
    found = run_fresh(
        "small.measure", cache=cache, case=case, method=method, **settings
    )
    cold = found.pop("tables_done") - found.pop("started")
    return Cell(case=case, method=method, cold=cold, **found)


def run_suite(options: argparse.Namespace) -> list[Cell]:
    """Every cell of the suite; ours also as on a machine that never compiled it."""
    from cases import CASES

    cells = []
    for case in (case for case in CASES if case.methods):
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


def report(options: argparse.Namespace) -> str:
    """Markdown: what was run, and its table."""
    cells = run_suite(options)
    return (
        f"Posterior, {options.chains} chains x {options.draws} draws on "
        f"{options.cores} cores.\n\n"
        + markdown(HEADER, [row(cell, cells) for cell in cells])
    )
