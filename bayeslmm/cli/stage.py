"""What a command is doing, so that Ctrl-C can say what it stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Stage:
    """The phase at hand, in words that follow "interrupted while".

    ``doing`` is set as the command goes on; ``written`` says what is on disk;
    ``unwinds`` whether an interrupt must be raised rather than end the process, because
    draws can be kept or files are half written; ``interrupted`` whether there was one,
    ``resent`` whether it comes once more, because a library swallowed it.
    """

    doing: str = "starting"
    written: str = "nothing was written"
    unwinds: bool = False
    interrupted: bool = False
    resent: bool = False

    @property
    def message(self) -> str:
        """One sentence for an interrupted command."""
        return f"interrupted while {self.doing}; {self.written}."

    @contextmanager
    def unwinding(self) -> Iterator[None]:
        """A part that an interrupt must unwind.

        Raises
        ------
        KeyboardInterrupt
            At its end, if there was an interrupt that another library swallowed.
        """
        self.unwinds = True
        try:
            yield
        finally:
            self.unwinds = False
        if self.interrupted:
            raise KeyboardInterrupt
