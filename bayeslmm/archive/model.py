"""`ModelSpec` <-> what a file holds of it: everything but the rows."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bayeslmm.design.rowless import check_same_rows, without_rows
from bayeslmm.errors import DataError, InputFileError
from bayeslmm.priors.spec import plain_rule
from bayeslmm.spec import PARTS, ModelSpec, model_of_rows

KEPT = ("family", "plan", "weights_column", "_conditioned")


def model_state(model: ModelSpec) -> dict[str, Any]:
    """All that there is of a model but the rows."""
    priors = replace(model.priors, design=None)  # that of the recipe
    state: dict[str, Any] = model.__getstate__()[1]
    rule, center = state["_prior_rule"]
    return {name: state[name] for name in KEPT} | {
        "recipe": without_rows(model.recipe),
        "_priors": priors,
        "_prior_rule": (plain_rule(rule), center),
    }


def model_of_state[M: ModelSpec](kind: type[M], state: Mapping[str, Any]) -> M:
    """The model of a state; what that lacks is None.

    Raises
    ------
    InputFileError
        If its names and cross-products are of different models.
    """
    model = kind.__new__(kind)
    for name in PARTS:
        setattr(model, name, state.get(name))
    model.formula = model.recipe.formula
    model._priors = replace(state["_priors"], design=model.design)
    if model.family == "gaussian":
        _check_sizes(model)
    return model


def _check_sizes(model: ModelSpec) -> None:
    """Raise unless names and cross-products are of one size."""
    design, stats = model.design, model.conditioned.statistics
    blocks = [block for block in stats.layout.blocks if block.terms]
    levels = [design.groups[block.terms[0]].n_levels for block in blocks]
    found = stats.n, stats.p, [len(A) for A in stats.sums.A if len(A)]
    if found != (design.n, design.p, levels):
        raise InputFileError("its cross-products are of another model than its names")


def attach_rows[M: ModelSpec](model: M, data: object, weights: object) -> M:
    """The model of a file with the rows that it was made of, given again.

    Parameters
    ----------
    model : Model
        Without rows.
    data : DataFrame or other table
        The rows that were fitted, in their order.
    weights : str or array, optional
        As for `Model`, where they were no column of the data.

    Returns
    -------
    Model
        Priors and cross-products are those of the file.

    Raises
    ------
    DataError
        If the rows are others; the message says where they differ.
    """
    if model.plan is not None:
        raise DataError(
            f"The rows of this fit were read in batches from {model.plan.source}; it "
            f"has their sums, and no checksum to compare others with. Leave data= out."
        )
    weights = model.weights_column if weights is None else weights
    given = model_of_rows(model, data, weights)
    check_same_rows(model.recipe, given.recipe)
    state: dict[str, Any] = model.__getstate__()[1]
    own = {"recipe": given.recipe, "row_labels": given.row_labels}
    return model_of_state(type(model), {**state, **own})
