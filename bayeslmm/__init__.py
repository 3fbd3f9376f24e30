"""Bayesian linear mixed models with lme4's formulas: REML beside the posterior.

Takes nothing; gives the public names. Each is imported on first use (PEP 562), so that
``import bayeslmm`` costs next to nothing and REML never pays for PyMC.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayeslmm.api.both import Fit as Fit, fit as fit
    from bayeslmm.api.load import load as load
    from bayeslmm.api.model import Model as Model
    from bayeslmm.comparison import (
        anova as anova,
        compare as compare,
        effect_tests as effect_tests,
        pooling_factors as pooling_factors,
        pooling_table as pooling_table,
        ranef_variance as ranef_variance,
        reading as reading,
        shrinkage_matrices as shrinkage_matrices,
        shrinkage_path as shrinkage_path,
        shrinkage_reading as shrinkage_reading,
        shrinkage_table as shrinkage_table,
        varcomp_table as varcomp_table,
        within_between as within_between,
    )
    from bayeslmm.comparison.bayes_factor import bayes_factor as bayes_factor
    from bayeslmm.comparison.bayes_factors import bayes_factors as bayes_factors
    from bayeslmm.data import read as read
    from bayeslmm.datasets import (
        SimulatedClassrooms as SimulatedClassrooms,
        load_data as load_data,
        simulate_classrooms as simulate_classrooms,
    )
    from bayeslmm.design import Design as Design
    from bayeslmm.errors import (
        BayesLMMError as BayesLMMError,
        BayesLMMWarning as BayesLMMWarning,
        DataError as DataError,
        DataWarning as DataWarning,
        FitWarning as FitWarning,
        FormulaError as FormulaError,
        InputFileError as InputFileError,
        ModelError as ModelError,
        NotSavedError as NotSavedError,
        OutputError as OutputError,
        PriorError as PriorError,
        SamplingError as SamplingError,
    )
    from bayeslmm.formula import Formula as Formula, parse_formula as parse_formula
    from bayeslmm.marginal.stream import (
        scan_rows as scan_rows,
        sum_partition as sum_partition,
    )
    from bayeslmm.planning import (
        Calibration as Calibration,
        Power as Power,
        Precision as Precision,
        power as power,
        precision as precision,
    )
    from bayeslmm.plots import (
        plot_aggregation as plot_aggregation,
        plot_bayes_factors as plot_bayes_factors,
        plot_calibration as plot_calibration,
        plot_check as plot_check,
        plot_fits as plot_fits,
        plot_forest as plot_forest,
        plot_loo as plot_loo,
        plot_matrices as plot_matrices,
        plot_offsets as plot_offsets,
        plot_pooling as plot_pooling,
        plot_posterior as plot_posterior,
        plot_precision as plot_precision,
        plot_prior_predictive as plot_prior_predictive,
        plot_prior_sensitivity as plot_prior_sensitivity,
        plot_priors as plot_priors,
        plot_profile as plot_profile,
        plot_ranef as plot_ranef,
        plot_rank as plot_rank,
        plot_residuals as plot_residuals,
        plot_rows as plot_rows,
        plot_shrinkage as plot_shrinkage,
        plot_shrinkage_path as plot_shrinkage_path,
        plot_singular as plot_singular,
        plot_slopes as plot_slopes,
        plot_trace as plot_trace,
        plot_two_stage as plot_two_stage,
        plot_varcomp as plot_varcomp,
    )
    from bayeslmm.posterior import Posterior as Posterior
    from bayeslmm.posterior.sensitivity import prior_sensitivity as prior_sensitivity
    from bayeslmm.priors import Prior as Prior, Priors as Priors
    from bayeslmm.reml import FitStatus as FitStatus, RemlFit as RemlFit
    from bayeslmm.reporting.html import report as report
    from bayeslmm.reporting.lesson import lesson as lesson
    from bayeslmm.reporting.model_table import model_table as model_table
    from bayeslmm.reporting.paper_tables import (
        PaperTable as PaperTable,
        PaperTables as PaperTables,
    )
    from bayeslmm.simulation import (
        sd_corr_to_factor as sd_corr_to_factor,
        simulate as simulate,
    )

_ROOM_OF = {
    "BayesLMMError": "errors",
    "BayesLMMWarning": "errors",
    "Calibration": "planning",
    "DataError": "errors",
    "DataWarning": "errors",
    "Design": "design",
    "Fit": "api.both",
    "FitStatus": "reml",
    "FitWarning": "errors",
    "Formula": "formula",
    "FormulaError": "errors",
    "InputFileError": "errors",
    "Model": "api.model",
    "ModelError": "errors",
    "NotSavedError": "errors",
    "OutputError": "errors",
    "PaperTable": "reporting.paper_tables",
    "PaperTables": "reporting.paper_tables",
    "Posterior": "posterior",
    "Power": "planning",
    "Precision": "planning",
    "Prior": "priors",
    "PriorError": "errors",
    "Priors": "priors",
    "RemlFit": "reml",
    "SamplingError": "errors",
    "SimulatedClassrooms": "datasets",
    "anova": "comparison",
    "bayes_factor": "comparison.bayes_factor",
    "bayes_factors": "comparison.bayes_factors",
    "compare": "comparison",
    "effect_tests": "comparison",
    "fit": "api.both",
    "lesson": "reporting.lesson",
    "load": "api.load",
    "load_data": "datasets",
    "model_table": "reporting.model_table",
    "parse_formula": "formula",
    "plot_aggregation": "plots",
    "plot_bayes_factors": "plots",
    "plot_calibration": "plots",
    "plot_check": "plots",
    "plot_fits": "plots",
    "plot_forest": "plots",
    "plot_loo": "plots",
    "plot_matrices": "plots",
    "plot_offsets": "plots",
    "plot_pooling": "plots",
    "plot_posterior": "plots",
    "plot_precision": "plots",
    "plot_prior_predictive": "plots",
    "plot_prior_sensitivity": "plots",
    "plot_priors": "plots",
    "plot_profile": "plots",
    "plot_ranef": "plots",
    "plot_rank": "plots",
    "plot_residuals": "plots",
    "plot_rows": "plots",
    "plot_shrinkage": "plots",
    "plot_shrinkage_path": "plots",
    "plot_singular": "plots",
    "plot_slopes": "plots",
    "plot_trace": "plots",
    "plot_two_stage": "plots",
    "plot_varcomp": "plots",
    "pooling_factors": "comparison",
    "pooling_table": "comparison",
    "power": "planning",
    "precision": "planning",
    "prior_sensitivity": "posterior.sensitivity",
    "ranef_variance": "comparison",
    "read": "data",
    "reading": "comparison",
    "report": "reporting.html",
    "scan_rows": "marginal.stream",
    "sd_corr_to_factor": "simulation",
    "shrinkage_matrices": "comparison",
    "shrinkage_path": "comparison",
    "shrinkage_reading": "comparison",
    "shrinkage_table": "comparison",
    "simulate": "simulation",
    "simulate_classrooms": "datasets",
    "sum_partition": "marginal.stream",
    "varcomp_table": "comparison",
    "within_between": "comparison",
}
__all__ = sorted(_ROOM_OF)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    """Import the room of a public name on first use."""
    if name == "__version__":
        from importlib.metadata import version  # half the time until a command listens

        return version("bayeslmm")
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'bayeslmm' has no attribute {name!r}")
    room = importlib.import_module(f"bayeslmm.{_ROOM_OF[name]}")
    globals()[name] = getattr(room, name)
    return globals()[name]


def __dir__() -> list[str]:
    """Public names, for completion."""
    return [*__all__, "__version__"]
