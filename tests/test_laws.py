"""Laws: what must not change under a shift or a scale of y and of a predictor.

The slope, its SD and the residual SD of a model do not know where x is 0 or in which
unit y is counted; the intercept's parameters follow. Over every route: REML and the
density of the posterior for random designs, draws by NUTS, weighted points and the
lattice for data of the kinds on which this once failed.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st
from sampling import sample_unchecked, unchecked

from bayeslmm import DataError, FitWarning, Model, ModelError, RemlFit
from bayeslmm.comparison.pull import prior_pull
from bayeslmm.posterior.agreement import (
    joint_coordinates,
    log_densities,
    shortfall,
    unvisited_share,
)
from bayeslmm.posterior.mode import Laplace, OtherMode, _search, laplace
from bayeslmm.posterior.quadrature import quadrature
from bayeslmm.posterior.sampling import sample
from bayeslmm.posterior.target import Target, make_target
from bayeslmm.reml.estimate import fit_reml

# The same arithmetic in other units, after a search or a run of the sampler.
LAW = 1e-6
# A density is one evaluation; shifts cost digits of the data themselves.
DENSITY = 1e-8
SEEDS = st.integers(0, 2**31)
SHIFTS = st.sampled_from([0.0, -3.7, 100.0, 2006.0, 1e5])
LEVELS = st.sampled_from([0.0, 1e6, -1e9])
UNITS = st.sampled_from([1.0, 1e-3, 12.0, 1e6, 1e-30, 1e30])
FORMULAS = st.sampled_from(
    ["y ~ x + (x | g)", "y ~ x + (1 | g)", "y ~ x + (x | g) + (1 | h)"]
)


def random_data(seed: int) -> pd.DataFrame:
    """A random design: levels, rows, effects and what they are in."""
    rng = np.random.default_rng(seed)
    levels = int(rng.integers(3, 9))
    n = levels * int(rng.integers(5, 12))
    g, h = rng.permutation(np.arange(n) % levels), rng.permutation(np.arange(n) % 3)
    x = np.round(rng.normal(0.0, 2.0, n), 2)
    slopes = rng.normal(0.0, rng.uniform(0.0, 1.0), levels)
    y = 1.0 + 0.5 * x + rng.normal(0.0, 1.0, levels)[g] + slopes[g] * x
    y += rng.normal(0.0, 0.5, 3)[h] + rng.normal(0.0, 1.0, n)
    return pd.DataFrame({"x": x, "y": y, "g": [f"g{i}" for i in g], "h": h.astype(str)})


def moved(
    data: pd.DataFrame, shift: float, unit: float, level: float, scale: float
) -> pd.DataFrame:
    """The data with another zero and unit of x and y."""
    return data.assign(x=data["x"] * unit + shift, y=(data["y"] + level) * scale)


def target_of(model: Model) -> Target:
    """Target of a model."""
    return make_target(model.design, model.conditioned, model.priors)


# --- REML -----------------------------------------------------------------------------


@given(SEEDS, FORMULAS, SHIFTS, UNITS, LEVELS, UNITS)
@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_reml_does_not_know_zero_or_unit(
    seed: int, formula: str, shift: float, unit: float, level: float, scale: float
) -> None:
    """Slope, its SD, sigma, and the criterion by the change of units."""
    data = random_data(seed)
    with unchecked():
        one = fit_reml(Model(formula, data))
        other = fit_reml(Model(formula, moved(data, shift * unit, unit, level, scale)))
    # REML integrates over the coefficients: a change of their units counts
    n, p = one.model.design.n, 2
    change = 2.0 * ((n - p) * math.log(scale) + math.log(unit))
    assert other.criterion == pytest.approx(one.criterion + change, abs=1e-5)
    found = [
        {**fit.fixef()["estimate"], **fit.varcorr()["estimate"]} for fit in (one, other)
    ]
    for label, power in (("x", 1), ("x|g_sigma", 1), ("sigma", 0)):
        if label not in found[0]:
            continue
        ours, theirs = (estimates[label] for estimates in found)
        tolerance = 1e-4 * max(abs(ours), found[0]["sigma"])
        assert theirs * unit**power / scale == pytest.approx(ours, abs=tolerance)


def estimate(fit: RemlFit, label: str) -> float:
    """One estimate."""
    return float(fit.summary().loc[label, "estimate"])


# --- the density of the posterior -----------------------------------------------------


@given(SEEDS, FORMULAS, SHIFTS, UNITS, LEVELS, UNITS)
def test_the_density_does_not_know_zero_or_unit(
    seed: int, formula: str, shift: float, unit: float, level: float, scale: float
) -> None:
    """At the same point, in other units: less n log of the unit of y, same gradient."""
    rng, data = np.random.default_rng(seed), random_data(seed)
    one = target_of(Model(formula, data))
    other = target_of(Model(formula, moved(data, shift * unit, unit, level, scale)))
    x = one.start + rng.normal(0.0, 0.7, one.start.size)
    step = np.zeros(x.size)
    for i in one.space.scales:
        slope = one.space.told(i).variable.startswith("x|")
        step[i] = math.log(scale) - math.log(unit) * slope
    value, gradient = one(x)
    found, slope = other(x + step)
    change = one.statistics.n * math.log(scale)
    assert found + change == pytest.approx(value, rel=DENSITY, abs=1e-6)
    np.testing.assert_allclose(slope, gradient, rtol=1e-5, atol=1e-4)


@given(SEEDS, FORMULAS)
def test_the_density_does_not_know_rows_or_names(seed: int, formula: str) -> None:
    """Other order of rows, other labels that sort otherwise."""
    rng, data = np.random.default_rng(seed), random_data(seed)
    other = data.sample(frac=1.0, random_state=seed % 2**32)
    other["g"] = "z" + (9 - other["g"].str[1:].astype(int)).astype(str)
    one, two = target_of(Model(formula, data)), target_of(Model(formula, other))
    x = one.start + rng.normal(0.0, 0.7, one.start.size)
    assert two(x)[0] == pytest.approx(one(x)[0], rel=DENSITY)


# --- draws ----------------------------------------------------------------------------


def children(first_year: float = 0.0) -> pd.DataFrame:
    """Growth of 20 children over six years, as a longitudinal study has it."""
    rng = np.random.default_rng(11)
    child, age = np.repeat(np.arange(20), 6), np.tile(np.arange(8.0, 14.0), 20)
    start, speed = rng.normal(0.0, 1.5, 20), rng.normal(0.7, 0.25, 20)
    y = 16.0 + start[child] + speed[child] * (age - 8.0) + rng.normal(0, 0.8, 120)
    return pd.DataFrame({"x": age + first_year, "y": y, "g": child.astype(str)})


def sleep(sleepstudy: pd.DataFrame) -> pd.DataFrame:
    """Reaction times under the names of this file."""
    return sleepstudy.rename(columns={"Days": "x", "Reaction": "y", "Subject": "g"})


ROUTES: dict[str, Callable[[Model], pd.DataFrame]] = {
    "nuts": lambda model: sample(model, seed=1, method="nuts", draws=200).summary(),
    "importance": lambda model: sample(
        model, seed=1, method="importance", draws=200
    ).summary(),
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("data", ["sleepstudy", "children"])
def test_posteriors_do_not_know_the_zero_of_x(
    route: str, data: str, sleepstudy: pd.DataFrame
) -> None:
    """The same draws, where the draws at x + 200 once had a slope SD of .19 for 5.9."""
    frame = sleep(sleepstudy) if data == "sleepstudy" else children()
    labels = ["x", "x|g_sigma", "sigma"]
    with unchecked():
        one = ROUTES[route](Model("y ~ x + (x | g)", frame))
        for shift, level in ((100.0, 0.0), (2006.0, 1e6), (1e5, 0.0)):
            other_frame = frame.assign(x=frame["x"] + shift, y=frame["y"] + level)
            other = ROUTES[route](Model("y ~ x + (x | g)", other_frame))
            for column in ("mean", "sd", "lower", "upper"):
                np.testing.assert_allclose(
                    other.loc[labels, column], one.loc[labels, column], rtol=LAW
                )
            # SD of the intercept at x = 0, far away: that of the slope times as much
            ratio = other.loc["1|g_sigma", "mean"] / other.loc["x|g_sigma", "mean"]
            assert ratio == pytest.approx(shift, rel=0.2)


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (1 | g)",
        pytest.param("y ~ x + (x | g)", marks=pytest.mark.slow),
    ],
)
def test_quadrature_does_not_know_the_zero_of_x(formula: str) -> None:
    """Up to its own error: where refining ends, and which points are cut, may differ.

    SD and correlation of the intercept at the other zero are other figures, which may
    need more points than the tolerance allows: that is said, and not asked about here.
    """
    tolerance = 0.05  # SDs
    with unchecked(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Quadrature has not reached", FitWarning)
        one = quadrature(Model(formula, children()), tolerance=tolerance).summary()
        other_frame = children(2006.0).assign(y=lambda d: d["y"] + 1e6)
        other = quadrature(Model(formula, other_frame), tolerance=tolerance).summary()
    labels = [label for label in one.index if label in ("x", "x|g_sigma", "sigma")]
    for column in ("mean", "median", "sd", "lower", "upper"):
        off = other.loc[labels, column] - one.loc[labels, column]
        assert (abs(off) < tolerance * one.loc[labels, "sd"]).all()


def test_figures_at_zero_are_those_of_the_draws() -> None:
    """SD and correlation of the intercept mix coordinates: they have a lattice."""
    model = Model("y ~ x + (x | g)", children(-8.0))
    with unchecked():
        exact = quadrature(model, tolerance=0.1).summary()
        table = sample(model, seed=1, draws=5000).summary()
    for label in ("1|g_sigma", "g_corr[Intercept:x]", "x|g_sigma"):
        row, own = exact.loc[label], table.loc[label]
        assert abs(row["mean"] - own["mean"]) < 4.0 * own["mcse_mean"] + row["error"]
        for column in ("median", "lower", "upper"):
            # the end of an interval of 20,000 draws errs by about 0.03 SDs
            assert abs(row[column] - own[column]) < 0.1 * own["sd"] + row["error"]


def test_the_posterior_agrees_with_reml_at_any_zero(sleepstudy: pd.DataFrame) -> None:
    """`Days + 200`: REML has 5.92, the draws once had .19 and nothing was said."""
    frame = sleep(sleepstudy)
    frame["x"] += 200.0
    model = Model("y ~ x + (x | g)", frame)
    post = sample_unchecked(model, seed=1)
    assert post.diagnose().ok
    table = post.summary()
    reml = estimate(model.fit_reml(), "x|g_sigma")
    assert table.loc["x|g_sigma", "lower"] < reml < table.loc["x|g_sigma", "upper"]
    assert abs(table.loc["x|g_sigma", "median"] - reml) < table.loc["x|g_sigma", "sd"]


# --- cancellation ---------------------------------------------------------------------


def level_data(level: float, rows: int, sd: float = 1.0) -> pd.DataFrame:
    """Ten groups, sigma 1, about a level that is large against it."""
    rng = np.random.default_rng(3)
    g = np.arange(rows) % 10
    x = rng.normal(size=rows)
    y = 0.5 * x + rng.normal(0.0, 1.0, 10)[g] + rng.normal(0.0, 1.0, rows)
    return pd.DataFrame({"x": x, "y": level + sd * y, "g": g.astype(str)})


@pytest.mark.parametrize("level", [1e7, 1e10])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_large_mean_costs_nothing(level: float, streamed: bool) -> None:
    """Sigma was 1.026 for .998 at 1e7, without a word; in batches too."""

    def fits(data: pd.DataFrame) -> tuple[RemlFit, pd.DataFrame]:
        """REML and the posterior."""
        source: Any = data
        if streamed:
            source = pa.Table.from_pandas(data).to_batches(max_chunksize=700)
        model = Model("y ~ x + (1 | g)", source)
        return fit_reml(model), sample(model, seed=1, draws=200).summary()

    with unchecked():
        reml, table = fits(level_data(0.0, 2000))
        other, moved_table = fits(level_data(level, 2000))
    digits = max(LAW, 50.0 * level * 2.0**-52)
    assert estimate(other, "sigma") == pytest.approx(
        estimate(reml, "sigma"), rel=digits
    )
    labels = ["x", "1|g_sigma", "sigma"]
    np.testing.assert_allclose(
        moved_table.loc[labels, "mean"], table.loc[labels, "mean"], rtol=1e3 * digits
    )


@pytest.mark.parametrize("streamed", [False, True])
def test_where_doubles_end_is_said(streamed: bool) -> None:
    """Beyond 4e13 SDs the numbers given have fewer than two digits of the noise."""
    data = level_data(2.0**50, 400)
    source: Any = data
    if streamed:
        source = pa.Table.from_pandas(data).to_batches(max_chunksize=90)
    with pytest.raises(DataError, match="nothing is left of how its rows differ"):
        Model("y ~ x + (1 | g)", source)


@pytest.mark.parametrize(
    ("unit", "scale"), [(1e100, 1e-100), (1.0, 1e200), (1e-200, 1)]
)
@pytest.mark.parametrize("streamed", [False, True])
def test_units_beyond_doubles_are_said(
    unit: float, scale: float, streamed: bool
) -> None:
    """One line, not a traceback, nor an SD of 0 where its square is no number."""
    data = moved(random_data(1), 0.0, unit, 0.0, scale)
    source: Any = pa.Table.from_pandas(data).to_batches() if streamed else data
    with pytest.raises(DataError, match=r"units|beyond what a number can hold"):
        Model("y ~ x + (x | g)", source)


def test_parts_summed_about_different_means_add_up() -> None:
    """A sum that is moved to another origin is that of all rows about it."""
    from bayeslmm.marginal.stream import scan_rows, sum_partition

    data = level_data(1e6, 600).sort_values("x")
    data["x"] += 2006.0
    formula = "y ~ x + (x | g)"
    parts = [data.iloc[:200], data.iloc[200:350], data.iloc[350:]]
    scan = scan_rows(formula, data)
    tallies = [sum_partition(scan, part) for part in parts]
    added = Model.from_tally(scan, tallies[0] + tallies[1] + tallies[2])
    whole = Model(formula, data)
    for ours, theirs in zip(
        added.conditioned.statistics.sums.A,
        whole.conditioned.statistics.sums.A,
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-7)
    x = target_of(whole).start
    assert target_of(added)(x)[0] == pytest.approx(target_of(whole)(x)[0], rel=1e-9)


# --- modes, and draws that miss them --------------------------------------------------


def test_the_highest_of_the_modes_is_taken(sleepstudy: pd.DataFrame) -> None:
    """A search from the moment estimate alone stays below by exp(12) here."""
    frame = sleep(sleepstudy).assign(x=lambda d: d["x"] + 200.0)
    target = target_of(Model("y ~ x + (x | g)", frame, priors="bambi"))
    normal = laplace(target)
    assert normal.value > _search(target, target.start).value + 10.0
    assert normal.best >= normal.value


def test_several_modes_are_said(sleepstudy: pd.DataFrame) -> None:
    """A prior by name for the SD at x = 0, far from the data: draws at one of two."""
    frame = sleep(sleepstudy).assign(x=lambda d: d["x"] + 100.0)
    priors = {"1|g": "HalfStudentT(nu=3, sigma=56)"}
    model = Model("y ~ x + (x | g)", frame, priors=priors)
    with pytest.warns(
        FitWarning, match=r"has 2 modes.* 1\d% of it\. Take the mean off"
    ):
        post = sample_unchecked(model, seed=1)
    assert post.status.modes == 2
    assert not post.diagnose().ok


def test_draws_at_a_local_mode_are_not_ok() -> None:
    """A chain that never comes near a point that REML has seen."""
    rng = np.random.default_rng(1)
    fine = -0.5 * rng.chisquare(4, (4, 500))
    assert shortfall(fine, 0.0, 4) == 0.0
    stuck = fine.copy()
    stuck[2] -= 50.0
    assert shortfall(stuck, 0.0, 4) == pytest.approx(50.0, abs=1.0)


def test_modes_that_no_draw_visits_are_counted() -> None:
    """Draws around one of two modes, and around both."""
    rng = np.random.default_rng(1)
    other = OtherMode(np.array([10.0, 0.0]), 0.3)
    normal = Laplace(np.zeros(2), np.eye(2), 0.0, 0.0, 0.0, (other,))
    one = rng.normal(size=(4, 100, 2))
    both = one.copy()
    both[:, ::2] += other.x
    assert unvisited_share(one, normal) == 0.3
    assert unvisited_share(both, normal) == 0.0


def test_a_run_that_misses_the_mode_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    """One `FitWarning` with the sentence that says what to do, and not ok."""
    import sys

    sampling = sys.modules["bayeslmm.posterior.sampling"]
    monkeypatch.setattr(
        sampling,
        "laplace",
        lambda target: (lambda n: Laplace(n.mode, n.basis, n.value, 0.0, n.best + 60))(
            laplace(target)
        ),
    )
    model = Model("y ~ x + (x | g)", children())
    with pytest.warns(FitWarning, match=r"exp\(\d\d\).* Take the mean off") as seen:
        post = sample_unchecked(model, seed=1, draws=200)
    assert len(seen) == 1
    assert not post.diagnose().ok


def test_draws_of_the_joint_model_are_put_on_the_same_scale() -> None:
    """Coordinates of draws are those that the tables were made from."""
    model = Model("y ~ x + (x | g)", children())
    target = target_of(model)
    post = sample_unchecked(model, seed=1, draws=100, chains=2)
    x = joint_coordinates(model.design, target, post.idata)
    np.testing.assert_allclose(
        log_densities(target, x), post.idata["sample_stats"]["lp"], rtol=1e-6
    )


def test_what_priors_refer_to_is_said() -> None:
    """Ours to the mean of x; those by name, bambi's, and unclosed terms to x = 0."""
    data = children()
    at_mean = "at the mean of x"
    assert repr(Model("y ~ x + (x | g)", data).priors).count(at_mean) == 2
    for formula, priors in (
        ("y ~ x + (x | g)", "bambi"),
        ("y ~ x + (x | g)", {"1|g": "HalfNormal(3)"}),
        ("y ~ x + (x || g)", "weak"),
    ):
        text = repr(Model(formula, data, priors=priors).priors)
        assert at_mean not in text
        assert "at x = 0" in text


@pytest.mark.parametrize(("structure", "mean"), [("cs", 0.4), ("ar1", 0.0)])
def test_the_prior_of_a_shared_correlation_is_the_one_used(
    structure: str, mean: float
) -> None:
    """A Beta on the allowed range, and its mean: for six effects of cs that is .4."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {"y": rng.normal(size=180), "f": list("abcdef") * 30, "g": np.arange(180) // 12}
    )
    model = Model(f"y ~ 1 + {structure}(0 + f | g)", data)
    line = next(row for row in model.priors.labels if row[0] == "g_corr")
    low = -0.2 if structure == "cs" else -1.0
    assert line[1] == f"Beta(2, 2) on ({low:g}, 1), mean {mean:g}"
    # the density that is used: (1 - w^2)^2 over atanh w, w scaled to (-1, 1)
    target = target_of(model)
    term, x = target.terms[0], target.start.tolist()
    at = term.where.stop - 1
    z = np.linspace(-12.0, 12.0, 4001)
    values = []
    for point in z:
        x[at] = point
        values.append(term.corr_logp(x)[0])
    density = np.exp(np.array(values) - max(values))
    rho = low + (1.0 - low) * 0.5 * (1.0 + np.tanh(z))
    assert (density * rho).sum() / density.sum() == pytest.approx(mean, abs=1e-6)


def test_covariances_at_the_means_are_those_of_centred_data() -> None:
    """`varcorr(at="mean")` on both sides, against a model of centred predictors."""
    data = children(2006.0)
    centred = data.assign(x=data["x"] - data["x"].mean())
    one, other = (Model("y ~ x + (x | g)", frame) for frame in (data, centred))
    ours, theirs = one.fit_reml().varcorr(at="mean"), other.fit_reml().varcorr()
    np.testing.assert_allclose(ours["estimate"], theirs["estimate"], rtol=1e-4)
    drawn, expected = (sample_unchecked(m, seed=1, draws=200) for m in (one, other))
    np.testing.assert_allclose(
        drawn.varcorr(at="mean")["median"], expected.varcorr()["median"], rtol=1e-4
    )
    with unchecked(), pytest.raises(ModelError, match=r"'zero' or 'mean'"):
        drawn.varcorr(at="start")  # type: ignore[arg-type]


def test_the_pull_of_a_prior_is_felt_where_it_refers_to() -> None:
    """Sigma's is the same at any zero of x, and flat priors pull nothing."""
    data = children()
    pulls = []
    for shift in (0.0, 40.0):
        model = Model("y ~ x + (x | g)", data.assign(x=data["x"] + shift))
        pulls.append(prior_pull(model.fit_reml(), model.priors))
    assert pulls[1]["sigma"] == pytest.approx(pulls[0]["sigma"], rel=1e-4)
    flat = Model("y ~ x + (x | g)", data, priors="flat")
    assert (prior_pull(flat.fit_reml(), flat.priors).abs() < 1e-6).all()
