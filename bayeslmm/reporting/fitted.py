"""What reports are made of: a model and its fits."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from bayeslmm.errors import NotSavedError

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


def check_fitted(fit: Fitted, what: str) -> None:
    """Raise `NotSavedError` if there is nothing to be in `what`, as "a report"."""
    if fit.reml is None and fit.posterior is None:
        raise NotSavedError(
            f"There is neither a REML fit nor draws here, and {what} is of a fit. "
            f"fit.model.fit_reml() and fit.model.sample() make them, without the rows; "
            f"the model alone can be saved to a path that ends in .lmm."
        )
