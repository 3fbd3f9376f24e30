"""`Sentences`: a tuple of sentences that reads as a list where it is shown."""

import html
import shutil
import textwrap


class Sentences(tuple[str, ...]):
    """Sentences; printed one below the other, in a notebook as a list."""

    __slots__ = ()

    def __repr__(self) -> str:
        """One after a dash each, wrapped at the width of the terminal."""
        width = shutil.get_terminal_size().columns
        lines = [
            textwrap.fill(one, width, initial_indent="- ", subsequent_indent="  ")
            for one in self
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The same as a list."""
        items = "".join(f"<li>{html.escape(one)}</li>" for one in self)
        return f"<ul>{items}</ul>"
