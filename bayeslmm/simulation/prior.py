"""Parameters to simulate from, drawn from the prior of a model."""

import numpy as np

from bayeslmm.design.arrays import Design
from bayeslmm.priors import PriorDraws, prior_draws
from bayeslmm.simulation.responses import Parameters
from bayeslmm.spec import ModelSpec


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
