"""Degrees of freedom of the fixed effects, by name.

Takes a `RemlFit` and a name; gives a `Denominator`: the covariance of the fixed effects
with what is known of its own error, from which t and F tests of any combination follow.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import ModelError
from bayeslmm.marginal.elimination import eliminate
from bayeslmm.reml.kenward_roger import kenward_roger
from bayeslmm.reml.late import Ended, ended_of
from bayeslmm.reml.satterthwaite import FTest, Known, satterthwaite

if TYPE_CHECKING:
    from bayeslmm.reml.fit import RemlFit

Ddf = Literal["satterthwaite", "kenward-roger", "z", "residual"]
DDF: tuple[Ddf, ...] = ("satterthwaite", "kenward-roger", "z", "residual")


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


@dataclass(frozen=True, slots=True)
class Turned:
    """The tests of safe fixed effects, asked of those of the data's columns.

    A combination is turned before anything is squared: far from zero its variance is
    a difference of terms that are larger than it by many orders of magnitude.
    """

    safe: Denominator
    turn: Float[np.ndarray, "p p"]

    @property
    def covariance(self) -> Float[np.ndarray, "p p"]:
        """Covariance of the fixed effects of the data."""
        return self.turn @ self.safe.covariance @ self.turn.T

    def variances(self, contrasts: Float[np.ndarray, "l p"]) -> Float[np.ndarray, " l"]:
        """Variance of each combination."""
        rows = contrasts @ self.turn
        found = np.einsum("lp,pq,lq->l", rows, self.safe.covariance, rows)
        return np.maximum(found, 0.0)

    def df(self, contrast: Float[np.ndarray, " p"]) -> float:
        """Degrees of freedom of the t test of one combination."""
        return self.safe.df(contrast @ self.turn)

    def test(
        self, contrasts: Float[np.ndarray, "l p"], values: Float[np.ndarray, " l"]
    ) -> FTest:
        """F test that combinations, estimated as `values`, are all 0."""
        return self.safe.test(contrasts @ self.turn, values)


def denominator(fit: "RemlFit", ddf: object) -> Turned:
    """Degrees of freedom by name; kept with the fit.

    Raises
    ------
    ModelError
        If the name is unknown, or the method does not exist for this fit.
    """
    name = check_ddf(ddf)
    key = f"ddf {name}"
    if key not in fit.found:
        fit.found[key] = denominator_at(ended_of(fit), name)
    return fit.found[key]


def check_ddf(ddf: object) -> Ddf:
    """The name of a method; `ModelError` for any other."""
    for name in DDF:
        if isinstance(ddf, str) and ddf == name:
            return name
    raise ModelError(
        f"Unknown ddf={ddf!r}. Options: 'satterthwaite', 'kenward-roger', 'z' "
        f"(normal, variance parameters taken as known), 'residual' (n - p)."
    )


def denominator_at(ended: Ended, ddf: Ddf) -> Turned:
    """The same where a search has ended."""
    return Turned(_safe(ended, ddf), ended.turn)


def _safe(ended: Ended, ddf: Ddf) -> Denominator:
    """Of the safe fixed effects."""
    if ddf == "satterthwaite":
        return satterthwaite(ended)
    structured = ended.problem.stack is not None
    if ddf == "kenward-roger" and structured:
        raise ModelError(
            "Kenward and Roger's degrees of freedom are derived here for a covariance "
            "that is linear in its parameters, and that of structured residuals is "
            "not. Use ddf='satterthwaite'."
        )
    if ddf == "kenward-roger":
        return kenward_roger(ended)
    stats = ended.problem.statistics_at(ended.optimum.theta)
    gram = eliminate(stats, ended.problem.factors(ended.optimum.theta)).G
    n = math.inf if ddf == "z" else float(stats.n - stats.p)
    return Known(np.linalg.inv(gram[:-1, :-1]), n)
