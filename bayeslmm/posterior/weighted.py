"""Points over the variance parameters, with posterior weights.

Takes a `Posterior`; gives its `WeightedPoints`: coordinates, weights, and the log
density at each, split into marginal likelihood and prior. With the fixed and random
effects integrated out, whatever asks about the variance parameters under another prior,
without a group, or in closed form given them, is a sum over these points. Few variance
parameters have the lattice of `quadrature`, without Monte Carlo error; others draws.
"""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import ModelError
from bayeslmm.graph.trees import COORDINATES, UNCONSTRAINED
from bayeslmm.posterior.fit import Posterior
from bayeslmm.posterior.lattice import Lattice
from bayeslmm.posterior.quadrature import quadrature
from bayeslmm.posterior.target import Target, make_target
from bayeslmm.reml.expense import EXPENSIVE
from bayeslmm.spec import ModelSpec

# Up to so many variance parameters a lattice takes half a second (4: ten seconds), at
# these changes of its figures from the lattice before, in SDs.
LATTICE_TOLERANCE = {1: 1e-4, 2: 1e-4, 3: 1e-2}
# Kept while its model lives: several tables of one fit ask for the same.
_LATTICES: "WeakKeyDictionary[ModelSpec, Lattice]" = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class WeightedPoints:
    """Points of the variance parameters, and the posterior there.

    Attributes
    ----------
    target : Target
        Log posterior density of the coordinates.
    x : ndarray, shape (n, m)
        Coordinates, those of the model's `ParameterSpace`.
    weights : ndarray, shape (n,)
        Posterior probability that each stands for, summing to 1.
    log_density, log_prior : ndarray, shape (n,)
        Log density of x up to the evidence, and its part that is the prior's; both with
        the Jacobian of the coordinates.
    lattice : Lattice or None
        The grid they are on; None where they are draws.
    """

    target: Target
    x: Float[np.ndarray, "n m"]
    weights: Float[np.ndarray, " n"]
    log_density: Float[np.ndarray, " n"]
    log_prior: Float[np.ndarray, " n"]
    lattice: Lattice | None

    @property
    def log_likelihood(self) -> Float[np.ndarray, " n"]:
        """Log of p(y | variance parameters), the fixed effects integrated out."""
        return self.log_density - self.log_prior


def weighted_points(post: Posterior) -> WeightedPoints:
    """Points that stand for the posterior of the variance parameters.

    Parameters
    ----------
    post : Posterior
        Gaussian, with Normal or flat priors of the fixed effects.

    Returns
    -------
    WeightedPoints
        A lattice with up to three variance parameters, else the draws.

    Raises
    ------
    ModelError
        If the effects were not integrated out.
    """
    target = marginal_target(post.model, post.method)
    m = target.space.size
    if m in LATTICE_TOLERANCE and target.statistics.seconds <= EXPENSIVE:
        if post.model not in _LATTICES:
            exact = quadrature(post.model, tolerance=LATTICE_TOLERANCE[m])
            _LATTICES[post.model] = exact.lattice
        found = _LATTICES[post.model]
        kept = found.weights > 0.0
        x, logp, weights = found.x, found.log_density, found.weights
        return _points(target, x[kept], weights[kept], logp[kept], found)
    x = post.idata[UNCONSTRAINED][COORDINATES].to_numpy().reshape(-1, m)
    logp = post.idata["sample_stats"]["lp"].to_numpy().ravel()
    return _points(target, x, np.full(len(x), 1.0 / len(x)), logp, None)


def marginal_target(model: ModelSpec, method: str) -> Target:
    """The density of the variance parameters alone.

    Raises
    ------
    ModelError
        If there is none, because the effects cannot be integrated out.
    """
    if method == "joint":
        raise ModelError(
            f"{model.formula.text!r} was sampled with all its effects, because of its "
            f"family ({model.family}) or of priors of fixed effects that are not "
            "Normal. What is asked needs them integrated out: a Gaussian model with "
            "Normal or flat priors of the fixed effects."
        )
    return make_target(model.design, model.conditioned, model.priors)


def _points(
    target: Target,
    x: Float[np.ndarray, "n m"],
    weights: Float[np.ndarray, " n"],
    log_density: Float[np.ndarray, " n"],
    lattice: Lattice | None,
) -> WeightedPoints:
    """The points with the log prior at each."""
    log_prior = np.array([target.log_prior(point)[0] for point in x.tolist()])
    return WeightedPoints(target, x, weights, log_density, log_prior, lattice)
