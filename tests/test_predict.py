"""Predictions that say what they are: four words for levels, the same on both sides."""

import numpy as np
import pandas as pd
import pytest
from helpers import (
    LAYOUTS,
    dense_conditional,
    dense_V,
    random_design,
    random_factors,
    sums_of,
)
from hypothesis import given, strategies as st
from predict_cases import balanced, crossed
from sampling import sample_unchecked, unchecked
from scipy.special import expit

import bayeslmm as lmm
from bayeslmm.marginal import cross_products
from bayeslmm.marginal.layout import make_layout
from bayeslmm.marginal.routes import make_statistics, sparse_rest
from bayeslmm.marginal.rows import RowTerm, row_means
from bayeslmm.posterior.predictions import (
    Asked,
    normal_nodes,
    prediction_draws,
    prediction_table,
)
from bayeslmm.posterior.tables import Interval
from bayeslmm.posterior.tails import Missing

EXACT = 1e-9  # same algebra by two routes
PEER = 1e-5  # lme4's optimum and ours
MAX_Z = 4.5  # Monte Carlo, in its own errors

WORDS = ("group", "new", "unknown", "population")


@pytest.fixture(scope="module")
def data():
    return crossed()


@pytest.fixture(scope="module")
def model(data):
    return lmm.Model("y ~ x + (x | g) + (1 | h)", data, weights="w")


@pytest.fixture(scope="module")
def reml(model):
    return model.fit_reml()


@pytest.fixture(scope="module")
def post(model):
    return sample_unchecked(model, draws=500, chains=2, seed=1)


@pytest.fixture
def new(data):
    """An old level of both, a new one of either, and another row of the same."""
    rows = data.head(4).reset_index(drop=True)
    rows["g"] = [rows["g"][0], "nobody", rows["g"][0], "nobody"]
    rows["h"] = [rows["h"][0], rows["h"][0], "nowhere", rows["h"][0]]
    return rows.drop(columns="y")


@pytest.mark.parametrize("side", ["reml", "post"])
def test_predictions_have_the_index_of_the_rows(request, data, side):
    """So that a column of them fits the frame, were it filtered or in another order."""
    fit, verb = request.getfixturevalue(side), "estimate" if side == "reml" else "mean"
    some = data.iloc[[7, 3, 20]]
    held = data.assign(found=fit.predict(some)[verb])["found"]
    assert list(np.flatnonzero(held.notna())) == [3, 7, 20]
    assert held[[3, 7, 20]].to_numpy() == pytest.approx(
        fit.predict()[verb].iloc[[3, 7, 20]].to_numpy(), rel=EXACT
    )
    assert list(fit.predict(some.set_index(pd.Index(["a", "a", "b"]))).index) == [
        *("a", "a", "b")
    ]


def test_rows_that_were_left_out_have_no_prediction(data):
    """The rows used keep their labels; those after one left out do not move up."""
    holes = data.assign(y=data["y"].where(data.index != 2))
    with unchecked():
        fit = lmm.Model("y ~ x + (1 | g)", holes).fit_reml()
    held = holes.assign(found=fit.predict()["estimate"])["found"]
    assert list(np.flatnonzero(held.isna())) == [2]
    assert held[3] == pytest.approx(fit.predict(data)["estimate"][3], rel=EXACT)


# --- the mathematics ------------------------------------------------------------------


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(LAYOUTS),
    st.tuples(st.integers(1, 3), st.integers(1, 2)),
)
def test_errors_of_rows_are_those_of_the_dense_formula(seed, layout, effects):
    """c' Cov(beta, b) c with c = (x, z), 0 where a row has no level."""
    rng = np.random.default_rng(seed)
    own = effects[:1] if layout == "one" else effects
    design = random_design(rng, layout=layout, effects=own, weights=True)
    factors, sigma = random_factors(rng, design), 0.7
    X, c = rng.normal(size=(6, design.p)), []
    terms = [
        RowTerm(rng.normal(size=(6, t.k)), rng.integers(-1, t.n_levels, 6))
        for t in design.groups
    ]
    for t, term in enumerate(design.groups):
        wide = np.zeros((6, term.n_levels, term.k))
        known = terms[t].codes >= 0
        wide[np.flatnonzero(known), terms[t].codes[known]] = terms[t].Z[known]
        c.append(wide.reshape(6, -1))
    dense = dense_conditional(design, factors, sigma)
    combination = np.column_stack([X, *c])
    relative = [factor / sigma for factor in factors]
    expected = np.einsum("nq,qr,nr->n", combination, dense.cov, combination)
    routes = [cross_products(design)]
    if len(design.groups) > 1:
        parts = make_layout(design)
        routes.append(make_statistics(sums_of(design, parts), parts, sparse_rest))
    for stats in routes:
        found = row_means(stats, relative, X, terms)
        np.testing.assert_allclose(found.values, combination @ dense.mean, atol=EXACT)
        np.testing.assert_allclose(sigma**2 * found.variances, expected, rtol=EXACT)


def by_hand(reml, rows, words, *, response):
    """Best guess and SD of its error of some rows, from the joint covariance."""
    design = reml.design
    dense = dense_conditional(design, reml.factors, reml.sigma)
    encoded = reml.model.recipe.encode(rows)
    columns, extra = [encoded.X], np.zeros(len(rows))
    for term, own, L, word in zip(
        design.groups, encoded.groups, reml.factors, words, strict=True
    ):
        wide = np.zeros((len(rows), term.n_levels, term.k))
        known = (own.codes >= 0) & (word in ("group", "new"))
        wide[np.flatnonzero(known), own.codes[known]] = own.Z[known]
        columns.append(wide.reshape(len(rows), -1))
        between = np.einsum("nk,kl,nl->n", own.Z, L @ L.T, own.Z)
        extra += between * (~known & (word == "new"))
        extra += between * (response and word == "unknown")
    if response:
        extra += reml.sigma**2 / rows["w"].to_numpy()
    c = np.column_stack(columns)
    variance = np.einsum("nq,qr,nr->n", c, dense.cov, c) + extra
    return c @ dense.mean, np.sqrt(variance)


@pytest.mark.parametrize("kind", ["mean", "response"])
@pytest.mark.parametrize(
    "level",
    [*WORDS[1:], {"g": "new", "h": "unknown"}, {"g": "population", "h": "new"}],
)
def test_reml_predicts_what_the_words_say(reml, new, level, kind):
    words = [level if isinstance(level, str) else level[group] for group in "gh"]
    values, se = by_hand(reml, new, words, response=kind == "response")
    found = reml.predict(new, level=level, kind=kind, prob=0.8)
    np.testing.assert_allclose(found["estimate"], values, rtol=EXACT)
    np.testing.assert_allclose(found["se"], se, rtol=EXACT)
    np.testing.assert_allclose(found["lower"], values - 1.2815515655446004 * se)
    np.testing.assert_allclose(found["upper"], values + 1.2815515655446004 * se)


def test_the_rows_used_are_new_rows_of_the_same_levels(reml, post, data):
    for word in WORDS:
        for fit in (reml, post):
            ours = fit.predict(level=word)
            theirs = fit.predict(data.drop(columns="y"), level=word)
            pd.testing.assert_frame_equal(ours, theirs, rtol=1e-9)
    values, se = by_hand(reml, data, ["group"] * 2, response=True)
    found = reml.predict(kind="response")
    np.testing.assert_allclose(found["estimate"], reml.fitted(), rtol=EXACT)
    np.testing.assert_allclose(found["estimate"], values, rtol=EXACT)
    np.testing.assert_allclose(found["se"], se, rtol=EXACT)


def test_the_population_is_the_marginal_mean(reml):
    """The SE of a population is that of the same combination of fixed effects."""
    row = pd.DataFrame({"x": [2.0]})
    found = reml.predict(row, level="population").iloc[0]
    ours = reml.contrast("Intercept + 2 * x", ddf="z").iloc[0]
    for column in ("estimate", "se", "lower", "upper"):
        assert found[column] == pytest.approx(ours[column], rel=EXACT)


def test_predictions_and_their_errors_are_lme4s():
    """lme4 1.1-31: predict(), and SEs from its Lambda and sigma by the dense formula.

    ``predict(m, new, re.form = NULL | NA, allow.new.levels = TRUE)``.
    """
    sleep = lmm.load_data("sleepstudy")
    fit = lmm.Model("Reaction ~ Days + (Days | Subject)", sleep).fit_reml()
    new = pd.DataFrame({"Days": [0, 12, 5], "Subject": ["308", "308", "372"]})
    known, strange = fit.predict(new), new.assign(Subject="x")
    population = [251.405104848, 377.012536364, 303.741534646]
    assert known["estimate"].to_numpy() == pytest.approx(
        [253.663655798, 489.658796500, 322.476237137], rel=PEER
    )
    assert known["se"].to_numpy() == pytest.approx(
        [12.25481082562, 20.06122586201, 8.01605431277], rel=PEER
    )
    for table in (
        fit.predict(strange, level="new", kind="response"),
        fit.predict(new[["Days"]], level="unknown", kind="response"),
    ):
        assert table["estimate"].to_numpy() == pytest.approx(population, rel=PEER)
        assert table["se"].to_numpy() == pytest.approx(
            [36.2438310107, 83.0885365730, 48.2874517192], rel=PEER
        )
    penicillin = lmm.load_data("Penicillin")
    fit = lmm.Model("diameter ~ 1 + (1 | plate) + (1 | sample)", penicillin).fit_reml()
    rows = pd.DataFrame({"plate": ["a", "new"], "sample": ["A", "A"]})
    found = fit.predict(rows, level="new")
    assert found["estimate"].to_numpy() == pytest.approx(
        [25.9638275299, 25.1592806241], rel=PEER
    )
    assert found["se"].to_numpy() == pytest.approx(
        [0.240197435511, 0.871402013442], rel=PEER
    )
    response = fit.predict(rows.tail(1), level="new", kind="response")["se"].iloc[0]
    assert response == pytest.approx(1.03041565656, rel=PEER)


def test_laws_of_reml_predictions(data, new, reml):
    """Shift and scale of x and y, another order of the rows, other names of levels."""
    other = data.sample(frac=1.0, random_state=2)
    other["y"], other["x"] = 10.0 * other["y"] - 3.0, 1e3 + 0.1 * other["x"]
    other["g"] = "level " + other["g"]
    fit = lmm.Model("y ~ x + (x | g) + (1 | h)", other, weights="w").fit_reml()
    rows = new.assign(x=1e3 + 0.1 * new["x"], g="level " + new["g"])
    for word in WORDS[1:3]:
        for kind in ("mean", "response"):
            ours = reml.predict(new, level=word, kind=kind)
            theirs = fit.predict(rows, level=word, kind=kind)
            np.testing.assert_allclose(theirs["se"], 10.0 * ours["se"], rtol=1e-4)
            for end in ("estimate", "lower", "upper"):
                moved = 10.0 * ours[end] - 3.0
                np.testing.assert_allclose(theirs[end], moved, rtol=1e-4, atol=1e-3)


# --- the posterior --------------------------------------------------------------------


def test_rows_of_one_new_level_share_its_effect(post, new):
    """And rows of unknown levels do not; an old level of the other factor stays."""
    same = pd.concat([new.iloc[[1]]] * 2)
    pair = post.predict_draws(same, level="new", seed=1)
    np.testing.assert_array_equal(pair[..., 0], pair[..., 1])
    apart = post.predict_draws(same, level="unknown", kind="response", seed=1)
    fixed = post.predict_draws(same, level="population")
    left = (apart - fixed).reshape(-1, 2)
    assert abs(np.corrcoef(left.T)[0, 1]) < MAX_Z / np.sqrt(len(left))
    own = post.predict_draws(new.iloc[[2]], level={"g": "group", "h": "population"})
    both = post.predict_draws(new.iloc[[2]], level="new", seed=1)
    sd = post.draws("1|h_sigma")
    z = ((both - own)[..., 0] / sd).ravel()  # the new level of h alone
    assert abs(z.mean()) < MAX_Z / np.sqrt(z.size)
    assert z.std() == pytest.approx(1.0, abs=MAX_Z / np.sqrt(2 * z.size))


def test_the_variance_of_an_unknown_level_is_that_between_levels(post, data):
    """Draw by draw: z'Sigma z of every factor, and the noise of the row's weight."""
    rows = pd.concat([data.head(1)] * 400, ignore_index=True).drop(columns=["y", "g"])
    drawn = post.predict_draws(rows.drop(columns="h"), level="unknown", kind="response")
    left = drawn - post.predict_draws(rows, level="population")
    x, w = rows["x"][0], rows["w"][0]
    sd0, sd1, corr = (
        post.draws(name) for name in ("1|g_sigma", "x|g_sigma", "g_corr[Intercept:x]")
    )
    between = sd0**2 + 2.0 * x * corr * sd0 * sd1 + (x * sd1) ** 2
    total = between + post.draws("1|h_sigma") ** 2 + post.draws("sigma") ** 2 / w
    z = left / np.sqrt(total)[..., None]
    assert z.std() == pytest.approx(1.0, abs=MAX_Z / np.sqrt(2 * z.size))
    mean = post.predict_draws(rows.drop(columns="h"), level="unknown")
    np.testing.assert_array_equal(mean, post.predict_draws(rows, level="population"))


@pytest.mark.parametrize("sd", [0.5, 3.0, 10.0])
def test_averages_of_a_probability(sd):
    """Quadrature of the average over levels against a fine rule."""
    nodes, weights = normal_nodes()
    fine = np.linspace(-9.0, 9.0, 20_001)
    density = np.exp(-0.5 * fine**2)
    density /= density.sum()
    for eta in (-4.0, -0.5, 1.0):
        exact = density @ expit(eta + sd * fine)
        found = weights @ expit(eta + sd * nodes)
        assert found == pytest.approx(exact, abs=1e-9 if sd <= 3.0 else 1e-3)


def test_the_average_of_a_probability_is_not_that_of_an_average_level():
    """Over levels the probability is nearer to a half; a new level is spread."""
    data = balanced(12, 4, 2.0, np.random.default_rng(5))
    tree = sample_unchecked(
        lmm.Model("y ~ 1 + (1 | g)", data), draws=150, chains=2, seed=1
    ).idata
    # draws of the same names, taken for those of a logit
    model = lmm.Model(
        "y ~ 1 + (1 | g)", data.assign(y=data["y"] > 5.0), family="bernoulli"
    )
    rows = pd.DataFrame({"g": [f"n{i}" for i in range(400)]})

    def draws(level, kind="mean", n=1):
        return prediction_draws(model, tree, rows.head(n), Asked(kind, level, 2))

    unknown, drawn = draws("unknown")[..., 0], draws("new", n=400)
    apart = (drawn.mean(axis=-1) - unknown) / (drawn.std(axis=-1) / 20.0)
    z = np.abs(apart).mean()  # of a standard normal
    assert z == pytest.approx(0.8, abs=MAX_Z * 0.6 / np.sqrt(apart.size))
    population = draws("population")[..., 0]
    away = np.abs(population - 0.5) - np.abs(unknown - 0.5)
    assert (away > 0.0).all()
    linear = draws("unknown", "linear")[..., 0]
    np.testing.assert_allclose(expit(linear), population, rtol=EXACT)
    table = prediction_table(
        model,
        tree,
        rows.head(1),
        Asked("mean", "unknown", 2),
        Interval(0.9, "eti"),
        Missing(),
    )
    assert table["mean"][0] == pytest.approx(unknown.mean(), rel=EXACT)


# --- what a user reads ----------------------------------------------------------------


def test_a_level_that_nobody_saw_is_an_error_with_the_ways_out(reml, post, new):
    for fit in (reml, post):
        with pytest.raises(lmm.DataError, match=r"2 rows have levels of 'g'.*'nobody'"):
            fit.predict(new)
        with pytest.raises(lmm.DataError, match=r"'g3 '\. Did you mean 'g3'"):
            fit.predict(new.head(1).assign(g="g3 "))
        with pytest.raises(lmm.DataError, match=r"1 row has a level of 'h'.*'nowhere'"):
            fit.predict(new, level={"g": "new"})
        with pytest.raises(lmm.ModelError, match=r"'school', which is no grouping"):
            fit.predict(new, level={"school": "new"})
        with unchecked(), pytest.raises(lmm.ModelError, match=r"0\.9.*is prob=0\.9"):
            fit.predict(new, level=0.9)
        with pytest.raises(lmm.ModelError, match=r"no random= any more.*'population'"):
            fit.predict(new, random=False)
        with pytest.raises(TypeError, match="unexpected keyword argument 'levels'"):
            fit.predict(new, levels="new")
        with pytest.raises(lmm.DataError, match=r"no column 'h'.*level='unknown'"):
            fit.predict(new.drop(columns="h"), level="new")
        with pytest.raises(lmm.DataError, match="no column 'w'"):
            fit.predict(new.drop(columns="w"), level="new", kind="response")
    with unchecked(), pytest.raises(lmm.ModelError, match="Unknown variances='all'"):
        reml.predict(new, level="new", variances="all")


def test_columns_are_needed_where_they_are_looked_at(data):
    """A slope that only varies: x is of no account for a population's mean."""
    model = lmm.Model("y ~ 1 + (0 + x | g)", data)
    reml = model.fit_reml()
    nothing = pd.DataFrame(index=range(2))
    assert len(reml.predict(nothing, level="population")) == 2
    assert len(reml.predict(nothing, level="unknown")) == 2
    with pytest.raises(lmm.DataError, match="no column 'x'"):
        reml.predict(nothing, level="unknown", kind="response")


def test_averages_that_do_not_exist_are_refused(data):
    """A predictor near 0, of which the mean is 1 over the root."""
    positive = data.assign(y=np.exp(0.1 * data["y"]))
    gaussian = lmm.Model("y ~ 1 + (1 | g)", positive)
    tree = sample_unchecked(gaussian, draws=50, chains=2, seed=1).idata
    model = lmm.Model("y ~ 1 + (1 | g)", positive, family="wald")
    with pytest.raises(lmm.ModelError, match=r"'wald'.*inverse_squared.*no average"):
        prediction_draws(model, tree, None, Asked("mean", "unknown", 1))


def test_dense_V_agrees_with_a_response_of_an_unknown_level(reml, data):
    """Of a row far from all others: V of the row, and the error of X beta."""
    row = data.head(1)
    V = dense_V(reml.design, reml.factors, reml.sigma)[0, 0]
    X = reml.design.rows.X[0]
    found = reml.predict(row, level="unknown", kind="response")["se"].iloc[0]
    assert found**2 == pytest.approx(V + X @ reml.beta_cov @ X, rel=EXACT)
