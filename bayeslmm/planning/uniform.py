"""Whether ranks are uniform: their ECDF beside its band, and how they depart.

Takes ranks between 0 and 1 of several quantities over many data sets; gives tables. The
band is ArviZ's, simultaneous over the whole ECDF [1]_; with the probability of each
raised by Bonferroni, so that it holds for all quantities together.

References
----------
.. [1] Saeilynoja, Buerkner and Vehtari (2022). Stat. Comput. 32, 32.
   https://doi.org/10.1007/s11222-022-10090-6
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayeslmm.tables import Table

# Uniform samples from which the width of the band is found, by a seed of its own: of
# 4000 other samples of 200 ranks 6% left a band of 95% in this many.
SIMULATIONS, BAND_SEED = 2000, 20220
# Fewer ranks have no ECDF to speak of.
FEWEST = 10
# SD of a uniform number, and its kurtosis less 1: the variance of a squared spread.
UNIFORM_SD, EXCESS = math.sqrt(1.0 / 12.0), 0.8

Ranks = Mapping[str, Float[np.ndarray, " n"]]


@dataclass(frozen=True, slots=True)
class Band:
    """Where the ECDF of uniform numbers lies.

    Attributes
    ----------
    at : ndarray, shape (n + 1,)
        Ranks from 0 to 1.
    lower, upper : ndarray, shape (n + 1,)
        Between which the share of ranks up to there is.
    """

    at: Float[np.ndarray, " e"]
    lower: Float[np.ndarray, " e"]
    upper: Float[np.ndarray, " e"]

    @property
    def reach(self) -> float:
        """Largest departure of the ECDF that it lets pass."""
        return float(np.maximum(self.at - self.lower, self.upper - self.at).max())


@lru_cache(maxsize=16)
def uniform_band(n: int, prob: float) -> Band:
    """Band that holds the whole ECDF of n uniform numbers with a probability."""
    from arviz_stats.ecdf_utils import (
        get_pointwise_confidence_band,
        simulate_confidence_bands,
    )

    at = np.arange(1, n) / n
    rng = np.random.default_rng(BAND_SEED)
    pointwise = simulate_confidence_bands(n, 1, at, prob, SIMULATIONS, rng)
    lower, upper = get_pointwise_confidence_band(pointwise, n, at)
    ends = [np.concatenate([[0.0], inner, [1.0]]) for inner in (at, lower, upper)]
    return Band(*ends)


def joint_band(n: int, quantities: int, prob: float) -> Band:
    """Band that holds the ECDFs of all of some quantities with a probability."""
    return uniform_band(n, 1.0 - (1.0 - prob) / quantities)


def ecdf_table(ranks: Ranks, prob: float) -> pd.DataFrame:
    """ECDF less that of uniform numbers, with the band of all quantities, long.

    Index ``label``; columns ``rank``, ``difference``, ``lower``, ``upper``.
    """
    size = len(next(iter(ranks.values())))
    band = joint_band(size, len(ranks), prob)
    parts = [
        pd.DataFrame(
            {
                "rank": band.at,
                "difference": _ecdf(own, band) - band.at,
                "lower": band.lower - band.at,
                "upper": band.upper - band.at,
            },
            index=pd.Index([label] * len(band.at), name="label"),
        )
        for label, own in ranks.items()
    ]
    return Table(pd.concat(parts))


def rank_table(ranks: Ranks, prob: float) -> pd.DataFrame:
    """What the ranks of each quantity are like.

    Index ``label``; columns ``inside`` (its ECDF in the band), ``farthest`` (largest
    departure of the ECDF from uniform), ``mean_rank`` (1/2 if uniform) and ``spread``
    (SD of the ranks relative to a uniform one: above 1 where the posterior is too
    narrow, below where it is too wide).
    """
    size = len(next(iter(ranks.values())))
    band, rows = joint_band(size, len(ranks), prob), []
    for own in ranks.values():
        ecdf = _ecdf(own, band)
        inside = bool(((band.lower <= ecdf) & (ecdf <= band.upper)).all())
        farthest = float(np.abs(ecdf - band.at).max())
        rows.append((inside, farthest, float(own.mean()), own.std() / UNIFORM_SD))
    columns = pd.Index(["inside", "farthest", "mean_rank", "spread"])
    return Table(rows, pd.Index(list(ranks), name="label"), columns)


def departure(mean_rank: float, spread: float, n: int) -> str:
    """In which way ranks that are not uniform depart, in words."""
    shift = (mean_rank - 0.5) / (UNIFORM_SD / math.sqrt(n))
    stretch = (spread**2 - 1.0) / math.sqrt(EXCESS / n)
    if abs(shift) >= abs(stretch):
        side, where = ("above", "low") if shift > 0.0 else ("below", "high")
        return f"true values lie too often {side} its draws: it is too {where}"
    if stretch > 0.0:
        return "true values lie too often in its tails: it is too narrow"
    return "true values lie too seldom in its tails: it is too wide"


def _ecdf(ranks: Float[np.ndarray, " n"], band: Band) -> Float[np.ndarray, " e"]:
    """Share of the ranks up to each point of a band."""
    from arviz_stats.ecdf_utils import compute_ecdf

    return np.asarray(compute_ecdf(ranks, band.at))
