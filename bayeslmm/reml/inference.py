"""Intervals and tests of the fixed effects, as methods of `RemlFit`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from bayeslmm.design.proportions import Weights
from bayeslmm.errors import ModelError
from bayeslmm.reml.anova import anova_table
from bayeslmm.reml.chunks import Progress
from bayeslmm.reml.ddf import Ddf
from bayeslmm.reml.effect_tests import contrast_table
from bayeslmm.reml.emmeans import Adjust, means_table
from bayeslmm.reml.ranova import ranova_table
from bayeslmm.reml.tables import fixef_table

IntervalMethod = Literal["wald", "profile", "boot"]

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.reml.curves import Profile
    from bayeslmm.reml.fit import RemlFit


class EffectTests:
    """Intervals and tests of the fixed effects of a `RemlFit`."""

    __slots__ = ()

    def _fit(self) -> "RemlFit":
        """The fit itself."""
        return cast("RemlFit", self)

    def interval(
        self,
        prob: float = 0.95,
        *,
        method: IntervalMethod = "wald",
        ddf: Ddf = "satterthwaite",
        criterion: Literal["REML", "ML"] | None = None,
        nsim: int = 1000,
        seed: int | np.random.Generator | None = None,
        n_jobs: int = 1,
        progress: Progress = "auto",
    ) -> "pd.DataFrame":
        """Intervals of every parameter.

        Parameters
        ----------
        prob : float, default 0.95
            Coverage.
        method : {"wald", "profile", "boot"}, default "wald"
            Estimate and SE; where the likelihood, everything else at its best, has
            fallen by the quantile of a chi-square; percentiles of the estimates of
            responses simulated from the fit.
        ddf : {"satterthwaite", "kenward-roger", "z", "residual"}
            Degrees of freedom of the fixed effects of ``"wald"``, as in `summary`;
            ``"z"`` gives those of lme4's ``confint(method = "Wald")``.
        criterion : {"REML", "ML"}, optional
            Whose profile; by default the fit's. lme4's is of ML for any fit. Fixed
            effects are always profiled by ML: REML integrates them out.
        nsim : int, default 1000
            Responses of the bootstrap.
        seed : int or numpy.random.Generator, optional
            Of these. With the same `nsim` and number they are simulated and fitted once
            for all tables of the fit, those of `varcomp`, `icc` and `r2` too.
        n_jobs : int, default 1
            Processes for the bootstrap, through joblib: -1 for all cores; a Dask
            cluster inside ``joblib.parallel_config("dask")``. The numbers are the same.
        progress : bool or "auto", default "auto"
            Whether it shows a bar; "auto" where it takes more than some seconds.

        Returns
        -------
        DataFrame
            Index ``label``; columns ``lower``, ``upper``. Where a profile reaches the
            end of the parameter space (0 for an SD, +-1 for a correlation) that is the
            limit. ``attrs["notes"]``, shown below, say so, and how many fits of the
            bootstrap did not converge.

        Raises
        ------
        ModelError
            If an option is unknown, or nearly no fit of the bootstrap converged.
        """
        from bayeslmm.reml.intervals import boot_intervals, profile_intervals

        if method == "profile":
            return profile_intervals(self._fit(), prob, criterion)
        if method == "boot":
            return boot_intervals(self._fit(), prob, nsim, seed, n_jobs, progress)
        if method != "wald":
            raise ModelError(
                f"Unknown method={method!r}. Options: 'wald', 'profile', 'boot'."
            )
        return self._fit().summary(prob, ddf=ddf).loc[:, ["lower", "upper"]]

    def confint(
        self,
        prob: float = 0.95,
        *,
        method: IntervalMethod = "wald",
        ddf: Ddf = "satterthwaite",
        criterion: Literal["REML", "ML"] | None = None,
        nsim: int = 1000,
        seed: int | np.random.Generator | None = None,
        n_jobs: int = 1,
        progress: Progress = "auto",
    ) -> "pd.DataFrame":
        """The same as `interval`, as R has it."""
        return self.interval(
            prob,
            method=method,
            ddf=ddf,
            criterion=criterion,
            nsim=nsim,
            seed=seed,
            n_jobs=n_jobs,
            progress=progress,
        )

    def profile(self, *, criterion: Literal["REML", "ML"] | None = None) -> "Profile":
        """Profile-likelihood curves of every parameter, as lme4's ``profile``.

        Parameters
        ----------
        criterion : {"REML", "ML"}, optional
            As for `interval`.

        Returns
        -------
        Profile
            ``.table`` (index ``label``, long; ``value``, ``zeta``), ``.interval(prob)``
            and ``.plot()``.

        See Also
        --------
        plot_profile : The figure.
        """
        from bayeslmm.reml.intervals import profile_curves

        return profile_curves(self._fit(), criterion)

    def fixef(self, *, ddf: Ddf = "satterthwaite") -> "pd.DataFrame":
        """Fixed effects with their tests.

        Parameters
        ----------
        ddf : {"satterthwaite", "kenward-roger", "z", "residual"}
            Degrees of freedom, as in `summary`.

        Returns
        -------
        DataFrame
            Index ``label``; columns ``estimate``, ``se`` (units of y per unit of the
            column), ``df``, ``t`` (estimate over se), ``p`` (two-sided).
        """
        return fixef_table(self._fit(), ddf)

    def contrast(
        self,
        what: object,
        *,
        prob: float = 0.95,
        ddf: Ddf = "satterthwaite",
        joint: bool = False,
    ) -> "pd.DataFrame":
        """Linear combinations of the fixed effects with their tests.

        Parameters
        ----------
        what : str, mapping, sequence or ndarray
            ``"Machine[B] - Machine[C]"``, ``"Days = 10"``; weights by label,
            ``{"Machine[B]": 1, "Machine[C]": -1}``; a list of such, or a mapping of
            names to such; a matrix with a column for each fixed effect, or for each
            column of the formula where some were dropped: then rows that the data
            cannot estimate are refused.
        prob : float, default 0.95
            Coverage of the intervals.
        ddf : {"satterthwaite", "kenward-roger", "z", "residual"}
            Degrees of freedom, as in `summary`.
        joint : bool, default False
            One F test that all combinations are 0, instead of a t test for each.

        Returns
        -------
        DataFrame
            Index ``contrast``; columns ``estimate`` (less the value after ``=``),
            ``se``, ``df``, ``t``, ``p``, ``lower``, ``upper``; if joint, ``F``,
            ``num_df``, ``den_df``, ``p``.

        Raises
        ------
        ModelError
            If a label is unknown, a weight no number, or the method does not exist.
        FormulaError
            If a text is no linear combination; with a caret.
        """
        return contrast_table(self._fit(), what, ddf, prob, joint)

    def emmeans(
        self,
        spec: str,
        *,
        at: Mapping[str, object] | None = None,
        weights: Weights = "equal",
        pairs: bool = False,
        adjust: Adjust = "tukey",
        prob: float = 0.95,
        ddf: Ddf = "satterthwaite",
    ) -> "pd.DataFrame":
        """Estimated marginal means, as R's emmeans.

        Parameters
        ----------
        spec : str
            Variables of the fixed part: ``"dose"``, ``"dose * sex"`` (all
            combinations), ``"dose | sex"`` (of dose, within each sex), ``"1"`` (the
            overall mean).
        at : mapping of str to values, optional
            Values of some variables, ``{"age": [20, 40], "sex": "f"}``. The others:
            factors at all levels, numbers at their mean, or at both of their values
            where they have two.
        weights : {"equal", "proportional"}, default "equal"
            Whether combinations of what is averaged over count alike, or as often as
            they occur among the rows used: each row once, whatever its precision
            weight (R's emmeans counts these instead).
        pairs : bool, default False
            Differences of the means (within each combination after ``|``).
        adjust : {"tukey", "holm", "none"}
            Of p and intervals of differences, for their number within each combination
            after ``|``. Intervals with Holm are Bonferroni's.
        prob : float, default 0.95
            Coverage of the intervals.
        ddf : {"satterthwaite", "kenward-roger", "z", "residual"}
            Degrees of freedom, as in `summary`. emmeans' default is Kenward-Roger.

        Returns
        -------
        DataFrame
            A row for each combination: the variables, ``estimate``, ``se``, ``df``,
            ``lower``, ``upper``, units of y. With ``pairs``: ``contrast``, the
            variables after ``|``, ``estimate``, ``se``, ``df``, ``t``, ``p``,
            ``lower``, ``upper``. ``attrs["held"]`` has the values of the others.

        Raises
        ------
        ModelError
            If a variable or level is unknown, or a number has no known mean.
        """
        options = {"weights": weights, "pairs": pairs, "adjust": adjust}
        options |= {"prob": prob, "ddf": ddf}
        return means_table(self._fit(), spec, at, **options)

    def emtrends(
        self,
        spec: str,
        variable: str,
        *,
        at: Mapping[str, object] | None = None,
        weights: Weights = "equal",
        pairs: bool = False,
        adjust: Adjust = "tukey",
        prob: float = 0.95,
        ddf: Ddf = "satterthwaite",
    ) -> "pd.DataFrame":
        """Slopes by a numeric variable at combinations of others, as R's emtrends.

        Parameters
        ----------
        spec : str
            Where slopes are wanted: as for `emmeans`.
        variable : str
            Column of the data by which the slope is.
        at, weights, pairs, adjust, prob, ddf
            As for `emmeans`.

        Returns
        -------
        DataFrame
            As of `emmeans`; units of y per unit of the variable.

        Raises
        ------
        ModelError
            As `emmeans` raises it.
        """
        options = {"weights": weights, "pairs": pairs, "adjust": adjust}
        options |= {"prob": prob, "ddf": ddf}
        return means_table(self._fit(), spec, at, variable=variable, **options)

    def anova(
        self, type: Literal[1, 2, 3] = 3, *, ddf: Ddf = "satterthwaite"
    ) -> "pd.DataFrame":
        """An F test for each term of the fixed part, as lmerTest's ``anova``.

        Parameters
        ----------
        type : {3, 2, 1}
            What is tested: the term averaged over the levels of the factors that it
            interacts with; the term after all that do not contain it; the term after
            those before it.
        ddf : {"satterthwaite", "kenward-roger", "z", "residual"}
            Denominator degrees of freedom, as in `summary`.

        Returns
        -------
        DataFrame
            Index ``term``; columns ``sum_sq``, ``mean_sq`` (Wald's F times the
            residual variance), ``F``, ``num_df``, ``den_df``, ``p``.

        Raises
        ------
        ModelError
            If there is nothing to test, or the method does not exist for this fit.

        References
        ----------
        .. [1] Kuznetsova et al. (2017). J. Stat. Softw. 82(13).
           https://doi.org/10.18637/jss.v082.i13
        """
        return anova_table(self._fit(), type, ddf)

    def ranova(
        self, *, nsim: int = 10_000, seed: int | np.random.Generator | None = 0
    ) -> "pd.DataFrame":
        """A test of each random term, left out or reduced, as lmerTest's ``ranova``.

        ``(1 | g)`` is left out; ``(x | g)`` is reduced to ``(1 | g)``, and in general a
        term loses each part of it in turn that no interaction contains. A structure
        such as ``cs()`` is left out as a whole. The criterion is the fit's own.

        Parameters
        ----------
        nsim : int, default 10_000
            Draws from the exact null distribution, for a REML fit whose random part is
            one term with one effect, such as ``(1 | g)``; 0 for none.
        seed : int or numpy.random.Generator, default 0
            Of these draws.

        Returns
        -------
        DataFrame
            Index ``term``, first ``<none>`` for the fit; columns ``npar``, ``loglik``,
            ``aic``, ``chisq``, ``df``, ``p`` (chi-square, too large where an SD of 0 is
            tested), ``p_mixture`` (of the equal mixture with df - 1 and df for one SD
            with its correlations; NaN for several SDs), and, where it exists,
            ``p_exact``. Each is the chance of a larger statistic.

        References
        ----------
        .. [1] Stram and Lee (1994). Biometrics 50(4).
           https://doi.org/10.2307/2533455
        .. [2] Crainiceanu and Ruppert (2004). J. R. Stat. Soc. B 66(1).
           https://doi.org/10.1111/j.1467-9868.2004.00438.x
        """
        return ranova_table(self._fit(), nsim, seed)
