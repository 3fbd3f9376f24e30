"""The model: formula, design and priors together, before anything is fitted.

Takes what a user writes (a formula, a frame, priors, a family) and gives a `Model`,
which checks everything at the border and says what it will fit. Its methods hand over
to the rooms that do the work; they import those rooms when called, because fitting,
drawing and reporting lie further right than the model they take. This is the one place
(with the methods of the fits) where a name from the right is used, so that a user can
write ``model.fit_reml()``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from bayeslmm.design import Design, Recipe, build_design
from bayeslmm.design.again import Rereader, SomeRows
from bayeslmm.design.labels import label_rows
from bayeslmm.design.notes import warn_of_data
from bayeslmm.design.scan import Scan
from bayeslmm.design.source import column_names, open_source
from bayeslmm.errors import (
    DataError,
    ModelError,
    check_flag,
    check_made,
    check_progress,
)
from bayeslmm.formula import Formula, parse_formula
from bayeslmm.marginal.conditioned import Conditioned
from bayeslmm.marginal.conditioning import condition
from bayeslmm.marginal.stream import (
    Plan,
    Tally,
    check_streamable,
    finish,
    make_plan,
    stream_model,
)
from bayeslmm.priors import Priors, check_family, make_priors

if TYPE_CHECKING:
    import bambi as bmb
    import pandas as pd
    import pymc as pm

    from bayeslmm.fit.ondemand import Keep
    from bayeslmm.fit.posterior import Posterior
    from bayeslmm.fit.quadrature import Quadrature
    from bayeslmm.fit.remlfit import RemlFit

Method = Literal["auto", "nuts", "importance", "quadrature", "joint"]


class Model:
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
    priors : str or mapping, default "weak"
        A named set (``"weak"``, ``"flat"``, ``"bambi"``, ``"brms"``,
        ``"boundary-avoiding"``) or priors by name in bambi's style.
    family : str, default "gaussian"
        Response distribution; others than ``"gaussian"`` are sampled through the joint
        PyMC model and have no REML fit.
    weights : str or array, optional
        Precision weights as in lme4 (a column name, or one number per row of `data`):
        the residual variance of row i is ``sigma**2 / weights[i]``. A pandas Series
        goes by its labels, which must be those of the rows.
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

    __slots__ = (
        "_conditioned",
        "_rereader",
        "family",
        "formula",
        "plan",
        "priors",
        "recipe",
        "row_labels",
        "weights_column",
    )

    family: str
    formula: Formula
    recipe: Recipe
    priors: Priors
    plan: Plan | None
    row_labels: np.ndarray | None
    weights_column: str | None
    _rereader: Rereader | None

    def __init__(
        self,
        formula: str,
        data: object,
        *,
        priors: str | Mapping[str, object] = "weak",
        family: str = "gaussian",
        weights: object = None,
        center_predictors: bool = True,
        progress: bool | Literal["auto"] = "auto",
    ) -> None:
        check_family(family)
        check_flag(center_predictors, "center_predictors")
        check_progress(progress)
        self.family = family
        gaussian = family == "gaussian"
        source = open_source(data)
        self.formula = parse_formula(formula, columns=column_names(data, source))
        if source is None:
            self.recipe = build_design(
                self.formula, data, weights=weights, gaussian=gaussian
            )
            self._conditioned = condition(self.recipe.design) if gaussian else None
            self.plan = self._rereader = None
            self.row_labels = label_rows(data, self.recipe.kept)
        else:
            self.row_labels = None
            check_streamable(family, source)
            streamed = stream_model(
                self.formula, source, weights=weights, progress=progress
            )
            self.recipe, self._conditioned = streamed.recipe, streamed.conditioned
            self.plan, self._rereader = streamed.plan, streamed.rereader
        warn_of_data(self.design.account)
        self.weights_column = weights if isinstance(weights, str) else None
        self.priors = make_priors(
            priors,
            self.recipe.design,
            center_predictors=center_predictors,
            family=family,
        )

    @classmethod
    def from_tally(
        cls,
        scan: Scan,
        tally: Tally,
        *,
        priors: str | Mapping[str, object] = "weak",
        center_predictors: bool = True,
    ) -> "Model":
        """Gaussian model of data that were summed in parts, on any machines.

        Parameters
        ----------
        scan : Scan
            What `bayeslmm.scan_rows` found in all the data.
        tally : Tally
            The sum of what `bayeslmm.sum_partition` gave for every part.
        priors, center_predictors
            As for `Model`.

        Returns
        -------
        Model
            The same as from all the data at once, up to rounding.

        Raises
        ------
        DataError
            If parts are missing, or the design cannot carry the model.
        """
        check_flag(center_predictors, "center_predictors")
        check_made(scan, Scan, "scan", "bayeslmm.scan_rows")
        check_made(tally, Tally, "tally", "the sum of bayeslmm.sum_partition's results")
        model = cls.__new__(cls)
        model.family, model.formula = "gaussian", scan.formula
        model.plan, model._rereader = make_plan(scan, 1), None
        model.recipe, model._conditioned = finish(scan, tally)
        warn_of_data(model.design.account)
        model.row_labels, model.weights_column = None, scan.weights
        model.priors = make_priors(
            priors, model.recipe.design, center_predictors=center_predictors
        )
        return model

    def __getstate__(self) -> tuple[None, dict[str, object]]:
        """State to be pickled: without the source of the rows, which may be open."""
        state = {name: getattr(self, name) for name in self.__slots__}
        return None, {**state, "_rereader": None}

    @property
    def design(self) -> Design:
        """Arrays of the model."""
        return self.recipe.design

    @property
    def conditioned(self) -> Conditioned:
        """Cross-products in safe coordinates; Gaussian models only."""
        if self._conditioned is None:
            raise ModelError(
                f"The marginal likelihood integrates the effects out of a Gaussian "
                f"model; family {self.family!r} has none in closed form. Use "
                f"model.sample(method='joint')."
            )
        return self._conditioned

    def __repr__(self) -> str:
        """Formula, family and sizes on one line."""
        sizes = ", ".join(f"{t.group}: {t.n_levels}" for t in self.design.groups)
        return (
            f"Model({self.formula.text!r}, family={self.family!r}, "
            f"rows={self.design.n}, groups=[{sizes}], priors={self.priors.name!r})"
        )

    def _repr_html_(self) -> str:
        """Formula, data and priors, for notebooks."""
        from bayeslmm.report.cards import model_card

        return model_card(self)

    def explain(self, *, matrices: bool = False) -> None:
        """Print what the formula became: equations, columns, groups, parameters.

        Parameters
        ----------
        matrices : bool, default False
            Also print the first rows of X and of each Z.
        """
        from bayeslmm.report import explain_text

        print(explain_text(self, matrices=matrices))

    def describe(self) -> "pd.DataFrame":
        """Table of the grouping: levels, sizes, balance, nested or crossed.

        Returns
        -------
        pandas.DataFrame
            One row per grouping factor.
        """
        from bayeslmm.design import describe_table

        return describe_table(self.design)

    def read_rows(self) -> Iterator[SomeRows]:
        """The rows used, read again if they were read in batches.

        Returns
        -------
        iterator of SomeRows
            Positions and designs of some rows each, at most 65,536 if they are read;
            of all rows of a frame in memory.

        Raises
        ------
        DataError
            If the model does not know where its rows are.
        """
        if self.plan is None:
            return iter([SomeRows(self.recipe.kept, self.design)])
        if self._rereader is None:
            raise DataError(
                f"This model has the sums of {self.plan.source} and does not know "
                f"where the rows are, because it was made by from_tally(), pickled or "
                f"copied. Read some rows at a time into a data frame and give it to "
                f"predict()."
            )
        return self._rereader.read(self.design)

    def fit_reml(self, *, method: Literal["REML", "ML"] = "REML") -> "RemlFit":
        """Point estimate by restricted (or full) maximum likelihood.

        Parameters
        ----------
        method : {"REML", "ML"}, default "REML"
            Criterion to minimise.

        Returns
        -------
        RemlFit
            Estimates, standard errors, BLUPs, and how the optimiser ended.

        References
        ----------
        .. [1] Bates et al. (2015). J. Stat. Softw. 67(1). https://doi.org/10.18637/jss.v067.i01
        """
        from bayeslmm.fit.reml import fit_reml

        return fit_reml(self, method=method)

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

        See `bayeslmm.fit.sampling.sample`, which this calls, for the parameters.

        Returns
        -------
        Posterior
            Draws as an ArviZ DataTree, tables, and how sampling ended.
        """
        from bayeslmm.fit.sampling import sample

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

        See `bayeslmm.fit.quadrature.quadrature`, which this calls.

        Returns
        -------
        Quadrature
            Moments and quantiles of every parameter with error estimates; evidence.
        """
        from bayeslmm.fit.quadrature import quadrature

        return quadrature(self, prob=prob, tolerance=tolerance)

    def simulate(
        self,
        nsim: int = 1,
        seed: int | np.random.Generator | None = None,
        *,
        beta: Float[np.ndarray, " p"],
        factors: Sequence[Float[np.ndarray, "_k _k"]],
        sigma: float,
        effects: Sequence[Float[np.ndarray, "_j _k"]] | None = None,
    ) -> Float[np.ndarray, "nsim n"]:
        """New responses from given parameters; see `bayeslmm.simulate`.

        Returns
        -------
        ndarray, shape (nsim, n)
            Responses, one in each row, units of y.
        """
        from bayeslmm.simulate import simulate

        return simulate(
            self, nsim, seed, beta=beta, factors=factors, sigma=sigma, effects=effects
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
