"""Ranks of the levels of a grouping factor, with their uncertainty.

Takes draws of one random effect of every level; gives the posterior of the rank of
each. Ranks of posterior means hide how little is known of an order; what is computed
here is the rank within each draw of all levels together.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import GroupTerm
from bayeslmm.design.memory import check_fits
from bayeslmm.design.points import effect_points
from bayeslmm.errors import (
    ModelError,
    check_count,
    check_fraction,
    check_text,
    is_choice,
    nearest_names,
)
from bayeslmm.posterior.ondemand import is_stored, some_draws
from bayeslmm.reml.shares import group_names, terms_of
from bayeslmm.spec import ModelSpec
from bayeslmm.tables import Table, words

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayeslmm.posterior.fit import Posterior

Best = Literal["highest", "lowest"]

# Numbers, draws times levels, that are ranked: 320 MB with their ranks. Of more levels
# fewer draws are looked at, but no fewer than these.
MOST_RANKED, FEWEST_DRAWS = 20_000_000, 200
# Share of the levels that are the top by default.
TOP = 0.1
# Of fewer levels any interval spans most ranks.
FEWEST_LEVELS = 5
# Share of all ranks that half of the intervals span where little is known of the order.
WIDE = 2 / 3


def rank_table(
    post: "Posterior",
    group: str | None,
    effect: str | None,
    at: Mapping[str, object] | None,
    best: str,
    top: int | None,
    prob: float,
) -> "pd.DataFrame":
    """Ranks of the levels of a factor; see `Posterior.rank_levels`."""
    check_fraction(prob, "prob")
    if not is_choice(best, ("highest", "lowest")):
        raise ModelError(f"Unknown best={best!r}: use 'highest' or 'lowest'.")
    model = post.model
    group, effect = _of_label(model, group, effect)
    chosen = _group(model, group)
    n_levels = model.design.groups[terms_of(model.design, chosen)[0]].n_levels
    n_top = _n_top(top, n_levels)
    if at is None:
        name, values = _of_effect(post, chosen, effect)
    else:
        name, values = _at_point(post, chosen, effect, at)
    rank = _ranks(values if best == "lowest" else -values)
    tails = [0.5 - 0.5 * prob, 0.5 + 0.5 * prob]
    lower, upper = np.quantile(rank, tails, axis=0, method="inverted_cdf")
    levels = model.design.groups[terms_of(model.design, chosen)[0]].levels
    table = Table(
        {
            "group": chosen,
            "level": words(np.array(levels, object)),
            "effect": name,
            "median": np.median(values, axis=0),
            "rank": rank.mean(axis=0),
            "rank_lower": lower.astype(int),
            "rank_upper": upper.astype(int),
            "p_best": (rank <= 1.0).mean(axis=0),
            "p_top": (rank <= n_top).mean(axis=0),
        }
    ).sort_values("rank", kind="stable", ignore_index=True)
    table.attrs |= {"top": n_top, "best": best, "prob": prob}
    table.attrs["notes"] = _notes(table, len(rank))
    return table


def _of_label(
    model: ModelSpec, group: str | None, effect: str | None
) -> tuple[str | None, str | None]:
    """Factor and effect of a label such as ``"Days|Subject"``, ``"1|Subject"``."""
    if not isinstance(effect, str) or group is not None:
        return group, effect
    for term in model.design.groups:
        for name in term.effects:
            label = f"{'1' if name == 'Intercept' else name}|{term.group}"
            if effect in (label, f"{label}_sigma", f"{name}|{term.group}"):
                return term.group, name
    return group, effect


def _group(model: ModelSpec, group: str | None) -> str:
    """The grouping factor asked for, or the only one."""
    known = group_names(model.design)
    if not known:
        raise ModelError(
            f"{model.formula.text!r} has no bar term, so there are no levels to rank."
        )
    if group is None and len(known) == 1:
        return known[0]
    if group is None:
        raise ModelError(
            f"The model has {len(known)} grouping factors, {', '.join(known)}. Say "
            f"whose levels are ranked: group={known[0]!r}."
        )
    if check_text(group, "group") not in known:
        raise ModelError(f"No grouping factor {group!r}.{nearest_names(group, known)}")
    return group


def _n_top(top: int | None, n_levels: int) -> int:
    """How many levels are the top: a tenth by default."""
    if n_levels < 2:
        raise ModelError("One level alone has no rank among others.")
    if top is None:
        return max(1, round(TOP * n_levels))
    if check_count(top, "top", 1) >= n_levels:
        raise ModelError(
            f"top={top} of {n_levels} levels: all of them are always among the top "
            f"{n_levels}. Give {n_levels - 1} at most."
        )
    return top


def _of_effect(
    post: "Posterior", group: str, effect: str | None
) -> tuple[str, Float[np.ndarray, "s j"]]:
    """Draws of one effect of every level, and its name."""
    design = post.model.design
    held = [
        (t, i, name)
        for t in terms_of(design, group)
        for i, name in enumerate(design.groups[t].effects)
    ]
    names = [name for _, _, name in held]
    if effect is None and len(names) > 1:
        raise ModelError(
            f"{group} has {len(names)} effects, {', '.join(names)}. Say which is "
            f"ranked, effect={names[0]!r}, or where, at={{...}}."
        )
    wanted = names[0] if effect is None else check_text(effect, "effect")
    if wanted not in names:
        raise ModelError(
            f"No effect {wanted!r} varies over {group}.{nearest_names(wanted, names)}"
        )
    t, i, _ = held[names.index(wanted)]
    return wanted, _draws(post.model, post.idata, t)[..., i]


def _at_point(
    post: "Posterior", group: str, effect: str | None, at: Mapping[str, object]
) -> tuple[str, Float[np.ndarray, "s j"]]:
    """Draws of all effects of a level together, where predictors have some values."""
    if effect is not None:
        raise ModelError(
            "effect= ranks by one effect, at= by all of them together where the "
            "predictors have some values. Give one of the two."
        )
    points = effect_points(post.model.recipe, at)
    if len(points.Z[0]) != 1:
        raise ModelError(
            f"Levels are ranked at one point, and at={dict(at)!r} makes "
            f"{len(points.Z[0])}. Give each predictor of the random part one value."
        )
    where = {name: own[0] for name, own in points.keys.items()} | points.held
    said = ", ".join(
        f"{name} = {value:.3g}" if isinstance(value, float) else f"{name} = {value}"
        for name, value in where.items()
    )
    total: Float[np.ndarray, "s j"] | float = 0.0
    for t in terms_of(post.model.design, group):
        total = total + _draws(post.model, post.idata, t) @ points.Z[t][0]
    assert isinstance(total, np.ndarray), "a grouping factor has a term"
    return said, total


def _draws(model: ModelSpec, tree: "xr.DataTree", t: int) -> Float[np.ndarray, "s j k"]:
    """Draws of a term's effects of all levels, fewer where there are many levels."""
    term, sizes = model.design.groups[t], tree["posterior"].sizes
    most = _most_draws(term)
    wanted = min(most, sizes["chain"] * sizes["draw"])
    check_fits(
        8.0 * wanted * term.n_levels * (term.k + 2),
        f"The ranks of {term.n_levels:,} levels in {wanted:,} draws",
        "Rank the levels of a smaller grouping factor.",
    )
    b = some_draws(model, tree, t, range(term.n_levels), most=most)
    b = b.reshape(-1, *b.shape[2:])
    return b[:: max(1, len(b) // most)] if is_stored(term, tree) else b


def _most_draws(term: GroupTerm) -> int:
    """Draws that are looked at."""
    return max(FEWEST_DRAWS, MOST_RANKED // term.n_levels)


def _ranks(values: Float[np.ndarray, "s j"]) -> Float[np.ndarray, "s j"]:
    """Rank of each level within each draw, 1 for the smallest."""
    order = np.argsort(values, axis=1, kind="stable")
    ranks = np.empty(values.shape)
    places = np.broadcast_to(np.arange(1.0, values.shape[1] + 1.0), values.shape)
    np.put_along_axis(ranks, order, places, axis=1)
    return ranks


def _notes(table: "pd.DataFrame", n_draws: int) -> tuple[str, ...]:
    """What the ranks are, and how sure the first of them is."""
    prob, best, n_top = (table.attrs[name] for name in ("prob", "best", "top"))
    first = table.iloc[0]
    among = "best" if n_top == 1 else f"among the {n_top} best"
    found = (
        f"Rank 1 is the {best}; rank: expected, with its {100 * prob:.4g}% interval, "
        f"over {n_draws:,} draws of all {len(table):,} levels together. p_top: "
        f"{among}.",
        f"First by expected rank: {first['level']}, the {best} with probability "
        f"{first['p_best']:.2f}; by chance alone it would be {1.0 / len(table):.2g}.",
    )
    wide = (table["rank_upper"] - table["rank_lower"] + 1).median() / len(table)
    if wide < WIDE or len(table) < FEWEST_LEVELS:
        return found
    share = "all ranks" if wide == 1.0 else f"{100 * wide:.0f}% of all ranks or more"
    return (
        *found,
        f"Half of the intervals span {share}: little is known of the order.",
    )
