"""Bayesian linear mixed models with lme4's formulas: REML beside the posterior.

Takes nothing; gives the public names. Each is imported on first use (PEP 562), so that
``import bayeslmm`` costs next to nothing and REML never pays for PyMC.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayeslmm.compare import (
        compare as compare,
        reading as reading,
        shrinkage_table as shrinkage_table,
    )
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
    from bayeslmm.fit import (
        FitStatus as FitStatus,
        Posterior as Posterior,
        RemlFit as RemlFit,
    )
    from bayeslmm.fit.both import Fit as Fit, fit as fit
    from bayeslmm.formula import Formula as Formula, parse_formula as parse_formula
    from bayeslmm.marginal.stream import (
        scan_rows as scan_rows,
        sum_partition as sum_partition,
    )
    from bayeslmm.model import Model as Model
    from bayeslmm.plots import (
        plot_fits as plot_fits,
        plot_forest as plot_forest,
        plot_posterior as plot_posterior,
        plot_ranef as plot_ranef,
        plot_rank as plot_rank,
        plot_shrinkage as plot_shrinkage,
        plot_trace as plot_trace,
    )
    from bayeslmm.priors import Prior as Prior, Priors as Priors
    from bayeslmm.report import SavedFit as SavedFit, load as load, report as report
    from bayeslmm.simulate import (
        sd_corr_to_factor as sd_corr_to_factor,
        simulate as simulate,
    )

_ROOM_OF = {
    "BayesLMMError": "errors",
    "BayesLMMWarning": "errors",
    "DataError": "errors",
    "DataWarning": "errors",
    "Design": "design",
    "Fit": "fit.both",
    "FitStatus": "fit",
    "FitWarning": "errors",
    "Formula": "formula",
    "FormulaError": "errors",
    "InputFileError": "errors",
    "Model": "model",
    "ModelError": "errors",
    "NotSavedError": "errors",
    "OutputError": "errors",
    "Posterior": "fit",
    "Prior": "priors",
    "PriorError": "errors",
    "Priors": "priors",
    "RemlFit": "fit",
    "SamplingError": "errors",
    "SavedFit": "report",
    "SimulatedClassrooms": "datasets",
    "compare": "compare",
    "fit": "fit.both",
    "load": "report",
    "load_data": "datasets",
    "parse_formula": "formula",
    "plot_fits": "plots",
    "plot_forest": "plots",
    "plot_posterior": "plots",
    "plot_ranef": "plots",
    "plot_rank": "plots",
    "plot_shrinkage": "plots",
    "plot_trace": "plots",
    "read": "data",
    "reading": "compare",
    "report": "report",
    "scan_rows": "marginal.stream",
    "sd_corr_to_factor": "simulate",
    "shrinkage_table": "compare",
    "simulate": "simulate",
    "simulate_classrooms": "datasets",
    "sum_partition": "marginal.stream",
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


class _Package(ModuleType):
    """Keeps ``bayeslmm.fit`` the function: importing the room `fit` would rebind it."""

    def __setattr__(self, name: str, value: object) -> None:
        """Set an attribute, except a room over the public name it shares."""
        if not (name in _ROOM_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
