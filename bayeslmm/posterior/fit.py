"""`Posterior`: the draws of a model, and every table that is read off them.

Takes a `Model` and an ArviZ DataTree of its draws; gives tidy DataFrames under the
labels of `parameters`.
"""

import math
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import check_flag
from bayeslmm.posterior import tables as tables
from bayeslmm.posterior.centred import centred_draws
from bayeslmm.posterior.choices import Choices
from bayeslmm.posterior.combined import Combinations
from bayeslmm.posterior.diagnose import Diagnosis, SamplingStatus, diagnose
from bayeslmm.posterior.distributions import Distributions
from bayeslmm.posterior.places import label_draws
from bayeslmm.posterior.responses import Responses
from bayeslmm.posterior.tables import IntervalKind
from bayeslmm.posterior.tail_rows import coefficients_without, hide_coefficients
from bayeslmm.posterior.varcomp import Components
from bayeslmm.reml.centred import At, is_at_mean
from bayeslmm.reml.chosen import Levels
from bayeslmm.spec import ModelSpec
from bayeslmm.tables.shown import saved, shown

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True, slots=True, repr=False)
class Posterior(Choices, Combinations, Components, Distributions, Responses):
    """Draws from the posterior of a mixed model.

    Attributes
    ----------
    model : Model
        What was fitted.
    idata : DataTree
        ArviZ's groups ``posterior``, ``sample_stats`` (``lp`` is the log density of the
        coordinates in ``unconstrained_posterior``), ``observed_data``, bambi's names.
    method : {"nuts", "importance", "quadrature", "joint"}
        How it was drawn; see `Model.sample`.
    reason : str
        Why this method, in one sentence.
    status : SamplingStatus
        How the run ended.
    timing : dict of str to float
        Seconds of each phase.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> reml, post = model.fit_reml(), model.sample(draws=200, seed=1, progress=False)
    >>> post.summary().index.tolist()
    ['Intercept', 'edu', '1|classroom_sigma', 'sigma']
    >>> post.draws("edu").shape
    (4, 200)
    """

    model: ModelSpec
    idata: "xr.DataTree"
    method: str
    reason: str
    status: SamplingStatus
    timing: dict[str, float]

    # --- parameters -----------------------------------------------------------------

    def summary(self, prob: float = 0.95, kind: IntervalKind = "eti") -> "pd.DataFrame":
        """Every parameter with its interval and Monte Carlo diagnostics.

        Parameters
        ----------
        prob : float, default 0.95
            Probability of the intervals.
        kind : {"eti", "hdi"}, default "eti"
            Equal-tailed or highest density.

        Returns
        -------
        DataFrame
            Index ``label``; columns ``component`` (fixef, sd, corr, sigma), ``mean``,
            ``median``, ``sd``, ``lower``, ``upper``, ``mcse_mean`` in the units of the
            parameter; ``ess_bulk``, ``ess_tail``, ``rhat``. A mean or SD that the
            posterior does not have (flat priors and few levels) is NaN.

        References
        ----------
        .. [1] Vehtari et al. (2021). Bayesian Anal. 16(2).
           https://doi.org/10.1214/20-BA1221
        """
        table = tables.summary_table(self.model.design, self.idata, prob, kind)
        return tables.hide_missing(table, table.index, self.status.missing)

    def draws(self, label: str) -> Float[np.ndarray, "chain draw"]:
        """Draws of one parameter.

        Parameters
        ----------
        label : str
            As in the index of `summary`, ``"edu|classroom_sigma"``.

        Returns
        -------
        ndarray, shape (chain, draw)
            Units of the parameter.

        Raises
        ------
        ModelError
            If there is no such parameter; the message has the nearest labels.
        """
        return label_draws(self.model.design, self.idata, label)

    def interval(
        self, prob: float = 0.95, kind: IntervalKind = "eti"
    ) -> "pd.DataFrame":
        """The columns ``lower`` and ``upper`` of `summary`."""
        return self.summary(prob, kind).loc[:, ["lower", "upper"]]

    def confint(self, prob: float = 0.95, kind: IntervalKind = "eti") -> "pd.DataFrame":
        """The same as `interval`, as R has it."""
        return self.interval(prob, kind)

    def fixef(self, prob: float = 0.95, kind: IntervalKind = "eti") -> "pd.DataFrame":
        """Fixed effects.

        Returns
        -------
        DataFrame
            Index ``label``; columns ``mean``, ``median``, ``sd``, ``lower``, ``upper``,
            units of y per unit of the column.
        """
        table = self.summary(prob, kind)
        columns = ["mean", "median", "sd", "lower", "upper"]
        return table.loc[table["component"] == "fixef", columns]

    def varcorr(
        self,
        prob: float = 0.95,
        kind: IntervalKind = "eti",
        *,
        at: At = "zero",
    ) -> "pd.DataFrame":
        """SDs, correlations and the residual.

        Parameters
        ----------
        prob, kind
            As for `summary`.
        at : {"zero", "mean"}, default "zero"
            Where the predictors whose effects vary stand for the SD and correlations of
            an intercept beside them: at 0, as lme4 has it, or at their means over the
            rows, which the default priors refer to.

        Returns
        -------
        DataFrame
            Index ``label``; columns ``group``, ``component`` (sd, corr, sigma),
            ``effect1``, ``effect2`` (None where there is none), ``mean``, ``median``,
            ``sd``, ``lower``, ``upper`` of the SD or correlation, and ``variance``, the
            posterior mean of the variance or covariance.
        """
        design, moved = self.model.design, None
        if is_at_mean(at):
            moved = centred_draws(design, self.idata)
        table = tables.varcorr_table(design, self.idata, prob, kind, moved)
        return tables.hide_missing(table, table.index, self.status.missing)

    @property
    def sigma(self) -> float:
        """Posterior mean of the residual SD, units of y; NaN where there is none."""
        if "sigma" in self.status.missing.mean:
            return math.nan
        return float(self.draws("sigma").mean())

    def vcov(self) -> "pd.DataFrame":
        """Posterior covariance of the fixed effects; see `RemlFit.vcov`."""
        return tables.vcov_table(self.model.design, self.idata, self.status.missing)

    # --- levels ---------------------------------------------------------------------

    @overload
    def ranef(
        self,
        prob: float = ...,
        kind: IntervalKind = ...,
        *,
        levels: Levels | None = ...,
        draws: Literal[False] = ...,
    ) -> "pd.DataFrame": ...

    @overload
    def ranef(self, *, levels: Levels, draws: Literal[True]) -> "xr.DataArray": ...

    def ranef(
        self,
        prob: float = 0.95,
        kind: IntervalKind = "eti",
        *,
        levels: Levels | None = None,
        draws: bool = False,
    ) -> "pd.DataFrame | xr.DataArray":
        """Random effects: their summary, or draws of chosen levels.

        Parameters
        ----------
        prob, kind
            As for `summary`.
        levels : sequence of str or numbers, optional
            Levels wanted, of any grouping factor, ``[308]`` or ``["308"]``; by default
            all.
        draws : bool, default False
            Give the draws instead: those stored, or drawn now given all others.

        Returns
        -------
        DataFrame or DataArray
            One row for each group, level and effect: ``group``, ``level``, ``effect``,
            ``mean``, ``median``, ``sd``, ``lower``, ``upper``, units of y per unit of
            the column, all uncertainty included; effects that were not stored are drawn
            again, 1000 draws of each. With `draws`, dimensions chain, draw, effect
            (``Days|Subject[308]``, with its ``group`` and ``level``).

        Raises
        ------
        ModelError
            If a level is in none of the grouping factors, or draws of all are asked.
        """
        from bayeslmm.posterior.ondemand import ranef_draws, ranef_summary

        if check_flag(draws, "draws"):
            return ranef_draws(self.model, self.idata, levels)
        table = ranef_summary(self.model, self.idata, prob, kind, levels)
        labels = table["effect"] + "|" + table["group"]
        return tables.hide_missing(table, labels, self.status.missing)

    def coef(self, prob: float = 0.95, kind: IntervalKind = "eti") -> "pd.DataFrame":
        """Coefficients of each level: fixed effects plus random effects.

        Returns
        -------
        DataFrame
            One row for each group, level and effect (every fixed effect, and effects
            that only vary): ``group``, ``level``, ``effect``, ``mean``, ``median``,
            ``sd``, ``lower``, ``upper``.
        """
        table = tables.coef_table(self.model.design, self.idata, prob, kind)
        if self.status.missing.sd:
            table = hide_coefficients(table, coefficients_without(self.model))
        return table

    # --- the draws themselves -----------------------------------------------------

    def diagnose(self) -> Diagnosis:
        """Whether the draws can be trusted, in words.

        Returns
        -------
        Diagnosis
            ``ok``, ``messages`` (plain sentences with what to do) and ``table``.
        """
        return diagnose(self.model.design, self.idata, self.status)

    def compute_log_likelihood(self) -> "Posterior":
        """The same posterior with log p(y_i | beta, b, sigma), for `arviz.loo`.

        Returns
        -------
        Posterior
            Its ``idata`` has a group ``log_likelihood``, one value for each draw and
            row, rows under their labels in the data.

        Raises
        ------
        ModelError
            If draws times rows are too many to hold.

        Warns
        -----
        FitWarning
            If `arviz.loo` will refuse some rows, with the reason.

        Notes
        -----
        `arviz.compare` looks at how many rows the fits have and not at which: compare
        fits of the same rows and the same response only. Another predictor may leave
        out other rows, for its missing values; ``model.row_labels`` has those used.
        """
        from bayeslmm.posterior.pointwise import with_log_likelihood

        tree = with_log_likelihood(self.model, self.idata)
        return replace(self, idata=tree)

    def compute_log_prior(self) -> "Posterior":
        """The same posterior with log priors, for power-scaling by `arviz.psense`.

        Returns
        -------
        Posterior
            Its ``idata`` has a group ``log_prior``: for each draw the log density that
            the prior of a parameter states, on its own scale; of the correlations of a
            group one for all.

        Raises
        ------
        ModelError
            If the posterior was sampled through PyMC, which has a function for it.

        Notes
        -----
        With `compute_log_likelihood`, ``arviz.psense_summary(post.idata,
        var_names=["edu", "sigma"])`` says what hangs on the priors [1]_. Priors are of
        what ``model.priors`` prints, an intercept at the mean of the predictors, say.

        References
        ----------
        .. [1] Kallioinen et al. (2024). Stat. Comput. 34, 57.
           https://doi.org/10.1007/s11222-023-10366-5
        """
        from bayeslmm.posterior.log_prior import with_log_prior

        return replace(self, idata=with_log_prior(self.model, self.idata))

    def prior_sensitivity(self, **options: Any) -> "pd.DataFrame":  # noqa: ANN401
        """The same data under other priors; see `bayeslmm.prior_sensitivity`."""
        from bayeslmm.posterior.sensitivity import prior_sensitivity

        return prior_sensitivity(self, **options)

    def save(
        self, path: str | PathLike[str], *, force: bool = False
    ) -> tuple[str, ...]:
        """Write model and draws, for `bayeslmm.load`; or the draws alone, for ArviZ.

        Parameters
        ----------
        path : str or path
            ``fit.lmm`` for one file, any name without an ending for a folder with
            report and figures too, as of `Fit.save`; ``posterior.nc`` for the draws
            alone as netCDF, which `arviz.from_netcdf` reads. A ``/`` in a variable's
            name is stored as a division slash (U+2215), as in ``idata``.
        force : bool, default False
            As for `Fit.save`.

        Returns
        -------
        tuple of str
            What was written, in sentences.

        Raises
        ------
        OutputError
            If the file or folder cannot be written, or is of another program.
        """
        return saved(self, path, force=force)

    def __repr__(self) -> str:
        """Formula, method, size and how the run ended."""
        return (
            f"Posterior({self.model.formula.text!r}, method={self.method!r}, "
            f"chains={self.status.chains}, draws={self.status.draws})\n"
            f"{self.status.message}"
        )

    def _repr_html_(self) -> str:
        """Formula, data, posterior and diagnosis, for notebooks."""
        return shown(self, "html")
