"""Words that several readers of files say alike."""

from pathlib import Path

from bayeslmm.errors import InputFileError


def first_line(error: BaseException) -> str:
    """The first line of another library's message, without its full stop."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def unreadable(path: Path, kind: str, error: BaseException) -> InputFileError:
    """The error for a file that is not what its ending says."""
    if _is_text(path):
        return InputFileError(
            f"{str(path)!r} is a text file and not {kind}, as its ending says. Give it "
            f"the ending of a table in text, {path.stem + '.csv'!r}."
        )
    return InputFileError(
        f"{str(path)!r} cannot be read as {kind}; it may be cut off or corrupt, or of "
        f"another kind than its ending says. Write it again. The reader says: "
        f"{first_line(error)}."
    )


def _is_text(path: Path) -> bool:
    """Whether a file begins as text does."""
    with path.open("rb") as file:
        start = file.read(4096)
    text = start.decode("utf-8-sig", errors="replace")
    plain = text.translate(dict.fromkeys(map(ord, "\r\n\t\xa0")))
    return plain.isprintable() and ("\n" in text or "\r" in text)


def not_installed(path: Path, library: str) -> InputFileError:
    """The error for a file that needs a library which is not there."""
    return InputFileError(
        f"To read {path.name!r} install {library}: pip install 'bayeslmm[files]'. Or "
        f"save the file as CSV."
    )
