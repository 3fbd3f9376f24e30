"""One predictor taken apart: its slope within levels, and that between their means.

Mundlak's model: the predictor less the mean of its level, and that mean, side by side.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm.comparison.followed import Followed, follow
from bayeslmm.comparison.regressions import CONSTANT, varies_within
from bayeslmm.design.arrays import GroupTerm, rows_of
from bayeslmm.errors import ModelError, check_fraction
from bayeslmm.reml.estimate import fit_reml
from bayeslmm.spec import ModelSpec
from bayeslmm.tables import Table
from bayeslmm.tables.numbers import degrees, p_value, significant

if TYPE_CHECKING:
    from bayeslmm.reml.ddf import Ddf

LEVEL = 0.05
# Columns of the model in two parts; what needs no column of its own in a bar term.
TAKEN = ("y", "within", "between")
NAMED = ("Intercept", "within")


def within_between(
    formula: str,
    data: object,
    *,
    predictor: str | None = None,
    weights: object = None,
    ddf: "Ddf" = "satterthwaite",
    prob: float = 0.95,
) -> pd.DataFrame:
    """The slope of a predictor within levels, and between the means of levels.

    Use it where a mixed model and a regression of means disagree: a random intercept
    takes both slopes as one, and weighs the one within by the rows it has.

    Parameters
    ----------
    formula : str
        With one grouping factor: ``"score ~ edu + (1 | classroom)"``. Other fixed
        effects are held; effects of the predictor that vary by level are of its part
        within levels.
    data : DataFrame
        Rows in memory.
    predictor : str, optional
        The numeric predictor; by default the first whose effect varies, else the first
        fixed one.
    weights : str or array, optional
        Precision weights, as for `Model`.
    ddf : {"satterthwaite", "kenward-roger", "z", "residual"}
        Degrees of freedom, as for `RemlFit.summary`.
    prob : float, default 0.95
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        Index ``slope``: ``within``, ``between``, ``difference`` (between less within,
        the contextual effect); columns ``estimate``, ``se``, ``df``, ``t``, ``p``,
        ``lower``, ``upper``, units of y per unit of the predictor. A note says whether
        the two differ.

    Raises
    ------
    ModelError
        If there are several grouping factors, the predictor is no number, does not vary
        within any level, or has the same mean in all.
    DataError
        If the rows are not in memory.

    References
    ----------
    .. [1] Mundlak (1978). Econometrica 46(1). https://doi.org/10.2307/1913646
    .. [2] Bell and Jones (2015). Political Sci. Res. Methods 3(1).
       https://doi.org/10.1017/psrm.2014.7

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.load_data("score_parentedu_byclass")
    >>> table = lmm.within_between("score ~ edu + (1 | classroom)", pupils)
    >>> table.loc[["within", "between"], "estimate"].round(4).tolist()
    [0.1307, 6.0734]
    """
    check_fraction(prob, "prob")
    given = ModelSpec(formula, data, weights=weights)
    own = follow(given, predictor)
    name, block = own.name, own.block
    fit = fit_reml(_apart(given, own))
    rows = {
        "within": fit.contrast("within", ddf=ddf, prob=prob),
        "between": fit.contrast("between", ddf=ddf, prob=prob),
        "difference": fit.contrast("between - within", ddf=ddf, prob=prob),
    }
    table = pd.concat([one.iloc[[0]] for one in rows.values()])
    table.index = pd.Index(rows, name="slope")
    table = Table(table)
    table.attrs["notes"] = [_words(table, name, block.group)]
    return table


def _apart(given: ModelSpec, own: Followed) -> ModelSpec:
    """The model with the predictor in two parts, the first in its place by level."""
    design, name, block = given.design, own.name, own.block
    rows, at = rows_of(design, "slopes within levels"), own.rows.at
    codes, x = own.rows.codes, own.x
    if design.intercept is not None:
        x = x - x.mean()  # keeps digits; the intercept takes it up
    mean = np.bincount(codes, x) / np.bincount(codes)
    parts = {"within": x - mean[codes], "between": mean[codes]}
    _check_parts(parts, name, block.group, varies_within(codes, x))
    held = {
        _column(label): column
        for i, (label, column) in enumerate(
            zip(design.fixed_names, rows.X.T, strict=True)
        )
        if i not in (at, design.intercept)
    }
    kept = list(held)
    effects = [
        ["within" if one == name else _column(one) for one in term.effects]
        for term in design.groups
    ]
    for names, Z in zip(effects, rows.Z, strict=True):
        held |= {one: Z[:, k] for k, one in enumerate(names) if one not in NAMED}
    group = _column(block.group)
    group = f"level of {group}" if group in held else group
    bars = [_bar(*both, group) for both in zip(design.groups, effects, strict=True)]
    level = {group: np.array(block.levels)[codes]}
    frame = pd.DataFrame({"y": rows.net, **parts, **held, **level})
    start = "1" if design.intercept is not None else "0"
    fixed = [*parts, *(_quoted(one) for one in kept)]
    formula = f"y ~ {' + '.join([start, *fixed, *bars])}"
    return ModelSpec(formula, frame, weights=rows.weights)


def _bar(term: GroupTerm, effects: list[str], group: str) -> str:
    """A bar term of plain columns."""
    columns = [_quoted(one) for one in effects if one != "Intercept"]
    start = "1" if "Intercept" in effects else "0"
    word = "" if term.structure == "us" else term.structure
    return f"{word}({' + '.join([start, *columns])} | {_quoted(group)})"


def _column(label: str) -> str:
    """A name for a column, which the parts of the predictor do not have."""
    return f"{label} of the data" if label in TAKEN else label


def _quoted(name: str) -> str:
    """A column in a formula, whatever its name."""
    return f"`{name}`"


def _check_parts(
    parts: dict[str, np.ndarray], name: str, group: str, varies: bool
) -> None:
    """Raise unless the predictor varies within levels and between them."""
    total = float(np.std(sum(parts.values())))
    if not varies:
        raise ModelError(
            f"{name} is the same for all rows of each level of {group}: its slope is "
            f"one between levels, and there is none within."
        )
    if np.std(parts["between"]) <= CONSTANT * total:
        raise ModelError(
            f"{name} has the same mean in every level of {group}: its slope is one "
            f"within levels, and there is none between."
        )


def _words(table: pd.DataFrame, name: str, group: str) -> str:
    """Whether the two slopes differ."""
    within, between = table["estimate"][["within", "between"]]
    p, df = table.loc[["difference"], ["p", "df"]].to_numpy()[0].tolist()
    verb = "differ" if p < LEVEL else "cannot be told apart"
    return (
        f"The slope of {name} is {significant(within)} within levels of {group} and "
        f"{significant(between)} between their means; the two {verb} (p {p_value(p)} "
        f"on {degrees(df)} degrees of freedom)."
    )
