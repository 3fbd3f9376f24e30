"""What the prior of a model says before data are seen: parameters, and responses.

Takes a `Model`; gives draws of its parameters from their priors, each to simulate a
response from, and ArviZ's tree of both.
"""

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.design.memory import check_fits
from bayeslmm.errors import check_count, check_seed
from bayeslmm.graph.draws import parameter_draws
from bayeslmm.graph.loading import load
from bayeslmm.graph.names import OBSERVATIONS, posterior_layout, response_name
from bayeslmm.priors import PriorDraws, prior_draws
from bayeslmm.priors.draws import check_proper
from bayeslmm.simulation.responses import Parameters, one_response
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr


def prior_parameters(
    model: ModelSpec, n: int, rng: np.random.Generator
) -> list[Parameters]:
    """Independent draws of all parameters from the prior of a Gaussian model.

    Parameters
    ----------
    model : Model
        Its priors all proper.
    n : int
        Number of draws.
    rng : Generator
        Source of randomness.

    Returns
    -------
    list of Parameters
        One for each draw.

    Raises
    ------
    PriorError
        If a prior is flat.
    """
    return parameters_of(prior_draws(model.priors, model.design, n, rng), model.design)


def parameters_of(draws: PriorDraws, design: Design) -> list[Parameters]:
    """Each draw as the parameters of one response."""
    structure = design.residual
    labels = [p.label for p in structure.parameters] if structure is not None else []
    others = [draws.scalars[label] for label in labels]
    return [
        Parameters(
            beta,
            tuple(own[i] for own in draws.factors),
            float(draws.scalars["sigma"][i]),
            np.array([own[i] for own in others]),
        )
        for i, beta in enumerate(draws.beta)
    ]


def prior_predictive(
    model: ModelSpec,
    *,
    draws: int = 500,
    seed: int | np.random.Generator | None = None,
) -> "xr.DataTree":
    """Parameters drawn from the prior, and a response drawn at each.

    Parameters
    ----------
    model : Model
        Its priors all proper.
    draws : int, default 500
        Number of draws.
    seed : int or Generator, optional
        Same seed, same draws.

    Returns
    -------
    DataTree
        ArviZ's groups ``prior`` (names as of a posterior), ``prior_predictive`` and
        ``observed_data``, rows under their labels in the data. Gaussian responses are
        drawn exactly; others by PyMC.

    Raises
    ------
    PriorError
        If a prior is flat.
    DataError
        If the rows were read in batches.
    """
    draws = check_count(draws, "draws", 1)
    check_seed(seed)
    rng, design = np.random.default_rng(seed), model.design
    rows = rows_of(design, "responses of the prior")
    check_proper(model.priors, design)
    check_fits(
        2 * 8.0 * draws * design.n,
        f"{draws:,} simulated responses of {design.n:,} rows",
        "Draw fewer.",
    )
    if model.family != "gaussian":
        return _by_pymc(model, draws, rng)
    drawn = prior_draws(model.priors, design, draws, rng)
    y = [one_response(design, own, None, rng) for own in parameters_of(drawn, design)]
    parameters = parameter_draws(
        design,
        drawn.beta[None],
        [own[None] for own in drawn.factors],
        {label: own[None] for label, own in drawn.scalars.items()},
    )
    return _tree(model, parameters, np.stack(y)[None], rows.y)


def _tree(
    model: ModelSpec,
    parameters: dict[str, Float[np.ndarray, "..."]],
    y: Float[np.ndarray, "1 draw n"],
    observed: Float[np.ndarray, " n"],
) -> "xr.DataTree":
    """The three groups."""
    load("arviz_base")
    from arviz_base import from_dict

    layout, name = posterior_layout(model.design), response_name(model.design)
    dims = {own: layout.dims[own] for own in parameters} | {name: [OBSERVATIONS]}
    used = {dim for own in dims.values() for dim in own}
    coords: dict[str, Any] = {
        dim: labels for dim, labels in layout.coords.items() if dim in used
    }
    coords[OBSERVATIONS] = model.row_labels
    return from_dict(
        {
            "prior": parameters,
            "prior_predictive": {name: y},
            "observed_data": {name: observed},
        },
        dims=dims,
        coords=coords,
    )


def _by_pymc(model: ModelSpec, draws: int, rng: np.random.Generator) -> "xr.DataTree":
    """The same from the joint graph."""
    import pymc as pm

    from bayeslmm.graph import to_pymc

    joint, seed = to_pymc(model), int(rng.integers(2**31))
    log = logging.getLogger("pymc")
    level = log.level
    log.setLevel(logging.WARNING)  # it lists its variables, under names of its own
    try:
        with joint:
            drawn: Any = pm.sample_prior_predictive(
                draws, random_seed=seed, compile_kwargs={"mode": "FAST_COMPILE"}
            )
    finally:
        log.setLevel(level)
    return drawn


def predictive_table(
    y: Float[np.ndarray, "s n"], observed: Float[np.ndarray, " n"], prob: float
) -> pd.DataFrame:
    """Statistics of drawn responses beside those of the data.

    Parameters
    ----------
    y : ndarray, shape (s, n)
        Responses.
    observed : ndarray, shape (n,)
        The data.
    prob : float
        Probability of the equal-tailed intervals.

    Returns
    -------
    DataFrame
        Index ``statistic`` (mean, SD, smallest, largest); columns ``data``,
        ``median``, ``lower``, ``upper`` in units of the response, ``below``, the share
        of responses whose statistic is below that of the data.
    """
    ends = (0.5, 0.5 - 0.5 * prob, 0.5 + 0.5 * prob)
    known = {
        "mean": lambda v: v.mean(axis=-1),
        "SD": lambda v: v.std(axis=-1, ddof=1),
        "smallest": lambda v: v.min(axis=-1),
        "largest": lambda v: v.max(axis=-1),
    }
    rows = {}
    for name, of in known.items():
        drawn, own = of(y), float(of(observed))
        rows[name] = (own, *np.quantile(drawn, ends), float((drawn < own).mean()))
    columns = ["data", "median", "lower", "upper", "below"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=pd.Index(columns))
    table.index.name = "statistic"
    return table
