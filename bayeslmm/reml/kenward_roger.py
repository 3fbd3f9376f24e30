"""Kenward and Roger's adjusted covariance of the fixed effects, and its tests.

Takes where a fit `Ended`; gives `Adjusted`: the covariance corrected for the error of
the variance parameters, whose expected information gives the degrees of freedom and the
scale of F.

References
----------
.. [1] Kenward and Roger (1997). Biometrics 53(3). https://doi.org/10.2307/2533558
.. [2] Halekoh and Hojsgaard (2014). J. Stat. Softw. 59(9).
   https://doi.org/10.18637/jss.v059.i09
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import ModelError
from bayeslmm.marginal.linear import Change, LinearSums, linear_sums
from bayeslmm.reml.criterion import ProfiledProblem
from bayeslmm.reml.late import Ended
from bayeslmm.reml.satterthwaite import ROUNDING, FTest
from bayeslmm.reml.thetas import ThetaBlock

# A term of the match of moments below this is rounding.
NOTHING = 1e-10


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
        if A2 < NOTHING:  # no variance is estimated of it: F is a chi-square
            return math.inf, 1.0
        if q == 1:  # the match below, its ratio 1 written out: it divides 0 by 0 at 4
            return 2.0 / A2, 1.0
        B = (A1 + 6.0 * A2) / (2.0 * q)
        g = ((q + 1.0) * A1 - (q + 4.0) * A2) / ((q + 2.0) * A2)
        below = 3.0 * q + 2.0 * (1.0 - g)
        c1, c2, c3 = g / below, (q - g) / below, (q + 2.0 - g) / below
        V0, V1, V2 = 1.0 + c1 * B, 1.0 - c2 * B, 1.0 - c3 * B
        V0 = 0.0 if abs(V0) < NOTHING else V0
        shrunk = 1.0 - A2 / q
        both_zero = abs(shrunk) < NOTHING and abs(V1) < NOTHING
        above, under = (1.0, 1.0) if both_zero else (shrunk**2, V1**2)
        excess = above * V0 - under * V2
        if excess == 0.0:
            return math.inf, shrunk
        df = 4.0 + (q + 2.0) * under * V2 / excess
        scale = 1.0 if abs(df - 2.0) < 1e-2 else df * shrunk / (df - 2.0)
        if not (df > NOTHING and scale > 0.0):  # no F has these moments
            return math.nan, math.nan
        return df, scale


def kenward_roger(ended: Ended) -> Adjusted:
    """The adjusted covariance of safe fixed effects, with what its tests need.

    Exact where the covariance is linear in its parameters: us, diag, hom diag, hom cs.
    For the others (several SDs under shared correlations, ar1, toep) second derivatives
    are left out, as SAS's ``ddfm=kr(firstorder)`` does.

    Raises
    ------
    ModelError
        For a fit by ML, or if the random effects do not fit into memory.
    """
    if not ended.problem.restricted:
        raise ModelError(
            "Kenward-Roger adjusts a REML fit, and this one is by ML. Fit it with "
            "fit_reml(method='REML'), or use ddf='satterthwaite'."
        )
    problem, theta = ended.problem, ended.optimum.theta
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
    return Adjusted(
        covariance=adjusted,
        unadjusted=C0,
        W=W,
        moves=moves,
    )


def _expected_covariance(
    sums: LinearSums,
    C0: Float[np.ndarray, "p p"],
    moves: Float[np.ndarray, "i p p"],
) -> Float[np.ndarray, "i i"]:
    """Covariance of the variance parameters by the expected restricted information.

    A parameter of which the data say nothing, as X holds all that it does to y, moves
    no effect that the data know: it has no part in it.
    """
    with_beta = np.einsum("pq,ijqp->ij", C0, sums.Q)
    squares = np.einsum("ipq,jqp->ij", moves, sums.P)
    information = sums.traces - 2.0 * with_beta + squares
    own = np.diag(information)
    known = own > ROUNDING * np.diag(sums.traces)
    unit = np.where(known, 1.0 / np.sqrt(np.where(known, own, 1.0)), 0.0)
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
