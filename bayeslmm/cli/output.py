"""Results into a folder: whole, or not at all, and of one run.

Takes the folder that a user named, gives one to write into. Files are written apart and
moved when all are whole, so that an interrupt or a full disk leaves none cut off; what
an earlier run wrote and this one did not is taken away. A process that was killed
leaves its unfinished folder behind: the next one removes it, and knows it is dead by
its lock, which the system lets go with the process.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".unfinished-"
# Everything that any run writes: no file of another name is ever touched.
OURS = (
    "summary.json",
    "posterior.nc",
    "report.html",
    *(
        f"figures/{name}.png"
        for name in ("fits", "posterior", "forest", "trace", "rank")
    ),
    "figures/shrinkage*.png",
)


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


def move_files(unfinished: Path, out: Path) -> list[str]:
    """Move whole files to their places; remove those of an earlier run.

    Parameters
    ----------
    unfinished : Path
        Folder with all files of this run.
    out : Path
        Where they go.

    Returns
    -------
    list of str
        Files of an earlier run that this one did not write, and that are gone.
    """
    (out / "figures").mkdir(exist_ok=True)
    written = {
        path.relative_to(unfinished) for path in unfinished.rglob("*") if path.is_file()
    }
    old = {p.relative_to(out) for pattern in OURS for p in out.glob(pattern)} - written
    for name in sorted(old):
        (out / name).unlink()
    for name in sorted(written):  # summary.json last: it says what the others are
        (unfinished / name).replace(out / name)
    return [str(name) for name in sorted(old)]
