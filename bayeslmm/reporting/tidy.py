"""All tables of a fit as one: ``tables.csv``, one number in each row, full precision.

Takes the fits; gives a long frame with the columns of `COLUMNS`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bayeslmm.comparison import compare, effect_tests, unit_words
from bayeslmm.design import describe_table

if TYPE_CHECKING:
    from bayeslmm.reporting.fitted import Fitted
    from bayeslmm.spec import ModelSpec

COLUMNS = (
    "table",
    "component",
    "label",
    "group",
    "level",
    "effect",
    "statistic",
    "value",
    "unit",
)
KEYS = COLUMNS[1:6]
# Random effects beyond which their tables are left out: 5,000 are 45,000 lines.
MOST_EFFECTS = 5000
# Statistics that have no unit, whatever the parameter.
UNITLESS = ("df", "t", "p", "ess_bulk", "ess_tail", "rhat", "difference_in_se")


def write_tables(fit: "Fitted", path: Path) -> None:
    """Write the tables of a fit as one CSV file."""
    tidy_table(fit).to_csv(path, index=False, encoding="utf-8")


def tidy_table(fit: "Fitted") -> pd.DataFrame:
    """Every number of every table.

    Parameters
    ----------
    fit : Fit
        Model and fits; either of the fits may be None.

    Returns
    -------
    DataFrame
        Columns ``table`` (reml, posterior, comparison, reml_levels, posterior_levels,
        groups), ``component``, ``label``, ``group``, ``level``, ``effect`` (what the
        number is of, empty where it does not apply), ``statistic``, ``value``,
        ``unit``.
    """
    units = _units(fit.model)
    parts = [_long(name, table, units) for name, table in _tables(fit)]
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def read_tables(path: Path) -> pd.DataFrame:
    """The frame of `tidy_table` from a file, every number as it was."""
    text = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    text["value"] = [float(value or "nan") for value in text["value"]]
    return text


def _tables(fit: "Fitted") -> Iterator[tuple[str, pd.DataFrame]]:
    """The tables by name, what they are of in columns."""
    reml, post = fit.reml, fit.posterior
    n_effects = sum(term.n_levels * term.k for term in fit.model.design.groups)
    if reml is not None:
        yield "reml", reml.summary().reset_index()
        yield "tests", _flat(effect_tests(reml, post))
    if post is not None:
        yield "posterior", post.summary().reset_index()
    if reml is not None and post is not None:
        table = compare(reml, post)[["component", "difference_in_se"]]
        yield "comparison", table.reset_index()
    if 0 < n_effects <= MOST_EFFECTS:
        if reml is not None:
            yield "reml_levels", reml.ranef()
        if post is not None:
            yield "posterior_levels", post.ranef()
    groups = describe_table(fit.model.design)
    sizes = groups[["levels", "smallest", "median", "largest"]]
    yield "groups", sizes.rename_axis("group").reset_index()


def _flat(tests: pd.DataFrame) -> pd.DataFrame:
    """`effect_tests` with a row for each effect, columns ``se (z)``."""
    columns = {
        f"{column} ({method})": own[column].droplevel("method")
        for method, own in tests.groupby("method", sort=False)
        for column in own.columns
    }
    return pd.DataFrame(columns).rename_axis("label").reset_index()


def _long(name: str, table: pd.DataFrame, units: dict[str, str]) -> pd.DataFrame:
    """One line for each number of a table."""
    keys = [key for key in KEYS if key in table.columns]
    long = pd.DataFrame(table).melt(
        id_vars=keys, var_name="statistic", value_name="value", ignore_index=False
    )
    long = long.sort_index(kind="stable")  # the statistics of a row stay together
    of_fixed = long["statistic"].isin(("df", "t", "p"))
    long = long[~(of_fixed & long["value"].isna())]
    long["table"] = name
    for key in KEYS:
        if key not in long.columns:
            long[key] = ""
    of = long["label"].where(long["label"] != "", long["effect"])
    long["unit"] = of.map(units).fillna("")
    words = long["statistic"].str.split(" ", n=1).str[0]
    long.loc[words.isin(UNITLESS), "unit"] = ""
    return long


def _units(model: "ModelSpec") -> dict[str, str]:
    """Unit of each parameter by its label, and of each effect of levels by its name."""
    base = unit_words(model).removeprefix("in units of ")
    found = {"sigma": base}
    for term in model.design.groups:
        for effect in term.effects:
            found[effect] = _per(base, effect)
    for p in model.space.parameters:
        if p.component == "fixef":
            found[p.label] = _per(base, p.label)
        elif p.component == "sd" and p.term is not None:
            effect = model.design.groups[p.term].effects[p.index[0]]
            found[p.label] = _per(base, effect)
    return found


def _per(base: str, effect: str) -> str:
    """Unit of a coefficient."""
    return base if effect == "Intercept" else f"{base} per unit of {effect}"
