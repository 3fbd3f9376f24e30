"""The posterior without a case, made anew where reweighting cannot be trusted.

Takes a `Leaving` and a case; gives its log predictive density under the posterior of
all other rows: by a lattice around the mode of that posterior, if all rows have one,
else by weighted points there, and where these do not cover it by NUTS.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import PriorError, SamplingError
from bayeslmm.posterior.bridge import Points, bridge
from bayeslmm.posterior.growing import trusted_points
from bayeslmm.posterior.lattice import Lattice, grow_lattice, unit_steps
from bayeslmm.posterior.left_out import Leaving, densities
from bayeslmm.posterior.mode import Laplace, laplace
from bayeslmm.posterior.nuts import run_nutpie
from bayeslmm.posterior.options import Options
from bayeslmm.posterior.proposal import make_proposal
from bayeslmm.posterior.rounds import Evaluation, first_round
from bayeslmm.posterior.tails import find_tails
from bayeslmm.posterior.target import Target
from bayeslmm.reml.expense import MAX_DIMENSION
from bayeslmm.spec import ModelSpec

POINTS = 2000
CHAINS = 4
# A lattice of the evidence alone: its step, and how far down it goes; see `quadrature`.
STEP, CUT = 0.8, 14.0


@dataclass(frozen=True, slots=True)
class Refit:
    """A case under the posterior of all others.

    Attributes
    ----------
    elpd : float
        Log predictive density, units of the data.
    mcse : float
        Its Monte Carlo standard error.
    """

    elpd: float
    mcse: float


def refit_without(
    model: ModelSpec,
    leaving: Leaving,
    c: int,
    whole: Lattice | Points,
    seed: int,
    cores: int,
) -> Refit:
    """A case under the posterior of the model without it.

    Its density is the ratio of the evidences with and without the case: of two
    lattices, or by a bridge between the draws of both.

    Parameters
    ----------
    model : ModelSpec
        Of all rows.
    leaving : Leaving
        What is left out of it.
    c : int
        Number of the case.
    whole : Lattice or Points
        The lattice of all rows, or their draws with the log density of the case, given
        all others, at each.
    seed, cores : int
        Of the draws without the case; most threads.

    Raises
    ------
    PriorError
        If that posterior is improper; the message names the case.
    """
    target, name = leaving.without(c), leaving.names[c]
    try:
        if any(prior.is_flat for prior in model.priors.scales):
            find_tails(model.design, target)  # raises
        normal = laplace(target)
    except (PriorError, SamplingError) as error:
        raise PriorError(
            f"Without {leaving.by} {name!r} there is no posterior to predict it from. "
            f"{error}"
        ) from error
    if isinstance(whole, Lattice):
        step = STEP * unit_steps(target, normal)
        flat = np.zeros(len(step), np.int64)
        rest = grow_lattice(target, normal, step, flat, CUT, cores)
        return Refit(whole.log_integral - rest.log_integral, 0.0)
    x, weights = _points(target, normal, seed, cores)
    values = densities(leaving.target, x, cores) - densities(target, x, cores)
    own = Points(values, weights, 1.0 / float(weights @ weights))
    return Refit(*bridge(whole, own))


def _points(
    target: Target, normal: Laplace, seed: int, cores: int
) -> tuple[Float[np.ndarray, "n m"], Float[np.ndarray, " n"]]:
    """Points of the posterior with their weights."""
    if normal.mode.size <= MAX_DIMENSION:
        first = first_round(make_proposal(target, normal, cores), normal.mode.size)
        found = trusted_points(Evaluation(target, seed, (), cores), first, POINTS)
        if found is not None:
            return found
    options = Options(POINTS // CHAINS, None, CHAINS, seed, None, cores, False)
    drawn = run_nutpie(target, normal, options)
    x = (normal.mode + drawn.z @ normal.basis.T).reshape(-1, normal.mode.size)
    return x, np.full(len(x), 1.0 / len(x))
