"""What a command is doing, so that Ctrl-C can say what it stopped."""

from dataclasses import dataclass


@dataclass(slots=True)
class Stage:
    """The phase at hand, in words that follow "interrupted while".

    ``doing`` is set as the command goes on; ``written`` says what is on disk.
    """

    doing: str = "starting"
    written: str = "nothing was written"

    @property
    def message(self) -> str:
        """One sentence for an interrupted command."""
        return f"interrupted while {self.doing}; {self.written}."
