"""The path of shrinkage: dense formulas, ordinary least squares, ridge regression."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from sampling import sample_unchecked

import bayeslmm as lmm

PEER = 1e-8  # of the limits and of ridge regression
EXACT = 1e-9  # the same by inverses of n x n matrices
INF = float("inf")


@pytest.fixture(scope="module")
def rows():
    """Six levels of 2 to 14 rows, crossed with four items; a predictor of levels."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(6), [2, 3, 5, 8, 11, 14])
    n = len(g)
    x, item, b = rng.normal(size=n) + 3.0, rng.integers(4, size=n), rng.normal(size=6)
    y = 5.0 + 2.0 * b[g] + (1.0 + 0.5 * b[g] ** 2) * x + 0.7 * item
    return pd.DataFrame(
        {
            "y": y + rng.normal(size=n),
            "x": x,
            "g": [f"g{j}" for j in g],
            "item": [f"i{i}" for i in item],
            "z": np.array([0.3, -1.0, 0.2, 2.0, 0.5, -0.7])[g],
            "w": rng.uniform(0.5, 2.0, size=n),
        }
    )


@pytest.fixture(scope="module")
def slopes(sleepstudy):
    return lmm.Model("Reaction ~ Days + (Days | Subject)", sleepstudy).fit_reml()


def coefs(path: pd.DataFrame, effect: str, column: str = "estimate") -> np.ndarray:
    """One column of the levels, in their order."""
    return path.query("level != '' and effect == @effect")[column].to_numpy()


def fixed(path: pd.DataFrame, column: str = "estimate") -> np.ndarray:
    """One column of the fixed effects."""
    return path.query("level == ''")[column].to_numpy()


def dense(reml, factors, weights=None):
    """BLUE, coefficients of the first term and SEs, from n x n matrices."""
    design, rows = reml.design, reml.design.rows
    n, s2 = design.n, reml.sigma**2
    blocks = []
    for codes, Z, term in zip(rows.codes, rows.Z, design.groups, strict=True):
        whole = np.zeros((n, term.n_levels * term.k))
        for i in range(term.k):
            whole[np.arange(n), codes * term.k + i] = Z[:, i]
        blocks.append(whole)
    Z = np.hstack(blocks)
    sizes = [len(term.levels) for term in design.groups]
    G = np.zeros((Z.shape[1],) * 2)
    at = 0
    for factor, J in zip(factors, sizes, strict=True):
        own = np.kron(np.eye(J), factor @ factor.T)
        G[at : at + len(own), at : at + len(own)] = own
        at += len(own)
    w = np.ones(n) if weights is None else weights
    inv = np.linalg.inv(Z @ G @ Z.T + s2 * np.diag(1.0 / w))
    cov = np.linalg.inv(rows.X.T @ inv @ rows.X)
    beta = cov @ rows.X.T @ inv @ rows.y
    k, J, p = design.groups[0].k, sizes[0], design.p
    C = np.zeros((J * k, p))
    for i, effect in enumerate(design.groups[0].effects):
        C[i::k, design.fixed_names.index(effect)] = 1.0
    response = (G @ Z.T @ inv)[: J * k]
    coef = C @ beta + response @ (rows.y - rows.X @ beta)
    moves = C - response @ rows.X
    given = (G - G @ Z.T @ inv @ Z @ G)[: J * k, : J * k]
    var = np.diag(given + moves @ cov @ moves.T)
    return beta, np.sqrt(np.diag(cov)), coef.reshape(J, k), np.sqrt(var).reshape(J, k)


@pytest.mark.parametrize(
    ("formula", "weights"),
    [
        ("y ~ x + z + (1 | g)", None),
        ("y ~ x + (x | g) + (1 | item)", None),
        ("y ~ x + (1 | item) + (x || g)", "w"),
    ],
)
@pytest.mark.parametrize("sd", [0.0, 0.4, 7.0])
def test_any_sd_is_the_dense_formula(rows, formula, weights, sd):
    """Several factors, weights, terms merged into one: BLUE, BLUPs and both SEs."""
    weights = None if weights is None else rows[weights].to_numpy()
    reml = lmm.Model(formula, rows, weights=weights).fit_reml()
    first = reml.design.groups[0]
    path = lmm.shrinkage_path(reml, term=first.label, sd=[sd])
    L = reml.factors[0]
    sds = np.sqrt(np.diag(L @ L.T))
    corr = L / sds[:, None]
    sds[0] = sd
    beta, beta_se, coef, se = dense(
        reml, (sds[:, None] * corr, *reml.factors[1:]), weights
    )
    assert fixed(path) == pytest.approx(beta, rel=EXACT)
    assert fixed(path, "se") == pytest.approx(beta_se, rel=EXACT)
    for i, effect in enumerate(first.effects):
        assert coefs(path, effect) == pytest.approx(coef[:, i], rel=1e-8)
        assert coefs(path, effect, "se") == pytest.approx(se[:, i], rel=1e-7)


def test_remls_sd_gives_remls_estimates(slopes):
    path = lmm.shrinkage_path(slopes)
    at = path[path["sd"] == path.attrs["reml"]]
    coef = slopes.coef().sort_values(["effect", "level"])["estimate"].to_numpy()
    own = at[at["level"] != ""].sort_values(["effect", "level"])
    assert own["estimate"].to_numpy() == pytest.approx(coef, rel=EXACT)
    assert fixed(at) == pytest.approx(slopes.beta, rel=EXACT)


def test_ends_are_complete_and_no_pooling(slopes, sleepstudy):
    """All levels as one regression; a regression of each level alone."""
    both = lmm.shrinkage_path(slopes, effects=["Intercept", "Days"], sd=[0.0, INF])
    zero, inf = both[both["sd"] == 0.0], both[both["sd"] == INF]
    one = np.polyfit(sleepstudy["Days"], sleepstudy["Reaction"], 1)[::-1]
    each = np.array(
        [
            np.polyfit(own["Days"], own["Reaction"], 1)[::-1]
            for _, own in sleepstudy.groupby("Subject", observed=True)
        ]
    )
    assert fixed(zero) == pytest.approx(one, rel=PEER)
    assert np.isinf(fixed(inf, "se")).all()
    assert fixed(inf) == pytest.approx(each.mean(axis=0), rel=PEER)
    for i, effect in enumerate(["Intercept", "Days"]):
        assert coefs(zero, effect) == pytest.approx(np.full(18, one[i]), rel=PEER)
        assert coefs(inf, effect) == pytest.approx(each[:, i], rel=PEER)
    assert coefs(zero, "Days", "pooling").tolist() == [1.0] * 18
    assert coefs(inf, "Days", "pooling").tolist() == [0.0] * 18


def test_no_pooling_beside_a_common_slope_is_least_squares_with_dummies(rows):
    reml = lmm.Model("y ~ x + (1 | g)", rows).fit_reml()
    path = lmm.shrinkage_path(reml, sd=[INF])
    X = np.column_stack([pd.get_dummies(rows["g"]).to_numpy(float), rows["x"]])
    inverse = np.linalg.inv(X.T @ X)
    found = inverse @ X.T @ rows["y"]
    assert coefs(path, "Intercept") == pytest.approx(found[:-1], rel=PEER)
    se = reml.sigma * np.sqrt(np.diag(inverse))
    assert coefs(path, "Intercept", "se") == pytest.approx(se[:-1], rel=PEER)
    assert fixed(path)[1] == pytest.approx(found[-1], rel=PEER)
    assert fixed(path, "se")[1] == pytest.approx(se[-1], rel=PEER)


def test_a_predictor_of_levels_is_left_open_by_no_pooling(rows):
    """Its limit is the regression of the levels' own means; its SE is infinite."""
    reml = lmm.Model("y ~ z + (1 | g)", rows).fit_reml()
    path = lmm.shrinkage_path(reml, sd=[1e4, INF])
    near, inf = path[path["sd"] < INF], path[path["sd"] == INF]
    means = rows.groupby("g").agg(y=("y", "mean"), z=("z", "first"))
    slope, intercept = np.polyfit(means["z"], means["y"], 1)
    assert fixed(inf) == pytest.approx([intercept, slope], rel=PEER)
    assert fixed(near) == pytest.approx(fixed(inf), rel=1e-5)
    assert np.isinf(fixed(inf, "se")).all()
    # the level's coefficient is its intercept, from which z's part is taken off
    assert np.isinf(coefs(inf, "Intercept", "se")).all()


def test_a_level_without_a_slope_of_its_own_has_none(rows):
    one = pd.DataFrame({"y": [4.0, 5.0], "x": [2.0, 2.0], "g": ["h", "h"]})
    reml = lmm.Model("y ~ x + (x | g)", pd.concat([rows, one])).fit_reml()
    path = lmm.shrinkage_path(reml, effects=["Intercept", "x"], sd=[1.0, INF])
    inf = path[(path["sd"] == INF) & (path["level"] != "")]
    missing = inf.loc[inf["estimate"].isna(), "level"]
    assert set(missing) == {"h"}
    rest = inf[inf["level"] != "h"].query("effect == 'x'")["estimate"].to_numpy()
    own = [np.polyfit(part["x"], part["y"], 1)[0] for _, part in rows.groupby("g")]
    assert rest == pytest.approx(own, rel=1e-7)


def test_the_path_is_scikit_learns_ridge(rows):
    """Dummies penalised by sigma^2 / SD^2, the fixed part not at all."""
    linear = pytest.importorskip("sklearn.linear_model")
    reml = lmm.Model("y ~ 1 + (1 | g)", rows, weights=rows["w"]).fit_reml()
    path = lmm.shrinkage_path(reml, sd=[0.05, 0.3, 1.0, 5.0, 40.0])
    Z = pd.get_dummies(rows["g"]).to_numpy(float)
    for _, own in path.groupby("sd"):
        ridge = linear.Ridge(alpha=float(own["penalty"].iloc[0]), solver="cholesky")
        ridge.fit(Z, rows["y"], sample_weight=rows["w"])
        assert fixed(own)[0] == pytest.approx(ridge.intercept_, rel=PEER)
        found = ridge.intercept_ + ridge.coef_
        assert coefs(own, "Intercept") == pytest.approx(found, rel=PEER)


def test_the_path_is_least_squares_with_rows_for_the_penalty(rows):
    reml = lmm.Model("y ~ x + (1 | g)", rows).fit_reml()
    path = lmm.shrinkage_path(reml, sd=[0.3, 2.0])
    Z = pd.get_dummies(rows["g"]).to_numpy(float)
    X = np.column_stack([np.ones(len(rows)), rows["x"]])
    for _, own in path.groupby("sd"):
        root = np.sqrt(float(own["penalty"].iloc[0]))
        whole = np.block([[X, Z], [np.zeros((6, 2)), root * np.eye(6)]])
        y = np.append(rows["y"], np.zeros(6))
        found = np.linalg.lstsq(whole, y, rcond=None)[0]
        assert fixed(own) == pytest.approx(found[:2], rel=PEER)
        assert coefs(own, "Intercept") == pytest.approx(found[0] + found[2:], rel=PEER)


def test_pooling_of_one_effect_is_the_textbooks(rows):
    """sigma^2 / (sigma^2 + n SD^2)."""
    reml = lmm.Model("y ~ x + (1 | g)", rows).fit_reml()
    path = lmm.shrinkage_path(reml, sd=[0.7])
    n = np.array([2, 3, 5, 8, 11, 14])
    s2 = reml.sigma**2
    assert coefs(path, "Intercept", "pooling") == pytest.approx(s2 / (s2 + n * 0.49))
    usual = lmm.shrinkage_path(reml, sd=[path.attrs["halfway"]])
    assert np.median(n) == 6.5
    assert usual["pooling"].median() == pytest.approx(0.5, abs=0.03)


@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_a_singular_fit_has_a_path_all_the_same(rows):
    flat = rows.assign(y=np.random.default_rng(1).normal(size=len(rows)))
    flat["y"] -= flat.groupby("g")["y"].transform("mean")
    reml = lmm.Model("y ~ x + (1 | g)", flat).fit_reml()
    assert reml.status.singular
    path = lmm.shrinkage_path(reml)
    assert path.attrs["reml"] == 0.0
    assert path["estimate"].notna().all()


def test_held_sds_are_as_asked(rows):
    reml = lmm.Model("y ~ x + (x || g)", rows).fit_reml()
    none = lmm.shrinkage_path(reml, sd=[1.0], hold={"x": 0.0})
    assert np.ptp(coefs(none, "x")) == 0.0
    assert none.attrs["held"].endswith("as asked: SD of x at 0")
    assert np.ptp(coefs(lmm.shrinkage_path(reml, sd=[1.0]), "x")) > 0.1


@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_equal_sds_are_turned_together(rows):
    """homcs has one SD for both effects; cs has two."""
    for word, turned in (("homcs", ["Intercept", "x"]), ("cs", ["Intercept"])):
        reml = lmm.Model(f"y ~ x + {word}(x | g)", rows).fit_reml()
        path = lmm.shrinkage_path(reml, sd=[0.0])
        assert path.attrs["effects"] == turned
        assert (np.ptp(coefs(path, "x")) == 0.0) == (word == "homcs")


@settings(max_examples=4)
@given(shift=st.floats(-100.0, 100.0), scale=st.floats(0.01, 100.0))
def test_units_of_the_response_are_those_of_the_path(rows, shift, scale):
    model = lmm.Model("y ~ x + (1 | g)", rows)
    reml = model.fit_reml()
    other = lmm.Model(
        "y ~ x + (1 | g)", rows.assign(y=shift + scale * rows["y"])
    ).fit_reml()
    one = lmm.shrinkage_path(reml, sd=[0.5])
    two = lmm.shrinkage_path(other, sd=[0.5 * scale])
    found = (coefs(two, "Intercept") - shift) / scale
    assert found == pytest.approx(coefs(one, "Intercept"), rel=1e-3, abs=1e-3)


@pytest.mark.usefixtures("user_speed")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sd": [-1.0]}, "sd must be SDs"),
        ({"sd": "all"}, "sd must be SDs"),
        ({"sd": []}, "sd must be SDs"),
        ({"sd": [float("nan")]}, "sd must be SDs"),
        ({"sd": True}, "sd must be SDs"),
        ({"sd": 1j}, "sd must be SDs"),
        ({"sd": {}}, "sd must be SDs"),
        ({"term": "class"}, "not among the grouping factors"),
        ({"effects": "slope"}, "not among the effects"),
        ({"hold": {"x": -1}}, "must be an SD"),
        ({"hold": 3}, "hold must be SDs by effect"),
        ({"prob": 2}, "prob must lie"),
    ],
)
def test_what_a_path_cannot_take(rows, options, words):
    reml = lmm.Model("y ~ x + (x || g)", rows).fit_reml()
    with pytest.raises(lmm.ModelError, match=words):
        lmm.shrinkage_path(reml, **options)


@pytest.mark.usefixtures("user_speed")
def test_other_objects_are_no_fits(rows):
    with pytest.raises(lmm.ModelError, match="fit must be what"):
        lmm.shrinkage_path(rows)  # pyright: ignore[reportArgumentType]
    model = lmm.Model("y ~ x", rows.assign(t=range(len(rows))), residual="varident(g)")
    with pytest.raises(lmm.ModelError, match="has no bar term"):
        lmm.shrinkage_path(model.fit_reml())


@pytest.mark.usefixtures("user_speed")
def test_the_figure_has_lines_reml_and_posterior(rows):
    model = lmm.Model("y ~ x + (1 | g)", rows)
    post = sample_unchecked(model, draws=200, chains=2, seed=1)
    figure = lmm.plot_shrinkage_path(post)
    assert len(figure.axes) == 4  # levels, two fixed effects, posterior
    path = lmm.shrinkage_path(post)
    drawn = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 10]
    assert len(drawn) == 6
    ends = sorted(line.get_ydata()[-1] for line in drawn)
    assert ends == pytest.approx(sorted(coefs(path[path["sd"] == INF], "Intercept")))
    share = path.attrs["reml"] / (path.attrs["reml"] + path.attrs["halfway"])
    marks = [line.get_xdata() for line in figure.axes[-1].lines]
    assert any(np.allclose(mark, share) for mark in marks)
    hill = figure.axes[-1].lines[0]
    area = np.trapezoid(hill.get_ydata(), hill.get_xdata())
    assert area == pytest.approx(1.0, abs=0.01)


def test_two_effects_are_curves_in_their_plane(slopes):
    figure = lmm.plot_shrinkage_path(slopes, effects=["Intercept", "Days"], levels=3)
    ax = figure.axes[0]
    assert len(ax.lines) == 18
    assert "Intercept of each Subject" in ax.get_xlabel()
    assert len(ax.texts) == 3


def test_many_levels_are_sampled_and_it_says_so():
    data = lmm.simulate_classrooms(400, 4, seed=4).data
    reml = lmm.Model("score ~ edu + (1 | classroom)", data).fit_reml()
    figure = lmm.plot_shrinkage_path(reml)
    drawn = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 10]
    assert len(drawn) <= 220
    assert f"{len(drawn):,} drawn" in " ".join(figure.get_suptitle().split())
    low, high = figure.axes[0].get_ylim()
    named = [text.get_position()[1] for text in figure.axes[0].texts]
    assert len(named) == 20
    assert low < min(named) < max(named) < high
