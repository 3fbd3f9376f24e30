"""Linear combinations of the fixed effects of a posterior, draw by draw.

Contrasts, marginal means and slopes, as methods of `Posterior`: the same rows as those
of a REML fit, with draws instead of standard errors.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from jaxtyping import Float

from bayeslmm.design.contrasts import make_contrasts
from bayeslmm.design.grid import (
    Grid,
    cell_columns,
    make_grid,
    pair_rows,
    read_specification,
    slope_grid,
)
from bayeslmm.design.proportions import Weights
from bayeslmm.errors import ModelError, check_flag, is_choice
from bayeslmm.families import FAMILIES
from bayeslmm.posterior.places import draws_at, places
from bayeslmm.posterior.predictions import other_draws
from bayeslmm.posterior.tables import IntervalKind, check_interval, interval_bounds
from bayeslmm.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.posterior.fit import Posterior


Scale = Literal["link", "response"]


class Combinations:
    """Combinations of the fixed effects of a `Posterior`."""

    __slots__ = ()

    def contrast(
        self, what: object, *, prob: float = 0.95, kind: IntervalKind = "eti"
    ) -> "pd.DataFrame":
        """Linear combinations of the fixed effects.

        Parameters
        ----------
        what : str, mapping, sequence or ndarray
            As for `RemlFit.contrast`: ``"Machine[B] - Machine[C]"``, ``"Days = 10"``,
            weights by label, a list or a mapping of names to such, a matrix.
        prob : float, default 0.95
            Probability of the intervals.
        kind : {"eti", "hdi"}, default "eti"
            Equal-tailed or highest density.

        Returns
        -------
        DataFrame
            Index ``contrast``; columns ``mean``, ``median``, ``sd``, ``lower``,
            ``upper`` (of the combination less the value after ``=``), ``p_above``:
            posterior probability that it is positive.

        Raises
        ------
        ModelError
            If a label is unknown or a weight no number.
        FormulaError
            If a text is no linear combination; with a caret.
        """
        import pandas as pd

        post = cast("Posterior", self)
        model = post.model
        asked = make_contrasts(model.design, what, model.recipe.coding.aliasing)
        columns = _columns(post, asked.weights, asked.constants, prob, kind)
        return Table(columns, index=pd.Index(asked.names, name="contrast"))

    def emmeans(
        self,
        spec: str,
        *,
        at: Mapping[str, object] | None = None,
        weights: Weights = "equal",
        pairs: bool = False,
        scale: Scale = "link",
        prob: float = 0.95,
        kind: IntervalKind = "eti",
    ) -> "pd.DataFrame":
        """Estimated marginal means, as of `RemlFit.emmeans`, with draws.

        Parameters
        ----------
        spec : str
            Variables of the fixed part: ``"dose"``, ``"dose * sex"`` (all
            combinations), ``"dose | sex"`` (of dose, within each sex), ``"1"`` (the
            overall mean).
        at : mapping of str to values, optional
            Values of some variables; the others as for `RemlFit.emmeans`.
        weights : {"equal", "proportional"}, default "equal"
            Whether combinations of what is averaged over count alike, or as often as
            they occur among the rows used: each row once, whatever its precision
            weight (R's emmeans counts these instead).
        pairs : bool, default False
            Differences of the means. Their intervals need no adjustment for many
            comparisons: each is what the model and its priors say of that difference.
        scale : {"link", "response"}, default "link"
            The mean of linear predictors (log odds, logs), or the response expected
            there (a probability, a count) of a level without random effects. Pairs are
            differences on this scale, as of ``pairs(regrid(emm))`` in R.
        prob : float, default 0.95
            Probability of the intervals.
        kind : {"eti", "hdi"}, default "eti"
            Equal-tailed or highest density.

        Returns
        -------
        DataFrame
            A row for each combination: the variables, ``mean``, ``median``, ``sd``,
            ``lower``, ``upper``; with ``pairs`` ``contrast``, the variables after
            ``|``, the same and ``p_above``. Units of y, or on the scale of the link
            those of the link. ``attrs["held"]`` has the values of the others.

        Raises
        ------
        ModelError
            If a variable or level is unknown, or a number has no known mean.
        """
        check_scale(scale)
        post = cast("Posterior", self)
        wanted = read_specification(post.model.recipe, spec)
        grid = make_grid(post.model.recipe, wanted, at, weights)
        return _means(post, grid, pairs, scale, prob, kind)

    def emtrends(
        self,
        spec: str,
        variable: str,
        *,
        at: Mapping[str, object] | None = None,
        weights: Weights = "equal",
        pairs: bool = False,
        prob: float = 0.95,
        kind: IntervalKind = "eti",
    ) -> "pd.DataFrame":
        """Slopes by a numeric variable at combinations of others, with draws.

        Parameters
        ----------
        spec, at, weights, pairs, prob, kind
            As for `emmeans`.
        variable : str
            Column of the data by which the slope is.

        Returns
        -------
        DataFrame
            As of `emmeans`; units of y per unit of the variable.

        Raises
        ------
        ModelError
            As `emmeans` raises it.
        """
        post = cast("Posterior", self)
        wanted = read_specification(post.model.recipe, spec)
        grid = slope_grid(post.model.recipe, wanted, variable, at, weights)
        return _means(post, grid, pairs, "link", prob, kind)


def check_scale(scale: object) -> None:
    """Raise `ModelError` for another word than those of `emmeans`."""
    if not is_choice(scale, ("link", "response")):
        raise ModelError(
            f"Unknown scale={scale!r}. Options: 'link' (linear predictors), 'response' "
            f"(expected responses)."
        )


def _means(
    post: "Posterior",
    grid: Grid,
    pairs: object,
    scale: Scale,
    prob: float,
    kind: IntervalKind,
) -> "pd.DataFrame":
    """Means, or slopes by a variable, or their differences."""
    if check_flag(pairs, "pairs"):
        found = pair_rows(grid)
        keys, rows = found.columns, (found.weights, found.constants)
    else:
        found, keys, rows = None, cell_columns(grid), (grid.weights, grid.constants)
    if scale == "response":
        values = _responses(post, _values(post, grid.weights, grid.constants))
        if found is not None:
            one, other = found.ends
            values = values[..., one] - values[..., other]
    else:
        values = _values(post, *rows)
    columns = _described(post, values, rows[0], prob, kind)
    if found is None:
        del columns["p_above"]
    table = Table({**keys, **columns})
    table.attrs = {"held": grid.held}
    return table


def _responses(
    post: "Posterior", linear: Float[np.ndarray, "chain draw l"]
) -> Float[np.ndarray, "chain draw l"]:
    """Expected responses; of one trial where there are trials."""
    family = post.model.family
    return FAMILIES[family].mean(linear, other_draws(family, post.idata), None)


def _columns(
    post: "Posterior",
    weights: Float[np.ndarray, "l p"],
    constants: Float[np.ndarray, " l"],
    prob: float,
    kind: IntervalKind,
) -> dict[str, Float[np.ndarray, " l"]]:
    """Location, spread and interval of combinations."""
    return _described(post, _values(post, weights, constants), weights, prob, kind)


def _values(
    post: "Posterior",
    weights: Float[np.ndarray, "l p"],
    constants: Float[np.ndarray, " l"],
) -> Float[np.ndarray, "chain draw l"]:
    """Draws of combinations of the fixed effects."""
    names, known = post.model.design.fixed_names, places(post.model.design, post.idata)
    used = [place for place in range(len(names)) if weights[:, place].any()] or [0]
    draws = np.stack([draws_at(known, post.idata, names[i]) for i in used], axis=-1)
    return draws @ weights[:, used].T + constants


def _described(
    post: "Posterior",
    values: Float[np.ndarray, "chain draw l"],
    weights: Float[np.ndarray, "l p"],
    prob: float,
    kind: IntervalKind,
) -> dict[str, Float[np.ndarray, " l"]]:
    """Location, spread and interval of draws; NaN where they do not exist."""
    check_interval(prob, kind)
    names, missing = post.model.design.fixed_names, post.status.missing
    lower, upper = interval_bounds(values, prob, kind)
    mean, sd = values.mean(axis=(0, 1)), values.std(axis=(0, 1), ddof=1)
    return {
        "mean": np.where(_uses(weights, names, missing.mean), np.nan, mean),
        "median": np.median(values, axis=(0, 1)),
        "sd": np.where(_uses(weights, names, missing.sd), np.nan, sd),
        "lower": lower,
        "upper": upper,
        "p_above": np.where(
            np.isnan(weights).any(axis=1), np.nan, (values > 0.0).mean(axis=(0, 1))
        ),
    }


def _uses(
    weights: Float[np.ndarray, "l p"], names: Sequence[str], labels: Sequence[str]
) -> list[bool]:
    """Which combinations use a fixed effect of these labels."""
    among = np.array([name in labels for name in names], bool)
    return weights[:, among].any(axis=1).tolist()
