"""Second pass over batches: rows -> the arrays of a design, a few thousand at a time.

Takes a `Scan` and a batch; gives `EncodedRows`: a `Design` of these rows alone, under
the levels of all. Rows with a missing value are left out and counted, as in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.absent import absent_rows
from bayeslmm.design.account import RowAccount
from bayeslmm.design.arrays import (
    Design,
    FixedVariable,
    GroupTerm,
)
from bayeslmm.design.arrow import TextCodes, finite_weights, read_raw, slices
from bayeslmm.design.digits import Given, given_numbers
from bayeslmm.design.evaluate import Column, Rows, evaluate_atom
from bayeslmm.design.frame import FactorColumn, RawColumn
from bayeslmm.design.matrices import effect_variable, matrix_variables, model_matrix
from bayeslmm.design.products import model_products, multiplied_values
from bayeslmm.design.questions import SLICE, complete
from bayeslmm.design.recipe import sum_offsets
from bayeslmm.design.response import response_column
from bayeslmm.design.rows import check_weights
from bayeslmm.design.scan import Scan
from bayeslmm.design.source import Batch
from bayeslmm.errors import DataError


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """Some rows of a streamed design.

    ``design`` has the rows without missing values, None if there are none; ``kept``
    their positions; ``missing`` counts missing values by column; ``n_rows`` the rows
    given; ``given`` the columns whose digits the design does not show.
    """

    design: Design | None
    kept: Int[np.ndarray, " m"]
    missing: dict[str, int]
    n_rows: int
    given: dict[str, Given]


def encode_batch(
    scan: Scan, skeleton: Design, batch: Batch, text: dict[str, TextCodes]
) -> Iterator[EncodedRows]:
    """The rows of a batch, in runs that fit the cache.

    Parameters
    ----------
    scan : Scan
        What the first pass found.
    skeleton : Design
        What `empty_design` gives: the design without rows.
    batch : Batch
        Rows.
    text : dict
        Codes of text columns, of this thread alone.

    Yields
    ------
    EncodedRows
        Arrays of the rows used.

    Raises
    ------
    DataError
        If a value cannot be used; the message says in which batch.
    """
    for part in slices(batch, scan.kinds, SLICE):
        try:
            yield _encode(scan, skeleton, part, text)
        except DataError as error:
            raise DataError(f"In {batch.where}: {error}") from error


def _encode(
    scan: Scan, skeleton: Design, part: Batch, text: dict[str, TextCodes]
) -> EncodedRows:
    """One run of rows."""
    formula = scan.formula
    raw = {name: read_raw(part, name, scan.kinds[name], text) for name in scan.columns}
    read = {name: raw[name] for name in formula.columns}
    missing = {
        name: int(column.missing.sum())
        for name, column in read.items()
        if column.missing.any()
    }
    kept = complete(list(read.values()), part.n) if missing else np.arange(part.n)
    if not len(kept):
        return EncodedRows(None, kept, missing, part.n, {})
    used = {name: column.take(kept) for name, column in read.items()}
    rows = Rows(used, len(kept), scan.memory, False, formula.text)
    columns = {label: _column(scan, label, rows) for label in scan.variables}
    weights = None
    if scan.weights is not None:
        weights = _weights(raw[scan.weights].take(kept), scan.weights)
    design = Design(
        y=response_column(formula.response.label, columns[formula.response.label]),
        X=model_matrix(formula.fixed, scan.fixed_coding, columns, rows.n),
        fixed=skeleton.fixed,
        groups=_groups(scan, skeleton, columns, rows),
        weights=weights,
        offset=sum_offsets(formula, rows),
        response=skeleton.response,
        account=RowAccount(part.n, len(kept), missing),
        products=skeleton.products,
        multiplied=multiplied_values(skeleton.products, columns, rows.n),
    )
    given = given_numbers(formula, used)
    return EncodedRows(design, kept, missing, part.n, given)


def _column(scan: Scan, label: str, rows: Rows) -> Column:
    """One atom on the rows, a factor under the levels of all."""
    known = scan.variables[label]
    if label in scan.factors and isinstance(known, FactorColumn):
        coder = scan.factors[label]
        return FactorColumn(coder.codes(rows), coder.levels, coder.kind)
    atom = next(atom for atom in scan.formula.atoms if atom.label == label)
    return evaluate_atom(atom, rows)


def _weights(column: RawColumn, name: str) -> Float[np.ndarray, " n"]:
    """Weights of the rows, all of them positive."""
    values = finite_weights(column)
    check_weights(values, f"The weights column {name!r}")
    return values


def _groups(
    scan: Scan, skeleton: Design, columns: dict[str, Column], rows: Rows
) -> tuple[GroupTerm, ...]:
    """The bar terms on the rows; one coding for all terms of a grouping factor."""
    codes = {label: coder.codes(rows) for label, coder in scan.groups.items()}
    found = []
    for bar, coding, term in zip(
        scan.formula.random, scan.effect_codings, skeleton.groups, strict=True
    ):
        Z = model_matrix(bar.predictor, coding, columns, rows.n)
        found.append(
            GroupTerm(
                label=term.label,
                group=term.group,
                effects=term.effects,
                Z=Z,
                codes=codes[term.group],
                levels=term.levels,
                structure=term.structure,
                variables=term.variables,
            )
        )
    return tuple(found)


def empty_design(scan: Scan) -> Design:
    """The design of all rows of a source, without them.

    Parameters
    ----------
    scan : Scan
        What the first pass found.

    Returns
    -------
    Design
        Names, levels and structures; the rows are `AbsentRows`.
    """
    formula, source = scan.formula, scan.source
    fixed = matrix_variables(formula.fixed, scan.fixed_coding, scan.variables)

    absent = partial(absent_rows, source)
    groups = []
    for bar, coding in zip(formula.random, scan.effect_codings, strict=True):
        found = matrix_variables(bar.predictor, coding, scan.variables)
        label = bar.group_label
        groups.append(
            GroupTerm(
                label=bar.label,
                group=label,
                effects=tuple(name for variable in found for name in variable.labels),
                Z=absent(f"the columns of {bar.label}"),
                codes=absent(f"the levels of {label!r} by row"),
                levels=scan.groups[label].levels,
                structure=bar.structure,
                variables=tuple(effect_variable(v, label) for v in found),
            )
        )
    return Design(
        y=absent(f"the response {formula.response.label!r}"),
        X=absent("the fixed-effect columns"),
        fixed=tuple(FixedVariable(v.name, v.columns, v.coords) for v in fixed),
        groups=tuple(groups),
        weights=None if scan.weights is None else absent("the weights"),
        offset=absent("the offset") if formula.offsets else None,
        response=formula.response.label,
        account=RowAccount(scan.n_rows, scan.n_rows),
        products=model_products(
            formula, (scan.fixed_coding, *scan.effect_codings), scan.variables
        ),
    )
