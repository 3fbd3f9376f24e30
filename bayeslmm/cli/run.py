"""One run: header, fits, tables on the screen, files in a folder."""

import secrets
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bayeslmm.api.both import Fit
from bayeslmm.api.model import Method, Model
from bayeslmm.cli.garbage import collect_again
from bayeslmm.cli.interrupts import INTERRUPTS
from bayeslmm.cli.stage import Stage
from bayeslmm.comparison import answer, compare, effect_tests, reading
from bayeslmm.errors import BayesLMMWarning
from bayeslmm.posterior.propriety import propriety_notes
from bayeslmm.reml.singular import brief_sentences
from bayeslmm.reporting.explain import PROPRIETY
from bayeslmm.reporting.record import Record, record_of
from bayeslmm.reporting.tables import truth_table
from bayeslmm.reporting.text import (
    print_answer,
    print_comparison,
    print_diagnosis,
    print_header,
    print_lines,
    print_posterior,
    print_reml,
    print_section,
    print_table,
    print_tests,
)

if TYPE_CHECKING:
    from rich.console import Console

    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit


# Seconds of a REML fit from which its table does not wait for the posterior.
SLOW = 10.0


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
class Out:
    """Folder for the results; `force` writes beside the files of another program."""

    folder: Path
    force: bool


def run(
    console: "Console",
    model: Model,
    options: Options,
    *,
    out: Out | None,
    data: Record | None,
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
            record = data or record_of(model, None)
            _write(console, outcome, out, replace(record, seed=kept), stage)
    partial = outcome.posterior is not None and outcome.posterior.status.partial
    if partial:
        console.print("\nInterrupted: these are partial results.", style="bold red")
    return partial


def _fit_and_print(
    console: "Console", model: Model, options: Options, seed: int, stage: Stage
) -> Fit:
    """Both fits; what they say in short, then their tables."""
    print_header(console, model)
    reml, is_printed = None, False
    if model.family == "gaussian":
        stage.doing = "fitting by REML"
        start = time.monotonic()
        reml = model.fit_reml()
        is_printed = time.monotonic() - start > SLOW and not options.reml_only
    if options.reml_only:
        print_answer(console, answer(reml, None))
        _print_reml_if(console, reml, True)
        if reml is not None:
            print_tests(console, effect_tests(reml))
            if said := brief_sentences(reml):
                print_section(console, "Singular", said)
        return Fit(model, reml, None)
    _print_reml_if(console, reml, is_printed)
    if notes := propriety_notes(model):
        print_section(console, PROPRIETY, notes)
    stage.doing = "sampling" if reml is None else "sampling, after the fit by REML"
    try:
        post = _sample(console, model, options, seed, stage)
    except BaseException:
        _print_reml_if(console, reml, not is_printed)  # it was not in vain
        raise
    stage.doing = "summarising the draws"
    table = None if reml is None else compare(reml, post)
    diagnosis = post.diagnose()
    print_answer(console, answer(reml, post, table=table, diagnosis=diagnosis))
    _print_reml_if(console, reml, not is_printed)
    print_posterior(console, post)
    if options.seed is None:
        print_lines(console, [f"seed {seed}: --seed {seed} repeats these draws"])
    if reml is not None and table is not None:
        tests = effect_tests(reml, post)
        print_comparison(console, table, tests, reading(reml, post))
    print_diagnosis(console, diagnosis)
    return Fit(model, reml, post)


def _print_reml_if(console: "Console", reml: "RemlFit | None", due: bool) -> None:
    """The REML table, if there is one and its turn has come."""
    if reml is not None and due:
        print_reml(console, reml)


def _sample(
    console: "Console", model: Model, options: Options, seed: int, stage: Stage
) -> "Posterior":
    """The posterior; says so if it is of fewer draws, after an interrupt."""
    if model.family != "gaussian" or options.method == "joint":
        collect_again()  # PyTensor leaves many cycles; our own samplers none
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
    return post


@contextmanager
def _our_warnings_printed_elsewhere() -> Iterator[None]:
    """Silence warnings of ours: the tables carry each of them as a note."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BayesLMMWarning)
        yield


def _write(
    console: "Console", outcome: Fit, out: Out, record: Record, stage: Stage
) -> None:
    """All results to a folder; says what was there before."""
    from bayeslmm.reporting.save import save_fit

    stage.doing = f"writing to {out.folder}"
    collect_again()  # figures are full of cycles

    def moving() -> None:
        stage.written = "some files may be of this run, others of an earlier one"

    with stage.unwinding():
        written = save_fit(
            outcome, out.folder, record=record, force=out.force, moving=moving
        )
    stage.written = f"the results are in {out.folder}"
    console.print()
    print_lines(console, written.lines(out.folder))
