"""``summary.json`` as the manifest of a folder of results: whose it is, what is in it.

Takes a folder; gives the content of its manifest, or says why it cannot be read.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from bayeslmm.archive.file import PROGRAM
from bayeslmm.data import file_hash
from bayeslmm.errors import InputFileError, nearest_paths

MANIFEST = "summary.json"
# Raised when what is written can no longer be read by an earlier version.
FORMAT = 2
FIT_AGAIN = "Fit again to have it written anew."


def file_entries(folder: Path, names: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Size and checksum of files, by their path in the folder."""
    return {
        name.as_posix(): {
            "bytes": (folder / name).stat().st_size,
            "sha256": file_hash(folder / name),
        }
        for name in sorted(names)
    }


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder that this package wrote.

    Raises
    ------
    InputFileError
        If there is no such folder, it is of another program, its manifest is damaged,
        or it was written by another version in a format unknown here.
    """
    _check_folder(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise InputFileError(
            f"{str(folder)!r} has no {MANIFEST}, so it is no folder that bayeslmm "
            f"wrote. Give one that --out or save() of a fit wrote."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputFileError(
            f"{str(path)!r} cannot be read as JSON ({error}); it is damaged, or of "
            f"another program. {FIT_AGAIN}"
        ) from error
    if not isinstance(content, dict) or not _is_ours(content):
        raise InputFileError(
            f"{str(path)!r} was not written by bayeslmm. Give a folder that --out or "
            "fit.save() wrote."
        )
    _check_format(path, content)
    return content


def check_files(
    folder: Path, manifest: Mapping[str, Any], names: Iterable[str]
) -> None:
    """Raise unless files that the manifest lists are there as they were written.

    Raises
    ------
    InputFileError
        If one is missing, or was changed or cut off since.
    """
    for name in names:
        entry, path = manifest["files"].get(name), folder / name
        if entry is None:
            continue
        if not path.is_file():
            raise InputFileError(
                f"{str(folder)!r} lacks {name}, which {MANIFEST} lists: it was moved "
                f"or deleted. Copy the folder whole, or fit again."
            )
        if path.stat().st_size != entry["bytes"] or file_hash(path) != entry["sha256"]:
            raise InputFileError(
                f"{str(path)!r} is not as it was written (its checksum differs): it "
                f"was cut off, damaged or edited. {FIT_AGAIN}"
            )


def _check_folder(folder: Path) -> None:
    """Raise unless it is a folder; offers the nearest names."""
    if folder.is_dir():
        return
    if folder.exists():
        raise InputFileError(
            f"{str(folder)!r} is a file. Give the folder that --out or fit.save() "
            "wrote (arviz.from_netcdf reads a posterior.nc by itself)."
        )
    hint = nearest_paths(folder, folders=True)
    raise InputFileError(f"There is no folder {str(folder)!r}.{hint}")


def _is_ours(content: Mapping[str, Any]) -> bool:
    """Whether this package wrote it, in whatever version."""
    versions = content.get("versions")
    earlier = isinstance(versions, dict) and PROGRAM in versions
    return content.get("program") == PROGRAM or (earlier and "formula" in content)


def _check_format(path: Path, content: Mapping[str, Any]) -> None:
    """Raise unless the manifest is of the format that is read here, and whole."""
    found = content.get("format")
    by = content.get("versions", {}).get(PROGRAM, "unknown")
    if found is None:
        raise InputFileError(
            f"{str(path)!r} is of bayeslmm {by}, before results could be opened "
            f"again. {FIT_AGAIN}"
        )
    if found == 1:
        raise InputFileError(
            f"{str(path)!r} is of bayeslmm {by}, before folders held the model, so it "
            f"cannot be opened as a fit. What it has can be read: tables.csv with "
            f"pandas.read_csv, posterior.nc with arviz.from_netcdf. {FIT_AGAIN}"
        )
    if not isinstance(found, int) or found > FORMAT:
        raise InputFileError(
            f"{str(path)!r} has format {found}, of bayeslmm {by}; this version reads "
            f"format {FORMAT}. Upgrade: pip install -U bayeslmm."
        )
    files = content.get("files")
    if not files or not isinstance(files, dict) or not all(map(_is_inside, files)):
        raise InputFileError(
            f"{str(path)!r} is damaged: it does not list its files. {FIT_AGAIN}"
        )


def _is_inside(name: str) -> bool:
    """Whether a listed file lies in the folder."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name
