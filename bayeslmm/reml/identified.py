"""Which variance parameters the design can tell apart, whatever the response.

The restricted likelihood knows of V = W^-1 sigma^2 + sum_t Z_t Sigma_t Z_t' only P V
P, with P the projection off the fixed effects; the full likelihood knows V. A change of
the parameters that leaves that alone leaves the criterion alone: the SD of a grouping
factor that is a fixed effect too, a slope that is constant within levels beside its
intercept.
Takes the model in safe coordinates and an estimate; gives the directions of the
working parameters (log SDs, atanh correlations, log sigma) that nothing identifies.
They are those whose change of the covariances' entries lies in the null space of the
`entry_products`, which do not depend on the estimate.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_triangular

from bayeslmm.covariance import Structure
from bayeslmm.design.arrays import Design
from bayeslmm.design.space import SIGMA, Parameter
from bayeslmm.marginal import Statistics
from bayeslmm.marginal.conditioned import Conditioned
from bayeslmm.reml.entries import entry_positions, entry_products
from bayeslmm.reml.status import sd_corr

# Eigenvalues of the products, scaled to 1 on the diagonal, that are rounding.
NOTHING = 1e-10
# Share of a change of parameters that is rounding beside what the products see of it.
UNSEEN = 1e-9
# Share of a null direction in a parameter that is rounding.
MOVES = 1e-6


def flat_directions(
    design: Design,
    conditioned: Conditioned,
    shown: Sequence[Parameter],
    safe: Sequence[Float[np.ndarray, "_k _k"]],
    data: Sequence[Float[np.ndarray, "_k _k"]],
    *,
    restricted: bool,
) -> Float[np.ndarray, "d r"]:
    """Orthonormal directions of working parameters that leave the criterion alone.

    Parameters
    ----------
    design : Design
        Arrays of the model.
    conditioned : Conditioned
        The model in safe coordinates, each term at the origin of the data.
    shown : sequence of Parameter
        SDs above 0, sigma, and correlations that exist; one of +-1 moves inward.
    safe : sequence of ndarray, shape (k_t, k_t)
        Estimated factors of the safe columns, relative to sigma.
    data : sequence of ndarray, shape (k_t, k_t)
        The same of the data's columns, with exact zeros.
    restricted : bool
        REML rather than ML.

    Returns
    -------
    ndarray, shape (d, r)
        No column where everything is identified, or it would take long to say.
    """
    none = np.zeros((len(shown), 0))
    found = _unseen(conditioned.statistics, restricted=restricted)
    if found is None:
        return none
    null, size = found
    changes = [size * _change(design, conditioned, p, safe, data) for p in shown]
    unit = np.maximum(np.linalg.norm(changes, axis=1), np.finfo(float).tiny)
    changes = np.array(changes).T / unit
    seen, turn = np.linalg.svd(changes - null @ (null.T @ changes))[1:]
    flat = turn[seen <= UNSEEN].T / unit[:, None]
    if not flat.shape[1]:
        return none
    basis = np.linalg.qr(flat / np.linalg.norm(flat, axis=0))[0]
    return np.where(np.abs(basis) > MOVES, basis, 0.0)


def unseen_directions(stats: Statistics, *, restricted: bool) -> bool:
    """Whether a change of the entries of the covariances leaves the criterion alone."""
    return _unseen(stats, restricted=restricted) is not None


def _unseen(
    stats: Statistics, *, restricted: bool
) -> tuple[Float[np.ndarray, "e r"], Float[np.ndarray, " e"]] | None:
    """Such changes in units of the entries; None without any, or if it takes long."""
    found = entry_products(stats, restricted=restricted)
    if found is None:
        return None
    products, size = found
    values, vectors = np.linalg.eigh(products / np.outer(size, size))
    null = vectors[:, values <= NOTHING]
    return (null, size) if null.shape[1] else None


def _change(
    design: Design,
    conditioned: Conditioned,
    parameter: Parameter,
    safe: Sequence[Float[np.ndarray, "_k _k"]],
    data: Sequence[Float[np.ndarray, "_k _k"]],
) -> Float[np.ndarray, " e"]:
    """Derivative of the entries of the safe covariances by a working parameter.

    Products of columns of the bases with rows of the factors: no digit is lost where x
    is far from 0.
    """
    entries = entry_positions(conditioned.statistics.layout)
    t = parameter.term
    if t is None:
        is_sigma = parameter.label == SIGMA.label
        return np.array([float(entry is None and is_sigma) for entry in entries])
    term, basis = design.groups[t], conditioned.bases[t]
    if parameter.component == "sd":
        own = np.zeros(term.k)
        own[slice(None) if term.covariance.homogeneous else parameter.index[0]] = 1.0
        half = solve_triangular(basis, own[:, None] * basis, lower=True)
        half = half @ (safe[t] @ safe[t].T)
        change = half + half.T
    else:
        sd, corr = sd_corr(term, data[t])
        slope = _corr_change(term.covariance, parameter.index, corr) * np.outer(sd, sd)
        half = solve_triangular(basis, slope, lower=True)
        change = solve_triangular(basis, half.T, lower=True)
    return np.array(
        [0.0 if e is None or e[0] != t else change[e[1], e[2]] for e in entries]
    )


def _corr_change(
    structure: Structure, index: tuple[int, ...], corr: Float[np.ndarray, "k k"]
) -> Float[np.ndarray, "k k"]:
    """Derivative of the correlations by the atanh of one of them."""
    k, pairs = len(corr), structure.correlations.pairs(len(corr))
    values = np.array([corr[pair] for pair in pairs])
    which = [*pairs].index((index[0], index[1]))
    unit = (
        1.0 - values[which] ** 2 or 1.0
    )  # at the end of its range by the correlation itself
    return unit * structure.correlations.slope(values, which, k)
