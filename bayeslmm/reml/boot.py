"""The parametric bootstrap: estimates of responses simulated from a fit.

Takes a `RemlFit`; gives the estimates, drawn once for every interval that is asked of
them, and what is said about them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.design.shares import Values
from bayeslmm.errors import (
    ModelError,
    check_count,
    check_progress,
    check_seed,
    is_count,
)
from bayeslmm.reml.chunks import check_jobs, in_chunks
from bayeslmm.reml.refit import Refitted, make_refitter
from bayeslmm.simulation import Parameters, responses_at

if TYPE_CHECKING:
    from bayeslmm.reml.fit import RemlFit


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Estimates of simulated responses whose search converged.

    Attributes
    ----------
    ends : tuple of Refitted
        These.
    nsim : int
        Responses that were simulated.
    """

    ends: tuple[Refitted, ...]
    nsim: int

    @property
    def values(self) -> Values:
        """Their parameters, the first axis being that of the responses."""
        terms = zip(*(end.factors for end in self.ends), strict=True)
        return Values(
            beta=np.array([end.beta for end in self.ends]),
            roots=tuple(np.array(roots) for roots in terms),
            sigma=np.array([end.sigma for end in self.ends]),
            residual=np.array([end.residual for end in self.ends]),
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a table of their percentiles says."""
        found = (
            f"Percentiles of the estimates of {len(self.ends):,} simulated responses."
        )
        failed = self.nsim - len(self.ends)
        if not failed:
            return (found,)
        return (
            found,
            f"{failed} of {self.nsim:,} simulated responses have no fit that "
            f"converged, and are left out.",
        )


def bootstrap(
    fit: "RemlFit",
    nsim: object,
    seed: int | np.random.Generator | None,
    n_jobs: object = 1,
    progress: object = "auto",
) -> Bootstrap:
    """Estimates of simulated responses; those of one seed are drawn once.

    Parameters
    ----------
    fit : RemlFit
        A fit whose rows are in memory.
    nsim : int
        Responses, 2 at least.
    seed : int or numpy.random.Generator, optional
        Of these.
    n_jobs : int
        Processes.
    progress : bool or "auto"
        Whether to show a bar.

    Raises
    ------
    ModelError
        If an option is none, or fewer than two fits converged.
    """
    nsim = check_count(nsim, "nsim", 2)
    check_seed(seed)
    jobs, shown = check_jobs(n_jobs), check_progress(progress)
    key = f"bootstrap of {nsim} with seed {seed}"
    if key in fit.found:
        return fit.found[key]
    rng = np.random.default_rng(seed)
    one = Parameters(fit.beta, fit.factors, fit.sigma, fit.residual_values)
    work = partial(_refits, fit.design, one, make_refitter(fit))
    title = "simulated responses"
    ends = in_chunks(work, nsim, rng, n_jobs=jobs, progress=shown, title=title)
    found = Bootstrap(tuple(end for end in ends if end.converged), nsim)
    if len(found.ends) < 2:
        failed = nsim - len(found.ends)
        raise ModelError(
            f"{failed} of {nsim} fits of simulated responses did not converge, and "
            f"fewer than two have no percentiles. Simulate more, or simplify the "
            f"random part."
        )
    if is_count(seed):
        fit.found[key] = found
    return found


def _refits(
    design: Design,
    parameters: Parameters,
    refit: Callable[[Float[np.ndarray, " n"]], Refitted],
    size: int,
    rng: np.random.Generator,
) -> list[Refitted]:
    """Fits of some responses."""
    return [refit(y) for y in responses_at(design, parameters, size, rng)]


def percentiles(
    draws: Float[np.ndarray, "s m"], prob: float
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Lower and upper ends of intervals, of the draws that exist; NaN if none does."""
    some = ~np.isnan(draws).all(axis=0)
    ends = np.full((2, draws.shape[1]), np.nan)
    tails = [0.5 - prob / 2, 0.5 + prob / 2]
    ends[:, some] = np.nanquantile(draws[:, some], tails, axis=0)
    return ends[0], ends[1]
