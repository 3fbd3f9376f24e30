"""Whether the data look like the model, by draws: the checks of a REML fit.

Takes a `Posterior`; gives an `AssumptionCheck`. At each draw of the covariance
parameters the statistics of the data stand beside those of a response that the model
makes there: posterior predictive checks of realised discrepancies.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.design.arrays import rows_of
from bayeslmm.design.rows import linear_predictor
from bayeslmm.errors import ModelError
from bayeslmm.marginal.saferows import safe_rows
from bayeslmm.marginal.standardizing import make_standardizer
from bayeslmm.posterior.residuals import relative_draws
from bayeslmm.reml.check import AssumptionCheck, check_rows, inflation_rows
from bayeslmm.reml.replicates import Replicates, finite, observed_response

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior

WHAT = "checks of all rows"
# Draws at which the data are set beside a response, and rows times draws in all.
MOST, FEWEST, WORTH = 399, 99, 4_000_000


def check_posterior(
    post: "Posterior",
    *,
    time: object = None,
    within: str | None = None,
    seed: int | np.random.Generator | None = 0,
) -> AssumptionCheck:
    """The assumptions of a posterior; see `Posterior.check`."""
    check_gaussian(post, "check()")
    design, nsim = post.model.design, number_of_draws(post)
    return check_rows(
        post.model,
        posterior_replicates(post, nsim, seed),
        residual=post.residuals("standardized"),
        others=[inflation_rows(design, post.vcov().to_numpy())],
        time=time,
        within=within,
        nsim=nsim,
    )


def number_of_draws(post: "Posterior") -> int:
    """How many draws are looked at: fewer of many rows."""
    made = post.status.chains * post.status.draws
    return min(made, int(np.clip(WORTH // post.nobs, FEWEST, MOST)))


def check_gaussian(post: "Posterior", verb: str) -> None:
    """Raise `ModelError` for another family."""
    if post.model.family != "gaussian":
        raise ModelError(
            f"{verb} is of Gaussian models, and this one is {post.model.family!r}: its "
            f"residuals have no common scale. Compare "
            f"post.predict_draws(kind='response') with the response."
        )


def posterior_replicates(
    post: "Posterior", nsim: int, seed: int | np.random.Generator | None
) -> Iterator[Replicates]:
    """The data beside a response of the model, at each of so many draws."""
    rng, model = np.random.default_rng(seed), post.model
    given = rows_of(model.design, WHAT)
    rows = safe_rows(model.design, model.conditioned, WHAT)
    for relative, sigma in relative_draws(post, rows, nsim):
        standard = make_standardizer(rows, relative)
        conditioned, beta = rows.conditioned, standard.seen.beta
        fixed = linear_predictor(given, conditioned.coefficients(beta), None)
        observed = finite(standard(observed_response(rows, sigma)))
        drawn = finite(standard(standard.simulate(rng, 1)))
        left = standard.seen.residual * conditioned.unit
        yield Replicates(
            replace(observed, fitted=(given.y - left)[None]),
            replace(drawn, fitted=fixed + sigma * drawn.fitted),
        )
