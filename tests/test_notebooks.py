"""Every notebook runs from a fresh kernel, and README's example does what it shows."""

import re
from pathlib import Path

import pytest
from sampling import unchecked

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.py"))
SECONDS = 120  # CONVENTIONS.md, section 12
EXAMPLE_LINES = 12


@pytest.mark.notebook
@pytest.mark.filterwarnings("ignore:::jupyter_client")  # third-party, while it starts
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_from_a_fresh_kernel(path, tmp_path):
    import jupytext
    import nbclient

    notebook = jupytext.read(path)
    notebook = nbclient.NotebookClient(
        notebook, timeout=SECONDS, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert any("## What was learnt" in cell.source for cell in notebook.cells)


def example() -> str:
    """The first Python block of README."""
    return re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1]


def test_readme_example_runs_and_shows_the_table_it_promises(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with unchecked():
        exec(compile(example(), "README.md", "exec"), {})
    assert (tmp_path / "shrinkage.png").stat().st_size > 0
    shown = (ROOT / "README.md").read_text()
    printed = capsys.readouterr().out.splitlines()
    labels = [line.split()[0] for line in printed if line and line[0] != "-"]
    assert {"Intercept", "edu", "1|classroom_sigma", "sigma"} <= set(labels)
    for label in labels:
        assert f"\n{label} " in shown


def test_what_readme_asks_of_a_fit_is_answered(sleepstudy, capsys):
    del sleepstudy  # skips where there are no public data
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    code = "import bayeslmm as lmm\n" + blocks[1]
    with unchecked():
        exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    for words in ("HalfNormal(sigma=10)", "adjusted", "conditional", "308", "335"):
        assert words in printed


def test_readme_example_is_short():
    assert len(example().strip().splitlines()) <= EXAMPLE_LINES
