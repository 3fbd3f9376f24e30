"""Whether draws have reached what is known of the posterior.

Takes a `Target`, its modes and draws of its coordinates. A sampler started at a local
mode of a posterior with several agrees with itself and sees nothing; but REML, ML and
the searches for the mode have seen points of the density, and the draws must not stay
below them by more than a Normal with as many coordinates explains.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from scipy.stats import chi2

from bayeslmm import covariance
from bayeslmm.design.arrays import Design
from bayeslmm.errors import PriorError, SamplingError
from bayeslmm.posterior.draws import lower_factors
from bayeslmm.posterior.mode import Laplace, laplace
from bayeslmm.posterior.places import label_draws
from bayeslmm.posterior.predictions import factor_draws
from bayeslmm.posterior.tails import find_tails
from bayeslmm.posterior.target import Target, make_target
from bayeslmm.posterior.visits import log_target
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr

# A chain whose best point lies outside the region that holds this share of a Normal
# distribution has not seen its middle.
REGION = 0.999
# A mode counts as visited with this part of its share of the draws.
VISITED = 0.25
# Draws have SDs above 0 and correlations below 1, but for rounding.
NO_SD = 1e-12
# Draws of each chain of the joint model at which the density is computed.
LOOKED_AT = 100


def shortfall(
    log_density: Float[np.ndarray, "chain draw"], best: float, dimension: int
) -> float:
    """Log density by which the best point of the worst chain misses the best known.

    0 where the number of coordinates explains it.
    """
    missed = best - float(log_density.max(axis=1).min())
    return missed if missed > 0.5 * float(chi2.ppf(REGION, dimension)) else 0.0


def unvisited_share(x: Float[np.ndarray, "chain draw m"], normal: Laplace) -> float:
    """Probability at modes that matter and that the draws have not visited."""
    if not normal.others:
        return 0.0
    inverse = np.linalg.inv(normal.basis)
    centers = np.array([normal.mode, *(other.x for other in normal.others)])
    whitened = (x[..., None, :] - centers) @ inverse.T
    nearest = np.square(whitened).sum(axis=-1).argmin(axis=-1)
    return math.fsum(
        other.share
        for i, other in enumerate(normal.others, start=1)
        if float((nearest == i).mean()) < VISITED * other.share
    )


def joint_coordinates(
    design: Design, target: Target, tree: "xr.DataTree"
) -> Float[np.ndarray, "chain draw m"]:
    """Coordinates of some draws of every chain of the joint model of a target."""
    space, sizes = target.space, tree["posterior"].sizes
    thin = max(1, sizes["draw"] // LOOKED_AT)
    x = np.tile(target.start, (sizes["chain"], -(-sizes["draw"] // thin), 1))
    for i, own in enumerate(space.coordinates):
        if own.term is None:
            draws = label_draws(design, tree, space.told(i).label)
            x[..., i] = space.told(i).working(draws[:, ::thin])
    for t, term in enumerate(target.terms):
        root = factor_draws(design, tree, t)[:, ::thin]
        moved = np.linalg.solve(target.conditioned.reference(t), root)
        lower = lower_factors(moved)
        least = target.least_sds(t, NO_SD)
        own = [
            covariance.factor_to_coordinates(
                term.structure, factor, least, inside=1.0 - NO_SD
            )
            for factor in lower.reshape(-1, term.k, term.k)
        ]
        x[..., term.where] = np.array(own).reshape(*lower.shape[:2], -1)
    return x


def log_densities(
    target: Target, x: Float[np.ndarray, "chain draw m"]
) -> Float[np.ndarray, "chain draw"]:
    """Log density of a target at draws."""
    return np.array([[log_target(target, point) for point in chain] for chain in x])


def joint_agreement(model: ModelSpec, tree: "xr.DataTree") -> dict[str, Any]:
    """What the marginal density says of draws of the joint model, if there is one."""
    if model.family != "gaussian":
        return {}
    try:
        target = make_target(model.design, model.conditioned, model.priors)
        tails = find_tails(model.design, target)
        normal = laplace(target)
    except (PriorError, SamplingError):
        return {}  # not integrable, or improper: nothing to compare with
    x = joint_coordinates(model.design, target, tree)
    reached = agreement(normal, x, log_densities(target, x))
    return {**reached, "missing": tails.missing}


def agreement(
    normal: Laplace,
    x: Float[np.ndarray, "chain draw m"],
    log_density: Float[np.ndarray, "chain draw"],
) -> dict[str, Any]:
    """Fields of the status that compare draws with what is known of the posterior."""
    return {
        "missed": shortfall(log_density, normal.best, normal.mode.size),
        "unvisited": unvisited_share(x, normal),
        "modes": 1 + len(normal.others),
    }
