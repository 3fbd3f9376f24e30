"""Fits -> tables of text, the same for the terminal and for HTML."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pandas as pd

from bayeslmm.comparison import unit_words
from bayeslmm.comparison.table import interval_name, rounded, row_scale
from bayeslmm.design.residual import RATIO, RHO
from bayeslmm.design.space import SIGMA
from bayeslmm.priors import Priors
from bayeslmm.tables.numbers import (
    MISSING,
    count,
    decimals_for,
    degrees,
    interval,
    number,
    p_value,
    row,
)

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

# Sections of a table, with the units of its numbers.
COMPONENTS = {
    "fixef": "Fixed effects, {unit}; slopes per unit of the predictor",
    "sd": "SDs of random effects, {unit}; of slopes per unit of the predictor",
    "corr": "Correlations, without units",
    "sigma": "Residual SD, {unit}",
}
TEST_NAMES = {
    "z": "z",
    "satterthwaite": "Satterthwaite",
    "kenward-roger": "Kenward-Roger",
    "posterior": "posterior",
}
MOST_COLUMNS = 5  # parameters of the table of other priors
OTHERS, RESIDUALS = "Other parameters of the family", "Structure of the residuals"
DDF_NOTE = "df, p and intervals of fixed effects: t by Satterthwaite's method"


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table whose cells are text already.

    ``rows`` are (section, cells); a section starts where its name changes. The first
    column is left-aligned, ``left`` says whether the others are too, ``centred``
    whether they are centred. A cell may have several lines in tables for papers.
    ``alone`` names the columns where each cell stands by itself, on a phone: by default
    as in the header.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    notes: tuple[str, ...] = ()
    left: bool = False
    centred: bool = False
    alone: tuple[str, ...] = ()


def reml_table(reml: "RemlFit", prob: float = 0.95) -> TextTable:
    """Estimates, SEs and Wald intervals of a REML or ML fit, with its criterion."""
    rows, unit = [], _unit(reml)
    for label, r in reml.summary(prob).iterrows():
        cells = row((r["estimate"], r["se"]), r["se"])
        ends = interval(r["lower"], r["upper"], _decimals(r["se"], r["estimate"]))
        test = ("", "", "")
        if r["component"] == "fixef":
            test = (degrees(r["df"]), number(r["t"], 2), p_value(r["p"]))
        rows.append((section_of(label, r, unit), (str(label), *cells, *test, ends)))
    return TextTable(
        title=f"{reml.method}, {unit}",
        header=("", "estimate", "SE", "df", "t", "p", interval_name(prob, "wald")),
        rows=tuple(rows),
        notes=(criterion_line(reml), reml.status.message, DDF_NOTE),
    )


def criterion_line(reml: "RemlFit") -> str:
    """Criterion, log likelihood, AIC and BIC on one line."""
    name = "REML criterion" if reml.method == "REML" else "deviance"
    return (
        f"{name} {reml.criterion:.3f}, log likelihood {reml.loglik:.3f}, AIC "
        f"{reml.aic:.2f}, BIC {reml.bic:.2f}, {reml.npar} parameters"
    )


def posterior_table(
    post: "Posterior",
    prob: float = 0.95,
    kind: Literal["eti", "hdi"] = "eti",
) -> TextTable:
    """Posterior means, medians, SDs, intervals and diagnostics."""
    rows, unit = [], _unit(post)
    for label, r in post.summary(prob=prob, kind=kind).iterrows():
        cells = row((r["mean"], r["median"], r["sd"]), r["sd"])
        ends = interval(r["lower"], r["upper"], _decimals(r["sd"], r["median"]))
        health = (count(r["ess_bulk"]), number(r["rhat"], 3))
        cells = (str(label), *cells, ends, *health)
        rows.append((section_of(label, r, unit), cells))
    missing = missing_notes(post)
    return TextTable(
        title=f"Posterior, {unit}",
        header=("", "mean", "median", "SD", interval_name(prob, kind), "ESS", "R-hat"),
        rows=tuple(rows),
        notes=(f"{post.method}: {post.reason}", post.status.message, *missing),
    )


def comparison_table(table: pd.DataFrame) -> TextTable:
    """What `compare` gives, side by side."""
    method, unit, marked = table.attrs["method"], table.attrs["unit"], False
    rows = []
    for label, r in table.iterrows():
        cells = rounded(r, "reml", "reml_se", "median", "sd")
        difference = number(r["difference_in_se"], 2)
        if r["difference_unit"] == "posterior SD":
            difference, marked = difference + " *", True
        ends = interval(r["lower"], r["upper"], _decimals(row_scale(r), r["median"]))
        section = section_of(label, r, unit)
        rows.append((section, (str(label), *cells, ends, difference)))
    notes = [f"difference: {table.attrs['difference']}, in {method} SEs"]
    if marked:
        notes.append(f"* no {method} SE at the boundary: in posterior SDs")
    header = ("", method, "SE", "median", "SD", table.attrs["interval"], "difference")
    title = f"{method} beside the posterior, {unit}"
    return TextTable(title, header, tuple(rows), tuple(notes))


def tests_table(table: pd.DataFrame) -> TextTable:
    """What `effect_tests` gives: p and degrees of freedom, methods side by side."""
    methods = [name for name in TEST_NAMES if name in table.index.unique("method")]
    rows = []
    for label in table.index.unique("label"):
        cells = []
        for method in methods:
            own = table.loc[(label, method)]
            missing = math.isnan(own["p"])
            text = f"{p_value(own['p'])} ({degrees(own['df'])})"
            cells.append(MISSING if missing else text)
        rows.append(("", (str(label), *cells)))
    notes = ["z takes the variances as known, the others do not: few df, few levels"]
    if "posterior" in methods:
        notes.append(
            "posterior: the t that matches the draws; p is twice the probability of "
            "the other sign"
        )
    header = ("", *(TEST_NAMES[method] for method in methods))
    return TextTable("Fixed effects: p (df)", header, tuple(rows), tuple(notes))


def truth_table(table: pd.DataFrame, truth: dict[str, float]) -> TextTable:
    """True values of simulated data beside both fits."""
    rows = []
    for label, r in table.iterrows():
        cells = row((truth[str(label)], r["reml"], r["median"]), r["sd"])
        ends = interval(r["lower"], r["upper"], _decimals(r["sd"], r["median"]))
        inside = "yes" if r["lower"] <= truth[str(label)] <= r["upper"] else "no"
        section = section_of(label, r, table.attrs["unit"])
        rows.append((section, (str(label), *cells, ends, inside)))
    names = (table.attrs["method"], "median", table.attrs["interval"])
    header = ("", "true", *names, "true inside")
    prob = table.attrs["prob"]
    note = (
        f"a {100 * prob:.3g}% interval misses the true value in "
        f"{100 * (1 - prob):.2g}% of data sets, on average over the prior"
    )
    return TextTable("The values that made these data", header, tuple(rows), (note,))


def priors_table(priors: Priors) -> TextTable:
    """Every prior with its reason."""
    rows = tuple(("", labels) for labels in priors.labels)
    return TextTable(f"Priors: {priors.name}", ("", "prior", "reason"), rows, left=True)


def prior_meanings(priors: Priors) -> TextTable:
    """What each prior says in the units of the data, and the shares they imply."""
    table = priors.meaning()
    rows = tuple(
        ("", (str(label), str(words)))
        for label, words in zip(table.index, table["words"], strict=True)
    )
    return TextTable("What the priors say", ("", "prior mass"), rows, left=True)


def sensitivity_table(table: pd.DataFrame) -> TextTable:
    """Medians and intervals under other priors, a row for each, SDs first."""
    order = {"sd": 0, "corr": 1, "sigma": 2, "fixef": 3}
    known = table.drop_duplicates("parameter").sort_values(
        "component", key=lambda own: own.map(order), kind="stable"
    )
    chosen = [str(label) for label in known["parameter"]][:MOST_COLUMNS]
    rows = []
    for name, own in table.groupby("prior", sort=False):
        numbers = dict(
            zip(
                own["parameter"],
                own[["median", "lower", "upper"]].to_numpy(float).tolist(),
                strict=True,
            )
        )
        rows.append(("", (str(name), *(_under(*numbers[c]) for c in chosen))))
    return TextTable(
        "The same data under other priors: median, 95% equal-tailed interval",
        ("", *chosen),
        tuple(rows),
        notes=tuple(
            f"{name}: {how}."
            for name, how in table.drop_duplicates("prior")[["prior", "how"]].to_numpy()
            if how.startswith("refused")
        ),
    )


def _under(median: float, lower: float, upper: float) -> str:
    """Median and interval of a parameter; a hyphen where there is no posterior."""
    if not math.isfinite(median):
        return MISSING
    places = decimals_for((upper - lower) / 4.0)
    return f"{number(median, places)} {interval(lower, upper, places)}"


def grouping_table(table: pd.DataFrame) -> TextTable:
    """What `describe_table` gives."""
    related = bool(table["relation"].any())
    rows = []
    for group, r in table.iterrows():
        sizes = (count(r[c]) for c in ("levels", "smallest", "median", "largest"))
        relation = (str(r["relation"]),) if related else ()
        rows.append(("", (str(group), *sizes, *relation)))
    header = ("", "levels", "rows each: least", "median", "most")
    return TextTable("Grouping", header + ("relation",) * related, tuple(rows))


def missing_notes(post: "Posterior") -> tuple[str, ...]:
    """What a hyphen in the place of a mean or SD says."""
    if not post.status.missing.sd:
        return ()
    return (
        f"{MISSING}: the posterior has no such mean or SD (few levels and a flat or "
        "heavy-tailed prior); read the median and the interval",
    )


def section_of(label: object, r: pd.Series, unit: str) -> str:
    """Section of a parameter; families other than the Gaussian have no sigma."""
    if r["component"] == "sigma" and label != SIGMA.label:
        return others_section(str(label))
    return COMPONENTS[r["component"]].replace("{unit}", unit)


def others_section(label: str) -> str:
    """Section of a parameter beside sigma: of the residuals, or of a family."""
    return RESIDUALS if label.startswith((RATIO, RHO)) else OTHERS


def _unit(fit: "RemlFit | Posterior") -> str:
    """In which units the numbers of a fit are."""
    return unit_words(fit.model)


def _decimals(scale: float, value: float) -> int:
    """Decimals for the ends of an interval: of its scale, else of the value."""
    return decimals_for(scale if scale == scale and scale > 0.0 else value)
