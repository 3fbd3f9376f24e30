"""Which variance parameters the design can tell apart, whatever the response.

The restricted likelihood knows of V = W^-1 sigma^2 + sum_t Z_t Sigma_t Z_t' only P V
P, with P the projection off the fixed effects; the full likelihood knows V. A change of
the parameters that leaves that alone leaves the criterion alone: the SD of a grouping
factor that is a fixed effect too, a slope that is constant within levels beside its
intercept.
Takes the model in safe coordinates and an estimate; gives the directions of the
working parameters (log SDs, atanh correlations, log sigma) that nothing identifies: the
null space of the products tr(P V_i P V_j) of the derivatives of V, read off
cross-products.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_triangular

from bayeslmm.covariance import is_homogeneous
from bayeslmm.design.arrays import Design, Parameter
from bayeslmm.fit.status import sd_corr
from bayeslmm.marginal.conditioned import Conditioned
from bayeslmm.marginal.statistics import Statistics
from bayeslmm.marginal.sums import block_pairs

# Coordinates of all random effects up to which their products are made dense.
MOST_COORDINATES = 1200
# Multiplications that the products of all entries of the covariances may take: 1 s.
MOST_OPERATIONS = 1e9
# Eigenvalues of the products, scaled to 1 on the diagonal, that are rounding; and a
# diagonal this small beside that without the fixed effects.
NOTHING = 1e-10
# Share of a null direction in a parameter that is rounding.
MOVES = 1e-6

Change = tuple[int | None, Float[np.ndarray, "_k _k"] | None]
"""A change of the covariance of a term, or of the residual's for None."""


def flat_directions(
    design: Design,
    conditioned: Conditioned,
    shown: Sequence[Parameter],
    factors: Sequence[Float[np.ndarray, "_k _k"]],
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
        SDs, correlations and sigma that are inside their range.
    factors : sequence of ndarray, shape (k_t, k_t)
        Estimated factors of the data's columns, relative to sigma.
    restricted : bool
        REML rather than ML.

    Returns
    -------
    ndarray, shape (d, r)
        No column where everything is identified, or there are too many random effects
        to say beforehand.
    """
    stats = conditioned.statistics
    none = np.zeros((len(shown), 0))
    m = sum(b.n_levels * b.k for b in stats.layout.blocks)
    entries = _entries(design)
    if m > MOST_COORDINATES or (m * len(entries)) ** 2 > MOST_OPERATIONS:
        return none
    products, starts = _dense_products(stats)
    whole = products
    if restricted and stats.p:
        X, F = stats.WW[:-1, :-1], _fixed_columns(stats)
        products = whole - F @ np.linalg.solve(X, F.T)
    rows = stats.n - (stats.p if restricted else 0)

    def null_space(changes: list[Change]) -> Float[np.ndarray, "c r"]:
        """Combinations of changes of V that the criterion does not see."""
        gram = _gram(stats, products, starts, changes, rows)
        size = np.sqrt(np.diag(_gram(stats, whole, starts, changes, stats.n)))
        size[size <= NOTHING * size.max()] = size.max()  # no row knows of it
        values, vectors = np.linalg.eigh(gram / np.outer(size, size))
        return vectors[:, values <= NOTHING] / size[:, None]

    # in entries of safe covariances first, which are well scaled wherever x is 0
    if not null_space(entries).shape[1]:
        return none
    null = null_space([_change(design, conditioned, p, factors) for p in shown])
    if not null.shape[1]:
        return none
    basis = np.linalg.qr(null / np.linalg.norm(null, axis=0))[0]
    return np.where(np.abs(basis) > MOVES, basis, 0.0)


def _entries(design: Design) -> list[Change]:
    """A change of each entry of each term's covariance, and of the residual's."""
    found: list[Change] = [(None, None)]
    for t, term in enumerate(design.groups):
        for i in range(term.k):
            for j in range(i + 1):
                change = np.zeros((term.k, term.k))
                change[i, j] = change[j, i] = 1.0
                found.append((t, change))
    return found


def _dense_products(
    stats: Statistics,
) -> tuple[Float[np.ndarray, "m m"], dict[int, int]]:
    """``Z'WZ`` of all blocks by level and effect; first coordinate of each block."""
    layout, start, starts = stats.layout, 0, {}
    for b, block in enumerate(layout.blocks):
        starts[b] = start
        start += block.n_levels * block.k
    dense = np.zeros((start, start))
    for b, (block, A) in enumerate(zip(layout.blocks, stats.sums.A, strict=True)):
        at = starts[b] + block.k * np.arange(block.n_levels)
        for i in range(block.k):
            for j in range(block.k):
                dense[at + i, at + j] = A[:, i, j]
    position = {block.terms: b for b, block in enumerate(layout.blocks)}
    for (one, other), cells in zip(block_pairs(layout), stats.sums.cells, strict=True):
        level, other_level = np.divmod(cells.keys, other.n_levels)
        rows = starts[position[one.terms]] + one.k * level
        columns = starts[position[other.terms]] + other.k * other_level
        for i in range(one.k):
            for j in range(other.k):
                dense[rows + i, columns + j] = cells.values[:, i, j]
                dense[columns + j, rows + i] = cells.values[:, i, j]
    return dense, starts


def _fixed_columns(stats: Statistics) -> Float[np.ndarray, "m p"]:
    """``Z'WX`` in the order of `_dense_products`."""
    return np.vstack([F.reshape(-1, F.shape[2])[:, :-1] for F in stats.sums.F])


def _change(
    design: Design,
    conditioned: Conditioned,
    parameter: Parameter,
    factors: Sequence[Float[np.ndarray, "_k _k"]],
) -> Change:
    """Derivative of a term's covariance by a working parameter, in safe columns."""
    t = parameter.term
    if t is None:
        return None, None
    term, factor = design.groups[t], factors[t]
    covariance = factor @ factor.T
    sd, corr = sd_corr(factor)
    if parameter.component == "sd":
        own = np.zeros(term.k)
        shared = is_homogeneous(term.structure)
        own[slice(None) if shared else parameter.index[0]] = 1.0
        change = (own[:, None] + own) * covariance
    else:
        change = _corr_change(term.structure, parameter.index, corr)
        change = change * np.outer(sd, sd)
    basis = conditioned.bases[t]
    half = solve_triangular(basis, change, lower=True)
    return t, solve_triangular(basis, half.T, lower=True)


def _corr_change(
    structure: str, index: tuple[int, ...], corr: Float[np.ndarray, "k k"]
) -> Float[np.ndarray, "k k"]:
    """Derivative of the correlations by the atanh of one of them."""
    k, rho = len(corr), float(corr[index])
    slope = 1.0 - rho**2
    if structure in ("ar1", "hetar1"):
        lag = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
        return slope * np.where(lag > 0, lag * rho ** np.maximum(lag - 1.0, 0.0), 0.0)
    change = np.zeros((k, k))
    if structure in ("cs", "homcs"):
        return slope * (1.0 - np.eye(k))
    change[index] = change[index[::-1]] = slope
    return change


def _gram(
    stats: Statistics,
    products: Float[np.ndarray, "m m"],
    starts: dict[int, int],
    changes: Sequence[Change],
    rows: int,
) -> Float[np.ndarray, "d d"]:
    """``tr(P V_i P V_j)`` of the changes of V; that by log sigma is 2 W^-1."""
    applied = [
        None if change is None else _times(stats, products, starts, t, change)
        for t, change in changes
    ]
    gram = np.empty((len(changes), len(changes)))
    for i, one in enumerate(applied):
        for j, other in enumerate(applied):
            if one is not None and other is not None:
                gram[i, j] = float((one * other.T).sum())
            elif one is not None:
                gram[i, j] = 2.0 * float(np.trace(one))
            elif other is not None:
                gram[i, j] = 2.0 * float(np.trace(other))
            else:
                gram[i, j] = 4.0 * rows
    return gram


def _times(
    stats: Statistics,
    products: Float[np.ndarray, "m m"],
    starts: dict[int, int],
    t: int | None,
    change: Float[np.ndarray, "k k"],
) -> Float[np.ndarray, "m m"]:
    """The products times the change of the covariance of every level of a term."""
    found = np.zeros_like(products)
    for b, block in enumerate(stats.layout.blocks):
        if t not in block.terms:
            continue
        inside = block.starts[block.terms.index(t)]
        at = starts[b] + block.k * np.arange(block.n_levels) + inside
        for i, j in zip(*np.nonzero(change), strict=True):
            found[:, at + j] += products[:, at + i] * change[i, j]
    return found
