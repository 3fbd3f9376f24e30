"""What rows and levels say of a fit, as methods of `RemlFit`."""

from typing import TYPE_CHECKING, cast

import numpy as np
from jaxtyping import Float

from bayeslmm.reml.cases import ROWS
from bayeslmm.reml.check import AssumptionCheck, check_fit
from bayeslmm.reml.influence import Influence, InfluenceMethod, influence
from bayeslmm.reml.residuals import reml_residuals, row_fit

if TYPE_CHECKING:
    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.reml.singular import SingularFit


class Assumptions:
    """Residuals, leverage, influence and singularity of a `RemlFit`."""

    __slots__ = ()

    def _of(self) -> "RemlFit":
        """The fit itself."""
        return cast("RemlFit", self)

    def explain_singular(
        self, post: object = None, *, small: float = 0.1
    ) -> "SingularFit":
        """What a singular fit means, and what to do; or how far the fit is from one.

        Use it where a fit says that an SD is 0 or a correlation 1 or -1: whether that
        is a finding, what the simpler model says, and what the posterior knows.

        Parameters
        ----------
        post : Posterior, optional
            Posterior of the same model, for what it knows.
        small : float, default 0.1
            What counts as a small SD: an effect whose SD moves a typical row by this
            share of the residual SD.

        Returns
        -------
        SingularFit
            ``messages``, ``table`` (the fit beside simpler models), ``posterior``,
            ``plot()``; printed it is the sentences.

        Raises
        ------
        ModelError
            If `post` is no posterior of this model, or `small` no positive number.

        Notes
        -----
        The likelihood along a parameter is the profile, the criterion with all else at
        its best. Tests of SDs of 0 have the null distributions of `ranova`: the exact
        one for one SD, else the mixture of two chi-squares.

        References
        ----------
        .. [1] Barr et al. (2013). J. Mem. Lang. 68(3).
           https://doi.org/10.1016/j.jml.2012.11.001
        .. [2] Matuschek et al. (2017). J. Mem. Lang. 94.
           https://doi.org/10.1016/j.jml.2017.01.001
        .. [3] Chung et al. (2013). Psychometrika 78(4).
           https://doi.org/10.1007/s11336-013-9328-2

        Examples
        --------
        >>> import bayeslmm as lmm
        >>> pupils = lmm.simulate_classrooms(6, seed=1).data
        >>> fit = lmm.Model("score ~ edu + (1 | classroom)", pupils).fit_reml()
        >>> fit.explain_singular().singular
        False
        """
        from bayeslmm.reml.singular import explain_singular

        return explain_singular(self._of(), post, small=small)

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

    def check(
        self,
        *,
        time: object = None,
        within: str | None = None,
        seed: int | np.random.Generator | None = 0,
    ) -> AssumptionCheck:
        """Whether the data look like the model, in words.

        Normality of the residuals and of each random effect, outlying rows, residuals
        whose size goes with the fitted values or differs between levels, correlation of
        neighbouring residuals within levels, collinearity, influential rows and levels.
        The tests set each statistic beside the same of responses that the fitted model
        makes (199 to 999, by the number of rows); by Holm's adjustment a model that
        holds is told to look in at most about 5 of 100 data sets.

        Parameters
        ----------
        time : str or array_like, optional
            When the rows were taken: a numeric column of the model (``"Days"``), or one
            value for each row; by default the order of the rows.
        within : str, optional
            Grouping factor within whose levels neighbours are; by default the one with
            the most levels of three rows or more.
        seed : int or numpy.random.Generator, default 0
            Of the responses.

        Returns
        -------
        AssumptionCheck
            ``ok``, ``messages`` and ``table``, as of ``posterior.diagnose()``.

        Raises
        ------
        DataError
            If the rows were read in batches, or `time` has missing values.
        ModelError
            If there is no such column or grouping factor.

        See Also
        --------
        bayeslmm.plot_check : The same as pictures.

        Notes
        -----
        That nothing is found is no proof: with few levels hardly any distribution of
        their effects can be told from a normal one, and BLUPs of levels with few rows
        look normal whatever the effects are.

        References
        ----------
        .. [1] Loy, Hofmann and Cook (2017). Model choice and diagnostics for linear
           mixed-effects models. J. Comput. Graph. Stat. 26(3).
           https://doi.org/10.1080/10618600.2017.1330207
        .. [2] Verbeke and Lesaffre (1996). J. Am. Stat. Assoc. 91(433).
           https://doi.org/10.1080/01621459.1996.10476679

        Examples
        --------
        >>> import bayeslmm as lmm
        >>> data = lmm.simulate_classrooms(seed=2).data
        >>> fit = lmm.Model("score ~ edu + (edu | classroom)", data).fit_reml()
        >>> fit.check().ok
        True
        """
        return check_fit(self._of(), time=time, within=within, seed=seed)
