"""The columns of a table for a paper: fits with their names and all their numbers.

Takes what a user gives (`Fit`, `RemlFit`, `Posterior`) and the options; gives `Column`s
and the cells of their rows.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pandas as pd

from bayeslmm.comparison.model_rows import merged, model_rows
from bayeslmm.design.space import SIGMA
from bayeslmm.errors import (
    ModelError,
    NotSavedError,
    check_names,
    check_text,
    nearest_names,
    repeated,
)
from bayeslmm.posterior.fit import Posterior
from bayeslmm.reml.fit import RemlFit
from bayeslmm.reporting.tables import OTHERS, RESIDUALS, others_section
from bayeslmm.tables import Table, words
from bayeslmm.tables.numbers import count, decimals_for, number

if TYPE_CHECKING:
    from bayeslmm.reml.ddf import Ddf
    from bayeslmm.spec import ModelSpec

MODEL = "Model"
SECTIONS = {
    "fixef": "Fixed effects",
    "sd": "Standard deviations",
    "corr": "Correlations",
    RESIDUALS: RESIDUALS,
    OTHERS: OTHERS,
    "count": MODEL,
    "share": MODEL,
    "criterion": MODEL,
}
SHARE_DECIMALS, CRITERION_DECIMALS = 3, 1

type Key = tuple[str, str]
"""Component and label of a row."""


@dataclass(frozen=True, slots=True)
class Column:
    """One fit, how it is called, and its `model_rows`."""

    name: str
    fit: RemlFit | Posterior
    rows: pd.DataFrame

    @property
    def model(self) -> "ModelSpec":
        """What was fitted."""
        return self.fit.model

    @property
    def method(self) -> str:
        """REML, ML or Posterior."""
        return self.fit.method if isinstance(self.fit, RemlFit) else "Posterior"

    def row(self, key: Key) -> pd.Series | None:
        """Numbers of a row; None where the model has no such parameter."""
        if key not in self.rows.index:
            return None
        return cast("pd.Series", self.rows.loc[key])


def make_columns(
    fits: Sequence[object],
    names: Iterable[str] | None,
    prob: float,
    kind: Literal["eti", "hdi"],
    ddf: "Ddf",
) -> list[Column]:
    """Columns of fits; a `Fit` that has both is two."""
    if not fits:
        raise ModelError("A table needs a fit: model_table(m1, m2, ...).")
    sides = [_sides(fit, i + 1) for i, fit in enumerate(fits)]
    own = [fit for side in sides for fit in side]
    if names is None:
        called = [f"({i + 1})" for i in range(len(own))]
    else:
        called = _called(check_names(names, "names"), sides)
    return [
        Column(name, fit, model_rows(fit, prob, kind, ddf))
        for name, fit in zip(called, own, strict=True)
    ]


def _sides(given: Any, place: int) -> list[RemlFit | Posterior]:  # noqa: ANN401
    """The fits in what was given."""
    if isinstance(given, RemlFit | Posterior):
        return [given]
    found = [getattr(given, name, None) for name in ("reml", "posterior")]
    held = [fit for fit in found if isinstance(fit, RemlFit | Posterior)]
    if not held and hasattr(given, "posterior"):
        raise NotSavedError(
            f"Model {place} of the table has neither a REML fit nor draws: it was "
            "saved without. fit.model.fit_reml() and fit.model.sample() make them."
        )
    if not held:
        raise ModelError(
            f"Model {place} of the table is a {type(given).__name__}, and a table is "
            "of fits: what bayeslmm.fit, model.fit_reml() or model.sample() gives."
        )
    return held


def _called(names: Sequence[str], sides: Sequence[Sequence[object]]) -> list[str]:
    """Names of the columns; the two of one `Fit` say which they are."""
    if len(names) != len(sides):
        raise ModelError(
            f"names has {len(names)} names for {len(sides)} models. Give one for each; "
            "a Fit is one model, of which REML and posterior are two columns."
        )
    if twice := repeated(names):
        raise ModelError(
            f"names has {twice[0]!r} more than once, and columns are known by them. "
            "Give names that differ."
        )
    found: list[str] = []
    for name, side in zip(names, sides, strict=True):
        of = [name] if len(side) == 1 else [f"{name}, REML", f"{name}, posterior"]
        found += of
    return found


def keys_of(columns: Sequence[Column]) -> list[Key]:
    """Every row that some column has, in an order that is not that of the columns."""
    found: list[Key] = []
    for section in SECTIONS:
        own = [
            [key for key in column.rows.index if _block(key) == section]
            for column in columns
        ]
        found += merged(own)
    return found


def _block(key: Key) -> str:
    """Which rows stand together: the residual SD below the others."""
    component, label = key
    if component == "sigma":
        return "sd" if label == SIGMA.label else others_section(label)
    return component


def section_of(key: Key) -> str:
    """The name above a row."""
    return SECTIONS[_block(key)]


def row_names(
    columns: Sequence[Column], labels: Mapping[str, str] | None
) -> dict[Key, str]:
    """What each row is called: as the user says, else as readers know it.

    Raises
    ------
    ModelError
        If `labels` names a row that there is not, or is no dict of text.
    """
    found: dict[Key, str] = {}
    for column in columns:
        found |= cast("dict[Key, str]", column.rows["name"].to_dict())
    if labels is None:
        return found
    if not isinstance(labels, Mapping):
        raise ModelError(
            "labels must be a dict of the names of rows, such as "
            f"{{'edu': 'Education'}}, not {type(labels).__name__}."
        )
    known = {label for _, label in found} | {*found.values()}
    for label, name in labels.items():
        check_text(name, f"labels[{label!r}]")
        if label not in known:
            raise ModelError(
                f"labels names {label!r}, and the table has no such row."
                f"{nearest_names(label, sorted(known))}"
            )
    return {
        key: labels.get(key[1], labels.get(name, name)) for key, name in found.items()
    }


def long_frame(columns: Sequence[Column], names: Mapping[Key, str]) -> Table:
    """All numbers, one row for each model and parameter, none rounded."""
    parts = []
    for column in columns:
        own = pd.DataFrame(column.rows).reset_index()
        keys = zip(own["component"], own["label"], strict=True)
        own["name"] = words(np.array([names[key] for key in keys], object))
        for place, text in enumerate((column.name, column.model.said)):
            repeated_text = words(np.full(len(own), text, object))
            own.insert(place, ("model", "formula")[place], repeated_text)
        own.insert(2, "method", column.method)
        parts.append(own)
    return Table(pd.concat(parts, ignore_index=True))


def estimate_text(key: Key, own: pd.Series) -> str:
    """The estimate of a row as it is printed."""
    component, _ = key
    if component == "count":
        return count(own["estimate"])
    if component == "criterion":
        return number(own["estimate"], CRITERION_DECIMALS)
    return number(own["estimate"], decimals_of(key, own))


def decimals_of(key: Key, own: pd.Series) -> int:
    """Decimals that the error of a row supports, else the estimate by itself."""
    if key[0] == "share":
        return SHARE_DECIMALS
    known = math.isfinite(own["se"]) and own["se"] > 0.0
    return decimals_for(own["se"] if known else own["estimate"])


def is_parameter(key: Key) -> bool:
    """Whether a row is a parameter, which has an error or should have."""
    return key[0] not in ("share", "count", "criterion")
