"""Draws of everything else, given draws of the variance parameters.

Takes a `Target` and draws of its coordinates; gives those of all parameters and effects
under bambi's names. The fixed and random effects are drawn exactly.
"""

import numpy as np
from jaxtyping import Float

from bayeslmm.posterior.conditional import Effects, effects_given
from bayeslmm.posterior.draws import effect_draws, parameter_draws
from bayeslmm.posterior.options import available_cores
from bayeslmm.posterior.target import Target
from bayeslmm.posterior.visits import in_threads
from bayeslmm.reml.expense import useful_threads
from bayeslmm.spec import ModelSpec


def draw_posterior(
    model: ModelSpec,
    target: Target,
    x: Float[np.ndarray, "chain draw m"],
    seed: int,
    chains: tuple[int, ...],
    kept: tuple[int, ...],
    grams: Float[np.ndarray, "chain draw w w"] | None = None,
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
    kept : tuple of int
        Bar terms whose effects are returned, by position in the design.
    grams : ndarray, shape (chain, draw, w, w), optional
        ``[X y]'V0^-1[X y]`` at each, safe columns; of models with one factor.

    Returns
    -------
    dict of str to ndarray
        By bambi variable, (chain, draw, ...).
    """
    lead = bool(set(target.statistics.lead.terms) & set(kept))

    def draw(i: int) -> Effects:
        """Effects of one chain."""
        own = None if grams is None else grams[i]
        return effects_given(target, x[i], (seed, chains[i]), lead=lead, grams=own)

    # two chains to a thread: `in_threads` does less in turn
    cores = min(useful_threads(target.statistics, available_cores()), len(chains) // 2)
    drawn = in_threads(draw, range(len(chains)), max(cores, 1))
    by_term = [
        np.stack(own) for own in zip(*(target.factors(c) for c in x), strict=True)
    ]
    beta = np.stack([own[0] for own in drawn])
    scalars = target.space.scalars(x)
    posterior = parameter_draws(model.design, beta, by_term, scalars)
    for t in kept:
        b = np.stack([own[1][t] for own in drawn])
        posterior |= effect_draws(model.design.groups[t], b)
    return posterior
