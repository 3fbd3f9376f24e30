"""What is loaded when: nothing with the package, no sampler with REML."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bayeslmm

SAMPLERS = {"arviz", "bambi", "formulae", "matplotlib", "nutpie", "pymc", "xarray"}
AT_IMPORT = {
    *SAMPLERS,
    "h5netcdf",
    "joblib",
    "narwhals",
    "numba",
    "numpy",
    "pandas",
    "pyarrow",
    "pytensor",
    "scipy",
}

REML = """
import bayeslmm as lmm
pupils = lmm.simulate_classrooms(seed=1).data
reml = lmm.Model("score ~ edu + (edu | classroom)", pupils).fit_reml()
reml.summary(), reml.fixef(), reml.varcorr(), reml.ranef(), reml.coef(), repr(reml)
import sys
assert "scipy.optimize" not in sys.modules, "0.07 s, for three parameters"
assert "numba" not in sys.modules, "0.3 s, and half a minute on a fresh machine"
"""

COMMAND = """
import sys
import bayeslmm as lmm
lmm.simulate_classrooms(seed=1).data.to_csv("pupils.csv", index=False)
sys.argv = ["bayeslmm", "fit", "pupils.csv", "score ~ edu + (edu | classroom)",
            "--reml-only", "--out", "results"]
from bayeslmm.cli import app
try:
    app()
except SystemExit as end:
    assert not end.code, end.code
"""

PACKAGE = Path(bayeslmm.__file__).parent


def loaded_after(code: str, folder: Path) -> set[str]:
    """Top-level packages in `sys.modules` after `code` ran in a fresh process."""
    report = "import sys; print(); print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "COLUMNS": "100"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_nothing_heavy(tmp_path):
    loaded = loaded_after("import bayeslmm", tmp_path)
    assert loaded & AT_IMPORT == set()
    assert "bayeslmm" in loaded


def test_reml_never_loads_a_sampler(tmp_path):
    loaded = loaded_after(REML, tmp_path)
    assert loaded & SAMPLERS == set()
    assert "numpy" in loaded


def test_reml_on_the_command_line_never_loads_a_sampler(tmp_path):
    loaded = loaded_after(COMMAND, tmp_path)
    # the report draws its figures: matplotlib alone is wanted there
    assert loaded & (SAMPLERS - {"matplotlib"}) == set()
    assert (tmp_path / "results" / "summary.json").exists()


def test_tables_of_reml_on_the_command_line_load_no_numba(tmp_path):
    tables = COMMAND.replace(', "--out", "results"', "")
    assert tables != COMMAND
    assert "numba" not in loaded_after(tables, tmp_path)


def test_public_names_are_sorted_and_lead_somewhere():
    source = Path(bayeslmm.__file__).read_text()
    table = next(
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "_ROOM_OF"
    )
    names = [key.value for key in table.keys]
    assert names == sorted(names) == bayeslmm.__all__
    for name in names:
        assert getattr(bayeslmm, name).__name__ == name
    assert set(names) <= set(dir(bayeslmm))


def test_public_names_are_those_that_type_checkers_see():
    tree = ast.parse(Path(bayeslmm.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: statement.module.removeprefix("bayeslmm.")
        for statement in block.body
        for alias in statement.names
    }
    assert seen == bayeslmm._ROOM_OF


def test_no_public_name_is_that_of_a_room():
    rooms = {path.stem for path in PACKAGE.glob("*.py")}
    rooms |= {path.parent.name for path in PACKAGE.glob("*/*.py")}
    assert not rooms & set(bayeslmm.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'lmer'"):
        _ = bayeslmm.lmer


def test_every_public_name_has_an_example():
    import bayeslmm as lmm

    without = [one for one in lmm.__all__ if ">>>" not in getattr(lmm, one).__doc__]
    assert not without
