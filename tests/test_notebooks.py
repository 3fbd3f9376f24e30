"""Every notebook runs from a fresh kernel and shows what it was saved with.

A notebook that differs is run again by the command in README, looked at, and committed.
README's example does what it shows.
"""

import re
from pathlib import Path

import nbformat
import pytest
from notebook_cases import (
    MACHINE_PATH,
    alternatives,
    code_cells,
    difference,
    loose_numbers,
    noise,
    texts,
)
from sampling import unchecked

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS = 120  # CONVENTIONS.md, section 12
BYTES = 1e6  # the same
EXAMPLE_LINES = 12

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    """A notebook as it was saved."""
    return nbformat.read(path, as_version=4)


@pytest.mark.notebook
@pytest.mark.filterwarnings("ignore:::jupyter_client")  # third-party, while it starts
@every_notebook
def test_notebook_shows_what_was_saved(path, tmp_path, monkeypatch):
    import nbclient

    monkeypatch.delenv("MPLBACKEND", raising=False)  # or its pictures are not shown
    monkeypatch.delenv("COLUMNS", raising=False)  # a worker of pytest has its own
    saved, new = read(path), read(path)
    nbclient.NotebookClient(
        new, timeout=SECONDS, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    for number, cells in enumerate(
        zip(code_cells(saved), code_cells(new), strict=True)
    ):
        assert not noise(cells[1]), f"code cell {number}"
        assert difference(*cells) is None, f"code cell {number}: {cells[0].source}"


@every_notebook
def test_notebook_is_saved_as_it_should_be(path):
    assert path.stat().st_size < BYTES
    assert re.fullmatch(r"\d\d_[a-z0-9_]+", path.stem)
    notebook = read(path)
    assert notebook.cells[0].source.startswith("# ")
    ends = [
        cell.source for cell in notebook.cells if "## What was learnt" in cell.source
    ]
    assert len(ends) == 1
    runs = [cell.execution_count for cell in code_cells(notebook)]
    assert runs == list(range(1, len(runs) + 1)), "not run once from top to bottom"
    for cell in code_cells(notebook):
        assert not noise(cell), cell.source
        assert all(alternatives(cell)), f"a picture without words: {cell.source}"
        for text in [cell.source, *texts(cell)]:
            assert not MACHINE_PATH.search(text), text
    assert not loose_numbers(notebook), "numbers of the prose that no cell holds"


def test_readme_links_every_notebook_in_reading_order():
    linked = re.findall(r"\]\((notebooks/[^)]*\.ipynb)\)", README.read_text())
    there = [path.relative_to(ROOT).as_posix() for path in NOTEBOOKS]
    assert sorted(set(linked)) == there
    assert list(dict.fromkeys(linked)) == there


def cell(*outputs, tags=(), source=""):
    """A code cell that shows texts, and a picture for None."""
    shown = [
        {"output_type": "stream", "name": "stdout", "text": text}
        if text is not None
        else {
            "output_type": "display_data",
            "data": {"image/png": "aGk="},
            "metadata": {},
        }
        for text in outputs
    ]
    made = nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})
    made.outputs = [nbformat.from_dict(output) for output in shown]
    return made


@pytest.mark.parametrize(
    ("saved", "new"),
    [
        ("sd 3.070", "sd   3.071\n"),  # one in the last digit; columns may move
        ("sd -0.00", "sd 0.00"),
        ("p 1.2e-05", "p 1.3e-05"),
        ("3 x 20 rows", "3 x 20 rows"),
        ("<Plot at 0x7f3a>", "<Plot at 0x10c4>"),
    ],
)
def test_outputs_that_agree(saved, new):
    assert difference(cell(saved), cell(new)) is None


@pytest.mark.parametrize(
    ("saved", "new", "words"),
    [
        ("sd 3.070", "sd 3.072", "saved '3.070', now '3.072', after 'sd'"),
        ("sd 3.070", "sd 3.07", "now '3.07'"),
        ("3 levels", "4 levels", "saved '3', now '4'"),
        ("p 1.2e-05", "p 1.2e-04", "1.2e-04"),
        ("rises by 1.5", "falls by 1.5", "rises"),
        ("one line", "one line more", "(nothing)"),
        ("x1 is 2.5", "x2 is 2.5", "x1"),
    ],
)
def test_outputs_that_differ(saved, new, words):
    assert words in difference(cell(saved), cell(new))


def test_of_draws_words_are_compared():
    tags = ["draws"]
    assert difference(cell("mean 3.1", tags=tags), cell("mean 4.9", tags=tags)) is None
    assert difference(cell("mean 3.1", tags=tags), cell("sd 3.1", tags=tags))


def test_a_picture_has_words_for_those_who_cannot_see_it():
    shown = cell(None)
    assert alternatives(shown) == [""]
    shown.outputs[0].metadata["image/png"] = {"alt": "a curve with one top"}
    assert alternatives(shown) == ["a curve with one top"]


def test_a_picture_that_is_gone_is_a_difference():
    assert difference(cell("3.1", None), cell("3.1", None)) is None
    assert "1 pictures saved, 0 now" in difference(cell("3.1", None), cell("3.1"))


def test_numbers_of_the_prose_must_be_computed_or_asserted():
    words = "The SD is 3.07, and ML has 2.50 (https://doi.org/10.1093/biomet)."
    prose = nbformat.v4.new_markdown_cell(words)
    held = cell("sd 3.07", source="assert round(ml, 2) == 2.50")
    notebook = nbformat.v4.new_notebook(cells=[prose, held])
    assert loose_numbers(notebook) == []
    notebook.cells[0].source += " The truth is 2.94."
    assert loose_numbers(notebook) == ["2.94"]


def test_noise_is_found():
    warned = cell()
    warned.outputs = [
        nbformat.from_dict(
            {"output_type": "stream", "name": "stderr", "text": "FitWarning: x\n"}
        )
    ]
    assert noise(warned) == ["FitWarning: x"]


@pytest.mark.parametrize("text", ["/home/me/x.csv", "see C:\\data", '"/tmp/x"'])
def test_paths_of_one_machine_are_found(text):
    assert MACHINE_PATH.search(text)
    assert not MACHINE_PATH.search(
        "https://doi.org/10.18637/jss and a/b in notebooks/x"
    )


def example() -> str:
    """The first Python block of README."""
    return re.search(r"```python\n(.*?)```", README.read_text(), re.S)[1]


def test_readme_example_runs_and_shows_the_table_it_promises(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with unchecked():
        exec(compile(example(), "README.md", "exec"), {})
    assert (tmp_path / "shrinkage.png").stat().st_size > 0
    shown = README.read_text()
    printed = capsys.readouterr().out.splitlines()
    labels = [line.split()[0] for line in printed if line and line[0] != "-"]
    assert {"Intercept", "edu", "1|classroom_sigma", "sigma"} <= set(labels)
    for label in labels:
        assert f"\n{label} " in shown


def test_what_readme_asks_of_a_fit_is_answered(sleepstudy, capsys):
    del sleepstudy  # skips where there are no public data
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    code = "import bayeslmm as lmm\n" + blocks[1]
    with unchecked():
        exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    for words in ("HalfNormal(sigma=10)", "adjusted", "conditional", "308", "335"):
        assert words in printed


def test_readme_example_is_short():
    assert len(example().strip().splitlines()) <= EXAMPLE_LINES
