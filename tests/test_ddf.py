"""Degrees of freedom, contrasts and analysis of variance: lmerTest, pbkrtest, dense."""

import itertools
import json
import warnings
from functools import cache
from math import erfc, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import dense_Z
from sampling import unchecked

import bayeslmm as lmm
from bayeslmm import DataError, FitWarning, FormulaError, Model, ModelError
from bayeslmm.marginal import linear
from bayeslmm.marginal.elimination import eliminate
from bayeslmm.planning.targets import make_target, read_effect
from bayeslmm.reml.ddf import denominator, denominator_at
from bayeslmm.reml.kenward_roger import kenward_roger
from bayeslmm.reml.late import ended_of

REFERENCE = Path(__file__).parent / "reference"
PEER = json.loads((REFERENCE / "lmertest.json").read_text())
CASES = json.loads((REFERENCE / "lme4.json").read_text())["fits"]
DDF = ("satterthwaite", "kenward-roger")
# pbkrtest takes no account of prior weights; see `test_kenward_roger_is_the_textbooks`.
NO_PEER = {("sleep_weights_REML", "kenward-roger")}
FITTED = [
    (name, ddf)
    for name, found in PEER["fits"].items()
    for ddf in DDF
    if ddf in found and (name, ddf) not in NO_PEER
]


def peer_name(label: str) -> str:
    """Our label as R has it."""
    if label == "Intercept":
        return "(Intercept)"
    name, _, coords = label.removesuffix("]").partition("[")
    levels = coords.split(", ") if coords else [""] * len(name.split(":"))
    return ":".join(map("".join, zip(name.split(":"), levels, strict=True)))


@pytest.fixture(scope="module")
def fit_of(public_data):
    """The fit of a reference case, made once."""

    @cache
    def fit(name: str) -> Any:
        case = CASES[name]
        data = public_data(case["data"])
        weights = 1 + data["Days"].to_numpy() % 3 if "weights" in case else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            model = Model(case["formula"], data, weights=weights)
            return model.fit_reml(method=case["method"])

    return fit


@pytest.mark.parametrize(("name", "ddf"), FITTED)
def test_every_figure_of_lmertest_and_pbkrtest(name, ddf, fit_of):
    fit, peer = fit_of(name), PEER["fits"][name][ddf]
    table = fit.fixef(ddf=ddf)
    ours = table.set_axis([peer_name(label) for label in table.index])
    theirs = pd.DataFrame(
        peer["se_df_t_p"], index=peer["rows"], columns=["se", "df", "t", "p"]
    )
    ours = ours.loc[theirs.index]
    np.testing.assert_allclose(ours["se"], theirs["se"], rtol=1e-5)
    np.testing.assert_allclose(ours["df"], theirs["df"], rtol=1e-3)
    np.testing.assert_allclose(ours["t"], theirs["t"], rtol=1e-4)
    np.testing.assert_allclose(ours["p"], theirs["p"], rtol=2e-3, atol=1e-4 * 1e-4)
    covariance = PEER["fits"][name].get("kenward_roger_vcov")
    if ddf == "kenward-roger":
        order = [list(table.index.map(peer_name)).index(row) for row in peer["rows"]]
        adjusted = denominator(fit, ddf).covariance[np.ix_(order, order)]
        np.testing.assert_allclose(adjusted, covariance, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "ddf"),
    [(n, d) for n, d in FITTED if f"anova {d}" in PEER["fits"][n]],
)
def test_type_three_anova_of_every_reference(name, ddf, fit_of):
    check_anova(fit_of(name).anova(ddf=ddf), PEER["fits"][name][f"anova {ddf}"])


def check_anova(ours, peer):
    """Our table beside R's, term by term; R may have turned a product around."""
    names = {"*".join(sorted(row.split(":"))): row for row in peer["rows"]}
    assert ["*".join(sorted(t.split(":"))) for t in ours.index] == list(names)
    columns = ["sum_sq", "mean_sq", "num_df", "den_df", "F", "p"]
    np.testing.assert_allclose(
        ours[columns].to_numpy(float), np.array(peer["values"]), rtol=1e-3, atol=1e-8
    )


@pytest.mark.parametrize("formula", list(PEER["rat_pup"]))
@pytest.mark.parametrize(("kind", "ddf"), list(itertools.product((1, 2, 3), DDF)))
def test_anova_of_types_one_to_three(formula, kind, ddf, public_data):
    """Factors that interact with each other, and with a number."""
    fit = Model(formula, public_data("rat_pup")).fit_reml()
    words = {"satterthwaite": "Satterthwaite", "kenward-roger": "Kenward-Roger"}[ddf]
    table, peer = fit.anova(kind, ddf=ddf), PEER["rat_pup"][formula][f"{kind} {words}"]
    if kind > 1 and "treatment:sex +" in formula:
        # lmerTest does not see that sex is part of treatment:sex where R codes that by
        # all levels; SAS's rule, which is ours, averages over the treatments
        assert table["F"]["sex"] > 1.4 * peer["values"][0][4]
        peer = {"rows": peer["rows"][1:], "values": peer["values"][1:]}
        table = table.drop(index="sex")
    check_anova(table, peer)


@pytest.mark.parametrize("ddf", DDF)
def test_contrasts_of_lmertest(ddf, public_data):
    formula = "weight ~ treatment * sex + litsize + (1|litter)"
    fit = Model(formula, public_data("rat_pup")).fit_reml()
    words = {"satterthwaite": "Satterthwaite", "kenward-roger": "Kenward-Roger"}[ddf]
    peer = PEER["contest"]["tests"][words]
    order = [
        PEER["contest_columns"].index(peer_name(label)) for label in fit.fixef().index
    ]
    L = np.array(PEER["contest"]["L"], float)[:, order]
    columns = ["estimate", "se", "df", "t", "lower", "upper", "p"]
    ours = fit.contrast(L, ddf=ddf)[columns].to_numpy()
    np.testing.assert_allclose(ours, np.array(peer["t"]), rtol=1e-4, atol=1e-12)
    joint = fit.contrast(L, ddf=ddf, joint=True)
    theirs = np.array(peer["F"])[0]
    np.testing.assert_allclose(
        joint[["num_df", "den_df", "F", "p"]].to_numpy(float)[0], theirs[2:], rtol=1e-4
    )


# --- the textbook ---------------------------------------------------------------------


def experiment(rng, *, crossed, n=60):
    """Rows of a small unbalanced experiment, with weights."""
    g, h = rng.integers(0, 6, n), rng.integers(0, 4, n)
    x = rng.normal(size=n)
    y = 1.0 + 0.5 * x + rng.normal(size=6)[g] * (1.0 + x) + rng.normal(size=n)
    y += rng.normal(size=4)[h] if crossed else 0.0
    return pd.DataFrame(
        {"y": y, "x": x, "g": g.astype(str), "h": h.astype(str)}
    ), rng.uniform(0.5, 2.0, n)


def dense_kenward_roger(fit, derivatives):
    """Adjusted covariance and its pieces, by n x n matrices."""
    design = fit.design
    weights = np.ones(design.n) if design.rows.weights is None else design.rows.weights
    V, X = fit.sigma**2 * np.diag(1 / weights), design.rows.X
    for t, factor in enumerate(fit.factors):
        Z = dense_Z(design, t)
        J = design.groups[t].n_levels
        V = V + Z @ np.kron(np.eye(J), factor @ factor.T) @ Z.T
    moves = [np.diag(1 / weights)]
    for t, slope in derivatives:
        Z = dense_Z(design, t)
        moves.append(Z @ np.kron(np.eye(design.groups[t].n_levels), slope) @ Z.T)
    Vinv = np.linalg.inv(V)
    Phi = np.linalg.inv(X.T @ Vinv @ X)
    P = [-X.T @ Vinv @ own @ Vinv @ X for own in moves]
    Q = [[X.T @ Vinv @ a @ Vinv @ b @ Vinv @ X for b in moves] for a in moves]
    information = np.array(
        [
            [
                np.trace(Vinv @ a @ Vinv @ b)
                - 2 * np.trace(Phi @ Q[i][j])
                + np.trace(Phi @ P[i] @ Phi @ P[j])
                for j, b in enumerate(moves)
            ]
            for i, a in enumerate(moves)
        ]
    )
    W = 2 * np.linalg.inv(information)
    total = sum(
        W[i, j] * (Q[i][j] - P[i] @ Phi @ P[j])
        for i, j in np.ndindex(len(moves), len(moves))
    )
    return Phi + 2 * Phi @ total @ Phi, Phi, W, np.array([Phi @ p @ Phi for p in P])


ONE, CROSS = np.ones((1, 1)), np.eye(2)[::-1]
FIRST, SECOND = np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
LINEAR = {
    "(x | g)": [(0, FIRST), (0, CROSS), (0, SECOND)],
    "(x || g)": [(0, ONE), (1, ONE)],
    "diag(x | g)": [(0, FIRST), (0, SECOND)],
    "diag(x | g, hom = TRUE)": [(0, np.eye(2))],
    "(1 | g) + (1 | h)": [(0, ONE), (1, ONE)],
    "(x | g) + (1 | h)": [(0, FIRST), (0, CROSS), (0, SECOND), (1, ONE)],
}


@pytest.mark.parametrize("term", LINEAR)
def test_kenward_roger_is_the_textbooks(term):
    """With weights, and with crossed factors; 1e-8 of the dense formula."""
    data, weights = experiment(np.random.default_rng(5), crossed="h" in term)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        fit = Model(f"y ~ x + {term}", data, weights=weights).fit_reml()
    adjusted, plain, W, moves = dense_kenward_roger(fit, LINEAR[term])
    ended = ended_of(fit)
    ours, turn = kenward_roger(ended), ended.turn
    np.testing.assert_allclose(turn @ ours.unadjusted @ turn.T, plain, rtol=1e-7)
    np.testing.assert_allclose(turn @ ours.covariance @ turn.T, adjusted, rtol=1e-7)
    # W and the moves are in another basis; what they say of a contrast is not
    for c in np.eye(2):
        mine = c @ turn @ ours.moves @ turn.T @ c
        dense = c @ moves @ c
        assert mine @ ours.W @ mine == pytest.approx(dense @ W @ dense, rel=1e-7)


def few(levels: int, seed: int) -> pd.DataFrame:
    """Each level has two rows with each of a, b, c; levels do not differ."""
    rng, n = np.random.default_rng(seed), 6 * levels
    f, g = np.arange(n) % 3, np.arange(n) // 6
    data = {"f": np.array(list("abc"))[f], "g": g.astype(str), "b": g % 2 * 1.0}
    data |= {"t": np.arange(n) // 3 % 2 * 1.0, "x": rng.normal(size=n)}
    return pd.DataFrame({**data, "y": rng.normal(size=n)})


def by_kenward_roger(formula: str, data: pd.DataFrame) -> Any:
    """Table of the fixed effects."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return Model(formula, data).fit_reml().fixef(ddf="kenward-roger")


def test_kenward_roger_of_a_singular_fit_is_the_textbooks():
    """SEs are those of pbkrtest: with few levels much more than the unadjusted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        fit = Model("y ~ x + (x | g)", few(4, 8)).fit_reml()
    assert fit.status.singular
    adjusted, plain, _, _ = dense_kenward_roger(fit, LINEAR["(x | g)"])
    ended = ended_of(fit)
    ours, turn = kenward_roger(ended), ended.turn
    np.testing.assert_allclose(turn @ ours.covariance @ turn.T, adjusted, rtol=1e-6)
    assert (np.diag(adjusted) > 1.2 * np.diag(plain)).any()


@pytest.mark.parametrize("levels", [4, 5, 6, 8])
def test_a_balanced_effect_between_levels_has_their_number_less_two(levels):
    """With six levels the match of moments divided 0 by 0."""
    for seed in range(4):
        found = by_kenward_roger("y ~ b + (1 | g)", few(levels, seed))
        assert found.loc["b", "df"] == pytest.approx(levels - 2, rel=1e-8)


def test_a_variance_that_fixed_effects_hold_has_no_part_in_kenward_roger():
    """t takes up what levels of t vary: SEs were 0 and 1e50, df 0 and -9e-16."""
    data = few(5, 2).assign(h=lambda d: d.t.astype(str))
    own, rows = by_kenward_roger("y ~ b * t + (1 | g)", data), ["b", "b:t"]
    found = by_kenward_roger("y ~ b * t + (1 | g) + (1 | h)", data)
    columns = ["se", "df", "p"]
    np.testing.assert_allclose(
        found.loc[rows, columns], own.loc[rows, columns], rtol=1e-4
    )
    assert found.loc[["Intercept", "t"], columns].isna().all(axis=None)


@pytest.mark.parametrize("levels", [3, 4, 5, 7])
def test_kenward_roger_of_all_effects_of_levels_is_hotellings(levels):
    """Two effects of each level, tested at once: levels - 2 denominator df, and more
    than two levels are needed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        fit = Model("y ~ f + (f | g)", few(levels, 3)).fit_reml()
    table = fit.anova(ddf="kenward-roger")
    assert table.loc["f", "den_df"] == pytest.approx(levels - 2, rel=1e-6)
    assert table.loc["f", "p"] > 0.0


def test_no_f_is_said_where_there_are_too_few_levels():
    """F of 2e-16 on 9e-16 degrees of freedom, p = 1, was one of them."""
    data = few(3, 3).assign(f=lambda d: d.f.where(d.index % 6 < 3, d.f + "2"))
    data = pd.concat([data, data.assign(y=few(3, 4).y)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        fit = Model("y ~ f + (0 + f | g)", data).fit_reml()
    with pytest.warns(FitWarning, match="No F distribution has .* for 'f'.*few levels"):
        table = fit.anova(ddf="kenward-roger")
    assert table.loc["f", ["F", "den_df", "p"]].isna().all()


@pytest.mark.parametrize("term", ["(x | g)", "(x || g)", "diag(x | g, hom = TRUE)"])
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_satterthwaite_is_the_textbooks(term, method):
    """Hessian and gradient by differences of dense formulas over SDs, corr, sigma."""
    data, weights = experiment(np.random.default_rng(3), crossed=False, n=80)
    fit = Model(f"y ~ x + {term}", data, weights=weights).fit_reml(method=method)
    assert not fit.status.singular
    design = fit.design
    X, y = design.rows.X, design.rows.y

    def covariance(phi):
        """V of log SDs, atanh correlations and log sigma."""
        V = np.exp(2 * phi[-1]) * np.diag(1 / design.rows.weights)
        at = 0
        for t, group in enumerate(design.groups):
            k, own = group.k, group.covariance
            sd = np.exp(phi[at : at + own.n_sd(k)]) * np.ones(k)
            at += own.n_sd(k)
            corr = np.eye(k)
            if own.n_corr(k):
                corr[0, 1] = corr[1, 0] = np.tanh(phi[at])
                at += 1
            Z = dense_Z(design, t)
            block = np.kron(np.eye(group.n_levels), corr * np.outer(sd, sd))
            V = V + Z @ block @ Z.T
        return V

    def deviance(phi):
        """Minus twice the (restricted) log likelihood."""
        V = covariance(phi)
        Vinv = np.linalg.inv(V)
        inner = X.T @ Vinv @ X
        r = y - X @ np.linalg.solve(inner, X.T @ Vinv @ y)
        found = np.linalg.slogdet(V)[1] + r @ Vinv @ r
        return found + (np.linalg.slogdet(inner)[1] if method == "REML" else 0.0)

    summary = fit.summary()
    sds = np.log(summary.loc[summary["component"] == "sd", "estimate"])
    sds = sds[: sum(group.covariance.n_sd(group.k) for group in design.groups)]
    corrs = np.arctanh(summary.loc[summary["component"] == "corr", "estimate"])
    phi = np.concatenate([sds, corrs, [np.log(fit.sigma)]])
    if term.startswith("(x ||"):
        assert len(phi) == 3
    m, step = len(phi), 1e-3
    units = step * np.eye(m)
    hessian = np.array(
        [
            [
                deviance(phi + a + b)
                - deviance(phi + a - b)
                - deviance(phi - a + b)
                + deviance(phi - a - b)
                for b in units
            ]
            for a in units
        ]
    ) / (4 * step**2)
    errors = 2 * np.linalg.inv(hessian)

    def variance(point, c):
        """Variance of a combination of the fixed effects."""
        inner = X.T @ np.linalg.inv(covariance(point)) @ X
        return c @ np.linalg.inv(inner) @ c

    known = denominator(fit, "satterthwaite")
    for c in (*np.eye(2), np.array([1.0, -0.7])):
        slope = [
            (variance(phi + a, c) - variance(phi - a, c)) / (2 * step) for a in units
        ]
        df = 2 * variance(phi, c) ** 2 / (np.array(slope) @ errors @ slope)
        assert known.df(c) == pytest.approx(df, rel=1e-3)


def test_the_routes_of_one_and_of_several_factors_agree():
    """The matrix of all levels of one factor is that of each level by itself."""
    data, _ = experiment(np.random.default_rng(5), crossed=False)
    stats = Model("y ~ x + (x | g)", data).conditioned.unmoved().statistics
    factor = np.linalg.cholesky(np.array([[0.5, 0.1], [0.1, 0.3]]))
    done = eliminate(stats, [factor])
    root = done.lead.root * np.tri(2)
    within = linear._within_levels(stats, factor, root)
    among = linear._between_blocks(stats, [factor])[0, 0]
    for level, other in np.ndindex(stats.lead.n_levels, stats.lead.n_levels):
        expected = within[level] if level == other else np.zeros((2, 2))
        np.testing.assert_allclose(among[level, :, other], expected, atol=1e-9)


def test_nothing_depends_on_what_was_in_memory(monkeypatch):
    """Roots of levels are filled below their diagonal only."""
    data, _ = experiment(np.random.default_rng(3), crossed=False, n=80)
    fit = Model("y ~ x + (x | g)", data).fit_reml()
    before = denominator(fit, "kenward-roger").covariance

    def full_of_nan(pattern, **options):
        """Memory in which something was."""
        return np.full_like(pattern, np.nan, **options)

    monkeypatch.setattr(np, "empty_like", full_of_nan)
    found = denominator_at(ended_of(fit), "kenward-roger").covariance
    np.testing.assert_array_equal(found, before)


def test_a_simulated_study_is_tested_as_a_fit_is():
    """Power asks for variances where contrasts do: far from zero too."""
    data, _ = experiment(np.random.default_rng(3), crossed=False, n=80)
    data = data.assign(x=data["x"] + 1e8, h=np.where(data["h"] < "2", "u", "v"))
    model = Model("y ~ x * h + (1 | g)", data)
    text = f"h[v] + {float(data['x'].mean())!r} * x:h[v]"
    target = make_target(model, read_effect(model, text), "satterthwaite")
    expected = model.fit_reml().contrast(text)
    found = target(model.design.rows.y)
    assert found.p == pytest.approx(expected["p"].iloc[0], rel=1e-3)


def test_a_model_without_fixed_effects_has_no_tests():
    data, _ = experiment(np.random.default_rng(5), crossed=False)
    fit = Model("y ~ 0 + (1 | g)", data).fit_reml()
    for ddf in ("satterthwaite", "kenward-roger", "z", "residual"):
        assert len(fit.summary(ddf=ddf)) == 2
        assert not len(fit.fixef(ddf=ddf))
    assert not len(lmm.effect_tests(fit))


def test_a_random_part_that_is_not_there_leaves_the_residual_degrees_of_freedom():
    """SD 0: Satterthwaite's n - p, Kenward and Roger's by the expected information."""
    rng = np.random.default_rng(2)
    x, g = rng.normal(size=40), np.repeat(np.arange(8), 5).astype(str)
    y = x + rng.normal(size=40)
    y = y - pd.Series(y).groupby(g).transform("mean").to_numpy() + 0.5 * x
    with pytest.warns(FitWarning):
        fit = Model(
            "y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": x, "g": g})
        ).fit_reml()
    assert fit.fixef()["df"].to_numpy() == pytest.approx([38.0, 38.0])
    assert fit.fixef(ddf="residual")["df"].tolist() == [38.0, 38.0]
    assert np.isinf(fit.fixef(ddf="z")["df"]).all()
    t = fit.fixef()["t"]["x"]
    assert fit.fixef(ddf="z")["p"]["x"] == pytest.approx(erfc(abs(t) / sqrt(2)))


# --- laws -----------------------------------------------------------------------------


def same_tests(one, other):
    """The same F; degrees of freedom of several rows depend on the coding a little."""
    np.testing.assert_allclose(one["F"], other["F"], rtol=1e-6)
    np.testing.assert_allclose(one["den_df"], other["den_df"], rtol=5e-3)


@pytest.mark.parametrize("ddf", DDF)
def test_tests_of_a_slope_move_with_nothing(ddf, public_data):
    """Shift and scale of y and x, order of rows, names of levels: t, df and p stay."""
    data = public_data("sleepstudy")
    formula = "Reaction ~ Days + (Days | Subject)"
    plain = Model(formula, data).fit_reml().fixef(ddf=ddf).loc["Days"]
    for other in (
        data.assign(Reaction=data["Reaction"] + 1e6),
        data.assign(Reaction=data["Reaction"] * 1e-6),
        data.assign(Days=data["Days"] + 2006.0),
        data.assign(Days=data["Days"] * 1e5),
        data.sample(frac=1.0, random_state=1),
        data.assign(Subject="s" + data["Subject"].astype(str).str[::-1]),
    ):
        moved = Model(formula, other).fit_reml().fixef(ddf=ddf).loc["Days"]
        assert moved[["df", "t", "p"]].to_numpy() == pytest.approx(
            plain[["df", "t", "p"]].to_numpy(), rel=1e-5
        )


def test_terms_are_tested_alike_whatever_the_reference_level(public_data):
    """Type 3 does not depend on which level comes first, nor type 1 and 2."""
    data = public_data("rat_pup")
    formula = "weight ~ treatment * sex + litsize + (1 | litter)"
    other = data.assign(
        treatment=pd.Categorical(data["treatment"], ["Low", "Control", "High"]),
        sex=pd.Categorical(data["sex"], ["Male", "Female"]),
    )
    for kind in (1, 2, 3):
        ours, moved = (Model(formula, d).fit_reml().anova(kind) for d in (data, other))
        same_tests(ours, moved)


def test_types_agree_where_nothing_interacts(public_data):
    """Type 2 is type 3 without interactions; type 1 is for the last term."""
    formula = "weight ~ treatment + sex + litsize + (1 | litter)"
    fit = Model(formula, public_data("rat_pup")).fit_reml()
    one, two, three = (fit.anova(kind) for kind in (1, 2, 3))
    same_tests(two, three)
    same_tests(one.iloc[-1:], three.iloc[-1:])
    assert not np.allclose(one.iloc[0], three.iloc[0], rtol=1e-3)


# --- what a user writes ---------------------------------------------------------------


@pytest.fixture(scope="module")
def machines(public_data):
    """A factor of three levels."""
    return Model("score ~ Machine + (1 | Worker)", public_data("Machines")).fit_reml()


@pytest.mark.parametrize(
    "what",
    [
        "Machine[B] - Machine[C]",
        "MachineB - MachineC = 0",
        " (Machine[B]-Machine[C])/1",
        "-1 * (Machine[C] - Machine[B]) + 2*0",
        {"Machine[B]": 1, "Machine[C]": -1},
        [0, 1, -1],
        np.array([[0.0, 1.0, -1.0]]),
        ["Machine[B] = Machine[C]"],
        {"B less C": "Machine[B] - Machine[C]"},
        {"B less C": {"Machine[B]": 1.0, "Machine[C]": -1.0}},
    ],
    ids=str,
)
def test_ways_to_write_a_contrast(machines, what):
    table = machines.contrast(what)
    beta = machines.fixef()["estimate"]
    assert table["estimate"].tolist() == pytest.approx(
        [beta["Machine[B]"] - beta["Machine[C]"]]
    )
    assert table.index.name == "contrast"
    if isinstance(what, dict) and "B less C" in what:
        assert table.index.tolist() == ["B less C"]


def test_contrasts_with_a_value_and_several_at_once(machines):
    table = machines.contrast(["(Intercept) = 50", "Machine[C] = 2 * Machine[B] + 1"])
    beta = machines.fixef()["estimate"]
    assert table["estimate"].tolist() == pytest.approx(
        [beta.iloc[0] - 50.0, beta.iloc[2] - 2 * beta.iloc[1] - 1.0]
    )
    joint = machines.contrast(["Machine[B]", "Machine[C]"], joint=True)
    anova = machines.anova().iloc[0]
    assert joint["F"].tolist() == pytest.approx([anova["F"]])
    assert joint["den_df"].tolist() == pytest.approx([anova["den_df"]])
    twice = machines.contrast(["Machine[B]", "Machine[C]", "MachineB"], joint=True)
    assert twice["num_df"].tolist() == [2]
    assert twice["F"].tolist() == pytest.approx([anova["F"]])


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("Machine[D]", r"no coefficient 'Machine\[D\]'. Did you mean 'Machine\[C\]'"),
        ("Machine[B] * Machine[C]", "product of two coefficients is not linear"),
        ("Machine[B] / 0", "Divide by a number that is not 0"),
        ("Machine[B] / Machine[C]", "Divide by a number"),
        ("(Machine[B] - 1", "bracket is not closed"),
        ("Machine[B] -", "A coefficient or a number is missing here"),
        ("Machine[B] = 1 = 2", "not part of a linear combination"),
        ("3 = 4", "No coefficient is left"),
        ("Machine[B] - Machine[B]", "No coefficient is left"),
        ("", "A coefficient or a number is missing"),
        ({"Machine[D]": 1}, r"no fixed effect 'Machine\[D\]'"),
        ({"Machine[B]": 0}, "no finite weight that is not 0"),
        ({"Machine[B]": float("nan")}, "no finite weight"),
        ({"a": {"Machine[B]": "x"}}, "is 'x', no number"),
        ([1, 2], "has 2 columns, and the model 3 fixed effects"),
        (np.zeros((1, 3)), "no finite weight"),
        (None, "None is no contrast"),
        ([], "is no contrast"),
        ({}, "is no contrast"),
        (3, "3 is no contrast"),
        ({"a": None}, "None is no contrast"),
    ],
    ids=str,
)
def test_a_contrast_that_cannot_be_read_is_told(machines, what, words):
    with unchecked(), pytest.raises((ModelError, FormulaError), match=words):
        machines.contrast(what)


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger", "z", "residual"])
def test_hypotheses_that_contradict_each_other_are_told(machines, ddf):
    def joint(*what):
        return machines.contrast(list(what), ddf=ddf, joint=True)

    for what in (
        ("Machine[B] = 1", "Machine[B] = 2"),
        ("Machine[B] = 1", "Machine[C] = 1", "1e6 * Machine[B] = 1e6 * Machine[C] + 1"),
    ):
        with pytest.raises(ModelError, match=r"'Machine\[B\] = 1'.* contradict each"):
            joint(*what)
        assert len(machines.contrast(list(what), ddf=ddf)) == len(what)
    one = joint("Machine[B] = 1", "Machine[C] = 3")
    two = joint("Machine[B] = 1", "Machine[C] = 3", "3 * Machine[B] = Machine[C]")
    assert two.iloc[0].tolist() == pytest.approx(one.iloc[0].tolist())


def test_names_as_r_has_them(public_data):
    """Of flags, and of products of numbers and factors."""
    data = public_data("Machines").assign(
        flag=lambda d: d["score"].rank() % 2 == 0, x=lambda d: np.sin(d.index)
    )
    fit = Model("score ~ flag * x + x : Machine + (1 | Worker)", data).fit_reml()
    for ours, theirs in {
        "flag[True]": "flagTRUE",
        "flag:x[True]": "flagTRUE:x",
        "x:Machine[B]": "x:MachineB",
    }.items():
        one, two = fit.contrast(ours), fit.contrast(theirs)
        assert one.to_numpy().tolist() == two.to_numpy().tolist()
    assert (
        fit.contrast("flagTrue")["df"].tolist()
        == fit.contrast("flagTRUE")["df"].tolist()
    )


def test_methods_that_do_not_exist_are_told(machines, public_data):
    with (
        unchecked(),
        pytest.raises(ModelError, match="Unknown ddf='kr'"),
    ):
        machines.summary(ddf="kr")
    with (
        unchecked(),
        pytest.raises(ModelError, match="Unknown type=4 of anova"),
    ):
        machines.anova(4)
    by_ml = machines.model.fit_reml(method="ML")
    with pytest.raises(ModelError, match="Kenward-Roger adjusts a REML fit"):
        by_ml.summary(ddf="kenward-roger")
    alone = Model("Yield ~ 1 + (1 | Batch)", public_data("Dyestuff")).fit_reml()
    with pytest.raises(ModelError, match="no term to be tested"):
        alone.anova()
    with unchecked(), pytest.raises(ModelError, match="joint must be True or False"):
        machines.contrast("Machine[B]", joint=1)


def test_too_many_crossed_effects_for_kenward_roger_are_told(monkeypatch, public_data):
    fit = Model(
        "diameter ~ 1 + (1 | plate) + (1 | sample)", public_data("Penicillin")
    ).fit_reml()
    monkeypatch.setattr(linear, "available_bytes", lambda: 1000.0)
    with pytest.raises(ModelError, match="covariance of all 30 random effects"):
        fit.summary(ddf="kenward-roger")


def test_streamed_rows_have_the_same_tests(tmp_path, public_data):
    """Anova and contrasts need no rows."""
    data = public_data("rat_pup")
    data.to_parquet(tmp_path / "rats.parquet")
    formula = "weight ~ treatment * sex + litsize + (1 | litter)"
    whole = Model(formula, data).fit_reml()
    parts = Model(formula, tmp_path / "rats.parquet").fit_reml()
    for kind in (1, 2, 3):
        np.testing.assert_allclose(
            parts.anova(kind).to_numpy(), whole.anova(kind).to_numpy(), rtol=1e-6
        )
    np.testing.assert_allclose(
        parts.fixef(ddf="kenward-roger")["df"], whole.fixef(ddf="kenward-roger")["df"]
    )
    with pytest.raises(DataError, match="not in memory"):
        parts.residuals()
