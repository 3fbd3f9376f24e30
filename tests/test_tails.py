"""Tails: propriety, the means and SDs that exist, and the tables that print them."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from helpers import random_design, with_rows
from sampling import sample_unchecked, unchecked

import bayeslmm as lmm
from bayeslmm import FitWarning, Model, PriorError, SamplingError
from bayeslmm.design.arrays import Design
from bayeslmm.marginal.conditioning import condition
from bayeslmm.posterior.quadrature import quadrature
from bayeslmm.posterior.tails import Tails, find_tails
from bayeslmm.posterior.target import make_target
from bayeslmm.priors import make_priors
from bayeslmm.reporting.tables import posterior_table


def tails_of(design: Design, priors: object = "weak") -> Tails:
    """Tails of a design under a set of priors."""
    target = make_target(design, condition(design), make_priors(priors, design))
    return find_tails(design, target)


def levels(n_levels: int, n_rows: int = 12, slopes: bool = False) -> pd.DataFrame:
    """Rows of a few levels; x varies within them, w does not."""
    rng = np.random.default_rng(6)
    g = np.repeat(np.arange(n_levels), n_rows)
    x, w = rng.normal(size=g.size), np.arange(n_levels, dtype=float)[g]
    y = rng.normal(size=n_levels)[g] + rng.normal(size=g.size)
    y += rng.normal(size=n_levels)[g] * x if slopes else 0.0
    return pd.DataFrame({"y": y, "x": x, "w": w, "g": g.astype(str)})


# --- improper posteriors ------------------------------------------------------------


@pytest.mark.parametrize("n_levels", [2, 3, 4])
def test_flat_priors_need_levels(n_levels: int) -> None:
    """With a flat SD the tail is sd**-(J - 1): J = 2 improper, J = 3 without a mean."""
    design = random_design(np.random.default_rng(3), n_levels=n_levels)
    if n_levels == 2:
        with pytest.raises(PriorError, match=r"1\|g_sigma' is improper.*3 levels"):
            tails_of(design, "flat")
    else:
        without = tails_of(design, "flat").missing.mean
        assert ("1|g_sigma" in without) is (n_levels == 3)


def test_a_covariate_of_the_levels_costs_one() -> None:
    """A fixed effect that is constant within levels takes one level away."""
    rng = np.random.default_rng(4)
    design = random_design(rng, n_levels=3, p=2)
    constant = rng.normal(size=3)[design.rows.codes[0]]
    design = with_rows(design, X=np.column_stack([design.rows.X[:, 0], constant]))
    with pytest.raises(PriorError, match="improper"):
        tails_of(design, "flat")
    assert tails_of(design).missing.mean == ()


def test_a_response_that_is_reproduced_is_refused() -> None:
    """Exact fits: by the fixed effects, or by the effects of the levels."""
    design = random_design(np.random.default_rng(5))
    exact = with_rows(design, y=design.rows.X @ np.array([1.0, 2.0]))
    with pytest.raises(SamplingError, match="reproduce 'y' exactly"):
        tails_of(exact)
    codes = design.rows.codes[0]
    constant = with_rows(design, y=np.array([3.0, 1.0, 4.0, 1.5, 9.0])[codes])
    with pytest.raises(PriorError, match=r"'sigma' is improper.*reproduces"):
        tails_of(constant)


def test_many_small_levels_are_proper() -> None:
    """A sigma e**12 times too small divides what is rounding there; it was improper."""
    rng = np.random.default_rng(1)
    data = lmm.simulate_classrooms(1000, 12, seed=4).data
    share = rng.beta(1.2, 1.0, size=1000)[pd.factorize(data["classroom"])[0]]
    kept = (rng.random(len(data)) < share) | ~data["classroom"].duplicated()
    model = Model("score ~ edu + (edu | classroom)", data[kept])
    target = make_target(model.design, model.conditioned, model.priors)
    assert find_tails(model.design, target).missing.mean == ()


def test_a_sigma_that_is_small_beside_the_levels_is_proper() -> None:
    """Without an intercept the levels start at 3e5, and sigma is 1: it was improper."""
    data = levels(8).assign(y=lambda d: d["y"] + 3e5)
    model = Model("y ~ 0 + x + (1 | g)", data)
    with unchecked(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # few digits, and it says so
        post = model.sample(draws=200, tune=300, chains=2, seed=1)
        reml = model.fit_reml()
    assert post.summary().loc["sigma", "median"] == pytest.approx(reml.sigma, rel=0.1)


# --- which moments exist --------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_levels", "formula", "mean", "sd"),
    [
        # what only the levels tell of has their SD in its own tail, x has not
        (3, "y ~ x + (1 | g)", {"Intercept", "1|g_sigma", "Intercept|g"}, set()),
        (4, "y ~ x + (1 | g)", set(), {"Intercept", "1|g_sigma", "Intercept|g"}),
        (5, "y ~ x + (1 | g)", set(), set()),
        # a covariate of the levels takes one of them
        (
            4,
            "y ~ x + w + (1 | g)",
            {"Intercept", "w", "1|g_sigma", "Intercept|g"},
            set(),
        ),
        # slopes without intercepts: the slope is what the levels tell of
        (3, "y ~ x + (0 + x | g)", {"x", "x|g_sigma", "x|g"}, set()),
    ],
)
def test_what_exists_under_flat_priors(
    n_levels: int, formula: str, mean: set[str], sd: set[str]
) -> None:
    """Labels of parameters and of effects, by hand from sd**-(J - p_between)."""
    model = Model(formula, levels(n_levels, slopes=True), priors="flat")
    target = make_target(model.design, model.conditioned, model.priors)
    missing = find_tails(model.design, target).missing
    assert set(missing.mean) == mean
    assert set(missing.sd) == mean | sd
    sds = {label for label in mean | sd if label.endswith("_sigma")}
    assert set(missing.variance) == sds  # exists where the SD's second moment does


def test_a_proper_prior_gives_the_intercept_its_mean() -> None:
    """The SD between three levels then has a mean, and still no SD."""
    proper = {"set": "flat", "Intercept": "Normal(0, 10)"}
    model = Model("y ~ x + (1 | g)", levels(3), priors=proper)
    target = make_target(model.design, model.conditioned, model.priors)
    missing = find_tails(model.design, target).missing
    assert missing.mean == ()
    assert missing.sd == missing.variance == ("1|g_sigma",)


def test_at_the_origin_an_intercept_has_the_tail_of_the_slopes() -> None:
    """A Cauchy tail of the slopes' SD is one of the intercept's SD at x = 0 too."""
    data = levels(3, slopes=True).assign(x=lambda d: d["x"] + 10.0)
    model = Model("y ~ x + (x | g)", data, priors="flat", center_predictors=True)
    target = make_target(model.design, model.conditioned, model.priors)
    missing = find_tails(model.design, target).missing
    for label in ("1|g_sigma", "x|g_sigma", "Intercept", "x", "x|g", "Intercept|g"):
        assert label in missing.mean
    assert "g_corr[Intercept:x]" in missing.variance
    assert "g_corr[Intercept:x]" not in missing.sd  # a correlation is bounded


@pytest.mark.parametrize("n_levels", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_the_tail_is_as_heavy_as_said(n_levels: int) -> None:
    """A tenth of the probability lies 10**(1 / (J - 2)) times further out."""
    model = Model("y ~ 1 + (1 | g)", levels(n_levels), priors="flat")
    with unchecked():
        exact = quadrature(model, tolerance=1e-6)
    center = {"Intercept": exact.quantile("Intercept", 0.5), "1|g_sigma": 0.0}
    for label, at in center.items():
        near, far = (exact.quantile(label, 1.0 - q) - at for q in (1e-3, 1e-4))
        assert far / near == pytest.approx(10.0 ** (1.0 / (n_levels - 2)), rel=0.02)


@pytest.mark.parametrize("name", ["weak", "bambi", "boundary-avoiding"])
def test_proper_sets_have_all_moments(name: str) -> None:
    """Two levels are enough."""
    model = Model("y ~ x + (x | g)", levels(2, slopes=True), priors=name)
    target = make_target(model.design, model.conditioned, model.priors)
    missing = find_tails(model.design, target).missing
    assert missing.mean == missing.sd == missing.variance == ()


# --- nothing prints them --------------------------------------------------------------


@pytest.mark.parametrize("method", ["nuts", "quadrature", "importance"])
def test_no_table_prints_a_mean_that_does_not_exist(method: str) -> None:
    """Draws of three levels under flat priors, by every route."""
    model = Model("y ~ x + (1 | g)", levels(3), priors="flat")
    with pytest.warns(FitWarning, match=r"1\|g_sigma', 'Intercept\|g' has no mean"):
        post = sample_unchecked(model, draws=200, seed=1, method=method)
    without, columns = ["Intercept", "1|g_sigma"], ["mean", "sd", "mcse_mean"]
    table = post.summary()
    assert table.loc[without, columns].isna().all(axis=None)
    assert table.drop(without)[columns].notna().all(axis=None)
    assert np.isfinite(table[["median", "lower", "upper"]]).all(axis=None)
    assert post.fixef()["mean"].isna().tolist() == [True, False]
    assert math.isnan(post.varcorr().loc["1|g_sigma", "variance"])
    assert post.ranef()[["mean", "sd"]].isna().all(axis=None)
    reml = model.fit_reml()
    assert lmm.compare(reml, post).loc[without, ["mean", "sd"]].isna().all(axis=None)
    said = " ".join(lmm.reading(reml, post))
    assert "The posterior of Intercept and 1|g_sigma has no mean" in said
    assert "skewed" not in said
    shown = posterior_table(post)
    cells = {own[0]: own[1:4] for _, own in shown.rows}
    assert all(cells[label][::2] == ("-", "-") for label in without)
    assert cells["x"][0] != "-"
    assert any("no such mean or SD" in note for note in shown.notes)


@pytest.mark.parametrize(
    "compiled", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_the_joint_model_knows_too(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bambi's graph, the same posterior: draws of the other stand in for its own."""
    model = Model("y ~ x + (1 | g)", levels(3), priors="flat")
    options = {"draws": 50, "tune": 200, "chains": 2, "seed": 1}
    if not compiled:
        with pytest.warns(FitWarning):
            tree = sample_unchecked(model, **options).idata
        route = "bayeslmm.posterior.sampling.sample_joint"
        monkeypatch.setattr(route, lambda *_, **__: tree)
    with pytest.warns(FitWarning):
        post = sample_unchecked(model, **options, method="joint")
    assert post.method == "joint"
    assert post.summary().loc[["Intercept", "1|g_sigma"], "mean"].isna().all()


def test_the_lattice_has_no_mean_either() -> None:
    """NaN, and not an infinite or made-up figure."""
    model = Model("y ~ x + (1 | g)", levels(3), priors="flat")
    table = quadrature(model, tolerance=1e-3).summary()
    assert table.loc[["Intercept", "1|g_sigma"], ["mean", "sd"]].isna().all(axis=None)
    assert np.isfinite(table.loc[["x", "sigma"], ["mean", "sd"]]).all(axis=None)


def test_no_prediction_prints_a_mean_that_does_not_exist() -> None:
    """An average level and a new one have none; levels of the data have theirs."""
    model = Model("y ~ x + (1 | g)", levels(3), priors="flat")
    with unchecked(), pytest.warns(FitWarning):
        post = model.sample(draws=200, seed=1)
    new = pd.DataFrame({"x": [0.0, 1.0, 0.0], "g": ["0", "new", "2"]})
    table = post.predict(new, level="new")
    assert table["mean"].isna().tolist() == [False, True, False]
    assert table["sd"].isna().tolist() == [False, True, False]
    assert np.isfinite(table[["median", "lower", "upper"]]).all(axis=None)
    assert post.predict(new, level="population")[["mean", "sd"]].isna().all(axis=None)
    assert post.predict()["mean"].notna().all()
    four = Model("y ~ x + (1 | g)", levels(4), priors="flat")
    table = four.sample(draws=200, seed=1).predict(new, level="new")
    assert table["mean"].notna().all()
    assert table["sd"].isna().tolist() == [False, True, False]
