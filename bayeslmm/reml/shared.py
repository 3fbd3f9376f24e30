"""What `RemlFit` and `Posterior` have in common, under the names of R's functions."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.reml.rowwise import RowBatches
from bayeslmm.simulation import Parameters, simulate

if TYPE_CHECKING:
    import pandas as pd


class SharedMethods(RowBatches):
    """Formula, number of rows, residuals, covariance of fixed effects, new data."""

    __slots__ = ()

    @property
    def formula(self) -> str:
        """The formula as it was written."""
        return self.model.formula.text

    @property
    def nobs(self) -> int:
        """Rows used."""
        return self.model.design.n

    def residuals(self) -> Float[np.ndarray, " n"]:
        """Response less fitted values, units of y."""
        raise NotImplementedError

    def resid(self) -> Float[np.ndarray, " n"]:
        """The same as `residuals`, as R and statsmodels have it."""
        return self.residuals()

    def vcov(self) -> "pd.DataFrame":
        """Covariance of the fixed effects.

        Returns
        -------
        DataFrame
            Index and columns ``label``, units of y squared per units of the columns.
        """
        raise NotImplementedError

    def simulation_parameters(
        self, nsim: int, rng: np.random.Generator
    ) -> Iterable[Parameters]:
        """Parameters for each of so many new responses; for `bayeslmm.simulate`."""
        raise NotImplementedError

    def simulate(
        self, nsim: int = 1, seed: int | np.random.Generator | None = None
    ) -> Float[np.ndarray, "nsim n"]:
        """New responses; see `bayeslmm.simulate`.

        Returns
        -------
        ndarray, shape (nsim, n)
            Responses, one in each row, units of y.

        Raises
        ------
        ModelError
            If the family is not Gaussian.
        """
        return simulate(self, nsim, seed)
