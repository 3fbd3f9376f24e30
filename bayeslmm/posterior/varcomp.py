"""Variance components and effect sizes, as methods of `Posterior`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.posterior.diagnose import SamplingStatus
from bayeslmm.posterior.explained import Variance, explained_draws
from bayeslmm.posterior.shares import draws_table, with_fixed_part
from bayeslmm.posterior.tables import (
    IntervalKind,
    check_interval,
    describe_draws,
    hide_missing,
)
from bayeslmm.reml.at_points import icc_asked
from bayeslmm.reml.centred import At, is_at_mean
from bayeslmm.reml.shared import SharedMethods
from bayeslmm.reml.shares import Quantities, r2_quantities, share_index
from bayeslmm.reml.sources import source_quantities
from bayeslmm.tables import Table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


class Components(SharedMethods):
    """Shares of variance of a `Posterior`."""

    __slots__ = ()
    idata: "xr.DataTree"
    status: SamplingStatus

    def _described(
        self, rows: Quantities, prob: float, kind: IntervalKind
    ) -> "pd.DataFrame":
        """Quantities draw by draw."""
        return draws_table(self.model, self.idata, rows, prob, kind)

    def varcomp(
        self, prob: float = 0.95, kind: IntervalKind = "eti", *, at: At = "mean"
    ) -> "pd.DataFrame":
        """Variance components, each with its share of the variance of the response.

        Parameters
        ----------
        prob : float, default 0.95
            Probability of the intervals.
        kind : {"eti", "hdi"}, default "eti"
            Equal-tailed or highest density.
        at : {"mean", "zero"}, default "mean"
            Where predictors whose effects vary stand; see `RemlFit.varcomp`.

        Returns
        -------
        DataFrame
            Rows and keys as of `RemlFit.varcomp`; ``mean``, ``median``, ``sd``,
            ``lower``, ``upper`` of the SD or correlation, the posterior means
            ``variance`` and ``share``, and ``share_lower``, ``share_upper``.

        Raises
        ------
        ModelError
            If an option is unknown, or the family has no variance on the scale of its
            linear predictor.

        Notes
        -----
        Counts, 0 and 1: the shares are on the scale of the linear predictor, where a
        response has the variance that Nakagawa et al. give it; a note below the table
        says which. Its row is ``residual``.

        References
        ----------
        .. [1] Rights and Sterba (2019). Psychol. Methods 24(3).
           https://doi.org/10.1037/met0000184
        """
        design, missing = self.model.design, self.status.missing
        residual = "sigma" if self.model.family == "gaussian" else "residual"
        rows = source_quantities(design, at_mean=is_at_mean(at), residual=residual)
        table = self._described(rows, prob, kind)
        return hide_missing(table, table.index, with_fixed_part(design, missing))

    def icc(
        self,
        prob: float = 0.95,
        kind: IntervalKind = "eti",
        *,
        by_group: bool = False,
        at: Mapping[str, object] | None = None,
        pairs: bool = False,
    ) -> "pd.DataFrame":
        """Share of the variance that lies between levels.

        Parameters
        ----------
        prob : float, default 0.95
            Probability of the intervals.
        kind : {"eti", "hdi"}, default "eti"
            Equal-tailed or highest density.
        by_group, at, pairs
            For each grouping factor, at values of predictors, between two of them: as
            for `RemlFit.icc`.

        Returns
        -------
        DataFrame
            Rows and keys as of `RemlFit.icc`; ``mean``, ``median``, ``sd``, ``lower``,
            ``upper``, unit-free; with `at` the posterior mean of ``variance``, with
            `pairs` of ``covariance``.

        References
        ----------
        .. [1] Nakagawa et al. (2017). J. R. Soc. Interface 14(134).
           https://doi.org/10.1098/rsif.2017.0213
        """
        rows = icc_asked(self.model.recipe, by_group, at, pairs)
        table = self._described(rows, prob, kind)
        if self.status.missing.variance:
            table[table.columns.intersection(["variance", "covariance"])] = np.nan
        return table

    def r2(self, prob: float = 0.95, kind: IntervalKind = "eti") -> "pd.DataFrame":
        """Share of the variance that the fixed part, or the whole model, explains.

        Of levels and rows like those of the data; `bayesian_r2` is of these themselves.

        Returns
        -------
        DataFrame
            Index ``share``: ``marginal`` (fixed part), ``conditional`` (fixed and
            random part); columns ``mean``, ``median``, ``sd``, ``lower``, ``upper``,
            unit-free.

        Raises
        ------
        ModelError
            As `varcomp`, of which the notes hold here too.

        References
        ----------
        .. [1] Nakagawa et al. (2017). J. R. Soc. Interface 14(134).
           https://doi.org/10.1098/rsif.2017.0213
        """
        return self._described(r2_quantities(self.model.design), prob, kind)

    def bayesian_r2(
        self,
        prob: float = 0.95,
        kind: IntervalKind = "eti",
        *,
        variance: Variance = "model",
    ) -> "pd.DataFrame":
        """Variance of the fitted values over theirs and the residuals', draw by draw.

        Parameters
        ----------
        prob : float, default 0.95
            Probability of the intervals.
        kind : {"eti", "hdi"}, default "eti"
            Equal-tailed or highest density.
        variance : {"model", "residuals"}, default "model"
            Of the residuals: what the model says of a response given its fitted value,
            averaged over the rows, as ArviZ's ``bayesian_r2``; or that of response less
            fitted value, as ArviZ's ``residual_r2`` and brms' ``bayes_R2``.

        Returns
        -------
        DataFrame
            Index ``share``: ``marginal`` (fitted values of the fixed part, all else
            being residual; of a Gaussian model), ``conditional`` (with the random
            effects of the levels in the data); columns ``mean``, ``median``, ``sd``,
            ``lower``, ``upper``, unit-free.

        Raises
        ------
        ModelError
            If an option is unknown, or the family's variance is not known.
        DataError
            If the rows were read in batches.

        See Also
        --------
        r2 : the same question of new levels, without the rows.

        References
        ----------
        .. [1] Gelman, Goodrich, Gabry and Vehtari (2019). Am. Stat. 73(3).
           https://doi.org/10.1080/00031305.2018.1549100
        """
        check_interval(prob, kind)
        draws = explained_draws(self.model, self.idata, variance)
        numbers = describe_draws(np.stack(list(draws.values()), axis=-1), prob, kind)
        return Table(numbers, index=share_index(list(draws)))
