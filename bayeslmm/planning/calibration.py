"""A calibration certificate: whether a posterior keeps its promises on these rows.

Takes a model; draws parameters from its priors and a response from these, fits that,
and asks where the true values lie among the draws; gives a `Calibration`.
"""

from collections import Counter
from functools import partial
from typing import Literal, cast, get_args

import numpy as np
import pandas as pd

from bayeslmm.design.arrays import rows_of
from bayeslmm.errors import (
    LARGEST_SEED,
    ModelError,
    PriorError,
    check_count,
    check_progress,
    check_seed,
    is_choice,
)
from bayeslmm.planning.certificate import (
    KINDS,
    LIKELIHOODS,
    PROB,
    PROBS,
    Calibration,
)
from bayeslmm.planning.refits import Outcome, compare_with_truth, draw_truths
from bayeslmm.planning.uniform import FEWEST, rank_table
from bayeslmm.posterior.options import choose_method
from bayeslmm.posterior.quadrature import MAX_DIMENSION
from bayeslmm.reml.chunks import check_jobs, in_chunks
from bayeslmm.simulation import prior_parameters
from bayeslmm.spec import Method, ModelSpec
from bayeslmm.tables import Table

# Data sets handed out together: a second of work for each message.
CHUNK = 5


def calibrate(
    model: ModelSpec,
    n: int = 200,
    *,
    seed: int | np.random.Generator | None = None,
    draws: int = 1000,
    method: Method = "auto",
    n_jobs: int = 1,
    progress: bool | Literal["auto"] = "auto",
) -> Calibration:
    """Simulation-based calibration of a model on its own rows.

    Use it before a posterior is trusted: where data come from the model and parameters
    from its priors, the rank of the true value among posterior draws is uniform [1]_
    and a credible interval of 95% holds it in 95 of 100 data sets. A sampler that is
    wrong, for this design, is found out.

    Parameters
    ----------
    model : Model
        Gaussian, rows in memory, proper priors. Its own response is looked at only by
        priors that are scaled by it; they then stay as they are for all data sets.
    n : int, default 200
        Data sets, 10 at least.
    seed : int or numpy.random.Generator, optional
        Same seed, same answer, whatever `n_jobs` is.
    draws : int, default 1000
        Draws of each of two chains.
    method : {"auto", "nuts", "importance", "quadrature"}, default "auto"
        How each posterior is drawn, as of `Model.sample`, whose draws are what is
        certified; but ``"auto"`` weights points where NUTS has no compiled density and
        would take ten times as long.
    n_jobs : int, default 1
        Processes, through joblib: -1 for all cores.
    progress : bool or "auto", default "auto"
        Whether to show a bar; "auto" where it takes more than some seconds.

    Returns
    -------
    Calibration
        ``.verdict``, ``.table`` of the ranks, ``.coverage`` of every interval,
        ``.plot()``. After Ctrl-C, of the data sets done until then.

    Raises
    ------
    PriorError
        If a prior is flat: nothing can be drawn from it, so nothing can be calibrated.
    ModelError
        If the family is not Gaussian, a fixed effect has a prior that cannot be
        integrated, or an option is out of range; if no data set had a fit.
    DataError
        If the rows were read in batches.

    Notes
    -----
    Beside the parameters two functions of data and parameters are ranked, the log
    likelihood given all effects and the one with the effects integrated out: a
    posterior that does not look at the data passes for every parameter and fails
    there [2]_. Wald and profile intervals make no promise over the prior; what they
    hold is shown beside the credible ones.

    References
    ----------
    .. [1] Talts, Betancourt, Simpson, Vehtari and Gelman (2018). Validating Bayesian
       inference algorithms with simulation-based calibration.
       https://doi.org/10.48550/arXiv.1804.06788
    .. [2] Modrak et al. (2023). Simulation-based calibration checking for Bayesian
       computation: the choice of test quantities shapes sensitivity. Bayesian Anal.
       https://doi.org/10.1214/23-BA1404
    .. [3] Saeilynoja, Buerkner and Vehtari (2022). Stat. Comput. 32, 32.
       https://doi.org/10.1007/s11222-022-10090-6
    """
    n = check_count(n, "n", FEWEST)
    draws = check_count(draws, "draws", FEWEST)
    check_seed(seed)
    shown, jobs = check_progress(progress), check_jobs(n_jobs)
    _check_model(model, method)
    rng = np.random.default_rng(seed)
    outcomes = in_chunks(
        partial(_chunk, model, method, draws),
        n,
        rng,
        n_jobs=jobs,
        progress=shown,
        title="simulated data sets",
        size=CHUNK,
        partial=True,
    )
    return _certificate(model, outcomes, n)


def _check_model(model: ModelSpec, method: object) -> None:
    """Raise unless data can be drawn from the priors and fitted fast."""
    known = [name for name in get_args(Method) if name != "joint"]
    if not is_choice(method, known):
        raise ModelError(
            f"Unknown method={method!r} of a calibration. Options: "
            f"{', '.join(map(repr, known))}."
        )
    if model.family != "gaussian":
        raise ModelError(
            f"A calibration fits hundreds of data sets, which takes seconds for a "
            f"Gaussian response and hours for family {model.family!r}, whose effects "
            f"cannot be integrated out. Draw data with "
            f"pymc.draw over model.to_pymc() and fit some of them."
        )
    rows_of(model.design, "a calibration")
    prior_parameters(model, 1, np.random.default_rng(0))  # flat priors have none
    chosen, reason = choose_method(model, "auto")
    if chosen == "joint":
        raise PriorError(f"{reason} A calibration needs priors that can be integrated.")
    size = model.space.size
    if method == "quadrature" and size > MAX_DIMENSION:
        raise ModelError(
            f"The model has {size} variance parameters, and quadrature takes at most "
            f"{MAX_DIMENSION}. Use method='auto'."
        )


def _chunk(
    model: ModelSpec, method: str, draws: int, size: int, rng: np.random.Generator
) -> list[Outcome | str]:
    """Some data sets."""
    seeds = rng.integers(LARGEST_SEED, size=size).tolist()
    truths = draw_truths(model, size, rng)
    return [
        compare_with_truth(model, truth, cast("Method", method), draws, seed)
        for truth, seed in zip(truths, seeds, strict=True)
    ]


def _certificate(
    model: ModelSpec, outcomes: list[Outcome | str], asked: int
) -> Calibration:
    """What all data sets say together."""
    found = [own for own in outcomes if isinstance(own, Outcome)]
    failures = tuple(own for own in outcomes if isinstance(own, str))
    if len(found) < FEWEST:
        why = f" {Counter(failures).most_common(1)[0][0]}" if failures else ""
        raise ModelError(
            f"{len(found)} data sets have a fit, and fewer than {FEWEST} say nothing "
            f"of {asked} asked for.{why}"
        )
    labels = [*model.space.labels, *LIKELIHOODS]
    ranks = Table(np.array([own.ranks for own in found]), columns=pd.Index(labels))
    columns = {label: ranks[label].to_numpy(float) for label in labels}
    return Calibration(
        formula=model.said,
        ranks=ranks,
        table=rank_table(columns, PROB),
        coverage=_coverage(model.space.labels, found),
        asked=asked,
        failures=failures,
        methods=dict(Counter(own.method for own in found)),
        warned=sum(own.warned for own in found),
    )


def _coverage(labels: tuple[str, ...], found: list[Outcome]) -> pd.DataFrame:
    """How often each interval holds the truth, long."""
    holds = np.array([own.holds for own in found])
    widths = np.array([own.widths for own in found])
    rows, index = [], []
    for d, label in enumerate(labels):
        for i, kind in enumerate(KINDS):
            for j, prob in enumerate(PROBS):
                own, width = holds[:, i, j, d], widths[:, i, j, d]
                n = int((~np.isnan(own)).sum())
                share = float(np.nanmean(own)) if n else np.nan
                mcse = float(np.sqrt(share * (1.0 - share) / n)) if n else np.nan
                some = width[np.isfinite(width)]
                median = float(np.median(some)) if some.size else np.nan
                rows.append((kind, prob, share, mcse, n, median))
                index.append(label)
    columns = pd.Index(["interval", "prob", "coverage", "mcse", "n", "width"])
    return Table(rows, pd.Index(index, name="label"), columns)
