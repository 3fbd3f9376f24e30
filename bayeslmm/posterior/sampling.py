"""From a model to its posterior: which sampler runs, and what becomes of its draws.

Takes a `Model`, gives a `Posterior`. Gaussian models with Normal or flat priors on the
fixed effects go through the marginal density: NUTS, weighted points or a lattice give
draws of the few variance parameters, and (beta, b) are drawn exactly given each. All
other models go through the joint PyMC model of the room `graph`.
"""

import time
from dataclasses import replace
from typing import Literal

import numpy as np

from bayeslmm.errors import check_flag, warn_user
from bayeslmm.graph.sampling import sample_joint
from bayeslmm.graph.trees import to_datatree
from bayeslmm.posterior.agreement import agreement, joint_agreement
from bayeslmm.posterior.ahead import compiling_ahead
from bayeslmm.posterior.diagnose import SamplingStatus, status_of
from bayeslmm.posterior.distance import far_from_zero
from bayeslmm.posterior.fit import Posterior
from bayeslmm.posterior.given import draw_posterior
from bayeslmm.posterior.importance import (
    Declined,
    ImportanceDraws,
    importance_posterior,
    sample_importance,
)
from bayeslmm.posterior.lattice_draws import draw_from_lattice
from bayeslmm.posterior.mode import Laplace, laplace
from bayeslmm.posterior.nuts import TUNE, run_nutpie
from bayeslmm.posterior.ondemand import Keep, kept_terms
from bayeslmm.posterior.options import (
    Options,
    available_cores,
    check_memory,
    check_options,
    choose_method,
    run_attributes,
)
from bayeslmm.posterior.propriety import refuse_improper
from bayeslmm.posterior.quadrature import quadrature
from bayeslmm.posterior.tails import Missing, find_tails
from bayeslmm.posterior.target import Target, make_target
from bayeslmm.reml.expense import (
    ESS_PER_CHAIN,
    GRADIENTS_PER_DRAW,
    REML_EVALUATIONS,
    prefers_importance,
    say_if_long,
    useful_threads,
)
from bayeslmm.spec import Method, ModelSpec

# SDs, of the lattice that draws are proposed from: less than the Monte Carlo error of
# 4000 draws, 0.016. The draws owe it only the mass that is left out, as the density at
# each is exact; 1e-3 takes ten times the points on three classrooms, or too many.
LATTICE_TOLERANCE = 1e-2
# All draws are made by weighted points if these take less, seconds of one core; where
# they take more, as many as the diagnosis needs.
SHORT_POINTS = 1.0


def sample(
    model: ModelSpec,
    *,
    draws: int = 1000,
    tune: int | None = None,
    chains: int = 4,
    seed: int | np.random.Generator | None = None,
    target_accept: float | None = None,
    method: Method = "auto",
    cores: int | None = None,
    progress: bool | Literal["auto"] = "auto",
    log_likelihood: bool = False,
    keep: Keep = "auto",
) -> Posterior:
    """Draw from the posterior.

    Parameters
    ----------
    model : Model
        Formula, data and priors.
    draws : int, default 1000
        Draws kept of each chain.
    tune : int, optional
        Tuning draws of each chain, discarded; by default 300 on the marginal density
        and the sampler's own choice on the joint model.
    chains : int, default 4
        Independent chains, each from its own start.
    seed : int or Generator, optional
        The same seed gives the same draws, whatever `cores` is. Without one, the seed
        that was used is in ``idata.attrs["seed"]``.
    target_accept : float, optional
        Average acceptance that the step size aims at, between 0 and 1; by default 0.95,
        and 0.93 over five variance parameters or more, integrated out.
        Larger values take smaller steps, against divergences.
    method : {"auto", "nuts", "importance", "quadrature", "joint"}, default "auto"
        ``"nuts"`` samples the variance parameters with beta and b integrated out
        (Gaussian family, Normal or flat priors of the fixed effects);
        ``"importance"`` weights independent points, for the same models: of a proposal
        at the mode and, where this does not cover the posterior, of one or two that are
        fitted to the points so far; if its checks fail then, NUTS runs;
        ``"quadrature"`` draws independently from the density on a lattice, for up to
        four variance parameters (`Model.quadrature` gives its exact figures);
        ``"joint"`` samples the PyMC model with explicit effects (any family, any
        prior). ``"auto"`` chooses; ``Posterior.reason`` says why.
    cores : int, optional
        Chains run at the same time; by default all that there are cores for.
    progress : bool or "auto", default "auto"
        Whether to show a progress bar; ``"auto"`` does for runs over 5 s.
    log_likelihood : bool, default False
        Whether to keep log p(y_i | beta, b, sigma), for `arviz.loo`. `arviz.compare`
        does not see whether fits are of the same rows: make sure that they are.
    keep : {"auto", "all", "summary"} or sequence of str, default "auto"
        Whose draws of the random effects to store: all; all but those of the grouping
        factor with the most levels, which `Posterior.ranef` then draws on demand; or
        the groups named. ``"auto"`` stores all up to 20 million numbers.

    Returns
    -------
    Posterior
        Draws, tables and diagnostics. After Ctrl-C it has what was drawn until then,
        and ``status.partial`` is true.

    Raises
    ------
    ModelError
        If the method is unknown or cannot do this model, or an option is out of range.
    PriorError
        If the posterior is improper.
    SamplingError
        If no draw could be made.

    Warns
    -----
    FitWarning
        Once, with all that `Posterior.diagnose` finds fault with.
    """
    options = check_options(draws, tune, chains, seed, target_accept, cores, progress)
    check_flag(log_likelihood, "log_likelihood")
    chosen, reason = choose_method(model, method)
    check_memory(model, options, joint=chosen == "joint")
    if chosen == "joint":
        post = _sample_joint(model, options, reason)
    else:
        kept = kept_terms(model.design, keep, options)
        post = _sample_marginal(model, options, method, reason, kept)
    far = far_from_zero(model.design, model.priors)
    post = replace(post, status=replace(post.status, far=far))
    if not (diagnosis := post.diagnose()).ok:
        warn_user(" ".join(diagnosis.messages))
    return post.compute_log_likelihood() if log_likelihood else post


def _sample_joint(model: ModelSpec, options: Options, reason: str) -> Posterior:
    """Posterior by NUTS over the joint PyMC model."""
    refuse_improper(model)
    started = time.perf_counter()
    tree = sample_joint(
        model,
        draws=options.draws,
        tune=options.tune,
        chains=options.chains,
        seed=options.seed,
        target_accept=options.target_accept,
        cores=options.cores,
        progress=options.progress is not False,
    )
    timing = {"sampling": time.perf_counter() - started}
    attrs = run_attributes(model, options, "joint", reason)
    for node in (tree, tree["posterior"]):
        node.attrs.update(attrs)
    status = replace(
        status_of(tree, (options.chains, options.draws), Missing()),
        **joint_agreement(model, tree),
    )
    return Posterior(model, tree, "joint", reason, status, timing)


def _sample_marginal(
    model: ModelSpec, options: Options, method: str, reason: str, kept: tuple[int, ...]
) -> Posterior:
    """Posterior over the marginal density: a lattice, weighted points, or NUTS."""
    if method == "quadrature":
        return _by_quadrature(model, options, kept)
    started = time.perf_counter()
    target = make_target(model.design, model.conditioned, model.priors)
    with compiling_ahead(target.compiled):
        return _sample_target(model, target, options, method, reason, kept, started)


def _sample_target(
    model: ModelSpec,
    target: Target,
    options: Options,
    method: str,
    reason: str,
    kept: tuple[int, ...],
    started: float,
) -> Posterior:
    """The same by weighted points, or by NUTS."""
    missing = find_tails(model.design, target, model.priors.name).missing
    m = target.space.size
    tune = TUNE if options.tune is None else options.tune
    draws = options.chains * (options.draws + tune) / min(options.cores, options.chains)
    by_nuts, to_mode = int(GRADIENTS_PER_DRAW * draws), (REML_EVALUATIONS + 2) * m
    what = f"The posterior of {m} variance and {model.design.p} fixed parameters"
    weighted = method == "importance" or (
        method == "auto" and _is_expensive(target, options)
    )
    to_draw = _gradients_of_points(target, options, method) if weighted else by_nuts
    say_if_long(target, to_mode + to_draw, what)
    normal = laplace(target)
    timing = {"mode": time.perf_counter() - started}
    if weighted:
        drawn = _run_importance(target, normal, options, kept, auto=method == "auto")
        if isinstance(drawn, ImportanceDraws):
            timing["sampling"] = drawn.checks.seconds
            found = _from_points(model, target, drawn, options, kept, missing, timing)
            reached = agreement(normal, drawn.x, drawn.stats["lp"])
            return replace(found, status=replace(found.status, **reached))
        reason = f"{drawn.reason} So NUTS runs over the variance parameters instead."
        say_if_long(target, by_nuts, f"{what} by NUTS")
    return _by_nuts(model, target, normal, options, kept, missing, reason, timing)


def _gradients_of_points(target: Target, options: Options, method: str) -> int:
    """How many gradients take the time of the weighted points; a density takes half."""
    points = options.chains * (2 * ESS_PER_CHAIN if method == "auto" else options.draws)
    return points // (2 * useful_threads(target.statistics, available_cores()))


def _is_expensive(target: Target, options: Options) -> bool:
    """Whether NUTS would take long, and weighted points are worth a try."""
    return prefers_importance(
        target.conditioned.stack or target.statistics,
        dimension=target.space.size,
        draws=options.draws,
        tune=TUNE if options.tune is None else options.tune,
        chains=options.chains,
    )


def _run_importance(
    target: Target,
    normal: Laplace,
    options: Options,
    kept: tuple[int, ...],
    *,
    auto: bool,
) -> ImportanceDraws | Declined:
    """Weighted points; in auto mode no more than the diagnosis asks for, if dear."""
    all_draws = options.draws * options.chains
    cheap = target.statistics.seconds * all_draws < SHORT_POINTS
    return sample_importance(
        target,
        normal,
        draws=options.draws,
        chains=options.chains,
        seed=options.seed,
        cores=available_cores(),
        ess=ESS_PER_CHAIN * options.chains if auto else None,
        fewest=all_draws if cheap else 0,
        keep=kept,
        effects=target.statistics.in_steps,
    )


def _from_points(
    model: ModelSpec,
    target: Target,
    drawn: ImportanceDraws,
    options: Options,
    kept: tuple[int, ...],
    missing: Missing,
    timing: dict[str, float],
) -> Posterior:
    """Posterior of accepted points; the effects come with them, or are drawn now."""
    started = time.perf_counter()
    chains = tuple(range(len(drawn.x)))
    if drawn.with_effects:
        posterior = importance_posterior(model.design, target, drawn)
    else:
        given = (model, target, drawn.x, options.seed, chains, kept)
        posterior = draw_posterior(*given, drawn.grams)
    attrs = run_attributes(model, options, "importance", drawn.reason)
    tree = to_datatree(
        model.design, posterior, drawn.stats, attrs, model.row_labels, drawn.x
    )
    timing = {**timing, "effects": time.perf_counter() - started}
    status = SamplingStatus(
        chains=len(chains),
        draws=drawn.x.shape[1],
        asked=options.draws,
        partial=drawn.partial,
        missing=missing,
        sampler="importance",
        how=drawn.checks.brief,
    )
    return Posterior(model, tree, "importance", drawn.reason, status, timing)


def _by_quadrature(
    model: ModelSpec, options: Options, kept: tuple[int, ...]
) -> Posterior:
    """Posterior by independent draws from the density on a lattice."""
    times = [time.perf_counter()]
    exact = quadrature(model, tolerance=LATTICE_TOLERANCE)
    times.append(time.perf_counter())
    drawn = draw_from_lattice(
        exact.target,
        exact.lattice,
        draws=options.draws,
        chains=options.chains,
        seed=options.seed,
        cores=useful_threads(exact.target.statistics, available_cores()),
    )
    times.append(time.perf_counter())
    chains = tuple(range(options.chains))
    posterior = draw_posterior(model, exact.target, drawn.x, options.seed, chains, kept)
    times.append(time.perf_counter())
    attrs = run_attributes(model, options, "quadrature", exact.reason)
    tree = to_datatree(
        model.design, posterior, drawn.stats, attrs, model.row_labels, drawn.x
    )
    lattice, sampling, effects = np.diff(times).tolist()
    timing = {"lattice": lattice, "sampling": sampling, "effects": effects}
    status = SamplingStatus(
        chains=options.chains,
        draws=options.draws,
        missing=exact.tails.missing,
        sampler="quadrature",
        **agreement(exact.normal, drawn.x, drawn.stats["lp"]),
    )
    return Posterior(model, tree, "quadrature", exact.reason, status, timing)


def _by_nuts(
    model: ModelSpec,
    target: Target,
    normal: Laplace,
    options: Options,
    kept: tuple[int, ...],
    missing: Missing,
    reason: str,
    timing: dict[str, float],
) -> Posterior:
    """Posterior by NUTS over the variance parameters."""
    times = [time.perf_counter()]
    drawn = run_nutpie(target, normal, options)
    times.append(time.perf_counter())
    x = normal.mode + drawn.z @ normal.basis.T
    posterior = draw_posterior(model, target, x, options.seed, drawn.chains, kept)
    times.append(time.perf_counter())
    attrs = run_attributes(model, options, "nuts", reason)
    tree = to_datatree(model.design, posterior, drawn.stats, attrs, model.row_labels, x)
    sampling, effects = np.diff(times).tolist()
    timing = {**timing, "sampling": sampling, "effects": effects}
    reached = agreement(normal, x, drawn.stats["lp"])
    status = replace(
        status_of(tree, (options.chains, options.draws), missing), **reached
    )
    return Posterior(model, tree, "nuts", reason, status, timing)
