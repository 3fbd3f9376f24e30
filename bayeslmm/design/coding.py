"""How the variables of a formula become the columns of its matrices.

Takes a formula and what is known of its variables, with rows or without; gives the
`Coding`, by which the rows of a frame, of a batch and of new data are encoded, and the
`Design` that they are under.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from bayeslmm.design.account import RowAccount
from bayeslmm.design.aliasing import Aliasing, restrict_design
from bayeslmm.design.arrays import Design, FixedVariable, GroupTerm
from bayeslmm.design.centring import Products
from bayeslmm.design.coder import AtomCoder, GroupCoder, coded_column
from bayeslmm.design.evaluate import (
    Column,
    Described,
    Memory,
    NumericColumn,
    RawRows,
    evaluate_atom,
)
from bayeslmm.design.matrices import (
    CodedTerm,
    code_terms,
    effect_variable,
    matrix_variables,
    model_matrix,
)
from bayeslmm.design.products import model_products, multiplied_values
from bayeslmm.design.questions import Found
from bayeslmm.design.rows import Codes, Rows
from bayeslmm.errors import DataError
from bayeslmm.formula import Atom, Formula

Matrix = Float[np.ndarray, "n _k"]


@dataclass(frozen=True, slots=True)
class Coding:
    """Coding of the factors in every term of a formula.

    Attributes
    ----------
    formula : Formula
        The formula.
    variables : mapping
        What is known of its atoms, by label; those of grouping columns need not be
        among them.
    fixed : tuple of CodedTerm
        Coding of the fixed part.
    effects : tuple of tuple of CodedTerm
        Coding of each bar term.
    products : Products
        Which numeric variables are multiplied.
    factors : mapping
        Coder of every atom that is read as a factor, by its label.
    groups : mapping
        Coder of every grouping factor, by its label.
    memory : dict
        What scale(), center() and poly() learnt.
    aliasing : Aliasing or None
        Which columns of X are kept, None if all are.
    """

    formula: Formula
    variables: Mapping[str, Described]
    fixed: tuple[CodedTerm, ...]
    effects: tuple[tuple[CodedTerm, ...], ...]
    products: Products
    factors: Mapping[str, AtomCoder]
    groups: Mapping[str, GroupCoder]
    memory: Memory
    aliasing: Aliasing | None = None


def make_coding(
    formula: Formula, variables: Mapping[str, Described], found: Found
) -> Coding:
    """The coding of a formula; of the variables only names and levels count."""
    fixed = code_terms(formula.fixed, variables)
    effects = tuple(code_terms(bar.predictor, variables) for bar in formula.random)
    products = model_products(formula, (fixed, *effects), variables)
    learnt = found.factors, found.groups, found.memory
    return Coding(formula, variables, fixed, effects, products, *learnt)


def variable_atoms(formula: Formula) -> tuple[Atom, ...]:
    """Every atom but those of grouping columns alone."""
    grouping = {atom for own in formula.groupings for atom in own.group}
    alone = grouping - set(formula.predictor_atoms)
    return tuple(atom for atom in formula.atoms if atom not in alone)


def code_columns(
    formula: Formula, factors: Mapping[str, AtomCoder], rows: RawRows
) -> dict[str, Column]:
    """These atoms on some rows, factors under the levels of all."""
    return {
        atom.label: coded_column(atom, rows, factors)
        for atom in variable_atoms(formula)
    }


def make_design(
    coding: Coding,
    account: RowAccount,
    *,
    source: str = "the data",
    has_weights: bool = False,
) -> Design:
    """The design without rows.

    Parameters
    ----------
    coding : Coding
        Coding of the formula.
    account : RowAccount
        Rows used and dropped.
    source : str
        Where the rows are, for messages.
    has_weights : bool
        Whether they have precision weights.
    """
    formula, variables = coding.formula, coding.variables
    fixed = matrix_variables(formula.fixed, coding.fixed, variables)
    terms = []
    for bar, own in zip(formula.random, coding.effects, strict=True):
        found = matrix_variables(bar.predictor, own, variables)
        terms.append(
            GroupTerm(
                label=bar.label,
                group=bar.group_label,
                effects=tuple(name for variable in found for name in variable.labels),
                levels=coding.groups[bar.group_label].levels,
                structure=bar.structure,
                variables=tuple(effect_variable(v, bar.group_label) for v in found),
            )
        )
    design = Design(
        fixed=tuple(FixedVariable(v.name, v.columns, v.coords, v.cells) for v in fixed),
        groups=tuple(terms),
        response=formula.response.label,
        account=account,
        rows=None,
        products=coding.products,
        source=source,
        has_weights=has_weights,
    )
    if coding.aliasing is None:
        return design
    return restrict_design(design, coding.aliasing)


def encode_predictors(
    coding: Coding,
    columns: Mapping[str, Column],
    rows: RawRows,
    *,
    bars: Sequence[int] | None = None,
    new: bool | Literal["nan"] = False,
) -> tuple[Matrix, tuple[Matrix, ...], Float[np.ndarray, " n"] | None]:
    """X, Z of each bar term, and the offset (None without one) of some rows.

    Parameters
    ----------
    coding : Coding
        Coding of the formula.
    columns : mapping
        Its atoms on these rows, factors under the levels of the coding.
    rows : RawRows
        The rows, for offsets.
    bars : sequence of int, optional
        Positions of the bar terms that are wanted; all by default.
    new : bool or "nan"
        Whether the rows are not those of the fit, so that their means may not be
        estimable: a `DataError`, or rows of NaN.
    """
    X = model_matrix(coding.formula.fixed, coding.fixed, columns, rows.n)
    Z = effect_matrices(coding, columns, rows.n, bars, X)
    if coding.aliasing is not None:
        loose = coding.aliasing.loose(X).any(axis=1) if new == "nan" else None
        if new is True:
            coding.aliasing.check_estimable(X)
        X = X[:, coding.aliasing.kept]
        if loose is not None:
            X[loose] = np.nan
    return X, Z, _sum_offsets(coding.formula, rows)


def effect_matrices(
    coding: Coding,
    columns: Mapping[str, Column],
    n: int,
    bars: Sequence[int] | None = None,
    X: Matrix | None = None,
) -> tuple[Matrix, ...]:
    """Z of the bar terms at these positions (of all by default) of n rows.

    It is X, all columns of the fixed part, where that is given and all of them vary.
    """
    terms, fixed = coding.formula.random, coding.formula.fixed
    known = (fixed.intercept, coding.fixed)
    found = []
    for t in range(len(terms)) if bars is None else bars:
        predictor, own = terms[t].predictor, coding.effects[t]
        if X is not None and (predictor.intercept, own) == known:
            found.append(X)
        else:
            found.append(model_matrix(predictor, own, columns, n))
    return tuple(found)


def _sum_offsets(formula: Formula, rows: RawRows) -> Float[np.ndarray, " n"] | None:
    """The known part of the mean, None without one; units of y."""
    if not formula.offsets:
        return None
    total = np.zeros(rows.n)
    for atom in formula.offsets:
        column = evaluate_atom(atom, rows)
        if not isinstance(column, NumericColumn) or column.values.shape[1] != 1:
            raise DataError(
                f"offset({atom.label}) is not one column of numbers. An offset is "
                f"added to the mean as it stands."
            )
        total += column.values[:, 0]
    return total


def encode_rows(
    coding: Coding,
    columns: Mapping[str, Column],
    rows: RawRows,
    *,
    y: Float[np.ndarray, " n"],
    position: Codes,
    weights: Float[np.ndarray, " n"] | None,
) -> Rows:
    """Rows of a frame or of a batch.

    Parameters
    ----------
    coding : Coding
        What was learnt of all rows.
    columns : mapping
        What `code_columns` gives for these rows.
    rows : RawRows
        The rows.
    y : ndarray, shape (n,)
        Response.
    position : ndarray of int, shape (n,)
        Their places in the data.
    weights : ndarray, shape (n,), or None
        Precision weights.
    """
    X, Z, offset = encode_predictors(coding, columns, rows)
    codes = {label: coder.codes(rows) for label, coder in coding.groups.items()}
    return Rows(
        y=y,
        X=X,
        Z=Z,
        codes=tuple(codes[bar.group_label] for bar in coding.formula.random),
        position=position,
        weights=weights,
        offset=offset,
        multiplied=multiplied_values(coding.products, columns, rows.n),
    )
