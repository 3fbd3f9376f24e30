"""Draws of the joint PyMC model by nutpie, under the names of the posterior.

Takes a `Model` of any family with any priors; gives an ArviZ DataTree as the marginal
route does: same variables, dimensions and coordinates, intercept for raw predictors.
"""

import dataclasses
import math
import threading
import warnings
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.errors import SamplingError, SamplingInterruptedError
from bayeslmm.families import FAMILIES
from bayeslmm.graph.coordinates import BLOCK, Coordinates, in_coordinates, settle
from bayeslmm.graph.joint import joint_model
from bayeslmm.graph.loading import load
from bayeslmm.graph.names import (
    Foreign,
    Layout,
    fixed_names,
    posterior_layout,
)
from bayeslmm.graph.progress import sampler_progress
from bayeslmm.graph.start import scattered
from bayeslmm.graph.trees import to_datatree
from bayeslmm.marginal.kernels.compiling import Wait
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr

# The joint posterior has a funnel in every SD: more tuning and smaller steps than
# nutpie's defaults (300 and 0.8), as bambi and brms advise.
TUNE = 1000
TARGET_ACCEPT = 0.95
# 10 s for `x + (x | g)` on one core, most of it PyTensor's and the same each time
BUILDING = Wait("Compiling the joint model, once for each model (5 to 30 s).")
# nutpie's name of a statistic -> ArviZ's
SAMPLE_STATS = {
    "diverging": "diverging",
    "depth": "tree_depth",
    "maxdepth_reached": "reached_max_treedepth",
    "energy": "energy",
    "energy_error": "energy_error",
    "mean_tree_accept": "acceptance_rate",
    "step_size": "step_size",
    "n_steps": "n_steps",
    "logp": "lp",
}


def sample_joint(
    model: ModelSpec,
    *,
    draws: int = 1000,
    tune: int | None = None,
    chains: int = 4,
    seed: int | np.random.Generator | None = None,
    target_accept: float | None = None,
    cores: int | None = None,
    progress: bool = True,
) -> "xr.DataTree":
    """Sample the joint PyMC model with nutpie.

    Parameters
    ----------
    model : Model
        Foreign family, any priors.
    draws, tune, chains : int
        Draws kept and tuning draws of each chain (1000 if None), chains.
    seed : int or Generator, optional
        The same seed gives the same draws, whatever `cores` is.
    target_accept : float, optional
        Average acceptance that the step size aims at; 0.95 if None.
    cores : int, optional
        Chains run at the same time.
    progress : bool
        Whether to show nutpie's progress bar.

    Returns
    -------
    xarray.DataTree
        ``posterior`` (names and coordinates of `posterior_layout`, and the other
        parameters of the family), ``sample_stats``, ``observed_data``. After Ctrl-C the
        draws of the chains so far, cut to a common length.

    Raises
    ------
    ModelError
        If bambi cannot express the fixed part or the response.
    SamplingError
        If the sampler could not start, or was interrupted before it had draws.

    References
    ----------
    .. [1] Hoffman and Gelman (2014). J. Mach. Learn. Res. 15.
       https://jmlr.org/papers/v15/hoffman14a.html
    """
    load("nutpie")
    import nutpie

    tune = TUNE if tune is None else tune
    joint, layout = joint_model(model), _layout(model)
    place = in_coordinates(model, joint, list(layout.dims))
    with BUILDING.watch(lambda: True):
        built = nutpie.compile_pymc_model(place.graph, var_names=list(place.outputs))
    compiled: Foreign = dataclasses.replace(built, dims={}, _coords={})
    with warnings.catch_warnings():
        # ArviZ supposes a mistake where there are fewer draws than chains
        warnings.filterwarnings("ignore", "Found chain dimension", UserWarning)
        try:
            with sampler_progress(progress, chains=chains, draws=draws + tune) as bar:
                tree: Foreign = nutpie.sample(
                    _started(compiled, place),
                    draws=draws,
                    tune=tune,
                    chains=chains,
                    cores=cores,
                    seed=_seed(seed),
                    target_accept=target_accept or TARGET_ACCEPT,
                    save_warmup=False,
                    **bar,
                )
        except (RuntimeError, ValueError) as error:
            check_failed(error)
            raise SamplingError(
                f"The sampler gave up: {str(error).splitlines()[0]}. The posterior may "
                "be improper or a prior far from the data; try priors='weak'."
            ) from error
    raw = tree["posterior"].to_dataset()
    whole, length = complete_chains(raw[BLOCK].to_numpy(), fewest=1)
    posterior = {
        name: values[whole, :length]
        for name, values in _by_name(joint, layout, place, raw).items()
    }
    stats = {
        ours: tree["sample_stats"][theirs].to_numpy()[whole, :length]
        for theirs, ours in SAMPLE_STATS.items()
    }
    return _as_tree(model, posterior, stats)


def _started(compiled: Foreign, place: Coordinates) -> Foreign:
    """The compiled model in the units of the curvature at a good start."""

    def density(
        z: Float[np.ndarray, " m"],
    ) -> tuple[float, Float[np.ndarray, " m"]]:
        """The compiled density, with the start and basis that are set."""
        value, gradient = compiled.logp_func(z)
        return float(value), np.asarray(gradient)

    settle(place, density)
    lock = threading.Lock()

    def first(seed: int) -> Float[np.ndarray, " m"]:
        """Where a chain starts."""
        with lock:  # a PyTensor function is not for two threads at a time
            return scattered(density, np.zeros(place.size), seed)

    placed = compiled.with_data(
        start=place.start.get_value(), basis=place.basis.get_value()
    )
    return dataclasses.replace(placed, initial_point_func=first)


def _seed(seed: int | np.random.Generator | None) -> int | None:
    """An integer seed, the next of a generator."""
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**63 - 1))
    return seed


def _layout(model: ModelSpec) -> Layout:
    """Layout of the posterior, with the parameters of the family in place of sigma."""
    layout = posterior_layout(model.design)
    others = FAMILIES[model.family].others
    dims: dict[str, list[str]] = {}
    for name, own in layout.dims.items():
        dims |= {name: own} if name != "sigma" else {other: [] for other in others}
    return Layout(dims, layout.coords)


def _by_name(
    joint: Foreign, layout: Layout, place: Coordinates, raw: Foreign
) -> dict[str, Float[np.ndarray, "chain draw ..."]]:
    """Draws of what is reported, labels in our order."""
    posterior = {}
    for output, (name, dims) in zip(place.outputs, layout.dims.items(), strict=True):
        values = raw[output].to_numpy()
        own = joint.named_vars_to_dims.get(name) or ()
        assert sorted(own) == sorted(dims), f"{name} has the dimensions {own}"
        for axis, dim in enumerate(own):  # bambi may have another order of the levels
            theirs = [str(label) for label in joint.coords[dim]]
            order = [theirs.index(label) for label in layout.coords[dim]]
            values = values.take(order, axis=axis + 2)
        axes = [own.index(dim) + 2 for dim in dims]
        posterior[name] = values.transpose(0, 1, *axes)
    return posterior


def _as_tree(
    model: ModelSpec,
    posterior: dict[str, Float[np.ndarray, "chain draw ..."]],
    stats: dict[str, np.ndarray],
) -> "xr.DataTree":
    """The draws as a tree, intercept for raw predictors."""
    if model.priors.center_predictors:
        _uncentre(model.design, posterior)
    return to_datatree(model.design, posterior, stats, {}, model.row_labels)


def _uncentre(design: Design, posterior: dict[str, Float[np.ndarray, "..."]]) -> None:
    """Turn the intercept at the mean of the predictors into that at 0."""
    if design.intercept is None:
        return
    means = design.moments.X.mean
    names = fixed_names(design)
    for variable in design.fixed:
        if variable.name != "Intercept":
            slopes = posterior[names[variable.name]]
            slopes = slopes if variable.coords else slopes[..., None]
            shift = slopes @ means[list(variable.columns)]
            posterior["Intercept"] = posterior["Intercept"] - shift


def check_failed(error: Exception) -> None:
    """Raise what is no failure of nutpie: Ctrl-C before it had begun, or a mistake.

    Raises
    ------
    KeyboardInterrupt
        If the error came of one: nutpie says then that it has no results.
    """
    if isinstance(error.__context__, KeyboardInterrupt):
        raise KeyboardInterrupt from error
    if not isinstance(error, RuntimeError):
        raise error


def complete_chains(
    values: Float[np.ndarray, "..."], fewest: int
) -> tuple[list[int], int]:
    """The chains and length to keep: all, unless the run was interrupted.

    Of the chains that were begun those are kept that leave most draws when all are cut
    to the length of the shortest.

    Parameters
    ----------
    values : ndarray, shape (chain, draw, ...)
        Draws of one variable; NaN where there is none yet.
    fewest : int
        Draws that a chain must have.

    Returns
    -------
    chains : list of int
        Chains to keep, rising.
    length : int
        Their common length.

    Raises
    ------
    SamplingInterruptedError
        If no chain has so many draws.
    """
    flat = values.reshape(*values.shape[:2], math.prod(values.shape[2:]))
    lengths = np.isfinite(flat).all(axis=-1).sum(axis=1)
    order = np.argsort(-lengths, kind="stable")
    kept = int(np.argmax(lengths[order] * np.arange(1, order.size + 1))) + 1
    length = int(lengths[order[kept - 1]])
    if length < fewest:
        raise SamplingInterruptedError(
            f"Sampling was interrupted before a chain had {fewest} draws after tuning, "
            "so there is nothing to report. Let it run longer, or ask for fewer draws."
        )
    return np.sort(order[:kept]).tolist(), length
