"""How a fit ended, in one plain sentence.

Takes the estimated factors of a fit and gives a `FitStatus`: whether it converged,
which parameters lie on the boundary of what is possible (an SD of 0, a correlation of
+-1), and what that means for the reader.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.covariance import factor_to_sd_corr
from bayeslmm.design.arrays import Design, GroupTerm, Parameter, parameters

# Products of two rounded rows miss 1 by a few units in the last place.
CORR_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class FitStatus:
    """How a fit ended.

    Attributes
    ----------
    converged : bool
        Whether the criterion is at a minimum.
    singular : bool
        Whether a covariance of random effects is estimated without full rank.
    message : str
        One plain sentence.
    boundary : tuple of str
        Labels of the parameters that lie on their boundary.
    n_evaluations : int
        Evaluations of the criterion.
    gradient_norm : float
        Largest entry of its gradient at the end, over the parameters that are not at
        the boundary; criterion units per unit of relative SD.
    """

    converged: bool
    singular: bool
    message: str
    boundary: tuple[str, ...]
    n_evaluations: int
    gradient_norm: float


def sd_corr(
    factor: Float[np.ndarray, "k k"],
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k k"]]:
    """SDs and correlations of a factor; a correlation of +-1 up to rounding is +-1."""
    sd, corr = factor_to_sd_corr(factor)
    edge = np.abs(corr) > 1.0 - CORR_ROUNDING
    corr[edge] = np.sign(corr[edge])
    return sd, corr


def boundary_parameters(
    design: Design, factors: Sequence[Float[np.ndarray, "_k _k"]]
) -> tuple[Parameter, ...]:
    """Parameters on their boundary: SDs of 0, correlations of +-1 or of a lost rank.

    A correlation with an effect that has an SD of 0 does not exist; it is among them.
    """
    views = [sd_corr(factor) for factor in factors]
    found = []
    for parameter in parameters(design):
        t = parameter.term
        if t is None:
            continue
        sd, corr = views[t]
        if parameter.component == "sd":
            at_edge = sd[parameter.index[0]] == 0.0
        else:
            inside = bool(np.abs(corr[parameter.index]) < 1.0)  # not so for NaN
            at_edge = not inside or _only_rank_lost(views[t], factors[t])
        if at_edge:
            found.append(parameter)
    return tuple(found)


def boundary_message(
    design: Design, factors: Sequence[Float[np.ndarray, "_k _k"]]
) -> str:
    """One sentence that names what is on the boundary; empty if nothing is."""
    parts = []
    for term, factor in zip(design.groups, factors, strict=True):
        parts += _term_parts(term, factor)
    if not parts:
        return ""
    text = "; ".join(parts)
    return (
        f"{text[0].upper()}{text[1:]}. There is no standard error at the boundary; a "
        f"simpler term, or the posterior, says more."
    )


def _term_parts(term: GroupTerm, factor: Float[np.ndarray, "k k"]) -> list[str]:
    """What one term has on the boundary, as clauses."""
    sd, corr = sd_corr(factor)
    zero = [e for e, value in zip(term.effects, sd, strict=True) if value == 0.0]
    parts = []
    if len(zero) == term.k > 1:
        parts.append(f"all SDs of {term.label} are estimated as 0")
    else:
        parts += [
            f"the SD of {_effect_label(effect, term.group)} is estimated as 0 "
            f"(its levels do not differ beyond the noise)"
            for effect in zero
        ]
    pairs = [
        f"the correlation {term.effects[j]}:{term.effects[i]} of {term.group} is "
        f"estimated as {corr[i, j]:.0f}"
        for j in range(term.k)
        for i in range(j + 1, term.k)
        if abs(corr[i, j]) == 1.0
    ]
    if pairs:
        pairs[-1] += " (one effect of a level determines the other)"
    elif _only_rank_lost((sd, corr), factor):
        pairs = [
            f"the covariance of {term.label} has rank {_rank(factor)} of {term.k} (a "
            f"combination of its effects has variance 0)"
        ]
    return parts + pairs


def _rank(factor: Float[np.ndarray, "k k"]) -> int:
    """Rank of a canonical factor: its pivots that are not exactly 0."""
    return int((np.diag(factor) != 0.0).sum())


def _only_rank_lost(
    view: tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k k"]],
    factor: Float[np.ndarray, "k k"],
) -> bool:
    """Whether the factor is singular though no SD is 0 and no correlation +-1."""
    sd, corr = view
    off = np.abs(corr[np.tril_indices_from(corr, -1)])
    return _rank(factor) < len(sd) and bool((sd > 0.0).all() and (off != 1.0).all())


def _effect_label(effect: str, group: str) -> str:
    """An effect as bambi names it, ``edu|classroom`` or ``1|classroom``."""
    return f"{'1' if effect == 'Intercept' else effect}|{group}"
