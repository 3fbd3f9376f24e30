"""Formula + data frame -> `Recipe`: the design, and how it was made.

Takes a parsed formula and a frame; gives y, X, one `GroupTerm` for each bar term, and
the account of the rows. Everything that can be wrong with data is found here, before
any work starts.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bayeslmm.data.origin import notes_of, origin_of
from bayeslmm.design.aliasing import restrict_design
from bayeslmm.design.checks import check_not_swapped, checked_design
from bayeslmm.design.coding import code_columns, encode_rows, make_coding, make_design
from bayeslmm.design.digits import given_numbers
from bayeslmm.design.evaluate import Column, RawRows
from bayeslmm.design.frame import open_frame
from bayeslmm.design.notes import account_rows, mixed_in_memory, naming_causes
from bayeslmm.design.questions import learn_frame
from bayeslmm.design.recipe import Recipe
from bayeslmm.design.response import (
    binomial_trials,
    check_numeric,
    count_response,
    gaussian_response,
)
from bayeslmm.design.series import learn_residual
from bayeslmm.design.span import FixedPart
from bayeslmm.design.traps import text_traps
from bayeslmm.design.typical import typical_values
from bayeslmm.design.used import (
    check_not_renamed,
    complete_rows,
    missing_counts,
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
        The design with its rows, and what `Recipe.encode` needs for new data.

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
    rows = RawRows(used, len(kept), {}, formula.text)
    found = learn_frame(formula, columns, rows)
    check_not_swapped(formula, found.factors, rows.n)
    variables = code_columns(formula, found.factors, rows)
    given = found.levels.given
    y, trials, response_levels = _read_response(
        formula, variables, given, gaussian=gaussian
    )
    mixed = mixed_in_memory(formula, variables, given, columns)
    with naming_causes(mixed, text_traps(formula, variables)):
        coding = make_coding(formula, variables, found)
        account = account_rows(
            coding,
            found.levels,
            rows.n,
            missing_counts(columns),
            mixed,
            n_rows=len(frame),
            origin=origin_of(frame.to_native()),
        )
        design = make_design(coding, account, has_weights=weights is not None)
        own = read_weights(frame, weights, kept)
        encoded = encode_rows(coding, variables, rows, y=y, position=kept, weights=own)
        learnt = learn_residual(coding, variables, rows, encoded.codes)
        if learnt is not None:
            design = replace(design, residual=learnt[0])
            encoded = replace(encoded, residual=learnt[1])
        design, aliasing = checked_design(
            replace(design, rows=encoded),
            FixedPart(coding, tuple(map(str, frame.columns))),
            given_numbers(formula, used),
            frozenset(n for n, c in used.items() if c.values.dtype.kind in "iu"),
            gaussian=gaussian,
        )
    if aliasing is not None:
        coding = replace(coding, aliasing=aliasing)
        kept_rows = replace(encoded, X=encoded.X[:, aliasing.kept])
        design = replace(restrict_design(design, aliasing), rows=kept_rows)
    typical = typical_values(formula, used)
    return Recipe(design, coding, trials, response_levels, typical)


def _read_response(
    formula: Formula,
    variables: Mapping[str, Column],
    given: Mapping[str, tuple[str, ...]],
    *,
    gaussian: bool,
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Response, trials (None unless binomial) and levels of a response factor."""
    label = formula.response.label
    if gaussian and formula.trials is not None:
        raise DataError(
            f"The response counts {label!r} out of {formula.trials.label!r}, which a "
            f"Gaussian model cannot. Use family='binomial'."
        )
    if gaussian:
        check_numeric(label, variables[label], given.get(label))
        return gaussian_response(label, variables[label]), None, ()
    y, levels = count_response(label, variables[label])
    if formula.trials is None:
        return y, None, levels
    trials_label = formula.trials.label
    return y, binomial_trials(trials_label, variables[trials_label], y), levels
