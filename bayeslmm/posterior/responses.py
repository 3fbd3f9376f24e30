"""What a posterior says of responses: predictions, residuals, new data.

Takes the draws of a `Posterior`, of which this is the part that looks at rows.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import numpy as np
from jaxtyping import Float

from bayeslmm.posterior import predictions as predictions, tables as tables
from bayeslmm.posterior.diagnose import SamplingStatus
from bayeslmm.posterior.places import label_draws
from bayeslmm.posterior.predictions import PredictionKind
from bayeslmm.posterior.residuals import posterior_residuals
from bayeslmm.posterior.tables import IntervalKind
from bayeslmm.reml.rowwise import Effects
from bayeslmm.reml.shared import SharedMethods
from bayeslmm.simulation import Parameters

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayeslmm.posterior.fit import Posterior


class Responses(SharedMethods):
    """Fitted values, predictions, new data."""

    __slots__ = ()
    idata: "xr.DataTree"
    status: SamplingStatus

    def fitted(self) -> Float[np.ndarray, " n"]:
        """Posterior mean of the expected response of the rows used, units of y.

        Of counts out of trials the expected count: trials times the probability.
        """
        return self.predict()["mean"].to_numpy()

    def residuals(self, kind: str = "response") -> Float[np.ndarray, " n"]:
        """What the fit leaves of the response, by kind; see `RemlFit.residuals`.

        Parameters
        ----------
        kind : str, default "response"
            Kinds are those of a REML fit, with posterior means for estimates.
            ``"standardized"`` is averaged over draws of the SDs (fixed effects by their
            likelihood); ``"studentized"`` is the normal score of the leave-one-out
            probability integral transform: standard normal if the model holds.
            Families other than Gaussian have ``"response"`` and ``"marginal"``.

        Returns
        -------
        ndarray, shape (n,)
            Units of y; unit-free if scaled, standardised or studentised.

        Raises
        ------
        DataError
            If the rows were read in batches.
        ModelError
            If the kind is unknown, or does not exist for the family.

        References
        ----------
        .. [1] Vehtari, Gelman and Gabry (2017). Stat. Comput. 27.
           https://doi.org/10.1007/s11222-016-9696-4
        """
        return posterior_residuals(cast("Posterior", self), kind)

    def _means(self) -> tuple[Float[np.ndarray, " p"], Effects]:
        from bayeslmm.posterior.ondemand import effect_means

        return effect_means(self.model, self.idata)

    def predict(
        self,
        newdata: object = None,
        *,
        kind: PredictionKind = "mean",
        random: bool = True,
        seed: int | np.random.Generator | None = None,
        prob: float = 0.95,
        interval: IntervalKind = "eti",
    ) -> "pd.DataFrame":
        """Predictions for the rows used, or for new ones.

        Parameters
        ----------
        newdata : DataFrame, optional
            New rows; the response column is not needed. Default: the rows used.
        kind : {"mean", "response", "linear"}, default "mean"
            Expected response (of counts out of trials the count; new rows need their
            trials), a new response with its noise (of a model with weights
            ``sigma / sqrt(weight)``; new rows need theirs), or the linear predictor.
        random : bool, default True
            Add the random effects; those of a level that was not in the data are drawn
            from N(0, Sigma). Without them, a prediction for the average level.
        seed : int or Generator, optional
            For what is drawn anew; by default derived from the seed of the run.
        prob : float, default 0.95
            Probability of the intervals.
        interval : {"eti", "hdi"}, default "eti"
            Equal-tailed or highest density.

        Returns
        -------
        DataFrame
            One row for each row: ``mean``, ``median``, ``sd``, ``lower``, ``upper``,
            units of y; a mean or SD that does not exist is NaN (flat priors and few
            levels, for new levels and without random effects).

        Raises
        ------
        DataError
            If `newdata` lacks a column, trials and weights included.
        ModelError
            If the family has no such prediction.
        """
        return predictions.prediction_table(
            self.model,
            self.idata,
            newdata,
            predictions.Asked(kind, random, seed),
            tables.Interval(prob, interval),
            self.status.missing,
        )

    def predict_draws(
        self,
        newdata: object = None,
        *,
        kind: PredictionKind = "mean",
        random: bool = True,
        seed: int | np.random.Generator | None = None,
    ) -> Float[np.ndarray, "chain draw m"]:
        """Draws of what `predict` describes; the same parameters.

        Returns
        -------
        ndarray, shape (chain, draw, m)
            Units of y.
        """
        return predictions.prediction_draws(
            self.model, self.idata, newdata, predictions.Asked(kind, random, seed)
        )

    def simulation_parameters(
        self, nsim: int, rng: np.random.Generator
    ) -> Iterable[Parameters]:
        """Draws of the parameters, chosen anew for each response."""
        design, tree = self.model.design, self.idata
        beta = tables.beta_draws(design, tree)
        roots = [
            predictions.factor_draws(design, tree, t) for t in range(len(design.groups))
        ]
        sigma = label_draws(design, tree, "sigma")
        chosen = np.unravel_index(rng.integers(sigma.size, size=nsim), sigma.shape)
        for at in zip(*chosen, strict=True):
            yield Parameters(beta[at], tuple(r[at] for r in roots), float(sigma[at]))
