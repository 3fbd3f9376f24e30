"""How much each level relies on the others: pooling factors, and their posterior.

Takes a REML fit, and the posterior of the same model; gives the weight of the centre in
each level's estimate as a matrix over its effects, and the share of variance that a
level's rows leave of each.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.linalg import block_diag

from bayeslmm.comparison.blocks import Block, at_means, find_block
from bayeslmm.comparison.pairs import check_kind, check_same_model
from bayeslmm.comparison.products import level_products
from bayeslmm.errors import ModelError
from bayeslmm.posterior.places import label_draws
from bayeslmm.posterior.predictions import factor_draws
from bayeslmm.posterior.tables import IntervalKind, check_interval, interval_bounds
from bayeslmm.reml.centred import At, is_at_mean
from bayeslmm.tables import Table, words

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

MOST_DRAWS = 1_000
MOST_NUMBERS = 4_000_000  # held at a time


def shrinkage_matrices(
    reml: "RemlFit",
    post: "Posterior | None" = None,
    *,
    term: str | None = None,
    prob: float = 0.95,
    kind: Literal["eti", "hdi"] = "eti",
    at: At = "zero",
) -> pd.DataFrame:
    """Weight of the centre in each level's estimate, as a matrix over its effects.

    Use it with correlated effects: an intercept may be pulled by how far off a slope
    is. The diagonal is what an effect's own distance to the centre counts.

    Parameters
    ----------
    reml : RemlFit
        Fit by REML or ML.
    post : Posterior, optional
        Posterior of the same model; without it its columns are left out.
    term : str, optional
        Grouping factor (``"Subject"``) or term (``"(Days | Subject)"``); the first one
        by default.
    prob : float, default 0.95
        Probability of the posterior interval.
    kind : {"eti", "hdi"}, default "eti"
        Equal-tailed or highest-density interval.
    at : {"zero", "mean"}, default "zero"
        As for `shrinkage_table`.

    Returns
    -------
    DataFrame
        One row for each level and pair of effects. ``group``, ``level``, ``effect``,
        ``of`` (the effect whose distance to the centre is weighed); ``weight``, at the
        REML fit, and of the posterior ``mean``, ``lower``, ``upper``; in units of
        ``effect`` per unit of ``of``, unit-free on the diagonal.

    Raises
    ------
    ModelError
        If the fits are not of the same formula and rows, there is no such term, or the
        posterior is of structured residuals.

    Notes
    -----
    B_j = I - Sigma Z_j'V_j^-1 Z_j = (I + Sigma Z_j'WZ_j / sigma^2)^-1 with
    V_j = Z_j Sigma Z_j' + sigma^2 W^-1, all other effects given. Then partial = own -
    B_j (own - centre).

    References
    ----------
    .. [1] Gelman and Pardoe (2006). Technometrics 48(2).
       https://doi.org/10.1198/004017005000000517

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(3, 10, seed=1).data
    >>> reml = lmm.Model("score ~ edu + (1 | classroom)", pupils).fit_reml()
    >>> lmm.shrinkage_matrices(reml)["weight"].round(2).tolist()
    [0.11, 0.11, 0.11]
    """
    check_kind(reml, "reml", "RemlFit", "model.fit_reml()")
    check_interval(prob, kind)
    block = find_block(reml.model, term)
    block = at_means(reml.model, block) if is_at_mean(at) else block
    factor, back = _root(reml, block), np.linalg.inv(block.move)
    gram = back.T @ data_gram(reml, block) @ back
    k, j = len(block.effects), len(block.levels)
    found = Table(
        {
            "group": block.group,
            "level": words(np.repeat(np.array(block.levels, object), k * k)),
            "effect": words(np.tile(np.repeat(np.array(block.effects, object), k), j)),
            "of": words(np.tile(np.array(block.effects, object), j * k)),
            "weight": _weights(gram, factor[None], np.array([reml.sigma])).ravel(),
        }
    )
    if post is None:
        return found
    check_same_model(reml, post)
    if reml.model.conditioned.stack is not None:
        raise ModelError(
            "Under structured residuals the weights depend on their correlations, and "
            "are shown at the REML fit alone. Leave post out."
        )
    roots, sigmas = _draws(post, block)
    summary = np.empty((3, j, k, k))
    for own in _chunks(j, len(sigmas) * k * k):
        draws = _weights(gram[own], roots, sigmas)
        summary[0, own] = draws.mean(axis=0)
        summary[1:, own] = interval_bounds(draws[None], prob, kind)
    for name, values in zip(("mean", "lower", "upper"), summary, strict=True):
        found[name] = values.ravel()
    return found


def pooling_at(reml: "RemlFit", block: Block) -> Float[np.ndarray, "j k"]:
    """Share of each effect's variance that a level's rows leave, at the REML fit."""
    back = np.linalg.inv(block.move)
    gram = back.T @ data_gram(reml, block) @ back
    return _left(gram, _root(reml, block)[None], np.array([reml.sigma]))[0]


def pooling_summary(
    reml: "RemlFit", post: "Posterior", block: Block, prob: float, kind: IntervalKind
) -> pd.DataFrame:
    """Posterior mean and interval of the same."""
    j, k = len(block.levels), len(block.effects)
    found = np.full((3, j, k), np.nan)
    if reml.model.conditioned.stack is None:
        back = np.linalg.inv(block.move)
        gram = back.T @ data_gram(reml, block) @ back
        roots, sigmas = _draws(post, block)
        for own in _chunks(j, len(sigmas) * k * k):
            draws = _left(gram[own], roots, sigmas)
            found[0, own] = draws.mean(axis=0)
            found[1:, own] = interval_bounds(draws[None], prob, kind)
    names = ("pooling_mean", "pooling_lower", "pooling_upper")
    return Table({name: found[i].ravel() for i, name in enumerate(names)})


def data_gram(reml: "RemlFit", block: Block) -> Float[np.ndarray, "j k k"]:
    """Z_j'W Z_j of the data's columns."""
    gram, _, turn = level_products(reml, block)
    back = np.linalg.inv(turn)
    return back.T @ gram @ back


def _root(reml: "RemlFit", block: Block) -> Float[np.ndarray, "k k"]:
    """Root of the covariance of the block's effects at the REML fit."""
    own = np.asarray(block_diag(*(reml.factors[t] for t in block.terms)))
    return block.move @ own


def _draws(
    post: "Posterior", block: Block
) -> tuple[Float[np.ndarray, "s k k"], Float[np.ndarray, " s"]]:
    """Draws of the root and of sigma, at most `MOST_DRAWS`, evenly."""
    design, tree = post.model.design, post.idata
    sigmas = label_draws(design, tree, "sigma").ravel()
    every = max(1, -(-len(sigmas) // MOST_DRAWS))
    k, start = len(block.effects), 0
    roots = np.zeros((len(sigmas[::every]), k, k))
    for t in block.terms:
        own = factor_draws(design, tree, t)
        own = own.reshape(-1, *own.shape[2:])[::every]
        span = slice(start, start + own.shape[-1])
        roots[:, span, span] = own
        start = span.stop
    return block.move @ roots, sigmas[::every]


def _chunks(levels: int, each: int) -> list[slice]:
    """Slices of levels, each few enough to be held for all draws."""
    size = max(1, MOST_NUMBERS // each)
    return [slice(i, min(i + size, levels)) for i in range(0, levels, size)]


def _given(
    gram: Float[np.ndarray, "j k k"],
    roots: Float[np.ndarray, "s k k"],
    sigmas: Float[np.ndarray, " s"],
) -> Float[np.ndarray, "s j k k"]:
    """Covariance of a level's effects given all else: L (I + L'AL / sigma^2)^-1 L'."""
    L, scale = roots[:, None], np.square(sigmas)[:, None, None, None]
    inner = np.eye(roots.shape[-1]) + L.swapaxes(-1, -2) @ gram @ L / scale
    turned = np.broadcast_to(L.swapaxes(-1, -2), inner.shape)
    return L @ np.linalg.solve(inner, turned)


def _weights(
    gram: Float[np.ndarray, "j k k"],
    roots: Float[np.ndarray, "s k k"],
    sigmas: Float[np.ndarray, " s"],
) -> Float[np.ndarray, "s j k k"]:
    """Weight of the centre, I - cov A / sigma^2."""
    scale = np.square(sigmas)[:, None, None, None]
    return np.eye(roots.shape[-1]) - _given(gram, roots, sigmas) @ gram / scale


def _left(
    gram: Float[np.ndarray, "j k k"],
    roots: Float[np.ndarray, "s k k"],
    sigmas: Float[np.ndarray, " s"],
) -> Float[np.ndarray, "s j k"]:
    """Variances given all else over those before the data; 1 of an SD of 0."""
    left = np.einsum("sjaa->sja", _given(gram, roots, sigmas))
    prior = np.square(roots).sum(axis=-1)[:, None, :]
    whole = np.broadcast_to(prior, left.shape)
    return np.divide(left, whole, out=np.ones(left.shape), where=whole > 0.0)
