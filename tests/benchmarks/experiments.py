"""Everyday designs: the posterior beside lme4's fit, and beside PyMC's and bambi's.

Subjects crossed with items, sleepstudy, Machines and three nested levels. A posterior
of ours is whole: model, REML, draws of all parameters. It is timed the first time on a
machine (compiling included), the first time in a process, and warm, all after imports;
effective sizes are the smallest of all parameters but the effects of levels. The peers
are PyMC's explicit LKJ model of the formula and bambi's own model (whose effects are
independent), both compiled and sampled by nutpie; lme4 is timed from frame to fit.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from process import CellError, best, markdown, run_fresh

if TYPE_CHECKING:
    from types import ModuleType

    from bayeslmm import Posterior

from cases import CASES, Case, find_case

SMALL = ("sleepstudy", "Machines")  # of other suites
PEERS = ("pymc-lkj-nutpie", "bambi-nutpie")
PATIENCE = 3600.0  # seconds of one cell
ENOUGH = 400.0  # effective draws


# --- in the process of one cell -------------------------------------------------------


def measure(case: str, draws: int, chains: int, seed: int) -> dict[str, Any]:
    """Figures of bayeslmm with one case."""
    import time

    import engine

    lmm = _imported()
    chosen = find_case(case)
    data, options = chosen.load(), {"seed": seed, "progress": False}

    def whole(**more: Any) -> "Posterior":
        model = lmm.Model(chosen.formula, data)
        model.fit_reml()
        return model.sample(**options, **more)

    start = time.perf_counter()
    posterior = whole()
    first = time.perf_counter() - start
    nuts = {"method": "nuts", "draws": draws, "chains": chains}
    by_nuts = whole(**nuts)
    return {
        "rows": len(data),
        "parameters": len(posterior.model.design.space.coordinates),
        "first": first,
        "warm": best(whole),
        "sampler": posterior.method,
        **_sizes(posterior),
        "nuts": best(lambda: whole(**nuts)),
        "nuts_ess": _sizes(by_nuts)["min_ess"],
        "evaluation": engine.evaluation(posterior.model)["target"],
    }


def first_run(case: str, seed: int) -> dict[str, Any]:
    """Seconds of the first posterior of a process."""
    import time

    lmm = _imported()
    chosen = find_case(case)
    data = chosen.load()
    start = time.perf_counter()
    model = lmm.Model(chosen.formula, data)
    model.fit_reml()
    posterior = model.sample(seed=seed, progress=False)
    return {"first": time.perf_counter() - start, **_sizes(posterior)}


def _imported() -> "ModuleType":
    """bayeslmm, with what it imports when it samples: peers' clocks start then too."""
    import arviz  # noqa: F401, ICN001
    import nutpie  # noqa: F401
    import pymc as pm  # noqa: F401

    import bayeslmm

    return bayeslmm


def _sizes(posterior: "Posterior") -> dict[str, Any]:
    """Smallest bulk ESS, and divergences."""
    return {
        "min_ess": float(posterior.summary()["ess_bulk"].min()),
        "divergences": posterior.status.n_divergent,
    }


# --- in the parent --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One case: our figures, those of a machine that never compiled, and the peers'."""

    case: Case
    ours: dict[str, Any]
    fresh: dict[str, Any]
    lme4: dict[str, Any] | None
    peers: dict[str, dict[str, Any] | str]


def run_case(case: Case, options: argparse.Namespace) -> Row:
    """All cells of one case."""
    import engine

    sizes = {"draws": options.draws, "chains": options.chains, "seed": options.seed}
    with tempfile.TemporaryDirectory() as cache:
        fresh = run_fresh(
            "experiments.first_run",
            cache=Path(cache),
            case=case.name,
            seed=options.seed,
        )
    arguments = {"case": case.name, **sizes}
    run_fresh(
        "experiments.first_run", case=case.name, seed=options.seed
    )  # fills caches
    ours = run_fresh("experiments.measure", **arguments)
    peers: dict[str, dict[str, Any] | str] = {}
    for method in options.methods or PEERS:
        cell = {**arguments, "method": method, "cores": options.cores}
        try:
            peers[method] = run_fresh("small.measure", seconds=PATIENCE, **cell)
        except CellError as error:
            said = str(error).strip().splitlines() or ["no figures"]
            peers[method] = said[-1]
    return Row(case, ours, fresh, engine.lme4(case), peers)


HEADER = (
    "case",
    "rows",
    "variance parameters",
    "evaluation, us",
    "lme4, s",
    "ours, warm, s",
    "sampler, min ESS",
    "ours / lme4",
    "first in a process, s",
    "first on a machine, s",
    "NUTS, s (ESS)",
)
AGAINST = (
    "case",
    "against",
    "build, s",
    "sample, s",
    "min ESS",
    "divergences",
    "ESS/s with compile, ours / it",
    "on the first run of a machine",
    "whole NUTS / its sampling",
)


def line(row: Row) -> str:
    """Our figures beside lme4's."""
    ours, lme4 = row.ours, row.lme4
    enough = "" if ours["min_ess"] >= ENOUGH else " (too few)"
    return _joined(
        row.case.name,
        f"{ours['rows']}",
        f"{ours['parameters']}",
        f"{ours['evaluation'] * 1e6:.0f}",
        f"{lme4['seconds']:.3g}" if lme4 else "",
        f"{ours['warm']:.3g}",
        f"{ours['sampler']}, {ours['min_ess']:.0f}{enough}",
        f"{ours['warm'] / lme4['seconds']:.2g}x" if lme4 else "",
        f"{ours['first']:.3g}",
        f"{row.fresh['first']:.3g}",
        f"{ours['nuts']:.3g} ({ours['nuts_ess']:.0f})",
    )


def lines_against(row: Row) -> list[str]:
    """Our effective draws per second over theirs, a line for each peer."""
    found, ours = [], row.ours
    for method, cell in row.peers.items():
        if isinstance(cell, str):
            found.append(_joined(row.case.name, method, cell, *[""] * 6))
            continue
        theirs = cell["min_ess"] / (cell["built"] + cell["sampled"])
        warm = cell["min_ess"] / cell["sampled"]
        fresh = row.fresh["min_ess"] / row.fresh["first"]
        fields = (
            f"{cell['built']:.1f}",
            f"{cell['sampled']:.1f}",
            f"{cell['min_ess']:.0f} ({cell['worst']})".replace("|", "\\|"),
            f"{cell['divergences']}",
            f"{ours['min_ess'] / ours['first'] / theirs:.0f}x",
            f"{fresh / theirs:.2g}x",
            f"{ours['nuts_ess'] / ours['nuts'] / warm:.0f}x",
        )
        found.append(_joined(row.case.name, method, *fields))
    return found


def _joined(*fields: str) -> str:
    """One line of Markdown."""
    return "| " + " | ".join(fields) + " |"


def report(options: argparse.Namespace) -> str:
    """Markdown: what was run, and both tables."""
    rows = []
    for case in CASES:
        if case.suite != "experiments" and case.name not in SMALL:
            continue
        if options.cases and not any(part in case.name for part in options.cases):
            continue
        rows.append(run_case(case, options))
        print(line(rows[-1]), *lines_against(rows[-1]), sep="\n", file=sys.stderr)
    draws = f"{options.chains} chains x {options.draws} draws"
    return "\n\n".join(
        (
            f"Ours: method auto, as it is by default; NUTS and the peers {draws}.",
            markdown(HEADER, [line(row) for row in rows]),
            markdown(AGAINST, [own for row in rows for own in lines_against(row)]),
        )
    )
