"""Predictions and coefficients of levels that have no mean or no SD.

Takes a `Target` and what is predicted, gives masks: of what grows with an SD as fast as
the density of that SD falls. Rows of a level tell of the sum of its fixed and random
effects, but only where they are: of another value of a covariate that is constant
within levels they say nothing. So the spread of each sum is looked at, far out, in
draws of the effects given the variance parameters.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from bayeslmm.design.arrays import Design
from bayeslmm.posterior.conditional import Effects, effects_given
from bayeslmm.posterior.draws import level_coefficients
from bayeslmm.posterior.rays import HIGHEST, tail_point, tail_rays
from bayeslmm.posterior.target import Target, make_target
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

# Columns of a bar term at rows with the number of each level, that of a new one being
# too large; None for predictions without its effects.
Known = tuple[Float[np.ndarray, "m _k"], Int[np.ndarray, " m"]] | None
Masks = tuple[Bool[np.ndarray, "..."], Bool[np.ndarray, "..."]]
# Of effects of the levels of the data, and of one new level of each bar term.
Sums = Callable[
    [Effects, Sequence[Float[np.ndarray, "s 1 _k"]]], Float[np.ndarray, "s ..."]
]
# Of each sum, at a point: with the same random numbers at both points the ratio of
# their SDs is exact, however few.
DRAWS = 24
# Rows handled at a time: their draws stay in memory.
ROWS = 50_000


def rows_without(
    target: Target, X: Float[np.ndarray, "m p"], terms: Sequence[Known]
) -> tuple[Bool[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
    """Whether predictions of rows have no mean, and whether they have no SD.

    Parameters
    ----------
    target : Target
        Target of the model.
    X : ndarray, shape (m, p)
        Fixed columns of the rows.
    terms : sequence of (ndarray, ndarray) or None
        For each bar term its columns, shape (m, k_t), and the numbers of the levels,
        shape (m,).

    Returns
    -------
    tuple of ndarray of bool, shape (m,)
        Of expected responses.
    """
    without = np.zeros((2, len(X)), bool)
    for start in range(0, len(X), ROWS):
        part = slice(start, start + ROWS)
        own = [None if t is None else (t[0][part], t[1][part]) for t in terms]
        without[:, part] = np.array(_without(target, partial(_row_sums, X[part], own)))
    return without[0], without[1]


def _row_sums(
    X: Float[np.ndarray, "m p"],
    terms: Sequence[Known],
    effects: Effects,
    new: Sequence[Float[np.ndarray, "s 1 _k"]],
) -> Float[np.ndarray, "s m"]:
    """Linear predictors of some rows."""
    found = effects[0] @ X.T
    for t, known in enumerate(terms):
        if known is not None:
            Z, codes = known
            every = np.concatenate([effects[1][t], new[t]], axis=1)
            rows = np.minimum(codes, every.shape[1] - 1)
            found += np.einsum("smk,mk->sm", every[:, rows], Z)
    return found


def coefficients_without(model: ModelSpec) -> list[Masks]:
    """The same of the coefficients of each level, as `Posterior.coef` has them.

    Returns
    -------
    list of tuple of ndarray of bool, shape (j, c)
        For each grouping factor, whether they have no mean, and no SD.
    """
    found, design = [], model.design
    target = make_target(design, model.conditioned, model.priors)
    for group in dict.fromkeys(term.group for term in design.groups):
        own = [t for t, term in enumerate(design.groups) if term.group == group]
        found.append(_without(target, partial(_level_sums, design, own)))
    return found


def _level_sums(
    design: Design,
    own: Sequence[int],
    effects: Effects,
    new: Sequence[Float[np.ndarray, "s 1 _k"]],
) -> Float[np.ndarray, "s j c"]:
    """Coefficients of the levels of a group."""
    del new
    b = [effects[1][t] for t in own]
    names = [design.groups[t].effects for t in own]
    return level_coefficients(design, effects[0], b, names)


def hide_coefficients(table: "pd.DataFrame", masks: Sequence[Masks]) -> "pd.DataFrame":
    """The table of `Posterior.coef` without means and SDs that do not exist."""
    for column, which in (("mean", 0), ("sd", 1)):
        hidden = np.concatenate([own[which].ravel() for own in masks])
        table[column] = table[column].mask(hidden)
    return table


def _without(target: Target, sums: Sums) -> Masks:
    """Which sums have no mean, and which no SD."""
    means, sds = None, None
    for ray in tail_rays(target):
        if ray.has_mean(HIGHEST):
            continue
        far, near = (
            np.std(sums(*_drawn(target, tail_point(target, ray, back))), axis=0)
            for back in (0.0, 1.0)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            growth = np.round(np.nan_to_num(np.log(far / near), posinf=0, neginf=0))
        own = [np.zeros(growth.shape, bool) for _ in range(2)]
        for rate in np.unique(growth[growth > 0.0]):
            for q in (1, 2):
                if not ray.has_mean(q * float(rate)):
                    own[q - 1] |= growth == rate
        means = own[0] if means is None else means | own[0]
        sds = own[1] if sds is None else sds | own[1]
    if means is None or sds is None:
        nothing = np.zeros(sums(*_drawn(target, target.start)).shape[1:], bool)
        return nothing, nothing
    return means, sds


def _drawn(
    target: Target, x: Float[np.ndarray, " m"]
) -> tuple[Effects, tuple[Float[np.ndarray, "s 1 _k"], ...]]:
    """Effects given a point: of the levels of the data, and of one new level."""
    points, rng = np.tile(x, (DRAWS, 1)), np.random.default_rng(0)
    new = tuple(
        np.einsum("skl,sl->sk", root, rng.normal(size=root.shape[:2]))[:, None]
        for root in target.factors(points)
    )
    return effects_given(target, points, (0, 0)), new
