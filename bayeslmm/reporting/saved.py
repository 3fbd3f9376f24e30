"""The two fits as a folder of results holds them: numbers and draws, no rows.

Takes the manifest and the tables of a folder; gives objects with the tables of
`RemlFit` and `Posterior`. What needs the rows says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import (
    InputFileError,
    ModelError,
    NotSavedError,
    check_fraction,
)
from bayeslmm.posterior.diagnose import Diagnosis, SamplingStatus
from bayeslmm.posterior.places import Place, draws_at
from bayeslmm.posterior.tables import (
    IntervalKind,
    check_interval,
    hide_missing,
    summary_at,
)
from bayeslmm.posterior.tails import Missing
from bayeslmm.reml.ddf import Ddf
from bayeslmm.reml.inference import IntervalMethod
from bayeslmm.reml.status import FitStatus

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

PROB = 0.95  # of the intervals in the tables of a folder
TESTED = ["estimate", "se", "df", "t", "p"]
CONVERGENCE = ["mcse_mean", "ess_bulk", "ess_tail", "rhat"]


@dataclass(frozen=True, slots=True, repr=False)
class SavedReml:
    """A `RemlFit` without its rows.

    Attributes
    ----------
    formula : str
        The formula as it was written.
    nobs : int
        Rows used.
    unit : str
        Units of the parameters, ``in units of score``.
    method : {"REML", "ML"}
        Criterion that was minimised.
    criterion, loglik, aic, bic : float
        As of `RemlFit`.
    npar : int
        Number of parameters.
    status : FitStatus
        How the search ended.
    """

    formula: str
    nobs: int
    unit: str
    method: Literal["REML", "ML"]
    criterion: float
    loglik: float
    aic: float
    bic: float
    npar: int
    status: FitStatus
    _table: "pd.DataFrame"
    _levels: "pd.DataFrame | None"

    def summary(
        self, prob: float = PROB, *, ddf: Ddf = "satterthwaite"
    ) -> "pd.DataFrame":
        """The table of `RemlFit.summary`; only with the ``prob`` that was saved."""
        if ddf != "satterthwaite":
            raise _only_saved(f"Tests with ddf={ddf!r}", "Satterthwaite's")
        check_fraction(prob, "prob")
        if prob != PROB:
            raise _only_saved(f"Intervals with prob={prob}", f"those of {PROB}")
        return self._table.reindex(columns=["component", *TESTED, "lower", "upper"])

    def interval(
        self,
        prob: float = PROB,
        *,
        method: IntervalMethod = "wald",
        ddf: Ddf = "satterthwaite",
        criterion: Literal["REML", "ML"] | None = None,  # noqa: ARG002
        nsim: int = 1000,  # noqa: ARG002
        seed: int | np.random.Generator | None = None,  # noqa: ARG002
    ) -> "pd.DataFrame":
        """The columns ``lower`` and ``upper`` of `summary`: Wald's alone were saved.

        Of Wald's, ``criterion``, ``nsim`` and ``seed`` say nothing.
        """
        if method != "wald":
            raise _only_saved(f"Intervals with method={method!r}", "Wald's")
        return self.summary(prob, ddf=ddf).loc[:, ["lower", "upper"]]

    def confint(
        self,
        prob: float = PROB,
        *,
        method: IntervalMethod = "wald",
        ddf: Ddf = "satterthwaite",
        criterion: Literal["REML", "ML"] | None = None,
        nsim: int = 1000,
        seed: int | np.random.Generator | None = None,
    ) -> "pd.DataFrame":
        """The same as `interval`, as R has it."""
        return self.interval(
            prob, method=method, ddf=ddf, criterion=criterion, nsim=nsim, seed=seed
        )

    def fixef(self) -> "pd.DataFrame":
        """Fixed effects: ``estimate``, ``se``, ``df``, ``t``, ``p``."""
        table = self._table.reindex(columns=["component", *TESTED])
        return table.loc[table["component"] == "fixef", TESTED]

    def ranef(self) -> "pd.DataFrame":
        """BLUPs: ``group``, ``level``, ``effect``, ``estimate``, ``sd``."""
        return _levels(self._levels)

    @property
    def sigma(self) -> float:
        """Residual SD, units of y."""
        return float(self._table["estimate"]["sigma"])

    def __repr__(self) -> str:
        """The formula and the table, as of the fit."""
        from bayeslmm.reporting.text import reml_text

        return reml_text(self)

    def __getattr__(self, name: str) -> NoReturn:
        """Say that what is not here needs the rows."""
        raise not_saved(
            "REML fit", name, "summary, interval, confint, fixef, ranef, status"
        )


@dataclass(frozen=True, slots=True, repr=False)
class SavedPosterior:
    """A `Posterior` without its rows.

    Attributes
    ----------
    formula : str
        The formula as it was written.
    nobs : int
        Rows used.
    unit : str
        Units of the parameters.
    method, reason : str
        How it was drawn, and why so.
    status : SamplingStatus
        How the run ended.
    timing : dict of str to float
        Seconds of each phase.
    path : Path
        File of the draws.
    """

    formula: str
    nobs: int
    unit: str
    method: str
    reason: str
    status: SamplingStatus
    timing: Mapping[str, float]
    path: Path
    _table: "pd.DataFrame"
    _levels: "pd.DataFrame | None"
    _places: tuple[Place, ...]
    _diagnosis: tuple[bool, tuple[str, ...]]

    @property
    def idata(self) -> "xr.DataTree":
        """The draws, read from the file into memory."""
        return read_draws(self.path)

    def draws(self, label: str) -> Float[np.ndarray, "chain draw"]:
        """Draws of one parameter, by its label in `summary`."""
        return draws_at(self._places, self.idata, label)

    def summary(self, prob: float = PROB, kind: IntervalKind = "eti") -> "pd.DataFrame":
        """The table of `Posterior.summary`; other intervals are read off the draws."""
        check_interval(prob, kind)
        if prob == PROB and kind == "eti":
            return self._table.copy()
        table = summary_at(self._places, self.idata, prob, kind)
        return hide_missing(table, table.index, self.status.missing)

    def interval(
        self, prob: float = PROB, kind: IntervalKind = "eti"
    ) -> "pd.DataFrame":
        """The columns ``lower`` and ``upper`` of `summary`."""
        return self.summary(prob, kind).loc[:, ["lower", "upper"]]

    def confint(self, prob: float = PROB, kind: IntervalKind = "eti") -> "pd.DataFrame":
        """The same as `interval`, as R has it."""
        return self.interval(prob, kind)

    def fixef(self, prob: float = PROB, kind: IntervalKind = "eti") -> "pd.DataFrame":
        """Fixed effects: ``mean``, ``median``, ``sd``, ``lower``, ``upper``."""
        table = self.summary(prob, kind)
        columns = ["mean", "median", "sd", "lower", "upper"]
        return table.loc[table["component"] == "fixef", columns]

    def ranef(self) -> "pd.DataFrame":
        """Random effects of the levels, with 95% equal-tailed intervals."""
        return _levels(self._levels)

    @property
    def sigma(self) -> float:
        """Posterior mean of the residual SD, units of y."""
        return float(self._table["mean"]["sigma"])

    def diagnose(self) -> Diagnosis:
        """What the diagnostics said."""
        ok, messages = self._diagnosis
        return Diagnosis(ok, messages, self._table[CONVERGENCE].copy())

    def __repr__(self) -> str:
        """The formula and the table, as the terminal has it."""
        from bayeslmm.reporting.text import posterior_text

        return posterior_text(self)

    def __getattr__(self, name: str) -> NoReturn:
        """Say that what is not here needs the rows."""
        has = "summary, draws, idata, fixef, ranef, interval, confint, diagnose"
        raise not_saved("posterior", name, has)


def read_draws(path: Path) -> "xr.DataTree":
    """The draws of a file, in memory.

    Raises
    ------
    InputFileError
        If there is no such file, or it cannot be read.
    """
    import xarray as xr

    try:
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            return tree.load()
    except (OSError, ValueError, KeyError) as error:
        raise InputFileError(
            f"The draws cannot be read from {str(path)!r}: {error}. The file was moved "
            "or damaged; fit again."
        ) from error


def saved_reml(
    manifest: Mapping[str, Any],
    table: "pd.DataFrame",
    levels: "pd.DataFrame | None",
) -> SavedReml:
    """The REML fit of a manifest and its tables."""
    found = manifest["reml"]
    status = {**found["status"], "boundary": tuple(found["status"]["boundary"])}
    if status["gradient_norm"] is None:  # JSON has no NaN
        status["gradient_norm"] = float("nan")
    return SavedReml(
        manifest["formula"],
        manifest["rows"]["used"],
        manifest["unit"],
        method=found["method"],
        criterion=found["criterion"],
        loglik=found["loglik"],
        aic=found["aic"],
        bic=found["bic"],
        npar=found["npar"],
        status=FitStatus(**status),
        _table=table,
        _levels=levels,
    )


def saved_posterior(
    manifest: Mapping[str, Any],
    table: "pd.DataFrame",
    levels: "pd.DataFrame | None",
    path: Path,
) -> SavedPosterior:
    """The posterior of a manifest, its tables and its draws."""
    found = manifest["posterior"]
    missing = {key: tuple(value) for key, value in found["status"]["missing"].items()}
    tuples = {
        "missing": Missing(**missing),
        "far": tuple(found["status"].get("far", ())),
    }
    diagnosis = found["diagnostics"]
    return SavedPosterior(
        manifest["formula"],
        manifest["rows"]["used"],
        manifest["unit"],
        found["method"],
        found["reason"],
        SamplingStatus(**(found["status"] | tuples)),
        found["timing"],
        path,
        table,
        levels,
        tuple(Place(*place) for place in found["places"]),
        (diagnosis["ok"], tuple(diagnosis["messages"])),
    )


def _only_saved(what: str, saved: str) -> ModelError:
    """The error for numbers of another kind than those in the folder."""
    return ModelError(f"{what} were not saved, only {saved}. Fit again for others.")


def _levels(table: "pd.DataFrame | None") -> "pd.DataFrame":
    """The effects of the levels, if they were saved."""
    if table is None:
        raise ModelError(
            "The random effects were not saved: they are too many for tables.csv. Fit "
            "again for them, or read what draws there are from idata."
        )
    return table.copy()


def not_saved(what: str, name: str, has: str) -> NotSavedError:
    """The error for what a folder does not hold."""
    return NotSavedError(
        f"This {what} was read from a folder of results, which does not hold the rows, "
        f"so it has no {name!r}. It has {has}. For the rest fit again: "
        "Model(formula, data)."
    )
