"""What the commands are given: a table, a folder for results, a method."""

from pathlib import Path
from typing import TYPE_CHECKING

from bayeslmm.errors import ModelError

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.api.model import Method
    from bayeslmm.cli.run import Out as Folder


def checked_folder(out: Path | None, force: bool) -> "Folder | None":
    """The folder for the results, if it may be written to."""
    if out is None:
        return None
    from bayeslmm.cli.run import Out as Folder
    from bayeslmm.reporting.folder import check_folder

    check_folder(out, force=force)
    return Folder(out, force)


def read_table(path: Path, *options: str | None) -> "pd.DataFrame | Path":
    """The frame in a file; a large Parquet file stays a path, and is read in batches.

    `options` are sep, decimal, encoding, na and sheet.
    """
    from bayeslmm.data.options import checked_options
    from bayeslmm.data.read import check_file, read_file
    from bayeslmm.design.source import is_large

    check_file(path)
    if is_large(path):
        return path
    return read_file(path, checked_options(*options))[0]


def method_named(name: str) -> "Method":
    """The sampling method of that name."""
    from typing import get_args

    from bayeslmm.api.model import Method

    for known in get_args(Method):
        if name == known:
            return known
    raise ModelError(
        f"Unknown method {name!r}. Methods: {', '.join(get_args(Method))}."
    )
