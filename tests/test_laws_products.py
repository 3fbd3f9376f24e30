"""Laws of products: no prior of the default set knows where a variable is 0.

``x * arm``, ``x + I(x^2)``, ``f + x:f``: the coefficients of lower orders, and the SDs
of their effects, are those at x = 0; the priors refer to variables at their means, and
so give the same posterior at any zero. Over designs (Hypothesis), the density, draws,
points with weights, the lattice, the joint model, and rows in batches.
"""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from graph_cases import MODE
from hypothesis import given, settings, strategies as st
from sampling import unchecked

from bayeslmm import Model, scan_rows, sum_partition
from bayeslmm.errors import DataWarning
from bayeslmm.graph import to_pymc
from bayeslmm.posterior.quadrature import quadrature
from bayeslmm.posterior.sampling import sample
from bayeslmm.posterior.target import Target, make_target
from bayeslmm.priors import beta_prior

SEEDS = st.integers(0, 2**31)
SHIFTS = st.sampled_from([0.0, -3.7, 100.0, 2006.0, 1e4])
# Closed under a shift of x, of z and of both: every lower order is there.
CLOSED = [
    "y ~ x * z + (1 | g)",
    "y ~ x * f + (x | g)",
    "y ~ x + I(x^2) + (x + I(x^2) | g)",
    "y ~ f + x:f + (1 | g)",
    "y ~ 0 + f + x + (0 + f + x | g)",
    "y ~ 0 + f * x + (1 | g)",
    "y ~ x * z * f + (1 | g)",
    "y ~ poly(x, 2, raw = TRUE) * z + (x * z | g)",
    "y ~ I(x - 5) + I((x - 5)^2) + (1 | g)",
    "y ~ x * z + I(x^2) + I(x * z * x) + I(x^3) + (x | g)",
    "y ~ x * f * h + (x * f | g) + (x | g:h)",
]


def random_data(seed: int) -> pd.DataFrame:
    """Two numbers, two factors whose cells all occur, eight groups."""
    rng = np.random.default_rng(seed)
    n = 120
    x, z = rng.normal(0.0, 2.0, n), rng.normal(1.0, 0.5, n)
    x, z = np.round(x * 64) / 64, np.round(z * 64) / 64  # shifts lose no digit of them
    g, f = np.arange(n) % 8, np.arange(n) // 8 % 3
    h = np.arange(n) // 24 % 2
    y = x + 0.3 * x * z + f * x + rng.normal(0, 1, 8)[g] + rng.normal(0.0, 1.0, n)
    data = {"x": x, "z": z, "y": y, "g": g.astype(str)}
    return pd.DataFrame(data).assign(
        f=np.array(list("abc"))[f], h=np.array(list("uv"))[h]
    )


def target_of(model: Model) -> Target:
    """Target of a model."""
    return make_target(model.design, model.conditioned, model.priors)


def centred_columns(model: Model) -> np.ndarray:
    """Columns of X with products of centred variables, less their means."""
    design, turn = model.design, model.design.fixed_turn
    columns = design.rows.X if turn is None else design.rows.X @ turn
    if design.intercept is None:
        return columns
    means = columns.mean(axis=0)
    means[design.intercept] = 0.0
    return columns - means


@given(SEEDS, st.sampled_from(CLOSED), SHIFTS, SHIFTS)
def test_centred_products_do_not_know_the_zero(
    seed: int, formula: str, x: float, z: float
) -> None:
    """Nor do the moved columns of the bar terms, whose spread sets the SDs' priors."""
    data = random_data(seed)
    one = Model(formula, data)
    with warnings.catch_warnings():
        # x^2 z at 1e12: what its digits cannot hold is said, and bounds what we ask.
        warnings.simplefilter("ignore", DataWarning)
        other = Model(formula, data.assign(x=data.x + x, z=data.z + z))
    ours, theirs = centred_columns(one), centred_columns(other)
    rounded = max((c.step for c in other.design.account.coarse.values()), default=0.0)
    atol = max(1e-4 * (1.0 + np.abs(ours)).max(), 4.0 * rounded)
    np.testing.assert_allclose(theirs, ours, atol=atol)
    for prior, moved in zip(one.priors.fixed, other.priors.fixed, strict=True):
        assert moved.arguments == pytest.approx(prior.arguments, rel=1e-5, abs=1e-5)
    for prior, moved in zip(one.priors.sd, other.priors.sd, strict=True):
        for a, b in zip(prior, moved, strict=True):
            assert b.arguments == pytest.approx(a.arguments, rel=1e-5)


@settings(max_examples=settings().max_examples // 2)
@given(
    SEEDS,
    st.sampled_from(CLOSED),
    st.sampled_from([0.0, -3.7, 100.0, 2006.0]),
    st.sampled_from([0.0, 50.0]),
    st.booleans(),
)
def test_the_density_does_not_know_the_zero(
    seed: int, formula: str, x: float, z: float, streamed: bool
) -> None:
    """At the same point of SDs and correlations, with y shifted too; in batches too."""
    data = random_data(seed)
    moved: Any = data.assign(x=data.x + x, z=data.z + z, y=data.y + 1e3)
    if streamed:
        moved = pa.Table.from_pandas(moved).to_batches(max_chunksize=50)
    with unchecked():
        one, other = target_of(Model(formula, data)), target_of(Model(formula, moved))
    at = one.start + np.random.default_rng(seed).normal(0.0, 0.5, one.start.size)
    np.testing.assert_allclose(other.start, one.start, atol=1e-5)
    value, gradient = one(at)
    found, slope = other(at)
    assert found == pytest.approx(value, abs=1e-4)
    np.testing.assert_allclose(slope, gradient, rtol=1e-4, atol=1e-3)


# x^2 z, of which the sums of squares of x + 2006 kept nothing.
THIRD = "y ~ poly(x, 2, raw = TRUE) * z + (x * z | g)"


def test_parts_of_the_data_have_zeros_of_their_own() -> None:
    """Each part sums products of variables less its own means; these add up too."""
    data = random_data(4).assign(y=lambda d: d.y + 1e3)
    moved = data.assign(x=data.x + 2006.0).sort_values("x")
    scan = scan_rows(THIRD, moved)
    parts = [sum_partition(scan, moved[a : a + 40]) for a in (0, 40, 80)]
    with unchecked():
        one = target_of(Model(THIRD, data))
        apart = Model.from_tally(scan, parts[0] + parts[1] + parts[2])
        other = target_of(apart)
    assert other(one.start)[0] == pytest.approx(one(one.start)[0], abs=1e-6)
    turn = apart.design.fixed_turn
    assert turn is not None
    found = apart.design.fixed_moments.sd()
    np.testing.assert_allclose(found, moved_columns(moved, turn).std(axis=0))


def moved_columns(data: pd.DataFrame, turn: np.ndarray) -> np.ndarray:
    """The columns of X of `THIRD` with products centred, from the rows."""
    rows = Model(THIRD, data).design.rows
    assert rows is not None
    return (rows.X - rows.X.mean(axis=0)) @ turn


@pytest.mark.parametrize(
    ("formula", "dropped"),
    [
        ("y ~ x * v * z + (1 | g)", ("v", "v:z")),
        ("y ~ I(b^2) + b + I(b^2):z + b:z + z + (1 | g)", ("b", "b:z")),
    ],
)
def test_products_of_dropped_columns_keep_their_digits(
    formula: str, dropped: tuple[str, ...]
) -> None:
    """v = 2 x; (b - 3/2)^2 says nothing in the first rows, where b is 1 or 2."""
    data = random_data(6)
    data["x"], data["b"] = data.x + 2006.0, [1.0, 2.0] * 20 + [1.0] * 60 + [2.0] * 20
    data["v"] = 2.0 * data.x
    batches: Any = pa.Table.from_pandas(data).to_batches(max_chunksize=40)
    with unchecked(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        one, other = Model(formula, data), Model(formula, batches)
        assert other.design.account.aliased == dropped
        one, other = target_of(one), target_of(other)
    assert other(one.start)[0] == pytest.approx(one(one.start)[0], abs=1e-6)


def trial(shift: float = 0.0) -> pd.DataFrame:
    """Twenty people measured eight times, two arms that differ in the slope."""
    rng = np.random.default_rng(5)
    g, t = np.repeat(np.arange(20), 8), np.tile(np.arange(8.0), 20)
    arm = (g % 2).astype(float)
    slope = 3.0 + 4.0 * arm + rng.normal(0.0, 1.5, 20)[g]
    y = 50.0 + rng.normal(0.0, 5.0, 20)[g] + slope * t + rng.normal(0.0, 3.0, 160)
    return pd.DataFrame({"x": t + shift, "arm": arm, "y": y, "g": g.astype(str)})


INVARIANT = {
    "y ~ x * arm + (x | g)": ["x:arm", "x", "x|g_sigma", "sigma"],
    "y ~ x + I(x^2) + (x | g)": ["I(x^2)", "x|g_sigma", "sigma"],
}


@pytest.mark.parametrize("formula", INVARIANT)
@pytest.mark.parametrize("method", ["nuts", "importance"])
def test_draws_do_not_know_the_zero(formula: str, method: str) -> None:
    """The interaction at x + 2006 once was .015 for 12.65, and nothing was said."""
    labels = INVARIANT[formula]
    with unchecked():
        tables = [
            sample(Model(formula, trial(c)), seed=1, method=method, draws=300).summary()
            for c in (0.0, 2006.0)
        ]
    one, other = tables
    for column in ("mean", "sd", "lower", "upper"):
        np.testing.assert_allclose(
            other.loc[labels, column], one.loc[labels, column], rtol=1e-4
        )
    if "x:arm" in labels:  # at x = 0 the arms differ by what the slopes differ
        expected = one.loc["arm", "mean"] - 2006.0 * one.loc["x:arm", "mean"]
        assert other.loc["arm", "mean"] == pytest.approx(expected, rel=1e-4)


def test_the_lattice_does_not_know_the_zero() -> None:
    labels = ["x:arm", "x", "sigma"]
    with unchecked():
        one, other = (
            quadrature(Model("y ~ x * arm + (1 | g)", trial(c))).summary()
            for c in (0.0, 2006.0)
        )
    for column in ("mean", "sd", "lower", "upper"):
        off = other.loc[labels, column] - one.loc[labels, column]
        assert (abs(off) < 0.01 * one.loc[labels, "sd"]).all()


@pytest.mark.parametrize("formula", ["y ~ x * arm + (x | g)", "y ~ x * f + (1 | g)"])
@pytest.mark.parametrize("family", ["gaussian", "t"])
def test_the_joint_density_does_not_know_the_zero(formula: str, family: str) -> None:
    """The variables that have the priors are the same at any zero; what is reported of
    them is at x = 0."""
    graphs, points = [], []
    for c in (0.0, 2006.0):
        data = trial(c).assign(f=lambda d: np.where(d.g < "5", "a", "b"))
        graph: Any = to_pymc(Model(formula, data, family=family))
        start = graph.initial_point()
        rng = np.random.default_rng(2)
        points.append({k: rng.normal(0.0, 0.3, v.shape) for k, v in start.items()})
        graphs.append(graph)
    values = [
        float(graph.compile_logp(mode=MODE)(point))
        for graph, point in zip(graphs, points, strict=True)
    ]
    assert values[1] == pytest.approx(values[0], rel=1e-8)
    lower = "arm" if "arm" in formula else "f"
    for graph in graphs:
        names = {v.name for v in graph.free_RVs}
        assert f"{lower}_reference" in names
        assert lower in {v.name for v in graph.deterministics}


def test_a_prior_given_by_name_is_meant_at_zero() -> None:
    """As in bambi and brms: the others stay where they are."""
    given_arm = {"arm": "Normal(0, 7)"}
    model = Model("y ~ x * arm + (x | g)", trial(2006.0), priors=given_arm)
    prior = beta_prior(model.priors, model.design)
    assert prior is not None
    own = model.design.fixed_names.index("arm")
    # the marginal prior of one coefficient is the inverse of the precision's entry
    assert np.linalg.inv(prior.precision)[own, own] == pytest.approx(49.0, rel=1e-4)
    rows = {row[0]: row[2] for row in model.priors.labels}
    assert rows["arm"].endswith("; at x = 0")
    assert rows["x"].endswith("; at the mean of arm")


@pytest.mark.parametrize(
    ("formula", "kept"),
    [("y ~ x:z + (1 | g)", "x:z"), ("y ~ 0 + x + z + (1 | g)", "x")],
)
def test_what_lacks_its_lower_orders_stays(formula: str, kept: str) -> None:
    """The model itself is another one at another zero, so the prior has no choice."""
    model = Model(formula, random_data(1))
    assert model.design.fixed_turn is None
    assert model.priors.fixed_turn is None
    assert all(
        "mean of z" not in row[2] for row in model.priors.labels if row[0] == kept
    )


def test_levels_in_place_of_an_intercept_have_its_prior() -> None:
    data = random_data(3).assign(y=lambda d: d.y + 1e4)
    priors = Model("y ~ 0 + f + x + (1 | g)", data).priors
    for prior in priors.fixed[:3]:
        assert prior.arguments["mu"] == pytest.approx(data.y.mean())
        assert prior.arguments["sigma"] == pytest.approx(2.5 * data.y.std())
    assert priors.fixed[3].arguments["sigma"] == pytest.approx(
        2.5 * data.y.std() / data.x.std()
    )
