"""The model in bambi's words: its formula, data frame and priors.

Takes a `Model`; gives the text and the columns from which bambi makes the same
variables. Atoms are evaluated already, so every name is a column, in back-quotes: a
formula such as ``y ~ log(x)`` becomes a column called ``log(x)``.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.design.evaluate import Described, NumericColumn
from bayeslmm.design.frame import FactorColumn
from bayeslmm.design.rows import Rows
from bayeslmm.errors import DataError, ModelError
from bayeslmm.families import FAMILIES
from bayeslmm.formula import LinearPredictor
from bayeslmm.graph.names import Foreign, fixed_names, response_name, safe_name
from bayeslmm.priors import Prior
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

TRIALS = "__trials__"
OFFSET = "__offset__"


@dataclass(slots=True)
class BambiWords:
    """Formula and columns of a bambi model, under construction."""

    columns: dict[str, Foreign] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)

    @property
    def right(self) -> str:
        """Right-hand side of the formula."""
        return " + ".join(self.parts)


def bambi_words(model: ModelSpec, *, groups: bool) -> tuple[str, "pd.DataFrame"]:
    """Formula and data frame from which bambi makes the variables of `model`.

    Parameters
    ----------
    model : Model
        Formula, data and priors.
    groups : bool
        Whether to write the bar terms too. The joint graph does not need them, and
        formulae would build an indicator column for every level.

    Returns
    -------
    formula : str
        In formulae's grammar.
    frame : pandas.DataFrame
        One row per row used.
    """
    import pandas as pd

    words, design = BambiWords(), model.design
    left = _write_response(model, words)
    words.parts.append("0" if design.intercept is None else "1")
    _write_fixed(model, words)
    rows = graph_rows(model.design)
    if rows.offset is not None:
        words.columns[OFFSET] = rows.offset
        words.parts.append(f"offset({_quote(OFFSET)})")
    if groups:
        _write_groups(model, words)
    return f"{left} ~ {words.right}", pd.DataFrame(words.columns)


def graph_rows(design: Design) -> Rows:
    """The rows, of which a graph has every one."""
    return rows_of(design, "a graph with every row, and what is sampled from it,")


def check_response(model: ModelSpec) -> None:
    """Raise if the family gives some value of the response no probability."""
    support = FAMILIES[model.family].support
    if support is None:
        return
    y = graph_rows(model.design).y
    n_bad = int(support.outside(y).sum())
    if n_bad:
        raise DataError(
            f"Family {model.family!r} is for {support.words}, but {n_bad} of the "
            f"{len(y)} values of {model.design.response!r} are not (it goes from "
            f"{y.min():.6g} to {y.max():.6g}). Choose another family or transform the "
            f"response."
        )


def _quote(name: str) -> str:
    """A column name in back-quotes."""
    return f"`{safe_name(name)}`"


def _write_response(model: ModelSpec, words: BambiWords) -> str:
    """Left-hand side: the response, or successes and trials."""
    y, trials = graph_rows(model.design).y, model.recipe.trials
    name = response_name(model.design)
    words.columns[name] = y
    if (trials is not None) != FAMILIES[model.family].trials:
        known = ", ".join(f.name for f in FAMILIES.values() if f.trials)
        raise ModelError(
            f"Family {model.family!r} counts successes out of trials: write the "
            "response as cbind(successes, failures) or p(successes, trials)."
            if trials is None
            else f"The response gives a number of trials, which family "
            f"{model.family!r} does not take. Use one of {known}."
        )
    if trials is None:
        return _quote(name)
    words.columns[name] = y.astype(np.int64)
    words.columns[TRIALS] = trials.astype(np.int64)
    return f"p({_quote(name)}, {_quote(TRIALS)})"


def _write_fixed(model: ModelSpec, words: BambiWords) -> None:
    """Fixed variables: products of columns where they are, else columns of X."""
    expressions = _expressions(model, model.formula.fixed, words)
    names = fixed_names(model.design)
    for variable in model.design.fixed:
        if variable.name == "Intercept":
            continue
        name = names[variable.name]
        if variable.name in expressions and name == safe_name(variable.name):
            words.parts.append(expressions[variable.name])
            continue
        if variable.coords and safe_name(variable.name) in words.columns:
            # a factor whose own name another variable needs
            words.columns[name] = words.columns[safe_name(variable.name)]
        else:
            # a column that is no product of factors and numbers: `poly(x, 2)1:a[B]`
            words.columns[name] = graph_rows(model.design).X[:, variable.columns[0]]
        words.parts.append(_quote(name))


def _write_groups(model: ModelSpec, words: BambiWords) -> None:
    """Bar terms, with the grouping factors as columns."""
    rows = graph_rows(model.design)
    bars = zip(model.formula.random, model.design.groups, strict=True)
    for t, (bar, term) in enumerate(bars):
        expressions = _expressions(model, bar.predictor, words)
        effects = ["1" if bar.predictor.intercept else "0"]
        for variable in term.variables:
            if variable.expr == "1":
                continue
            if variable.expr not in expressions:
                column = rows.Z[t][:, variable.effects[0]]
                words.columns[safe_name(variable.expr)] = column
            effects.append(expressions.get(variable.expr, _quote(variable.expr)))
        factor = FactorColumn(rows.codes[t], term.levels)
        words.columns.setdefault(safe_name(term.group), _categorical(factor))
        words.parts.append(f"({' + '.join(effects)} | {_quote(term.group)})")


def _expressions(
    model: ModelSpec, predictor: LinearPredictor, words: BambiWords
) -> dict[str, str]:
    """Formula text of each variable of a predictor; its columns join the frame."""
    columns, found = model.recipe.coding.variables, {}
    for term in predictor.terms:
        names = [_write_column(a.label, columns[a.label], words) for a in term.atoms]
        for product in itertools.product(*names):
            found[":".join(product)] = ":".join(map(_quote, product))
    return found


def _write_column(label: str, column: Described, words: BambiWords) -> tuple[str, ...]:
    """Put the columns of one atom into the frame; their names."""
    if isinstance(column, FactorColumn):
        words.columns[safe_name(label)] = _categorical(column)
        return (label,)
    assert isinstance(column, NumericColumn), "a graph has every row"
    for name, values in zip(column.names, column.values.T, strict=True):
        words.columns[safe_name(name)] = values
    return column.names


def _categorical(factor: FactorColumn) -> "pd.Categorical":
    """An ordered categorical: formulae sorts the levels of any other."""
    import pandas as pd

    levels: Foreign = list(factor.levels)  # the stubs know no list of categories
    return pd.Categorical.from_codes(factor.codes, categories=levels, ordered=True)


# --- priors ---------------------------------------------------------------------------


def bambi_priors(model: ModelSpec, *, groups: bool) -> dict[str, Foreign]:
    """Priors by bambi's names; those of the family that were not given are bambi's."""
    design, priors = model.design, model.priors
    names = fixed_names(design)
    found = {
        names[v.name]: _vector_prior([priors.fixed[c] for c in v.columns])
        for v in design.fixed
    }
    structure = design.residual
    of_residuals = {p.label for p in structure.parameters} if structure else ()
    for name, prior in priors.auxiliary:
        if name in of_residuals:
            continue
        found[name] = prior.to_bambi()
    if "sigma" in FAMILIES[model.family].others:
        found["sigma"] = _on_positive(priors.sigma).to_bambi()
    if groups:
        found |= _effect_priors(model)
    return found


def _effect_priors(model: ModelSpec) -> dict[str, Foreign]:
    """Bambi's nested Normals, which print the prior of each SD."""
    import bambi as bmb

    found = {}
    for term, sds in zip(model.design.groups, model.priors.sd, strict=True):
        for variable in term.variables:
            own = [sds[e if len(sds) == term.k else 0] for e in variable.effects]
            own = [_on_positive(prior) for prior in own]
            inner = _vector_prior(own)
            found[safe_name(variable.name)] = bmb.Prior("Normal", mu=0, sigma=inner)
    return found


def _on_positive(prior: Prior) -> Prior:
    """The prior of an SD, where flat means flat on the positive numbers."""
    return Prior("HalfFlat", (), prior.reason) if prior.is_flat else prior


def _vector_prior(priors: list[Prior]) -> Foreign:
    """One bambi prior for the coefficients of a variable."""
    import bambi as bmb

    names = {prior.name for prior in priors}
    if len(names) > 1:
        raise ModelError(
            f"The coefficients of one variable have priors of different kinds "
            f"({', '.join(sorted(names))}), which bambi cannot express."
        )
    args = {
        argument: np.array([prior.arguments[argument] for prior in priors], float)
        for argument, _ in priors[0].args
    }
    return bmb.Prior(priors[0].name, auto_scale=False, **args)


def label_positions(
    theirs: Iterable[object], ours: tuple[str, ...]
) -> list[int] | None:
    """Where bambi's coordinates of a factor stand among ours; None if they differ."""
    labels = [str(label) for label in theirs]
    if sorted(labels) != sorted(ours):
        return None
    return [ours.index(label) for label in labels]
