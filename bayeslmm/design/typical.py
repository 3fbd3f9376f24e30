"""Typical values of the numbers of the fixed part, where means are read off."""

from collections.abc import Mapping

import numpy as np

from bayeslmm.design.frame import RawColumn
from bayeslmm.formula import Formula

# Values looked at before all are: most columns have more than two among them.
FIRST = 2048


def typical_values(
    formula: Formula, used: Mapping[str, RawColumn]
) -> dict[str, tuple[float, ...]]:
    """Mean of each numeric column of the fixed part, or its two values.

    Parameters
    ----------
    formula : Formula
        The formula.
    used : mapping
        The columns on the rows used.
    """
    found = {}
    for name in fixed_columns(formula):
        column = used.get(name)
        if column is None or column.kind != "number":
            continue
        values = np.asarray(column.values, dtype=float)
        values = values[np.isfinite(values)]
        distinct = np.unique(values[:FIRST])
        if len(distinct) <= 2:
            distinct = np.unique(values)
        two = 0 < len(distinct) <= 2
        found[name] = tuple(distinct.tolist()) if two else (float(values.mean()),)
    return found


def fixed_columns(formula: Formula) -> tuple[str, ...]:
    """Columns that the fixed part and the offsets read."""
    atoms = [atom for term in formula.fixed.terms for atom in term.atoms]
    atoms += formula.offsets
    return tuple(dict.fromkeys(name for atom in atoms for name in atom.columns))
