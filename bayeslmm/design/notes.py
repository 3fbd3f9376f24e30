"""What became of the data otherwise than a reader may think, in one warning.

Takes the account of the rows and the factors among the predictors; gives columns that
are text because of a few cells, and the sentence that names what was lost.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from bayeslmm.data.numbers import number_in
from bayeslmm.data.origin import Origin
from bayeslmm.design.account import CoarseColumn, MixedColumn, RowAccount
from bayeslmm.design.coding import Coding
from bayeslmm.design.evaluate import Described
from bayeslmm.design.frame import AnyFactor, RawColumn
from bayeslmm.design.questions import Levels
from bayeslmm.design.traps import find_traps
from bayeslmm.errors import DataError, DataWarning, listed, warn_user
from bayeslmm.formula import Formula, Name


def account_rows(
    coding: Coding,
    levels: Levels,
    n_used: int,
    missing: Mapping[str, int],
    mixed: dict[str, MixedColumn],
    *,
    n_rows: int,
    origin: Origin | None,
) -> RowAccount:
    """What became of the rows of a frame or of batches.

    Parameters
    ----------
    coding : Coding
        What was learnt of all rows; its grouping factors have the levels that some row
        used has.
    levels : Levels
        Levels of the columns.
    n_used : int
        Rows used.
    missing : mapping
        Missing values by column.
    mixed : dict
        What `mixed_columns` gives.
    n_rows : int
        Rows given.
    origin : Origin or None
        The file, if they came from one.
    """
    given = {name: set(found) for name, found in levels.given.items()}
    unused = {
        name: tuple(level for level in found if level not in given[name])
        for name, found in levels.text.items()
    }
    return RowAccount(
        n_rows,
        n_used,
        {name: n for name, n in missing.items() if n},
        _levels_lost(coding, levels) if n_used < n_rows else {},
        {name: found for name, found in unused.items() if found},
        mixed,
        traps=find_traps(coding),
        origin=origin,
    )


def _levels_lost(coding: Coding, levels: Levels) -> dict[str, tuple[str, ...]]:
    """Levels of text and grouping columns that some row has, and no row used."""
    left = dict(levels.used)
    for coder in coding.groups.values():
        left.update(coder.used_levels())
    lost = {
        name: tuple(level for level in levels.given[name] if level not in left[name])
        for name in coding.formula.columns
        if name in left
    }
    return {name: found for name, found in lost.items() if found}


def mixed_columns(
    formula: Formula,
    variables: Mapping[str, Described],
    given: Mapping[str, tuple[str, ...]],
) -> dict[str, MixedColumn]:
    """Text columns among the predictors most of whose values are numbers.

    A single "." among numbers makes a whole column text, and text is a factor, even if
    its row is not used: `given` are the values in any row. A column that is meant as a
    factor is written factor(x), and is not among these.
    """
    found = {}
    for atom in formula.predictor_atoms:
        column = variables.get(atom.label)
        if not isinstance(atom.node, Name):
            continue
        if isinstance(column, AnyFactor) and column.kind == "text":
            mixed = mixed_column(given.get(atom.node.name, column.levels))
            if mixed is not None:
                found[atom.label] = replace(mixed, n_levels=len(column.levels))
    return found


def mixed_in_memory(
    formula: Formula,
    variables: Mapping[str, Described],
    given: Mapping[str, tuple[str, ...]],
    columns: Mapping[str, RawColumn],
) -> dict[str, MixedColumn]:
    """The same with the cells of columns of all rows: how many, and the first row."""
    found = {}
    for name, mixed in mixed_columns(formula, variables, given).items():
        text = columns[name]
        codes = [text.levels.index(other) for other in mixed.others]
        rows = np.flatnonzero(np.isin(text.values, codes))
        n_cells = int((~text.missing).sum())
        found[name] = replace(
            mixed, n_cells=n_cells, n_others=len(rows), row=int(rows[0]) + 1
        )
    return found


def mixed_column(levels: tuple[str, ...]) -> MixedColumn | None:
    """The values of a text column that are no numbers, if most of them are numbers."""
    others = tuple(level for level in levels if number_in(level) is None)
    n, n_numbers = len(levels), len(levels) - len(others)
    return MixedColumn(n_numbers, others, n) if 0 < len(others) < n_numbers else None


@contextmanager
def naming_causes(
    mixed: Mapping[str, MixedColumn], texts: Mapping[str, str]
) -> Iterator[None]:
    """Let an error say which columns are factors only because they are text.

    A few cells may have made them that, or they are dates or numbers as text: `texts`
    are sentences by column, which count for an error that names the column.
    """
    try:
        yield
    except DataError as error:
        said = [*map(mixed_sentence, mixed.items())]
        said += [f"{texts[name]}." for name in texts if name in str(error)]
        if not said:
            raise
        causes = " ".join(said)
        between = "\n" if "\n" in str(error) else " "
        raise DataError(f"{error}{between}The likely cause: {causes}") from error


def warn_of_data(account: RowAccount) -> None:
    """One warning for lost levels, mixed columns, lost digits, dropped columns.

    Parameters
    ----------
    account : RowAccount
        What became of the rows.

    Warns
    -----
    DataWarning
        If there is something to say; columns, counts, and what to do.
    """
    said = [*_lost(account), *map(mixed_sentence, account.mixed.items())]
    said += map(coarse_sentence, account.coarse.items())
    said += [f"{trap[0].upper()}{trap[1:]}." for trap in account.traps]
    if account.aliased:
        said += [account.dependence, account.advice]
    if said:
        warn_user(" ".join(said), DataWarning)


def _lost(account: RowAccount) -> list[str]:
    """Sentence on levels of which no row is left."""
    if not account.groups_lost:
        return []
    missing = ", ".join(f"{name!r} ({n:,})" for name, n in account.missing.items())
    lost = "; ".join(
        f"{len(levels):,} of {name!r} ({listed(levels, 3)})"
        for name, levels in account.groups_lost.items()
    )
    return [
        f"{account.n_dropped:,} of {account.n_rows:,} rows have a missing value, in "
        f"{missing}, and were left out; with them went every row of some levels: "
        f"{lost}. Nothing is estimated for these. Fill the values in, or leave their "
        f"columns out of the formula, to keep them."
    ]


def mixed_sentence(entry: tuple[str, MixedColumn]) -> str:
    """Sentence on a column that a few cells made text."""
    name, mixed = entry
    n = mixed.n_numbers + len(mixed.others)
    counts = f"{mixed.n_numbers} of the {n} different values of {name!r} are numbers"
    if mixed.n_cells:
        n_numbers = mixed.n_cells - mixed.n_others
        counts = f"{n_numbers:,} of {mixed.n_cells:,} values of {name!r} are numbers"
    where = "" if mixed.row is None else f" (first in row {mixed.row:,} of the data)"
    unused = (
        " Cells of rows that are left out for a missing value count too."
        if mixed.n_levels < n
        else ""
    )
    return (
        f"{counts}, not so {listed(mixed.others, 3)}{where}, so it is text and enters "
        f"as a factor with {mixed.n_levels} levels.{unused} If it is a number, read "
        f"the file with lmm.read(path, na={', '.join(mixed.others[:3])!r}) or use "
        f"pandas.to_numeric(x, errors='coerce'); if it is a factor, write "
        f"factor({name})."
    )


def coarse_sentence(entry: tuple[str, CoarseColumn]) -> str:
    """Sentence on a column that has lost digits to being far from zero."""
    name, column = entry
    share = column.step / max(column.sd, 1e-300)
    return (
        f"{column.words(name)}, {share:.1g} SD: its rows were "
        f"rounded to that before anything was fitted. If these digits matter, "
        f"subtract a constant from {name!r} where it is still exact, before it is "
        f"stored."
    )
