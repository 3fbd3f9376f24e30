"""Second pass over batches: rows -> the arrays of a design, a few thousand at a time.

Takes a `Scan` and a batch; gives `EncodedRows`: the `Rows` of the batch, under the
levels of all. Rows with a missing value are left out and counted, as in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bayeslmm.design.arrow import TextCodes, read_raw, slices
from bayeslmm.design.coding import code_columns, encode_rows
from bayeslmm.design.digits import Given, given_numbers
from bayeslmm.design.evaluate import RawRows
from bayeslmm.design.questions import SLICE
from bayeslmm.design.response import response_column
from bayeslmm.design.rows import Rows
from bayeslmm.design.scan import Scan
from bayeslmm.design.source import Batch
from bayeslmm.design.used import (
    check_weights,
    column_weights,
    complete,
    missing_counts,
)
from bayeslmm.errors import DataError


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """Some rows of a streamed design.

    ``rows`` are those without missing values, None if there are none; ``missing``
    counts missing values by column; ``n_rows`` the rows given; ``given`` the columns
    whose digits the rows do not show.
    """

    rows: Rows | None
    missing: dict[str, int]
    n_rows: int
    given: dict[str, Given]


def encode_batch(
    scan: Scan, batch: Batch, text: dict[str, TextCodes]
) -> Iterator[EncodedRows]:
    """The rows of a batch, in runs that fit the cache.

    Parameters
    ----------
    scan : Scan
        What the first pass found.
    batch : Batch
        Rows.
    text : dict
        Codes of text columns, of this thread alone.

    Yields
    ------
    EncodedRows
        Arrays of the rows used; positions are those in the run.

    Raises
    ------
    DataError
        If a value cannot be used; the message says in which batch.
    """
    for part in slices(batch, scan.kinds, SLICE):
        try:
            yield _encode(scan, part, text)
        except DataError as error:
            raise DataError(f"In {batch.where}: {error}") from error


def _encode(scan: Scan, part: Batch, text: dict[str, TextCodes]) -> EncodedRows:
    """One run of rows."""
    formula = scan.formula
    raw = {name: read_raw(part, name, scan.kinds[name], text) for name in scan.columns}
    read = {name: raw[name] for name in formula.columns}
    missing = missing_counts(read)
    kept = complete(list(read.values()), part.n) if missing else np.arange(part.n)
    if not len(kept):
        return EncodedRows(None, missing, part.n, {})
    used = {name: column.take(kept) for name, column in read.items()}
    rows = RawRows(used, len(kept), scan.coding.memory, formula.text)
    columns = code_columns(formula, scan.coding.factors, rows)
    weights = None
    if scan.weights is not None:
        weights = column_weights(raw[scan.weights].take(kept))
        check_weights(weights, f"The weights column {scan.weights!r}")
    encoded = encode_rows(
        scan.coding,
        columns,
        rows,
        y=response_column(formula.response.label, columns[formula.response.label]),
        position=kept,
        weights=weights,
    )
    return EncodedRows(encoded, missing, part.n, given_numbers(formula, used))
