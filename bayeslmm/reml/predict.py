"""Predictions for new rows.

Takes a `Design` with estimates, gives arrays.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.errors import DataError, ModelError, is_choice

if TYPE_CHECKING:
    from bayeslmm.design import NewRows


def check_new_levels(new_levels: object) -> None:
    """Raise `ModelError` for another word than those of `new_values`."""
    if not is_choice(new_levels, ("zero", "error")):
        raise ModelError(
            f"Unknown new_levels={new_levels!r}. Options: 'zero', 'error'."
        )


def new_values(
    design: Design,
    rows: "NewRows",
    beta: Float[np.ndarray, " p"],
    b: Sequence[Float[np.ndarray, "_j _k"]] | None,
    new_levels: str,
) -> Float[np.ndarray, " m"]:
    """X beta + offset, and Z b if there are random effects, for new rows.

    A level that is new adds nothing, or is refused.
    """
    check_new_levels(new_levels)
    values = rows.X @ beta
    if rows.offset is not None:
        values = values + rows.offset
    if b is None:
        return values
    for term, effects, new in zip(design.groups, b, rows.groups, strict=True):
        unseen = new.codes < 0
        if unseen.any() and new_levels == "error":
            _refuse(term.group, [str(label) for label in new.labels[unseen]])
        part = np.einsum("nk,nk->n", new.Z, effects[new.codes])
        values = values + np.where(unseen, 0.0, part)
    return values


def _refuse(group: str, unseen: list[str]) -> NoReturn:
    """Raise for levels that the fit has not seen."""
    names = sorted(set(unseen))
    raise DataError(
        f"{len(unseen)} rows have levels of {group!r} that the fit has not seen: "
        f"{', '.join(names[:5])}{' ...' if len(names) > 5 else ''}. Write "
        f"new_levels='zero' to predict them by the population mean."
    )
