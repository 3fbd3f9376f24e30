"""Figures that a notebook shows: made outside pyplot, drawn as the result of a cell.

Takes what a plot function is about to give back; gives the same object with the method
that notebooks ask for a picture. Without it, a figure that pyplot does not know is
shown by its name, and one that pyplot knows a second time at the end of the cell.
"""

from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arviz_plots import PlotCollection
    from matplotlib.figure import Figure

PICTURE = "_repr_png_"  # what IPython, JupyterLab, VS Code and marimo look for


def shown_figure(figure: "Figure") -> "Figure":
    """The figure, which a notebook now shows."""
    setattr(figure, PICTURE, partial(_png, figure))
    return figure


def shown_collection(collection: "PlotCollection") -> "PlotCollection":
    """The collection, out of pyplot's register, which a notebook now shows."""
    from matplotlib import pyplot as plt

    figure = collection.viz["figure"].item()
    plt.close(figure)
    setattr(collection, PICTURE, partial(_png, figure))
    return collection


def _png(figure: "Figure") -> bytes:
    """The figure as a PNG file."""
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
