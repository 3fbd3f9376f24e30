"""What is predicted of a row, and what it needs beside its linear predictor.

Takes the kind of a prediction and new data; gives numbers of trials and precision
weights. The same for `RemlFit` and `Posterior`.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float

from bayeslmm.design.evaluate import NumericColumn, RawRows, evaluate_atom
from bayeslmm.design.frame import open_frame
from bayeslmm.design.used import read_columns, read_weights
from bayeslmm.errors import DataError, ModelError, is_choice
from bayeslmm.families import FAMILIES
from bayeslmm.spec import ModelSpec

PredictionKind = Literal["mean", "response", "linear"]


def check_prediction(family: str, kind: str) -> None:
    """Raise `ModelError` if a kind of prediction is unknown or not for the family."""
    if not is_choice(kind, ("mean", "response", "linear")):
        raise ModelError(
            f"Unknown kind of prediction {kind!r}: use 'mean' (expected response), "
            "'response' (a new response, with its noise) or 'linear' (its predictor)."
        )
    if kind == "response" and family != "gaussian":
        raise ModelError(
            f"kind={kind!r} is not available for family {family!r}. Use kind='mean', "
            "or bambi's own predict: model.to_bambi().predict(post.idata, ...)."
        )


def new_trials(model: ModelSpec, newdata: object) -> Float[np.ndarray, " m"] | None:
    """Number of trials of new rows, None for a family without.

    Raises
    ------
    DataError
        If the new data lack a column that says it, or it is no number of trials.
    """
    if not FAMILIES[model.family].trials:
        return None
    atom, frame = model.formula.trials, open_frame(newdata)
    assert atom is not None, "a family with trials was fitted to a response with trials"
    lacking = [name for name in atom.columns if name not in frame.columns]
    if lacking:
        raise DataError(
            f"The expected response counts successes out of {atom.label}, but the new "
            f"data have no column {lacking[0]!r}. Add the number of trials of each row "
            "(1 gives the probability), or use kind='linear'."
        )
    columns = read_columns(frame, model.formula, tuple(atom.columns))
    rows = RawRows(columns, len(frame), model.recipe.coding.memory, model.formula.text)
    column = evaluate_atom(atom, rows)
    trials = column.values[:, 0] if isinstance(column, NumericColumn) else None
    if trials is None or not (trials >= 0.0).all() or (trials % 1.0 != 0.0).any():
        raise DataError(
            f"{atom.label}, the number of trials, must be a whole number of at least 0 "
            "in every row of the new data."
        )
    return trials


def new_weights(model: ModelSpec, newdata: object) -> Float[np.ndarray, " m"] | None:
    """Precision weights of new rows, None for a model without.

    Raises
    ------
    DataError
        If the model has weights and the new data do not say theirs.
    """
    if not model.design.has_weights:
        return None
    frame, name = open_frame(newdata), model.weights_column
    if name is None:
        raise DataError(
            "The noise of a new response is sigma / sqrt(weight), and the weights of "
            "this model were given as an array, so new rows have none. Fit with "
            "weights='<column>' and have that column in the new data."
        )
    return read_weights(frame, name, np.arange(len(frame)))
