"""A folder of results -> `SavedFit`, which reads and prints as the fit did."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bayeslmm.comparison.table import join_summaries
from bayeslmm.errors import InputFileError, ModelError, as_path
from bayeslmm.reporting.manifest import FIT_AGAIN, MANIFEST, check_files, read_manifest
from bayeslmm.reporting.save import DRAWS, TABLES
from bayeslmm.reporting.saved import (
    PROB,
    SavedPosterior,
    SavedReml,
    not_saved,
    saved_posterior,
    saved_reml,
)
from bayeslmm.reporting.tidy import long_tests, read_tables, wide_table
from bayeslmm.tables import Sentences, Table

if TYPE_CHECKING:
    import pandas as pd

NEEDS_ROWS = (
    "The rows are not in the folder: predict, residuals, simulate, plots and new "
    "intervals of REML need the model, Model(formula, data)."
)


@dataclass(frozen=True, slots=True, repr=False)
class SavedFit:
    """What a folder of results holds of a fit.

    Attributes
    ----------
    folder : Path
        Where it was read from.
    formula, family : str
        Of the model.
    nobs : int
        Rows used.
    reml : SavedReml or None
        Point estimate.
    posterior : SavedPosterior or None
        Summaries, and the draws as far as they were saved.
    priors : DataFrame
        Columns ``parameter``, ``prior``, ``reason``.
    prior_set : str
        Name of the set of priors.
    seed : int or None
        Seed of the sampler.
    written : str
        Date and time, ISO 8601.
    version : str
        Version of bayeslmm that wrote it.
    versions : mapping
        Versions of Python and the other packages.
    data : mapping
        ``path`` and ``sha256`` of the data file (None for a frame), ``rows_sha256`` of
        the rows used as the model had them.
    answer : tuple of str
        What to read before any table.

    Examples
    --------
    >>> import tempfile
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> fit = lmm.fit("score ~ edu + (1 | classroom)", pupils)  # doctest: +SKIP
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
    ...     fit.save(folder)
    ...     saved = lmm.load(folder)
    >>> saved.formula, saved.nobs  # doctest: +SKIP
    ('score ~ edu + (1 | classroom)', 120)
    """

    folder: Path
    formula: str
    family: str
    nobs: int
    reml: SavedReml | None
    posterior: SavedPosterior | None
    priors: "pd.DataFrame"
    prior_set: str
    seed: int | None
    written: str
    version: str
    versions: Mapping[str, str]
    data: Mapping[str, str | None]
    answer: tuple[str, ...]
    _header: tuple[str, ...]
    _reading: tuple[str, ...]
    _tests: "pd.DataFrame"

    def summary(self) -> "pd.DataFrame":
        """`compare` of both fits, or the summary of the only one."""
        if self.reml is not None and self.posterior is not None:
            return self.compare()
        only = self.reml or self.posterior
        assert only is not None, "a folder holds at least one fit"
        return only.summary()

    def compare(self) -> "pd.DataFrame":
        """REML beside the posterior, as `bayeslmm.compare` gives it.

        Raises
        ------
        ModelError
            If one of both fits was not made.
        """
        if self.reml is None or self.posterior is None:
            missing = "REML fit" if self.reml is None else "posterior"
            raise ModelError(
                f"A comparison needs both fits, and {str(self.folder)!r} holds no "
                f"{missing}."
            )
        return join_summaries(
            self.reml.summary(),
            self.posterior.summary(),
            method=self.reml.method,
            unit=self.reml.unit,
            prob=PROB,
            kind="eti",
        )

    def effect_tests(self) -> "pd.DataFrame":
        """Tests of each fixed effect, as `bayeslmm.effect_tests` gives them."""
        return self._tests.copy()

    def reading(self) -> tuple[str, ...]:
        """What the comparison said, in plain words."""
        return Sentences(self._reading)

    def account(self) -> list[str]:
        """Formula, rows used and lost, groups, in lines."""
        return list(self._header)

    def origin(self) -> list[str]:
        """When, by what and from which data it was made, and what it cannot do."""
        file = self.data["path"] or "a frame"
        seed = "" if self.seed is None else f", seed {self.seed}"
        return [
            f"read from {self.folder}: written {self.written} by bayeslmm "
            f"{self.version} from {file}{seed}",
            NEEDS_ROWS,
        ]

    def __repr__(self) -> str:
        """What the command line printed, and what cannot be done without the rows."""
        from bayeslmm.reporting.text import saved_text

        return saved_text(self)

    def __getattr__(self, name: str) -> NoReturn:
        """Say that what is not here needs the rows."""
        has = (
            "reml, posterior, summary, compare, effect_tests, reading, priors, seed, "
            "version, data"
        )
        raise not_saved("fit", name, has)


def load(folder: str | PathLike[str]) -> SavedFit:
    """Open a folder that ``--out`` or `Fit.save` wrote.

    Use it to read, compare and quote results without fitting again. The rows are not
    in the folder, so what needs them (predictions, residuals, figures) is not there,
    and says so.

    Parameters
    ----------
    folder : str or path
        Folder of results.

    Returns
    -------
    SavedFit
        Tables under the names of the fits, ``reml.summary()``, ``posterior.summary()``,
        ``compare()``; the draws, ``posterior.draws("sigma")``; formula, priors, seed,
        versions, checksums. Printed, it is what the command line printed.

    Raises
    ------
    InputFileError
        If it is no folder of results, files are missing or damaged, or its format is of
        another version.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> saved = lmm.load("results")  # doctest: +SKIP
    >>> saved.posterior.summary()  # doctest: +SKIP
    """
    folder = as_path(folder, "folder")
    manifest = read_manifest(folder)
    check_files(folder, manifest, (TABLES, DRAWS))
    try:
        return _saved_fit(folder, manifest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputFileError(
            f"{str(folder / MANIFEST)!r} or {TABLES} beside it is damaged or was "
            f"edited: {error!r} is not as bayeslmm writes it. {FIT_AGAIN}"
        ) from error


def _saved_fit(folder: Path, manifest: Mapping[str, Any]) -> SavedFit:
    """The object of a manifest and the tables beside it."""
    tidy = read_tables(folder / TABLES)
    names = set(tidy["table"])
    tables = {name: wide_table(tidy, name) for name in names - {"groups"}}
    tests = long_tests(tables["tests"]) if "tests" in tables else Table()
    reml = posterior = None
    if manifest["reml"] is not None:
        reml = saved_reml(manifest, tables["reml"], tables.get("reml_levels"))
    if manifest["posterior"] is not None:
        levels = tables.get("posterior_levels")
        path = folder / DRAWS
        posterior = saved_posterior(manifest, tables["posterior"], levels, path)
    priors = manifest["priors"]
    return SavedFit(
        folder,
        manifest["formula"],
        manifest["family"],
        manifest["rows"]["used"],
        reml,
        posterior,
        Table(priors["lines"], columns=["parameter", "prior", "reason"]),
        priors["name"],
        manifest["seed"],
        manifest["written"],
        manifest["versions"]["bayeslmm"],
        manifest["versions"],
        manifest["data"],
        Sentences(manifest["answer"]),
        tuple(manifest["header"]),
        tuple(manifest.get("comparison", {}).get("reading", ())),
        tests,
    )
