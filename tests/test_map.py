"""The map for the next person, `bayeslmm/README.md`, is true."""

import re

from test_layers import PACKAGE, ROOMS

TEXT = (PACKAGE / "README.md").read_text(encoding="utf-8")


def test_every_room_is_on_the_map_in_order() -> None:
    """As far as it is built."""
    built = [
        room for room in ROOMS if [*PACKAGE.glob(room), *PACKAGE.glob(f"{room}.py")]
    ]
    table = TEXT.split("\n\n")[2]
    assert re.findall(r"`(\w+)/?`", re.sub(r"->.*", "", table)) != []
    first = [re.findall(r"`(\w+)/?`", line.split("|")[1]) for line in table.split("\n")]
    assert [room for rooms in first for room in rooms] == built


def test_every_file_named_on_the_map_is_there() -> None:
    """Files with a folder, tests by their names."""
    for path in re.findall(r"`(\w+/[\w/]+\.py)`", TEXT):
        root = PACKAGE.parent if path.startswith("tests/") else PACKAGE
        assert (root / path).is_file(), path
    for name in re.findall(r"`(test_\w+\.py)`", TEXT):
        assert (PACKAGE.parent / "tests" / name).is_file(), name
    for path in re.findall(r"`((?:design|data|formula|marginal|posterior)/\w+)`", TEXT):
        assert (PACKAGE / f"{path}.py").is_file(), path
