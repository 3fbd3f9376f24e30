"""What every command shares: the screen it prints on, and how it ends with an error."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from bayeslmm.cli.interrupts import INTERRUPTS
from bayeslmm.cli.stage import Stage
from bayeslmm.errors import BayesLMMError, OutputError, SamplingInterruptedError

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 100


def shell_console() -> "Console":
    """Standard output through rich; a file or pipe has room for whole tables."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        return Console(width=PIPE_WIDTH)
    return console


@contextmanager
def messages() -> Iterator[Stage]:
    """Turn errors of ours into a message on stderr, and Ctrl-C into its exit code."""
    stage = Stage()
    INTERRUPTS.begin(stage)
    try:
        yield stage
    except SamplingInterruptedError as error:
        INTERRUPTS.end(f"{error} Interrupted: {stage.written}.")
    except KeyboardInterrupt:
        INTERRUPTS.end(stage.message)
    except Exception as error:
        if stage.interrupted:  # a library made another error of the interrupt
            INTERRUPTS.end(stage.message)
        if not isinstance(error, BayesLMMError):
            raise
        typer.echo(f"bayeslmm: {error}", err=True)
        raise typer.Exit(2 if not isinstance(error, OutputError) else 3) from None
