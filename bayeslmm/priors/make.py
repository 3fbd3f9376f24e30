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
    GroupTerm,
)
from bayeslmm.design.space import Parameter
from bayeslmm.errors import PriorError, listed, nearest_names
from bayeslmm.families import FAMILIES, check_family
from bayeslmm.marginal.columns import is_identity
from bayeslmm.marginal.conditioning import effect_movers
from bayeslmm.priors.custom import (
    custom_auxiliary,
    custom_eta,
    custom_fixed,
    custom_sd,
)
from bayeslmm.priors.labels import References, prior_rows
from bayeslmm.priors.prior import Matrix, Priors
from bayeslmm.priors.residual import residual_keys, residual_priors
from bayeslmm.priors.sets import NAMED_SETS, SETS


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
    spec : str, mapping or Priors
        The priors of another model, kept as they are (with its `center_predictors`);
        a named set, ``"weak"``, ``"flat"``, ``"bambi"``, ``"brms"`` or
        ``"boundary-avoiding"``; or a dict whose keys are ``"Intercept"``, ``"common"``
        (every fixed effect, the intercept too, as in bambi), a fixed variable,
        ``"group_specific"`` (every random-effect SD), a random effect such as
        ``"1|g"``, ``"sigma"`` or another parameter of the family, ``"g_corr"`` (eta of
        the LKJ prior), ``"sigma_ratio"`` and ``"rho"`` of structured residuals, and
        ``"set"``, the named set (or the `Priors`) for the rest (default ``"weak"``).
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
    if isinstance(spec, Priors):
        _check_same_parameters(spec, design, family)
        return spec if spec.design is design else replace(spec, design=design)
    if isinstance(spec, str):
        return _of_set(spec, design, family, center_predictors)
    if not isinstance(spec, Mapping):
        raise PriorError(
            f"priors= is a {type(spec).__name__}. Give the name of a set "
            f"({', '.join(NAMED_SETS)}), a dict of priors, or the priors of a model."
        )
    given = dict(spec)
    name = given.pop("set", "weak")
    if not isinstance(name, str | Priors):
        raise _unknown_set(name)
    base = make_priors(name, design, center_predictors=center_predictors, family=family)
    _check_keys(given, design, family)
    return _changed(base, given, design)


def changed_rule(
    rule: object, changes: Mapping[str, object], design: Design
) -> dict[str, object]:
    """The rule by which priors were made, with some of them changed.

    Parameters
    ----------
    rule : str, mapping or Priors
        What a model was given as ``priors=``.
    changes : mapping
        As of `make_priors`. Of a set nothing of `rule` is left; ``"common"`` and
        ``"group_specific"`` take the place of what was given for single ones before.
    design : Design
        Arrays of the model.
    """
    old = dict(rule) if isinstance(rule, Mapping) else {"set": rule}
    if "set" in changes:
        old = {}
    if "common" in changes:
        old = {k: v for k, v in old.items() if k not in _fixed_keys(design)}
    if "group_specific" in changes:
        old = {k: v for k, v in old.items() if k not in _effect_keys(design)}
    return {**old, **changes}


def _check_same_parameters(priors: Priors, design: Design, family: str) -> None:
    """Raise unless the priors of another model are of the same parameters."""
    seen = len(priors.fixed), [len(own) for own in priors.sd], priors.family
    sizes = [term.covariance.n_sd(term.k) for term in design.groups]
    residual = {p.label for p in _residual_parameters(design)}
    own = {label for label, _ in priors.auxiliary}
    same = seen == (design.p, sizes, family) and residual <= own
    if same:
        labels = [row[0] for row in _labelled(priors, design).labels]
        same = labels == [row[0] for row in priors.labels]
    if not same:
        raise PriorError(
            f"These priors are of another model, with the parameters "
            f"{listed(row[0] for row in priors.labels)}; this one has "
            f"{listed(p.label for p in design.space.parameters)}. Give a dict of "
            "priors, whose keys say what each is for."
        )


def _of_set(name: str, design: Design, family: str, centred: bool) -> Priors:
    """The priors of a named set."""
    if name not in SETS:
        raise _unknown_set(name)
    base = SETS[name](design, family, centred)
    scales = tuple((own, base.sigma) for own in FAMILIES[family].scales)
    moved = effect_movers(design) if base.centered else [None] * len(design.groups)
    turn = design.fixed_turn if base.centered and centred else None
    found = Priors(
        name,
        base.fixed,
        base.sd,
        base.corr_eta,
        base.sigma,
        centred,
        family,
        auxiliary=scales + residual_priors({}, design, name),
        references=tuple(None if own is None else _rows(own) for own in moved),
        fixed_reference=None if turn is None else _rows(turn),
        corr_reason=base.corr_reason,
    )
    return _labelled(found, design)


def _labelled(priors: Priors, design: Design) -> Priors:
    """The priors with their printed rows."""
    where = References(priors.references, priors.fixed_reference)
    rows = prior_rows(priors, priors.corr_reason, design, where)
    return replace(priors, labels=rows, design=design)


def _changed(base: Priors, given: dict[str, Any], design: Design) -> Priors:
    """The priors with those replaced that a user gives.

    A prior that is given for a term is meant for the columns as they are, as in bambi
    and brms, and so are all of that bar term.
    """
    auxiliary = custom_auxiliary(given, base.family)
    sigma = auxiliary.pop("sigma", base.sigma)
    follow = [
        (name, sigma if prior == base.sigma and name in _scales(base) else prior)
        for name, prior in base.auxiliary
    ]
    residual = dict(residual_priors(given, design, "weak"))
    keys = {p.label: p.variable for p in _residual_parameters(design)}
    auxiliary |= {k: v for k, v in residual.items() if keys[k] in given}
    effects = [
        None if _term_keys(term) & set(given) else own
        for term, own in zip(design.groups, base.references, strict=True)
    ]
    found = replace(
        base,
        name="custom",
        fixed=custom_fixed(given, design, base.fixed),
        sd=custom_sd(given, design, base.sd),
        corr_eta=custom_eta(given, design, base.corr_eta),
        sigma=sigma,
        auxiliary=tuple((dict(follow) | auxiliary).items()),
        references=tuple(effects),
        fixed_reference=_kept_turn(base, given, design),
    )
    return _labelled(found, design)


def _scales(base: Priors) -> tuple[str, ...]:
    """Parameters of the family that have the prior of sigma by default."""
    return FAMILIES[base.family].scales


def _residual_parameters(design: Design) -> tuple[Parameter, ...]:
    """Those of structured residuals."""
    return () if design.residual is None else design.residual.parameters


def _term_keys(term: GroupTerm) -> set[str]:
    """Keys of the priors of a bar term."""
    names = {"group_specific", f"{term.group}_corr"}
    return names | {variable.name for variable in term.variables}


def _kept_turn(base: Priors, given: dict[str, Any], design: Design) -> Matrix | None:
    """Which columns the priors of fixed effects mean, but those that are given."""
    turn = base.fixed_turn
    if turn is None or "common" in given:
        return None
    inverse = np.linalg.inv(turn)
    for variable in design.fixed:
        if variable.name in given:
            own = list(variable.columns)
            inverse[own] = np.eye(design.p)[own]
    return _rows(np.linalg.inv(inverse))


def _unknown_set(name: object) -> PriorError:
    """The error for a set that there is not."""
    return PriorError(
        f"Unknown prior set {name!r}.{nearest_names(str(name), NAMED_SETS)} "
        f"The sets are {', '.join(NAMED_SETS)}; or give a dict of priors."
    )


def _rows(matrix: Float[np.ndarray, "k k"]) -> Matrix | None:
    """A matrix by rows, None for the identity."""
    if is_identity(matrix):
        return None
    return tuple(tuple(row) for row in matrix.tolist())


def _fixed_keys(design: Design) -> list[str]:
    """Keys of the priors of fixed effects."""
    return [variable.name for variable in design.fixed]


def _effect_keys(design: Design) -> list[str]:
    """Keys of the priors of SDs."""
    return [v.name for term in design.groups for v in term.variables]


def _check_keys(given: dict[str, Any], design: Design, family: str) -> None:
    """Raise for a key that names nothing in the model."""
    fixed, effects = _fixed_keys(design), _effect_keys(design)
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
