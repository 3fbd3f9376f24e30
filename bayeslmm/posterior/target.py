"""Log posterior density of the variance parameters, in unconstrained coordinates.

Takes a `Design` with its priors, gives its `Target`: value and gradient of

    log p(y | sigma, Sigma) + log p(sigma) + sum log p(sd) + sum log p(corr)

over x = [log sigma, then per bar term: log SDs, atanh of the canonical partial
correlations], with beta and b integrated out and all Jacobians included. SDs and
correlations are those of the effects that the priors refer to: of columns less their
means, or of the columns of the data. The likelihood is computed from cross-products in
safe coordinates, to which one lower-triangular matrix takes the factor of each term.
The samplers
call a target tens of thousands of times: where `compiled` has a kernel for the model a
call is compiled as a whole, else it goes through `covariance` term by term.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_triangular

from bayeslmm import covariance
from bayeslmm.design.arrays import Design, GroupTerm, parameters
from bayeslmm.errors import SamplingError
from bayeslmm.marginal import BetaPrior, Statistics, log_density_gradient
from bayeslmm.marginal.columns import is_identity
from bayeslmm.marginal.conditioned import Conditioned
from bayeslmm.marginal.conditioning import moved_moments, reproduces
from bayeslmm.posterior.compiled import (
    CompiledTarget,
    Plan,
    compile_target,
    make_plan,
    spread_factors,
)
from bayeslmm.posterior.kernels.coordinates import FARTHEST
from bayeslmm.priors import Priors, safe_beta_prior, scale_logp

ScaleLogp = Callable[[float], tuple[float, float]]

# SDs of 0 are taken as this share of the residual SD, in the units of their column:
# only a point from where the mode is searched.
MIN_SD_RATIO = 1e-4


@dataclass(frozen=True, slots=True)
class TermTarget:
    """One bar term: where its coordinates are and what their priors say.

    ``sd_logp`` has one log density for each free SD, of log sd; ``eta`` is LKJ's;
    ``lift`` takes the factor to safe columns, the unit of y included.
    """

    structure: covariance.Structure
    k: int
    first: int
    last: int
    sd_logp: tuple[ScaleLogp, ...]
    eta: float
    lift: Float[np.ndarray, "k k"]

    def factor(self, x: list[float]) -> Float[np.ndarray, "k k"]:
        """Cholesky factor of the covariance at all coordinates x."""
        own = np.array(x[self.first : self.last])
        return covariance.coordinates_to_factor(self.structure, own, self.k)

    def pullback(
        self, x: list[float], d_factor: Float[np.ndarray, "k k"]
    ) -> list[float]:
        """Gradient with respect to the term's coordinates from that to its factor."""
        own = np.array(x[self.first : self.last])
        pulled = covariance.coordinates_pullback(self.structure, own, self.k, d_factor)
        return pulled.tolist()

    def prior(self, x: list[float]) -> tuple[float, list[float]]:
        """Log prior density of the term's coordinates, with its gradient."""
        value, gradient = 0.0, [0.0] * (self.last - self.first)
        for i, logp in enumerate(self.sd_logp):
            one, gradient[i] = logp(x[self.first + i])
            value += one
        if self.last - self.first > len(self.sd_logp):
            own = np.array(x[self.first : self.last])
            one, slope = covariance.corr_logp(self.structure, own, self.k, self.eta)
            value += one
            gradient = [g + s for g, s in zip(gradient, slope.tolist(), strict=True)]
        return value, gradient


@dataclass(frozen=True, slots=True)
class Target:
    """Log posterior density of x, up to the evidence; call it for value and gradient.

    Attributes
    ----------
    conditioned : Conditioned
        The model in safe coordinates, each term at the origin of its priors.
    beta : BetaPrior or None
        Prior of the safe fixed effects that is integrated; None is flat.
    sigma_logp : callable
        Log prior density of log sigma.
    terms : tuple of TermTarget
        The bar terms, in the order of ``design.groups``.
    start : ndarray, shape (m,)
        Moment estimate: where searches begin; x far from it has density 0.
    labels : tuple of str
        What each coordinate is about (``edu|classroom_sigma``), for messages.
    scales : tuple of int
        Which coordinates are logarithms of SDs.
    plan : Plan or None
        Terms and priors in numbers, where the structures of all terms allow.
    compiled : CompiledTarget or None
        The target in one compiled call, where there is a kernel as well.
    """

    conditioned: Conditioned
    beta: BetaPrior | None
    sigma_logp: ScaleLogp
    terms: tuple[TermTarget, ...]
    start: Float[np.ndarray, " m"]
    labels: tuple[str, ...]
    scales: tuple[int, ...]
    plan: Plan | None
    compiled: CompiledTarget | None

    @property
    def statistics(self) -> Statistics:
        """Cross-products in safe coordinates."""
        return self.conditioned.statistics

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
        sigma = math.exp(point[0]) / self.conditioned.unit
        total, d_factors, d_log_sigma = log_density_gradient(
            self.statistics, factors, sigma, self.beta
        )
        logp, slope = self.sigma_logp(point[0])
        total += logp + self.conditioned.log_jacobian
        gradient = [d_log_sigma + slope]
        for term, d_factor in zip(self.terms, d_factors, strict=True):
            logp, slopes = term.prior(point)
            total += logp
            pulled = term.pullback(point, term.lift.T @ np.tril(d_factor))
            gradient += [p + s for p, s in zip(pulled, slopes, strict=True)]
        if not math.isfinite(total):  # no positive definite factor, or no prior density
            return -math.inf, np.zeros(len(point))
        return float(total), np.array(gradient)

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
        return np.asarray(np.exp(draws[..., 0]) / self.conditioned.unit)

    def coordinates(
        self, relative: Sequence[Float[np.ndarray, "_k _k"]], sigma: float
    ) -> Float[np.ndarray, " m"]:
        """The point of relative factors and a residual SD in safe coordinates."""
        parts = [
            covariance.factor_to_coordinates(
                term.structure,
                np.linalg.solve(term.lift, sigma * factor),
                self.least_sds(t, MIN_SD_RATIO),
            )
            for t, (term, factor) in enumerate(zip(self.terms, relative, strict=True))
        ]
        log_sigma = math.log(sigma * self.conditioned.unit)
        return np.concatenate([[log_sigma], *parts])

    def least_sds(self, t: int, ratio: float) -> Float[np.ndarray, " s"]:
        """SDs of a term that are this share of the residual one, each in its unit."""
        first = self.terms[t].first
        last = first + len(self.terms[t].sd_logp)
        return ratio * np.exp(self.start[first:last])

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
        Over log sigma and the coordinates of each bar term.

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
    terms, first = [], 1
    for t, group in enumerate(design.groups):
        last = first + group.covariance.n_theta(group.k)
        logps = tuple(scale_logp(prior) for prior in priors.sd[t])
        eta = priors.corr_eta[t]
        shape = group.covariance, group.k, first, last
        terms.append(TermTarget(*shape, logps, eta, lifts[t]))
        first = last
    labels, scales = _coordinate_labels(design)
    beta = safe_beta_prior(priors, design, conditioned)
    start = start_point(design, conditioned)
    plan = make_plan(design.groups, conditioned, lifts, priors, start)
    return Target(
        conditioned=conditioned,
        beta=beta,
        sigma_logp=scale_logp(priors.sigma),
        terms=tuple(terms),
        start=start,
        labels=labels,
        scales=scales,
        plan=plan,
        compiled=compile_target(plan, conditioned, beta),
    )


def start_point(design: Design, conditioned: Conditioned) -> Float[np.ndarray, " m"]:
    """Start of all searches: each part of the model with the SD of the residuals.

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
    log_sd = math.log(conditioned.residual_sd)
    start = [np.array([log_sd])]
    for t, group in enumerate(design.groups):
        columns = design.moments.Z[t]
        if not is_identity(conditioned.movers[t]):
            columns = moved_moments(design, t)
        start.append(_term_start(group, columns.rms(), log_sd))
    return np.concatenate(start)


def _term_start(
    group: GroupTerm, rms: Float[np.ndarray, " k"], log_sd: float
) -> Float[np.ndarray, " m"]:
    """SDs that give each column of Z the same share of y; correlations 0."""
    start = np.zeros(group.covariance.n_theta(group.k))
    m = group.covariance.n_sd(group.k)
    start[:m] = log_sd - np.log(np.maximum(rms, 1e-300))[:m]
    return start


def _coordinate_labels(design: Design) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Label of each coordinate, and which of them are log SDs."""
    labels, scales = ["sigma"], [0]
    for t, group in enumerate(design.groups):
        sds = [
            p.label for p in parameters(design) if (p.component, p.term) == ("sd", t)
        ]
        n_sd = group.covariance.n_sd(group.k)  # fewer if they are equal
        scales += range(len(labels), len(labels) + n_sd)
        labels += sds[:n_sd]
        n_corr = group.covariance.n_corr(group.k)
        labels += [f"{group.group}_corr"] * n_corr
    return tuple(labels), tuple(scales)
