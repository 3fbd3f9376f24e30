"""Satterthwaite's degrees of freedom, and tests with those that are given.

Takes where a fit `Ended`; gives `Moving`: the covariance C of the fixed effects with
what the error of the variance parameters does to it, from which the degrees of freedom
of any combination follow,

    df(c) = 2 (c'Cc)**2 / var(c'Cc),

by the delta method from the observed information of the variance parameters. In the
profiled theta, ``log sigma = log sigma_hat(theta) + error``, where the error has
variance 1 / (2 dof).

References
----------
.. [1] Kuznetsova, Brockhoff and Christensen (2017). J. Stat. Softw. 82(13).
   https://doi.org/10.18637/jss.v082.i13
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import ModelError
from bayeslmm.marginal.elimination import eliminate, projections
from bayeslmm.marginal.slopes import residual_grams
from bayeslmm.reml.criterion import ProfiledProblem
from bayeslmm.reml.information import FLAT
from bayeslmm.reml.late import Ended
from bayeslmm.reml.newton import Curvature
from bayeslmm.reml.optimise import Optimum, curvature_at, free_parameters

# Degrees of freedom of an F test that differ by less are equal.
EQUAL_DF = 1e-8
# Eigenvalues of an information below this share of the largest are rounding.
ROUNDING = 1e-10


@dataclass(frozen=True, slots=True)
class FTest:
    """An F test: statistic, degrees of freedom, and the scale that is in the former."""

    statistic: float
    num_df: int
    den_df: float
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Moving:
    """Satterthwaite's: a covariance, and how it moves with the variance parameters.

    Attributes
    ----------
    covariance : ndarray, shape (p, p)
        Covariance of the fixed effects at the estimates, of safe columns.
    moves : ndarray, shape (s, p, p)
        Its change along independent errors of the variance parameters, one SD each.
    """

    covariance: Float[np.ndarray, "p p"]
    moves: Float[np.ndarray, "s p p"]

    def df(self, contrast: Float[np.ndarray, " p"]) -> float:
        """``2 v**2 / var(v)`` of v = c'Cc; NaN for a combination without variance."""
        variance = float(contrast @ self.covariance @ contrast)
        errors = contrast @ self.moves @ contrast
        if not variance > 0.0:
            return math.nan
        return 2.0 * variance**2 / float(errors @ errors)

    def test(
        self, contrasts: Float[np.ndarray, "l p"], values: Float[np.ndarray, " l"]
    ) -> FTest:
        """F of independent t tests along the axes of the combinations' covariance."""
        rank, turned, along = _axes(contrasts, self.covariance, values)
        return FTest(
            float((along**2).sum() / rank),
            rank,
            _pooled_df(np.array([self.df(c) for c in turned])),
        )


@dataclass(frozen=True, slots=True)
class Known:
    """Degrees of freedom that are the same for every combination; infinite for z."""

    covariance: Float[np.ndarray, "p p"]
    n: float

    def df(self, contrast: Float[np.ndarray, " p"]) -> float:
        """The same."""
        return self.n if contrast @ self.covariance @ contrast > 0.0 else math.nan

    def test(
        self, contrasts: Float[np.ndarray, "l p"], values: Float[np.ndarray, " l"]
    ) -> FTest:
        """Wald's F."""
        rank, _, along = _axes(contrasts, self.covariance, values)
        return FTest(float((along**2).sum() / rank), rank, self.n)


def _axes(
    contrasts: Float[np.ndarray, "l p"],
    covariance: Float[np.ndarray, "p p"],
    values: Float[np.ndarray, " l"],
) -> tuple[int, Float[np.ndarray, "r p"], Float[np.ndarray, " r"]]:
    """Combinations along the axes of their covariance, and t of each."""
    variances, axes = np.linalg.eigh(contrasts @ covariance @ contrasts.T)
    kept = variances > ROUNDING * variances.max()
    turned, along = axes.T[kept] @ contrasts, axes.T[kept] @ values
    return int(kept.sum()), turned, along / np.sqrt(variances[kept])


def _pooled_df(df: Float[np.ndarray, " r"]) -> float:
    """Of F, the mean of squares of independent t with these degrees of freedom."""
    if (np.abs(np.diff(df)) < EQUAL_DF).all():
        return float(df.mean())
    if not (df > 2.0).all():
        return 2.0
    expected = float((df / (df - 2.0)).sum())
    return 2.0 * expected / (expected - len(df))


def satterthwaite(ended: Ended) -> Moving:
    """The covariance of safe fixed effects, and how it moves; see the module.

    What stands at its boundary is held there, as in lmerTest.

    Raises
    ------
    ModelError
        If the search did not converge.
    """
    problem, theta = ended.problem, ended.optimum.theta
    curvature = _curvature(problem, ended.optimum)
    root = _theta_root(curvature)
    covariance, slopes = _covariance_slopes(problem, theta)
    log_sigma = problem.log_sigma_slope(theta)
    moves = np.tensordot(root.T, slopes, 1)
    moves += 2.0 * (root.T @ log_sigma)[:, None, None] * covariance
    with_sigma = 2.0 * covariance / math.sqrt(2.0 * problem.dof)
    return Moving(covariance, np.concatenate([moves, with_sigma[None]]))


def _curvature(problem: ProfiledProblem, optimum: Optimum) -> Curvature:
    """Curvature of the criterion at the estimates."""
    if optimum.converged:
        free = free_parameters(problem, optimum.theta, optimum.gradient)
        found = optimum.curvature or curvature_at(problem, optimum.theta, free)
        if found is not None:
            return found
    raise ModelError(
        "Satterthwaite's degrees of freedom need the curvature of the criterion at its "
        "minimum, and the search did not converge. Use ddf='z' or 'residual', or a "
        "simpler random part."
    )


def _theta_root(curvature: Curvature) -> Float[np.ndarray, "m s"]:
    """Root of the covariance of theta; directions in which nothing curves left out."""
    information = 0.5 * curvature.hessian
    if not information.size:
        return np.zeros((len(curvature.theta), 0))
    own = np.diag(information)
    unit = 1.0 / np.sqrt(np.maximum(own, ROUNDING * max(float(own.max()), 1.0)))
    values, vectors = np.linalg.eigh(information * np.outer(unit, unit))
    kept = values > FLAT
    root = unit[:, None] * vectors[:, kept] / np.sqrt(values[kept])
    return curvature.frame @ root


def _covariance_slopes(
    problem: ProfiledProblem, theta: Float[np.ndarray, " m"]
) -> tuple[Float[np.ndarray, "p p"], Float[np.ndarray, "m p p"]]:
    """``C0 = (X'V0^-1X)^-1`` and its derivative by each theta.

    ``dC0 = C0 X'V0^-1 dV0 V0^-1X C0``, and by the residuals' from ``X'V0^-1X``.
    """
    stats, relative = problem.statistics_at(theta), problem.factors(theta)
    done = eliminate(stats, relative)
    C0 = np.linalg.inv(done.G[:-1, :-1])
    slopes = np.zeros((len(theta), stats.p, stats.p))
    for block, (Q, _) in zip(
        stats.layout.blocks, projections(stats, done), strict=True
    ):
        for t, span in block.parts:
            own, factor = problem.blocks[t], relative[t]
            on_beta = Q[:, span, :-1] @ C0
            between = np.einsum("jap,jbq->abpq", on_beta, on_beta)
            for i, slope in enumerate(own.slopes(theta[own.where])):
                half = slope @ factor.T
                at = own.where.start + i
                slopes[at] = np.tensordot(half + half.T, between, 2)
    if problem.stack is not None:
        moved = residual_grams(problem.stack, theta[problem.residual], relative)
        slopes[problem.residual] = -C0 @ moved[:, :-1, :-1] @ C0
    return C0, slopes
