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
BUNDLE = "_repr_mimebundle_"  # the same with words for those who cannot see it


def shown_figure(figure: "Figure") -> "Figure":
    """The figure, which a notebook now shows."""
    _show(figure, figure)
    return figure


def shown_collection(collection: "PlotCollection") -> "PlotCollection":
    """The collection, out of pyplot's register, which a notebook now shows."""
    from matplotlib import pyplot as plt

    figure = collection.viz["figure"].item()
    plt.close(figure)
    _show(collection, figure)
    return collection


def _show(shown: object, figure: "Figure") -> None:
    """Give an object the methods that notebooks ask for a picture."""
    setattr(shown, PICTURE, partial(_png, figure))
    setattr(shown, BUNDLE, partial(_bundle, figure))


def _png(figure: "Figure") -> bytes:
    """The figure as a PNG file."""
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _bundle(
    figure: "Figure", include: object = None, exclude: object = None
) -> tuple[dict[str, bytes], dict[str, dict[str, str]]]:
    """The file with its alternative text, which is the title of the figure."""
    del include, exclude  # there is one format
    titles = [figure.get_suptitle(), *(ax.get_title() for ax in figure.axes)]
    words = " ".join("; ".join(filter(None, titles)).split())
    return {"image/png": _png(figure)}, {"image/png": {"alt": words or "figure"}}
