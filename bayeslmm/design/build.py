"""Formula + data frame -> `Recipe`: the design, and how it was made.

Takes a parsed formula and a frame; gives y, X, one `GroupTerm` for each bar term, and
the account of the rows. Everything that can be wrong with data is found here, before
any work starts.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bayeslmm.data.origin import notes_of, origin_of
from bayeslmm.design.arrays import Design
from bayeslmm.design.checks import check_design, check_not_swapped
from bayeslmm.design.coding import encode_rows, make_coding, make_design
from bayeslmm.design.digits import account_digits, given_numbers
from bayeslmm.design.evaluate import Column, RawRows, evaluate_atom
from bayeslmm.design.frame import open_frame, to_factor
from bayeslmm.design.groups import GroupIndex, learn_groups
from bayeslmm.design.notes import mixed_in_memory, naming_causes
from bayeslmm.design.recipe import Recipe
from bayeslmm.design.response import (
    binomial_trials,
    check_numeric,
    count_response,
    gaussian_response,
)
from bayeslmm.design.rows import Codes
from bayeslmm.design.span import FixedPart
from bayeslmm.design.traps import alike_levels, find_traps, text_traps
from bayeslmm.design.used import (
    Columns,
    account_rows,
    check_not_renamed,
    complete_rows,
    read_columns,
    read_weights,
)
from bayeslmm.errors import DataError
from bayeslmm.formula import Formula


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
    rows = RawRows(used, len(kept), {}, True, formula.text)
    variables = _evaluate_variables(formula, rows)
    y, trials, response_levels = _read_response(
        formula, variables, columns, gaussian=gaussian
    )
    mixed = mixed_in_memory(formula, variables, columns)
    with naming_causes(mixed, text_traps(formula, variables)):
        coding = make_coding(formula, variables)
        learnt = {bar.group_label: bar for bar in formula.random}
        groups = {label: learn_groups(bar, rows) for label, bar in learnt.items()}
        account = replace(
            account_rows(columns, formula, kept),
            mixed=mixed,
            traps=_traps(formula, variables, groups),
            origin=origin_of(frame.to_native()),
        )
        levels = [groups[bar.group_label][0].levels for bar in formula.random]
        has_weights = weights is not None
        design = make_design(coding, levels, account, has_weights=has_weights)
        given = encode_rows(
            coding,
            variables,
            rows,
            y=y,
            codes={label: codes for label, (_, codes) in groups.items()},
            position=kept,
            weights=read_weights(frame, weights, kept),
        )
        part = FixedPart(coding, tuple(map(str, frame.columns)))
        design = replace(design, rows=given)
        design = _checked(design, part, used, gaussian=gaussian)
    return Recipe(
        design=design,
        coding=coding,
        groups={label: index for label, (index, _) in groups.items()},
        memory=rows.memory,
        trials=trials,
        response_levels=response_levels,
    )


def _checked(
    design: Design, part: FixedPart, used: Columns, *, gaussian: bool
) -> Design:
    """The design with an account of lost digits; raises if it can carry no model."""
    integers = frozenset(n for n, c in used.items() if c.values.dtype.kind in "iu")
    design = account_digits(design, given_numbers(part.formula, used), integers)
    check_design(design, part, gaussian=gaussian)
    return design


def _traps(
    formula: Formula,
    variables: dict[str, Column],
    groups: Mapping[str, tuple[GroupIndex, Codes]],
) -> tuple[str, ...]:
    """Sentences on columns, and on levels of groups, that may be meant otherwise."""
    found = list(find_traps(formula, variables))
    for name, (index, _) in groups.items():
        if ":" not in name and name not in variables:
            found += alike_levels(name, index.levels)
    return tuple(found)


def _evaluate_variables(formula: Formula, rows: RawRows) -> dict[str, Column]:
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
