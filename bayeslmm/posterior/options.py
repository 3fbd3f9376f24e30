"""What a run of a sampler was asked to do, checked; and what it says about itself.

Takes the arguments of ``sample`` as a user gives them, gives `Options`, the method to
use with its reason, and the attributes that are stored with the draws.
"""

import os
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, Literal, get_args

import numpy as np

from bayeslmm.design.memory import SHARE, available_bytes
from bayeslmm.errors import (
    LARGEST_SEED,
    ModelError,
    PriorError,
    check_count,
    check_progress,
    check_seed,
    is_choice,
    is_number,
)
from bayeslmm.priors import check_integrable, scale_logp
from bayeslmm.spec import Method, ModelSpec


@dataclass(frozen=True, slots=True)
class Options:
    """Arguments of ``sample``, checked; None leaves the choice to the method."""

    draws: int
    tune: int | None
    chains: int
    seed: int
    target_accept: float | None
    cores: int
    progress: bool | Literal["auto"]


def check_options(
    draws: object,
    tune: object,
    chains: object,
    seed: object,
    target_accept: object,
    cores: object,
    progress: object,
) -> Options:
    """Options as numbers, or an error that names the one that is out of range.

    Raises
    ------
    ModelError
        If an option has the wrong type or is out of range.
    """
    n_chains = check_count(chains, "chains", 1)
    return Options(
        draws=check_count(draws, "draws", 4),
        tune=None
        if tune is None
        else check_count(tune, "tune", 1),  # nutpie fails at 0
        chains=n_chains,
        seed=_seed(seed),
        target_accept=_target_accept(target_accept),
        cores=min(n_chains, available_cores())
        if cores is None
        else min(check_count(cores, "cores", 1), n_chains),
        progress=check_progress(progress),
    )


def check_memory(model: ModelSpec, options: Options, *, joint: bool) -> None:
    """Raise `ModelError` before draws are made that memory cannot hold.

    Twice their size, as they are put in order when they are there. The effects are
    among them if the joint model is sampled.
    """
    n_effects = sum(term.n_levels * term.k for term in model.design.groups)
    n_parameters = len(model.space.parameters) + (n_effects if joint else 0)
    n_draws = options.chains * (options.draws + (options.tune or 0))
    n_bytes, available = 2.0 * 8.0 * n_draws * n_parameters, available_bytes()
    if n_bytes > SHARE * available:
        raise ModelError(
            f"{n_draws:,} draws ({options.chains} chains of {options.draws:,}, and "
            f"tuning) of {n_parameters:,} parameters would take {n_bytes / 1e9:,.0f} "
            f"GB, and {available / 1e9:.1f} GB of memory are available. Ask for fewer "
            f"draws: 4 chains of 1000 are enough for most tables."
        )


def _seed(seed: object) -> int:
    """The seed as an integer; a fresh one for None, the next of a Generator."""
    check_seed(seed)
    if isinstance(seed, int | np.integer):
        return int(seed)
    own = seed if isinstance(seed, np.random.Generator) else np.random.default_rng()
    return int(own.integers(LARGEST_SEED))


def _target_accept(value: object) -> float | None:
    """A number strictly between 0 and 1, or None."""
    if value is None:
        return None
    if not is_number(value) or not 0.0 < value < 1.0:
        raise ModelError(
            f"target_accept must lie between 0 and 1 (0.95 by default, 0.99 against "
            f"divergences), not {value!r}."
        )
    return float(value)


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_method(
    model: ModelSpec, method: str
) -> tuple[Literal["marginal", "joint"], str]:
    """Whether the marginal density or the joint model is sampled, and why.

    Raises
    ------
    ModelError
        If the method is unknown, or another than ``"joint"`` is asked for a family
        whose effects cannot be integrated out.
    PriorError
        If one of these is asked with a prior that it cannot honour.
    """
    if not is_choice(method, get_args(Method)):
        known = ", ".join(repr(name) for name in get_args(Method))
        raise ModelError(f"Unknown method {method!r}. Methods: {known}.")
    if method == "joint":
        return "joint", "The joint PyMC model was asked for."
    if model.family != "gaussian":
        cause = (
            f"With family {model.family!r} the effects cannot be integrated out in "
            "closed form"
        )
        if method != "auto":
            raise ModelError(f"{cause}; use method='joint' (or 'auto').")
        return "joint", f"{cause}, so the joint PyMC model is sampled."
    try:
        check_integrable(model.priors, model.design)
        for prior in model.priors.scales:
            scale_logp(prior)
    except PriorError as error:
        if method != "auto":
            raise
        return "joint", str(error)
    return "marginal", (
        "Fixed and random effects are integrated out exactly, so NUTS runs over the "
        "variance parameters alone."
    )


def run_attributes(
    model: ModelSpec, options: Options, method: str, reason: str
) -> dict[str, Any]:
    """What is stored with the draws: strings and numbers that netCDF can hold."""
    return {
        "formula": model.formula.text,
        "family": model.family,
        "priors": repr(model.priors),
        "method": method,
        "reason": reason,
        "seed": options.seed,
        "chains": options.chains,
        "draws": options.draws,
        "versions": _versions(),
        "inference_library": "nutpie",
    }


@cache
def _versions() -> str:
    """What runs in this process; read off files, which takes as long as 1000 points."""
    libraries = ("bayeslmm", "nutpie", "arviz", "numpy", "pymc", "bambi")
    return ", ".join(f"{name} {version(name)}" for name in libraries)
