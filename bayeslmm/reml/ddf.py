"""Degrees of freedom of the fixed effects, by name.

Takes a `RemlFit` and a name; gives a `Denominator`: the covariance of the fixed effects
with what is known of its own error, from which t and F tests of any combination follow.
"""

import math
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import ModelError, is_choice
from bayeslmm.reml.kenward_roger import kenward_roger
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
