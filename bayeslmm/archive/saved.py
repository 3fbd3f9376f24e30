"""Where a fit that was opened came from."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Saved:
    """Where a fit was read from, and what wrote it.

    Attributes
    ----------
    path : str
        File or folder.
    written : str
        Date and time, ISO 8601.
    versions : mapping
        Versions of bayeslmm, Python and the packages that made the numbers.
    """

    path: str
    written: str
    versions: Mapping[str, str]

    @property
    def said(self) -> str:
        """The same in a sentence."""
        by = self.versions.get("bayeslmm", "unknown")
        return f"read from {self.path}: written {self.written} by bayeslmm {by}"
