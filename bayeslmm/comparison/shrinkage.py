"""What pooling did to each level: no, partial and complete pooling, side by side.

A level's no-pooling estimate is its own regression on the columns that vary by
level, with everything else at its REML value; with those held, the BLUP is exactly a
weighted mean of that estimate and the centre, and `shrinkage` is the weight of the
centre.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.linalg import block_diag

from bayeslmm.comparison.blocks import (
    Block,
    at_means,
    coefficient_draws,
    find_block,
    group_blocks,
    name_index,
)
from bayeslmm.comparison.pairs import check_kind, check_same_model
from bayeslmm.comparison.products import level_products
from bayeslmm.comparison.reliance import pooling_at, pooling_summary
from bayeslmm.comparison.table import interval_name
from bayeslmm.posterior.tables import IntervalKind, check_interval, interval_bounds
from bayeslmm.reml.centred import At, is_at_mean
from bayeslmm.tables import Table, words

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

# A level identifies its own regression if the smallest eigenvalue of its products,
# columns scaled to unit length, is above this.
NEGLIGIBLE = 1e-9


def shrinkage_table(
    reml: "RemlFit",
    post: "Posterior | None" = None,
    *,
    prob: float = 0.95,
    kind: Literal["eti", "hdi"] = "eti",
    at: At = "zero",
) -> pd.DataFrame:
    """No, partial and complete pooling of every level.

    Use it to see how far each level was moved from its own data towards the others.

    Parameters
    ----------
    reml : RemlFit
        Fit by REML or ML.
    post : Posterior, optional
        Posterior of the same model; without it its columns are left out.
    prob : float, default 0.95
        Probability of the posterior interval.
    kind : {"eti", "hdi"}, default "eti"
        Equal-tailed or highest-density interval.
    at : {"zero", "mean"}, default "zero"
        Where numeric predictors stand for an intercept: at 0, as in lme4's ``coef``, or
        at their means over the rows used.

    Returns
    -------
    DataFrame
        One row for each group, level and effect. ``term``, ``group``, ``level``,
        ``effect``, ``n`` (rows of the level); ``no_pooling``: the level's own least
        squares, the common part at its REML value (NaN where its rows cannot
        identify it); ``partial_pooling``: fixed effect plus BLUP; ``complete_pooling``:
        the same regression with all levels as one; ``center``: the fixed part, which
        levels are pulled to; ``shrinkage``: 0 none, 1 full, per level, unit-free;
        ``pooling``: the same of each effect alone, the share of its variance that the
        level's rows leave; ``posterior`` (mean), ``lower``, ``upper``; and of the
        pooling ``pooling_mean``, ``pooling_lower``, ``pooling_upper`` (NaN under
        structured residuals). In units of y per unit of the column. ``attrs`` names the
        interval.

    Raises
    ------
    ModelError
        If the fits are not of the same formula and rows, `prob` is no probability, or
        `at` is another word.

    Notes
    -----
    With A_j = Z_j'W Z_j, the weight of the centre is (I + Sigma A_j / sigma^2)^-1, as a
    matrix in `shrinkage_matrices`; ``shrinkage`` is the mean of its eigenvalues,
    ``pooling`` the diagonal of its product with Sigma over that of Sigma. For one
    effect per level both are sigma^2 / (sigma^2 + n_j tau^2), one minus the
    reliability.

    References
    ----------
    .. [1] Gelman and Pardoe (2006). Technometrics 48(2).
       https://doi.org/10.1198/004017005000000517

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(3, 10, seed=1).data
    >>> reml = lmm.Model("score ~ edu + (1 | classroom)", pupils).fit_reml()
    >>> table = lmm.shrinkage_table(reml).set_index("level")
    >>> table[["no_pooling", "partial_pooling", "shrinkage"]].round(2)
           no_pooling  partial_pooling  shrinkage
    level
    c00         11.02            10.99       0.11
    c01          9.57             9.71       0.11
    c02         11.76            11.65       0.11
    """
    check_kind(reml, "reml", "RemlFit", "model.fit_reml()")
    if post is not None:
        check_same_model(reml, post)
    check_interval(prob, kind)
    centred, parts = is_at_mean(at), []
    for block in group_blocks(reml.model):
        block = at_means(reml.model, block) if centred else block
        part = _pooling_of_block(reml, block)
        if post is not None:
            part = part.join(_posterior_of_block(post, block, prob, kind))
            part = part.join(pooling_summary(reml, post, block, prob, kind))
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    if post is not None and post.status.missing.mean:
        keys = ["group", "level", "effect"]
        known = (
            post.coef()
            .set_index(keys)["mean"]
            .reindex(pd.MultiIndex.from_frame(table[keys]))
        )
        table["posterior"] = table["posterior"].mask(known.isna().to_numpy())
    table.attrs = {"method": reml.method, "prob": prob, "kind": kind, "at": at}
    table.attrs["interval"] = interval_name(prob, kind)
    return table


def shrinkage_covariances(
    post: "Posterior", group: str, effects: tuple[str, str], *, at: At = "zero"
) -> Float[np.ndarray, "j 2 2"]:
    """Posterior covariance of two coefficients of each level.

    Parameters
    ----------
    post : Posterior
        Posterior.
    group : str
        Grouping factor.
    effects : tuple of str
        Two of its effects, ``("Intercept", "Days")``.
    at : {"zero", "mean"}, default "zero"
        As for `shrinkage_table`.

    Returns
    -------
    ndarray, shape (j, 2, 2)
        Covariances of (fixed + random) coefficients, units of y squared per units of
        the columns.

    Raises
    ------
    ModelError
        If there is no such group or effect.
    """
    block = find_block(post.model, group)
    block = at_means(post.model, block) if is_at_mean(at) else block
    columns = [
        name_index(block.effects, effect, f"effects of {group}") for effect in effects
    ]
    found = np.empty((len(block.levels), 2, 2))
    for start, draws in coefficient_draws(post, block, columns):
        centred = draws - draws.mean(axis=0)
        covariance = np.einsum("sja,sjb->jab", centred, centred) / (len(draws) - 1)
        found[start : start + len(covariance)] = covariance
    return found


def _pooling_of_block(reml: "RemlFit", block: Block) -> pd.DataFrame:
    """Point estimates of one grouping factor, long by level and effect."""
    gram, score, turn = level_products(reml, block)
    pooled = np.linalg.lstsq(gram.sum(axis=0), score.sum(axis=0), rcond=None)[0]
    # what the moved intercept has of columns that do not vary in this block
    shift = block.carried @ np.where(block.common, reml.beta, 0.0)
    own = _own_regressions(gram, score) @ turn.T @ block.move.T + shift
    complete = block.move @ turn @ pooled + shift
    center = block.carried @ reml.beta
    effects = _effects(reml, block.terms) @ block.move.T
    j, k = effects.shape
    return Table(
        {
            "term": np.tile(block.labels, j),
            "group": block.group,
            "level": words(np.repeat(np.array(block.levels, object), k)),
            "effect": words(np.tile(np.array(block.effects, object), j)),
            "n": np.repeat(block.sizes, k),
            "no_pooling": own.ravel(),
            "partial_pooling": (center + effects).ravel(),
            "complete_pooling": np.tile(complete, j),
            "center": np.tile(center, j),
            "shrinkage": np.repeat(_shrinkage(reml, block, gram, turn), k),
            "pooling": pooling_at(reml, block).ravel(),
        }
    )


def _effects(reml: "RemlFit", terms: tuple[int, ...]) -> Float[np.ndarray, "j k"]:
    """BLUPs of the terms of one grouping factor, side by side."""
    return np.hstack([reml.effects.b[t] for t in terms])


def _own_regressions(
    gram: Float[np.ndarray, "j k k"], score: Float[np.ndarray, "j k"]
) -> Float[np.ndarray, "j k"]:
    """Least squares of each level; a row of NaN where its rows do not identify it."""
    length = np.sqrt(np.maximum(np.einsum("jaa->ja", gram), 0.0))
    safe = np.where(length > 0.0, length, 1.0)
    scaled = gram / (safe[:, :, None] * safe[:, None, :])
    identified = np.linalg.eigvalsh(scaled)[:, 0] > NEGLIGIBLE
    found = np.full(score.shape, np.nan)
    solved = np.linalg.solve(scaled[identified], (score / safe)[identified][..., None])
    found[identified] = solved[..., 0] / safe[identified]
    return found


def _shrinkage(
    reml: "RemlFit",
    block: Block,
    gram: Float[np.ndarray, "j k k"],
    turn: Float[np.ndarray, "k k"],
) -> Float[np.ndarray, " j"]:
    """Mean eigenvalue of (I + Sigma A_j / sigma^2)^-1, in [0, 1]."""
    own = np.asarray(block_diag(*(reml.factors[t] for t in block.terms)))
    factor = np.linalg.solve(turn, own)
    # similar to the symmetric matrix I + L'A L / sigma^2, whose eigenvalues are >= 1
    inner = factor.T @ gram @ factor / reml.sigma**2
    return (1.0 / (1.0 + np.maximum(np.linalg.eigvalsh(inner), 0.0))).mean(axis=1)


def _posterior_of_block(
    post: "Posterior", block: Block, prob: float, kind: IntervalKind
) -> pd.DataFrame:
    """Posterior mean and interval of each level and effect, in the same order."""
    j, k = len(block.levels), len(block.effects)
    found = np.empty((3, j, k))
    for start, draws in coefficient_draws(post, block, list(range(k))):
        stop = start + draws.shape[1]
        found[0, start:stop] = draws.mean(axis=0)
        found[1:, start:stop] = interval_bounds(draws[None], prob, kind)
    names = ("posterior", "lower", "upper")
    return Table({name: found[i].ravel() for i, name in enumerate(names)})
