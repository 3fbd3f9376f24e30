"""Whether two fits may be compared: same rows, same columns, same groups."""

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.design.arrays import Design, GroupTerm
from bayeslmm.design.moments import ColumnMoments
from bayeslmm.errors import ModelError

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

# Sums over rows in another order differ by rounding, in units of the largest value.
ROUNDING = 1e-10


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
    check_kind(reml, "reml", "RemlFit", "model.fit_reml()")
    check_kind(post, "post", "Posterior", "model.sample()")
    if reml.model is post.model:
        return
    difference = _first_difference(reml.model.design, post.model.design)
    if difference:
        raise ModelError(
            f"The two fits are not of the same model: {difference}. REML was fitted to "
            f"'{reml.model.formula.text}', the posterior to "
            f"'{post.model.formula.text}'. Make both from one Model."
        )


def check_kind(given: object, name: str, kind: str, made_by: str) -> None:
    """Raise `ModelError` if an argument is a fit of the other kind, or no fit.

    What has a model and a summary and is of no other kind is taken for a fit.
    """
    others = {"RemlFit", "Posterior", "Quadrature"} - {kind}
    is_fit = hasattr(given, "model") and hasattr(given, "summary")
    if is_fit and type(given).__name__ not in others:
        return
    if type(given).__name__ == "Fit":
        raise ModelError(
            f"{name} must be what {made_by} gives, not a Fit, which holds both fits: "
            f"give fit.reml or fit.posterior."
        )
    raise ModelError(
        f"{name} must be what {made_by} gives, not a {type(given).__name__}. Write "
        f"reml=... and post=..., both of one model. Two posteriors "
        f"stand side by side as one.summary().join(two.summary().add_suffix('_two')); "
        f"arviz.compare weighs their models."
    )


def _first_difference(one: Design, other: Design) -> str:
    """What differs first between two designs; empty if nothing does."""
    names, other_names = one.space.labels, other.space.labels
    if names != other_names:
        odd = [name for name in names if name not in other_names]
        odd += [name for name in other_names if name not in names]
        return "their parameters differ (" + ", ".join(odd[:6]) + ")"
    if one.n != other.n:
        return f"one uses {one.n} rows, the other {other.n}"
    if one.residual != other.residual:
        return "the structures of their residuals differ"
    a, b = one.rows, other.rows
    if a is None or b is None:
        return _first_streamed_difference(one, other)
    if not np.array_equal(a.y, b.y):
        return f"their responses {one.response!r} and {other.response!r} differ"
    if not np.array_equal(a.X, b.X):
        return "their fixed-effect columns differ in value"
    if not _same_or_none(a.weights, b.weights):
        return "their weights differ"
    if not _same_or_none(a.offset, b.offset):
        return "their offsets differ"
    for t, (term, theirs) in enumerate(zip(one.groups, other.groups, strict=True)):
        same_levels = np.array_equal(a.codes[t], b.codes[t])
        same_columns = np.array_equal(a.Z[t], b.Z[t])
        if said := _group_difference(term, theirs, same_levels, same_columns):
            return said
    return ""


def _first_streamed_difference(one: Design, other: Design) -> str:
    """The same where rows were read in batches: all that is known of them."""
    a, b = one.moments, other.moments
    if not _close(a.y, b.y):
        return f"their responses {one.response!r} and {other.response!r} differ"
    if not _close(a.net, b.net):
        return "their offsets differ"
    if not _close(a.X, b.X):
        return "their fixed-effect columns differ in value"
    if one.has_weights != other.has_weights:
        return "their weights differ"
    for t, (term, theirs) in enumerate(zip(one.groups, other.groups, strict=True)):
        same_levels = np.array_equal(a.sizes[t], b.sizes[t])
        same_columns = _close(a.Z[t], b.Z[t])
        if said := _group_difference(term, theirs, same_levels, same_columns):
            return said
    return ""


def _close(one: ColumnMoments, other: ColumnMoments) -> bool:
    """Whether the moments of columns agree up to the rounding of sums."""
    size = np.maximum(one.size, other.size)
    same = np.array_equal(one.low, other.low) and np.array_equal(one.high, other.high)
    mean = np.abs(one.mean - other.mean) <= ROUNDING * size
    spread = np.abs(one.sd() - other.sd()) <= ROUNDING * size
    return bool(same and mean.all() and spread.all())


def _group_difference(
    one: GroupTerm, other: GroupTerm, same_levels: bool, same_columns: bool
) -> str:
    """What differs first between two bar terms, whose rows agree or not."""
    if one.structure != other.structure:
        said = f"{one.structure} in one and {other.structure} in the other"
        return f"{one.label} is {said}"
    if one.levels != other.levels or not same_levels:
        return f"the levels of {one.group!r} differ"
    if not same_columns:
        return f"the columns that vary in {one.label} differ in value"
    return ""


def _same_or_none(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    """Whether two optional arrays are both absent or equal."""
    if one is None or other is None:
        return one is None and other is None
    return np.array_equal(one, other)
