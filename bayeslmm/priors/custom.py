"""Priors that a user gives by key, in the place of those of a set.

Takes the dict, whose keys have been checked, the `Design` and the priors it changes;
gives those of one kind of parameter.
"""

from collections.abc import Mapping
from typing import Any

from bayeslmm.design.arrays import Design, EffectVariable, GroupTerm
from bayeslmm.errors import PriorError
from bayeslmm.families import FAMILIES
from bayeslmm.priors.prior import Prior
from bayeslmm.priors.spec import (
    check_positive,
    check_real,
    lkj_eta,
    read_spec,
    scalar_prior,
    sd_spec,
    spread_prior,
)

_GIVEN = "given"


def custom_fixed(
    given: Mapping[str, Any], design: Design, base: tuple[Prior, ...]
) -> tuple[Prior, ...]:
    """Priors of the coefficients: the variable's own key, then ``common``."""
    fixed = list(base)
    for variable in design.fixed:
        key = variable.name if variable.name in given else "common"
        if key not in given:
            continue
        spec, count = read_spec(given[key], key), len(variable.columns)
        for column, prior in zip(
            variable.columns, spread_prior(spec, key, count, _GIVEN), strict=True
        ):
            check_real(prior, key)
            fixed[column] = prior
    return tuple(fixed)


def custom_sd(
    given: Mapping[str, Any], design: Design, base: tuple[tuple[Prior, ...], ...]
) -> tuple[tuple[Prior, ...], ...]:
    """Priors of the SDs: the effect's own key, then ``group_specific``."""
    found = []
    for term, default in zip(design.groups, base, strict=True):
        if term.covariance.homogeneous:
            found.append(_shared_sd(given, term, default))
            continue
        priors = list(default)
        for variable in term.variables:
            for effect, prior in zip(
                variable.effects, _effect_priors(given, variable) or (), strict=False
            ):
                priors[effect] = prior
        found.append(tuple(priors))
    return tuple(found)


def _effect_priors(
    given: Mapping[str, Any], variable: EffectVariable, count: int | None = None
) -> tuple[Prior, ...] | None:
    """SD priors given for one variable, None if there are none."""
    key = variable.name if variable.name in given else "group_specific"
    if key not in given:
        return None
    spec = sd_spec(read_spec(given[key], key), key)
    priors = spread_prior(spec, key, count or len(variable.effects), _GIVEN)
    for prior in priors:
        check_positive(prior, key)
    return priors


def _shared_sd(
    given: Mapping[str, Any], term: GroupTerm, default: tuple[Prior, ...]
) -> tuple[Prior, ...]:
    """The one SD prior of a term whose effects share their SD."""
    priors = [_effect_priors(given, v, count=1) or default for v in term.variables]
    own = [p for v, p in zip(term.variables, priors, strict=True) if v.name in given]
    chosen = own or priors
    if any(prior != chosen[0] for prior in chosen):
        names = ", ".join(repr(v.name) for v in term.variables)
        raise PriorError(
            f"The effects of {term.label} share one SD, so {names} cannot have "
            "different priors. Give one of them."
        )
    return chosen[0]


def custom_eta(
    given: Mapping[str, Any], design: Design, base: tuple[float, ...]
) -> tuple[float, ...]:
    """LKJ eta of each term: the key of its group."""
    keys = [f"{term.group}_corr" for term in design.groups]
    return tuple(
        lkj_eta(given[key], key) if key in given else eta
        for key, eta in zip(keys, base, strict=True)
    )


def custom_auxiliary(given: Mapping[str, Any], family: str) -> dict[str, Prior]:
    """Priors of the other parameters of the family."""
    found = {}
    for key in FAMILIES[family].others:
        if key in given:
            prior = scalar_prior(read_spec(given[key], key), key, _GIVEN)
            check_positive(prior, key)
            found[key] = prior
    return found
