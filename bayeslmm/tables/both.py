"""The tables that REML and posterior have in common: their rows, index and order.

Takes the design with columns of numbers, one for each statistic (``estimate``, or
``mean``, ``median``, ``sd``, ``lower``, ``upper``); gives frames of which the two sides
can be put beside each other.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.design.space import Parameter
from bayeslmm.tables.frame import Table, words

Numbers = Mapping[str, Float[np.ndarray, " _m"]]


def label_index(shown: Sequence[Parameter]) -> pd.Index:
    """Index of the labels."""
    return pd.Index([parameter.label for parameter in shown], name="label")


def level_table(
    group: str, levels: Sequence[str], effects: Sequence[str], numbers: Numbers
) -> Table:
    """One row for each level and effect: group, level, effect, and the numbers."""
    return Table(
        {
            "group": group,
            "level": words(np.repeat(np.array(levels, object), len(effects))),
            "effect": words(np.tile(np.array(effects, object), len(levels))),
            **numbers,
        }
    )


def variance_table(
    design: Design, shown: Sequence[Parameter], numbers: Numbers
) -> Table:
    """SDs, correlations and sigma with the effects they belong to, and the numbers."""
    index = label_index(shown)
    first, second = zip(*(_effects_of(design, p) for p in shown), strict=True)
    return Table(
        {
            "group": [parameter.group or "Residual" for parameter in shown],
            "component": [parameter.component for parameter in shown],
            "effect1": pd.Series(first, index, dtype=object),  # keeps None
            "effect2": pd.Series(second, index, dtype=object),
            **numbers,
        },
        index=index,
    )


def source_index(shown: Sequence[Parameter], residual: str) -> pd.Index:
    """Index of the fixed part, of SDs and correlations, and last of the residual SD."""
    return pd.Index(["fixed", *label_index(shown[:-1]), residual], name="label")


def source_keys(shown: Sequence[Parameter]) -> dict[str, list]:
    """What each of these is."""
    return {
        "group": ["Fixed", *(parameter.group or "Residual" for parameter in shown)],
        "component": ["fixed", *(parameter.component for parameter in shown)],
    }


def _effects_of(design: Design, parameter: Parameter) -> tuple[str | None, str | None]:
    """Effect of an SD, pair of a correlation, None where there is none."""
    if parameter.term is None:
        return None, None
    effects = design.groups[parameter.term].effects
    if parameter.component == "sd":
        return effects[parameter.index[0]], None
    row, column = parameter.index
    return effects[column], effects[row]
