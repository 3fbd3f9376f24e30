"""From a set's name or a dict in bambi's style to the `Priors` of a model.

Takes the specification and the `Design`; gives `Priors`, or an error that names the key
that cannot be honoured. A dict replaces priors of its base set (``"set"``, by default
``"weak"``) under the keys bambi uses.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import (
    Design,
    EffectVariable,
    GroupTerm,
)
from bayeslmm.errors import PriorError, nearest_names
from bayeslmm.families import FAMILIES, check_family
from bayeslmm.marginal.columns import is_identity
from bayeslmm.marginal.conditioning import effect_movers
from bayeslmm.priors.labels import References, prior_rows
from bayeslmm.priors.prior import Matrix, Prior, Priors
from bayeslmm.priors.residual import residual_keys, residual_priors
from bayeslmm.priors.sets import NAMED_SETS, SETS, PriorSet
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


def make_priors(
    spec: object,
    design: Design,
    *,
    center_predictors: bool = True,
    family: str = "gaussian",
) -> Priors:
    """Priors of every parameter of a model.

    Parameters
    ----------
    spec : str or mapping
        A named set, ``"weak"``, ``"flat"``, ``"bambi"``, ``"brms"`` or
        ``"boundary-avoiding"``; or a dict whose keys are ``"Intercept"``, ``"common"``
        (every fixed effect, the intercept too, as in bambi), a fixed variable,
        ``"group_specific"`` (every random-effect SD), a random effect such as
        ``"1|g"``, ``"sigma"`` or another parameter of the family, ``"g_corr"`` (eta of
        the LKJ prior), ``"sigma_ratio"`` and ``"rho"`` of structured residuals, and
        ``"set"``, the named set for the rest (default ``"weak"``).
        Values are bambi priors, `Prior` objects or strings such as ``"HalfNormal(5)"``
        or ``"flat"``. A random effect takes the prior of its SD, or bambi's
        ``Normal(mu=0, sigma=<prior of its SD>)``.
    design : Design
        Arrays of the model.
    center_predictors : bool
        Whether the intercept's prior refers to centred predictors, as in bambi.
    family : str
        Family of the response.

    Returns
    -------
    Priors
        One prior for each parameter, with reasons; printed as a table.

    Raises
    ------
    PriorError
        For an unknown set, key or distribution, or a prior that cannot be honoured.
    ModelError
        For an unknown family.
    """
    check_family(family)
    if isinstance(spec, str):
        base = _named_set(spec, design, family, center_predictors)
        scales = tuple((name, base.sigma) for name in FAMILIES[family].scales)
        scales += residual_priors({}, design, spec)
        where = _references(base, design, {}, center_predictors)
        return _finish(spec, base, design, center_predictors, family, scales, where)
    if not isinstance(spec, Mapping):
        raise PriorError(
            f"priors= is a {type(spec).__name__}. Give the name of a set "
            f"({', '.join(NAMED_SETS)}) or a dict of priors."
        )
    given = dict(spec)
    name = given.pop("set", "weak")
    base = _named_set(name, design, family, center_predictors)
    _check_keys(given, design, family)
    base = replace(
        base,
        fixed=_custom_fixed(given, design, base.fixed),
        sd=_custom_sd(given, design, base.sd),
        corr_eta=_custom_eta(given, design, base.corr_eta),
    )
    auxiliary = _custom_auxiliary(given, family)
    if "sigma" in auxiliary:
        base = replace(base, sigma=auxiliary.pop("sigma"))
    auxiliary = dict.fromkeys(FAMILIES[family].scales, base.sigma) | auxiliary
    others = (*auxiliary.items(), *residual_priors(given, design, name))
    where = _references(base, design, given, center_predictors)
    return _finish("custom", base, design, center_predictors, family, others, where)


def _references(
    base: PriorSet, design: Design, given: dict[str, Any], centred: bool
) -> References:
    """Which columns the priors mean the coefficients of.

    A prior that a user gives for a term is meant for the columns as they are, as in
    bambi and brms, and so are all of that bar term.
    """
    effects = []
    for term, moved in zip(design.groups, effect_movers(design), strict=True):
        names = {"group_specific", f"{term.group}_corr"}
        names |= {variable.name for variable in term.variables}
        kept = base.centered and not names & set(given)
        effects.append(_rows(moved) if kept else None)
    turn = design.fixed_turn
    if turn is None or not (base.centered and centred) or "common" in given:
        return References(tuple(effects), None)
    inverse = np.linalg.inv(turn)
    for variable in design.fixed:
        if variable.name in given:
            own = list(variable.columns)
            inverse[own] = np.eye(design.p)[own]
    return References(tuple(effects), _rows(np.linalg.inv(inverse)))


def _rows(matrix: Float[np.ndarray, "k k"]) -> Matrix | None:
    """A matrix by rows, None for the identity."""
    if is_identity(matrix):
        return None
    return tuple(tuple(row) for row in matrix.tolist())


def _named_set(name: object, design: Design, family: str, centred: bool) -> PriorSet:
    """The set of that name."""
    if not isinstance(name, str) or name not in SETS:
        raise PriorError(
            f"Unknown prior set {name!r}.{nearest_names(str(name), NAMED_SETS)} "
            f"The sets are {', '.join(NAMED_SETS)}; or give a dict of priors."
        )
    return SETS[name](design, family, centred)


def _check_keys(given: dict[str, Any], design: Design, family: str) -> None:
    """Raise for a key that names nothing in the model."""
    fixed = [variable.name for variable in design.fixed]
    effects = [v.name for term in design.groups for v in term.variables]
    corr = [f"{t.group}_corr" for t in design.groups if t.covariance.n_corr(t.k)]
    known = [
        "common",
        "group_specific",
        *FAMILIES[family].others,
        *fixed,
        *effects,
        *corr,
        *residual_keys(design),
    ]
    for key in given:
        if key in known:
            continue
        if isinstance(key, str) and key.endswith("_sigma") and key[:-6] in effects:
            hint = f" Write {key[:-6]!r}: it takes the prior of the SD."
        elif isinstance(key, str) and key.endswith("_corr"):
            hint = " That group has no correlations in this model."
        else:
            hint = nearest_names(str(key), known)
        raise PriorError(
            f"The prior key {key!r} names nothing in this model.{hint} "
            f"Keys: set, {', '.join(dict.fromkeys(known))}."
        )


def _custom_fixed(
    given: dict[str, Any], design: Design, base: tuple[Prior, ...]
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


def _custom_sd(
    given: dict[str, Any], design: Design, base: tuple[tuple[Prior, ...], ...]
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
    given: dict[str, Any], variable: EffectVariable, count: int | None = None
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
    given: dict[str, Any], term: GroupTerm, default: tuple[Prior, ...]
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


def _custom_eta(
    given: dict[str, Any], design: Design, base: tuple[float, ...]
) -> tuple[float, ...]:
    """LKJ eta of each term: the key of its group."""
    keys = [f"{term.group}_corr" for term in design.groups]
    return tuple(
        lkj_eta(given[key], key) if key in given else eta
        for key, eta in zip(keys, base, strict=True)
    )


def _custom_auxiliary(given: dict[str, Any], family: str) -> dict[str, Prior]:
    """Priors of the other parameters of the family."""
    found = {}
    for key in FAMILIES[family].others:
        if key in given:
            prior = scalar_prior(read_spec(given[key], key), key, _GIVEN)
            check_positive(prior, key)
            found[key] = prior
    return found


def _finish(
    name: str,
    base: PriorSet,
    design: Design,
    centred: bool,
    family: str,
    auxiliary: tuple[tuple[str, Prior], ...],
    where: References,
) -> Priors:
    """`Priors` of a set, with its printed rows."""
    found = Priors(
        name,
        base.fixed,
        base.sd,
        base.corr_eta,
        base.sigma,
        centred,
        family,
        auxiliary,
        references=where.effects,
        fixed_reference=where.fixed,
    )
    return replace(found, labels=prior_rows(found, base.corr_reason, design, where))
