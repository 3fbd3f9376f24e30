"""What is left out in turn: rows, or the levels of a grouping factor.

Takes a model and a word; gives the rows of each case and what the cases are called, for
the influence of each on the estimates and for its prediction by all others.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from bayeslmm.design.arrays import Design
from bayeslmm.errors import ModelError, check_text, nearest_names
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

ROWS = "rows"
Case = Int[np.ndarray, " _d"]


def cases_of(
    model: ModelSpec, word: object, argument: str
) -> tuple[Sequence[Case], "pd.Index"]:
    """Rows of each case, and what the cases are called.

    Parameters
    ----------
    model : ModelSpec
        Whose rows these are.
    word : str
        ``"rows"``, or a grouping factor.
    argument : str
        What the word was given as, for the message.

    Raises
    ------
    ModelError
        If the model has no such grouping factor.
    """
    import pandas as pd

    name, design = check_text(word, argument), model.design
    if name == ROWS:
        index = pd.Index(row_names(model), name="row")
        return list(np.arange(design.n)[:, None]), index
    t = term_of(design, name)
    if t is None:
        groups = list(dict.fromkeys(term.group for term in design.groups))
        raise ModelError(
            f"{argument}={name!r} is neither 'rows' nor a grouping factor of this "
            f"model.{nearest_names(name, [ROWS, *groups])}"
        )
    term, codes = design.groups[t], _codes(design, t)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=term.n_levels))[:-1]
    return np.split(order, ends), pd.Index(term.levels, name="level")


def term_of(design: Design, group: str) -> int | None:
    """The first bar term of a grouping factor; None if there is none."""
    terms = [t for t, term in enumerate(design.groups) if term.group == group]
    return terms[0] if terms else None


def row_names(model: ModelSpec) -> np.ndarray:
    """What the rows used are called: labels of the data's index, else positions."""
    labels = model.row_labels
    return np.arange(model.design.n) if labels is None else labels


def _codes(design: Design, t: int) -> Int[np.ndarray, " n"]:
    """Levels of the rows; none of rows that are not in memory, which is said later."""
    return np.empty(0, np.int64) if design.rows is None else design.rows.codes[t]
