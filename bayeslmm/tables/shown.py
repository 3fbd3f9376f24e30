"""How results print, are drawn and saved, by rooms to the right that the facade names.

A `RemlFit` prints as reports do, and no room imports from its right: `bayeslmm.api`
names the printers here when it is imported.
"""

from collections.abc import Callable
from typing import Any, Literal

Form = Literal["text", "html"]
_PRINTERS: dict[tuple[str, Form], Callable[[Any], str]] = {}
_DRAWERS: dict[str, Callable[..., Any]] = {}
_SAVERS: dict[str, Callable[..., Any]] = {}


def print_with(kind: str, form: Form, printer: Callable[[Any], str]) -> None:
    """Let results of the class of this name print so."""
    _PRINTERS[kind, form] = printer


def shown(result: object, form: Form) -> str:
    """A result as text or HTML; its bare class where no facade was imported."""
    printer = _PRINTERS.get((type(result).__name__, form))
    return object.__repr__(result) if printer is None else printer(result)


def draw_with(kind: str, drawer: Callable[..., Any]) -> None:
    """Let results of the class of this name be drawn so."""
    _DRAWERS[kind] = drawer


def drawn(result: object, **options: object) -> Any:  # noqa: ANN401
    """The figure of a result."""
    return _DRAWERS[type(result).__name__](result, **options)


def save_with(kind: str, saver: Callable[..., Any]) -> None:
    """Let results of the class of this name be saved so."""
    _SAVERS[kind] = saver


def saved(result: object, path: object, *, force: bool) -> Any:  # noqa: ANN401
    """What was written of a result, in sentences."""
    return _SAVERS[type(result).__name__](result, path, force=force)
