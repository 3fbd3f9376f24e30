"""The way in from a shell, ``bayeslmm`` or ``python -m bayeslmm``.

Loads nothing before it has said what Ctrl-C and SIGTERM do: importing the command line
takes a second, and an interrupt in the middle of an import would end in a traceback.
"""

import atexit
import gc
import os
import signal
from types import FrameType

INTERRUPTED = 130  # 128 + SIGINT, what a shell expects
STARTING = b"\nbayeslmm: interrupted while starting; nothing was written.\n"
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main() -> None:
    """Run the command line."""
    gc.disable()  # until `bayeslmm.cli.garbage` turns it on again
    atexit.register(gc.freeze)  # nor does the end look for garbage once more
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup and & leave it
            signal.signal(number, _end_early)
    from bayeslmm.cli import app
    from bayeslmm.cli.interrupts import INTERRUPTS

    INTERRUPTS.listen(SIGNALS)
    app()


def _end_early(_number: int, _frame: FrameType | None) -> None:
    """End while nothing but imports has happened."""
    os.write(2, STARTING)
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
