"""Why a posterior is improper, in words, and what is near it and proper.

Takes the `Ray` along which a density does not fall, gives the sentences of the error.
"""

from collections.abc import Sequence

from bayeslmm.design.arrays import Design
from bayeslmm.design.space import Parameter, ParameterSpace
from bayeslmm.posterior.rays import Ray
from bayeslmm.priors import make_priors
from bayeslmm.tables.numbers import counted, listed


def too_few_levels(
    design: Design, space: ParameterSpace, ray: Ray, set_name: str
) -> str:
    """Message for SDs whose density does not fall as they grow."""
    own = [space.told(i) for i in ray.scales]
    names = listed([repr(p.label) for p in own])
    which = "the SD grows" if len(own) == 1 else "these SDs grow together"
    return (
        f"The posterior of {names} is improper: its density does not fall as {which}, "
        f"because {likelihood_words(design, space, ray)} and the prior not at all. "
        "With a flat prior on an SD, a term needs at least 3 levels (one more for "
        "every fixed effect that is constant within them). "
        f"Near at hand is a proper prior of that SD and no other, "
        f"{alternative(design, own, set_name)}; or priors='weak'."
    )


def too_few_rows(design: Design, space: ParameterSpace, ray: Ray) -> str:
    """Message for a residual SD whose density does not fall as it grows."""
    others = [repr(space.told(i).label) for i in ray.scales if i != space.sigma]
    beside = f", {listed(others)} with it" if others else ""
    return (
        f"The posterior of 'sigma' is improper: its density does not fall as sigma "
        f"grows{beside}, because {counted(design.n, 'row')} and "
        f"{counted(design.p, 'fixed effect')} are too few for its flat prior. Give "
        "sigma a proper prior, for example priors='weak'."
    )


def towards_zero(label: str) -> str:
    """Message for an SD whose density does not fall towards zero."""
    cause = (
        "the model reproduces the response exactly, as with one row per combination of "
        "levels or a constant response within them"
        if label == "sigma"
        else "its prior puts infinite weight near 0"
    )
    return (
        f"The posterior of {label!r} is improper: its density runs off towards 0, "
        f"because {cause}. Use a prior with a finite density at 0, or drop the term "
        "that cannot be told from the residual."
    )


def towards_end(label: str, end: float) -> str:
    """Message for a correlation of residuals whose density does not fall to its end."""
    return (
        f"The posterior of {label!r} is improper: its density does not fall towards "
        f"{end:.4g}, the end of its range, because the data lie exactly where "
        f"residuals of that correlation put them: under cs(g) the rows of every level "
        f"sum to the same, as after their mean was subtracted. Model the data as they "
        f"were before, or leave the correlation out."
    )


def likelihood_words(design: Design, space: ParameterSpace, ray: Ray) -> str:
    """``the likelihood falls as SD^-2 (3 levels of g, less 1 that ...)``.

    Parameters
    ----------
    design : Design
        Arrays of the model.
    space : ParameterSpace
        Its parameters.
    ray : Ray
        Of SDs, where the prior does not hide the likelihood.
    """
    own, falls = [space.told(i) for i in ray.scales], ray.falls
    terms = [design.groups[p.term] for p in own if p.term is not None]
    counts = [f"{counted(term.n_levels, 'level')} of {term.group}" for term in terms]
    total = sum(term.n_levels for term in terms)
    if len(terms) < len(own):  # the residuals' have all rows
        counts, total = [counted(design.n, "row")], design.n
    lost = round(total - falls)
    less = f", less {lost} that fixed effects take" if lost > 0 else ""
    return f"the likelihood falls as {power(falls)} ({listed(counts)}{less})"


def power(exponent: float) -> str:
    """``SD^-2``, of what falls with this power of an SD."""
    return f"SD^-{exponent:.3g}"


def alternative(design: Design, own: Sequence[Parameter], set_name: str) -> str:
    """The same priors but for some SDs, as a user writes them.

    Parameters
    ----------
    design : Design
        Arrays of the model.
    own : sequence of Parameter
        SDs that get the default's prior.
    set_name : str
        Set that the others are of; empty or ``"custom"`` if it is a user's own.
    """
    weak = make_priors("weak", design)
    rest = "**yours" if set_name in ("", "custom") else f"'set': {set_name!r}"
    found = {}
    for p in own:
        key = p.label if p.term is None else p.variable.removesuffix("_sigma")
        prior = weak.of(p)
        arguments = ", ".join(f"{name}={value:.3g}" for name, value in prior.args)
        found[key] = f"{prior.name}({arguments})"
    given = ", ".join(f"{key!r}: {text!r}" for key, text in found.items())
    return f"priors={{{rest}, {given}}}"
