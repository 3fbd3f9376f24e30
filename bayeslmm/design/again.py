"""The rows of a streamed design once more, a batch at a time.

Takes the `Scan` of a source; gives some `Rows` at a time, under the levels that
were fitted, for what is computed row by row after the fit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bayeslmm.design.encode import encode_batch
from bayeslmm.design.recipe import Recipe
from bayeslmm.design.rows import Rows
from bayeslmm.design.scan import Scan
from bayeslmm.design.source import Source
from bayeslmm.errors import DataError


@dataclass(frozen=True, slots=True)
class Rereader:
    """Reads the rows of a streamed model again, in their order, in this thread.

    Attributes
    ----------
    scan : Scan
        What the first pass found.
    source : Source
        Rows.
    """

    scan: Scan
    source: Source

    def read(self, fitted: Recipe) -> Iterator[Rows]:
        """Rows of each batch in turn, at most 65,536 at a time.

        Parameters
        ----------
        fitted : Recipe
            That of the fit, with the levels that some row used has.

        Yields
        ------
        Rows
            With their positions among all; levels are numbered as in `fitted`.

        Raises
        ------
        DataError
            At the end, if these are not as many rows as were fitted.
        """
        scan, n_fitted = replace(self.scan, coding=fitted.coding), fitted.design.n
        text = scan.text_codes()
        n_rows = n_used = 0
        for stream in self.source.open(scan.columns, 1):
            for batch in stream():
                for part in encode_batch(scan, batch, text):
                    if part.rows is not None:
                        n_used += part.rows.n
                        position = n_rows + part.rows.position
                        yield replace(part.rows, position=position)
                    n_rows += part.n_rows
        if (n_rows, n_used) != (scan.n_rows, n_fitted):
            raise DataError(
                f"{n_rows:,} rows of {self.source.name} were read, {n_used:,} of them "
                f"complete; the model was fitted to {scan.n_rows:,}, of which "
                f"{n_fitted:,} were complete. The data changed since: what was given "
                f"so far is not of the data of the fit."
            )
