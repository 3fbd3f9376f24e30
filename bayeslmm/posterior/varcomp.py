"""Variance components and effect sizes, as methods of `Posterior`."""

from typing import TYPE_CHECKING

from bayeslmm.posterior.shares import variance_draws
from bayeslmm.posterior.tables import IntervalKind, shares_table
from bayeslmm.reml.shared import SharedMethods

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


class Components(SharedMethods):
    """Shares of variance of a `Posterior`."""

    __slots__ = ()
    idata: "xr.DataTree"

    def icc(self, prob: float = 0.95, kind: IntervalKind = "eti") -> "pd.DataFrame":
        """Share of the variance that lies between levels, averaged over the rows.

        Returns
        -------
        DataFrame
            Index ``share``: ``adjusted`` (random over random plus residual variance),
            ``unadjusted`` (over these plus the variance of the fixed part); columns
            ``mean``, ``median``, ``sd``, ``lower``, ``upper``, unit-free.

        References
        ----------
        .. [1] Nakagawa et al. (2017). J. R. Soc. Interface 14(134).
           https://doi.org/10.1098/rsif.2017.0213
        """
        fixed, random, residual = variance_draws(self.model, self.idata)
        return shares_table(
            {
                "adjusted": random / (random + residual),
                "unadjusted": random / (fixed + random + residual),
            },
            prob,
            kind,
        )

    def r2(self, prob: float = 0.95, kind: IntervalKind = "eti") -> "pd.DataFrame":
        """Share of the variance that the fixed part, or the whole model, explains.

        Returns
        -------
        DataFrame
            Index ``share``: ``marginal`` (fixed part), ``conditional`` (fixed and
            random part); columns ``mean``, ``median``, ``sd``, ``lower``, ``upper``,
            unit-free.

        References
        ----------
        .. [1] Nakagawa et al. (2017). J. R. Soc. Interface 14(134).
           https://doi.org/10.1098/rsif.2017.0213
        """
        fixed, random, residual = variance_draws(self.model, self.idata)
        total = fixed + random + residual
        return shares_table(
            {"marginal": fixed / total, "conditional": (fixed + random) / total},
            prob,
            kind,
        )
