"""Arguments and options that several commands have, with their help."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path,
    typer.Argument(
        help="File with one row per observation: CSV, TSV, Excel, Parquet, Feather, "
        "Stata, SPSS."
    ),
]
FormulaText = Annotated[
    str, typer.Argument(help='lme4\'s grammar, in quotes: "y ~ x + (x | group)".')
]
Sep = Annotated[
    str | None, typer.Option(help="What separates the columns of a text file.")
]
Decimal = Annotated[
    str | None, typer.Option(help="Decimal mark of a text file, '.' or ','.")
]
Encoding = Annotated[
    str | None, typer.Option(help="Encoding of a text file: cp1252, utf-16, ...")
]
Missing = Annotated[
    str | None,
    typer.Option("--na", help='Missing values beside NA: "-,?"; "": empty cells only.'),
]
Sheet = Annotated[
    str | None, typer.Option(help="Sheet of an Excel file; the first otherwise.")
]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder for report.html, tables, posterior.nc, figures."),
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Let --out be a folder with files of others."),
]
Priors = Annotated[
    str, typer.Option(help="weak, flat, bambi, brms or boundary-avoiding.")
]
Draws = Annotated[int, typer.Option(min=1, help="Draws of each chain.")]
Tune = Annotated[
    int | None, typer.Option(min=0, help="Tuning steps; chosen by the sampler.")
]
Chains = Annotated[int, typer.Option(min=1, help="Independent chains.")]
Seed = Annotated[
    int | None, typer.Option(min=0, help="Same seed, same draws. Random otherwise.")
]
Family = Annotated[
    str, typer.Option(help="Of the response: gaussian, bernoulli, poisson, ...")
]
Weights = Annotated[
    str | None, typer.Option(help="Column of precision weights, as in lme4.")
]
Residual = Annotated[
    str | None,
    typer.Option(
        help='Structure of the residuals: "ar1(time | g)", "cs(g)", "varident(g)", or '
        '"varident(g) * ar1(time | h)".'
    ),
]
MethodName = Annotated[
    str, typer.Option(help="auto, nuts, importance, quadrature or joint (PyMC).")
]
RemlOnly = Annotated[
    bool, typer.Option("--reml-only", help="REML alone: no priors, no sampling.")
]
DemoData = Annotated[
    str, typer.Option("--data", help="simulated, or chapter: the tutorial's 60 pupils.")
]
Matrices = Annotated[
    bool,
    typer.Option("--matrices", help="Also X, Z and, by REML, D, R, V of a few rows."),
]
TrueValues = Annotated[
    list[str],
    typer.Option(
        "--set", help='Value of a parameter, "x=0.3", "1|g_sigma=0.5", "sigma=1".'
    ),
]
Levels = Annotated[
    list[str] | None,
    typer.Option(help='Numbers of levels to try, "g=10,20,40".'),
]
Times = Annotated[
    str | None,
    typer.Option(help='How many times each row is there, "1,2,4".'),
]
Jobs = Annotated[int, typer.Option(help="Processes; -1 for all cores.")]
