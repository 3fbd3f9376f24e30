"""Pooling factors, their posterior, the split of variances, and who moved most."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sampling import sample_unchecked

import bayeslmm as lmm
from bayeslmm.posterior.margins import values_at
from bayeslmm.posterior.weighted import weighted_points

EXACT = 1e-9  # the same algebra by another route


@pytest.fixture(scope="module")
def pupils():
    """Six levels of 2 to 20 rows, slopes that differ."""
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(6), [2, 4, 8, 12, 16, 20])
    x = rng.normal(size=len(g))
    y = 1.5 * rng.normal(size=6)[g] + (1.0 + 0.7 * rng.normal(size=6)[g]) * x
    y += rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "g": [f"g{j}" for j in g]})


@pytest.fixture(scope="module")
def slopes(pupils):
    model = lmm.Model("y ~ x + (x | g)", pupils)
    return model.fit_reml(), sample_unchecked(model, draws=150, chains=2, seed=1)


@pytest.fixture(scope="module")
def intercepts(pupils):
    flat = {"Intercept": "Flat", "x": "Flat"}
    model = lmm.Model("y ~ x + (1 | g)", pupils).with_priors(flat)
    return model.fit_reml(), sample_unchecked(model, draws=400, chains=2, seed=1)


def level_rows(reml, j):
    """Z and the number of rows of one level."""
    rows = reml.design.rows
    return rows.Z[0][rows.codes[0] == j]


def test_the_matrix_is_the_textbooks_and_moves_each_level(slopes):
    """I - Sigma Z'V^-1 Z; partial = own - B (own - centre)."""
    reml, _ = slopes
    found = lmm.shrinkage_matrices(reml)["weight"].to_numpy().reshape(6, 2, 2)
    table = lmm.shrinkage_table(reml)
    own, partial, center = (
        table[c].to_numpy().reshape(6, 2)
        for c in ("no_pooling", "partial_pooling", "center")
    )
    Sigma = reml.factors[0] @ reml.factors[0].T
    for j in range(6):
        Z = level_rows(reml, j)
        V = Z @ Sigma @ Z.T + reml.sigma**2 * np.eye(len(Z))
        B = np.eye(2) - Sigma @ Z.T @ np.linalg.solve(V, Z)
        assert found[j] == pytest.approx(B, rel=1e-7, abs=EXACT)
        moved = own[j] - B @ (own[j] - center[j])
        assert partial[j] == pytest.approx(moved, rel=1e-6)


def test_pooling_is_the_share_of_variance_left(slopes):
    reml, _ = slopes
    found = lmm.shrinkage_table(reml)["pooling"].to_numpy().reshape(6, 2)
    Sigma = reml.factors[0] @ reml.factors[0].T
    for j in range(6):
        Z = level_rows(reml, j)
        left = np.linalg.inv(np.linalg.inv(Sigma) + Z.T @ Z / reml.sigma**2)
        assert found[j] == pytest.approx(np.diag(left) / np.diag(Sigma), rel=1e-8)


def test_the_chapters_factors(classrooms):
    """SEEDS.md: one minus the factor of 20 rows is .99541, of 2 rows .95593."""
    reml = lmm.Model("score ~ edu + (1 | classroom)", classrooms).fit_reml()
    table = lmm.shrinkage_table(reml)
    assert 1.0 - table["pooling"].to_numpy() == pytest.approx(0.99541, abs=5e-6)
    tau2, s2 = float(reml.factors[0][0, 0]) ** 2, reml.sigma**2
    assert 2 * tau2 / (2 * tau2 + s2) == pytest.approx(0.95593, abs=5e-6)


def test_the_posterior_of_pooling_is_that_of_its_formula(intercepts):
    reml, post = intercepts
    table = lmm.shrinkage_table(reml, post)
    tau = post.idata["posterior"]["1|g_sigma"].to_numpy().ravel()
    sigma = post.idata["posterior"]["sigma"].to_numpy().ravel()
    n = np.array([2, 4, 8, 12, 16, 20])
    draws = sigma[:, None] ** 2 / (sigma[:, None] ** 2 + n * tau[:, None] ** 2)
    assert table["pooling_mean"].to_numpy() == pytest.approx(draws.mean(axis=0))
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    assert table["pooling_lower"].to_numpy() == pytest.approx(low)
    assert table["pooling_upper"].to_numpy() == pytest.approx(high)
    matrices = lmm.shrinkage_matrices(reml, post)
    assert matrices["mean"].to_numpy() == pytest.approx(draws.mean(axis=0))
    assert matrices["upper"].to_numpy() == pytest.approx(high)


def test_parts_of_a_variance_add_up_to_that_of_the_effect(intercepts):
    """To the variance of the mixture that `density` has, by another route."""
    _, post = intercepts
    parts = lmm.ranef_variance(post)
    whole = parts[["residual", "fixef", "variances"]].sum(axis=1)
    assert whole.to_numpy() == pytest.approx(parts["variance"].to_numpy(), rel=EXACT)
    curve = post.density("1|g[g0]", np.linspace(-25.0, 25.0, 20_001))
    step = 50.0 / 20_000
    mean = (curve["value"] * curve["density"]).sum() * step
    variance = ((curve["value"] - mean) ** 2 * curve["density"]).sum() * step
    assert parts["variance"].iloc[0] == pytest.approx(variance, rel=1e-3)


def test_parts_are_those_of_the_dense_formula(intercepts):
    """Each part by the textbook at every point of the variances, with inverses."""
    _, post = intercepts  # under flat priors of the fixed effects
    points, rows = weighted_points(post), post.model.design.rows
    Z, space = np.eye(6)[rows.codes[0]], post.model.space
    tau, sigma = (
        values_at(parameter, points.target, points.x) for parameter in space.variances
    )
    given, fixed, means = [], [], []
    for t, s in zip(tau.tolist(), sigma.tolist(), strict=True):
        V = t**2 * Z @ Z.T + s**2 * np.eye(len(Z))
        cov = np.linalg.inv(rows.X.T @ np.linalg.solve(V, rows.X))
        beta = cov @ rows.X.T @ np.linalg.solve(V, rows.y)
        response = t**2 * np.linalg.solve(V, Z).T
        given.append(t**2 - t**2 * np.einsum("jn,nj->j", response, Z))
        moves = response @ rows.X
        fixed.append(np.einsum("jp,pq,jq->j", moves, cov, moves))
        means.append(response @ (rows.y - rows.X @ beta))
    weights, means = points.weights, np.array(means)
    parts = lmm.ranef_variance(post)
    assert parts["residual"].to_numpy() == pytest.approx(weights @ given, rel=1e-6)
    assert parts["fixef"].to_numpy() == pytest.approx(weights @ fixed, rel=1e-6)
    spread = weights @ (means - weights @ means) ** 2
    assert parts["variances"].to_numpy() == pytest.approx(spread, rel=1e-5)


def test_gelman_and_pardoes_pooling_is_that_of_the_draws(intercepts):
    _, post = intercepts
    found = lmm.pooling_factors(post)
    tree, rows = post.idata["posterior"], post.model.design.rows
    b = tree["1|g"].to_numpy().reshape(-1, 6)
    expected = 1.0 - b.mean(axis=0).var(ddof=1) / b.var(axis=1, ddof=1).mean()
    assert found.loc["Intercept|g", "pooling"] == pytest.approx(expected, rel=EXACT)
    beta = np.stack([tree["Intercept"], tree["x"]], axis=-1).reshape(-1, 2)
    errors = rows.y - beta @ rows.X.T - b[:, rows.codes[0]]
    mean = errors.var(axis=1, ddof=1).mean()
    expected = 1.0 - errors.mean(axis=0).var(ddof=1) / mean
    assert found.loc["data", "pooling"] == pytest.approx(expected, rel=1e-7)
    assert found.loc["data", "r2"] == pytest.approx(1.0 - mean / rows.y.var(ddof=1))
    assert found["n"].tolist() == [len(rows.y), 6]


def test_missing_moments_are_not_told(intercepts):
    """Where the effects have no SD there is no variance to split."""
    _, post = intercepts
    missing = replace(post.status.missing, sd=("Intercept|g",))
    told = replace(post, status=replace(post.status, missing=missing))
    assert lmm.ranef_variance(told)["variance"].isna().all()
    assert np.isnan(lmm.pooling_factors(told).loc["Intercept|g", "pooling"])


def reading_of(rows, formula="y ~ x + (1 | g)", **options):
    return lmm.shrinkage_reading(lmm.Model(formula, rows).fit_reml(), **options)


def balanced(seed=2, n=12):
    """Eight levels of equal rows, at -7, -5, ..., 7."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(8), n)
    noise = rng.normal(size=(8, n))
    noise -= noise.mean(axis=1, keepdims=True)
    y = (2.0 * np.arange(8) - 7.0)[g] + 4.0 * noise.ravel()
    return pd.DataFrame({"y": y, "g": [f"g{j}" for j in g]})


def test_who_moved_because_of_few_rows_is_told_so():
    rows = balanced()
    rows = rows.drop(rows.index[rows["g"] == "g2"][2:])
    said = reading_of(rows, "y ~ 1 + (1 | g)", top=1)
    assert len(said) == 1
    assert said[0].startswith("Intercept of g2 moved most")
    assert "few rows (2, the usual level 12)" in said[0]


def test_who_moved_because_it_is_far_is_told_so():
    said = reading_of(balanced(), "y ~ 1 + (1 | g)", top=2)
    assert {one.split()[2] for one in said} == {"g0", "g7"}
    assert all("as far from the centre" in one for one in said)
    assert all("few rows" not in one for one in said)


def test_who_moved_because_its_rows_say_little_is_told_so():
    """As many rows, at nearly the same x: leverage, not rows."""
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(8), 12)
    x = rng.normal(size=len(g))
    x[g == 3] *= 0.15
    y = (1.0 + 0.8 * rng.normal(size=8)[g]) * x + rng.normal(size=len(g))
    rows = pd.DataFrame({"y": y, "x": x, "g": [f"g{j}" for j in g]})
    said = reading_of(rows, "y ~ x + (0 + x | g)", top=1)
    assert said[0].startswith("x of g3 moved most")
    assert "by leverage" in said[0]
    assert "few rows" not in said[0]


@pytest.mark.usefixtures("user_speed")
def test_arguments_are_checked(slopes):
    reml, post = slopes
    with pytest.raises(lmm.ModelError, match="top must be a whole number"):
        lmm.shrinkage_reading(reml, top=0)
    with pytest.raises(lmm.ModelError, match="reml must be what"):
        lmm.shrinkage_matrices(post)
    with pytest.raises(lmm.ModelError, match="post must be what"):
        lmm.ranef_variance(reml)
    with pytest.raises(lmm.ModelError, match="post must be what"):
        lmm.pooling_factors(reml)
    with pytest.raises(lmm.ModelError, match="not among the grouping factors"):
        lmm.shrinkage_matrices(reml, term="class")


@pytest.mark.usefixtures("user_speed")
def test_panels_are_sorted_by_how_far_they_moved(slopes):
    reml, post = slopes
    figure = lmm.plot_pooling(reml, post)
    titles = [ax.get_title() for ax in figure.axes]
    assert len(titles) == 6
    moved = [float(title.rsplit("moved ", 1)[1]) for title in titles]
    assert moved == sorted(moved, reverse=True)
    assert moved[0] > moved[-1]
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"no pooling, own", "complete pooling"} <= labels
    three = lmm.plot_pooling(reml, levels=3)
    assert [ax.get_title() for ax in three.axes] == titles[:3]


def test_a_fit_in_which_nobody_moved_says_nothing():
    """All levels at the centre: what is left is rounding."""
    rows = balanced()
    rows["y"] -= rows.groupby("g")["y"].transform("mean")
    with pytest.warns(lmm.FitWarning):
        assert reading_of(rows, "y ~ 1 + (1 | g)") == ()
