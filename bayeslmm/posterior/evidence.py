"""The evidence: the density of the data with every parameter integrated out.

Takes the `Target` of a model; gives its `Evidence` with an error and an independent
check: by a lattice over few variance parameters, else by a bridge between draws of the
posterior and a split Student-t at its mode.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import ModelError, PriorError, check_seed, is_number
from bayeslmm.graph.trees import COORDINATES, UNCONSTRAINED
from bayeslmm.posterior.bridge import Points, bridge, equal_points
from bayeslmm.posterior.fit import Posterior
from bayeslmm.posterior.independence import efficiency_of, log_mean_weight
from bayeslmm.posterior.lattice import Lattice, grow_lattice, unit_steps
from bayeslmm.posterior.left_out import densities
from bayeslmm.posterior.mode import Laplace, laplace
from bayeslmm.posterior.nuts import run_nutpie
from bayeslmm.posterior.options import Options, available_cores
from bayeslmm.posterior.proposal import make_proposal
from bayeslmm.posterior.rounds import weighted_draws
from bayeslmm.posterior.target import Target
from bayeslmm.posterior.weighted import marginal_target
from bayeslmm.priors import Priors
from bayeslmm.reml.expense import EXPENSIVE, useful_threads
from bayeslmm.spec import ModelSpec
from bayeslmm.tables.notebook import fragment

# Up to so many variance parameters a lattice of the density takes about a second; 12
# times as long for each more.
MOST_BY_LATTICE = 4
# Steps in SDs of a coordinate given the others, and how far down each lattice goes.
LATTICES = ((1.0, 8.0), (0.85, 11.0), (0.7, 14.0), (0.5, 18.0))
# A finer lattice than this many points is not begun.
MOST_POINTS = 60_000
# Points of the Student-t, and draws in so many chains.
POINTS, CHAINS = 4000, 4
TOLERANCES = (1e-6, 1.0)


@dataclass(frozen=True, slots=True, repr=False)
class Evidence:
    """Log density of the data with every parameter integrated out.

    Attributes
    ----------
    said : str
        The model, in a line.
    log_evidence : float
        Natural logarithm; of responses in their units.
    error : float
        Its error: the change from the lattice before, or the standard error of the
        bridge.
    method : {"quadrature", "bridge"}
        How it was computed.
    check, check_error : float
        The same from the mean weight of points of a Student-t at the mode, with its
        standard error: another road to the same number.
    target : Target
        The density that was integrated.
    x, weights : ndarray, shapes (n, m) and (n,)
        Points of the posterior of its coordinates, with weights that sum to 1: of the
        lattice, or draws.
    """

    said: str
    log_evidence: float
    error: float
    method: str
    check: float
    check_error: float
    target: Target
    x: Float[np.ndarray, "n m"]
    weights: Float[np.ndarray, " n"]

    def __repr__(self) -> str:
        """The number with its error, and the check."""
        return (
            f"Evidence({self.said!r})\n"
            f"log evidence {self.log_evidence:.4f} (error {self.error:.1g}, by "
            f"{self.method}); mean weight of a Student-t at the mode: "
            f"{self.check:.3f} (SE {self.check_error:.2g})."
        )

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        head, *lines = repr(self).splitlines()
        return fragment(head, lines)


def log_evidence(
    given: ModelSpec | Posterior,
    *,
    tolerance: float = 1e-3,
    seed: int | np.random.Generator | None = 0,
) -> Evidence:
    """Log density of the data with every parameter integrated out.

    Use it through `bayeslmm.bayes_factor`; alone it means nothing.

    Parameters
    ----------
    given : Model or Posterior
        Gaussian, priors proper; the draws of a posterior are used where it is not by
        quadrature.
    tolerance : float, default 1e-3
        Change of it from one lattice to the next that is allowed.
    seed : int or numpy.random.Generator, optional
        Of the points of the check, and of draws for a bridge.

    Returns
    -------
    Evidence
        ``log_evidence`` with its ``error``; ``method``: ``"quadrature"`` for up to four
        variance parameters, ``"bridge"`` between draws and a Student-t at the mode for
        more; and ``check``, the log mean weight of that Student-t.

    Raises
    ------
    PriorError
        If a prior is flat.
    ModelError
        If the effects cannot be integrated out.

    References
    ----------
    .. [1] Gronau et al. (2020). bridgesampling: An R package for estimating normalizing
       constants. J. Stat. Softw. 92(10). https://doi.org/10.18637/jss.v092.i10
    """
    check_seed(seed)
    number = int(np.random.default_rng(seed).integers(2**31))
    if not isinstance(given, Posterior):
        target, model, draws = marginal_target(given, "auto"), given, None
    else:
        target, model = marginal_target(given.model, given.method), given.model
        draws = given.idata[UNCONSTRAINED][COORDINATES].to_numpy()
    what = model.said, target, model.priors
    return evidence_of(*what, tolerance=tolerance, seed=number, draws=draws)


def evidence_of(
    said: str,
    target: Target,
    priors: Priors,
    *,
    tolerance: float = 1e-3,
    seed: int = 0,
    draws: Float[np.ndarray, "chain draw m"] | None = None,
) -> Evidence:
    """Evidence of a target.

    Parameters
    ----------
    said : str
        The model, for messages.
    target : Target
        Its target.
    priors : Priors
        Its priors.
    tolerance : float, default 1e-3
        Change of the log evidence from one lattice to the next that ends the search.
    seed : int, default 0
        Of the points.
    draws : ndarray, shape (chain, draw, m), optional
        Draws of the coordinates from the posterior; made where they are needed.

    Raises
    ------
    PriorError
        If a prior is flat: then there is no evidence.
    """
    low, high = TOLERANCES
    if not is_number(tolerance) or not low <= tolerance <= high:
        raise ModelError(
            f"tolerance must be a number from {low:g} to {high:g}, the change of the "
            f"log evidence that is allowed, such as 0.001, not {tolerance!r}."
        )
    _refuse_flat(said, target, priors)
    cores = useful_threads(target.statistics, available_cores())
    normal = laplace(target)
    proposal = make_proposal(target, normal, cores)
    _, weights = weighted_draws(target, proposal, POINTS, seed, cores)
    check = log_mean_weight(weights)
    found = _by_lattices(target, normal, tolerance, cores)
    if found is not None:
        lattice, error = found
        own = "quadrature", *check, target, lattice.x, lattice.weights
        return Evidence(said, lattice.log_integral, error, *own)
    if draws is None:
        draws = _draws(target, normal, seed, cores)
    second = Points(weights[np.isfinite(weights)], *_shares(weights))
    x = draws.reshape(-1, draws.shape[2])
    ratio = densities(target, x, cores) - proposal.log_density(x)
    first = equal_points(ratio, efficiency_of(draws))
    value, error = bridge(first, second)
    own = "bridge", *check, target, x, first.weights
    return Evidence(said, value, error, *own)


def _by_lattices(
    target: Target, normal: Laplace, tolerance: float, cores: int
) -> tuple[Lattice, float] | None:
    """Finer lattices until two agree; None where they would be too large."""
    if normal.mode.size > MOST_BY_LATTICE or target.statistics.seconds > EXPENSIVE:
        return None
    unit, last, error = unit_steps(target, normal), None, math.inf
    flat, before = np.zeros(len(unit), np.int64), 1.0
    for step, cut in LATTICES:
        growth = (before / step) ** len(unit)
        if last is not None and growth * len(last.nodes) > MOST_POINTS:
            break
        try:
            own = grow_lattice(target, normal, step * unit, flat, cut, cores)
        except ModelError:  # too wide for a lattice
            return None
        if last is not None:
            error = abs(own.log_integral - last.log_integral)
        last, before = own, step
        if error <= tolerance:
            return own, error
    return None


def _shares(weights: Float[np.ndarray, " n"]) -> tuple[np.ndarray, float]:
    """Equal shares of the points that have density, and how many points there are.

    Those without density count as points of ratio 0.
    """
    finite = int(np.isfinite(weights).sum())
    return np.full(finite, 1.0 / len(weights)), float(len(weights))


def _draws(
    target: Target, normal: Laplace, seed: int, cores: int
) -> Float[np.ndarray, "chain draw m"]:
    """Draws of the posterior by NUTS."""
    options = Options(POINTS // CHAINS, None, CHAINS, seed, None, cores, False)
    return normal.mode + run_nutpie(target, normal, options).z @ normal.basis.T


def _refuse_flat(said: str, target: Target, priors: Priors) -> None:
    """Raise where a prior has no density that integrates to 1."""
    scales = [prior for _, prior in priors.auxiliary if prior.is_flat]
    flat = [str(prior) for prior in (*priors.scales, *scales) if prior.is_flat]
    p = target.statistics.p
    n_proper = 0 if target.beta is None else target.beta.n_proper
    if n_proper < p:
        flat += [f"{p - n_proper} of {p} fixed effects"]
    if flat:
        raise PriorError(
            f"{said!r} has flat priors ({', '.join(dict.fromkeys(flat))}), whose "
            f"height is arbitrary, and so would be its evidence and any Bayes factor. "
            f"Use proper priors, for example priors='weak', or a test that needs none: "
            f"anova() or ranova() of REML fits."
        )
