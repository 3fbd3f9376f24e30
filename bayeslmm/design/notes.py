"""What became of the data otherwise than a reader may think, in one warning.

Takes the account of the rows and the factors among the predictors; gives columns that
are text because of a few cells, and the sentence that names what was lost.
"""

from collections.abc import Mapping

from bayeslmm.data.numbers import number_in
from bayeslmm.design.account import MixedColumn, RowAccount
from bayeslmm.design.evaluate import Column
from bayeslmm.design.frame import FactorColumn
from bayeslmm.errors import DataWarning, listed, warn_user
from bayeslmm.formula import Formula, Name


def mixed_columns(
    formula: Formula, variables: Mapping[str, Column]
) -> dict[str, MixedColumn]:
    """Text columns among the predictors most of whose values are numbers.

    A single "." among numbers makes a whole column text, and text is a factor. One that
    is meant as a factor is written factor(x), and is not among these.
    """
    predictors = [formula.fixed, *(bar.predictor for bar in formula.random)]
    atoms = {atom for p in predictors for term in p.terms for atom in term.atoms}
    found = {}
    for atom in formula.atoms:
        column = variables.get(atom.label)
        if atom not in atoms or not isinstance(atom.node, Name):
            continue
        if isinstance(column, FactorColumn) and column.kind == "text":
            mixed = mixed_column(column.levels)
            if mixed is not None:
                found[atom.label] = mixed
    return found


def mixed_column(levels: tuple[str, ...]) -> MixedColumn | None:
    """The values of a text column that are no numbers, if most of them are numbers."""
    others = tuple(level for level in levels if number_in(level) is None)
    n_numbers = len(levels) - len(others)
    return MixedColumn(n_numbers, others) if 0 < len(others) < n_numbers else None


def warn_of_data(account: RowAccount) -> None:
    """One warning for levels that went with missing values, and for mixed columns.

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
    said += [f"{trap[0].upper()}{trap[1:]}." for trap in account.traps]
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
    return (
        f"{name!r} is text and enters as a factor with {n} levels, though "
        f"{mixed.n_numbers} of its {n} different values are numbers; not so "
        f"{listed(mixed.others, 3)}. If it is a number, make these missing "
        f"(pandas.to_numeric(x, errors='coerce')); if it is a factor, write "
        f"factor({name})."
    )
