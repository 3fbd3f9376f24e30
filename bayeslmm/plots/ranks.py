"""ArviZ's figure of ranks, with one band for the chains of all panels."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.plots.options import options_checked
from bayeslmm.plots.panels import caption, grid, scalar_draws, thinned
from bayeslmm.plots.shown import shown_collection

if TYPE_CHECKING:
    from arviz_plots import PlotCollection
    from xarray import DataTree

    from bayeslmm.posterior.fit import Posterior

MOST_RANKED, FEWEST_RANKED = 250, 20  # draws of a chain
FALSE_MARK = 0.01  # chance that any chain leaves the band where all are right
SIMULATIONS = 4000  # behind the band; its probability of a panel is near one


@options_checked
def plot_rank(
    post: "Posterior",
    *,
    labels: Sequence[str] | None = None,
) -> "PlotCollection":
    """Ranks of the draws of each chain, as differences from uniform.

    Use it with `plot_trace`: a chain far from zero sampled another distribution than
    the others. The grey band is simultaneous: where all chains are right, all of them
    stay in it in all panels together with probability 99%. REML has no rank and is not
    drawn.

    Parameters
    ----------
    post : Posterior
        Posterior.
    labels : sequence of str, optional
        Parameters or whole variables; by default every parameter.

    Returns
    -------
    PlotCollection
        Of arviz-plots, out of pyplot's register; notebooks show it, ``.savefig(path)``
        writes it.

    Raises
    ------
    ModelError
        If a label is unknown.

    References
    ----------
    .. [1] Saeilynoja, Buerkner and Vehtari (2022). Stat. Comput. 32.
       https://doi.org/10.1007/s11222-022-10090-6
    .. [2] Vehtari et al. (2021). Bayesian Anal. 16(2).
       https://doi.org/10.1214/20-BA1221

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> reml, post = model.fit_reml(), model.sample(draws=200, seed=1, progress=False)
    >>> figure = lmm.plot_rank(post)
    """
    import arviz as az

    draws = scalar_draws(post, labels)
    names = list(draws["posterior"].data_vars)
    draws = thinned(draws, _independent_step(draws))
    figure = az.plot_rank(
        draws,
        method="envelope",
        thin=False,  # done above
        # arviz-stats 1.x takes ranks among chains for independent uniforms, and its
        # band of several chains may be all of [0, 1]
        visuals={"credible_interval": False},
        stats={"ecdf_pit": {"n_simulations": 1}},
        **grid(draws),
    )
    sizes = draws["posterior"].sizes
    band = rank_band(sizes["draw"], sizes["chain"], 1.0 - FALSE_MARK / len(names))
    for ax in figure.viz["figure"].item().axes:
        ax.fill_between(*band, step="post", color="black", alpha=0.1, linewidth=0.0)
        ax.autoscale_view()
    words = (
        f"rank ECDF less uniform, a colour for each chain;\n"
        f"grey: {100 * (1.0 - FALSE_MARK):.0f}% envelope of all panels together"
    )
    caption(figure, words, None)
    return shown_collection(figure)


@lru_cache(maxsize=32)
def rank_band(
    n_draws: int, n_chains: int, prob: float
) -> tuple[
    Float[np.ndarray, " d"],
    Float[np.ndarray, " d"],
    Float[np.ndarray, " d"],
]:
    """Where the rank ECDFs of all chains stay together with a probability.

    Parameters
    ----------
    n_draws, n_chains : int
        Draws of a chain, which are taken as independent, and chains.
    prob : float
        Probability that no chain leaves the band anywhere.

    Returns
    -------
    x, lower, upper : ndarray, shape (n_draws + 1,)
        Fractional ranks, and the bounds of the ECDF less them. Every point has the
        same tail probability, found by simulation ([1]_, section 3).

    References
    ----------
    .. [1] Saeilynoja, Buerkner and Vehtari (2022). Stat. Comput. 32.
       https://doi.org/10.1007/s11222-022-10090-6
    """
    from scipy.stats import hypergeom

    total = n_draws * n_chains
    at = np.arange(n_chains, total, n_chains)  # ranks where the ECDFs are compared
    counts = np.arange(-1, n_draws + 1)
    below = hypergeom.cdf(counts[:, None], total, n_draws, at)  # -1 for "none below"
    chain_of = np.repeat(np.arange(n_chains), n_draws)
    rng, column = np.random.default_rng(1), np.arange(len(at))
    least = np.ones(SIMULATIONS)
    for i in range(SIMULATIONS):
        order = rng.permutation(chain_of)
        for chain in range(n_chains):
            found = np.cumsum(order == chain)[at - 1]
            lower = below[found + 1, column]
            upper = 1.0 - below[found, column]
            least[i] = min(least[i], lower.min(), upper.min())
    tail = np.quantile(least, 1.0 - prob)
    low = hypergeom.ppf(tail, total, n_draws, at) / n_draws
    high = hypergeom.isf(tail, total, n_draws, at) / n_draws
    x = at / total
    ends = np.concatenate([[0.0], x, [1.0]])
    return (
        ends,
        np.concatenate([[0.0], low - x, [0.0]]),
        np.concatenate([[0.0], high - x, [0.0]]),
    )


def _independent_step(draws: "DataTree") -> int:
    """Every how many draws are about independent, and few enough to be ranked.

    The band is that of independent draws (with an autocorrelation of 0.5 chains leave
    it in 25% of runs instead of 1%), and its time grows with their number.
    """
    import arviz as az

    posterior = draws["posterior"].to_dataset()
    ess = [  # of each chain alone: chains that lie apart are no autocorrelation
        float(values)
        for chain in range(posterior.sizes["chain"])
        for values in az.ess(posterior.isel(chain=[chain])).values()
    ]
    wanted = max(min([MOST_RANKED, *ess]), FEWEST_RANKED)  # nan for a constant
    return max(1, round(posterior.sizes["draw"] / wanted))
