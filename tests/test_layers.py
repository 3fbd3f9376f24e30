"""Rooms import only from their left, and heavy libraries only inside functions."""

import ast
import functools
import sys
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "bayeslmm"

# The order of DESIGN.md, section 3: do not edit it to make a test pass.
ROOMS = (
    "errors",
    "formula",
    "covariance",
    "data",
    "design",
    "families",
    "marginal",
    "priors",
    "spec",
    "graph",
    "simulation",
    "tables",
    "reml",
    "posterior",
    "comparison",
    "planning",  # `power` in DESIGN.md, which is the public function in it
    "plots",
    "archive",
    "reporting",
    "api",
    "cli",
)
# A leaf: imports errors only, and may be imported by those who show examples.
LEAF, LEAF_READERS = "datasets", ("cli",)

NUMERIC_ROOMS = ("covariance", "marginal", "design/arrays.py")
NUMERIC = {"numpy", "scipy", "numba", "jaxtyping"}
HEAVY = {
    "arviz",
    "arviz_base",
    "arviz_plots",
    "arviz_stats",
    "bambi",
    "formulae",
    "h5netcdf",
    "matplotlib",
    "nutpie",
    "pymc",
    "pytensor",
    "xarray",
}

FILES = sorted({*PACKAGE.rglob("*.py")} - {PACKAGE / "__init__.py"})


@dataclass(frozen=True)
class Import:
    """One imported module, and where: line, and whether inside a function."""

    module: str
    name: str
    line: int
    in_function: bool
    for_types: bool


def imports(tree: ast.AST) -> tuple[Import, ...]:
    """Every import below a node; `from bayeslmm import x` counts as `bayeslmm.x`."""
    return tuple(_walk(tree, False, False))


def in_files(found: Iterable[Import], files: Container[str]) -> Iterator[Import]:
    """Imports, ``from a.b import c`` as ``a.b.c`` if that is one of the `files`."""
    for item in found:
        whole = f"{item.module}.{item.name}"
        yield replace(item, module=whole) if whole in files else item


def _walk(node: ast.AST, in_function: bool, for_types: bool) -> Iterator[Import]:
    """Imports below `node`, with what encloses them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            continue  # an expression imports nothing
        for module, name in _modules(child):
            yield Import(module, name, child.lineno, in_function, for_types)
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from _walk(
            child,
            in_function or is_function,
            for_types or _is_type_checking(child),
        )


def _modules(node: ast.AST) -> list[tuple[str, str]]:
    """Modules that one import statement asks for, with what it takes from each."""
    if isinstance(node, ast.Import):
        return [(alias.name, "") for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        if node.level:
            return [("." * node.level + (node.module or ""), "")]
        if node.module == "bayeslmm":
            return [(f"bayeslmm.{alias.name}", "") for alias in node.names]
        return [(node.module, alias.name) for alias in node.names]
    return []


def _is_type_checking(node: ast.AST) -> bool:
    """Whether a node is `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


@functools.cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """The imports of a file, read once."""
    return imports(ast.parse(path.read_text()))


def room_of(path: Path) -> str:
    """Room of a file of the package; the way in from a shell is of the last one."""
    name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "cli" if name == "__main__" else name


def violations(room: str, imported: Iterable[Import]) -> list[str]:
    """What a file of `room` imports although it may not."""
    found = []
    for item in imported:
        if item.module.startswith("."):
            found.append(f"line {item.line}: relative import")
        if not item.module.startswith("bayeslmm."):
            continue
        target = item.module.split(".")[1]
        if not _is_left(target, room):
            found.append(f"line {item.line}: {room} imports {target}")
    return found


def _is_left(target: str, room: str) -> bool:
    """Whether `room` may import `target`: itself, or a room to its left."""
    if target == LEAF:
        return room == LEAF or room in LEAF_READERS
    if room == LEAF:
        return target == "errors"
    return target in ROOMS and ROOMS.index(target) <= ROOMS.index(room)


def test_every_file_belongs_to_a_room():
    assert {room_of(path) for path in FILES} == {*ROOMS, LEAF}


@pytest.mark.parametrize("room", [*ROOMS, LEAF])
def test_imports_follow_the_data(room):
    found = [
        f"{path.relative_to(PACKAGE)}, {line}"
        for path in FILES
        if room_of(path) == room
        for line in violations(room, imports_of(path))
    ]
    assert found == []


@pytest.mark.parametrize("room", [*ROOMS, LEAF])
def test_heavy_libraries_are_imported_where_they_are_used(room):
    heavy = [
        f"{path.relative_to(PACKAGE)}, line {item.line}: {item.module}"
        for path in FILES
        if room_of(path) == room
        for item in imports_of(path)
        if item.module.split(".")[0] in HEAVY
        and not (item.in_function or item.for_types)
    ]
    assert heavy == []


def test_no_files_import_each_other_in_a_circle():
    """At module level; a room's `__init__` counts as what it is asked for."""
    names = {module_name(path): path for path in FILES}
    graph = {
        name: [
            item.module
            for item in in_files(imports_of(path), names)
            if item.module in names and not (item.in_function or item.for_types)
        ]
        for name, path in names.items()
    }
    assert any(graph.values())
    TopologicalSorter(graph).prepare()  # CycleError names the files


def module_name(path: Path) -> str:
    """The dotted name of a file of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def test_numeric_rooms_need_numpy_and_scipy_only():
    others = [
        f"{path.relative_to(PACKAGE)}:{item.line} {item.module}"
        for path in FILES
        if str(path.relative_to(PACKAGE)).startswith(NUMERIC_ROOMS)
        for item in imports_of(path)
        if item.module.split(".")[0]
        not in {*NUMERIC, "bayeslmm", *sys.stdlib_module_names}
    ]
    assert others == []


@pytest.mark.parametrize(
    ("room", "source", "lines"),
    [
        ("design", "from bayeslmm.spec import ModelSpec", 1),
        ("design", "def f():\n    import bayeslmm.reml.estimate", 1),
        ("design", "from bayeslmm import comparison", 1),
        ("design", "from . import arrays", 1),
        ("design", "import bayeslmm.utils", 1),
        ("datasets", "from bayeslmm.design import Design", 1),
        ("spec", "from bayeslmm.datasets import load_data", 1),
        ("design", "if TYPE_CHECKING:\n    from bayeslmm.spec import ModelSpec", 1),
        ("reml", "class RemlFit:\n    import bayeslmm.plots", 1),
        ("reml", "class Other:\n    def f(self):\n        import bayeslmm.plots", 1),
        ("reml", "class RemlFit:\n    def f(self):\n        import bayeslmm.plots", 1),
        ("design", "from bayeslmm.errors import DataError\nimport numpy", 0),
        ("cli", "from bayeslmm.datasets import load_data", 0),
    ],
)
def test_the_check_sees_what_it_should(room, source, lines):
    assert len(violations(room, imports(ast.parse(source)))) == lines
