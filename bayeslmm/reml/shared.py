"""What `RemlFit` and `Posterior` have in common, under the names of R's functions."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.reml.residuals import check_scaled
from bayeslmm.reml.rowwise import RowBatches
from bayeslmm.simulation import Parameters, simulate

if TYPE_CHECKING:
    import pandas as pd


class SharedMethods(RowBatches):
    """Formula, number of rows, residuals, covariance of fixed effects, new data."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def sigma(self) -> float:
            """Residual SD, units of y."""
            ...

    @property
    def formula(self) -> str:
        """The formula as it was written."""
        return self.model.formula.text

    @property
    def nobs(self) -> int:
        """Rows used."""
        return self.model.design.n

    def residuals(self, kind: str = "response") -> Float[np.ndarray, " n"]:
        """What the fit leaves of the response, by kind."""
        raise NotImplementedError

    def resid(
        self, type: str = "response", *, scaled: bool = False
    ) -> Float[np.ndarray, " n"]:
        """The same as `residuals`, as R and statsmodels have it.

        Parameters
        ----------
        type : str, default "response"
            Kind, as of `residuals`; lme4's ``"working"`` and ``"deviance"`` too.
        scaled : bool, default False
            Divide by sigma, as lme4's ``resid(fit, scaled = TRUE)``.
        """
        found = self.residuals(type)
        return found / self.sigma if check_scaled(type, scaled) else found

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
