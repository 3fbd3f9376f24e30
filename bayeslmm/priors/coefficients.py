"""The Normal prior of the fixed effects, as the marginal likelihood integrates it.

Takes `Priors`, whose intercept refers to centred predictors, and gives mean and
precision for the raw columns of X, or for the columns in safe coordinates.
"""

import math

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_triangular

from bayeslmm.design.arrays import Design
from bayeslmm.errors import PriorError
from bayeslmm.marginal import BetaPrior
from bayeslmm.marginal.conditioned import Conditioned
from bayeslmm.priors.prior import Priors


def beta_prior(priors: Priors, design: Design) -> BetaPrior | None:
    """Normal prior of beta on the raw columns of X; None if all of it is flat.

    With centred predictors the prior is on ``A beta``: A adds the plain column means
    times the slopes to the intercept (as bambi centres), and takes products to those of
    centred variables. It has determinant 1, so densities carry over.

    Parameters
    ----------
    priors : Priors
        Priors of the model.
    design : Design
        Arrays of the model.

    Returns
    -------
    BetaPrior or None
        Mean, shape (p,), and precision ``A' D^-1 A``, shape (p, p), with rows of D^-1
        zero where the prior is flat.

    Raises
    ------
    PriorError
        If a coefficient's prior is neither Normal nor flat.
    """
    check_integrable(priors, design)
    mean, width = _normals(priors)
    if not np.isfinite(width).any():
        return None
    return _turned(stated_turn(priors, design), mean, width)


def check_integrable(priors: Priors, design: Design) -> None:
    """Raise `PriorError` if a coefficient's prior is neither Normal nor flat."""
    for name, prior in zip(design.fixed_names, priors.fixed, strict=True):
        if prior.name != "Normal" and not prior.is_flat:
            raise PriorError(
                f"The prior of {name!r} is {prior}. Only Normal and flat priors of "
                "fixed effects can be integrated out; method='joint' samples this one."
            )


def _normals(
    priors: Priors,
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Mean and SD of each Normal prior; 0 and infinity of a flat one."""
    own = [prior.arguments for prior in priors.fixed]
    mean = np.array([arguments.get("mu", 0.0) for arguments in own], float)
    width = np.array([arguments.get("sigma", math.inf) for arguments in own], float)
    return mean, width


def safe_beta_prior(
    priors: Priors, design: Design, conditioned: Conditioned
) -> BetaPrior | None:
    """The same prior, on the fixed effects in safe coordinates.

    With ``beta = B + unit R^-1 s`` on moved columns, s the safe effects, a prior of
    ``A beta`` becomes one of s whose mean and precision have no large numbers in them.

    Parameters
    ----------
    priors, design
        As for `beta_prior`.
    conditioned : Conditioned
        The model in safe coordinates.

    Returns
    -------
    BetaPrior or None
        Mean and precision of s; ``log_det`` stays in the units of the data, what is
        missing is in ``conditioned.log_jacobian``.

    Raises
    ------
    PriorError
        If a coefficient's prior is neither Normal nor flat.
    """
    check_integrable(priors, design)
    mean, width = _normals(priors)
    if not np.isfinite(width).any():
        return None
    stated = stated_turn(priors, design)  # of the coefficients of moved columns
    if design.intercept is not None:
        stated[design.intercept] -= conditioned.means
    away = (mean - stated @ conditioned.beta) / conditioned.unit
    turn = stated @ solve_triangular(conditioned.root, np.eye(design.p))
    return _turned(turn, away, width, conditioned.unit)


def _turned(
    turn: Float[np.ndarray, "p p"],
    mean: Float[np.ndarray, " p"],
    width: Float[np.ndarray, " p"],
    unit: float = 1.0,
) -> BetaPrior:
    """The prior of s that independent Normal priors of ``unit turn s`` amount to.

    `mean` in units, `width` in the units of the data, infinite where the prior is flat.
    """
    proper = np.isfinite(width)
    scaled = turn * (unit / width)[:, None]
    return BetaPrior(
        mean=np.linalg.solve(turn, mean),
        precision=scaled.T @ scaled,
        log_det=-2.0 * float(np.log(width[proper]).sum()),
        n_proper=int(proper.sum()),
    )


def stated_turn(priors: Priors, design: Design) -> Float[np.ndarray, "p p"]:
    """What takes the data's coefficients to those that the priors refer to.

    An intercept is that at the mean of all columns if predictors are centred; products
    are then of centred variables.
    """
    turn = priors.fixed_turn
    found = np.eye(design.p) if turn is None else np.linalg.inv(turn)
    if priors.center_predictors and design.intercept is not None:
        found[design.intercept] = design.moments.X.mean
        found[design.intercept, design.intercept] = 1.0
    return found
