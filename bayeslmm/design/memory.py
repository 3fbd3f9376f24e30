"""Whether something fits into memory, asked before it is made.

Takes a number of bytes; raises with the numbers if this machine has less.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from bayeslmm.errors import DataError

# Of the memory that is available, the part that one thing may take.
SHARE = 0.9
# Limit and use of control groups of both versions, and what of it can be let go: files
# that are only cached, which are active once they have been read twice.
GROUPS = {
    "v2": ("memory.max", "memory.current", ("inactive_file", "active_file")),
    "v1": (
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_inactive_file", "total_active_file"),
    ),
}


def available_bytes(root: Path = Path("/")) -> float:
    """Memory that can be had now; infinite where the system does not say.

    Of the machine, and of the control groups that this process is in: a container or a
    job of a cluster may be given less than there is.
    """
    return min([_machine_bytes(root), *_group_bytes(root)])


def _machine_bytes(root: Path) -> float:
    """What the machine has left."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        found = {line.split(":")[0]: line.split()[1] for line in lines}
        return 1024.0 * int(found["MemAvailable"])
    except (OSError, KeyError, IndexError, ValueError):
        pass
    try:
        return 0.8 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return float("inf")


def _group_bytes(root: Path) -> Iterator[float]:
    """What each control group has left that has a limit, up to the outermost."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, own = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        limit, used, idle = GROUPS["v1" if controllers else "v2"]
        place = mount / own.lstrip("/")
        while place.is_relative_to(mount):
            try:
                room = float((place / limit).read_text())  # "max" is no number
                room -= float((place / used).read_text())
                stat = (place / "memory.stat").read_text().splitlines()
                room += sum(
                    float(one.split()[1]) for one in stat if one.split()[0] in idle
                )
                yield max(room, 0.0)
            except (OSError, ValueError, IndexError):
                pass
            place = place.parent


def check_fits(n_bytes: float, what: str, advice: str = "") -> None:
    """Raise `DataError` if `what`, of that many bytes, is beyond memory."""
    available = available_bytes()
    if n_bytes > SHARE * available:
        advice = advice or "Group by a coarser column, or use a larger machine."
        raise DataError(
            f"{what} would take {n_bytes / 1e9:.1f} GB, and {available / 1e9:.1f} GB "
            f"of memory are available. {advice}"
        )
