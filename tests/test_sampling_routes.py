"""Which sampler runs, what is stored of the random effects, and what is drawn later."""

import sys

import numpy as np
import pandas as pd
import pytest
from sampling import sample_unchecked

from bayeslmm import Model, ModelError, shrinkage_table, simulate_classrooms
from bayeslmm.posterior.agreement import joint_coordinates
from bayeslmm.posterior.sampling import draw_posterior
from bayeslmm.posterior.target import make_target

# Weighted points and NUTS agree within so many joint Monte Carlo errors; 4 parameters.
MAX_Z = 4.0
SAME = 1e-8  # factors rebuilt from SDs and correlations: rounding only


@pytest.fixture(scope="module")
def model():
    return Model("score ~ edu + (edu | classroom)", simulate_classrooms(seed=3).data)


def crossed():
    """Pupils crossed with raters: two grouping factors."""
    rng = np.random.default_rng(8)
    data = simulate_classrooms(n_classrooms=15, n_pupils=8, seed=4).data
    rater = rng.integers(0, 4, len(data))
    data["rater"] = [f"r{i}" for i in rater]
    data["score"] += rng.normal(size=4)[rater]
    return Model("score ~ edu + (1 | classroom) + (1 | rater)", data)


def test_importance_agrees_with_nuts(model):
    points = sample_unchecked(model, seed=1, method="importance")
    nuts = sample_unchecked(model, seed=1, method="nuts")
    assert (points.method, nuts.method) == ("importance", "nuts")
    assert "Pareto k" in points.reason
    one, two = points.summary(), nuts.summary()
    joint = np.hypot(one["mcse_mean"], two["mcse_mean"])
    assert (((one["mean"] - two["mean"]) / joint).abs() < MAX_Z).all()
    assert points.diagnose().ok
    assert "weights of the points" in repr(points.diagnose())


def test_importance_that_is_not_trusted_gives_way_to_nuts():
    data = simulate_classrooms(n_classrooms=40, n_pupils=6, seed=5).data
    data["x"], data["z"] = np.random.default_rng(0).normal(size=(2, len(data)))
    model = Model("score ~ edu + (1 + edu + x + z | classroom)", data)
    post = sample_unchecked(model, seed=1, method="importance", draws=100, tune=100)
    assert post.method == "nuts"
    assert "11 variance parameters" in post.reason
    assert "So NUTS runs" in post.reason


def test_auto_takes_points_where_nuts_would_be_long(model, monkeypatch):
    expense = sys.modules["bayeslmm.reml.expense"]
    assert sample_unchecked(model, seed=1, draws=200).method == "nuts"
    monkeypatch.setattr(expense, "EXPENSIVE", 0.0)
    monkeypatch.setattr(expense, "SHORT_RUN", 0.0)
    post = sample_unchecked(model, seed=1)
    assert post.method == "importance"
    assert post.summary()["ess_bulk"].min() >= 400
    assert not post.status.partial


@pytest.mark.parametrize("make", ["one", "crossed"])
def test_effects_left_out_are_drawn_later_the_same(make, model):
    model = model if make == "one" else crossed()
    full = sample_unchecked(model, seed=2, draws=100, keep="all")
    short = sample_unchecked(model, seed=2, draws=100, keep="summary")
    variables = set(full.idata["posterior"].data_vars)
    left_out = variables - set(short.idata["posterior"].data_vars)
    assert left_out == {v for v in variables if v.endswith("|classroom")}
    drawn = short.ranef(levels=["c02", "c00"], draws=True)
    stored = full.ranef(levels=["c02", "c00"], draws=True)
    assert drawn["effect"].to_numpy().tolist() == stored["effect"].to_numpy().tolist()
    assert drawn.to_numpy() == pytest.approx(stored.to_numpy(), rel=SAME, abs=SAME)
    one, two = short.ranef(), full.ranef()
    assert one.drop(columns=["mean", "median", "sd", "lower", "upper"]).equals(
        two.drop(columns=["mean", "median", "sd", "lower", "upper"])
    )
    assert one["mean"].to_numpy() == pytest.approx(two["mean"].to_numpy(), abs=1e-6)


def test_summary_of_some_levels(model):
    post = sample_unchecked(model, seed=2, draws=100)
    some = post.ranef(levels=["c03"])
    assert some["level"].unique().tolist() == ["c03"]
    whole = post.ranef()
    same = whole[whole["level"] == "c03"].reset_index(drop=True)
    assert some.equals(same)


def test_rest_cannot_be_left_out():
    with pytest.raises(ModelError, match="Add 'rater' to keep"):
        sample_unchecked(crossed(), seed=1, draws=50, keep=["classroom"])


def test_keep_names_groups(model):
    with pytest.raises(ModelError, match="Did you mean 'classroom'"):
        sample_unchecked(model, seed=1, draws=50, keep=["clasroom"])


def test_pooling_is_shown_without_stored_effects(model):
    """The table of `plot_shrinkage`: levels drawn on demand, thinned to 1000 draws."""
    reml = model.fit_reml()
    full, short = (
        shrinkage_table(reml, sample_unchecked(model, seed=1, draws=500, keep=keep))
        for keep in ("all", "summary")
    )
    columns = ["posterior", "lower", "upper"]
    spread = (full["upper"] - full["lower"]).to_numpy()[:, None]
    difference = (full[columns] - short[columns]).to_numpy() / spread
    assert np.abs(difference).max() < 0.1  # 1000 of 2000 draws: 5 Monte Carlo errors
    np.testing.assert_array_equal(full["no_pooling"], short["no_pooling"])


def test_effects_left_out_say_so(model):
    post = sample_unchecked(model, seed=1, draws=50, keep="summary")
    with pytest.raises(ModelError, match="were not stored"):
        post.coef()
    with pytest.raises(ModelError, match="no level 'c99'"):
        post.ranef(levels=["c99"], draws=True)
    with pytest.raises(ModelError, match=r"name them, levels=\["):
        post.ranef(draws=True)  # type: ignore[call-overload]


def test_chains_have_streams_of_their_own(model):
    target = make_target(model.design, model.conditioned, model.priors)
    x = np.repeat(target.start[None, None], 2, axis=0).repeat(3, axis=1)
    drawn = draw_posterior(model, target, x, 1, (0, 1), (0,))
    b = drawn["1|classroom"]
    assert len(np.unique(b)) == b.size


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_coordinates_of_draws_do_not_know_the_unit_of_x(unit: float) -> None:
    """An SD of 5e-6 beside one of 0.8 is as far inside as in another unit."""
    rng = np.random.default_rng(5)
    g, x = np.repeat(np.arange(12), 10), rng.normal(size=120)
    y = rng.normal(size=12)[g] + x + rng.normal(size=120)
    found = []
    for scaled in (x, x * unit):
        model = Model("y ~ x + (x | g)", pd.DataFrame({"y": y, "x": scaled, "g": g}))
        post = sample_unchecked(model, draws=20, tune=100, chains=2, seed=1)
        target = make_target(model.design, model.conditioned, model.priors)
        own = joint_coordinates(model.design, target, post.idata)
        found.append(own - target.start)
        log_sd = np.log(post.draws("x|g_sigma")) - target.start[2]
        np.testing.assert_allclose(found[-1][..., 2], log_sd, atol=1e-6)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6, atol=1e-6)
