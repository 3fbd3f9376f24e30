"""What memory is left: of the machine, and of the control groups of the process."""

from pathlib import Path

import pytest

from bayeslmm.design.memory import available_bytes


def write(root: Path, files: dict[str, str]) -> None:
    """Files below a root."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with 8 GB to be had, and no control group."""
    write(tmp_path, {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:  8000000 kB\n"})
    return tmp_path


def test_a_machine_without_control_groups(machine: Path) -> None:
    assert available_bytes(machine) == 8.192e9


@pytest.mark.parametrize(
    ("line", "folder", "names"),
    [
        ("0::/a/b", "", ("memory.max", "memory.current", "")),
        (
            "9:cpu,memory:/a/b",
            "memory/",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
        ),
    ],
)
def test_the_narrowest_group_counts(
    machine: Path, line: str, folder: str, names: tuple[str, str, str]
) -> None:
    """That of a parent too; files that are only cached can be let go, read often too.

    Of a file that had been read twice nothing was counted, and its model was refused.
    """
    limit, used, total = names
    files = f"{total}inactive_file 70000000\n{total}active_file 30000000\n"
    outer, inner = f"sys/fs/cgroup/{folder}a/", f"sys/fs/cgroup/{folder}a/b/"
    write(
        machine,
        {
            "proc/self/cgroup": f"7:pids:/elsewhere\n{line}\n",
            inner + limit: "max\n" if not folder else str(2**63),
            inner + used: "100",
            inner + "memory.stat": "anon 5\n",
            outer + limit: "2000000000",
            outer + used: "1500000000",
            outer + "memory.stat": f"anon 5\n{files}",
        },
    )
    assert available_bytes(machine) == 6e8


def test_groups_that_say_nothing_are_passed_over(machine: Path) -> None:
    write(machine, {"proc/self/cgroup": "0::/../../x\n4:memory:/gone\nnonsense:1:\n"})
    assert available_bytes(machine) == 8.192e9


def test_this_machine_has_some() -> None:
    assert available_bytes() > 0.0
