"""What a posterior says of responses: predictions, residuals, new data.

Takes the draws of a `Posterior`, of which this is the part that looks at rows.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import numpy as np
from jaxtyping import Float

from bayeslmm.design.known import Known, refuse_replaced
from bayeslmm.posterior import predictions as predictions, tables as tables
from bayeslmm.posterior.check import check_posterior
from bayeslmm.posterior.diagnose import SamplingStatus
from bayeslmm.posterior.places import label_draws, residual_draws
from bayeslmm.posterior.residuals import posterior_residuals
from bayeslmm.posterior.tables import IntervalKind
from bayeslmm.reml.check import AssumptionCheck
from bayeslmm.reml.outcomes import PredictionKind
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

    def check(
        self,
        *,
        time: object = None,
        within: str | None = None,
        seed: int | np.random.Generator | None = 0,
    ) -> AssumptionCheck:
        """Whether the data look like the model, in words; see `RemlFit.check`.

        At some hundred draws each statistic of the data is set beside that of a
        response which the model makes there; ``p`` is the share of draws in which the
        latter departs as far, a posterior predictive p value: rather too large than too
        small. Influence is that of `RemlFit.influence`.

        Parameters
        ----------
        time, within, seed
            As of `RemlFit.check`.

        Returns
        -------
        AssumptionCheck
            ``ok``, ``messages`` and ``table``.

        Raises
        ------
        DataError
            If the rows were read in batches, or `time` has missing values.
        ModelError
            If the family is not Gaussian, or there is no such column or group.

        References
        ----------
        .. [1] Gelman, Meng and Stern (1996). Posterior predictive assessment of model
           fitness via realized discrepancies. Stat. Sin. 6(4).
           https://www.jstor.org/stable/24306036
        """
        own = cast("Posterior", self)
        return check_posterior(own, time=time, within=within, seed=seed)

    def _means(self) -> tuple[Float[np.ndarray, " p"], Effects]:
        from bayeslmm.posterior.ondemand import effect_means

        return effect_means(self.model, self.idata)

    def predict(
        self,
        newdata: object = None,
        *,
        level: Known = "group",
        kind: PredictionKind = "mean",
        prob: float = 0.95,
        interval: IntervalKind = "eti",
        seed: int | np.random.Generator | None = None,
        **replaced: object,
    ) -> "pd.DataFrame":
        """Predictions for the rows used, or for new ones.

        Parameters
        ----------
        newdata : DataFrame, optional
            New rows; the response column is not needed. Default: the rows used.
        level : {"group", "new", "unknown", "population"} or mapping, default "group"
            What is known of the level of a row. ``"group"``: it is the level named,
            with its effects as estimated; one that was not in the data is an error.
            ``"new"``: the level named may be new; then its effects are drawn from
            N(0, Sigma), the same in all rows of that level. ``"unknown"``: it might be
            any level, another in each row; an expected response is averaged over them.
            ``"population"``: no random effects. With several grouping factors each is
            taken by itself, or has its own word, ``{"school": "group", "pupil":
            "new"}``; without one it is ``"group"``.
        kind : {"mean", "response", "linear"}, default "mean"
            Expected response (of counts out of trials the count; new rows need their
            trials), a new response with its noise (of a model with weights
            ``sigma / sqrt(weight)``; new rows need theirs), or the linear predictor.
        prob : float, default 0.95
            Probability of the intervals.
        interval : {"eti", "hdi"}, default "eti"
            Equal-tailed or highest density.
        seed : int or Generator, optional
            For what is drawn anew; by default derived from the seed of the run.
        **replaced
            Options of old; the error says what they are now.

        Returns
        -------
        DataFrame
            One row for each row, with the index that `RemlFit.predict` has: ``mean``,
            ``median``, ``sd``, ``lower``, ``upper``, units of y; a mean or SD that does
            not exist is NaN (flat priors and few levels, for new levels and without
            random effects).

        Raises
        ------
        DataError
            If `newdata` lacks a column, trials and weights included, or has a level
            that was not in the data and `level` is ``"group"``.
        ModelError
            If an option is unknown, or the family has no such prediction.

        Notes
        -----
        With a link that is no identity the mean of ``"unknown"`` is the average over
        levels, that of ``"population"`` the one of an average level, which is another
        number; with the identity they are the same.
        """
        refuse_replaced(replaced)
        return predictions.prediction_table(
            self.model,
            self.idata,
            newdata,
            predictions.Asked(kind, level, seed),
            tables.Interval(prob, interval),
            self.status.missing,
        )

    def predict_draws(
        self,
        newdata: object = None,
        *,
        level: Known = "group",
        kind: PredictionKind = "mean",
        seed: int | np.random.Generator | None = None,
        **replaced: object,
    ) -> Float[np.ndarray, "chain draw m"]:
        """Draws of what `predict` describes; the same parameters.

        Returns
        -------
        ndarray, shape (chain, draw, m)
            Units of y. Rows of one new level share its effect in each draw.
        """
        refuse_replaced(replaced)
        return predictions.prediction_draws(
            self.model, self.idata, newdata, predictions.Asked(kind, level, seed)
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
        residual = residual_draws(design, tree)
        chosen = np.unravel_index(rng.integers(sigma.size, size=nsim), sigma.shape)
        for at in zip(*chosen, strict=True):
            own = tuple(r[at] for r in roots)
            yield Parameters(beta[at], own, float(sigma[at]), residual[at])
