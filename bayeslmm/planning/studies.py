"""The studies that are compared: a model for each size.

Takes a formula, a model or a pilot fit, with the rows of a study and the sizes asked
for; gives the model of each.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product

import numpy as np
import pandas as pd

from bayeslmm.errors import ModelError, check_count, is_count, shortened
from bayeslmm.formula import Formula, parse_formula
from bayeslmm.planning.sizes import repeated, resized
from bayeslmm.reml.fit import RemlFit
from bayeslmm.spec import ModelSpec, model_of_rows


def pilot_of(source: object) -> dict[str, float] | None:
    """Estimates of a pilot fit; None for what is no fit."""
    if not isinstance(source, RemlFit):
        return None
    return {str(k): float(v) for k, v in source.summary()["estimate"].items()}


def make_studies(
    source: object,
    data: object,
    weights: object,
    groups: object,
    rows: object,
    *,
    verb: str = "power",
) -> Iterator[tuple[dict[str, int], ModelSpec]]:
    """What each study is called, and its model.

    Parameters
    ----------
    source : RemlFit, ModelSpec or str
        What the studies are of.
    data : DataFrame, optional
        Rows of the study; without them those of the model.
    weights : str, optional
        Column with the weights.
    groups : mapping of str to int or iterable of int, optional
        Numbers of levels by column.
    rows : int or iterable of int, optional
        How many times each row is there.
    verb : str
        Who asks, for messages.

    Raises
    ------
    ModelError
        If that is no study.
    """
    model = source.model if isinstance(source, RemlFit) else source
    if isinstance(getattr(model, "reml", None), RemlFit):
        raise ModelError(f"{verb} takes a REML fit as the pilot: give fit.reml.")
    if not isinstance(model, ModelSpec | str):
        raise ModelError(
            f"{verb} takes a fit, a model or a formula with data, not a "
            f"{type(source).__name__}: {shortened(source)}."
        )
    if isinstance(model, ModelSpec) and model.family != "gaussian":
        raise ModelError(f"{verb} draws Gaussian responses, not {model.family!r}.")
    asked = _levels(groups)
    times = {} if rows is None else {"rows": _several(rows, "rows", 1)}
    if data is None:
        yield (
            {},
            _own_rows(model, verb, changed=bool(asked or times or weights is not None)),
        )
        return
    if not isinstance(data, pd.DataFrame):
        raise ModelError(f"data must be a pandas data frame, not {shortened(data)}.")
    if weights is not None and not isinstance(weights, str):
        raise ModelError(
            f"weights must be the name of a column of data, not {shortened(weights)}."
        )
    formula = _formula(model, data)
    data = _with_response(formula, data)
    for counts in product(*asked.values(), *times.values()):
        words = dict(zip([*asked, *times], counts, strict=True))
        frame = resized(data, {name: words[name] for name in asked}, formula)
        frame = repeated(frame, counts[-1]) if times else frame
        yield words, _of_rows(model, frame, weights)


def _own_rows(model: ModelSpec | str, verb: str, *, changed: bool) -> ModelSpec:
    """The model whose rows are those of the study."""
    if isinstance(model, str) or changed:
        raise ModelError(
            f"{verb} needs the rows of the study: give data=, a data frame with the "
            "predictors and the grouping columns."
        )
    if model.plan is not None:
        raise ModelError(
            f"{verb} needs the rows of the study, and this model has the sums of "
            f"{model.plan.source} alone. Give data=, a data frame with the rows of the "
            f"study to come."
        )
    return model


def _formula(model: ModelSpec | str, data: pd.DataFrame) -> Formula:
    """The formula, read."""
    if isinstance(model, ModelSpec):
        return model.formula
    return parse_formula(model, columns=tuple(map(str, data.columns)))


def _of_rows(
    model: ModelSpec | str, data: pd.DataFrame, weights: str | None
) -> ModelSpec:
    """The same model of other rows."""
    if isinstance(model, str):
        return ModelSpec(model, data, weights=weights)
    weights = model.weights_column if weights is None else weights
    if weights is None and model.design.has_weights:
        raise ModelError(
            "The model has weights as an array, which other rows cannot have. Put them "
            "into a column of data, and name it: weights='w'."
        )
    return model_of_rows(model, data, weights)


def _levels(groups: object) -> dict[str, tuple[int, ...]]:
    """Numbers of levels to try, by column."""
    if groups is None:
        return {}
    if not isinstance(groups, Mapping):
        raise ModelError(
            f"groups must be numbers of levels by column, such as {{'g': [10, 20]}}, "
            f"not {shortened(groups)}."
        )
    return {str(k): _several(v, f"groups[{k!r}]", 2) for k, v in groups.items()}


def _several(value: object, name: str, least: int) -> tuple[int, ...]:
    """One whole number or several."""
    if is_count(value) or isinstance(value, str | Mapping):
        return (check_count(value, name, least),)
    if not isinstance(value, Iterable):
        return (check_count(value, name, least),)
    found = tuple(check_count(one, name, least) for one in value)
    if not found:
        raise ModelError(f"{name} is empty: give one number or several.")
    return found


def _with_response(formula: Formula, data: pd.DataFrame) -> pd.DataFrame:
    """The rows with a response, which no study looks at.

    A column that is there stays, unless it is empty or constant. Otherwise it has
    values between 0 and 1, of which a logarithm or a logit is finite.
    """
    noise = np.random.default_rng(0).uniform(0.2, 0.8, len(data))
    lacking = [
        name
        for name in formula.response.columns
        if name not in data.columns or data[name].nunique() < 2
    ]
    return data.assign(**dict.fromkeys(lacking, noise))
