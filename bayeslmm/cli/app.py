"""The commands: fit, explain, lesson, power, precision, demo, warmup."""

import io
import sys
from typing import TYPE_CHECKING, Annotated, cast

import typer

from bayeslmm.cli.garbage import collect_again
from bayeslmm.cli.inputs import checked_folder, method_named, read_table
from bayeslmm.cli.interrupts import INTERRUPTED
from bayeslmm.cli.lessons import lesson
from bayeslmm.cli.messages import messages, shell_console
from bayeslmm.cli.options import (
    Chains,
    Data,
    Decimal,
    DemoData,
    Draws,
    Encoding,
    Family,
    Force,
    FormulaText,
    Jobs,
    Levels,
    Matrices,
    MethodName,
    Missing,
    Out,
    Priors,
    RemlOnly,
    Residual,
    Seed,
    Sep,
    Sheet,
    Times,
    TrueValues,
    Tune,
    Weights,
)
from bayeslmm.errors import ModelError

if TYPE_CHECKING:
    from bayeslmm.planning.targets import Test
    from bayeslmm.planning.widths import How

DEMO_SEED = 4

app = typer.Typer(
    name="bayeslmm",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Bayesian linear mixed models with lme4's formulas: REML beside the posterior."
        "\n\nStart with [bold]bayeslmm demo[/bold], which needs no data. Then "
        "[bold]bayeslmm explain[/bold] says what a formula means for your file, and "
        "[bold]bayeslmm fit[/bold] fits it."
    ),
)

EXAMPLES = (
    "[bold]Examples[/bold]\n\n"
    'bayeslmm fit pupils.csv "score ~ edu + (1 | classroom)"\n\n'
    'bayeslmm fit pupils.csv "score ~ edu + (edu | classroom)" --out results\n\n'
    'bayeslmm fit casks.parquet "strength ~ 1 + (1 | batch/cask)" --seed 1\n\n'
    'bayeslmm fit visits.csv "sick ~ age + (1 | ward)" --family bernoulli\n\n'
    'bayeslmm fit big.csv "y ~ x + (x | g)" --reml-only\n\n'
    "[bold]Formulas[/bold] are lme4's\n\n"
    "(1 | g): an intercept for each level of g.  (x | g): intercept and slope, "
    "correlated.\n\n"
    "(x || g): not correlated.  (1 | a/b): b nested in a.  (1 | a) + (1 | b): crossed."
)


def _version(asked: bool) -> bool:
    """Print the version and end, if that is asked for."""
    if asked:
        import importlib.metadata

        typer.echo(f"bayeslmm {importlib.metadata.version('bayeslmm')}")
        raise typer.Exit
    return asked


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version),
    ] = False,
) -> None:
    """Options of the program itself."""
    del version  # its callback has acted
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that it cannot show is '?'
            stream.reconfigure(errors="replace")


@app.command(epilog=EXAMPLES)
def fit(
    data: Data,
    formula: FormulaText,
    out: Out = None,
    force: Force = False,
    priors: Priors = "weak",
    draws: Draws = 1000,
    tune: Tune = None,
    chains: Chains = 4,
    seed: Seed = None,
    family: Family = "gaussian",
    weights: Weights = None,
    residual: Residual = None,
    method: MethodName = "auto",
    reml_only: RemlOnly = False,
    sep: Sep = None,
    decimal: Decimal = None,
    encoding: Encoding = None,
    na: Missing = None,
    sheet: Sheet = None,
) -> None:
    """Fit a model by REML and by its posterior, side by side.

    Prints what was read and dropped, the REML table, the posterior, both
    compared (in numbers and in words), and a diagnosis.
    [bold]--out[/bold] writes all of it to a folder.
    """
    with messages() as stage:
        from bayeslmm.cli.models import make_model
        from bayeslmm.cli.run import Options, run
        from bayeslmm.data import file_hash
        from bayeslmm.reporting.record import Record

        options = Options(draws, tune, chains, seed, method_named(method), reml_only)
        _check_reml(family, reml_only)
        place = checked_folder(out, force)
        stage.doing = f"reading {data.name}"
        table = read_table(data, sep, decimal, encoding, na, sheet)
        model = make_model(table, formula, priors, family, weights, residual)
        source = Record(data.name, file_hash(data)) if table is data else None
        partial = run(
            shell_console(), model, options, out=place, data=source, stage=stage
        )
    raise typer.Exit(INTERRUPTED if partial else 0)


@app.command(epilog=EXAMPLES)
def explain(
    data: Data,
    formula: FormulaText,
    priors: Priors = "weak",
    family: Family = "gaussian",
    weights: Weights = None,
    residual: Residual = None,
    matrices: Matrices = False,
    sep: Sep = None,
    decimal: Decimal = None,
    encoding: Encoding = None,
    na: Missing = None,
    sheet: Sheet = None,
) -> None:
    """Say what a formula means for a file, without fitting.

    Equations, the meaning of every column, groups and how they lie to each other,
    parameters, priors. Only with --matrices is it fitted, by REML.
    """
    with messages() as stage:
        from bayeslmm.cli.models import make_model
        from bayeslmm.reporting.explain import explain_text

        stage.doing = f"reading {data.name}"
        table = read_table(data, sep, decimal, encoding, na, sheet)
        model = make_model(table, formula, priors, family, weights, residual)
        typer.echo(explain_text(model, matrices=matrices))


app.command()(lesson)


@app.command()
def power(
    data: Data,
    formula: FormulaText,
    effect: Annotated[str, typer.Option(help="What is to be found: x, dose, B - A.")],
    value: TrueValues,
    test: Annotated[
        str | None,
        typer.Option(
            help="satterthwaite, kenward-roger, z, residual, lrt or posterior; if not "
            "given, satterthwaite, and lrt for an SD."
        ),
    ] = None,
    alpha: Annotated[float, typer.Option(help="Level of the test.")] = 0.05,
    nsim: Annotated[int, typer.Option(min=1, help="Simulated studies.")] = 1000,
    levels: Levels = None,
    rows: Times = None,
    weights: Weights = None,
    jobs: Jobs = 1,
    seed: Seed = None,
    sep: Sep = None,
    decimal: Decimal = None,
    encoding: Encoding = None,
    na: Missing = None,
    sheet: Sheet = None,
) -> None:
    """Power of a study with these rows, by simulation; the response is not needed.

    bayeslmm power study.csv "y ~ x + (1 | g)" --effect x --set x=0.3
    --set "1|g_sigma=0.5" --set sigma=1 --levels g=10,20,40
    """
    with messages() as stage:
        from bayeslmm.cli.planned import counts, numbers, print_power, sizes
        from bayeslmm.planning import power as by_simulation

        stage.doing = f"reading {data.name}"
        table = read_table(data, sep, decimal, encoding, na, sheet)
        stage.doing = "simulating studies"
        collect_again()
        found = by_simulation(
            formula,
            table,
            effect=effect,
            parameters=numbers(value),
            test=cast("Test | None", test),
            alpha=alpha,
            nsim=nsim,
            weights=weights,
            groups=sizes(levels or []),
            rows=None if rows is None else counts(rows),
            seed=seed,
            n_jobs=jobs,
        )
        print_power(shell_console(), found)


@app.command()
def precision(
    data: Data,
    formula: FormulaText,
    value: TrueValues,
    prob: Annotated[float, typer.Option(help="Probability of the intervals.")] = 0.95,
    method: Annotated[
        str, typer.Option(help="auto, information or simulation.")
    ] = "auto",
    nsim: Annotated[int, typer.Option(min=1, help="Simulated studies.")] = 200,
    levels: Levels = None,
    rows: Times = None,
    weights: Weights = None,
    jobs: Jobs = 1,
    seed: Seed = None,
    sep: Sep = None,
    decimal: Decimal = None,
    encoding: Encoding = None,
    na: Missing = None,
    sheet: Sheet = None,
) -> None:
    """How wide the intervals of a study with these rows will be: SDs too.

    bayeslmm precision study.csv "y ~ x + (1 | g)" --set x=0.3
    --set "1|g_sigma=0.5" --set sigma=1 --levels g=10,20,40
    """
    with messages() as stage:
        from bayeslmm.cli.planned import counts, numbers, print_precision, sizes
        from bayeslmm.planning import precision as widths_of

        stage.doing = f"reading {data.name}"
        table = read_table(data, sep, decimal, encoding, na, sheet)
        stage.doing = "working out widths"
        collect_again()
        found = widths_of(
            formula,
            table,
            parameters=numbers(value),
            prob=prob,
            method=cast("How", method),
            nsim=nsim,
            weights=weights,
            groups=sizes(levels or []),
            rows=None if rows is None else counts(rows),
            seed=0 if seed is None else seed,
            n_jobs=jobs,
        )
        print_precision(shell_console(), found)


@app.command()
def demo(
    data: DemoData = "simulated",
    out: Out = None,
    force: Force = False,
    priors: Priors = "weak",
    draws: Draws = 1000,
    chains: Chains = 4,
    seed: Seed = DEMO_SEED,
) -> None:
    """Fit classrooms that come with the program: nothing else is needed.

    The whole job on simulated pupils, whose true values are known, or on the 60 pupils
    of a tutorial.
    """
    with messages() as stage:
        from bayeslmm.api.model import Model
        from bayeslmm.cli.demonstration import FORMULA, demonstration
        from bayeslmm.cli.run import Options, run

        place = checked_folder(out, force)
        console, shown = shell_console(), demonstration(data)
        console.print(f"{shown.words}\n", highlight=False)
        model = Model(FORMULA, shown.data, priors=priors)
        options = Options(draws, None, chains, seed, "auto", False)
        partial = run(
            console,
            model,
            options,
            out=place,
            data=shown.source,
            truth=shown.truth,
            stage=stage,
        )
    raise typer.Exit(INTERRUPTED if partial else 0)


@app.command()
def warmup() -> None:
    """Compile what the common models use, so that no fit has to wait for it.

    Once after the installation, and after an upgrade: fits small simulated data
    with one factor, with slopes, nested and crossed factors.
    """
    with messages() as stage:
        from bayeslmm.cli.warmup import warm_up

        collect_again()
        stage.doing = "compiling"
        warm_up(shell_console())


def _check_reml(family: str, reml_only: bool) -> None:
    """Raise if REML alone is asked for where there is none."""
    if reml_only and family != "gaussian":
        raise ModelError(
            f"REML exists for family 'gaussian' only, not for {family!r}. Leave out "
            "--reml-only."
        )
