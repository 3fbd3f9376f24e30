"""The model with its verbs, so that a user can write ``model.fit_reml()``.

Takes what a user writes (a formula, a frame, priors, a family) and gives a `Model`: a
`ModelSpec` whose methods hand over to the rooms that do the work. They import those
when called, for REML must not pay for PyMC.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float

from bayeslmm.api.before import BeforeSampling
from bayeslmm.spec import Method, ModelSpec

if TYPE_CHECKING:
    import bambi as bmb
    import pandas as pd
    import pymc as pm

    from bayeslmm.comparison.bayes_factors import BayesFactors
    from bayeslmm.planning.calibration import Calibration
    from bayeslmm.posterior.evidence import Evidence
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.posterior.ondemand import Keep
    from bayeslmm.posterior.quadrature import Quadrature
    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.reml.matrices import Chosen


class Model(BeforeSampling, ModelSpec):
    """A Bayesian linear mixed model: what it says, not yet what it finds.

    Parameters
    ----------
    formula : str
        lme4's grammar, ``"score ~ edu + (edu | classroom)"``.
    data : DataFrame or source of batches
        pandas, polars or Arrow table, one row per observation. Or rows that need not
        fit in memory: the path of a Parquet file or of a folder of them, a pyarrow
        Dataset, a DuckDB relation (a query on CSV files, joins, databases), a list of
        Arrow batches, or a function that gives an iterator of them.
        These are read twice and summed (Gaussian models only), to the same numbers;
        ``residual_batches()`` of a fit reads them once more for what needs rows.
    priors : str, mapping or Priors, default "weak"
        A named set (``"weak"``, ``"flat"``, ``"bambi"``, ``"brms"``,
        ``"boundary-avoiding"``), priors by name in bambi's style, or those of another
        model of the same parameters; `Model.with_priors` changes some.
    family : str, default "gaussian"
        Response distribution; others than ``"gaussian"`` are sampled through the joint
        PyMC model and have no REML fit.
    weights : str or array, optional
        Precision weights as in lme4 (a column name, or one number per row of `data`):
        the residual variance of row i is ``sigma**2 / weights[i]``. A pandas Series
        goes by its labels, which must be those of the rows.
    residual : str, optional
        What the residuals are like (Gaussian models in memory): ``"varident(g)"``, an
        SD for each level of g; ``"cs(g)"``, one correlation within the levels of g;
        ``"ar1(time | g)"``, correlations ``rho**d`` of rows of a level of g that are d
        steps of time apart; ``"varident(g) * ar1(time | h)"`` or with cs, both. Without
        it they are independent with one SD. With it, the formula need not have a bar
        term (nlme's ``gls``).
    center_predictors : bool, default True
        Whether the prior of the intercept refers to the mean of the predictors, as in
        bambi.
    progress : bool or "auto", default "auto"
        Whether to show a bar while batches are read; "auto": if it takes over 5 s.

    Attributes
    ----------
    formula : Formula
        The parsed formula.
    recipe : Recipe
        The design, its model frame, and how to encode new data.
    design : Design
        Arrays of the model.
    priors : Priors
        The prior of every parameter, with its reason.
    family : str
        Response distribution.
    conditioned : Conditioned
        Cross-products in safe coordinates, from which everything is computed, and the
        way back to the data's (Gaussian models only).
    plan : Plan or None
        How rows in batches were read: levels, blocks, memory, time. None for a frame.
    row_labels : ndarray or None
        Index of the rows used in a pandas frame, else their positions; None for rows in
        batches.
    weights_column : str or None
        Column that the weights came from; new rows have theirs in it.

    Raises
    ------
    FormulaError
        If the formula cannot be read; the message shows it with a caret.
    DataError
        If the data cannot carry the model; the message names columns and counts.
    PriorError
        If a prior is unknown or cannot be honoured.
    ModelError
        If the family is unknown.
    InputFileError
        If a file is not there, cut off or corrupt.

    Warns
    -----
    DataWarning
        If levels were lost with rows that miss a value, or a predictor is text though
        most of its values are numbers.

    Examples
    --------
    >>> from bayeslmm import Model
    >>> from bayeslmm.datasets import simulate_classrooms
    >>> classrooms = simulate_classrooms(seed=1)
    >>> model = Model("score ~ edu + (edu | classroom)", classrooms.data)
    >>> model.design.fixed_names
    ('Intercept', 'edu')
    """

    __slots__ = ()

    def _repr_html_(self) -> str:
        """Formula, data and priors, for notebooks."""
        from bayeslmm.reporting.cards import model_card

        return model_card(self)

    def explain(self, *, matrices: bool = False, rows: "Chosen" = None) -> None:
        """Print what the formula became: equations, columns, groups, parameters.

        Parameters
        ----------
        matrices : bool, default False
            Also print y, X and Z of a few rows; of Gaussian models, which are then
            fitted by REML, the covariances D of the random effects, R of the residuals
            and V = Z D Z' + R of the response too.
        rows : int or sequence, optional
            How many rows, or the labels of some, at most 12; see `RemlFit.matrices`,
            which gives the matrices as tables. `plot_matrices` draws them.

        Raises
        ------
        ModelError
            If a row is unknown or comes twice, or there are too many to print.
        """
        from bayeslmm.reporting.explain import explain_text

        print(explain_text(self, matrices=matrices, rows=rows))

    def describe(self) -> "pd.DataFrame":
        """Table of the grouping: levels, sizes, balance, nested or crossed.

        Returns
        -------
        pandas.DataFrame
            One row per grouping factor.
        """
        from bayeslmm.design import describe_table

        return describe_table(self.design)

    def fit_reml(
        self,
        *,
        method: Literal["REML", "ML"] = "REML",
        start: "RemlFit | None" = None,
    ) -> "RemlFit":
        """Point estimate by restricted (or full) maximum likelihood.

        Parameters
        ----------
        method : {"REML", "ML"}, default "REML"
            Criterion to minimise.
        start : RemlFit, optional
            A fit of a model with the same random terms, where the search starts; see
            `RemlFit.refit`.

        Returns
        -------
        RemlFit
            Estimates, standard errors, BLUPs, and how the optimiser ended.

        References
        ----------
        .. [1] Bates et al. (2015). J. Stat. Softw. 67(1). https://doi.org/10.18637/jss.v067.i01
        """
        from bayeslmm.reml.estimate import fit_reml

        return fit_reml(self, method=method, start=start)

    def sample(
        self,
        *,
        draws: int = 1000,
        tune: int | None = None,
        chains: int = 4,
        seed: int | np.random.Generator | None = None,
        target_accept: float | None = None,
        method: Method = "auto",
        cores: int | None = None,
        progress: bool | Literal["auto"] = "auto",
        log_likelihood: bool = False,
        keep: "Keep" = "auto",
    ) -> "Posterior":
        """Draw from the posterior.

        See `bayeslmm.posterior.sampling.sample`, which this calls, for the parameters.

        Returns
        -------
        Posterior
            Draws as an ArviZ DataTree, tables, and how sampling ended.
        """
        from bayeslmm.posterior.sampling import sample

        return sample(
            self,
            draws=draws,
            tune=tune,
            chains=chains,
            seed=seed,
            target_accept=target_accept,
            method=method,
            cores=cores,
            progress=progress,
            log_likelihood=log_likelihood,
            keep=keep,
        )

    def quadrature(
        self, *, prob: float = 0.95, tolerance: float = 1e-4
    ) -> "Quadrature":
        """The posterior without Monte Carlo error, for up to 4 variance parameters.

        See `bayeslmm.posterior.quadrature.quadrature`, which this calls.

        Returns
        -------
        Quadrature
            Moments and quantiles of every parameter with error estimates; evidence.
        """
        from bayeslmm.posterior.quadrature import quadrature

        return quadrature(self, prob=prob, tolerance=tolerance)

    def log_evidence(
        self, *, tolerance: float = 1e-3, seed: int | np.random.Generator | None = 0
    ) -> "Evidence":
        """Log density of the data with every parameter integrated out.

        See `bayeslmm.posterior.evidence.log_evidence`, which this calls.

        Returns
        -------
        Evidence
            ``log_evidence`` with its ``error``, and how it was computed.
        """
        from bayeslmm.posterior.evidence import log_evidence

        return log_evidence(self, tolerance=tolerance, seed=seed)

    def bayes_factors(self, **options: Any) -> "BayesFactors":  # noqa: ANN401
        """Each random effect against none; see `bayeslmm.bayes_factors`."""
        from bayeslmm.comparison.bayes_factors import bayes_factors

        return bayes_factors(self, **options)

    def calibrate(
        self,
        n: int = 200,
        *,
        seed: int | np.random.Generator | None = None,
        draws: int = 1000,
        method: Method = "auto",
        n_jobs: int = 1,
        progress: bool | Literal["auto"] = "auto",
    ) -> "Calibration":
        """Whether the posterior keeps its promises, on these rows, by simulation.

        See `bayeslmm.planning.calibration.calibrate`, which this calls.

        Returns
        -------
        Calibration
            Ranks of true values from the prior, coverage of every interval, verdict.
        """
        from bayeslmm.planning.calibration import calibrate

        return calibrate(
            self,
            n,
            seed=seed,
            draws=draws,
            method=method,
            n_jobs=n_jobs,
            progress=progress,
        )

    def simulate(
        self,
        nsim: int = 1,
        seed: int | np.random.Generator | None = None,
        *,
        beta: Float[np.ndarray, " p"],
        factors: Sequence[Float[np.ndarray, "_k _k"]],
        sigma: float,
        effects: Sequence[Float[np.ndarray, "_j _k"]] | None = None,
        residual: Mapping[str, float] | None = None,
    ) -> Float[np.ndarray, "nsim n"]:
        """New responses from given parameters; see `bayeslmm.simulate`.

        Returns
        -------
        ndarray, shape (nsim, n)
            Responses, one in each row, units of y.
        """
        from bayeslmm.simulation import simulate

        return simulate(
            self,
            nsim,
            seed,
            beta=beta,
            factors=factors,
            sigma=sigma,
            effects=effects,
            residual=residual,
        )

    def to_bambi(self) -> "bmb.Model":
        """The same model as a bambi model, correlated effects included."""
        from bayeslmm.graph import to_bambi

        return to_bambi(self)

    def to_pymc(self, *, marginal: bool = False) -> "pm.Model":
        """The model as a PyMC graph.

        Parameters
        ----------
        marginal : bool, default False
            The effects integrated out (Gaussian models only) rather than explicit.
        """
        from bayeslmm.graph import to_pymc

        return to_pymc(self, marginal=marginal)
