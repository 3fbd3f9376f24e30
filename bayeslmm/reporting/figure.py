"""A figure of a page: drawings side by side, what their marks mean, a caption."""

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Figure:
    """Drawings that stand side by side where there is room.

    Attributes
    ----------
    caption : str
        What is shown, for those who see it and those who do not.
    panels : tuple of Markup
        Drawings; each says in words what is seen.
    legend : tuple of (str, str)
        Class of a mark, and what it stands for.
    width : int
        Pixels that a panel needs.
    """

    caption: str
    panels: tuple[Markup, ...]
    legend: tuple[tuple[str, str], ...] = ()
    width: int = 320
    kind: str = "figure"
