"""What Ctrl-C and SIGTERM do, from the moment that the command line is loaded.

Takes the `Stage` of the command at hand. Where nothing is lost the process ends there
and then: an exception raised between two instructions of another library (a compiler, a
lock, a finaliser) may be swallowed, or leave it waiting for ever. Where draws can be
kept, or files are half written, the interrupt is raised as `KeyboardInterrupt`.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import typer

from bayeslmm.cli.stage import Stage

INTERRUPTED = 130  # 128 + SIGINT, what a shell expects
PATIENCE = 3.0  # seconds until it is said that the end is coming
AGAIN = 0.05  # seconds until an interrupt that was swallowed is sent again
STILL = "\nbayeslmm: interrupted while {}; ending. Once more ends it at once.\n"


class Interrupts:
    """Signals that end a command, and the stage that they find it in."""

    def __init__(self) -> None:
        self.stage, self._over, self._listening = Stage(), threading.Event(), False

    def listen(self, signals: Iterable[int]) -> None:
        """Answer these signals from now on, unless they are ignored."""
        self._listening = True
        others = sys.unraisablehook

        def unraisable(what: "sys.UnraisableHookArgs") -> None:
            if what.exc_type is KeyboardInterrupt and self.stage.interrupted:
                self._send_again()
            else:
                others(what)

        sys.unraisablehook = unraisable
        for number in signals:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._answer)

    def _send_again(self) -> None:
        """The interrupt met a callback or finaliser of a library, which ends it."""
        self._over.set()
        self._over = threading.Event()
        self.stage.resent = True
        threading.Timer(AGAIN, os.kill, (os.getpid(), signal.SIGINT)).start()

    def begin(self, stage: Stage) -> None:
        """A command begins, of this stage."""
        self.stage, self._over = stage, threading.Event()

    def heard(self) -> None:
        """What an interrupt stopped has ended, and the command goes on with less."""
        self.stage.interrupted = False
        self._over.set()

    def end(self, message: str) -> NoReturn:
        """End the process with a message; what was printed is kept.

        Threads that still compute are not waited for. Where nobody listens, because
        the command runs inside another program, its exit code is raised.

        Raises
        ------
        typer.Exit
            With the code of an interrupt.
        """
        self._over.set()
        if not self._listening:
            typer.echo(f"\nbayeslmm: {message}", err=True)
            raise typer.Exit(INTERRUPTED) from None
        with suppress(Exception):
            sys.stdout.flush()  # fails where it was being written to
        _write(f"\nbayeslmm: {message}\n")
        os._exit(INTERRUPTED)

    def _answer(self, _number: int, _frame: FrameType | None) -> None:
        """End the command as its stage allows; a second signal ends it at once."""
        stage = self.stage
        if not stage.unwinds or (stage.interrupted and not stage.resent):
            self.end(stage.message)
        stage.resent = False
        stage.interrupted = True
        threading.Thread(target=self._say_if_slow, daemon=True).start()
        raise KeyboardInterrupt

    def _say_if_slow(self) -> None:
        """Say that it was heard where the end takes long."""
        if not self._over.wait(PATIENCE):
            _write(STILL.format(self.stage.doing))


def _write(words: str) -> None:
    """Words to standard error, past its buffer, which may be locked."""
    with suppress(OSError, ValueError):
        os.write(2, words.encode(errors="replace"))


INTERRUPTS = Interrupts()
