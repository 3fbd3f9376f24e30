"""One function, read twice: REML and draws of one seed, whatever the zero and the unit.

Cross-products are conditioned once and read by both; so not only the estimates but each
draw of a seed moves with ``y + c``, ``y * c``, ``x + c``, ``x * c``, for c up to 1e9,
from a frame and from batches.
"""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sampling import sample_unchecked

from bayeslmm import Model
from bayeslmm.reml.estimate import fit_reml

# x, y: what is added to them, then what they are multiplied with
MOVES = [
    (1e9, 0.0, 1.0, 1.0),
    (-1e9, 1e9, 1.0, 1.0),
    (0.0, 0.0, 1e9, 1.0),
    (0.0, 0.0, 1.0, 1e9),
    (0.0, 0.0, 1e-9, 1e-9),
    (1e9, -1e9, 1e-9, 1e9),
]


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """Ten groups of twenty; no move loses a digit of x or y before it is scaled."""
    rng = np.random.default_rng(3)
    n = 200
    g, x = np.arange(n) % 10, rng.normal(0.0, 2.0, n)
    y = 1.0 + 0.5 * x + rng.normal(0.0, 1.0, 10)[g] + rng.normal(0.0, 0.5, 10)[g] * x
    y += rng.normal(size=n)
    rounded = {"x": np.round(x * 64) / 64, "y": np.round(y * 64) / 64}
    return pd.DataFrame({**rounded, "g": g.astype(str)})


def numbers(model: Model, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """Estimates with the criterion, and draws, in the units of the data unmoved."""
    reml = fit_reml(model)
    post = sample_unchecked(model, draws=60, chains=2, seed=1)
    sizes = {"x": y / x, "sigma": y, "1|g_sigma": y, "x|g_sigma": y / x}
    labels = [label for label in reml.summary().index if label in sizes]
    if "x|g_sigma" in labels:
        labels.remove("1|g_sigma")  # that at x = 0
    n = model.design.n
    criterion = reml.criterion - 2.0 * ((n - 2) * math.log(y) + math.log(x))
    found = [reml.summary().loc[label, "estimate"] / sizes[label] for label in labels]
    drawn = [post.draws(label) / sizes[label] for label in labels]
    return np.array([*found, criterion]), np.array(drawn)


@pytest.mark.parametrize(
    ("formula", "streamed"),
    [
        ("y ~ x + (1 | g)", False),
        ("y ~ x + (x | g)", True),
        # each half is above; the weekly run has the other pairs
        pytest.param("y ~ x + (1 | g)", True, marks=pytest.mark.slow),
        pytest.param("y ~ x + (x | g)", False, marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("user_speed")
def test_estimates_and_draws_move_with_zero_and_unit(
    formula: str, streamed: bool, data: pd.DataFrame
) -> None:
    """Measured: estimates to 1e-6 and draws to 3e-8 where x has lost digits."""
    estimates, draws = numbers(Model(formula, data), 1.0, 1.0)
    for x, y, by_x, by_y in MOVES:
        moved = data.assign(x=(data["x"] + x) * by_x, y=(data["y"] + y) * by_y)
        rows = pa.Table.from_pandas(moved)
        other = Model(formula, rows.to_batches(max_chunksize=70) if streamed else moved)
        theirs, drawn = numbers(other, by_x, by_y)
        np.testing.assert_allclose(theirs, estimates, atol=5e-6)
        np.testing.assert_allclose(drawn, draws, atol=1e-6)
