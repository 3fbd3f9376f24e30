"""Curvature at the optimum: standard errors of SDs, correlations and sigma.

Takes a `ProfiledProblem` at its optimum, gives the `Information`: the covariance of the
working parameters (log SDs, atanh correlations, log sigma: on these scales a Wald
interval stays inside what is possible). The Hessian of the profiled criterion comes
from differences of its exact gradient; sigma, which is profiled out, comes back through

    log sigma = log sigma_hat(theta) + error,   var(error) = 1 / (2 dof).

A parameter at its boundary has no SE and is held there; neither has one that the data
do not identify. Both are NaN, with the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import null_space

from bayeslmm.design.arrays import Design
from bayeslmm.design.space import SIGMA, Parameter
from bayeslmm.marginal.objective import steps
from bayeslmm.reml.arbitrary import arbitrary_fixef
from bayeslmm.reml.criterion import ProfiledProblem
from bayeslmm.reml.identified import flat_directions
from bayeslmm.reml.newton import Curvature
from bayeslmm.reml.optimise import Optimum, curvature_at, free_parameters
from bayeslmm.reml.status import is_finite_corr, read_parameters

# Step of the central differences, in relative SDs of scaled columns: the working
# parameters and log sigma_hat are smooth there on a scale of about 1.
DIFFERENCE = 1e-5
# Curvature along a direction below this share of that along one parameter is none: such
# an SE would be 300 times that with the other parameters known.
FLAT = 1e-5
# A parameter has no SE if more than this share of its variation is along such
# directions.
NEGLIGIBLE = 1e-3
# Curvature along one entry below this share of the largest is rounding.
ROUNDING = 1e-9
# Why a parameter has no SE, if nothing in the data determines it.
NOT_IDENTIFIED = "not identified by the data"
# Why a fixed effect has none, if its variance has such a parameter in it.
ARBITRARY = "goes with what is not identified"


@dataclass(frozen=True, slots=True)
class Information:
    """Uncertainty of the variance parameters.

    Attributes
    ----------
    labels : tuple of str
        SDs, correlations and sigma, in the order of every table.
    covariance : ndarray, shape (d, d)
        Covariance of log SDs (log units of y per unit of the column), atanh
        correlations (unit-free) and log sigma, the inverse of the observed information;
        NaN where there is none.
    se : ndarray, shape (d,)
        Standard errors on the scale of the parameters themselves (delta method).
    reasons : dict of str to str
        Why the SE of a label is NaN; of fixed effects too.
    """

    labels: tuple[str, ...]
    covariance: Float[np.ndarray, "d d"]
    se: Float[np.ndarray, " d"]
    reasons: dict[str, str]


def fit_information(
    problem: ProfiledProblem,
    design: Design,
    optimum: Optimum,
    boundary: tuple[Parameter, ...],
) -> Information:
    """Information of the variance parameters at an optimum.

    Parameters
    ----------
    problem : ProfiledProblem
        The criterion.
    design : Design
        Arrays of the model.
    optimum : Optimum
        Its minimum.
    boundary : tuple of Parameter
        Parameters that stand on their boundary.

    Returns
    -------
    Information
        Covariance, SEs and the reasons where there are none.
    """
    shown = design.space.variances
    if not optimum.converged:
        return _no_information(shown)
    reasons = {parameter.label: "on the boundary" for parameter in boundary}
    free = free_parameters(problem, optimum.theta, optimum.gradient)
    curvature = optimum.curvature or curvature_at(problem, optimum.theta, free)
    if curvature is None:
        return _no_information(shown)
    inside = [i for i, p in enumerate(shown) if p.label not in reasons]
    kept = [shown[i] for i in inside]
    slopes, sigma_slope = _working_slopes(
        problem, design, kept, optimum.theta, curvature.frame
    )
    rounded = ~np.isfinite(slopes).all(axis=1)  # far from zero, a correlation to +-1
    slopes[rounded] = 0.0
    flat, afloat = _flat(problem, design, optimum, shown, kept)
    root, unknown, moves = _theta_spread(curvature, slopes, flat)
    reasons |= dict.fromkeys(afloat, NOT_IDENTIFIED)
    unknown |= np.array([parameter.label in afloat for parameter in kept], bool)
    for parameter in np.array(kept, object)[unknown]:
        reasons[parameter.label] = NOT_IDENTIFIED
    for parameter in np.array(kept, object)[rounded]:
        reasons[parameter.label] = "on the boundary"
    unknown |= rounded
    loose = np.flatnonzero(arbitrary_fixef(problem, optimum.theta, moves))
    reasons |= {p.label: ARBITRARY for p in design.space.fixed if p.index[0] in loose}
    found = root @ root.T + np.outer(sigma_slope, sigma_slope) / (2 * problem.dof)
    known = np.array(inside)[~unknown]
    covariance = np.full((len(shown), len(shown)), np.nan)
    covariance[np.ix_(known, known)] = found[np.ix_(~unknown, ~unknown)]
    sigma = problem.conditioned.unit * problem.profile(optimum.theta).sigma
    values = _values(problem, design, shown, optimum.theta, sigma)
    natural = [p.slope(value) for p, value in zip(shown, values, strict=True)]
    se = np.sqrt(np.diag(covariance)) * natural
    return Information(tuple(p.label for p in shown), covariance, se, reasons)


def _flat(
    problem: ProfiledProblem,
    design: Design,
    optimum: Optimum,
    shown: Sequence[Parameter],
    kept: Sequence[Parameter],
) -> tuple[Float[np.ndarray, "d r"], list[str]]:
    """Flat directions of the parameters inside their range, and all labels in any.

    A correlation of +-1 from which a flat direction leads away is where it is by
    chance: it is not on its boundary. Under structured residuals the curvature alone
    tells: what the design shows holds for independent ones.
    """
    if problem.stack is not None:
        return np.zeros((len(kept), 0)), []
    safe, inside = problem.factors(optimum.theta), {p.label for p in kept}
    relative = problem.data_factors(optimum.theta)
    told = [
        p for p in shown if p.label in inside or is_finite_corr(design, p, relative)
    ]
    flat = flat_directions(
        design,
        problem.conditioned,
        told,
        safe,
        relative,
        restricted=problem.restricted,
    )
    rows = np.array([p.label in inside for p in told], bool)
    afloat = [p.label for p, moves in zip(told, flat.any(axis=1), strict=True) if moves]
    if flat.shape[1] and not rows.all():
        return flat[rows] @ null_space(flat[~rows]), afloat
    return flat[rows], afloat


def _no_information(shown: tuple[Parameter, ...]) -> Information:
    """All NaN: there is no minimum to be curved."""
    labels = tuple(parameter.label for parameter in shown)
    d = len(labels)
    reasons = dict.fromkeys(labels, "the fit did not converge")
    return Information(labels, np.full((d, d), np.nan), np.full(d, np.nan), reasons)


def scaled_values(curvature: Curvature) -> Float[np.ndarray, " f"]:
    """Curvatures of the criterion in units in which each entry's own is 1."""
    unit = _units(0.5 * curvature.hessian)
    return np.linalg.eigvalsh(0.5 * curvature.hessian * np.outer(unit, unit))


def _units(information: Float[np.ndarray, "f f"]) -> Float[np.ndarray, " f"]:
    """Steps along the entries that change half the criterion by 1/2."""
    diagonal = np.diag(information)
    least = ROUNDING * max(float(diagonal.max(initial=0.0)), 1.0)
    return 1.0 / np.sqrt(np.maximum(diagonal, least))


def _theta_spread(
    curvature: Curvature,
    slopes: Float[np.ndarray, "d f"],
    known_flat: Float[np.ndarray, "d r"],
) -> tuple[Float[np.ndarray, "d s"], Bool[np.ndarray, " d"], Float[np.ndarray, "m q"]]:
    """Root of the covariance of the working parameters that theta brings to them.

    With it, which of them move along a direction in which the criterion is flat: those
    that the design says are, and any that the curvature adds. Along the former there
    is nothing but rounding, so they are left out first. Last, all those directions.
    """
    information = 0.5 * curvature.hessian
    unit = _units(information)
    moves = np.linalg.lstsq(slopes * unit, known_flat, rcond=None)[0]
    complete, _ = np.linalg.qr(moves, mode="complete")
    rest = complete[:, moves.shape[1] :]
    inner = rest.T @ (information * np.outer(unit, unit)) @ rest
    values, vectors = np.linalg.eigh(inner)
    along = (slopes * unit) @ rest @ vectors
    flat = values <= FLAT
    reach = np.linalg.norm(along[:, flat], axis=1)
    unknown = reach > NEGLIGIBLE * np.linalg.norm(along, axis=1)
    unknown |= known_flat.any(axis=1)
    everywhere = unit[:, None] * np.hstack([moves, rest @ vectors[:, flat]])
    root = along[:, ~flat] / np.sqrt(values[~flat])
    return root, unknown, curvature.frame @ everywhere


def _working_slopes(
    problem: ProfiledProblem,
    design: Design,
    kept: Sequence[Parameter],
    theta: Float[np.ndarray, " m"],
    frame: Float[np.ndarray, "m f"],
) -> tuple[Float[np.ndarray, "d f"], Float[np.ndarray, " d"]]:
    """Derivatives of the working parameters along a frame, and by log sigma's error."""

    def at(point: Float[np.ndarray, " m"]) -> Float[np.ndarray, " d"]:
        """Working values with sigma held at 1."""
        values = _values(problem, design, kept, point, 1.0)
        pairs = zip(kept, values, strict=True)
        return np.array([p.working(value) for p, value in pairs])

    found = steps(theta, frame, DIFFERENCE, problem.bounds)
    with np.errstate(invalid="ignore"):
        columns = [(at(u) - at(d)) / far for u, d, far in zip(*found, strict=True)]
    slopes = np.array(columns).T.reshape(len(kept), frame.shape[1])
    in_sigma = np.array([float(p.component == "sd" or p == SIGMA) for p in kept])
    slopes += np.outer(in_sigma, frame.T @ problem.log_sigma_slope(theta))
    return slopes, in_sigma


def _values(
    problem: ProfiledProblem,
    design: Design,
    shown: Sequence[Parameter],
    theta: Float[np.ndarray, " m"],
    sigma: float,
) -> Float[np.ndarray, " d"]:
    """Values of variance parameters at a theta and a sigma."""
    factors = [sigma * factor for factor in problem.data_factors(theta)]
    scalars = {**problem.space.scalars(theta), SIGMA.label: sigma}
    return read_parameters(design, shown, factors, scalars)
