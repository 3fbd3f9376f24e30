"""Average information against its definition, dense, with explicit inverses."""

import numpy as np
import pytest
from helpers import (
    LAYOUTS,
    dense_criterion,
    dense_V,
    dense_Z,
    random_design,
    random_factors,
    response,
)

from bayeslmm.marginal import Direction, cross_products, profiled_curvature

EXACT = 1e-9  # same algebra by two routes, with dense inverses on one side


def all_directions(relative):
    """One direction for each entry of the lower triangles."""
    found = []
    for t, L in enumerate(relative):
        for i, j in zip(*np.tril_indices(len(L)), strict=True):
            slope = np.zeros_like(L)
            slope[i, j] = 1.0
            found.append(Direction(t, slope))
    return found


def dense_average(design, relative, directions, *, restricted):
    """q_i'P q_j for q_i = V_i P y, with sigma^2 profiled out."""
    _, sigma, _ = dense_criterion(design, relative, restricted=restricted)
    V = dense_V(design, [sigma * L for L in relative], sigma)
    Vinv, X = np.linalg.inv(V), design.rows.X
    P = Vinv - Vinv @ X @ np.linalg.inv(X.T @ Vinv @ X) @ X.T @ Vinv
    Py = P @ response(design)
    working = []
    for direction in directions:
        Z, L = dense_Z(design, direction.term), relative[direction.term]
        moved = direction.slope @ L.T + L @ direction.slope.T
        levels = np.eye(design.groups[direction.term].n_levels)
        working.append(sigma**2 * Z @ np.kron(levels, moved) @ Z.T @ Py)
    q = np.array([*working, V @ Py / sigma**2])
    full = q @ (P if restricted else Vinv) @ q.T
    # Py = Vinv (y - X beta), so y'Py is dof at the profiled sigma
    with_sigma = full[:-1, -1]
    return full[:-1, :-1] - np.outer(with_sigma, with_sigma) / full[-1, -1]


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("effects", [(1, 2), (2, 1), (3, 2)])
def test_average_information_is_its_definition(layout, effects, restricted):
    rng = np.random.default_rng(31)
    effects = effects[:1] if layout == "one" else effects
    design = random_design(
        rng, layout=layout, effects=effects, weights=True, offset=True, n=60
    )
    relative = random_factors(rng, design)
    directions = all_directions(relative)
    criterion, _, found = profiled_curvature(
        cross_products(design), relative, directions, restricted=restricted
    )
    dense = dense_average(design, relative, directions, restricted=restricted)
    assert found == pytest.approx(dense, rel=EXACT, abs=EXACT * np.abs(dense).max())
    expected = dense_criterion(design, relative, restricted=restricted)[0]
    assert criterion == pytest.approx(expected, rel=1e-10)
