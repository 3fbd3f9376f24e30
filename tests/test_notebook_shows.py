"""What a notebook shows of our objects, in a fresh kernel."""

import pytest

CELLS = [
    "import bayeslmm as lmm\n"
    "pupils = lmm.simulate_classrooms(8, 12, seed=1).data\n"
    "fit = lmm.fit('score ~ edu + (1 | classroom)', pupils, draws=200, seed=1)",
    "fit.model",
    "fit.reml",
    "fit.posterior",
    "fit",
    "fit.reading()",
    "fit.compare()",
    "fit.posterior.ranef()",
]


@pytest.mark.notebook
@pytest.mark.filterwarnings("ignore:::jupyter_client")  # third-party, while it starts
def test_every_object_shows_as_a_card_or_a_table(tmp_path):
    import nbclient
    import nbformat

    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS]
    )
    nbclient.NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    for cell in notebook.cells[1:]:
        (output,) = cell.outputs
        assert output.output_type == "execute_result", cell.source
        html = output.data["text/html"]
        assert "object at 0x" not in html + output.data["text/plain"]
        words = "table" if cell.source != "fit.reading()" else "<li>"
        assert words in html, cell.source
    shown = notebook.cells[4].outputs[0].data["text/html"]
    for words in (
        "score ~ edu",
        "96 rows, all used",
        "95% ETI",
        "Reading",
        "Diagnosis",
    ):
        assert words in shown
