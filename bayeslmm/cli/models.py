"""What a command line says of a model -> the model."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from bayeslmm.api.model import Model
from bayeslmm.errors import DataWarning

if TYPE_CHECKING:
    import pandas as pd


def make_model(
    table: "pd.DataFrame | Path",
    formula: str,
    priors: str,
    family: str,
    weights: str | None,
    residual: str | None,
) -> Model:
    """The model of a file; what became of its rows is in the header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # the account of the rows says it
        return Model(
            formula,
            table,
            priors=priors,
            family=family,
            weights=weights,
            residual=residual,
        )
