"""Degrees of freedom of the fixed effects, by name.

Takes a `RemlFit` and a name; gives a `Denominator`: the covariance of the fixed effects
with what is known of its own error, from which t and F tests of any combination follow.
"""

import math
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


def denominator(fit: "RemlFit", ddf: object) -> Denominator:
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


def denominator_at(ended: Ended, ddf: Ddf) -> Denominator:
    """The same where a search has ended."""
    if ddf == "satterthwaite":
        return satterthwaite(ended)
    if ddf == "kenward-roger":
        return kenward_roger(ended)
    problem, turn = ended.problem, ended.turn
    stats = problem.statistics
    gram = eliminate(stats, problem.factors(ended.optimum.theta)).G
    covariance = turn @ np.linalg.inv(gram[:-1, :-1]) @ turn.T
    return Known(covariance, math.inf if ddf == "z" else float(stats.n - stats.p))
