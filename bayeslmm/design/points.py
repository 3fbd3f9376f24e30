"""Chosen points of the random part: the columns of the bar terms there.

Takes a recipe and values of the predictors whose effects vary between levels; gives Z
of every bar term at all combinations of the values. Predictors without a value stand at
their mean, factors at each of their levels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.grid import grid_frame, grid_values
from bayeslmm.design.recipe import Recipe
from bayeslmm.design.typical import effect_columns
from bayeslmm.errors import ModelError, shortened

# Points beyond which something else was meant; pairs of them are half their square.
MOST_POINTS = 200


@dataclass(frozen=True, slots=True)
class Points:
    """Combinations of values of the predictors of the random part.

    Attributes
    ----------
    keys : dict of str to list
        Value of each predictor at each of the m points.
    held : dict of str to float
        Predictors that stand at their mean at all of them.
    Z : tuple of ndarray, shape (m, k)
        Columns of each bar term there.
    """

    keys: dict[str, list]
    held: dict[str, float]
    Z: tuple[Float[np.ndarray, "m _k"], ...]

    def pairs(self) -> tuple[Int[np.ndarray, " r"], Int[np.ndarray, " r"]]:
        """Every two different points.

        Raises
        ------
        ModelError
            If there are no two.
        """
        m = len(self.Z[0])
        if m < 2:
            raise ModelError(
                "pairs=True compares two points, and at= has one. Give several values: "
                "at={'Days': [0, 9]}."
            )
        first, second = np.triu_indices(m, 1)
        return first, second


def effect_points(recipe: Recipe, at: object) -> Points:
    """The columns of the bar terms at all combinations of some values.

    Parameters
    ----------
    recipe : Recipe
        Whose random part is meant.
    at : mapping of str to values
        Values of some of its predictors.

    Raises
    ------
    ModelError
        If `at` is no mapping, no predictor has effects that vary between levels, or
        there are too many points.
    """
    names = effect_columns(recipe.formula)
    if not isinstance(at, Mapping):
        raise ModelError(
            f"at must map predictors to values, {{'Days': [0, 5, 9]}}, not "
            f"{shortened(at)}."
        )
    if not names:
        raise ModelError(
            f"In {recipe.formula.text!r} no predictor has an effect that varies "
            f"between levels, so the variance between them is the same everywhere. "
            f"Leave out at=."
        )
    values = grid_values(recipe, names, at, "random part")
    frame = grid_frame(values)
    if len(frame) > MOST_POINTS:
        raise ModelError(
            f"at= and the levels of factors make {len(frame):,} points, and each has "
            f"all its draws. Give {MOST_POINTS:,} at most."
        )
    shown = [name for name in names if name in at or len(values[name]) > 1]
    return Points(
        keys={name: frame[name].tolist() for name in shown},
        held={name: float(values[name][0]) for name in names if name not in shown},
        Z=recipe.encode_effects(frame),
    )
