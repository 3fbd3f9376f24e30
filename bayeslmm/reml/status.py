"""How a fit ended, in one plain sentence.

Takes the estimated factors of a fit and gives a `FitStatus`: whether it converged,
which parameters lie on the boundary of what is possible (an SD of 0, a correlation of
+-1), and what that means for the reader.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.covariance import factor_to_sd_corr
from bayeslmm.design.arrays import Design, GroupTerm
from bayeslmm.design.space import Parameter

# Products of two rounded rows miss 1 by a few units in the last place.
CORR_ROUNDING = 1e-12
# A shared correlation this near to an end of its range is there.
EDGE = 1e-12

NOTHING = np.empty(0)
# The correlation next to 1.
INSIDE = float(np.nextafter(1.0, 0.0))


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

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> status = model.fit_reml().status
    >>> status.converged, status.singular
    (True, False)
    """

    converged: bool
    singular: bool
    message: str
    boundary: tuple[str, ...]
    n_evaluations: int
    gradient_norm: float


def sd_corr(
    term: GroupTerm, factor: Float[np.ndarray, "k k"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, "k k"]]:
    """SDs and correlations of a factor; a correlation of +-1 up to rounding is +-1.

    Shared ones stand where the structure says, whichever effects they are read from.

    Not where the factor has all its pivots: far from x = 0 intercepts and slopes are
    correlated to all digits though no effect determines another.
    """
    sd, corr = factor_to_sd_corr(factor)
    if term.covariance.is_shared(term.k):
        for pair, value in zip(*_free_corrs(term, corr), strict=True):
            corr[pair] = corr[pair[::-1]] = value
    edge = np.abs(corr) > 1.0 - CORR_ROUNDING
    np.fill_diagonal(edge, val=False)
    end = 1.0 if _rank(factor) < len(sd) else INSIDE
    corr[edge] = end * np.sign(corr[edge])
    return sd, corr


def read_parameters(
    design: Design,
    shown: Sequence[Parameter],
    factors: Sequence[Float[np.ndarray, "_k _k"]],
    scalars: Mapping[str, float],
    beta: Float[np.ndarray, " p"] = NOTHING,
) -> Float[np.ndarray, " d"]:
    """Values of some parameters, `beta` if fixed effects are among them."""
    views = [sd_corr(term, L) for term, L in zip(design.groups, factors, strict=True)]
    return np.array([p.read(beta, views, scalars) for p in shown], float)


def is_finite_corr(
    design: Design,
    parameter: Parameter,
    factors: Sequence[Float[np.ndarray, "_k _k"]],
) -> bool:
    """Whether a parameter is a correlation of effects that both have an SD."""
    t = parameter.term
    if parameter.component != "corr" or t is None:
        return False
    return bool(np.isfinite(sd_corr(design.groups[t], factors[t])[1][parameter.index]))


def boundary_parameters(
    design: Design, factors: Sequence[Float[np.ndarray, "_k _k"]]
) -> tuple[Parameter, ...]:
    """Parameters on their boundary: SDs of 0, correlations of +-1 or of a lost rank.

    A correlation with an effect that has an SD of 0 does not exist; it is among them.
    A shared one does as long as two effects that have it have an SD.
    """
    found = []
    views = [sd_corr(term, L) for term, L in zip(design.groups, factors, strict=True)]
    for parameter in design.space.parameters:
        t = parameter.term
        if t is None:
            continue
        term, factor, (sd, corr) = design.groups[t], factors[t], views[t]
        if parameter.component == "sd":
            at_edge = sd[parameter.index[0]] == 0.0
        elif term.covariance.is_full(term.k):
            inside = bool(np.abs(corr[parameter.index]) < 1.0)  # not so for NaN
            at_edge = not inside or _only_rank_lost(factor)
        else:
            at_edge = parameter.index in _shared_at_edge(term, corr)
        if at_edge:
            found.append(parameter)
    return tuple(found)


def boundary_message(
    design: Design,
    factors: Sequence[Float[np.ndarray, "_k _k"]],
    boundary: Sequence[Parameter],
) -> str:
    """One sentence that names what is on the boundary; empty if nothing is.

    Parameters
    ----------
    design : Design
        Arrays of the model.
    factors : sequence of ndarray, shape (k_t, k_t)
        Factor of each term.
    boundary : sequence of Parameter
        Those on it: nothing is said of the correlations of a term that has none there.
    """
    parts = []
    told = {p.term for p in boundary if p.component == "corr"}
    for t, (term, factor) in enumerate(zip(design.groups, factors, strict=True)):
        parts += _sd_clauses(term, factor, design.space.sds(t))
        parts += _corr_clauses(term, factor) if t in told else []
    if not parts:
        return ""
    text = "; ".join(parts)
    return (
        f"{text[0].upper()}{text[1:]}. There is no standard error at the boundary; a "
        f"simpler term, or the posterior, says more."
    )


def _sd_clauses(
    term: GroupTerm, factor: Float[np.ndarray, "k k"], sds: Sequence[Parameter]
) -> list[str]:
    """What is said of SDs of 0."""
    sd, corr = sd_corr(term, factor)
    if term.k > 1 and not sd.any():
        return [f"all SDs of {term.label} are estimated as 0"]
    zero = [
        f"{p.words} is estimated as 0 (its levels do not differ beyond the noise)"
        for p in sds
        if sd[p.index] == 0.0
    ]
    return zero + (_shared_clauses(term, sd, corr) if zero else [])


def _shared_clauses(
    term: GroupTerm, sd: Float[np.ndarray, " k"], corr: Float[np.ndarray, "k k"]
) -> list[str]:
    """What SDs of 0 leave of correlations that pairs of effects share."""
    own = term.covariance
    if own.is_full(term.k) or not own.is_shared(term.k):
        return []
    if np.isnan(_free_corrs(term, corr)[1]).all():
        return [f"without two SDs above 0 {term.label} has no correlation"]
    words = own.correlations.lost(np.flatnonzero(sd > 0.0).tolist(), term.k)
    return [words.format(label=term.label)] if words else []


def _corr_clauses(term: GroupTerm, factor: Float[np.ndarray, "k k"]) -> list[str]:
    """What is said of correlations at the end of their range, or of a lost rank."""
    _, corr = sd_corr(term, factor)
    if term.covariance.is_shared(term.k) and not term.covariance.is_full(term.k):
        return _shared_edge_clauses(term, corr)
    pairs = [(j, i) for j in range(term.k) for i in range(j + 1, term.k)]
    perfect = [(j, i) for j, i in pairs if abs(corr[i, j]) == 1.0]
    if len(perfect) == len(pairs) > 1:
        return [
            f"every correlation of {term.label} is estimated as 1 or -1 (one effect of "
            f"a level determines the others)"
        ]
    if perfect:
        return [
            f"the correlation {term.effects[j]}:{term.effects[i]} of {term.group} is "
            f"estimated as {corr[i, j]:.0f} (one effect of a level determines the "
            f"other)"
            for j, i in perfect
        ]
    if _only_rank_lost(factor):
        return [
            f"the covariance of {term.label} has rank {_rank(factor)} of {term.k} (a "
            f"combination of its effects has variance 0)"
        ]
    return []


def _shared_edge_clauses(term: GroupTerm, corr: Float[np.ndarray, "k k"]) -> list[str]:
    """The first shared correlation at an end of its range."""
    pairs = [pair for pair in _shared_at_edge(term, corr) if np.isfinite(corr[pair])]
    if not pairs:
        return []
    own = term.covariance.correlations
    which = own.names(term.effects)[own.pairs(term.k).index(pairs[0])]
    several = f" at {which}" if own.count(term.k) > 1 else ""
    value = f"{corr[pairs[0]]:.3g}"
    return [
        f"the correlation{several} of {term.label} is estimated as {value}, the end of "
        f"its range (a combination of the effects of a level has variance 0)"
    ]


def _free_corrs(
    term: GroupTerm, corr: Float[np.ndarray, "k k"]
) -> tuple[list[tuple[int, int]], Float[np.ndarray, " c"]]:
    """Where the free correlations of a term stand, and what they are."""
    own = term.covariance.correlations
    return own.pairs(term.k), term.covariance.read(corr)


def _shared_at_edge(
    term: GroupTerm, corr: Float[np.ndarray, "k k"]
) -> list[tuple[int, int]]:
    """Those of shared correlations at an end of their range, or NaN."""
    pairs, _ = _free_corrs(term, corr)
    values = np.array([corr[pair] for pair in pairs])
    edges = term.covariance.at_edge(values, term.k, EDGE)
    return [pair for pair, edge in zip(pairs, edges, strict=True) if edge]


def _rank(factor: Float[np.ndarray, "k k"]) -> int:
    """Rank of a canonical factor: its pivots that are not exactly 0."""
    return int((np.diag(factor) != 0.0).sum())


def _only_rank_lost(factor: Float[np.ndarray, "k k"]) -> bool:
    """Whether the factor is singular though no SD is 0 and no correlation +-1."""
    if _rank(factor) == len(factor):
        return False
    sd, corr = factor_to_sd_corr(factor)
    off = np.abs(corr[np.tril_indices_from(corr, -1)])
    return bool((sd > 0.0).all() and (off < 1.0 - CORR_ROUNDING).all())
