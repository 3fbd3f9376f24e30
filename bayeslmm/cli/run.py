"""One run: header, fits, tables on the screen, files in a folder."""

import secrets
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayeslmm.cli.interrupts import INTERRUPTS
from bayeslmm.cli.output import move_files, unfinished_folder
from bayeslmm.cli.stage import Stage
from bayeslmm.compare import compare
from bayeslmm.errors import BayesLMMWarning, OutputError
from bayeslmm.model import Method, Model
from bayeslmm.report import report, save_figures, summary_json
from bayeslmm.report.tables import truth_table
from bayeslmm.report.text import (
    print_comparison,
    print_diagnosis,
    print_header,
    print_lines,
    print_posterior,
    print_reml,
    print_table,
)
from bayeslmm.tables.numbers import counted

if TYPE_CHECKING:
    from rich.console import Console

    from bayeslmm.fit.posterior import Posterior
    from bayeslmm.fit.remlfit import RemlFit


@dataclass(frozen=True, slots=True)
class Options:
    """How to sample."""

    draws: int
    tune: int | None
    chains: int
    seed: int | None
    method: Method
    reml_only: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """A model and the fits that were made."""

    model: Model
    reml: "RemlFit | None"
    posterior: "Posterior | None"

    @property
    def partial(self) -> bool:
        """Whether sampling was interrupted."""
        return self.posterior is not None and self.posterior.status.partial


def run(
    console: "Console",
    model: Model,
    options: Options,
    *,
    out: Path | None,
    data: Mapping[str, Any],
    stage: Stage,
    truth: Mapping[str, float] | None = None,
) -> bool:
    """Fit a model, print what came of it, write it to a folder.

    Gives whether sampling was interrupted, so that the results are partial. An
    interrupt in another phase, which `stage` names, is raised.
    """
    seed = secrets.randbelow(2**31) if options.seed is None else options.seed
    with _our_warnings_printed_elsewhere():
        outcome = _fit_and_print(console, model, options, seed, stage)
        if truth is not None and outcome.reml and outcome.posterior:
            table = compare(outcome.reml, outcome.posterior)
            print_table(console, truth_table(table, dict(truth)))
        if out is not None:
            kept = None if options.reml_only else seed
            _write(console, outcome, out, data, kept, stage)
    if outcome.partial:
        console.print("\nInterrupted: these are partial results.", style="bold red")
    return outcome.partial


def _fit_and_print(
    console: "Console", model: Model, options: Options, seed: int, stage: Stage
) -> Outcome:
    """Both fits, each printed as soon as it is there."""
    print_header(console, model)
    reml = None
    if model.family == "gaussian":
        stage.doing = "fitting by REML"
        reml = model.fit_reml()
        print_reml(console, reml)
    if options.reml_only:
        return Outcome(model, reml, None)
    stage.doing = "sampling" if reml is None else "sampling, after the fit by REML"
    with stage.unwinding():
        post = model.sample(
            draws=options.draws,
            tune=options.tune,
            chains=options.chains,
            seed=seed,
            method=options.method,
        )
        if post.status.partial:
            INTERRUPTS.heard()
            console.print(
                "\nInterrupted: what follows is of the draws so far. Ctrl-C again "
                "ends without.",
                style="bold red",
            )
    stage.doing = "summarising the draws"
    print_posterior(console, post)
    if options.seed is None:
        print_lines(console, [f"seed {seed}: --seed {seed} repeats these draws"])
    if reml is not None:
        print_comparison(console, reml, post)
    print_diagnosis(console, post)
    return Outcome(model, reml, post)


@contextmanager
def _our_warnings_printed_elsewhere() -> Iterator[None]:
    """Silence warnings of ours: the tables carry each of them as a note."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BayesLMMWarning)
        yield


def _write(
    console: "Console",
    outcome: Outcome,
    out: Path,
    data: Mapping[str, Any],
    seed: int | None,
    stage: Stage,
) -> None:
    """``summary.json``, ``posterior.nc``, ``figures/*.png``, ``report.html``."""
    stage.doing = f"writing to {out}"
    try:
        with stage.unwinding(), unfinished_folder(out) as unfinished:
            n_figures = _write_files(outcome, unfinished, data, seed)
            stage.written = "some files may be of this run, others of an earlier one"
            removed = move_files(unfinished, out)
    except OSError as error:
        raise OutputError(
            f"The results could not be written to {str(out)!r}: {error}. Give another "
            "folder with --out."
        ) from error
    stage.written = f"the results are in {out}"
    draws = ", posterior.nc" if outcome.posterior is not None else ""
    written = f"summary.json{draws}, report.html, {counted(n_figures, 'figure')}"
    console.print()
    print_lines(console, [f"wrote {written} to {out}"])
    if removed:
        named = ", ".join(removed)
        print_lines(console, [f"removed {named}, which an earlier run had left there"])


def _write_files(
    outcome: Outcome, folder: Path, data: Mapping[str, Any], seed: int | None
) -> int:
    """All files into a folder; gives the number of figures."""
    figures = folder / "figures"
    figures.mkdir()
    summary = summary_json(outcome, data=data, seed=seed)
    (folder / "summary.json").write_text(summary + "\n", encoding="utf-8")
    if outcome.posterior is not None:
        outcome.posterior.save(folder / "posterior.nc")
    n_figures = len(save_figures(outcome.reml, outcome.posterior, figures))
    report(outcome, folder / "report.html")
    return n_figures
