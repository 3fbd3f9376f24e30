"""What pages share: their templates, the files in them, and how they are written."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bayeslmm.errors import OutputError

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent


def page_environment(
    finalize: Callable[[object], object] | None = None,
) -> "jinja2.Environment":
    """Jinja for a page: text is escaped, and a name that is missing is an error."""
    import jinja2

    return jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=finalize,
    )


def together(*names: str) -> str:
    """Files beside this one, one after the other."""
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)


def write_page(page: str, path: Path, what: str) -> None:
    """Write a page; `what` it is, a report say.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"The {what} could not be written to {str(path)!r}: {error}. Give a file "
            "in a folder that exists and can be written."
        ) from error
