"""Everything at once: formula and data to REML beside the posterior.

Takes what a user writes and gives a `Fit`, the two readings of one likelihood with the
tables, figures and report that put them side by side. The command line and the
notebooks start here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayeslmm.api.model import Method, Model
from bayeslmm.archive.saved import Saved
from bayeslmm.errors import NotSavedError, as_path, check_flag
from bayeslmm.posterior.fit import Posterior
from bayeslmm.reml.fit import RemlFit
from bayeslmm.simulation import Parameters
from bayeslmm.spec import PriorRule
from bayeslmm.tables import Sentences

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from arviz_stats.utils import ELPDDataLOO
    from matplotlib.figure import Figure

    from bayeslmm.comparison.bayes_factors import BayesFactors
    from bayeslmm.reml.check import AssumptionCheck
    from bayeslmm.reml.singular import SingularFit
    from bayeslmm.reporting.paper_tables import PaperTables


@dataclass(frozen=True, slots=True, repr=False)
class Fit:
    """REML and posterior of one model.

    Attributes
    ----------
    model : Model
        What was fitted.
    reml : RemlFit or None
        Point estimate; None where a file that was opened has none.
    posterior : Posterior or None
        Draws; the same.
    saved : Saved or None
        Where `bayeslmm.load` read it from, when and by what it was written; None if it
        was made here.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> fit = lmm.fit("score ~ edu + (1 | classroom)", pupils, seed=1, progress=False)
    >>> fit.compare().loc["edu", ["reml", "mean"]].round(1).tolist()
    [0.3, 0.3]
    """

    model: Model
    reml: RemlFit | None
    posterior: Posterior | None
    saved: Saved | None = None

    @property
    def formula(self) -> str:
        """The formula as it was written."""
        return self.model.formula.text

    @property
    def nobs(self) -> int:
        """Rows used."""
        return self.model.design.n

    def __repr__(self) -> str:
        """What the command line prints: data, both tables, comparison, diagnosis."""
        from bayeslmm.reporting.text import fit_text

        return fit_text(self, [] if self.saved is None else [self.saved.said])

    def need_reml(self) -> RemlFit:
        """The point estimate, or an error that says how to have it."""
        if self.reml is None:
            raise NotSavedError(
                "There is no REML fit here: it was saved without one. "
                "fit.model.fit_reml() computes it again, without the rows."
            )
        return self.reml

    def need_posterior(self) -> Posterior:
        """The draws, or an error that says how to have them."""
        if self.posterior is None:
            raise NotSavedError(
                "There are no draws here: the fit was saved without them. "
                "fit.model.sample() draws them again, without the rows."
            )
        return self.posterior

    def simulation_parameters(
        self, nsim: int, rng: np.random.Generator
    ) -> Iterable[Parameters]:
        """Those of the REML fit; for `bayeslmm.simulate`."""
        return self.need_reml().simulation_parameters(nsim, rng)

    def compare(
        self, *, prob: float = 0.95, kind: Literal["eti", "hdi"] = "eti"
    ) -> "pd.DataFrame":
        """REML beside the posterior, every parameter; see `bayeslmm.compare`."""
        from bayeslmm.comparison import compare

        return compare(self.need_reml(), self.need_posterior(), prob=prob, kind=kind)

    def reading(self) -> tuple[str, ...]:
        """What the comparison says, in plain words."""
        from bayeslmm.comparison import reading

        return reading(self.need_reml(), self.need_posterior())

    def effect_tests(self, *, prob: float = 0.95) -> "pd.DataFrame":
        """Tests of each fixed effect by every method; see `bayeslmm.effect_tests`."""
        from bayeslmm.comparison import effect_tests

        return effect_tests(self.need_reml(), self.posterior, prob=prob)

    def varcomp_table(self, **options: Any) -> "pd.DataFrame":  # noqa: ANN401
        """Each variance component by every method; see `bayeslmm.varcomp_table`."""
        from bayeslmm.comparison import varcomp_table

        return varcomp_table(self.need_reml(), self.need_posterior(), **options)

    def plot_varcomp(self, **options: Any) -> "Figure":  # noqa: ANN401
        """Likelihood, prior and posterior of each; see `bayeslmm.plot_varcomp`."""
        from bayeslmm.plots import plot_varcomp

        return plot_varcomp(self.need_reml(), self.need_posterior(), **options)

    def bayes_factors(self, **options: Any) -> "BayesFactors":  # noqa: ANN401
        """Each random effect against none; see `bayeslmm.bayes_factors`."""
        return self.model.bayes_factors(**options)

    def loo(self, by: str = "rows") -> "ELPDDataLOO":
        """Rows or levels left out and predicted; see `Posterior.loo`."""
        return self.need_posterior().loo(by)

    def prior_sensitivity(self, **options: Any) -> "pd.DataFrame":  # noqa: ANN401
        """The posterior under other priors; see `bayeslmm.prior_sensitivity`."""
        return self.need_posterior().prior_sensitivity(**options)

    def shrinkage(self) -> "pd.DataFrame":
        """No, partial and complete pooling of every level."""
        from bayeslmm.comparison import shrinkage_table

        return shrinkage_table(self.need_reml(), self.posterior)

    def plot_shrinkage(self, **options: Any) -> "Figure":  # noqa: ANN401
        """Figure of the pooling; options as of `bayeslmm.plot_shrinkage`."""
        from bayeslmm.plots import plot_shrinkage

        return plot_shrinkage(self.need_reml(), self.posterior, **options)

    def shrinkage_reading(self, **options: Any) -> "Sentences":  # noqa: ANN401
        """Who moved most, and why, in words; see `bayeslmm.shrinkage_reading`."""
        from bayeslmm.comparison import shrinkage_reading

        return shrinkage_reading(self.need_reml(), self.posterior, **options)

    def shrinkage_matrices(self, **options: Any) -> "pd.DataFrame":  # noqa: ANN401
        """Weights of the centre by level; see `bayeslmm.shrinkage_matrices`."""
        from bayeslmm.comparison import shrinkage_matrices

        return shrinkage_matrices(self.need_reml(), self.posterior, **options)

    def pooling_factors(self) -> "pd.DataFrame":
        """Pooling of each level of the model; see `bayeslmm.pooling_factors`."""
        from bayeslmm.comparison import pooling_factors

        return pooling_factors(self.need_posterior())

    def ranef_variance(self) -> "pd.DataFrame":
        """Where the uncertainty of effects is from; see `bayeslmm.ranef_variance`."""
        from bayeslmm.comparison import ranef_variance

        return ranef_variance(self.need_posterior())

    def plot_pooling(self, **options: Any) -> "Figure":  # noqa: ANN401
        """Three lines of each level, most moved first; see `bayeslmm.plot_pooling`."""
        from bayeslmm.plots import plot_pooling

        return plot_pooling(self.need_reml(), self.posterior, **options)

    def shrinkage_path(self, **options: Any) -> "pd.DataFrame":  # noqa: ANN401
        """Estimates as a group's SD runs 0 to infinity: `bayeslmm.shrinkage_path`."""
        from bayeslmm.comparison import shrinkage_path

        return shrinkage_path(self.need_reml(), **options)

    def plot_shrinkage_path(self, **options: Any) -> "Figure":  # noqa: ANN401
        """The same drawn; options as of `bayeslmm.plot_shrinkage_path`."""
        from bayeslmm.plots import plot_shrinkage_path

        return plot_shrinkage_path(self.posterior or self.need_reml(), **options)

    def plot_fits(self, **options: Any) -> "Figure":  # noqa: ANN401
        """Three lines for each level; options as of `bayeslmm.plot_fits`."""
        from bayeslmm.plots import plot_fits

        return plot_fits(self.need_reml(), self.posterior, **options)

    def plot_ranef(self, **options: Any) -> "Figure":  # noqa: ANN401
        """Random effects, posterior; options as of `bayeslmm.plot_ranef`."""
        from bayeslmm.plots import plot_ranef

        return plot_ranef(self.need_posterior(), **options)

    def plot_check(self, **options: Any) -> "Figure":  # noqa: ANN401
        """Residual plots of the REML fit; options as of `bayeslmm.plot_check`."""
        from bayeslmm.plots import plot_check

        return plot_check(self.need_reml(), **options)

    def explain_singular(self, *, small: float = 0.1) -> "SingularFit":
        """What a singular REML fit means; see `RemlFit.explain_singular`."""
        return self.need_reml().explain_singular(self.posterior, small=small)

    def plot_singular(self) -> "Figure":
        """The ridge of a singular fit, and the posterior over it."""
        from bayeslmm.plots import plot_singular

        return plot_singular(self.need_reml(), self.posterior)

    def check(self, **options: Any) -> "AssumptionCheck":  # noqa: ANN401
        """Whether the data look like the model; options as of `RemlFit.check`."""
        return self.need_reml().check(**options)

    def _repr_html_(self) -> str:
        """REML beside the posterior, reading and diagnosis, for notebooks."""
        from bayeslmm.reporting.cards import fit_card

        return fit_card(self.model, self.reml, self.posterior)

    def save(
        self, path: str | PathLike[str], *, force: bool = False
    ) -> tuple[str, ...]:
        """Write it all, for `bayeslmm.load`: to one file, or to a folder with a report.

        Nothing in it is run when it is opened, and the rows are not in it.

        Parameters
        ----------
        path : str or path
            A name that ends in ``.lmm``, by custom ``fit.lmm``, for one file. Else a
            folder for what the command line's ``--out`` writes: ``fit.lmm`` and
            ``posterior.nc`` (the draws), ``report.html``, ``tables.csv``, those of
            `tables` as ``tables.md`` and ``tables.tex``, ``figures/``
            and ``summary.json``. New, empty, or written so before: then it is replaced.
        force : bool, default False
            Also write into a folder that holds other files. Those of the same names
            are replaced, all others stay.

        Returns
        -------
        tuple of str
            What was written, and what had been there before, in sentences.

        Raises
        ------
        OutputError
            If the folder holds files that bayeslmm did not write, or cannot be written.

        Notes
        -----
        Sums, not rows: lme4's InstEval (73,421 rows, three crossed factors) without
        draws is 0.3 MB, sleepstudy with 4,000 draws of all effects 1.6 MB.
        """
        from bayeslmm.reporting.save import save_results

        check_flag(force, "force")
        own = as_path(path, "path")
        return Sentences(save_results(self, own, force=force))

    def cite(self) -> Sentences:
        """Words for the methods section, then what to cite, with versions."""
        from bayeslmm.reporting.citation import citation

        return Sentences(citation(self.model, self.reml, self.posterior))

    def tables(self, **options: Any) -> "PaperTables":  # noqa: ANN401
        """Tables for a paper, REML beside the posterior, in every format.

        Parameters
        ----------
        **options
            ``format`` ("markdown", "latex", "html", "docx" or "csv": how they print),
            ``prob``, ``kind``, ``ddf`` and ``labels``, as of `bayeslmm.model_table`.

        Returns
        -------
        PaperTables
            A tuple of tables (fixed effects; SDs and correlations; ICC and R2; rows,
            levels and criteria), with ``save("tables.docx")``.
        """
        from bayeslmm.reporting.fit_tables import fit_tables

        return fit_tables(self, **options)

    def report(self, path: str | PathLike[str]) -> None:
        """Write a self-contained HTML report.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        from bayeslmm.reporting.html import report

        report(self, path)

    def lesson(self, path: str | PathLike[str], **options: Any) -> "Path":  # noqa: ANN401
        """Write a page that teaches shrinkage with this fit; see `bayeslmm.lesson`."""
        from bayeslmm.reporting.lesson import lesson

        return lesson(self, path, **options)


def fit(
    formula: str,
    data: object,
    *,
    priors: PriorRule = "weak",
    family: str = "gaussian",
    weights: object = None,
    residual: str | None = None,
    center_predictors: bool = True,
    draws: int = 1000,
    tune: int | None = None,
    chains: int = 4,
    seed: int | np.random.Generator | None = None,
    target_accept: float | None = None,
    method: Method = "auto",
    cores: int | None = None,
    progress: bool | Literal["auto"] = "auto",
) -> Fit:
    """Fit a Gaussian mixed model by REML and by its posterior.

    Use it when both are wanted; `Model` gives each step alone, and other families.

    Parameters
    ----------
    formula, data, priors, family, weights, residual, center_predictors
        As for `Model`.
    draws, tune, chains, seed, target_accept, method, cores, progress
        As for `Model.sample`.

    Returns
    -------
    Fit
        ``fit.reml``, ``fit.posterior``, ``fit.compare()``, ``fit.report("out.html")``.

    Raises
    ------
    BayesLMMError
        Whatever `Model`, `Model.fit_reml` and `Model.sample` raise.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> classrooms = lmm.simulate_classrooms(seed=1)
    >>> fit = lmm.fit("score ~ edu + (1 | classroom)", classrooms.data, seed=1)
    >>> list(fit.compare().index)
    ['Intercept', 'edu', '1|classroom_sigma', 'sigma']
    """
    model = Model(
        formula,
        data,
        priors=priors,
        family=family,
        weights=weights,
        residual=residual,
        center_predictors=center_predictors,
    )
    reml = model.fit_reml()
    posterior = model.sample(
        draws=draws,
        tune=tune,
        chains=chains,
        seed=seed,
        target_accept=target_accept,
        method=method,
        cores=cores,
        progress=progress,
    )
    return Fit(model, reml, posterior)
