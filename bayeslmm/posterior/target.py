"""Log posterior density of the variance parameters, in unconstrained coordinates.

Takes a `Design` with its priors, gives its `Target`: value and gradient of

    log p(y | sigma, Sigma) + log p(sigma) + sum log p(sd) + sum log p(corr)

over the coordinates x of the model's `ParameterSpace`, with beta and b integrated out
and all Jacobians included. SDs and correlations are those of the effects that the
priors refer to: of columns less their means, or of the columns of the data. The
likelihood is computed from cross-products in safe coordinates, to which one
lower-triangular matrix takes the factor of each term. The samplers call a target tens
of thousands of times: where `compiled` has a kernel for the model a call is compiled as
a whole, else it goes through `covariance` term by term.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_triangular

from bayeslmm import covariance
from bayeslmm.design.arrays import Design
from bayeslmm.design.space import ParameterSpace
from bayeslmm.errors import SamplingError
from bayeslmm.marginal import (
    BetaPrior,
    EffectsMean,
    Statistics,
    log_density_gradient,
)
from bayeslmm.marginal.columns import is_identity
from bayeslmm.marginal.conditioned import Conditioned
from bayeslmm.marginal.conditioning import moved_moments, reproduces
from bayeslmm.marginal.slopes import structured_density_gradient
from bayeslmm.posterior.compiled import (
    CompiledTarget,
    Plan,
    compile_target,
    make_plan,
    spread_factors,
)
from bayeslmm.posterior.kernels.coordinates import FARTHEST
from bayeslmm.priors import Priors, safe_beta_prior, scale_logp, stretched_logp

ScaleLogp = Callable[[float], tuple[float, float]]

# SDs of 0 are taken as this share of the residual SD, in the units of their column:
# only a point from where the mode is searched.
MIN_SD_RATIO = 1e-4


@dataclass(frozen=True, slots=True)
class TermTarget:
    """One bar term: where its coordinates are and the prior of its correlations.

    ``eta`` is LKJ's; ``lift`` takes the factor to safe columns, the unit of y included.
    """

    structure: covariance.Structure
    k: int
    where: slice
    eta: float
    lift: Float[np.ndarray, "k k"]

    def factor(self, x: list[float]) -> Float[np.ndarray, "k k"]:
        """Cholesky factor of the covariance at all coordinates x."""
        own = np.array(x[self.where])
        return covariance.coordinates_to_factor(self.structure, own, self.k)

    def pullback(
        self, x: list[float], d_factor: Float[np.ndarray, "k k"]
    ) -> Float[np.ndarray, " _m"]:
        """Gradient with respect to the term's coordinates from that to its factor."""
        own = np.array(x[self.where])
        return covariance.coordinates_pullback(self.structure, own, self.k, d_factor)

    def corr_logp(self, x: list[float]) -> tuple[float, Float[np.ndarray, " _m"]]:
        """Log prior density of its partial correlations, with the gradient."""
        own = np.array(x[self.where])
        return covariance.corr_logp(self.structure, own, self.k, self.eta)


@dataclass(frozen=True, slots=True)
class Target:
    """Log posterior density of x, up to the evidence; call it for value and gradient.

    Attributes
    ----------
    conditioned : Conditioned
        The model in safe coordinates, each term at the origin of its priors.
    beta : BetaPrior or None
        Prior of the safe fixed effects that is integrated; None is flat.
    space : ParameterSpace
        What the entries of x are.
    scale_logp : dict of int to callable
        Log prior densities of the coordinates that are logs of SDs, and of those of
        residuals, by place.
    terms : tuple of TermTarget
        The bar terms, in the order of ``design.groups``.
    start : ndarray, shape (m,)
        Moment estimate: where searches begin; x far from it has density 0.
    plan : Plan or None
        Terms and priors in numbers, where the structures of all terms allow.
    compiled : CompiledTarget or None
        The target in one compiled call, where there is a kernel as well.
    """

    conditioned: Conditioned
    beta: BetaPrior | None
    space: ParameterSpace
    scale_logp: Mapping[int, ScaleLogp]
    terms: tuple[TermTarget, ...]
    start: Float[np.ndarray, " m"]
    plan: Plan | None
    compiled: CompiledTarget | None

    @property
    def statistics(self) -> Statistics:
        """Cross-products in safe coordinates, as if residuals had no structure."""
        return self.conditioned.statistics

    @property
    def residual(self) -> slice:
        """Places of the residuals' parameters; empty without a structure."""
        stack, m = self.conditioned.stack, self.space.size
        return slice(m - (stack.law.size if stack is not None else 0), m)

    def statistics_at(self, x: Float[np.ndarray, " m"]) -> Statistics:
        """Cross-products under the residuals that x says."""
        stack = self.conditioned.stack
        return self.statistics if stack is None else stack.summed(x[self.residual])

    def __call__(
        self, x: Float[np.ndarray, " m"]
    ) -> tuple[float, Float[np.ndarray, " m"]]:
        """Log posterior density at x, with its gradient; minus infinity if too far."""
        if self.compiled is not None:
            return self.compiled(x)
        point = x.tolist()
        for value, center in zip(point, self.start.tolist(), strict=True):
            if not abs(value - center) < FARTHEST:  # also NaN
                return -math.inf, np.zeros(len(point))
        factors = tuple(term.lift @ term.factor(point) for term in self.terms)
        given = (factors, float(self.safe_sigma(x)), self.beta)
        stack, last = self.conditioned.stack, np.empty(0)
        if stack is None:
            total, d_factors, d_log_sigma = log_density_gradient(
                self.statistics, *given
            )
        else:
            total, d_factors, d_log_sigma, last = structured_density_gradient(
                stack, x[self.residual], *given
            )
        logp, gradient = self.log_prior(point)
        gradient[self.residual] += last
        total += logp + self.conditioned.log_jacobian
        gradient[self.space.sigma] += d_log_sigma
        for term, d_factor in zip(self.terms, d_factors, strict=True):
            lifted = term.lift.T @ np.tril(d_factor)
            gradient[term.where] += term.pullback(point, lifted)
        if not math.isfinite(total):  # no positive definite factor, or no prior density
            return -math.inf, np.zeros(len(point))
        return float(total), gradient

    def log_prior(self, x: list[float]) -> tuple[float, Float[np.ndarray, " m"]]:
        """Log prior density of all coordinates, with its gradient."""
        total, gradient = 0.0, np.zeros(len(x))
        for i, logp in self.scale_logp.items():
            value, gradient[i] = logp(x[i])
            total += value
        for term in self.terms:
            if term.structure.n_corr(term.k):
                value, slopes = term.corr_logp(x)
                total += value
                gradient[term.where] += slopes
        return total, gradient

    def factors(
        self, draws: Float[np.ndarray, "s m"]
    ) -> tuple[Float[np.ndarray, "s _k _k"], ...]:
        """Roots of the covariances of the data's columns, each term at s points.

        Lower triangular where the priors of a term refer to the data's columns.
        """
        return tuple(
            self.conditioned.reference(t) @ own
            for t, own in enumerate(self.prior_factors(draws))
        )

    def safe_factors(
        self, draws: Float[np.ndarray, "s m"]
    ) -> tuple[Float[np.ndarray, "s _k _k"], ...]:
        """Cholesky factors in safe coordinates, each term at s points."""
        return tuple(
            term.lift @ own
            for term, own in zip(self.terms, self.prior_factors(draws), strict=True)
        )

    def safe_sigma(self, draws: Float[np.ndarray, "*s m"]) -> Float[np.ndarray, "*s"]:
        """Residual SD in safe units at each point."""
        sigma = np.exp(draws[..., self.space.sigma])
        return np.asarray(sigma / self.conditioned.unit)

    def effects(self, x: Float[np.ndarray, " m"]) -> EffectsMean:
        """Distribution of the effects of the data given x."""
        safe = tuple(factor[0] for factor in self.safe_factors(x[None]))
        own = self.conditioned.at(x[self.residual])
        return own.effects(safe, float(self.safe_sigma(x)), self.beta)

    def coordinates(
        self,
        relative: Sequence[Float[np.ndarray, "_k _k"]],
        sigma: float,
        residual: Float[np.ndarray, " r"] | None = None,
    ) -> Float[np.ndarray, " m"]:
        """The point of relative factors and a residual SD in safe coordinates.

        With the coordinates of the residuals' parameters where they have any.
        """
        x = self.start.copy()
        if residual is not None:
            x[self.residual] = residual
        x[self.space.sigma] = math.log(sigma * self.conditioned.unit)
        for t, (term, factor) in enumerate(zip(self.terms, relative, strict=True)):
            x[term.where] = covariance.factor_to_coordinates(
                term.structure,
                np.linalg.solve(term.lift, sigma * factor),
                self.least_sds(t, MIN_SD_RATIO),
            )
        return x

    def least_sds(self, t: int, ratio: float) -> Float[np.ndarray, " s"]:
        """SDs of a term that are this share of the residual one, each in its unit."""
        return ratio * np.exp(self.start[self.space.scales_of(t)])

    def prior_factors(
        self, draws: Float[np.ndarray, "s m"]
    ) -> tuple[Float[np.ndarray, "s _k _k"], ...]:
        """Cholesky factors of what the priors refer to, each term at s points."""
        if self.plan is not None:
            return spread_factors(self.plan, self.statistics, draws)
        points = draws.tolist()
        return tuple(
            np.array([term.factor(x) for x in points]).reshape(-1, term.k, term.k)
            for term in self.terms
        )


def make_target(design: Design, conditioned: Conditioned, priors: Priors) -> Target:
    """Target of a Gaussian model.

    Parameters
    ----------
    design : Design
        Arrays of the model.
    conditioned : Conditioned
        Its cross-products in safe coordinates.
    priors : Priors
        Its priors; those of the fixed effects Normal or flat.

    Returns
    -------
    Target
        Over the coordinates of ``design.space``.

    Raises
    ------
    PriorError
        If a fixed effect's prior cannot be integrated.
    SamplingError
        If the fixed effects reproduce the response exactly.
    """
    conditioned = conditioned.unmoved(priors.centered)
    lifts = [
        solve_triangular(basis, np.eye(len(basis)), lower=True) / conditioned.unit
        for basis in conditioned.bases
    ]
    space = design.space
    terms = [
        TermTarget(
            *(term.covariance, term.k, space.of_term(t)), priors.corr_eta[t], lifts[t]
        )
        for t, term in enumerate(design.groups)
    ]
    beta = safe_beta_prior(priors, design, conditioned)
    start = start_point(design, conditioned)
    plan = make_plan(design, conditioned, lifts, priors, start)
    return Target(
        conditioned=conditioned,
        beta=beta,
        space=space,
        scale_logp=_coordinate_priors(space, priors),
        terms=tuple(terms),
        start=start,
        plan=plan,
        compiled=compile_target(plan, conditioned, beta),
    )


def _coordinate_priors(space: ParameterSpace, priors: Priors) -> dict[int, ScaleLogp]:
    """Log prior densities of the logs of SDs, and of a correlation of residuals."""
    found = {i: scale_logp(priors.of(space.told(i))) for i in space.scales}
    for i, own in enumerate(space.coordinates):
        if own.term is None and i not in found:
            found[i] = stretched_logp(priors.of(space.told(i)))
    return found


def start_point(design: Design, conditioned: Conditioned) -> Float[np.ndarray, " m"]:
    """Start of all searches: each column of Z moves y as much as the residuals do.

    Raises
    ------
    SamplingError
        If the fixed effects alone reproduce y, so that nothing is left to estimate.
    """
    if reproduces(design, conditioned):
        raise SamplingError(
            f"The fixed effects reproduce {design.response!r} exactly, so no variance "
            "is left to estimate. Remove the predictor that equals the response."
        )
    space, start = design.space, np.zeros(design.space.size)
    start[space.sigma] = log_sd = math.log(conditioned.residual_sd)
    for t in range(len(design.groups)):
        columns = design.moments.Z[t]
        if not is_identity(conditioned.movers[t]):
            columns = moved_moments(design, t)
        sds = space.scales_of(t)  # one if they are equal
        share = np.log(np.maximum(columns.rms(), 1e-300))
        start[sds] = log_sd - share[: sds.stop - sds.start]
    return start
