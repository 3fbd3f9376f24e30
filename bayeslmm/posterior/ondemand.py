"""Random effects that were not stored, drawn when they are asked for.

The draws of a million levels do not fit in memory, but those of the variance
parameters, the fixed effects and the smaller grouping factors do, and given them the
levels of the largest factor are independent. Takes a model and its stored draws, gives
draws or summaries of the levels asked for, from the seed of the run: the same numbers
that would have been stored.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design, GroupTerm, check_terms
from bayeslmm.design.memory import check_fits
from bayeslmm.errors import ModelError, nearest_names
from bayeslmm.graph.names import safe_name
from bayeslmm.marginal.conditioned import Conditioned
from bayeslmm.marginal.layout import make_layout
from bayeslmm.marginal.levels import RUN, draw_levels
from bayeslmm.posterior.conditional import effect_generator
from bayeslmm.posterior.draws import lower_factors
from bayeslmm.posterior.options import Options
from bayeslmm.posterior.places import label_draws, residual_draws
from bayeslmm.posterior.predictions import factor_draws
from bayeslmm.posterior.structured import structured_levels
from bayeslmm.posterior.tables import (
    IntervalKind,
    beta_draws,
    describe_draws,
    term_draws,
)
from bayeslmm.reml.chosen import Levels, chosen_levels
from bayeslmm.spec import ModelSpec
from bayeslmm.tables.both import level_table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Keep = Literal["auto", "all", "summary"] | Sequence[str]

# Numbers of random effects that "auto" stores: 160 MB.
MOST_STORED = 20_000_000
# Draws of each level that its summary is computed from, at most; Monte Carlo errors
# are then below 4% of a posterior SD.
SUMMARY_DRAWS = 1000
# Levels summarised at a time.
LEVELS_AT_ONCE = 64 * RUN


def kept_terms(design: Design, keep: Keep, options: Options) -> tuple[int, ...]:
    """Positions of the bar terms whose effects are stored.

    Raises
    ------
    ModelError
        If `keep` names no group of the model, or leaves one out that others need.
    DataError
        If the draws of those effects are beyond memory.
    """
    chosen = _chosen_terms(design, keep, options)
    sizes = sum(design.groups[t].n_levels * design.groups[t].k for t in chosen)
    n_draws = options.chains * options.draws
    check_fits(
        2 * 8.0 * n_draws * sizes,
        f"{n_draws:,} draws of {sizes:,} random effects",
        "Ask for fewer draws. Only the effects of the grouping factor with the most "
        "levels need not be stored (keep='summary').",
    )
    return chosen


def _chosen_terms(design: Design, keep: Keep, options: Options) -> tuple[int, ...]:
    """The same, whatever they take."""
    everything = tuple(range(len(design.groups)))
    lead = make_layout(design).lead.terms
    without_lead = tuple(t for t in everything if t not in lead)
    if not isinstance(keep, str | list | tuple):
        raise ModelError(
            f"keep must be 'auto', 'all', 'summary' or names of grouping factors, not "
            f"{keep!r}."
        )
    if keep == "auto":
        sizes = sum(term.n_levels * term.k for term in design.groups)
        few = options.chains * options.draws * sizes <= MOST_STORED
        return everything if few else without_lead
    if keep == "all":
        return everything
    if keep == "summary":
        return without_lead
    return _named_terms(design, keep, lead)


def _named_terms(
    design: Design, keep: Sequence[str], lead: tuple[int, ...]
) -> tuple[int, ...]:
    """Terms of the groups named; only those of the lead may be left out."""
    groups = list(dict.fromkeys(term.group for term in design.groups))
    names = [keep] if isinstance(keep, str) else list(keep)
    for name in names:
        if name not in groups:
            raise ModelError(
                f"keep={name!r} is none of 'auto', 'all', 'summary', and no grouping "
                f"factor of this model.{nearest_names(str(name), groups)}"
            )
    chosen = tuple(t for t, term in enumerate(design.groups) if term.group in names)
    needed = [
        term.group
        for t, term in enumerate(design.groups)
        if t not in lead and t not in chosen
    ]
    if needed:
        raise ModelError(
            f"Only the effects of the grouping factor with the most levels, "
            f"{design.groups[lead[0]].group!r}, can be left out, because they are "
            f"drawn given the others. Add {needed[0]!r} to keep."
        )
    return chosen


def ranef_draws(
    model: ModelSpec, tree: "xr.DataTree", levels: Levels | None
) -> "xr.DataArray":
    """Draws of the effects of chosen levels; see `Posterior.ranef`."""
    import xarray as xr

    if levels is None:
        raise ModelError(
            "draws=True gives the draws of chosen levels: name them, levels=['...']. "
            "sample(keep='all') stores those of all levels in idata."
        )
    parts = []
    chosen = chosen_levels(model.design, levels)
    for t, (term, wanted) in enumerate(zip(model.design.groups, chosen, strict=True)):
        if not wanted:
            continue
        names = [term.levels[i] for i in wanted]
        index = [(term.group, n, e) for n in names for e in term.effects]
        b = some_draws(model, tree, t, wanted, most=None)
        parts.append((b.reshape(*b.shape[:2], -1), index))
    labels = [entry for _, index in parts for entry in index]
    return xr.DataArray(
        np.concatenate([values for values, _ in parts], axis=-1),
        dims=("chain", "draw", "effect"),
        coords={
            "effect": [f"{effect}|{group}[{level}]" for group, level, effect in labels],
            "group": ("effect", [group for group, _, _ in labels]),
            "level": ("effect", [level for _, level, _ in labels]),
        },
    )


def ranef_summary(
    model: ModelSpec,
    tree: "xr.DataTree",
    prob: float,
    kind: IntervalKind,
    levels: Levels | None,
) -> "pd.DataFrame":
    """Random effects of all levels or of some, a run of levels at a time."""
    import pandas as pd

    parts = []
    check_terms(model.design, "random effects")
    chosen = chosen_levels(model.design, levels)
    for t, (term, wanted) in enumerate(zip(model.design.groups, chosen, strict=True)):
        for start in range(0, len(wanted), LEVELS_AT_ONCE):
            own = list(wanted[start : start + LEVELS_AT_ONCE])
            b = some_draws(model, tree, t, own, most=SUMMARY_DRAWS)
            names = tuple(term.levels[i] for i in own)
            numbers = describe_draws(b, prob, kind)
            parts.append(level_table(term.group, names, term.effects, numbers))
    return pd.concat(parts, ignore_index=True)


def effect_means(
    model: ModelSpec, tree: "xr.DataTree"
) -> tuple[Float[np.ndarray, " p"], tuple[Float[np.ndarray, "_j _k"], ...]]:
    """Posterior means of fixed and random effects: those of fitted values need no more.

    Raises
    ------
    ModelError
        If the fitted values are not linear in them.
    """
    if model.family != "gaussian":
        raise ModelError(
            f"Residuals in batches are those of a Gaussian model; family "
            f"{model.family!r} has its rows in memory: use residuals()."
        )
    means = []
    for t, term in enumerate(model.design.groups):
        runs = range(0, term.n_levels, LEVELS_AT_ONCE)
        parts = [range(i, min(i + LEVELS_AT_ONCE, term.n_levels)) for i in runs]
        draws = (some_draws(model, tree, t, part, most=None) for part in parts)
        means.append(np.concatenate([b.mean(axis=(0, 1)) for b in draws]))
    return beta_draws(model.design, tree).mean(axis=(0, 1)), tuple(means)


def some_draws(
    model: ModelSpec,
    tree: "xr.DataTree",
    t: int,
    levels: Sequence[int],
    most: int | None,
) -> Float[np.ndarray, "chain draw j k"]:
    """Draws of some levels of a term: stored ones, or made on demand."""
    term = model.design.groups[t]
    if is_stored(term, tree):
        return term_draws(term, tree)[:, :, list(levels)]
    return lead_draws(model, tree, t, levels, most)


def is_stored(term: GroupTerm, tree: "xr.DataTree") -> bool:
    """Whether the draws of a term's effects are in the tree."""
    return safe_name(term.variables[0].name) in tree["posterior"].data_vars


def thinning(tree: "xr.DataTree", most: int | None) -> int:
    """Every how many draws are used, for at most `most` over all chains."""
    if most is None:
        return 1
    sizes = tree["posterior"].sizes
    return max(1, -(-sizes["chain"] * sizes["draw"] // most))


def lead_draws(
    model: ModelSpec,
    tree: "xr.DataTree",
    t: int,
    levels: Sequence[int],
    most: int | None,
) -> Float[np.ndarray, "chain draw j k"]:
    """Draws of some levels of a term that was not stored.

    Parameters
    ----------
    model : Model
        Gaussian model.
    tree : DataTree
        Its stored draws.
    t : int
        Position of the term in the design.
    levels : sequence of int
        Levels wanted.
    most : int or None
        Draws wanted at most, over all chains, thinned evenly; None for all of them.

    Returns
    -------
    ndarray, shape (chain, draw, j, k)
        Units of y per unit of z.
    """
    safe, design = model.conditioned.unmoved(model.priors.centered), model.design
    stats = safe.statistics
    sigma = label_draws(design, tree, "sigma") / safe.unit
    chains, n_draws = sigma.shape
    relative = np.zeros((chains, n_draws, stats.lead.k, stats.lead.k))
    for u, start in zip(stats.lead.terms, stats.lead.starts, strict=True):
        span = slice(start, start + design.groups[u].k)
        columns = np.swapaxes(factor_draws(design, tree, u), -1, -2)
        own = np.swapaxes(safe.safe_effects(u, columns), -1, -2)
        relative[..., span, span] = lower_factors(own)
    relative /= sigma[..., None, None]
    beta = safe.safe_coefficients(beta_draws(design, tree))
    rest = _rest_draws(safe, design, tree)
    thin = thinning(tree, most)
    seed = int(tree.attrs["seed"])
    position = stats.lead.terms.index(t)
    first = stats.lead.starts[position]
    drawn, residual = [], _residual_coordinates(design, tree)
    for c in range(chains):
        own = relative[c, ::thin], sigma[c, ::thin], beta[c, ::thin], rest[c, ::thin]
        if safe.stack is None:
            drawn.append(draw_levels(stats, *own, effect_generator(seed, c), levels))
            continue
        at, given = np.arange(0, n_draws, thin), residual[c, ::thin]
        chain = (seed, c)
        drawn.append(structured_levels(safe.stack, given, *own, chain, at, levels))
    own = np.stack(drawn)[..., first : first + design.groups[t].k]
    return safe.random_effects(t, own)


def _residual_coordinates(
    design: Design, tree: "xr.DataTree"
) -> Float[np.ndarray, "chain draw r"]:
    """Draws of the coordinates of the residuals' parameters; r = 0 without any."""
    found = residual_draws(design, tree)
    for i, p in enumerate(design.residual.parameters if design.residual else ()):
        found[..., i] = p.working(found[..., i])
    return found


def _rest_draws(
    safe: Conditioned, design: Design, tree: "xr.DataTree"
) -> Float[np.ndarray, "chain draw m"]:
    """Stored effects of all blocks but the lead, safe, as the statistics have them."""
    stats = safe.statistics
    sizes = tree["posterior"].sizes
    rest = np.zeros((sizes["chain"], sizes["draw"], stats.m))
    for block in stats.rest:
        terms = [
            np.ascontiguousarray(
                safe.safe_effects(u, term_draws(design.groups[u], tree))
            )
            for u in block.terms
        ]
        together = np.concatenate(terms, axis=-1)
        rest[..., block.span] = together.reshape(*together.shape[:2], -1)
    return rest
