"""The result of a REML or ML fit.

`RemlFit` carries the estimates with their names; its methods are tables of them, all
indexed by the labels of `bayeslmm.design.parameters`, or long by group, level and
effect.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import repeat
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.design.rows import linear_predictor
from bayeslmm.marginal import EffectsMean
from bayeslmm.reml import tables as remltables
from bayeslmm.reml.assumptions import Assumptions
from bayeslmm.reml.centred import At
from bayeslmm.reml.chosen import Levels
from bayeslmm.reml.ddf import Ddf
from bayeslmm.reml.inference import EffectTests
from bayeslmm.reml.information import Information
from bayeslmm.reml.late import late_effects, late_information
from bayeslmm.reml.matrices import MatrixMethods
from bayeslmm.reml.optimise import Optimum
from bayeslmm.reml.responses import Predictions
from bayeslmm.reml.rowwise import Effects
from bayeslmm.reml.shared import SharedMethods
from bayeslmm.reml.status import FitStatus
from bayeslmm.reml.varcomp import Components
from bayeslmm.simulation import Parameters
from bayeslmm.spec import ModelSpec
from bayeslmm.tables.shown import saved, shown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, repr=False)
class RemlFit(
    EffectTests, Components, MatrixMethods, Assumptions, Predictions, SharedMethods
):
    """Point estimate of a Gaussian mixed model by REML or ML.

    Attributes
    ----------
    model : Model
        What was fitted.
    method : {"REML", "ML"}
        Criterion that was minimised.
    theta : tuple of ndarray, shape (m_t,)
        Relative covariance parameters of each bar term, lme4's order, unit-free. Last,
        under structured residuals, logs of ratios of SDs and the scaled atanh of rho.
    factors : tuple of ndarray, shape (k_t, k_t)
        Cholesky factors of the covariances of each bar term, units of y per unit of the
        columns; singular ones have pivots of exactly 0.
    sigma : float
        Residual SD, units of y.
    criterion : float
        Minus twice the maximised (restricted) log likelihood of y.
    beta : ndarray, shape (p,)
        Fixed effects, units of y per unit of the columns of X.
    status : FitStatus
        How the search ended.
    optimum : Optimum
        Where it ended, in safe coordinates: a start for other responses.
    regular : bool
        Whether nothing is at its boundary and the data identify every parameter.
    found : dict
        Effects and information, once they have been asked for.
    profiled : dict
        Profile limits of SDs found so far, by label and normal quantile: each costs
        more than the fit.

    References
    ----------
    .. [1] Bates et al. (2015). J. Stat. Softw. 67(1). https://doi.org/10.18637/jss.v067.i01

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> fit = model.fit_reml()
    >>> fit.fixef().index.tolist(), fit.varcorr().index.tolist()
    (['Intercept', 'edu'], ['1|classroom_sigma', 'sigma'])
    >>> bool(fit.contrast("edu = 0.3")["p"].iloc[0] > 0.01)
    True
    """

    model: ModelSpec
    method: Literal["REML", "ML"]
    theta: tuple[Float[np.ndarray, " _m"], ...]
    factors: tuple[Float[np.ndarray, "_k _k"], ...]
    sigma: float
    beta: Float[np.ndarray, " p"]
    criterion: float
    status: FitStatus
    optimum: Optimum
    regular: bool
    found: dict[str, Any] = field(default_factory=dict, compare=False)
    profiled: dict[tuple[str, float], tuple[float, float]] = field(
        default_factory=dict, init=False, compare=False
    )

    @property
    def design(self) -> Design:
        """Arrays of the model."""
        return self.model.design

    @property
    def effects(self) -> EffectsMean:
        """Fixed effects and BLUPs with their covariances."""
        if "effects" not in self.found:
            self.found["effects"] = late_effects(self)
        return self.found["effects"]

    @property
    def information(self) -> Information:
        """Uncertainty of SDs, correlations and sigma."""
        if "information" not in self.found:
            self.found["information"] = late_information(self)
        return self.found["information"]

    @property
    def residual_values(self) -> Float[np.ndarray, " r"]:
        """Ratios and rho of structured residuals, their labels' order; or empty."""
        own = self.design.residual
        return np.empty(0) if own is None else own.natural(self.theta[-1])

    @property
    def beta_cov(self) -> Float[np.ndarray, "p p"]:
        """Covariance of the fixed effects, the covariance parameters taken as known."""
        return self.effects.beta_cov

    @property
    def loglik(self) -> float:
        """Maximised log likelihood, restricted if the method is REML."""
        return -0.5 * self.criterion

    @property
    def npar(self) -> int:
        """Number of parameters: fixed effects, variance parameters, sigma."""
        return self.design.p + sum(len(theta) for theta in self.theta) + 1

    @property
    def aic(self) -> float:
        """Akaike's criterion; under REML comparable between equal fixed parts only."""
        return self.criterion + 2 * self.npar

    @property
    def bic(self) -> float:
        """Schwarz's criterion with the number of rows, as in lme4."""
        return self.criterion + math.log(self.design.n) * self.npar

    def summary(
        self, prob: float = 0.95, *, ddf: Ddf = "satterthwaite"
    ) -> "pd.DataFrame":
        """Every parameter with its standard error, test and Wald interval.

        Parameters
        ----------
        prob : float, default 0.95
            Coverage of the intervals.
        ddf : {"satterthwaite", "kenward-roger", "z", "residual"}
            Degrees of freedom of the fixed effects: Satterthwaite's, as lmerTest;
            Kenward and Roger's, which also adjust the SEs (REML only); infinitely many,
            as lme4; n - p.

        Returns
        -------
        DataFrame
            Index ``label``; columns ``component`` (fixef, sd, corr, sigma),
            ``estimate``, ``se``, ``df``, ``t``, ``p`` (of fixed effects, two-sided),
            ``lower``, ``upper``, in the units of the parameter. Intervals are those of
            t for fixed effects, on the log scale for SDs and sigma, on the atanh scale
            for correlations; NaN at the boundary (``information.reasons`` says why).
            Where the SE of an SD exceeds three quarters of it, a Wald interval means
            nothing: then it is the profile likelihood's (NaN for large crossed
            factors). Fixed effects have no SE where it would go with an SD that the
            data do not identify.

        Raises
        ------
        ModelError
            If Kenward-Roger is asked of an ML fit.

        References
        ----------
        .. [1] Kuznetsova et al. (2017). J. Stat. Softw. 82(13).
           https://doi.org/10.18637/jss.v082.i13
        .. [2] Kenward and Roger (1997). Biometrics 53(3).
           https://doi.org/10.2307/2533558
        """
        return remltables.summary_table(self, prob, ddf)

    def vcov(self) -> "pd.DataFrame":
        """Covariance of the fixed effects, the covariance parameters taken as known.

        Returns
        -------
        DataFrame
            Index and columns ``label``, units of y squared per units of the columns;
            NaN where a fixed effect has no SE.
        """
        return remltables.vcov_table(self)

    def varcorr(self, *, at: At = "zero") -> "pd.DataFrame":
        """SDs, correlations and sigma, like lme4's ``as.data.frame(VarCorr(.))``.

        Parameters
        ----------
        at : {"zero", "mean"}, default "zero"
            Where the predictors whose effects vary stand for the SD and correlations of
            an intercept beside them: at 0, as in lme4, or at their means over the rows.

        Returns
        -------
        DataFrame
            Index ``label``; columns ``group``, ``component`` (sd, corr, sigma),
            ``effect1``, ``effect2`` (None where there is none), ``estimate`` (SD or
            correlation), ``variance`` (variance or covariance, units of y squared per
            units of the columns).
        """
        return remltables.varcorr_table(self, at)

    def ranef(
        self,
        *,
        condvar: Literal["given_beta", "joint"] = "given_beta",
        levels: Levels | None = None,
    ) -> "pd.DataFrame":
        """BLUPs with their conditional standard deviations.

        Parameters
        ----------
        condvar : {"given_beta", "joint"}, default "given_beta"
            Take the fixed effects as known, as lme4's ``condVar`` does, or integrate
            their uncertainty in. The covariance parameters are taken as known in both.
        levels : sequence of str or numbers, optional
            Levels wanted, of any grouping factor, ``[308]`` or ``["308"]``; by default
            all.

        Returns
        -------
        DataFrame
            One row for each group, level and effect: ``group``, ``level``, ``effect``,
            ``estimate``, ``sd``, units of y per unit of the column.

        Raises
        ------
        ModelError
            If a level is in none of the grouping factors, or `condvar` is unknown.
        """
        return remltables.ranef_table(self, condvar, levels)

    def coef(self) -> "pd.DataFrame":
        """Coefficients of each level: fixed effects plus BLUPs.

        Returns
        -------
        DataFrame
            One row for each group, level and effect (every fixed effect, and effects
            that only vary): ``group``, ``level``, ``effect``, ``estimate``.
        """
        return remltables.coef_table(self)

    def fitted(self) -> Float[np.ndarray, " n"]:
        """Fitted values of the rows used, BLUPs included, units of y."""
        return self._fitted(self.effects.b)

    def _fitted(self, b: Effects | None) -> Float[np.ndarray, " n"]:
        """The same with some random effects, or none."""
        rows = rows_of(self.design, "fitted values of all rows")
        return linear_predictor(rows, self.beta, b)

    def _means(self) -> tuple[Float[np.ndarray, " p"], Effects]:
        """Fixed effects and BLUPs."""
        return self.beta, tuple(self.effects.b)

    def refit(self, y: object) -> "RemlFit":
        """The same model fitted to another response of the same rows, as lme4's refit.

        Use it for one response or some; `bayeslmm.reml.refit.make_refitter` gives the
        estimates of thousands, without models and tables.

        Parameters
        ----------
        y : array_like, shape (n,)
            Response of the rows used, as `Model.with_response` takes it.

        Returns
        -------
        RemlFit
            Of ``model.with_response(y)``. The search starts at these estimates.

        Raises
        ------
        DataError
            If y is no response of these rows, or they were read in batches.
        """
        from bayeslmm.reml.estimate import fit_reml

        return fit_reml(self.model.with_response(y), method=self.method, start=self)

    def simulation_parameters(
        self, nsim: int, rng: np.random.Generator
    ) -> Iterable[Parameters]:
        """The estimates, for every response the same."""
        del rng
        own = Parameters(self.beta, self.factors, self.sigma, self.residual_values)
        return repeat(own, nsim)

    def save(
        self, path: str | PathLike[str], *, force: bool = False
    ) -> tuple[str, ...]:
        """Write model and estimates, for `bayeslmm.load`; see `Fit.save`.

        Parameters
        ----------
        path : str or path
            ``fit.lmm`` for one file, or a folder.
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
        """Formula, estimates with their intervals, criterion and how the fit ended."""
        return shown(self, "text")

    def _repr_html_(self) -> str:
        """Formula, data and estimates, for notebooks."""
        return shown(self, "html")
