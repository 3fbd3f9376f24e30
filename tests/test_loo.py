"""Rows and levels left out: dense formulas, brute-force refits, ArviZ, laws."""

import copy
import pickle
from dataclasses import replace

import arviz as az
import numpy as np
import pandas as pd
import pytest
from helpers import dense_V
from hypothesis import given, settings, strategies as st
from sampling import unchecked

from bayeslmm import DataError, Model, ModelError, PriorError
from bayeslmm.posterior import left_out_fits, loo as loo_module, weighted
from bayeslmm.posterior.bridge import bridge, equal_points
from bayeslmm.posterior.left_out import leaving
from bayeslmm.posterior.target import make_target
from bayeslmm.priors import beta_prior

EXACT = 1e-9
# Of lattices whose edges hold less than 1e-4 of the posterior without a case; measured
# 1e-6 and less.
LATTICE = 1e-4
GIVEN = {
    "Intercept": "Normal(300, 100)",
    "Days": "Normal(0, 50)",
    "1|Subject": "HalfNormal(60)",
    "sigma": "HalfNormal(60)",
}
INTERCEPTS = "Reaction ~ Days + (1 | Subject)"


def drawn(model, **options):
    """Draws without type checks of each call and without a bar."""
    with unchecked():
        return model.sample(**{"seed": 1, "progress": False, "draws": 500} | options)


def left_out(post, by, **options):
    """The same of `Posterior.loo`."""
    with unchecked():
        return post.loo(by, progress=False, **options)


@pytest.fixture(scope="module")
def sleepers(sleepstudy):
    """Random intercepts under priors that do not depend on the data."""
    return drawn(Model(INTERCEPTS, sleepstudy, priors=GIVEN, center_predictors=False))


@pytest.fixture(scope="module")
def exact(sleepers):
    """Without each subject, by the lattice."""
    return left_out(sleepers, "Subject")


# --- the densities --------------------------------------------------------------------


def dense_density(model, target, x, case):
    """Log p(y_c | y_-c, x) from explicit inverses."""
    factors = [factor[0] for factor in target.factors(x[None])]
    V = dense_V(model.design, factors, float(np.exp(x[target.space.sigma])))
    X, y = model.design.rows.X, model.design.rows.net
    prior = beta_prior(model.priors, model.design)
    P, m = (prior.precision, prior.mean) if prior else (np.zeros((X.shape[1],) * 2), 0)
    Vi = np.linalg.inv(V)
    Q = Vi - Vi @ X @ np.linalg.inv(X.T @ Vi @ X + P) @ X.T @ Vi
    Qr = (Q @ (y - X @ (m + np.zeros(X.shape[1]))))[case]
    own = Q[np.ix_(case, case)]
    log_det = np.linalg.slogdet(own)[1] - len(case) * np.log(2 * np.pi)
    return 0.5 * (log_det - Qr @ np.linalg.solve(own, Qr))


def toy(seed=3, n=60):
    """Crossed and nested levels, a weight and an offset for each row."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 5, n), rng.integers(0, 4, n)
    return pd.DataFrame(
        {
            "x": rng.normal(2.0, 1.0, n),
            "a": [f"a{i}" for i in a],
            "b": [f"b{i}" for i in b],
            "w": rng.uniform(0.5, 2.0, n),
            "off": rng.normal(size=n),
            "y": 10
            + rng.normal(size=5)[a]
            + rng.normal(size=4)[b]
            + rng.normal(size=n),
        }
    )


@pytest.mark.parametrize(
    ("formula", "by", "options"),
    [
        ("y ~ x + (x | a)", "a", {}),
        ("y ~ x + (x | a)", "rows", {"weights": "w"}),
        ("y ~ x + offset(off) + (1 | a) + (0 + x | a)", "a", {"weights": "w"}),
        ("y ~ 1 + (1 | a)", "rows", {"priors": "flat"}),
        ("y ~ x + (x | a) + (1 | b)", "a", {}),
        ("y ~ x + (1 | a) + (1 | b)", "b", {"weights": "w"}),
        ("y ~ x + (x | a) + (1 | b)", "rows", {}),
        ("y ~ x + (1 | a / b)", "a", {}),
        ("y ~ x + (1 | a / b)", "a:b", {"weights": "w"}),
        ("y ~ x + (x | a)", "a", {"priors": "flat"}),
    ],
)
def test_densities_are_those_of_dense_formulas(formula, by, options):
    model = Model(formula, toy(), **options)
    target = make_target(model.design, model.conditioned, model.priors)
    left = leaving(model, target, by)
    rng = np.random.default_rng(1)
    x = target.start + 0.5 * rng.standard_normal((2, target.start.size))
    found = left.densities(x, cores=1, progress=False)
    for s, point in enumerate(x):
        for c in (0, len(left.cases) - 1):
            expected = dense_density(model, target, point, left.cases[c])
            assert found[s, c] == pytest.approx(expected, rel=EXACT, abs=1e-8)


# --- the posterior without each -------------------------------------------------------


def evidence(formula, data, **options):
    """Log evidence by quadrature."""
    with unchecked():
        return Model(formula, data, **options).quadrature(tolerance=1e-5).log_evidence


def test_levels_left_out_are_brute_force_refits(sleepstudy, sleepers, exact):
    """Log p(y_g | y_-g) is the evidence of all rows less that of the others."""
    same = {"priors": GIVEN, "center_predictors": False}
    whole = evidence(INTERCEPTS, sleepstudy, **same)
    for subject in ("308", "332"):
        gone = sleepstudy["Subject"].astype(str) == subject
        rest = evidence(INTERCEPTS, sleepstudy[~gone], **same)
        own = float(exact.elpd_i.sel(Subject=subject))
        assert own == pytest.approx(whole - rest, abs=LATTICE)
    rows = left_out(sleepers, "rows")
    for row in (0, 56):
        rest = evidence(INTERCEPTS, sleepstudy.drop(index=row), **same)
        assert float(rows.elpd_i[row]) == pytest.approx(whole - rest, abs=LATTICE)


def test_draws_say_what_the_lattice_says(sleepers, exact, monkeypatch):
    monkeypatch.setattr(weighted, "LATTICE_TOLERANCE", {})
    found = left_out(sleepers, "Subject")
    assert not found.on_lattice
    far = (found.elpd_i - exact.elpd_i) / found.mcse_i
    assert np.abs(far).max() < 4.5  # the largest of 18
    assert 0.3 < float(np.sqrt((far**2).mean())) < 1.8
    monkeypatch.setattr(loo_module, "good_k", lambda _: -1.0)
    monkeypatch.setattr(left_out_fits, "POINTS", 400)
    again = left_out(sleepers, "Subject")
    assert len(again.refitted) == 18
    assert (again.pareto_k == 0.0).all()
    far = (again.elpd_i - exact.elpd_i) / again.mcse_i
    assert np.abs(far).max() < 4.5


def test_many_cases_have_fewer_draws(sleepers, exact, monkeypatch):
    monkeypatch.setattr(weighted, "LATTICE_TOLERANCE", {})
    monkeypatch.setattr(loo_module, "MOST_VALUES", 18 * 1000)
    found = left_out(sleepers, "Subject")
    assert found.n_samples == 1000
    assert "1,000 posterior draws" in repr(found)
    assert np.abs((found.elpd_i - exact.elpd_i) / found.mcse_i).max() < 4.5


def test_cases_that_a_lattice_does_not_cover_are_fitted_again(
    sleepers, exact, monkeypatch
):
    monkeypatch.setattr(loo_module, "EDGE", -1.0)
    again = left_out(sleepers, "Subject")
    assert len(again.refitted) == 18
    np.testing.assert_allclose(again.elpd_i, exact.elpd_i, atol=LATTICE)
    assert "does not cover" in repr(again)


def test_arviz_takes_it(sleepers, exact, sleepstudy):
    slopes = drawn(Model("Reaction ~ Days + (Days | Subject)", sleepstudy))
    other = left_out(slopes, "Subject")
    table = az.compare({"intercepts": exact, "slopes": other}, round_to="none")
    assert table.index[0] == "slopes"
    difference = float((exact.elpd_i - other.elpd_i).sum())
    assert table.loc["intercepts", "elpd_diff"] == pytest.approx(difference)
    assert exact.elpd == pytest.approx(float(exact.elpd_i.sum()))
    assert other["elpd"] == other.elpd
    for twin in (pickle.loads(pickle.dumps(other)), copy.deepcopy(other)):
        assert repr(twin) == repr(other)
    assert "all rows of a new Subject" in repr(other)
    assert "posterior draws" in repr(other)
    shown = other.table()
    assert shown.index.name == "Subject"
    assert shown["n"].tolist() == [10] * 18
    refitted = shown.index[shown["refitted"]].tolist()
    assert refitted == list(other.refitted)
    assert set(shown.index[shown["pareto_k"] > other.good_k]) == set(refitted)


def test_a_new_row_is_another_question_than_a_new_level(sleepers, exact):
    rows = left_out(sleepers, "rows")
    assert rows.elpd_i.dims == ("__obs__",)
    assert "a new row of a known Subject" in repr(rows)
    assert rows.elpd > exact.elpd  # the others of a subject say where it is
    conditional = az.loo(sleepers.compute_log_likelihood().idata, pointwise=True)
    assert rows.elpd == pytest.approx(conditional.elpd, abs=0.5)


@pytest.fixture(scope="module")
def toy_left_out():
    """Without each level of a, of the toy."""
    return left_out(drawn(Model("y ~ x + (1 | a)", toy()), draws=10, chains=1), "a")


@given(
    scale=st.floats(1e-3, 1e3), shift=st.floats(-50.0, 50.0), seed=st.integers(0, 99)
)
@settings(max_examples=2)
def test_units_and_orders_do_not_matter(toy_left_out, scale, shift, seed):
    """Densities of c y are those of y over c, with rows in any order."""
    base, other = toy_left_out, toy().sample(frac=1.0, random_state=seed)
    other["y"] = scale * (other["y"] + shift)
    found = left_out(drawn(Model("y ~ x + (1 | a)", other), draws=10, chains=1), "a")
    expected = base.elpd_i - base.sizes * np.log(scale)
    found = found.elpd_i.sel(a=base.elpd_i["a"])
    np.testing.assert_allclose(found, expected, atol=LATTICE)


# --- what cannot be -------------------------------------------------------------------


def test_what_cannot_be_left_out_is_said(sleepers):
    with pytest.raises(ModelError, match=r"neither 'rows' nor .* 'Subject'"):
        left_out(sleepers, "Subjekt")
    with pytest.raises(ModelError, match="by must be text"):
        left_out(sleepers, 3)
    with pytest.raises(ModelError, match="sampled with all its effects"):
        left_out(replace(sleepers, method="joint"), "rows")
    with unchecked(), pytest.raises(ModelError, match="progress must be"):
        sleepers.loo("rows", progress=3)


def test_models_without_closed_forms_are_refused():
    data = toy()
    data["t"] = data.groupby("a").cumcount()
    model = Model("y ~ x + (1 | a)", data, residual="ar1(t | a)")
    target = make_target(model.design, model.conditioned, model.priors)
    with pytest.raises(ModelError, match=r"rows of a series are correlated"):
        leaving(model, target, "a")


def test_rows_in_batches_are_refused(tmp_path):
    path = tmp_path / "rows.parquet"
    toy().to_parquet(path)
    post = drawn(Model("y ~ x + (1 | a)", path), draws=10, chains=1)
    match = "densities of left-out rows would need them"
    with unchecked(), pytest.raises(DataError, match=match):
        post.loo("a")


def test_flat_fixed_effects_need_their_rows():
    data = toy()
    data["only"] = (data["a"] == "a0").astype(float)
    options = {"priors": {"only": "flat"}, "center_predictors": False}
    post = drawn(Model("y ~ only + (1 | a)", data, **options), draws=10, chains=1)
    with unchecked(), pytest.raises(PriorError, match="Without a 'a0' a fixed effect"):
        post.loo("a")


def test_a_bridge_knows_the_ratio_of_two_normals():
    """Of N(0, 1) unnormalised, to N(1, 1.5) as it is; its error is calibrated."""
    scores = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x, y = rng.standard_normal(400), rng.normal(1.0, 1.5, 300)

        def log_ratio(z):
            log_q = -0.5 * ((z - 1) / 1.5) ** 2 - np.log(1.5 * np.sqrt(2 * np.pi))
            return -0.5 * z**2 - log_q

        found, error = bridge(equal_points(log_ratio(x)), equal_points(log_ratio(y)))
        scores.append((found - 0.5 * np.log(2 * np.pi)) / error)
    assert np.mean(scores) == pytest.approx(0.0, abs=4 / np.sqrt(60))
    assert np.std(scores) == pytest.approx(1.0, abs=4 / np.sqrt(120))


@pytest.mark.slow
def test_sleepstudy_without_each_subject(sleepstudy):
    """Four variance parameters: draws, bridges where k is high, and brute force."""
    given = GIVEN | {"Days|Subject": "HalfNormal(20)", "Subject_corr": 2.0}
    same = {"priors": given, "center_predictors": False}
    formula = "Reaction ~ Days + (Days | Subject)"
    model = Model(formula, sleepstudy, **same)
    found = left_out(drawn(model, draws=1000), "Subject")

    def log_evidence(data):
        with unchecked():
            exact = Model(formula, data, **same).quadrature(tolerance=0.05)
        return exact.log_evidence

    whole = log_evidence(sleepstudy)
    far = []
    for subject in ("308", "332", "337", "351"):
        gone = sleepstudy["Subject"].astype(str) == subject
        own = float(found.elpd_i.sel(Subject=subject)) - whole
        error = float(found.mcse_i.sel(Subject=subject))
        far.append((own + log_evidence(sleepstudy[~gone])) / error)
    assert np.abs(far).max() < 4.0


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("a", "a new a predicted together, with new levels of a:b?"),
        ("a:b", "a new a:b predicted together, levels of a being known where they"),
    ],
)
def test_levels_within_a_level_that_is_left_out_are_new_too(by, words):
    model = Model("y ~ x + (1 | a / b)", toy())
    assert words in loo_module.question(model, by)
