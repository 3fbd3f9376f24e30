"""Whether two fits may be compared: same rows, same columns, same groups."""

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.design.arrays import Design, parameters
from bayeslmm.errors import ModelError

if TYPE_CHECKING:
    from bayeslmm.fit.posterior import Posterior
    from bayeslmm.fit.remlfit import RemlFit


def check_same_model(reml: "RemlFit | None", post: "Posterior | None") -> None:
    """Raise unless both fits are there and are of one formula and the same rows.

    Parameters
    ----------
    reml : RemlFit
        Fit by REML or ML.
    post : Posterior
        Posterior.

    Raises
    ------
    ModelError
        If one of them is missing, or they differ in formula, parameters, or data; the
        message says in which.
    """
    if reml is None or post is None:
        missing = "REML fit" if reml is None else "posterior"
        raise ModelError(
            f"A comparison needs both fits, and there is no {missing} here. REML "
            "exists for family 'gaussian' only; otherwise call model.fit_reml() and "
            "model.sample() first."
        )
    if reml.model is post.model:
        return
    difference = _first_difference(reml.model.design, post.model.design)
    if difference:
        raise ModelError(
            f"The two fits are not of the same model: {difference}. REML was fitted to "
            f"'{reml.model.formula.text}', the posterior to "
            f"'{post.model.formula.text}'. Make both from one Model."
        )


def _first_difference(one: Design, other: Design) -> str:
    """What differs first between two designs; empty if nothing does."""
    names = [parameter.label for parameter in parameters(one)]
    other_names = [parameter.label for parameter in parameters(other)]
    if names != other_names:
        odd = [name for name in names if name not in other_names]
        odd += [name for name in other_names if name not in names]
        return "their parameters differ (" + ", ".join(odd[:6]) + ")"
    if one.n != other.n:
        return f"one uses {one.n} rows, the other {other.n}"
    if not np.array_equal(one.y, other.y):
        return f"their responses {one.response!r} and {other.response!r} differ"
    if not np.array_equal(one.X, other.X):
        return "their fixed-effect columns differ in value"
    if not _same_or_none(one.weights, other.weights):
        return "their weights differ"
    if not _same_or_none(one.offset, other.offset):
        return "their offsets differ"
    return _first_group_difference(one, other)


def _first_group_difference(one: Design, other: Design) -> str:
    """What differs first between the bar terms of two designs."""
    for a, b in zip(one.groups, other.groups, strict=True):
        if a.structure != b.structure:
            return f"{a.label} is {a.structure} in one and {b.structure} in the other"
        if a.levels != b.levels or not np.array_equal(a.codes, b.codes):
            return f"the levels of {a.group!r} differ"
        if not np.array_equal(a.Z, b.Z):
            return f"the columns that vary in {a.label} differ in value"
    return ""


def _same_or_none(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    """Whether two optional arrays are both absent or equal."""
    if one is None or other is None:
        return one is None and other is None
    return np.array_equal(one, other)
