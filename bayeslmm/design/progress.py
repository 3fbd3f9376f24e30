"""One bar for everything that takes long: on a terminal by rich, in a notebook as HTML.

Takes a title and how much there is to do; gives a function that is told how much is
done. A notebook keeps what was shown last: there the bar ends as one quiet line. Rich's
own bars need ipywidgets there, and leave a warning and an empty output without them.
"""

import html
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# Seconds between two pictures of a bar in a notebook: each is a message to the browser.
REFRESH = 0.2
MINUTE = 60.0

Advance = Callable[[int], None]


@contextmanager
def progress_bar(
    title: str, total: int | None, *, unit: str = "", always: bool = False
) -> Iterator[Advance]:
    """A bar where somebody sees it.

    Parameters
    ----------
    title : str
        What is being done.
    total : int or None
        How much there is to do; None if that is not known.
    unit : str, optional
        Of what; percent are shown without one.
    always : bool, default False
        On a stream that is no terminal too, where a bar is one line at the end.

    Yields
    ------
    callable
        Takes how much is done until now.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_jupyter:
        bar = NotebookBar(title, total, unit)
        try:
            yield bar.advance
        finally:
            bar.end()
        return
    with _rich_bar(console, total, unit, shown=always or console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)


def in_notebook() -> bool:
    """Whether what is shown goes to a notebook."""
    from rich.console import Console

    return Console(stderr=True).is_jupyter


def _rich_bar(console: "Console", total: int | None, unit: str, *, shown: bool) -> Any:  # noqa: ANN401
    """Rich's bar, which is gone when all is done."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    counted = (MofNCompleteColumn(), TextColumn(f"{unit},")) if unit else ()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *(counted or (TaskProgressColumn(),)),
        *((TimeRemainingColumn(), TextColumn("left")) if total else ()),
        console=console,
        transient=console.is_terminal,
        disable=not shown,
    )


@dataclass(slots=True)
class NotebookBar:
    """A bar in a notebook: one output, which is replaced and ends as one line."""

    title: str
    total: int | None
    unit: str = ""
    done: int = 0
    started: float = field(default_factory=time.monotonic)
    shown: float = -REFRESH
    handle: Any = None

    def advance(self, done: int) -> None:
        """Show how much is done, not more often than a reader can see."""
        self.done = done
        now = time.monotonic()
        if now - self.shown >= REFRESH:
            self.shown = now
            self._show(_bar_html(self.words, self.done, self.total, self._left(now)))

    def end(self) -> None:
        """One line where the bar was; nothing where there was none."""
        if self.handle is not None:
            self._show(f'<span style="opacity:.7">{html.escape(self.words)}</span>')

    @property
    def words(self) -> str:
        """How much is done: ``rows left out: 45 of 90``."""
        if not self.unit and self.total:
            return f"{self.title}: {self.done / self.total:.0%}"
        of = "" if self.total is None else f" of {self.total:,}"
        return f"{self.title}: {self.done:,}{of} {self.unit}".rstrip()

    def _left(self, now: float) -> str:
        """How long it will take yet; empty while nobody can know."""
        if not self.total or not 0 < self.done < self.total:
            return ""
        seconds = (now - self.started) * (self.total - self.done) / self.done
        if seconds < MINUTE:
            return f"{seconds:.0f} s left"
        return f"{seconds / MINUTE:.0f} min left"

    def _show(self, shown: str) -> None:
        """Make the output, or replace what is there."""
        from IPython.display import display

        bundle = {"text/plain": self.words, "text/html": shown}
        if self.handle is None:
            self.handle = display(bundle, raw=True, display_id=True)
        else:
            self.handle.update(bundle, raw=True)


def _bar_html(words: str, done: int, total: int | None, left: str) -> str:
    """Words and the browser's own bar, which knows light from dark."""
    ends = f' max="{total}" value="{done}"' if total else ""
    bar = f'<progress{ends} style="width:14em;vertical-align:middle"></progress>'
    after = f" {html.escape(left)}" if left else ""
    return f"<span>{html.escape(words)} {bar}{after}</span>"
