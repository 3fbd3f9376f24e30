"""The printed table of the priors: parameter, prior, reason.

Takes a set, the `Design` and what the priors refer to; gives the rows, in the order of
every table. An intercept's prior depends on where the predictors are 0, so its row says
where that is.
"""

from dataclasses import dataclass

from bayeslmm.design.arrays import Design
from bayeslmm.design.space import Parameter
from bayeslmm.families import FAMILIES
from bayeslmm.priors.prior import Matrix, Priors

Row = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class References:
    """Which columns the priors mean the coefficients of; None for the data's own.

    Matrices T for which these are ``X T`` (`fixed`) and ``Z T``, by rows.
    """

    effects: tuple[Matrix | None, ...]
    fixed: Matrix | None


def prior_rows(
    priors: Priors, corr_reason: str, design: Design, references: References
) -> tuple[Row, ...]:
    """Parameter, prior and reason, in the order of every table."""
    rows: dict[tuple[str, int | None], Row] = {}
    for parameter in design.space.parameters:
        if parameter.component == "corr":  # one row for all of a term
            key, t = (parameter.variable, parameter.term), _term_of(parameter)
            row = _corr_row(priors, corr_reason, design, references, t)
            rows.setdefault(key, row)
            continue
        where = ""
        if parameter.component == "fixef":
            where = _fixed_place(design, references, parameter.index[0])
        elif parameter.component == "sd":
            where = _sd_place(design, references, parameter)
        elif parameter.label not in FAMILIES[priors.family].others:
            continue
        prior = priors.of(parameter)
        row = (parameter.label, str(prior), prior.reason + where)
        rows[parameter.label, parameter.term] = row
    others = [(key, str(prior), prior.reason) for key, prior in priors.auxiliary]
    return (*rows.values(), *others)


def _sd_place(design: Design, references: References, parameter: Parameter) -> str:
    """Where the predictors stand at which the prior of an SD is meant."""
    t, effect = _term_of(parameter), parameter.index[0]
    if design.groups[t].effects[effect] == "Intercept":
        return _referred_to(design, references, t)
    moves = design.products.of_term(t).moves(effect)
    return _place(design, moves, at_mean=references.effects[t] is not None)


def _corr_row(
    priors: Priors, corr_reason: str, design: Design, references: References, t: int
) -> Row:
    """The prior of the correlations of a term."""
    term = design.groups[t]
    reason = corr_reason if term.covariance.unstructured else "symmetric"
    where = ""
    if "Intercept" in term.effects:
        where = _referred_to(design, references, t)
    text = term.covariance.prior_words(term.k, priors.corr_eta[t])
    return corr_name(design, t), text, reason + where


def corr_name(design: Design, t: int) -> str:
    """What a term's correlations are called as one: ``g_corr``, or of which term."""
    term = design.groups[t]
    same = [
        other
        for other in design.groups
        if other.group == term.group and other.covariance.n_corr(other.k)
    ]
    name = f"{term.group}_corr"
    return name if len(same) == 1 else f"{name} of {term.label}"


def _term_of(parameter: Parameter) -> int:
    """Bar term of an SD or a correlation."""
    assert parameter.term is not None, "SDs and correlations belong to a term"
    return parameter.term


def _fixed_place(design: Design, references: References, column: int) -> str:
    """Where the variables stand at which a fixed effect's prior is meant."""
    turn = references.fixed
    moved = turn is not None and any(
        value for j, value in enumerate(turn[column]) if j != column
    )
    return _place(design, design.products.fixed.moves(column), at_mean=moved)


def _place(design: Design, variables: tuple[int, ...], *, at_mean: bool) -> str:
    """Such as "; at the mean of x" or "; at x = 0", empty without variables."""
    names = [design.products.names[v] for v in variables]
    if not names:
        return ""
    if at_mean:
        return f"; at the mean of {', '.join(names)}"
    return f"; at {' = '.join(names)} = 0"


def _referred_to(design: Design, references: References, t: int) -> str:
    """Where the predictors of a term stand that an intercept's prior is meant for.

    "; at the mean of Days" or "; at Days = 0"; empty where nothing varies beside it.
    """
    group = design.groups[t].group
    beside = dict.fromkeys(
        effect
        for term in design.groups
        if term.group == group
        for effect in term.effects
        if effect != "Intercept"
    )
    if not beside:
        return ""
    T, own = references.effects[t], design.groups[t].effects
    constant = own.index("Intercept")
    moved = []
    if T is not None:
        pairs = zip(own, T[constant], strict=True)
        moved = [effect for effect, value in pairs if value and effect != "Intercept"]
    if moved:
        return f"; at the mean of {', '.join(moved)}"
    return f"; at {' = '.join(beside)} = 0"
