"""Degrees of freedom of the fixed effects: Satterthwaite, Kenward and Roger.

Takes a `RemlFit`, gives a `Denominator`: the covariance of the fixed effects with what
is known of its own error, from which t and F tests of any combination follow.

**Satterthwaite.** ``df(c) = 2 (c'Cc)**2 / var(c'Cc)`` with the covariance C of beta at
the estimates; its variance by the delta method from the observed information of the
variance parameters. In the profiled theta, ``log sigma = log sigma_hat(theta) + error``
where the error has variance 1 / (2 dof).

**Kenward-Roger.** C is adjusted for the error of the variance parameters, whose
expected information gives the degrees of freedom and the scale of F.

References
----------
.. [1] Kuznetsova, Brockhoff and Christensen (2017). J. Stat. Softw. 82(13).
   https://doi.org/10.18637/jss.v082.i13
.. [2] Kenward and Roger (1997). Biometrics 53(3). https://doi.org/10.2307/2533558
.. [3] Halekoh and Hojsgaard (2014). J. Stat. Softw. 59(9).
   https://doi.org/10.18637/jss.v059.i09
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import ModelError, is_choice
from bayeslmm.marginal.elimination import eliminate, projections
from bayeslmm.marginal.linear import Change, LinearSums, linear_sums
from bayeslmm.reml.criterion import ProfiledProblem
from bayeslmm.reml.information import FLAT
from bayeslmm.reml.late import problem_of
from bayeslmm.reml.newton import Curvature
from bayeslmm.reml.optimise import curvature_at, free_parameters
from bayeslmm.reml.thetas import ThetaBlock

if TYPE_CHECKING:
    from bayeslmm.reml.fit import RemlFit

Ddf = Literal["satterthwaite", "kenward-roger", "z", "residual"]
DDF: tuple[Ddf, ...] = ("satterthwaite", "kenward-roger", "z", "residual")
# Contrasts whose variance is this share of their size in the errors do not vary.
NO_VARIANCE = 1e-12
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


@runtime_checkable
class Denominator(Protocol):
    """What tests of combinations of the fixed effects need to know of a fit."""

    @property
    def covariance(self) -> Float[np.ndarray, "p p"]:
        """Covariance of the fixed effects that the tests use."""
        ...

    def df(self, contrast: Float[np.ndarray, " p"]) -> float:
        """Degrees of freedom of the t test of one combination."""
        ...

    def test(
        self, contrasts: Float[np.ndarray, "l p"], values: Float[np.ndarray, " l"]
    ) -> FTest:
        """F test that independent combinations, estimated as `values`, are all 0."""
        ...


# --- Satterthwaite, and numbers that do not depend on the combination -----------------


@dataclass(frozen=True, slots=True)
class Moving:
    """Satterthwaite's: a covariance, and how it moves with the variance parameters.

    Attributes
    ----------
    covariance : ndarray, shape (p, p)
        Covariance of the fixed effects at the estimates.
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


def satterthwaite(fit: "RemlFit") -> Moving:
    """The covariance of the fixed effects, and how it moves; see the module.

    What stands at its boundary is held there, as in lmerTest.

    Raises
    ------
    ModelError
        If the search did not converge.
    """
    problem, theta = problem_of(fit), fit.optimum.theta
    curvature = _curvature(fit, problem)
    root = _theta_root(curvature)
    own = _covariance_slopes(problem, theta)  # (p, p), (m, p, p), relative
    turn = fit.sigma / problem.conditioned.unit * problem.conditioned.coefficient_turn()
    covariance = turn @ own[0] @ turn.T
    log_sigma = problem.log_sigma_slope(theta)
    along = np.tensordot(root.T, own[1], 1)
    moves = turn @ along @ turn.T
    moves += 2.0 * (root.T @ log_sigma)[:, None, None] * covariance
    dof = problem.statistics.n - (problem.statistics.p if problem.restricted else 0)
    with_sigma = 2.0 * covariance / math.sqrt(2.0 * dof)
    return Moving(covariance, np.concatenate([moves, with_sigma[None]]))


def _curvature(fit: "RemlFit", problem: ProfiledProblem) -> Curvature:
    """Curvature of the criterion at the estimates."""
    optimum = fit.optimum
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

    ``dC0 = C0 X'V0^-1 dV0 V0^-1X C0``.
    """
    stats, relative = problem.statistics, problem.factors(theta)
    done = eliminate(stats, relative)
    C0 = np.linalg.inv(done.G[:-1, :-1])
    slopes = np.zeros((len(theta), stats.p, stats.p))
    for block, (Q, _) in zip(
        stats.layout.blocks, projections(stats, done), strict=True
    ):
        for t, start in zip(block.terms, block.starts, strict=True):
            own, factor = problem.blocks[t], relative[t]
            on_beta = Q[:, start : start + own.k, :-1] @ C0
            between = np.einsum("jap,jbq->abpq", on_beta, on_beta)
            for i, slope in enumerate(own.slopes(theta[own.where])):
                half = slope @ factor.T
                at = own.where.start + i
                slopes[at] = np.tensordot(half + half.T, between, 2)
    return C0, slopes


# --- Kenward and Roger ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Adjusted:
    """Kenward and Roger's: an adjusted covariance, and what degrees of freedom need.

    Attributes
    ----------
    covariance : ndarray, shape (p, p)
        Adjusted for the error of the variance parameters.
    unadjusted : ndarray, shape (p, p)
        With the variance parameters taken as known.
    W : ndarray, shape (i, i)
        Covariance of the variance parameters, by their expected information.
    moves : ndarray, shape (i, p, p)
        ``C P_i C``: what each of them does to the covariance.
    """

    covariance: Float[np.ndarray, "p p"]
    unadjusted: Float[np.ndarray, "p p"]
    W: Float[np.ndarray, "i i"]
    moves: Float[np.ndarray, "i p p"]

    def df(self, contrast: Float[np.ndarray, " p"]) -> float:
        """Degrees of freedom of one combination."""
        if not contrast @ self.unadjusted @ contrast > 0.0:
            return math.nan
        return self._scaled(contrast[None])[0]

    def test(
        self, contrasts: Float[np.ndarray, "l p"], values: Float[np.ndarray, " l"]
    ) -> FTest:
        """Scaled F."""
        variances, axes = np.linalg.eigh(contrasts @ self.unadjusted @ contrasts.T)
        kept = axes.T[variances > ROUNDING * variances.max()]
        rows, own = kept @ contrasts, kept @ values
        df, scale = self._scaled(rows)
        adjusted = rows @ self.covariance @ rows.T
        wald = float(own @ np.linalg.solve(adjusted, own)) / len(own)
        return FTest(scale * wald, len(own), df, scale)

    def _scaled(self, rows: Float[np.ndarray, "l p"]) -> tuple[float, float]:
        """Denominator degrees of freedom, and the scale of F.

        Kenward and Roger's match of two moments of F, in the words of Halekoh and
        Hojsgaard (2014), their equations in section 2.2.
        """
        q = len(rows)
        theta = np.linalg.inv(rows @ self.unadjusted @ rows.T)
        inner = np.einsum("lp,ipq,mq->ilm", rows, self.moves, rows) @ theta
        trace = np.einsum("ill->i", inner)
        A1 = float(trace @ self.W @ trace)
        A2 = float(np.einsum("ij,ilm,jml->", self.W, inner, inner))
        B = (A1 + 6.0 * A2) / (2.0 * q)
        g = ((q + 1.0) * A1 - (q + 4.0) * A2) / ((q + 2.0) * A2)
        below = 3.0 * q + 2.0 * (1.0 - g)
        c1, c2, c3 = g / below, (q - g) / below, (q + 2.0 - g) / below
        V0, V1, V2 = 1.0 + c1 * B, 1.0 - c2 * B, 1.0 - c3 * B
        V0 = 0.0 if abs(V0) < NO_VARIANCE else V0
        shrunk = 1.0 - A2 / q
        both_zero = abs(shrunk) < 1e-10 and abs(V1) < 1e-10
        ratio = 1.0 if both_zero else shrunk / V1
        rho = ratio**2 * V0 / V2 / q
        df = 4.0 + (q + 2.0) / (q * rho - 1.0)
        scale = 1.0 if abs(df - 2.0) < 1e-2 else df * shrunk / (df - 2.0)
        return df, scale


def kenward_roger(fit: "RemlFit") -> Adjusted:
    """The adjusted covariance of the fixed effects, with what its tests need.

    Exact where the covariance is linear in its parameters: us, diag, hom diag, hom cs.
    For the others (several SDs under shared correlations, ar1, toep) second derivatives
    are left out, as SAS's ``ddfm=kr(firstorder)`` does.

    Raises
    ------
    ModelError
        For a fit by ML, or if the random effects do not fit into memory.
    """
    if fit.method != "REML":
        raise ModelError(
            "Kenward-Roger adjusts a REML fit, and this one is by ML. Fit it with "
            "fit_reml(method='REML'), or use ddf='satterthwaite'."
        )
    problem, theta = problem_of(fit), fit.optimum.theta
    changes = [
        Change(t, slope)
        for t, block in enumerate(problem.blocks)
        for slope in _changes(block, theta[block.where], problem, t)
    ]
    sums = linear_sums(problem.statistics, problem.factors(theta), changes)
    C0 = np.linalg.inv(sums.XX)
    moves = C0 @ sums.P @ C0
    W = _expected_covariance(sums, C0, moves)
    inner = sums.Q - np.einsum("ipq,qr,jrs->ijps", sums.P, C0, sums.P)
    total = np.tensordot(W, inner, 2)
    adjusted = C0 + C0 @ (total + total.T) @ C0
    turn = fit.sigma / problem.conditioned.unit * problem.conditioned.coefficient_turn()
    return Adjusted(
        covariance=turn @ adjusted @ turn.T,
        unadjusted=turn @ C0 @ turn.T,
        W=W,
        moves=turn @ moves @ turn.T,
    )


def _expected_covariance(
    sums: LinearSums,
    C0: Float[np.ndarray, "p p"],
    moves: Float[np.ndarray, "i p p"],
) -> Float[np.ndarray, "i i"]:
    """Covariance of the variance parameters by the expected restricted information."""
    with_beta = np.einsum("pq,ijqp->ij", C0, sums.Q)
    squares = np.einsum("ipq,jqp->ij", moves, sums.P)
    information = sums.traces - 2.0 * with_beta + squares
    unit = 1.0 / np.sqrt(np.maximum(np.diag(information), 1e-300))
    scaled = information * np.outer(unit, unit)
    inverse = np.linalg.pinv(scaled, rcond=ROUNDING, hermitian=True)
    return 2.0 * inverse * np.outer(unit, unit)


def _changes(
    block: ThetaBlock,
    theta: Float[np.ndarray, " m"],
    problem: ProfiledProblem,
    t: int,
) -> list[Float[np.ndarray, "k k"]]:
    """Derivatives of a term's safe covariance by the parameters it is linear in."""
    k, structure = block.k, block.structure
    if structure.unstructured:
        found = []
        for i, j in zip(*np.tril_indices(k), strict=True):
            unit = np.zeros((k, k))
            unit[i, j] = unit[j, i] = 1.0
            found.append(unit)
        return found
    if block.is_shared:
        factor = block.factor(theta)
        halves = [slope @ factor.T for slope in block.slopes(theta)]
        return [half + half.T for half in halves]
    into = np.linalg.inv(problem.conditioned.spread(t))
    sizes = [np.eye(k)] if structure.homogeneous else [np.diag(e) for e in np.eye(k)]
    return [into @ own @ into.T for own in sizes]


def denominator(fit: "RemlFit", ddf: object) -> Denominator:
    """Degrees of freedom by name; kept with the fit.

    Raises
    ------
    ModelError
        If the name is unknown, or the method does not exist for this fit.
    """
    if not is_choice(ddf, DDF):
        raise ModelError(
            f"Unknown ddf={ddf!r}. Options: 'satterthwaite', 'kenward-roger', 'z' "
            f"(normal, variance parameters taken as known), 'residual' (n - p)."
        )
    key = f"ddf {ddf}"
    if key not in fit.found:
        fit.found[key] = _denominator(fit, str(ddf))
    return fit.found[key]


def _denominator(fit: "RemlFit", ddf: str) -> Denominator:
    """The same, computed."""
    if ddf == "satterthwaite":
        return satterthwaite(fit)
    if ddf == "kenward-roger":
        return kenward_roger(fit)
    n = math.inf if ddf == "z" else float(fit.design.n - fit.design.p)
    return Known(fit.beta_cov, n)
