"""What rows and levels say of a fit, as methods of `RemlFit`."""

from typing import TYPE_CHECKING, cast

import numpy as np
from jaxtyping import Float

from bayeslmm.reml.influence import ROWS, Influence, InfluenceMethod, influence
from bayeslmm.reml.residuals import reml_residuals, row_fit

if TYPE_CHECKING:
    from bayeslmm.reml.fit import RemlFit


class Assumptions:
    """Residuals, leverage and influence of a `RemlFit`."""

    __slots__ = ()

    def _of(self) -> "RemlFit":
        """The fit itself."""
        return cast("RemlFit", self)

    def residuals(self, kind: str = "response") -> Float[np.ndarray, " n"]:
        """What the fit leaves of the response of the rows used, by kind.

        Parameters
        ----------
        kind : str, default "response"
            ``"response"``: response less fitted values, BLUPs included (conditional
            residuals), units of y. ``"pearson"``: these times the root of the weights.
            ``"scaled"``: Pearson's over sigma. ``"standardized"``: over their own SDs,
            ``sigma sqrt(1 - h)`` with leverage h, as lme4's ``rstudent``: alike if the
            model holds. ``"studentized"``: with sigma without their own row, t
            distributed at known SDs: for outliers. ``"marginal"``: response less the
            fixed part, BLUPs not taken off, units of y. lme4's ``"working"`` and
            ``"deviance"`` are understood.

        Returns
        -------
        ndarray, shape (n,)
            NaN where a standardised one has no SD (leverage 1).

        Raises
        ------
        DataError
            If the rows were read in batches: see `residual_batches`.
        ModelError
            If the kind is unknown.

        References
        ----------
        .. [1] Nobre and Singer (2007). Residual analysis for linear mixed models.
           Biom. J. 49(6). https://doi.org/10.1002/bimj.200610341

        Examples
        --------
        >>> import bayeslmm as lmm
        >>> data = lmm.simulate_classrooms(seed=1).data
        >>> fit = lmm.Model("score ~ edu + (edu | classroom)", data).fit_reml()
        >>> bool(abs(fit.residuals("standardized")).max() < 4)
        True
        """
        return reml_residuals(self._of(), kind)

    def hatvalues(self) -> Float[np.ndarray, " n"]:
        """Leverage of each row: how far its fitted value follows its response.

        The diagonal of the hat matrix of fixed and random effects at the estimated
        covariance parameters, as lme4's ``hatvalues``: from 0 to 1, its sum the
        effective number of parameters. From cross-products and rows; no n x n matrix.

        Returns
        -------
        ndarray, shape (n,)
            Unit-free.

        Raises
        ------
        DataError
            If the rows were read in batches.
        ModelError
            If the covariance of crossed effects would not fit into memory.

        References
        ----------
        .. [1] Demidenko and Stukel (2005). Stat. Med. 24(6).
           https://doi.org/10.1002/sim.1974
        """
        return row_fit(self._of(), "leverages of all rows").hat

    def influence(
        self, of: str = ROWS, *, method: InfluenceMethod = "refit"
    ) -> Influence:
        """What leaving out each row, or each level of a group, does to the estimates.

        Use it to see whether conclusions rest on one subject. The sums of the rows left
        out are subtracted from those of all and the search goes on from the estimates:
        exact, and half a millisecond for each row of sleepstudy.

        Parameters
        ----------
        of : str, default "rows"
            ``"rows"``, or a grouping factor of the model.
        method : {"refit", "one-step"}
            Estimate the SDs and correlations again, as R's ``influence``; or hold them
            (relative to sigma): beta and sigma given these are exact, in closed form
            for rows, and thousands of times faster.

        Returns
        -------
        Influence
            ``table`` (Cook's distance, ``n`` rows left out, whether the search ended at
            a minimum), ``dfbetas`` and ``change`` of every parameter, by ``row`` or
            ``level``; what is to be said of it in ``messages``.

        Raises
        ------
        ModelError
            If `of` is no grouping factor, or the method is unknown.
        DataError
            If the rows were read in batches.

        Notes
        -----
        Cook's distance is ``d'C^-1 d / p``, d the change of the p fixed effects and C
        their covariance in the fit of all rows, as influence.ME's. lme4's
        ``cooks.distance`` of a fit is another: that of fitted values at given SDs with
        leverage of the random effects, ``r^2 h / (1 - h)^2 / p`` with scaled
        residuals r.

        References
        ----------
        .. [1] Nieuwenhuis, te Grotenhuis and Pelzer (2012). influence.ME. R J. 4(2).
           https://doi.org/10.32614/RJ-2012-011
        .. [2] Demidenko and Stukel (2005). Stat. Med. 24(6).
           https://doi.org/10.1002/sim.1974

        Examples
        --------
        >>> import bayeslmm as lmm
        >>> data = lmm.simulate_classrooms(seed=1).data
        >>> fit = lmm.Model("score ~ edu + (1 | classroom)", data).fit_reml()
        >>> found = fit.influence("classroom")
        >>> found.table.shape, found.change.shape == (len(found.table), 4)
        ((12, 3), True)
        """
        return influence(self._of(), of, method=method)

    def cooks_distance(self) -> Float[np.ndarray, " n"]:
        """lme4's ``cooks.distance`` of a fit: of fitted values, all SDs held.

        ``r^2 h / (1 - h)^2 / p`` with scaled residuals r, leverage h and p fixed
        effects. `influence` has what rows do to the fixed effects.

        Returns
        -------
        ndarray, shape (n,)
            Unit-free; NaN where the leverage is 1.
        """
        fit, hat = self._of(), self.hatvalues()
        own = self.residuals("scaled") ** 2 * hat
        with np.errstate(divide="ignore", invalid="ignore"):
            found = own / (1.0 - hat) ** 2 / fit.design.p
        return np.where(np.isfinite(found), found, np.nan)
