"""How often combinations of predictors stand in the data, to average a grid by.

Takes a recipe and the values of a grid; gives a weight for each of its rows, as the
``weights=`` of R's emmeans: all combinations of what is averaged over alike, or in the
proportions of the rows used (each counts once, whatever its precision weight).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayeslmm.design.arrays import rows_of
from bayeslmm.design.evaluate import NumericColumn
from bayeslmm.design.frame import AnyFactor, FactorColumn
from bayeslmm.design.recipe import Recipe
from bayeslmm.errors import ModelError, is_choice, listed
from bayeslmm.formula.nodes import Call, Name

# Functions whose levels are those of the column.
CODED = ("factor", "as.factor", "ordered", "C")

Weights = Literal["equal", "proportional"]
Values = tuple[float | int | str | bool, ...]


def grid_weights(
    recipe: Recipe, frame: pd.DataFrame, averaged: Sequence[str], weights: object
) -> Float[np.ndarray, " r"]:
    """Weight of each row of a grid within its cell.

    Parameters
    ----------
    recipe : Recipe
        Whose rows are counted.
    frame : DataFrame
        The grid.
    averaged : sequence of str
        Its columns that are averaged over.
    weights : {"equal", "proportional"}
        Whether their combinations count alike or as often as they occur.

    Raises
    ------
    ModelError
        If the word is unknown, or none of the combinations occurs.
    DataError
        If the rows were read in batches.
    """
    if not is_choice(weights, ("equal", "proportional")):
        raise ModelError(
            f"Unknown weights={weights!r}. Options: 'equal' (all combinations of what "
            f"is averaged over count alike), 'proportional' (as often as they occur)."
        )
    if weights == "equal" or not averaged:
        return np.ones(len(frame))
    data = {name: used_values(recipe, name) for name in averaged}
    counts = pd.DataFrame(data).value_counts()
    keys = frame[list(averaged)].itertuples(index=False, name=None)
    found = np.array([float(counts.get(key, 0)) for key in keys])
    if not found.any():
        raise ModelError(
            f"No row of the data has one of the combinations of {listed(averaged)} "
            f"that are averaged over, so they have no proportions. Use "
            f"weights='equal', or values in at= that occur."
        )
    return found


def used_values(recipe: Recipe, name: str) -> list:
    """Values of a predictor in the rows used, as the grid has them."""
    rows_of(recipe.design, "proportions of levels")
    for atom in recipe.formula.predictor_atoms:
        column = recipe.coding.variables[atom.label]
        if atom.columns != (name,):
            continue
        if isinstance(column, FactorColumn) and is_whole(atom.node):
            levels = typed_levels(column)
            return [levels[code] for code in column.codes.tolist()]
        if isinstance(column, NumericColumn) and isinstance(atom.node, Name):
            return column.values[:, 0].tolist()
    raise ModelError(
        f"{name!r} stands in the formula within functions only, so its values in the "
        f"data are not at hand for proportions. Hold it with at=, or use "
        f"weights='equal'."
    )


def is_whole(node: object) -> bool:
    """Whether an atom is a column, or a factor made of one."""
    coded = isinstance(node, Call) and node.function in CODED
    return coded or isinstance(node, Name)


def typed_levels(column: AnyFactor) -> Values:
    """Levels as the data have them: numbers, flags or text."""
    if column.kind == "number":
        return tuple(float(level) for level in column.levels)
    if column.kind == "flag":
        return tuple(level == "True" for level in column.levels)
    return column.levels
