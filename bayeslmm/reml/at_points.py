"""The variance between levels as a function of the predictors, and the ICC there.

At columns z of the random part the variance between levels is z'Sigma z, and two rows
of one level, at z and z*, have the covariance z'Sigma z*: with random slopes there is
an ICC for each value of x, and a correlation for every two.

References
----------
.. [1] Goldstein, Browne and Rasbash (2002). Underst. Stat. 1(4).
   https://doi.org/10.1207/S15328031US0104_02
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from bayeslmm.design.arrays import Design
from bayeslmm.design.points import Points, effect_points
from bayeslmm.design.recipe import Recipe
from bayeslmm.design.shares import Values, residual_variance
from bayeslmm.errors import ModelError, check_flag
from bayeslmm.reml.shares import (
    Numbers,
    Quantities,
    group_names,
    group_quantities,
    icc_quantities,
    terms_of,
)


class Shared(NamedTuple):
    """What two rows have in common: one grouping factor, or all; their bar terms."""

    group: str | None
    terms: tuple[int, ...]


def icc_asked(
    recipe: Recipe, by_group: object, at: object, pairs: object
) -> Quantities:
    """The rows of `icc` of either fit.

    Raises
    ------
    ModelError
        If an option is none, or there is nothing at which the ICC could differ.
    """
    by_group, pairs = check_flag(by_group, "by_group"), check_flag(pairs, "pairs")
    design = recipe.design
    if by_group and not design.groups:
        raise ModelError(
            f"{recipe.formula.text!r} has no bar term, so there is no grouping factor "
            f"whose ICC could be shown."
        )
    if at is not None:
        made = pair_quantities if pairs else point_quantities
        return made(design, effect_points(recipe, at), by_group=by_group)
    if pairs:
        raise ModelError(
            "pairs=True compares rows at two values of a predictor. Say which: "
            "at={'Days': [0, 9]}."
        )
    return group_quantities(design) if by_group else icc_quantities(design)


def point_quantities(design: Design, points: Points, *, by_group: bool) -> Quantities:
    """ICC at each point, with the variance between levels there, units of y squared."""
    everything = np.arange(len(points.Z[0]))
    places = (everything, everything)
    return _quantities(design, points, places, points.keys, "variance", by_group)


def pair_quantities(design: Design, points: Points, *, by_group: bool) -> Quantities:
    """Correlation of rows of one level at every two points, with their covariance."""
    places = points.pairs()
    keys = {}
    for number, own in enumerate(places, start=1):
        for name, values in points.keys.items():
            keys[f"{name}_{number}"] = [values[i] for i in own]
    return _quantities(design, points, places, keys, "covariance", by_group)


def _quantities(
    design: Design,
    points: Points,
    places: tuple[Int[np.ndarray, " r"], Int[np.ndarray, " r"]],
    keys: dict[str, list],
    second_moment: str,
    by_group: bool,
) -> Quantities:
    """The same for rows at the first and at the second places."""
    shared = [Shared(None, tuple(range(len(design.groups))))]
    if by_group:
        shared = [Shared(g, terms_of(design, g)) for g in group_names(design)]
    n = len(places[0])
    shown = {name: own * len(shared) for name, own in keys.items()}
    if by_group:
        shown = {"group": [s.group for s in shared for _ in range(n)], **shown}

    def of(values: Values) -> Numbers:
        halves = [Z @ root for Z, root in zip(points.Z, values.roots, strict=True)]
        between = [_products(half, places) for half in halves]
        variance = sum(np.square(half).sum(axis=-1) for half in halves)
        sd = np.sqrt(variance + residual_variance(design, values)[..., None])
        parts = [sum(between[t] for t in s.terms) for s in shared]
        scale = sd[..., places[0]] * sd[..., places[1]]
        return {
            "estimate": np.concatenate([part / scale for part in parts], axis=-1),
            second_moment: np.concatenate(parts, axis=-1),
        }

    attrs = {"held": points.held} if points.held else {}
    return Quantities(pd.RangeIndex(n * len(shared)), of, shown, (), attrs)


def _products(
    half: Float[np.ndarray, "*s m k"],
    places: tuple[Int[np.ndarray, " r"], Int[np.ndarray, " r"]],
) -> Float[np.ndarray, "*s r"]:
    """Covariances z'Sigma z* of two rows of one level, from Z times a root."""
    return (half[..., places[0], :] * half[..., places[1], :]).sum(axis=-1)
