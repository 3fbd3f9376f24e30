"""``bayeslmm lesson``: a fit, and the page that teaches shrinkage with it."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayeslmm.cli.garbage import collect_again
from bayeslmm.cli.inputs import read_table
from bayeslmm.cli.messages import messages, shell_console
from bayeslmm.cli.options import (
    Chains,
    Data,
    Decimal,
    Draws,
    Encoding,
    FormulaText,
    Missing,
    Priors,
    RemlOnly,
    Residual,
    Seed,
    Sep,
    Sheet,
    Weights,
)
from bayeslmm.errors import BayesLMMWarning

if TYPE_CHECKING:
    pass

Page = Annotated[Path, typer.Option("--out", help="File for the page.")]
Term = Annotated[
    str | None,
    typer.Option(help="Grouping factor or bar term; the first one otherwise."),
]
Effect = Annotated[
    str | None,
    typer.Option(help="Whose SD is turned: Intercept, a slope; the first slope."),
]


def lesson(
    data: Data,
    formula: FormulaText,
    out: Page = Path("lesson.html"),
    term: Term = None,
    effect: Effect = None,
    priors: Priors = "weak",
    draws: Draws = 1000,
    chains: Chains = 4,
    seed: Seed = None,
    weights: Weights = None,
    residual: Residual = None,
    reml_only: RemlOnly = False,
    sep: Sep = None,
    decimal: Decimal = None,
    encoding: Encoding = None,
    na: Missing = None,
    sheet: Sheet = None,
) -> None:
    """Write a page that teaches shrinkage with your own data.

    One file without network: sliders for the SD of the levels and for the scale of its
    prior compute every estimate anew, exactly. Leave a level out, or add one.
    """
    with messages() as stage, warnings.catch_warnings():
        from bayeslmm.api.both import Fit
        from bayeslmm.cli.models import make_model
        from bayeslmm.reporting.lesson import check_place, lesson as write
        from bayeslmm.reporting.text import print_diagnosis, print_header, print_lines

        warnings.simplefilter("ignore", BayesLMMWarning)  # the page says them
        check_place(out)
        stage.doing = f"reading {data.name}"
        table = read_table(data, sep, decimal, encoding, na, sheet)
        model = make_model(table, formula, priors, "gaussian", weights, residual)
        console = shell_console()
        print_header(console, model)
        stage.doing = "fitting by REML"
        reml, post = model.fit_reml(), None
        if not reml_only:
            stage.doing = "sampling, after the fit by REML"
            post = model.sample(draws=draws, chains=chains, seed=seed)
            print_diagnosis(console, post.diagnose())
        stage.doing = f"writing {out}"
        collect_again()
        fit = Fit(model, reml, post)
        page = write(fit, out, term=term, effect=effect)
        size = page.stat().st_size / 1000
        print_lines(console, ["", f"{page}: {size:.0f} kB, open it in a browser"])
