"""The posterior by NUTS over the variance parameters, then exact draws of the effects.

Takes a `Model`, gives a `Posterior`. Gaussian models with Normal or flat priors on the
fixed effects go through the marginal density: nutpie samples the few variance
parameters in coordinates whitened at the posterior mode, which leaves little to tune;
(beta, b) are then drawn exactly given each draw. All other models go through the joint
PyMC model of the room `graph`.
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import SamplingError
from bayeslmm.fit.diagnose import SamplingStatus
from bayeslmm.fit.draws import effect_draws, parameter_draws, to_datatree
from bayeslmm.fit.options import (
    Options,
    check_options,
    choose_method,
    run_attributes,
    warn_user,
)
from bayeslmm.fit.posterior import Posterior
from bayeslmm.fit.target import Laplace, Target, check_proper, laplace, make_target
from bayeslmm.graph.sampling import SAMPLE_STATS, complete_chains, sample_joint
from bayeslmm.marginal import draw_effects
from bayeslmm.model import Method, Model

if TYPE_CHECKING:
    import xarray as xr

# Tuning draws: in whitened coordinates only the step size and the scales are left to
# find. On sleepstudy, the three classrooms and Dyestuff2, 100, 500 and 1000 gave no
# more effective draws per evaluation, and low-rank adaptation none either.
TUNE = 300
# Average acceptance. With 3 classrooms, (edu | classroom), 25 runs of 4 x 1000 draws
# had no divergence here and two at 0.9 (weak priors); 1 and 21 under bambi's.
TARGET_ACCEPT = 0.95
# A progress bar is shown when the run is expected to take longer, in seconds.
LONG_RUN = 5.0
# Gradient evaluations for one draw, to expect the length of a run: typical for 2 to 6
# whitened coordinates.
EVALUATIONS_PER_DRAW = 8
# Chains start uniform on +- this in whitened coordinates: wider than the posterior, but
# bounded, so that none starts in an extreme tail.
START_RADIUS = 2.0
# ArviZ computes no diagnostics of shorter chains.
FEWEST_DRAWS = 4


@dataclass(frozen=True, slots=True)
class MarginalDraws:
    """What nutpie gave: draws of the whitened coordinates and its statistics.

    ``z`` has shape (chain, draw, m); ``chains`` says which chains of those asked for
    these are, if the run was interrupted.
    """

    z: Float[np.ndarray, "chain draw m"]
    stats: dict[str, np.ndarray]
    chains: tuple[int, ...]
    partial: bool


def sample(
    model: Model,
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
        Average acceptance that the step size aims at, between 0 and 1; by default 0.95.
        Larger values take smaller steps, against divergences.
    method : {"auto", "nuts", "joint"}, default "auto"
        ``"nuts"`` samples the variance parameters with beta and b integrated out
        (Gaussian family, Normal or flat priors of the fixed effects); ``"joint"``
        samples the PyMC model with explicit effects (any family, any prior).
        ``"auto"`` takes ``"nuts"`` where it can; ``Posterior.reason`` says why.
    cores : int, optional
        Chains run at the same time; by default all that there are cores for.
    progress : bool or "auto", default "auto"
        Whether to show a progress bar; ``"auto"`` does for runs over 5 s.
    log_likelihood : bool, default False
        Whether to keep log p(y_i | beta, b, sigma), for `arviz.loo`.

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
        If there were divergences, the run was interrupted, or an SD has no posterior
        mean.

    Notes
    -----
    NUTS [1]_ as written in nutpie (https://github.com/pymc-devs/nutpie), with its
    adaptation of step size and scales.

    References
    ----------
    .. [1] Hoffman and Gelman (2014). J. Mach. Learn. Res. 15, 1593-1623.
       https://jmlr.org/papers/v15/hoffman14a.html
    """
    options = check_options(draws, tune, chains, seed, target_accept, cores, progress)
    chosen, reason = choose_method(model, method)
    run = _sample_marginal if chosen == "nuts" else _sample_joint
    post = run(model, options, reason)
    if not post.status.clean:
        warn_user(post.status.message)
    return post.compute_log_likelihood() if log_likelihood else post


def _sample_joint(model: Model, options: Options, reason: str) -> Posterior:
    """Posterior by NUTS over the joint PyMC model."""
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
    tree.attrs.update(attrs)
    tree["posterior"].attrs.update(attrs)
    return Posterior(model, tree, "joint", reason, _status(tree, options, ()), timing)


def _sample_marginal(model: Model, options: Options, reason: str) -> Posterior:
    """Posterior by NUTS over the marginal density, then exact draws of the effects."""
    times = [time.perf_counter()]
    target = make_target(model.design, model.statistics, model.priors)
    without_mean = check_proper(target)
    normal = laplace(target)
    times.append(time.perf_counter())
    drawn = _run_nutpie(target, normal, options)
    times.append(time.perf_counter())
    x = normal.mode + drawn.z @ normal.basis.T
    posterior = draw_posterior(model, target, x, options.seed, drawn.chains)
    times.append(time.perf_counter())
    tree = to_datatree(
        model.design,
        posterior,
        drawn.stats,
        run_attributes(model, options, "nuts", reason),
    )
    steps = np.diff(times).tolist()
    timing: dict[str, float] = dict(
        zip(("mode", "sampling", "effects"), steps, strict=True)
    )
    status = _status(tree, options, without_mean)
    return Posterior(model, tree, "nuts", reason, status, timing)


def draw_posterior(
    model: Model,
    target: Target,
    x: Float[np.ndarray, "chain draw m"],
    seed: int,
    chains: tuple[int, ...],
) -> dict[str, Float[np.ndarray, "..."]]:
    """Draws of all parameters and effects, given those of the coordinates.

    Parameters
    ----------
    model : Model
        Gaussian model.
    target : Target
        Its target.
    x : ndarray, shape (chain, draw, m)
        Draws of the coordinates of the variance parameters.
    seed : int
        Chain c uses the c-th generator spawned from it.
    chains : tuple of int
        Number of each chain in `x`.

    Returns
    -------
    dict of str to ndarray
        By bambi variable, (chain, draw, ...).
    """
    children = np.random.SeedSequence(seed).spawn(max(chains) + 1)
    sigma = np.exp(x[..., 0])
    factors = [target.factors(own) for own in x]
    drawn = [
        draw_effects(
            target.statistics,
            factors[i],
            sigma[i],
            np.random.default_rng(children[chain]),
            target.beta,
        )
        for i, chain in enumerate(chains)
    ]
    by_term = [np.stack(own) for own in zip(*factors, strict=True)]
    beta = np.stack([own[0] for own in drawn])
    posterior = parameter_draws(model.design, beta, by_term, sigma)
    for t, term in enumerate(model.design.groups):
        posterior |= effect_draws(term, np.stack([own[1][t] for own in drawn]))
    return posterior


def _run_nutpie(target: Target, normal: Laplace, options: Options) -> MarginalDraws:
    """NUTS in whitened coordinates."""
    import nutpie
    from nutpie.compiled_pyfunc import from_pyfunc

    m = normal.mode.size
    compiled = from_pyfunc(
        m,
        lambda: _whitened(target, normal),
        lambda *_: lambda z: {"z": z},
        [np.dtype("float64")],
        [(m,)],
        ["z"],
        make_initial_point_fn=lambda seed: np.random.default_rng(seed).uniform(
            -START_RADIUS, START_RADIUS, m
        ),
    )
    with warnings.catch_warnings():
        # ArviZ supposes a mistake where there are fewer draws than chains
        warnings.filterwarnings("ignore", "Found chain dimension", UserWarning)
        try:
            tree = nutpie.sample(
                compiled,
                draws=options.draws,
                tune=TUNE if options.tune is None else options.tune,
                chains=options.chains,
                cores=options.cores,
                seed=options.seed,
                target_accept=options.target_accept or TARGET_ACCEPT,
                progress_bar=_show_progress(target, normal, options),
                save_warmup=False,
            )
        except RuntimeError as error:
            raise SamplingError(_no_start(error)) from error
    return complete_part(tree, options.draws, normal.value)


def _whitened(
    target: Target, normal: Laplace
) -> Callable[[Float[np.ndarray, " m"]], tuple[float, Float[np.ndarray, " m"]]]:
    """The target as a function of z, x = mode + basis z."""
    mode, basis, pull = normal.mode, normal.basis, normal.basis.T.copy()

    def logp(z: Float[np.ndarray, " m"]) -> tuple[float, Float[np.ndarray, " m"]]:
        """Log density, relative to the mode's, and gradient."""
        value, gradient = target(mode + basis @ z)
        return value - normal.value, pull @ gradient

    return logp


def _show_progress(target: Target, normal: Laplace, options: Options) -> bool:
    """Whether to show a bar: as asked, or if the run is expected to be long."""
    if options.progress != "auto":
        return options.progress
    started = time.perf_counter()
    target(normal.mode)
    seconds = time.perf_counter() - started
    draws = options.chains * (options.draws + (options.tune or TUNE))
    return seconds * draws * EVALUATIONS_PER_DRAW > LONG_RUN


def complete_part(tree: "xr.DataTree", draws: int, offset: float) -> MarginalDraws:
    """The chains and draws that are complete: all, unless the run was interrupted."""
    z = tree["posterior"]["z"].to_numpy()
    chains, length = complete_chains(z, fewest=min(FEWEST_DRAWS, draws))
    raw = tree["sample_stats"]
    stats = {
        ours: raw[theirs].to_numpy()[chains, :length]
        for theirs, ours in SAMPLE_STATS.items()
    }
    stats["lp"] = stats["lp"] + offset
    partial = len(chains) < len(z) or length < draws
    return MarginalDraws(z[chains, :length], stats, tuple(chains), partial)


def _no_start(error: RuntimeError) -> str:
    """Message for a sampler that gave up, with the first line of its reason."""
    return (
        f"The sampler gave up: {str(error).splitlines()[0]}. The posterior may be "
        "improper or the data badly scaled; try priors='weak', or predictors and "
        "response in units that make their SDs about 1."
    )


def _status(
    tree: "xr.DataTree", options: Options, without_mean: tuple[str, ...]
) -> SamplingStatus:
    """How the run ended, read off the draws."""
    sizes: dict[Any, int] = dict(tree["posterior"].sizes)
    stats = tree["sample_stats"]
    return SamplingStatus(
        chains=sizes["chain"],
        draws=sizes["draw"],
        partial=(sizes["chain"], sizes["draw"]) != (options.chains, options.draws),
        n_divergent=int(stats["diverging"].to_numpy().sum())
        if "diverging" in stats
        else 0,
        without_mean=without_mean,
    )
