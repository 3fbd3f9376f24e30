"""Where the uncertainty of each random effect comes from: the law of total variance.

Takes a `Posterior`; gives its variance of each random effect in three parts that add up
to it: residual noise, fixed effects, variance parameters.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm.comparison.pairs import check_kind
from bayeslmm.tables import Table, words

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior


def ranef_variance(post: "Posterior") -> pd.DataFrame:
    """Posterior variance of every random effect, split by where it comes from.

    Use it to see what more rows of a level, more levels, or a better known SD would
    change. REML's conditional variances have the first part, or the first two.

    Parameters
    ----------
    post : Posterior
        Gaussian, with Normal or flat priors of the fixed effects.

    Returns
    -------
    DataFrame
        One row for each term, level and effect. ``term``, ``group``, ``level``,
        ``effect``, ``n`` (rows of the level); ``variance``: posterior variance of the
        effect; its parts ``residual``, ``fixef`` and ``variances``, which add up to it:
        noise of the level's rows given all parameters, what not knowing the fixed
        effects adds, what not knowing SDs, correlations and sigma adds. In squared
        units of y per unit of the column. NaN where the variance does not exist.

    Raises
    ------
    ModelError
        If the effects were not integrated out (another family).

    Notes
    -----
    With theta the variance parameters, Var(b) = E[Var(b | theta, beta)] +
    E[Var(E[b | theta, beta] | theta)] + Var(E[b | theta]). Given theta all is Gaussian
    and in closed form; over theta these are sums over the points of the posterior, a
    lattice with up to three variance parameters, else draws. Under flat priors of the
    fixed effects the first two parts together are, at REML's theta, the squared
    standard errors of predicted effects [1]_.

    References
    ----------
    .. [1] Kass and Steffey (1989). J. Am. Stat. Assoc. 84(407).
       https://doi.org/10.1080/01621459.1989.10478825

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> post = model.sample(draws=200, seed=1, progress=False)
    >>> parts = lmm.ranef_variance(post)
    >>> whole = parts[["residual", "fixef", "variances"]].sum(axis=1)
    >>> bool((abs(whole / parts["variance"] - 1) < 1e-9).all())
    True
    """
    check_kind(post, "post", "Posterior", "model.sample()")
    # not needed by a REML fit that is printed
    from bayeslmm.posterior.mixtures import effects_at
    from bayeslmm.posterior.weighted import weighted_points

    design, points = post.model.design, weighted_points(post)
    total = 0.0
    sums: list[np.ndarray | float] = [0.0] * (4 * len(design.groups))
    centers = points.target.effects(points.weights @ points.x).b
    for weight, own in effects_at(points):
        total += weight
        for t, center in enumerate(centers):
            given, whole = (
                np.einsum("jaa->ja", cov[t])
                for cov in (own.b_cov_given_beta, own.b_cov)
            )
            away = own.b[t] - center  # of a point near the mean: no digits are lost
            for i, value in enumerate((given, whole - given, away, away**2)):
                sums[4 * t + i] = sums[4 * t + i] + weight * value
    parts = []
    for t, term in enumerate(design.groups):
        given, fixed, away, square = (
            np.asarray(sums[4 * t + i]) / total for i in range(4)
        )
        spread = np.maximum(square - away**2, 0.0)
        found = np.stack([given + fixed + spread, given, fixed, spread])
        lacking = [f"{e}|{term.group}" in post.status.missing.sd for e in term.effects]
        found[:, :, lacking] = np.nan
        j, k = given.shape
        table = {
            "term": term.label,
            "group": term.group,
            "level": words(np.repeat(np.array(term.levels, object), k)),
            "effect": words(np.tile(np.array(term.effects, object), j)),
            "n": np.repeat(design.moments.sizes[t], k),
        }
        names = ("variance", "residual", "fixef", "variances")
        numbers = {n: v.ravel() for n, v in zip(names, found, strict=True)}
        parts.append(Table(table | numbers))
    return Table(pd.concat(parts, ignore_index=True))
