"""What reports are made of: a model and its fits."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.spec import ModelSpec


@runtime_checkable
class Fitted(Protocol):
    """Whatever holds a model and its fits; a fit that was not made is None."""

    @property
    def model(self) -> "ModelSpec":
        """The model."""
        ...

    @property
    def reml(self) -> "RemlFit | None":
        """Point estimate."""
        ...

    @property
    def posterior(self) -> "Posterior | None":
        """Draws."""
        ...
