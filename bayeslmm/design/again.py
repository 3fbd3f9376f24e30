"""The rows of a streamed design once more, a batch at a time.

Takes the `Scan` of a source; gives some `Rows` at a time, under the levels that
were fitted, for what is computed row by row after the fit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from bayeslmm.design.arrays import Design, GroupTerm
from bayeslmm.design.encode import empty_design, encode_batch
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

    def read(self, fitted: Design) -> Iterator[Rows]:
        """Rows of each batch in turn, at most 65,536 at a time.

        Parameters
        ----------
        fitted : Design
            The streamed design, with the levels that some row used has.

        Yields
        ------
        Rows
            With their positions among all; levels are numbered as in `fitted`.

        Raises
        ------
        DataError
            At the end, if these are not as many rows as were fitted.
        """
        skeleton, text = empty_design(self.scan), self.scan.text_codes()
        ranks = [
            _ranks(of_all, kept)
            for of_all, kept in zip(skeleton.groups, fitted.groups, strict=True)
        ]
        n_rows = n_used = 0
        for stream in self.source.open(self.scan.columns, 1):
            for batch in stream():
                for part in encode_batch(self.scan, batch, text):
                    if part.rows is not None:
                        n_used += part.rows.n
                        yield _renumbered(part.rows, n_rows, ranks)
                    n_rows += part.n_rows
        if (n_rows, n_used) != (self.scan.n_rows, fitted.n):
            raise DataError(
                f"{n_rows:,} rows of {self.source.name} were read, {n_used:,} of them "
                f"complete; the model was fitted to {self.scan.n_rows:,}, of which "
                f"{fitted.n:,} were complete. The data changed since: what was given "
                f"so far is not of the data of the fit."
            )


def _ranks(of_all: GroupTerm, kept: GroupTerm) -> Int[np.ndarray, " _j"] | None:
    """Number of each level among those that are kept; None if all are."""
    if of_all.n_levels == kept.n_levels:
        return None
    at = {level: i for i, level in enumerate(kept.levels)}
    return np.array([at.get(level, -1) for level in of_all.levels], dtype=np.int64)


def _renumbered(
    rows: Rows, start: int, ranks: list[Int[np.ndarray, " _j"] | None]
) -> Rows:
    """Some rows under the levels of the fit, with their positions from `start`."""
    codes = tuple(
        own if rank is None else rank[own]
        for own, rank in zip(rows.codes, ranks, strict=True)
    )
    return replace(rows, codes=codes, position=start + rows.position)
