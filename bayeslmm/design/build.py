"""Formula + data frame -> `Recipe`: the design, and how it was made.

Takes a parsed formula and a frame; gives y, X, one `GroupTerm` for each bar term, and
the account of the rows. Everything that can be wrong with data is found here, before
any work starts.
"""

from dataclasses import replace

import numpy as np

from bayeslmm.data.origin import notes_of, origin_of
from bayeslmm.design.arrays import Design, FixedVariable, GroupTerm
from bayeslmm.design.checks import check_design, check_not_swapped
from bayeslmm.design.digits import account_digits, given_numbers
from bayeslmm.design.evaluate import Column, Rows, evaluate_atom
from bayeslmm.design.frame import FactorColumn, open_frame, to_factor
from bayeslmm.design.groups import GroupIndex, learn_groups
from bayeslmm.design.matrices import (
    CodedTerm,
    code_terms,
    effect_variable,
    matrix_variables,
    model_matrix,
)
from bayeslmm.design.notes import mixed_in_memory, naming_causes
from bayeslmm.design.products import model_products, multiplied_values
from bayeslmm.design.recipe import ModelFrame, Recipe, sum_offsets
from bayeslmm.design.response import (
    binomial_trials,
    check_numeric,
    count_response,
    gaussian_response,
)
from bayeslmm.design.rows import (
    Columns,
    account_rows,
    check_not_renamed,
    complete_rows,
    read_columns,
    read_weights,
)
from bayeslmm.design.span import FixedPart
from bayeslmm.design.traps import alike_levels, find_traps, text_traps
from bayeslmm.errors import DataError
from bayeslmm.formula import Formula, RandomTerm


def build_design(
    formula: Formula, data: object, *, weights: object = None, gaussian: bool = True
) -> Recipe:
    """Arrays of a mixed model from a formula and a data frame.

    Rows with a missing value in a column that the formula reads are left out;
    ``design.account`` counts them.

    Parameters
    ----------
    formula : Formula
        What `bayeslmm.formula.parse_formula` gives.
    data : DataFrame
        pandas, polars or Arrow frame.
    weights : str or array_like, shape (n_rows,), optional
        Precision weights as in lme4, or the column that holds them.
    gaussian : bool
        Whether the response is continuous with a residual variance; if not, it may be
        counts, flags, or a factor with two levels.

    Returns
    -------
    Recipe
        ``design``, ``frame`` and what `Recipe.encode` needs for new data.

    Raises
    ------
    DataError
        If the data cannot be used: the message names columns and counts.
    FormulaError
        If the formula names a column that is not there, or has ``(g | x)`` swapped.
    """
    frame = open_frame(data)
    check_not_renamed(frame, formula.columns)
    columns = read_columns(frame, formula, formula.columns)
    kept = complete_rows(columns, formula, noted=notes_of(frame.to_native()))
    used = {name: column.take(kept) for name, column in columns.items()}
    check_not_swapped(formula, used)
    rows = Rows(used, len(kept), {}, True, formula.text)
    variables = _evaluate_variables(formula, rows)
    y, trials, response_levels = _read_response(
        formula, variables, columns, gaussian=gaussian
    )
    mixed = mixed_in_memory(formula, variables, columns)
    fixed_coding = code_terms(formula.fixed, variables)
    with naming_causes(mixed, text_traps(formula, variables)):
        fixed = matrix_variables(formula.fixed, fixed_coding, variables)
        learnt = [_learn_term(bar, variables, rows) for bar in formula.random]
        products = model_products(
            formula, (fixed_coding, *(coding for _, _, coding in learnt)), variables
        )
        design = Design(
            y=y,
            X=model_matrix(formula.fixed, fixed_coding, variables, rows.n),
            fixed=tuple(FixedVariable(v.name, v.columns, v.coords) for v in fixed),
            groups=tuple(term for term, _, _ in learnt),
            weights=read_weights(frame, weights, kept),
            offset=sum_offsets(formula, rows),
            response=formula.response.label,
            account=replace(
                account_rows(columns, formula, kept),
                mixed=mixed,
                traps=_traps(formula, variables, learnt),
                origin=origin_of(frame.to_native()),
            ),
            products=products,
            multiplied=multiplied_values(products, variables, rows.n),
        )
        names = tuple(map(str, frame.columns))
        part = FixedPart(formula, variables, fixed_coding, names)
        design = _checked(design, part, used, gaussian=gaussian)
    return Recipe(
        formula=formula,
        design=design,
        frame=ModelFrame(rows.n, variables, _groups(design)),
        kept=kept,
        trials=trials,
        response_levels=response_levels,
        fixed_coding=fixed_coding,
        effect_codings=tuple(coding for _, _, coding in learnt),
        group_indices=tuple(index for _, index, _ in learnt),
        memory=rows.memory,
    )


def _checked(
    design: Design, part: FixedPart, used: Columns, *, gaussian: bool
) -> Design:
    """The design with an account of lost digits; raises if it can carry no model."""
    integers = frozenset(n for n, c in used.items() if c.values.dtype.kind in "iu")
    design = account_digits(design, given_numbers(part.formula, used), integers)
    check_design(design, part, gaussian=gaussian)
    return design


def _groups(design: Design) -> dict[str, FactorColumn]:
    """The grouping factors by name."""
    return {term.group: FactorColumn(term.codes, term.levels) for term in design.groups}


def _traps(
    formula: Formula,
    variables: dict[str, Column],
    learnt: list[tuple[GroupTerm, GroupIndex, tuple[CodedTerm, ...]]],
) -> tuple[str, ...]:
    """Sentences on columns, and on levels of groups, that may be meant otherwise."""
    groups = {term.group: term.levels for term, _, _ in learnt if ":" not in term.group}
    found = list(find_traps(formula, variables))
    for name, levels in groups.items():
        if name not in variables:
            found += alike_levels(name, levels)
    return tuple(found)


def _evaluate_variables(formula: Formula, rows: Rows) -> dict[str, Column]:
    """Every atom but the grouping columns, by its label."""
    atoms = [formula.response, *([formula.trials] if formula.trials else [])]
    atoms += [*formula.predictor_atoms, *formula.offsets]
    return {atom.label: evaluate_atom(atom, rows) for atom in dict.fromkeys(atoms)}


def _read_response(
    formula: Formula, variables: dict[str, Column], columns: Columns, *, gaussian: bool
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Response, trials (None unless binomial) and levels of a response factor."""
    label = formula.response.label
    if gaussian and formula.trials is not None:
        raise DataError(
            f"The response counts {label!r} out of {formula.trials.label!r}, which a "
            f"Gaussian model cannot. Use family='binomial'."
        )
    if gaussian:
        given = columns.get(label)
        if given is not None and given.kind == "text":
            check_numeric(label, variables[label], to_factor(given).levels)
        return gaussian_response(label, variables[label]), None, ()
    y, levels = count_response(label, variables[label])
    if formula.trials is None:
        return y, None, levels
    trials_label = formula.trials.label
    return y, binomial_trials(trials_label, variables[trials_label], y), levels


def _learn_term(
    bar: RandomTerm, variables: dict[str, Column], rows: Rows
) -> tuple[GroupTerm, GroupIndex, tuple[CodedTerm, ...]]:
    """One bar term: its arrays, how rows find their level, how factors are coded."""
    index, factor = learn_groups(bar, rows)
    coding = code_terms(bar.predictor, variables)
    found = matrix_variables(bar.predictor, coding, variables)
    term = GroupTerm(
        label=bar.label,
        group=bar.group_label,
        effects=tuple(label for variable in found for label in variable.labels),
        Z=model_matrix(bar.predictor, coding, variables, rows.n),
        codes=factor.codes,
        levels=factor.levels,
        structure=bar.structure,
        variables=tuple(effect_variable(v, bar.group_label) for v in found),
    )
    return term, index, coding
