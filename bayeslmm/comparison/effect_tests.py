"""One effect, several p values: z, Satterthwaite, Kenward-Roger, the posterior.

Takes both fits of a model; gives for each fixed effect the t distribution that each
method says it has. They differ by what they do about the variances: take them as known
(z), let their error be seen in the degrees of freedom (Satterthwaite), correct the SE
for it as well (Kenward-Roger), or average over them (the posterior, under its priors).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import digamma, gammaln

from bayeslmm.comparison.pairs import check_same_model
from bayeslmm.errors import check_fraction
from bayeslmm.reml.ddf import Ddf
from bayeslmm.reml.effect_tests import t_columns
from bayeslmm.reml.tables import fixef_tests
from bayeslmm.tables import Table

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

METHODS: tuple[Ddf, ...] = ("z", "satterthwaite", "kenward-roger")
# Beyond these a t cannot be told from a Normal by some thousand draws.
MOST_DF, LEAST_DF = 200.0, 0.2
# Gain of t in log likelihood below which draws do not tell it from the Normal.
CLEAR = 4.0
# Random effects of crossed factors up to which Kenward-Roger takes less than a second.
MOST_CROSSED = 1500


@dataclass(frozen=True, slots=True)
class MatchedT:
    """The t distribution that is most like some draws: place, scale, df."""

    location: float
    scale: float
    df: float


def effect_tests(
    reml: "RemlFit", post: "Posterior | None" = None, *, prob: float = 0.95
) -> pd.DataFrame:
    """Tests of each fixed effect by every method, one below the other.

    Use it to see where different p values of one effect come from.

    Parameters
    ----------
    reml : RemlFit
        Point estimate.
    post : Posterior, optional
        Posterior of the same model. Its rows are of the t distribution that matches
        the draws of the effect (maximum likelihood): infinitely many degrees of freedom
        where it is Normal, few where variances are uncertain. ``p`` is then twice the
        posterior probability of the other sign, as the matched t has it.
    prob : float, default 0.95
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        Index ``label``, ``method`` (z, satterthwaite, kenward-roger, posterior);
        columns ``estimate``, ``se``, ``df``, ``t``, ``p``, ``lower``, ``upper``.
        Kenward-Roger is left out of an ML fit, and where crossed factors have so many
        levels that it would take longer than the fit (`RemlFit.summary` has it).

    Raises
    ------
    ModelError
        If the fits are not of the same formula and rows, or `prob` is no probability.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> fit = lmm.Model("score ~ edu + (1 | classroom)", pupils).fit_reml()
    >>> lmm.effect_tests(fit).loc["edu"].index.tolist()
    ['z', 'satterthwaite', 'kenward-roger']
    """
    check_fraction(prob, "prob")
    if post is not None:
        check_same_model(reml, post)
    tables: dict[str, pd.DataFrame] = {}
    for ddf in METHODS:
        if ddf != "kenward-roger" or _is_cheap(reml):
            tables[ddf] = fixef_tests(reml, ddf, prob)
    if post is not None:
        tables["posterior"] = _of_posterior(reml, post, prob)
    long = pd.concat(tables, names=["method"]).swaplevel()
    labels = next(iter(tables.values())).index
    order = pd.MultiIndex.from_product(
        [labels, list(tables)], names=["label", "method"]
    )
    return Table(long.reindex(order))


def _is_cheap(reml: "RemlFit") -> bool:
    """Whether Kenward and Roger's sums exist for a fit and cost little."""
    stats = reml.model.conditioned.statistics
    effects = sum(block.n_levels * block.k for block in stats.layout.blocks)
    if reml.design.residual is not None:
        return False
    return reml.method == "REML" and (not stats.rest or effects <= MOST_CROSSED)


def _of_posterior(reml: "RemlFit", post: "Posterior", prob: float) -> pd.DataFrame:
    """The matched t of each effect."""
    labels = [p.label for p in reml.model.space.fixed]
    found = [match_t(post.draws(label).ravel()) for label in labels]
    location, scale, df = (
        np.array([getattr(one, name) for one in found])
        for name in ("location", "scale", "df")
    )
    columns = t_columns(location, scale, df, prob)
    return pd.DataFrame(columns, index=pd.Index(labels, name="label"))


def match_t(draws: Float[np.ndarray, " s"]) -> MatchedT:
    """The t distribution under which draws are most likely.

    By likelihood and not by moments, which few degrees of freedom do not have.
    """
    from scipy.optimize import minimize

    centre = float(np.median(draws))
    spread = float(np.subtract(*np.quantile(draws, [0.75, 0.25]))) / 1.349
    if not spread > 0.0:
        return MatchedT(centre, spread, math.nan)
    z = (draws - centre) / spread
    bounds = [(None, None), (None, None), (math.log(LEAST_DF), math.log(MOST_DF))]
    start = np.array([0.0, 0.0, 2.0])
    best = minimize(_mean_loss(z), start, jac=True, bounds=bounds, method="L-BFGS-B")
    location, log_scale, log_df = best.x
    sd = float(z.std())
    normal = 0.5 * math.log(2.0 * math.pi) + math.log(sd) + 0.5
    if len(z) * (normal - best.fun) < CLEAR:
        return MatchedT(centre + spread * float(z.mean()), spread * sd, math.inf)
    scale = spread * math.exp(log_scale)
    return MatchedT(centre + spread * float(location), scale, math.exp(log_df))


def _mean_loss(
    z: Float[np.ndarray, " s"],
) -> Callable[[Float[np.ndarray, " 3"]], tuple[float, Float[np.ndarray, " 3"]]]:
    """Minus the mean log density over location, log scale and log df, with slopes."""

    def loss(at: Float[np.ndarray, " 3"]) -> tuple[float, Float[np.ndarray, " 3"]]:
        """Value and gradient."""
        df, r = math.exp(at[2]), (z - at[0]) * math.exp(-at[1])
        share = r * r / df
        logs = np.log1p(share)
        value = 0.5 * (df + 1.0) * logs.mean() + at[1]
        value += (
            gammaln(0.5 * df) - gammaln(0.5 * (df + 1.0)) + 0.5 * math.log(math.pi * df)
        )
        pull = (df + 1.0) / df * r / (1.0 + share)
        by_df = logs.mean() - (df + 1.0) / df * (share / (1.0 + share)).mean()
        by_df += digamma(0.5 * df) - digamma(0.5 * (df + 1.0)) + 1.0 / df
        slope = [
            -pull.mean() * math.exp(-at[1]),
            1.0 - (pull * r).mean(),
            0.5 * df * by_df,
        ]
        return float(value), np.array(slope)

    return loss
