"""Estimated marginal means and slopes of a REML fit, and their differences.

Takes a `RemlFit` and the variables wanted; gives tables with standard errors, degrees
of freedom and intervals, as R's emmeans gives them.

References
----------
.. [1] Searle, Speed and Milliken (1980). Am. Stat. 34(4).
   https://doi.org/10.1080/00031305.1980.10483031
.. [2] Tukey (1953), by Kramer (1956). Biometrics 12(3). https://doi.org/10.2307/3001469
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from bayeslmm.design.grid import (
    Grid,
    cell_columns,
    make_grid,
    pair_rows,
    read_specification,
    slope_grid,
)
from bayeslmm.design.proportions import Weights
from bayeslmm.errors import ModelError, check_flag, check_fraction, is_choice
from bayeslmm.reml.ddf import denominator
from bayeslmm.reml.effect_tests import refuse_loose, t_columns, t_quantile
from bayeslmm.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.reml.fit import RemlFit

Adjust = Literal["tukey", "holm", "none"]
ADJUST: tuple[Adjust, ...] = ("tukey", "holm", "none")


def means_table(
    fit: "RemlFit",
    spec: object,
    at: Mapping[str, object] | None,
    *,
    variable: object = None,
    weights: Weights = "equal",
    pairs: object = False,
    adjust: object = "tukey",
    prob: float = 0.95,
    ddf: object = "satterthwaite",
) -> "pd.DataFrame":
    """Means, or slopes by a variable; see `RemlFit.emmeans` and `RemlFit.emtrends`."""
    check_fraction(prob, "prob")
    if not is_choice(adjust, ADJUST):
        raise ModelError(
            f"Unknown adjust={adjust!r}. Options: 'tukey', 'holm', 'none'."
        )
    recipe = fit.model.recipe
    wanted = read_specification(recipe, spec)
    if variable is None:
        grid = make_grid(recipe, wanted, at, weights)
    else:
        grid = slope_grid(recipe, wanted, str(variable), at, weights)
    if not check_flag(pairs, "pairs"):
        columns = _tested(fit, grid, ddf, prob)
        kept = ("estimate", "se", "df", "lower", "upper")
        return _table(grid, cell_columns(grid), {name: columns[name] for name in kept})
    found = pair_rows(grid)
    grid = Grid(grid.spec, grid.cells, found.weights, found.constants, grid.held)
    columns = _tested(fit, grid, ddf, prob)
    columns = _adjusted(columns, found.families, found.sizes, str(adjust), prob)
    table = _table(grid, found.columns, columns)
    table.attrs["adjust"] = adjust
    return table


def _table(
    grid: Grid, keys: Mapping[str, list], numbers: Mapping[str, np.ndarray]
) -> "pd.DataFrame":
    """What is in each row, then the numbers; what was averaged over in ``attrs``."""
    table = Table({**keys, **numbers})
    table.attrs = {"held": grid.held}
    return table


def _tested(
    fit: "RemlFit", grid: Grid, ddf: object, prob: float
) -> dict[str, Float[np.ndarray, " c"]]:
    """Estimates with their t tests."""
    known = denominator(fit, ddf)
    refuse_loose(fit, grid.weights, [str(cell) for cell in grid.cells])
    estimate = grid.weights @ fit.beta + grid.constants
    variance = known.variances(grid.weights)
    df = np.array([known.df(row) for row in grid.weights])
    return t_columns(estimate, np.sqrt(variance), df, prob)


def _adjusted(
    columns: dict[str, Float[np.ndarray, " c"]],
    families: Float[np.ndarray, " c"],
    sizes: Float[np.ndarray, " c"],
    adjust: str,
    prob: float,
) -> dict[str, Float[np.ndarray, " c"]]:
    """P values and intervals for several comparisons at once, family by family.

    Tukey's by the studentized range of as many means as there are; Holm's p values,
    with Bonferroni's intervals.
    """
    t, df, p = (columns[name] for name in ("t", "df", "p"))
    counts = np.array([(families == own).sum() for own in families])
    if adjust == "none":
        return columns
    if adjust == "holm":
        p = np.concatenate([_holm(p[families == own]) for own in np.unique(families)])
        reach = t_quantile(1.0 - (1.0 - prob) / (2.0 * counts), df)
    else:
        from scipy.stats import studentized_range

        several = sizes > 2
        range_p = studentized_range.sf(np.abs(t) * np.sqrt(2.0), sizes, df)
        p = np.where(several, range_p, p)
        reach = np.where(
            several,
            studentized_range.ppf(prob, sizes, df) / np.sqrt(2.0),
            t_quantile(0.5 + prob / 2.0, df),
        )
    half = reach * columns["se"]
    ends = {"lower": columns["estimate"] - half, "upper": columns["estimate"] + half}
    return {**columns, "p": p, **ends}


def _holm(p: Float[np.ndarray, " c"]) -> Float[np.ndarray, " c"]:
    """Holm's step-down p values."""
    order = np.argsort(p)
    steps = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    found = np.empty_like(p)
    found[order] = np.minimum(steps, 1.0)
    return found
