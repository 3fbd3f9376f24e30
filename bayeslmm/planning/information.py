"""Expected information of a study: how wide its intervals will be, without a response.

Takes a model, whose response is not looked at, and true parameters; gives the expected
restricted information of the variance parameters, and from it standard errors.

With ``V = sigma^2 I + Z D Z'`` the expected information is
``I_ij = tr(P V_i P V_j) / 2``, where ``P = V^-1 - V^-1 X C X'V^-1`` and ``V_i`` are the
derivatives of V by log SDs, atanh correlations and log sigma. All of it is read off
cross-products (`marginal/linear.py`).

References
----------
.. [1] Searle, Casella and McCulloch (1992). Variance Components, section 6.6.
   https://doi.org/10.1002/9780470316856
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.design.space import Parameter
from bayeslmm.errors import ModelError
from bayeslmm.marginal.conditioned import Conditioned
from bayeslmm.marginal.linear import Change, LinearSums, linear_sums
from bayeslmm.planning.truth import true_parameters
from bayeslmm.simulation import Parameters
from bayeslmm.spec import ModelSpec

# Of log SDs and atanh correlations: the derivative of D is right to 1e-9 of D.
STEP = 1e-5
# Share of the largest eigenvalue of the scaled information below which it is singular.
SINGULAR = 1e-10


@dataclass(frozen=True, slots=True)
class Expected:
    """What a study is expected to know.

    Attributes
    ----------
    labels : tuple of str
        Variance parameters that vary by themselves.
    covariance : ndarray, shape (d, d)
        Of log SDs, atanh correlations and log sigma: the inverse information. NaN
        where there is none: an SD of 0, or what the design cannot tell apart.
    beta_cov : ndarray, shape (p, p)
        Of the fixed effects, the variance parameters being known.
    df : ndarray, shape (p,)
        Satterthwaite's degrees of freedom of each, by this covariance.
    """

    labels: tuple[str, ...]
    covariance: Float[np.ndarray, "d d"]
    beta_cov: Float[np.ndarray, "p p"]
    df: Float[np.ndarray, " p"]


def free_variances(design: Design) -> tuple[Parameter, ...]:
    """Variance parameters that vary by themselves: of equal SDs the first."""
    found = []
    for parameter in design.space.variances:
        t = parameter.term
        equal = t is not None and design.groups[t].covariance.homogeneous
        before = {own.term for own in found if own.component == "sd"}
        if not (equal and parameter.component == "sd" and t in before):
            found.append(parameter)
    return tuple(found)


def expected_information(model: ModelSpec, values: Mapping[str, float]) -> Expected:
    """The expected information of a model at true values of every parameter.

    Parameters
    ----------
    model : ModelSpec
        Gaussian, with independent residuals.
    values : mapping of str to float
        By label.

    Raises
    ------
    ModelError
        If the residuals have a structure.
    """
    if model.design.residual is not None:
        raise ModelError(
            f"The expected information is known here for independent residuals, and "
            f"these are {model.residual}. Use method='simulation'."
        )
    free, conditioned = free_variances(model.design), model.conditioned
    truth = true_parameters(model.design, values)
    own = [_covariances(conditioned, truth)]
    changes = [Change(t, D) for t, D in enumerate(own[0])]
    moved = [p for p in free if p.component != "sigma"]
    for parameter in moved:
        assert parameter.term is not None, "SDs and correlations are of a bar term"
        slope = _slope(model, values, parameter)
        changes.append(Change(parameter.term, slope))
    factors = [_root(D) for D in own[0]]
    sums = linear_sums(conditioned.statistics, factors, changes)
    combined = _combinations(len(own[0]), free)
    C0 = np.linalg.inv(sums.XX)
    information = 0.5 * combined @ _form(sums, C0) @ combined.T
    covariance = _inverse(information)
    turn = truth.sigma * conditioned.coefficient_turn() / conditioned.unit
    moves = -np.tensordot(combined, C0 @ sums.P @ C0, 1)
    beta_cov = turn @ C0 @ turn.T
    slopes = np.einsum("pa,iab,pb->pi", turn, moves, turn)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.einsum("pi,ij,pj->p", slopes, covariance, slopes)
        df = 2.0 * np.diag(beta_cov) ** 2 / spread
    labels = tuple(parameter.label for parameter in free)
    return Expected(labels, covariance, beta_cov, df)


def _covariances(
    conditioned: Conditioned, truth: Parameters
) -> tuple[Float[np.ndarray, "_k _k"], ...]:
    """Relative covariances of the safe columns of each bar term."""
    found = []
    for t, factor in enumerate(truth.factors):
        root = np.linalg.solve(conditioned.spread(t), factor) / truth.sigma
        found.append(root @ root.T)
    return tuple(found)


def _root(D: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "k k"]:
    """A lower triangular root of a covariance, which may be singular."""
    values, vectors = np.linalg.eigh(D)
    upper = np.linalg.qr((vectors * np.sqrt(np.maximum(values, 0.0))).T, mode="r")
    return upper.T * np.where(np.diag(upper) < 0.0, -1.0, 1.0)


def _slope(
    model: ModelSpec, values: Mapping[str, float], parameter: Parameter
) -> Float[np.ndarray, "k k"]:
    """Derivative of the relative covariance of its term by a working parameter."""
    at = float(parameter.working(np.array(values.get(parameter.label, 0.0))))
    ends = []
    for step in (STEP, -STEP):
        moved = float(parameter.natural(np.array(at + step)))
        own = {**values, **_equal(model, parameter, moved)}
        truth = true_parameters(model.design, own)
        ends.append(_covariances(model.conditioned, truth)[parameter.term or 0])
    return (ends[0] - ends[1]) / (2.0 * STEP)


def _equal(model: ModelSpec, parameter: Parameter, value: float) -> dict[str, float]:
    """The value under each label that has it: of equal SDs all."""
    t = parameter.term
    if parameter.component != "sd" or t is None:
        return {parameter.label: value}
    if not model.design.groups[t].covariance.homogeneous:
        return {parameter.label: value}
    return {own.label: value for own in model.design.space.sds(t)}


def _combinations(
    n_terms: int, free: tuple[Parameter, ...]
) -> Float[np.ndarray, "d i"]:
    """Derivatives of V0 by the free parameters, as combinations of the changes.

    Those are ``Z_t D_t Z_t'`` of each term, those by SDs and correlations, then V0. By
    log sigma, D being held, ``sigma^2 I`` moves: twice V0 less the former.
    """
    moved = sum(p.component != "sigma" for p in free)
    found = np.zeros((len(free), n_terms + moved + 1))
    place = n_terms
    for row, parameter in enumerate(free):
        if parameter.component == "sigma":
            found[row, :n_terms], found[row, -1] = -2.0, 2.0
        else:
            found[row, place] = 1.0
            place += 1
    return found


def _form(sums: LinearSums, C0: Float[np.ndarray, "p p"]) -> Float[np.ndarray, "i i"]:
    """``tr(P V_i P V_j)`` of the changes."""
    with_beta = np.einsum("pq,ijqp->ij", C0, sums.Q)
    squares = np.einsum("ipq,jqp->ij", C0 @ sums.P, C0 @ sums.P)
    return sums.traces - 2.0 * with_beta + squares


def _inverse(information: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Covariance; NaN where there is no information or parameters go together."""
    size = np.sqrt(np.maximum(np.diag(information), 0.0))
    there = size > 0.0
    found = np.full(information.shape, np.nan)
    if there.any():
        unit = 1.0 / size[there]
        scaled = information[np.ix_(there, there)] * np.outer(unit, unit)
        values = np.linalg.eigvalsh(scaled)
        if values[0] > SINGULAR * values[-1]:
            found[np.ix_(there, there)] = np.linalg.inv(scaled) * np.outer(unit, unit)
    return found
