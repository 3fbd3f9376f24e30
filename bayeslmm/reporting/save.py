"""Everything that there is of a fit, into a folder.

Takes a model and its fits; gives a folder with ``summary.json`` (the manifest),
``tables.csv``, ``posterior.nc``, ``report.html`` and ``figures/*.png``, which
`bayeslmm.load` opens again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bayeslmm.errors import OutputError
from bayeslmm.reporting.figures import save_figures
from bayeslmm.reporting.folder import (
    all_files,
    check_folder,
    move_files,
    unfinished_folder,
)
from bayeslmm.reporting.html import Fitted, picture, write_report
from bayeslmm.reporting.manifest import MANIFEST, file_entries
from bayeslmm.reporting.record import Record, record_of
from bayeslmm.reporting.summary import summary_json
from bayeslmm.reporting.tidy import write_tables
from bayeslmm.tables.numbers import counted

DRAWS, TABLES, PAGE = "posterior.nc", "tables.csv", "report.html"


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
        Model and fits; either of the fits may be None.
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
    """
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
    drawn: list[tuple[str, str]] = []
    saved = save_figures(
        fit.reml,
        fit.posterior,
        figures,
        also=lambda caption, figure: drawn.append((caption, picture(figure))),
    )
    write_tables(fit, folder / TABLES)
    if fit.posterior is not None:
        fit.posterior.save(folder / DRAWS)
    write_report(fit, folder / PAGE, record, drawn)
    entries = file_entries(folder, all_files(folder))
    summary = summary_json(fit, record=record, files=entries)
    (folder / MANIFEST).write_text(summary + "\n", encoding="utf-8")
    draws = f", {DRAWS}" if fit.posterior is not None else ""
    return f"{MANIFEST}, {TABLES}{draws}, {PAGE}, {counted(len(saved), 'figure')}"
