"""The priors of a model with less in its bar terms.

Takes `Priors` and what goes; gives those of what stays, as they are.
"""

from collections.abc import Sequence
from dataclasses import replace

from bayeslmm.priors.prior import Priors


def without_term(priors: Priors, t: int) -> Priors:
    """The priors without those of bar term number t."""
    return replace(
        priors,
        sd=_left(priors.sd, t),
        corr_eta=_left(priors.corr_eta, t),
        references=_left(priors.references, t),
    )


def with_effects(priors: Priors, t: int, kept: Sequence[int]) -> Priors:
    """The priors in which only some effects of bar term number t vary."""
    own, T = tuple(priors.sd[t][i] for i in kept), priors.reference[t]
    sd = (*priors.sd[:t], own, *priors.sd[t + 1 :])
    if T is None:
        return replace(priors, sd=sd)
    rows = tuple(tuple(T[i, list(kept)].tolist()) for i in kept)
    same = len(kept) == 1
    references = list(priors.references)
    references[t] = None if same else rows
    return replace(priors, sd=sd, references=tuple(references))


def uncorrelated(priors: Priors, t: int) -> Priors:
    """The priors where bar term number t is ``||``: SDs where predictors are 0."""
    if not priors.references:
        return priors
    references = list(priors.references)
    references[t] = None
    return replace(priors, references=tuple(references))


def _left[T](items: tuple[T, ...], t: int) -> tuple[T, ...]:
    """All but number t."""
    return (*items[:t], *items[t + 1 :])
