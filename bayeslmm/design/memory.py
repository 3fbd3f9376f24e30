"""Whether something fits into memory, asked before it is made.

Takes a number of bytes; raises with the numbers if this machine has less.
"""

import os
from pathlib import Path

from bayeslmm.errors import DataError

# Of the memory that is available, the part that one thing may take.
SHARE = 0.9


def available_bytes() -> float:
    """Memory that can be had now; infinite where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = {line.split(":")[0]: line.split()[1] for line in lines}
        return 1024.0 * int(found["MemAvailable"])
    except (OSError, KeyError, IndexError, ValueError):
        pass
    try:
        return 0.8 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return float("inf")


def check_fits(n_bytes: float, what: str, advice: str = "") -> None:
    """Raise `DataError` if `what`, of that many bytes, is beyond memory."""
    available = available_bytes()
    if n_bytes > SHARE * available:
        advice = advice or "Group by a coarser column, or use a larger machine."
        raise DataError(
            f"{what} would take {n_bytes / 1e9:.1f} GB, and {available / 1e9:.1f} GB "
            f"of memory are available. {advice}"
        )
