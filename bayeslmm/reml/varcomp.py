"""Variance components and effect sizes, as methods of `RemlFit`."""

from typing import TYPE_CHECKING, cast

from bayeslmm.reml.shares import icc_table, r2_table

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.reml.fit import RemlFit


class Components:
    """Shares of variance of a `RemlFit`."""

    __slots__ = ()

    def _fit(self) -> "RemlFit":
        """The fit itself."""
        return cast("RemlFit", self)

    def icc(self) -> "pd.DataFrame":
        """Share of the variance that lies between levels, averaged over the rows.

        Returns
        -------
        DataFrame
            Index ``share``: ``adjusted`` (random over random plus residual variance),
            ``unadjusted`` (over these plus the variance of the fixed part); column
            ``estimate``, unit-free.

        References
        ----------
        .. [1] Nakagawa et al. (2017). J. R. Soc. Interface 14(134).
           https://doi.org/10.1098/rsif.2017.0213
        """
        return icc_table(self._fit())

    def r2(self) -> "pd.DataFrame":
        """Share of the variance that the fixed part, or the whole model, explains.

        Returns
        -------
        DataFrame
            Index ``share``: ``marginal`` (fixed part), ``conditional`` (fixed and
            random part); column ``estimate``, unit-free. The random variance is the
            mean of diag(Z Sigma Z') over the rows.

        References
        ----------
        .. [1] Nakagawa et al. (2017). J. R. Soc. Interface 14(134).
           https://doi.org/10.1098/rsif.2017.0213
        """
        return r2_table(self._fit())
