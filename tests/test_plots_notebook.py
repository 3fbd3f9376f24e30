"""A fresh notebook kernel shows every figure: one picture and nothing else."""

import pytest

REML = """
import sys
import bayeslmm as lmm
data = lmm.simulate_classrooms(6, 20, seed=4).data
model = lmm.Model("score ~ edu + (edu | classroom)", data)
reml = model.fit_reml()
"""
WITHOUT_PYPLOT = (
    "lmm.plot_shrinkage(reml)",
    "lmm.plot_fits(reml)",
    "lmm.plot_matrices(reml)",
    "lmm.plot_two_stage(reml.model)",
    "lmm.plot_residuals(reml)",
    "lmm.plot_pooling(reml)",
    "lmm.plot_shrinkage_path(reml)",
    "lmm.plot_ranef(reml)",
)
UNKNOWN = 'assert "matplotlib.pyplot" not in sys.modules'
# Sampling imports ArviZ, which imports pyplot: from here on it shows its own figures.
SAMPLE = "post = model.sample(draws=100, chains=2, seed=1, progress=False)"
CALLS = (
    "lmm.plot_shrinkage(reml, post)",
    "lmm.plot_forest(post, reml)",
    "lmm.plot_posterior(post, reml)",
    "lmm.plot_rank(post)",
    "%matplotlib inline\n"
    "import matplotlib.pyplot as plt\n"
    "fig, ax = plt.subplots()\n"
    "lmm.plot_shrinkage(reml, post, ax=ax)",
    "lmm.plot_fits(reml, post, levels=3)",
    "lmm.plot_trace(post)",
)


def run(cells: list[str]) -> list:
    """Code cells of a notebook, executed in a fresh kernel."""
    import nbclient
    import nbformat

    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    return nbclient.NotebookClient(notebook, timeout=200).execute().cells


@pytest.mark.notebook
@pytest.mark.filterwarnings("ignore:::jupyter_client")  # third-party, while it starts
@pytest.mark.timeout(300)
def test_every_figure_is_shown_once_and_nothing_else_is_printed():
    cells = run([REML, *WITHOUT_PYPLOT, UNKNOWN, SAMPLE, *CALLS])
    for cell in cells:
        if cell.source in (*WITHOUT_PYPLOT, *CALLS):
            assert len(cell.outputs) == 1, (cell.source, cell.outputs)
            data = cell.outputs[0].data
            assert len(data["image/png"]) > 5000, cell.source
            # what a front end that cannot show pictures says instead
            assert set(data) == {"image/png", "text/plain"}
