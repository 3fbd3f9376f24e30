"""What a model says before data are seen: its priors, and the responses they expect.

Takes a `Model`, of which this is the part that looks at priors alone.
"""

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


class BeforeData:
    """Priors and prior predictive responses."""

    __slots__ = ()

    def prior_predictive(
        self, *, draws: int = 500, seed: int | np.random.Generator | None = None
    ) -> "xr.DataTree":
        """Responses of the prior; see `bayeslmm.simulation.prior.prior_predictive`.

        Returns
        -------
        DataTree
            Groups ``prior``, ``prior_predictive`` and ``observed_data``.
        """
        from bayeslmm.simulation import prior_predictive

        return prior_predictive(cast("ModelSpec", self), draws=draws, seed=seed)

    def plot_priors(self, **options: Any) -> "Figure":  # noqa: ANN401
        """Densities of the priors; options as of `bayeslmm.plot_priors`."""
        from bayeslmm.plots import plot_priors

        return plot_priors(cast("ModelSpec", self), **options)
