"""Everything that there is of a fit, into a folder.

Takes a model and its fits; gives a folder with ``summary.json`` (the manifest),
``fit.lmm`` and ``posterior.nc``, which `bayeslmm.load` opens again, ``tables.csv``,
``report.html`` and ``figures/*.png``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bayeslmm.archive.file import ENDING
from bayeslmm.archive.fits import DRAWS, write_draws, write_fit
from bayeslmm.errors import OutputError
from bayeslmm.reporting.figures import save_figures
from bayeslmm.reporting.fit_tables import fit_tables
from bayeslmm.reporting.fitted import Fitted, check_fitted
from bayeslmm.reporting.folder import (
    all_files,
    check_folder,
    move_files,
    unfinished_folder,
)
from bayeslmm.reporting.html import write_report
from bayeslmm.reporting.manifest import MANIFEST, file_entries
from bayeslmm.reporting.record import Record, record_of
from bayeslmm.reporting.summary import summary_json
from bayeslmm.reporting.tidy import write_tables
from bayeslmm.tables.numbers import counted

PAPER = ("tables.md", "tables.tex")
MODEL, TABLES, PAGE = f"fit{ENDING}", "tables.csv", "report.html"
NETCDF = (".nc", ".nc4", ".netcdf", ".h5", ".hdf5")


@dataclass(frozen=True, slots=True)
class Written:
    """What was written to a folder, and what had been there.

    ``files`` in words; ``replaced`` names the earlier run, ``""`` if there was none;
    ``removed`` are its files that this one did not write again.
    """

    files: str
    replaced: str
    removed: tuple[str, ...]

    def lines(self, folder: Path) -> list[str]:
        """The same in sentences."""
        found = [f"wrote {self.files} to {folder}"]
        if self.replaced:
            found.append(f"replaced the results that were there: {self.replaced}")
        if self.removed:
            names = ", ".join(self.removed)
            found.append(f"removed {names}, which an earlier run had left there")
        return found


def save_results(fit: Fitted, path: Path, *, force: bool) -> list[str]:
    """Write fits to one file, if the path ends in ``.lmm``, or to a folder.

    Draws without a REML fit may go into netCDF too, without the model.

    Returns
    -------
    list of str
        What was written, in sentences.

    Raises
    ------
    OutputError
        If they cannot be written, or the folder is of another program.
    """
    ending, post = path.suffix.lower(), fit.posterior
    if ending == ENDING:
        write_fit(path, fit.model, fit.reml, post)
        return [f"wrote model and fits to {path}"]
    if ending in NETCDF and post is not None and fit.reml is None:
        write_draws(path, post.idata)
        return [f"wrote the draws to {path}"]
    return save_fit(fit, path, force=force).lines(path)


def save_fit(
    fit: Fitted,
    folder: Path,
    *,
    record: Record | None = None,
    force: bool = False,
    moving: Callable[[], None] | None = None,
) -> Written:
    """Write a fit to a folder: whole, or not at all.

    Parameters
    ----------
    fit : Fit
        Model and fits; one of the fits may be None.
    folder : Path
        New, empty, or written by bayeslmm before.
    record : Record, optional
        What is known of the data and the run.
    force : bool, default False
        Write beside the files of another program too.
    moving : callable, optional
        Called when all files are whole and begin to go to their places.

    Raises
    ------
    OutputError
        If the folder is of another program, or cannot be written.
    NotSavedError
        If both fits are None.
    """
    check_fitted(fit, "a folder of results")
    record = record or record_of(fit.model, fit.posterior)
    earlier = check_folder(folder, force=force)
    try:
        with unfinished_folder(folder) as unfinished:
            said = _write_files(fit, unfinished, record)
            if moving is not None:
                moving()
            removed = move_files(unfinished, folder, earlier)
    except OSError as error:
        raise OutputError(
            f"The results could not be written to {str(folder)!r}: {error}. Give "
            "another folder."
        ) from error
    return Written(said, earlier.said, removed)


def _write_files(fit: Fitted, folder: Path, record: Record) -> str:
    """All files into a folder; the manifest last, which lists the others."""
    figures = folder / "figures"
    figures.mkdir()
    saved = save_figures(fit.reml, fit.posterior, figures)
    write_tables(fit, folder / TABLES)
    tables = fit_tables(fit)
    for name in PAPER:
        tables.save(folder / name)
    draws = None if fit.posterior is None else folder / DRAWS
    if fit.posterior is not None and draws is not None:
        write_draws(draws, fit.posterior.idata)
    write_fit(folder / MODEL, fit.model, fit.reml, fit.posterior, draws=draws)
    write_report(fit, folder / PAGE, record)
    entries = file_entries(folder, all_files(folder))
    summary = summary_json(fit, record=record, files=entries)
    (folder / MANIFEST).write_text(summary + "\n", encoding="utf-8")
    names = [MANIFEST, MODEL, TABLES, *([] if draws is None else [DRAWS]), PAGE, *PAPER]
    return f"{', '.join(names)}, {counted(len(saved), 'figure')}"
