"""NUTS over the variance parameters, by nutpie.

Takes a `Target` and its Laplace approximation, gives draws of the coordinates, whitened
by the curvature at the mode, which leaves little to tune.
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import SamplingError
from bayeslmm.graph.loading import load
from bayeslmm.graph.progress import sampler_progress
from bayeslmm.graph.sampling import SAMPLE_STATS, check_failed, complete_chains
from bayeslmm.marginal.objective import Objective
from bayeslmm.posterior.compiled import callback_model
from bayeslmm.posterior.mode import Laplace
from bayeslmm.posterior.options import Options
from bayeslmm.posterior.target import Target

if TYPE_CHECKING:
    import xarray as xr
    from nutpie.sample import CompiledModel

# Tuning draws: in whitened coordinates only the step size and the scales are left to
# find. On sleepstudy, the three classrooms and Dyestuff2, 100, 500 and 1000 gave no
# more effective draws per evaluation, and low-rank adaptation none either.
TUNE = 300
# Average acceptance, with few coordinates and from 5 on. With 3 classrooms,
# (edu | classroom) and bambi's priors, 4 of 60 runs of 4 x 1000 draws had a divergence
# at 0.95 and 11 at 0.93. Subjects crossed with items and slopes in nested classes (5 or
# 7 coordinates, weak priors and bambi's) had none in 250 runs at either, and 1.2 to 1.4
# times the effective draws per evaluation at 0.93: trees of 7 steps of 0.46 end where a
# whitened normal has just turned round. Whitening by the covariance of weighted points
# instead of the curvature at the mode, more jitter of the step, scales from the draws
# alone and Adam for the step were not better on all.
TARGET_ACCEPT, TARGET_ACCEPT_OF_MANY, MANY = 0.95, 0.93, 5
# A progress bar is shown when the run is expected to take longer, in seconds.
LONG_RUN = 5.0
# Gradient evaluations for one draw, to expect the length of a run: typical for 2 to 7
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


def run_nutpie(target: Target, normal: Laplace, options: Options) -> MarginalDraws:
    """NUTS in whitened coordinates, x = mode + basis z.

    Parameters
    ----------
    target, normal
        The density, and its approximation at the mode.
    options : Options
        Draws, tuning, chains, seed, cores, progress.

    Returns
    -------
    MarginalDraws
        What is complete: all, unless the run was interrupted.

    Raises
    ------
    SamplingError
        If the sampler gave up, or was interrupted before it had drawn.
    KeyboardInterrupt
        If it was interrupted before its chains were there.

    References
    ----------
    .. [1] Hoffman and Gelman (2014). J. Mach. Learn. Res. 15, 1593-1623.
       https://jmlr.org/papers/v15/hoffman14a.html
    """
    load("nutpie")
    import nutpie

    tune = TUNE if options.tune is None else options.tune
    few = normal.mode.size < MANY
    usual = TARGET_ACCEPT if few else TARGET_ACCEPT_OF_MANY
    with warnings.catch_warnings():
        # ArviZ supposes a mistake where there are fewer draws than chains
        warnings.filterwarnings("ignore", "Found chain dimension", UserWarning)
        shown = _show_progress(target, normal, options)
        whole = options.draws + tune
        try:
            with sampler_progress(shown, chains=options.chains, draws=whole) as bar:
                tree = nutpie.sample(
                    _nutpie_model(target, normal),
                    draws=options.draws,
                    tune=tune,
                    chains=options.chains,
                    cores=options.cores,
                    seed=options.seed,
                    target_accept=options.target_accept or usual,
                    save_warmup=False,
                    **bar,
                )
        except (RuntimeError, ValueError) as error:
            check_failed(error)
            raise SamplingError(_no_start(error)) from error
    return complete_part(tree, options.draws, normal.value)


def _nutpie_model(target: Target, normal: Laplace) -> "CompiledModel":
    """The whitened target for nutpie: a C callback, or else a function in Python."""
    m = normal.mode.size

    def start(seed: int) -> Float[np.ndarray, " m"]:
        """Where a chain starts."""
        return np.random.default_rng(seed).uniform(-START_RADIUS, START_RADIUS, m)

    if target.compiled is not None:
        return callback_model(target.compiled, normal, start)
    from nutpie.compiled_pyfunc import from_pyfunc

    return from_pyfunc(
        m,
        lambda: _whitened(target, normal),
        lambda *_: lambda z: {"z": z},
        [np.dtype("float64")],
        [(m,)],
        ["z"],
        make_initial_point_fn=start,
    )


def _whitened(
    target: Objective, normal: Laplace
) -> Callable[[Float[np.ndarray, " m"]], tuple[float, Float[np.ndarray, " m"]]]:
    """The target as a function of z, x = mode + basis z."""
    mode, basis, pull = normal.mode, normal.basis, normal.basis.T.copy()

    def logp(z: Float[np.ndarray, " m"]) -> tuple[float, Float[np.ndarray, " m"]]:
        """Log density, relative to the mode's, and gradient."""
        value, gradient = target(mode + basis @ z)
        return value - normal.value, pull @ gradient

    return logp


def _show_progress(target: Objective, normal: Laplace, options: Options) -> bool:
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


def _no_start(error: Exception) -> str:
    """Message for a sampler that gave up, with the first line of its reason."""
    return (
        f"The sampler gave up: {str(error).splitlines()[0]}. The posterior may be "
        "improper or the data badly scaled; try priors='weak', or predictors and "
        "response in units that make their SDs about 1."
    )
