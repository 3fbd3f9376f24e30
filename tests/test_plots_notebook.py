"""A fresh notebook kernel shows every figure: one picture and nothing else."""

import pytest

SETUP = """
import bayeslmm as lmm
data = lmm.simulate_classrooms(12, 20, seed=4).data
model = lmm.Model("score ~ edu + (edu | classroom)", data)
reml = model.fit_reml()
post = model.sample(draws=100, chains=2, seed=1, progress=False)
import sys
assert "matplotlib.pyplot" not in sys.modules
"""
CALLS = (
    "lmm.plot_shrinkage(reml, post)",
    "lmm.plot_shrinkage(reml, effects=('edu',))",
    "lmm.plot_fits(reml, post)",
    "lmm.plot_ranef(reml)",
    "lmm.plot_ranef(post)",
    "lmm.plot_forest(post, reml)",
    "lmm.plot_posterior(post, reml)",
    "lmm.plot_trace(post, reml)",
    "lmm.plot_rank(post)",
    # pyplot is there now, and its own figures are shown by it
    "lmm.plot_shrinkage(reml, post) ",
    "fig, ax = plt.subplots(); lmm.plot_shrinkage(reml, post, ax=ax)",
)


def run(cells: list[str]) -> list:
    """Code cells of a notebook, executed in a fresh kernel."""
    import nbclient
    import nbformat

    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    return nbclient.NotebookClient(notebook, timeout=200).execute().cells


@pytest.mark.filterwarnings("ignore:::jupyter_client")  # third-party, while it starts
@pytest.mark.timeout(300)
def test_every_figure_is_shown_once_and_nothing_else_is_printed():
    pyplot = "import matplotlib.pyplot as plt"
    cells = run([SETUP, *CALLS[:-2], pyplot, *CALLS[-2:]])
    for cell in cells:
        if not cell.source.strip().startswith(("lmm.plot", "fig, ax")):
            continue
        kinds = [output.output_type for output in cell.outputs]
        assert len(kinds) == 1, (cell.source, cell.outputs)
        data = cell.outputs[0].data
        assert len(data["image/png"]) > 5000, cell.source
        # the words that a front end without pictures would show instead
        assert set(data) <= {"image/png", "text/plain"}


@pytest.mark.filterwarnings("ignore:::jupyter_client")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("call", CALLS[:1])
def test_the_kernel_has_not_imported_pyplot_for_it(call):
    (_, _, loaded) = run([SETUP, call, "'matplotlib.pyplot' in sys.modules"])
    assert loaded.outputs[0].data["text/plain"] == "False"
