"""Effects given draws under structured residuals, whose cross-products differ by draw.

Takes a `Stack`, draws of the residuals' coordinates and what `draw_effects` takes;
gives the same. Each draw has a generator of its own, so that the levels of the lead can
be drawn later, those of some draws alone.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.marginal import BetaPrior, draw_effects
from bayeslmm.marginal.levels import draw_levels
from bayeslmm.marginal.stack import Stack

# Stream of the seed, beside those of `ondemand` and `proposal`.
STRUCTURED = 3


def draw_generator(seed: int, chain: int, draw: int) -> np.random.Generator:
    """Source of the effects of one draw of a chain."""
    key = (STRUCTURED, chain, draw)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def structured_effects(
    stack: Stack,
    residual: Float[np.ndarray, "s r"],
    factors: Sequence[Float[np.ndarray, "s _k _k"]],
    sigma: Float[np.ndarray, " s"],
    source: tuple[int, int],
    prior: BetaPrior | None,
    *,
    lead: bool,
) -> tuple[Float[np.ndarray, "s p"], tuple[Float[np.ndarray, "s _j _k"], ...]]:
    """Exact joint draws of fixed and random effects, one for each parameter draw.

    Parameters
    ----------
    stack : Stack
        Cross-products by pattern.
    residual : ndarray, shape (s, r)
        Draws of the residuals' coordinates.
    factors, sigma, prior, lead
        As for `draw_effects`.
    source : tuple of int
        Seed and number of the chain.

    Returns
    -------
    beta : ndarray, shape (s, p)
        Fixed effects.
    b : tuple of ndarray, shape (s, J_t, k_t)
        Random effects of each bar term.
    """
    at = stack.at if lead else stack.summed
    drawn = [
        draw_effects(
            at(residual[i]),
            [own[i : i + 1] for own in factors],
            sigma[i : i + 1],
            draw_generator(*source, i),
            prior,
            lead=lead,
        )
        for i in range(len(sigma))
    ]
    beta = np.concatenate([own for own, _ in drawn])
    terms = zip(*(b for _, b in drawn), strict=True)
    return beta, tuple(map(np.concatenate, terms))


def structured_levels(
    stack: Stack,
    residual: Float[np.ndarray, "s r"],
    relative: Float[np.ndarray, "s k k"],
    sigma: Float[np.ndarray, " s"],
    beta: Float[np.ndarray, "s p"],
    rest: Float[np.ndarray, "s m"],
    source: tuple[int, int],
    draws: Int[np.ndarray, " s"],
    levels: Sequence[int],
) -> Float[np.ndarray, "s c k"]:
    """Effects of some levels of the lead; `draws` are the numbers of those draws.

    The others are as for `draw_levels`; the numbers are those of `structured_effects`.
    """
    return np.concatenate(
        [
            draw_levels(
                stack.at(residual[i]),
                relative[i : i + 1],
                sigma[i : i + 1],
                beta[i : i + 1],
                rest[i : i + 1],
                draw_generator(*source, draw),
                levels,
            )
            for i, draw in enumerate(draws.tolist())
        ]
    )
