"""Results into a folder: whole, or not at all, of one run, and over no one else's.

Takes the folder that a user named, gives one to write into. Files are written apart and
moved when all are whole, so that an interrupt or a full disk leaves none cut off; what
an earlier run wrote and this one did not is taken away. A process that was killed
leaves its unfinished folder behind: the next one removes it, and knows it is dead by
its lock, which the system lets go with the process.
"""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bayeslmm.errors import InputFileError, OutputError
from bayeslmm.reporting.manifest import MANIFEST, read_manifest
from bayeslmm.tables.numbers import counted, listed

PREFIX = ".unfinished-"
NAMED = 3  # files in a message before the others are counted


@dataclass(frozen=True, slots=True)
class Earlier:
    """What is in a folder before results are written to it.

    ``files`` are those of an earlier run, ``said`` names that run; both empty if there
    was none.
    """

    files: tuple[str, ...] = ()
    said: str = ""


def check_folder(folder: Path, *, force: bool = False) -> Earlier:
    """What is in a folder that results are to be written to; makes and changes nothing.

    Parameters
    ----------
    folder : Path
        May be new.
    force : bool, default False
        Write beside the files of another program, and over those of the same names.

    Raises
    ------
    OutputError
        If it cannot be written, or holds files and bayeslmm did not write it.
    """
    check_writable(folder)
    there = [] if not folder.is_dir() else sorted(p.name for p in folder.iterdir())
    there = [name for name in there if not name.startswith(PREFIX)]
    if not there:
        return Earlier()
    try:
        manifest = read_manifest(folder)
    except InputFileError as error:
        if force:
            return Earlier()
        more = len(there) - NAMED
        names = there[:NAMED] + ([counted(more, "other")] if more > 0 else [])
        reason = "" if MANIFEST not in there else f" {error}"
        raise OutputError(
            f"{str(folder)!r} holds {listed(names)}, which bayeslmm did not write as "
            f"results, so nothing is written there.{reason} Give a new folder, or use "
            "--force (in Python force=True): files of the names of results are then "
            "replaced, all others stay."
        ) from error
    said = f"{manifest.get('formula')}, written {manifest.get('written')}"
    return Earlier((*manifest["files"], MANIFEST), said)


def check_writable(folder: Path) -> None:
    """Raise unless `folder` can be made and written to; makes nothing.

    Raises
    ------
    OutputError
        If it is a file, or the nearest folder that exists refuses a file.
    """
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise OutputError(
            f"{str(there)!r} is a file, not a folder. Give another folder."
        )
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise OutputError(
            f"Nothing can be written to {str(there)!r} ({error.strerror}). Give "
            "another folder."
        ) from error


@contextmanager
def unfinished_folder(out: Path) -> Iterator[Path]:
    """A new folder in `out`, to be written to; it is gone at the end.

    `out` is made, and goes too if it is new and stays empty.

    Raises
    ------
    OSError
        If a folder cannot be made.
    """
    from filelock import FileLock

    is_new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    folder = out / f"{PREFIX}{secrets.token_hex(4)}"
    lock = _lock_file(folder)
    try:
        remove_dead(out)
        with FileLock(lock, timeout=0):  # before there is a folder that could look dead
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        lock.unlink(missing_ok=True)
        if is_new:
            with suppress(OSError):  # it goes only if it is empty
                out.rmdir()


def remove_dead(out: Path) -> None:
    """Remove what killed processes left unfinished; leave what one still writes."""
    from filelock import FileLock, Timeout

    found = {path.with_suffix("") for path in out.glob(f"{PREFIX}*")}
    for folder in sorted(found):
        with suppress(Timeout, OSError):
            with FileLock(_lock_file(folder), timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
            _lock_file(folder).unlink(missing_ok=True)


def _lock_file(folder: Path) -> Path:
    """Locked as long as the process that writes a folder lives."""
    return folder.with_suffix(".lock")


def move_files(unfinished: Path, out: Path, earlier: Earlier) -> tuple[str, ...]:
    """Move whole files to their places; remove those of an earlier run.

    Parameters
    ----------
    unfinished : Path
        Folder with all files of this run.
    out : Path
        Where they go.
    earlier : Earlier
        What `out` held before.

    Returns
    -------
    tuple of str
        Files of an earlier run that this one did not write, and that are gone.
    """
    written = all_files(unfinished)
    old = {Path(name) for name in earlier.files} - set(written)
    gone = sorted(name.as_posix() for name in old if (out / name).is_file())
    for name in gone:
        (out / name).unlink()
    # The manifest last: it says what the others are.
    for name in sorted(written, key=lambda name: (name.name == MANIFEST, name)):
        (out / name).parent.mkdir(exist_ok=True)
        (unfinished / name).replace(out / name)
    return tuple(gone)


def all_files(folder: Path) -> list[Path]:
    """Files below a folder, by their path in it."""
    return sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
