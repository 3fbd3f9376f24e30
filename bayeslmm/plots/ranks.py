"""ArviZ's figure of ranks, with marks that never contradict the diagnosis."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.fit.diagnose import MAX_RHAT
from bayeslmm.plots.panels import caption, grid, scalar_draws, thinned

if TYPE_CHECKING:
    from arviz_plots import PlotCollection
    from xarray import DataTree

    from bayeslmm.fit.posterior import Posterior

MOST_RANKED, FEWEST_RANKED = 250, 20  # draws of a chain
FALSE_MARK = 0.01  # chance of any mark where all chains are right


def plot_rank(
    post: "Posterior",
    *,
    labels: Sequence[str] | None = None,
) -> "PlotCollection":
    """Ranks of the draws of each chain, as differences from uniform.

    Use it with `plot_trace`: a chain far from zero sampled another distribution than
    the others. Points are marked only where `Posterior.diagnose` says that chains
    disagree (R-hat), and there with a chance of 1% over all panels together. REML has
    no rank and is not drawn.

    Parameters
    ----------
    post : Posterior
        Posterior.
    labels : sequence of str, optional
        Parameters or whole variables; by default every parameter.

    Returns
    -------
    PlotCollection
        Of arviz-plots; ``.savefig(path)`` writes it.

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
    """
    import arviz as az

    draws = scalar_draws(post, labels)
    names = list(draws["posterior"].data_vars)
    marks = post.status.sampler == "nuts" and _disagree(draws)
    draws = thinned(draws, _independent_step(draws))
    figure = az.plot_rank(
        draws,
        envelope_prob=1.0 - FALSE_MARK / len(names),
        stats={"ecdf_pit": {"gamma": 0.0 if marks else np.inf}},  # least share marked
        **grid(draws),
    )
    for ax in figure.viz["figure"].item().axes:
        for text in [t for t in ax.texts if t.get_text().startswith("p=")]:
            text.remove()  # of one panel, as if there were no others
    caption(figure, "rank ECDF less uniform, a colour for each chain", None)
    return figure


def _disagree(draws: "DataTree") -> bool:
    """Whether `diagnose` would say that the chains of any panel disagree."""
    import arviz as az

    rhat = az.rhat(draws) if draws["posterior"].sizes["chain"] > 1 else None
    return rhat is not None and any(float(v) > MAX_RHAT for v in rhat.values())


def _independent_step(draws: "DataTree") -> int:
    """Every how many draws are about independent, and few enough to be ranked.

    The test behind the marks takes draws as independent (with an autocorrelation of
    0.5 it rejects 25% instead of 1%), and its time grows with the square of their
    number: 224 s for 6 parameters and 20,000 draws.
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
