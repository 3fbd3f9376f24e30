"""Gelman and Pardoe's pooling of each level of a model: data, and each random effect.

Takes a `Posterior`; gives how much the errors of a level of the model are pooled to 0,
and what share of variance the data level explains.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm.comparison.blocks import group_blocks, level_draws
from bayeslmm.comparison.pairs import check_kind
from bayeslmm.errors import ModelError
from bayeslmm.posterior.explained import Spread
from bayeslmm.posterior.predictions import linear_draws, old_rows, row_chunks
from bayeslmm.posterior.tables import beta_draws
from bayeslmm.tables import Table

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior

LEVELS_AT_ONCE = 512


def pooling_factors(post: "Posterior") -> pd.DataFrame:
    """Pooling of each level of the model: of the rows, and of each random effect.

    Use it for one number per level of the model: above 0.5 a batch of effects is closer
    to its centre than to what its levels' own data say.

    Parameters
    ----------
    post : Posterior
        Posterior of a Gaussian model.

    Returns
    -------
    DataFrame
        Index ``data`` (the rows) and each effect as in `varcorr`,
        ``Days|Subject``. Columns ``n`` (rows or levels); ``error_variance``: posterior
        mean of the variance over them of the errors (rows less fitted values; random
        effects), squared units of y per unit of the column; ``pooling``: lambda,
        unit-free, 0 none, 1 complete; ``r2``: share of variance explained, of the rows;
        NaN of effects, which the levels share no predictor for, and of rows that were
        read in batches.

    Raises
    ------
    ModelError
        If `post` is no posterior, or of another family.

    Notes
    -----
    lambda = 1 - V(E(e)) / E(V(e)), R2 = 1 - E(V(e)) / E(V(y)), with E over the
    posterior and V the variance over the rows or levels, divided by their number less
    one [1]_. Computed from the draws.

    References
    ----------
    .. [1] Gelman and Pardoe (2006). Technometrics 48(2).
       https://doi.org/10.1198/004017005000000517

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> post = model.sample(draws=200, seed=1, progress=False)
    >>> lmm.pooling_factors(post).index.tolist()
    ['data', 'Intercept|classroom']
    """
    check_kind(post, "post", "Posterior", "model.sample()")
    if post.model.family != "gaussian":
        raise ModelError(
            f"Pooling of the rows is known for Gaussian models, and this one is of "
            f"family {post.model.family!r}. ranef() has its effects."
        )
    found = {"data": _of_rows(post)}
    missing = post.status.missing.sd
    for block in group_blocks(post.model):
        spread, means = [Spread() for _ in block.effects], []
        for start in range(0, len(block.levels), LEVELS_AT_ONCE):
            stop = min(start + LEVELS_AT_ONCE, len(block.levels))
            draws = level_draws(post, block, range(start, stop))
            means.append(draws.mean(axis=0))
            for i, own in enumerate(spread):
                own.see(draws[None, :, :, i])
        of_means = np.vstack(means).var(axis=0, ddof=1)
        for i, effect in enumerate(block.effects):
            label, error = f"{effect}|{block.group}", float(np.mean(spread[i].variance))
            pooling = 1.0 - float(of_means[i]) / error
            if label in missing:
                error, pooling = np.nan, np.nan
            found[label] = (len(block.levels), error, pooling, np.nan)
    columns = ["n", "error_variance", "pooling", "r2"]
    table = pd.DataFrame.from_dict(found, orient="index", columns=columns)
    return Table(table.astype({"n": int}))


def _of_rows(post: "Posterior") -> tuple[int, float, float, float]:
    """Rows, error variance, pooling and R2 of the data."""
    model, tree = post.model, post.idata
    n, own = model.design.n, model.design.rows
    if own is None:
        return n, np.nan, np.nan, np.nan
    beta, left, means = beta_draws(model.design, tree), Spread(), []
    rows = old_rows(model, tree)
    for part in row_chunks(beta.shape[0] * beta.shape[1], n):
        errors = own.y[part] - linear_draws(beta, rows, part)
        left.see(errors)
        means.append(errors.mean(axis=(0, 1)))
    error = float(np.mean(left.variance))
    pooling = 1.0 - float(np.concatenate(means).var(ddof=1)) / error
    return n, error, pooling, 1.0 - error / float(own.y.var(ddof=1))
