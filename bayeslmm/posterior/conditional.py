"""Exact draws of the fixed and random effects at points of the variance parameters.

Takes a `Target` with coordinates and a source of random numbers; gives effects of the
columns of the data.
"""

import numpy as np
from jaxtyping import Float

from bayeslmm.marginal import draw_effects
from bayeslmm.posterior.structured import structured_effects
from bayeslmm.posterior.target import Target

Effects = tuple[Float[np.ndarray, "s p"], tuple[Float[np.ndarray, "s _j _k"], ...]]

# Stream of the seed; 0 and 1 are those of importance sampling.
EFFECTS = 2


def effect_generator(seed: int, chain: int) -> np.random.Generator:
    """Source of the random effects of one chain of a run."""
    key = (EFFECTS, chain)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def effects_given(
    target: Target,
    x: Float[np.ndarray, "s m"],
    source: tuple[int, int],
    *,
    lead: bool = True,
    grams: Float[np.ndarray, "s w w"] | None = None,
) -> Effects:
    """Draws of the fixed and random effects of the data, one for each point.

    Parameters
    ----------
    target : Target
        Target of the model.
    x : ndarray, shape (s, m)
        Coordinates of the variance parameters.
    source : tuple of int
        Seed and number of a chain: they decide the draws.
    lead : bool, default True
        Whether to draw the effects of the leading block.
    grams : ndarray, shape (s, w, w), optional
        See `draw_effects`.
    """
    sigma, factors, safe = (
        target.safe_sigma(x),
        target.safe_factors(x),
        target.conditioned,
    )
    if safe.stack is None:
        rng = effect_generator(*source)
        beta, b = draw_effects(
            *(target.statistics, factors, sigma, rng, target.beta),
            lead=lead,
            grams=grams,
        )
    else:
        residual = x[:, target.residual]
        beta, b = structured_effects(
            *(safe.stack, residual, factors, sigma, source, target.beta), lead=lead
        )
    effects = tuple(safe.random_effects(t, own) for t, own in enumerate(b))
    return safe.coefficients(beta), effects
