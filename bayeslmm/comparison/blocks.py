"""All effects of one grouping factor side by side, and the draws of its coefficients.

All terms of one grouping factor are read together: ``(x || g)`` is two terms and one
factor.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import block_diag

from bayeslmm.errors import ModelError, check_names, check_text, nearest_names
from bayeslmm.marginal.conditioned import Conditioned
from bayeslmm.posterior.ondemand import SUMMARY_DRAWS, is_stored, some_draws, thinning
from bayeslmm.posterior.tables import beta_draws
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior

# A column of X counts as carried by the varying columns if regression on them leaves
# less than this fraction of its length.
NEGLIGIBLE = 1e-9
# The same from cross-products, which keep half of the digits of a length.
NEGLIGIBLE_IN_SUMS = 1e-6
LEVELS_AT_ONCE = 512  # keeps the draws in work below 512 * 4000 * 8 bytes = 16 MB


@dataclass(frozen=True, slots=True)
class Block:
    """All effects of one grouping factor.

    ``levels`` and ``sizes`` (j,), the rows of each, as in `GroupTerm`; ``terms`` and
    ``effects`` name each column; ``carried`` (k, p) turns fixed effects into their part
    of the level coefficients; ``common`` (p,) marks the columns of X that do not vary.
    ``move`` (k, k) takes effects of the data's columns to those of this block, whose
    intercept may be read where predictors are at their means.
    """

    group: str
    terms: tuple[int, ...]
    labels: tuple[str, ...]
    effects: tuple[str, ...]
    levels: tuple[str, ...]
    sizes: Int[np.ndarray, " j"]
    carried: Float[np.ndarray, "k p"]
    common: Bool[np.ndarray, " p"]
    move: Float[np.ndarray, "k k"]


def find_block(model: ModelSpec, group: str | None) -> Block:
    """The effects of one grouping factor, the first one for None."""
    blocks = group_blocks(model)
    if group is None:
        return blocks[0]
    group = check_text(group, "term")
    names = tuple(block.group for block in blocks)
    labels = {label: block for block in blocks for label in block.labels}
    if group in labels:
        return labels[group]
    return blocks[name_index(names, group, "grouping factors")]


def group_blocks(model: ModelSpec) -> list[Block]:
    """The effects of each grouping factor, in formula order."""
    by_group: dict[str, list[int]] = {}
    for t, term in enumerate(model.design.groups):
        by_group.setdefault(term.group, []).append(t)
    return [_block(model, group, tuple(ts)) for group, ts in by_group.items()]


def _block(model: ModelSpec, group: str, terms: tuple[int, ...]) -> Block:
    """All terms of one grouping factor side by side."""
    design = model.design
    members = [design.groups[t] for t in terms]
    if design.rows is not None:
        Z = np.hstack([design.rows.Z[t] for t in terms])
        carried, left = _regression(Z, design.rows.X)
        common = left > NEGLIGIBLE
    else:
        carried, left = _regression_of_sums(model, terms)
        common = left > NEGLIGIBLE_IN_SUMS
    carried[:, common] = 0.0
    return Block(
        group=group,
        terms=terms,
        labels=tuple(member.label for member in members for _ in member.effects),
        effects=tuple(effect for member in members for effect in member.effects),
        levels=members[0].levels,
        sizes=design.moments.sizes[terms[0]],
        carried=carried,
        common=common,
        move=np.eye(len(carried)),
    )


def at_means(model: ModelSpec, block: Block) -> Block:
    """The same effects with the intercept read at the means of numeric predictors.

    Means are over the rows used; factors stay at their reference level.
    """
    if "Intercept" not in block.effects:
        return block
    at, moments = block.effects.index("Intercept"), model.design.moments
    own = np.concatenate([moments.Z[t].mean for t in block.terms])
    move = np.eye(len(own))
    move[at] += np.where([is_numeric(effect) for effect in block.effects], own, 0.0)
    numeric = np.array([is_numeric(name) for name in model.design.fixed_names], bool)
    carried = move @ block.carried
    carried[at] += np.where(numeric & block.common, moments.X.mean, 0.0)
    return replace(block, carried=carried, move=move)


def is_numeric(column: str) -> bool:
    """Whether a column, by its label, is a predictor and no level of a factor."""
    return column != "Intercept" and not column.endswith("]")


def _regression(
    Z: Float[np.ndarray, "n k"], X: Float[np.ndarray, "n p"]
) -> tuple[Float[np.ndarray, "k p"], Float[np.ndarray, " p"]]:
    """Coefficients of the columns of X on Z, and the share of length that is left."""
    carried = np.linalg.lstsq(Z, X, rcond=None)[0]
    left = np.linalg.norm(X - Z @ carried, axis=0)
    return carried, left / np.linalg.norm(X, axis=0)


def _regression_of_sums(
    model: ModelSpec, terms: tuple[int, ...]
) -> tuple[Float[np.ndarray, "k p"], Float[np.ndarray, " p"]]:
    """The same from cross-products, where the rows are not in memory."""
    safe, p = model.conditioned, model.design.p
    stats, turn = safe.statistics, safe.root @ safe.to_moved  # X is X_safe turn
    at = [block.terms for block in stats.layout.blocks].index(terms)
    A, F = stats.sums.A[at].sum(axis=0), stats.sums.F[at].sum(axis=0)[:, :p]
    carried = np.linalg.lstsq(A, F, rcond=None)[0]
    left = stats.WW[:p, :p] - F.T @ carried - carried.T @ F + carried.T @ A @ carried
    whole = np.einsum("ap,ab,bp->p", turn, stats.WW[:p, :p], turn)
    share = np.einsum("ap,ab,bp->p", turn, left, turn) / whole
    return spread_of(safe, terms) @ carried @ turn, np.sqrt(np.maximum(share, 0.0))


def spread_of(safe: Conditioned, terms: tuple[int, ...]) -> Float[np.ndarray, "k k"]:
    """`Conditioned.spread` of the terms of one grouping factor along the diagonal."""
    return np.asarray(block_diag(*(safe.spread(t) for t in terms)))


def coefficient_draws(
    post: "Posterior", block: Block, columns: list[int]
) -> Iterator[tuple[int, Float[np.ndarray, "s j k"]]]:
    """Draws of fixed plus random coefficients, for a few levels at a time.

    Effects that were not stored are drawn now, at some of the draws only.
    """
    fixed = fixed_draws(post, block) @ block.carried[columns].T
    for start in range(0, len(block.levels), LEVELS_AT_ONCE):
        levels = range(start, min(start + LEVELS_AT_ONCE, len(block.levels)))
        effects = level_draws(post, block, levels)[..., columns]
        yield start, effects + fixed[:, None, :]


def level_draws(
    post: "Posterior", block: Block, levels: Sequence[int]
) -> Float[np.ndarray, "s j k"]:
    """Draws of the random effects of some levels, as many as of `fixed_draws`."""
    model, tree, most = post.model, post.idata, _most_draws(post, block)
    terms = [some_draws(model, tree, t, levels, most) for t in block.terms]
    effects = np.concatenate(terms, axis=-1) @ block.move.T
    return effects.reshape(-1, *effects.shape[2:])


def fixed_draws(post: "Posterior", block: Block) -> Float[np.ndarray, "s p"]:
    """Draws of the fixed effects; some only if those of the block are not stored."""
    every = thinning(post.idata, _most_draws(post, block))
    beta = beta_draws(post.model.design, post.idata)[:, ::every]
    return beta.reshape(beta.shape[0] * beta.shape[1], beta.shape[2])


def _most_draws(post: "Posterior", block: Block) -> int | None:
    """Draws that are made of effects that are not stored; None if they are."""
    groups, tree = post.model.design.groups, post.idata
    stored = all(is_stored(groups[t], tree) for t in block.terms)
    return None if stored else SUMMARY_DRAWS


def find_effects(block: Block, asked: object, most: int) -> tuple[str, ...]:
    """The effects asked for, the first `most` for None.

    Raises
    ------
    ModelError
        If they are no names, one is unknown or comes twice, or they are more.
    """
    if asked is None:
        return block.effects[:most]
    chosen = check_names(asked, "effects")
    for effect in chosen:
        name_index(block.effects, effect, f"effects of {block.group}")
    if len(set(chosen)) < len(chosen):
        raise ModelError(
            f"effects={list(chosen)} names one effect twice. Name each once."
        )
    if len(chosen) > most:
        raise ModelError(
            f"{len(chosen)} effects were asked for, and a figure holds 1 to {most}. "
            f"Ask for some of them at a time."
        )
    return chosen


def name_index(names: tuple[str, ...], name: str, what: str) -> int:
    """Position of `name` in `names`, or an error with the nearest ones."""
    if name in names:
        return names.index(name)
    raise ModelError(
        f"{name!r} is not among the {what} of this model.{nearest_names(name, names)}"
    )
