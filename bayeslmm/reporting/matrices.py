"""The matrices of a few rows as text, at the REML estimates where there are any."""

from typing import TYPE_CHECKING

from bayeslmm.errors import ModelError
from bayeslmm.reml.estimate import fit_reml
from bayeslmm.reml.matrices import Chosen, design_matrices

if TYPE_CHECKING:
    from bayeslmm.spec import ModelSpec

MOST_ROWS = 12  # that are printed


def matrix_sections(model: "ModelSpec", rows: Chosen = None) -> dict[str, list[str]]:
    """Titles, and the lines of each matrix; the covariances of Gaussian models only.

    Parameters
    ----------
    model : Model
        Model of a frame. If it is Gaussian it is fitted by REML.
    rows : int or sequence, optional
        Which rows; see `bayeslmm.reml.matrices.find_rows`.

    Raises
    ------
    ModelError
        If a row is unknown or comes twice, or there are too many to print.
    """
    found = design_matrices(model, rows)  # first, for its errors come before a fit
    m = len(found.y)
    if m > MOST_ROWS:
        raise ModelError(
            f"{m:,} rows of matrices are too many to print: ask for at most "
            f"{MOST_ROWS}, or draw them, bayeslmm.plot_matrices(model, rows={m}); "
            f"model.fit_reml().matrices({m}) gives them as tables."
        )
    if model.family != "gaussian":
        words = f"none: with family {model.family!r} y has no one covariance"
        return found.sections() | {"D, R and V": [words]}
    return fit_reml(model).matrices(rows).sections()
