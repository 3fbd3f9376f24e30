"""Typical values of the numbers among the predictors, where means are read off."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bayeslmm.design.frame import RawColumn
from bayeslmm.formula import Formula

# Values looked at before all are: most columns have more than two among them.
FIRST = 2048


class Typical(NamedTuple):
    """Mean of a numeric column, or its two values, and the range of the values."""

    values: tuple[float, ...]
    spread: float


def typical_values(
    formula: Formula, used: Mapping[str, RawColumn]
) -> dict[str, Typical]:
    """Where each numeric predictor is.

    Parameters
    ----------
    formula : Formula
        The formula.
    used : mapping
        The columns on the rows used.
    """
    found = {}
    for name in dict.fromkeys((*fixed_columns(formula), *effect_columns(formula))):
        column = used.get(name)
        if column is None or column.kind != "number":
            continue
        values = np.asarray(column.values, dtype=float)
        values = values[np.isfinite(values)]
        distinct = np.unique(values[:FIRST])
        if len(distinct) <= 2:
            distinct = np.unique(values)
        two = 0 < len(distinct) <= 2
        at = tuple(distinct.tolist()) if two else (float(values.mean()),)
        found[name] = Typical(at, float(np.ptp(values)) if values.size else 0.0)
    return found


def fixed_columns(formula: Formula) -> tuple[str, ...]:
    """Columns that the fixed part and the offsets read."""
    atoms = [atom for term in formula.fixed.terms for atom in term.atoms]
    atoms += formula.offsets
    return tuple(dict.fromkeys(name for atom in atoms for name in atom.columns))


def effect_columns(formula: Formula) -> tuple[str, ...]:
    """Columns that the predictors of the bar terms read."""
    terms = [term for bar in formula.random for term in bar.predictor.terms]
    names = (name for term in terms for atom in term.atoms for name in atom.columns)
    return tuple(dict.fromkeys(names))
