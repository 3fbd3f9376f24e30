"""Comparison of models by likelihood: lme4, lmerTest, pbkrtest, RLRsim, laws."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sampling import unchecked

import bayeslmm as lmm
from bayeslmm import FitWarning, Model, ModelError
from bayeslmm.comparison.nested import not_nested, sds_tested
from bayeslmm.reml.lrt import mixture_p, rlrt_draws

PEER = json.loads((Path(__file__).parent / "reference" / "lrt.json").read_text())
TESTS = {k: v for k, v in PEER["tests"].items() if "lm:" not in v["formula0"]}
ALONE = {k: v for k, v in PEER["tests"].items() if "lm:" in v["formula0"]}
# lme4's optimum is not Newton's: its log likelihoods are low by some 1e-7.
OPTIMUM = 1e-6
P_VALUE = 1e-4
# Four standard errors of a share of so many draws, and of the peer's.
MCSE = 4.0


def fitted(formula, data, method="REML"):
    """A fit, singular or not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return Model(formula, data).fit_reml(method=method)


def pair_of(case, public_data, method="REML"):
    """Both fits of a reference case."""
    data = public_data(case["data"])
    return [fitted(case[name], data, method) for name in ("formula0", "formula1")]


@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("name", TESTS)
def test_is_lme4s(name, method, public_data):
    case = TESTS[name]
    if method not in case:  # fixed parts differ: see the next test
        return
    peer, (small, large) = case[method], pair_of(case, public_data)
    table = lmm.anova(large, small, method=method)
    assert table.index.tolist() == [f.model.formula.text for f in (small, large)]
    for i in range(2):
        row = table.iloc[i]
        assert row["loglik"] == pytest.approx(peer[f"logLik{i}"], abs=1e-5)
        assert row["aic"] == pytest.approx(peer["AIC"][i], rel=OPTIMUM)
        assert row["bic"] == pytest.approx(peer["BIC"][i], rel=OPTIMUM)
        assert row["npar"] == case["ML"][f"npar{i}"]
    row = table.iloc[1]
    assert row["chisq"] == pytest.approx(peer["chisq"], abs=1e-5)
    assert row["df"] == peer["df"]
    assert row["p"] == pytest.approx(peer.get("p_naive", peer.get("p")), rel=P_VALUE)
    if "p_mixture_half" in peer:
        half = mixture_p(row["chisq"], int(row["df"]), 1)
        assert half == pytest.approx(peer["p_mixture_half"], rel=P_VALUE)
        # a correlation of 0 is inside the parameter space: there is no mixture
        of_sd = row["p"] if name == "sleep_corr" else half
        assert row["p_mixture"] == of_sd


@pytest.mark.parametrize("name", [k for k, v in TESTS.items() if "REML" not in v])
def test_different_fixed_parts_are_compared_by_ml(name, public_data):
    small, large = pair_of(TESTS[name], public_data)
    table = lmm.anova(small, large)
    pd.testing.assert_frame_equal(table, lmm.anova(small, large, method="ML"))
    assert set(table["method"]) == {"ML"}
    assert table.attrs["notes"][0].startswith("Compared by ML, because the fixed parts")
    said = table.attrs["notes"][1]
    assert said.startswith("Fitted again with ML instead of REML")
    assert said in " ".join(repr(table).split())  # it folds
    assert small.model.formula.text in said
    with pytest.raises(ModelError, match="fixed parts differ cannot be compared"):
        lmm.anova(small, large, method="REML")
    names = set(large.design.fixed_names) - set(small.design.fixed_names)
    f = large.contrast(sorted(names), ddf="kenward-roger", joint=True).iloc[0]
    peer = TESTS[name]["KRmodcomp"]
    assert f["num_df"] == peer["ndf"]
    assert f["den_df"] == pytest.approx(peer["ddf"], rel=1e-3)
    assert f["F"] == pytest.approx(peer["Fstat"], rel=1e-3)


@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("name", ALONE)
def test_the_only_random_term_against_none_is_lms(name, method, public_data):
    case = ALONE[name]
    fit = fitted(case["formula1"], public_data(case["data"]), method)
    table, peer = fit.ranova(nsim=0), case[method]
    assert table["loglik"].iloc[0] == pytest.approx(peer["logLik1"], abs=1e-5)
    row = table.iloc[1]
    assert row["loglik"] == pytest.approx(peer["logLik0"], abs=1e-5)
    assert row["chisq"] == pytest.approx(peer["chisq"], abs=1e-5)
    assert row["df"] == 1
    assert row["p"] == pytest.approx(peer["p_naive"], rel=P_VALUE)
    assert row["p_mixture"] == pytest.approx(peer["p_mixture"], rel=P_VALUE)


# Of three models of two data sets: a slope and a fixed effect, each also of the other.
BOOTSTRAPPED = [
    pytest.param(k, marks=pytest.mark.slow) if k == "score_slope" else k
    for k, v in TESTS.items()
    if "parametric_bootstrap" in v
]


@pytest.mark.parametrize("name", BOOTSTRAPPED)
def test_bootstrap_is_pbkrtests(name, public_data):
    """Within the error of both, which draw 500 and some responses."""
    small, large = pair_of(TESTS[name], public_data)
    peer, nsim = TESTS[name]["parametric_bootstrap"], 200
    with unchecked():
        table = lmm.anova(small, large, method="ML", nsim=nsim, seed=1)
    found = table["p_boot"].iloc[1]
    p = peer["p"]
    error = np.sqrt((p * (1 - p) + 1 / nsim) * (1 / nsim + 1 / peer["nsim"]))
    assert abs(found - p) < MCSE * error


@pytest.mark.parametrize("case", PEER["ranova"], ids=lambda c: c["formula"][:40])
def test_ranova_is_lmertests(case, public_data):
    fit = fitted(case["formula"], public_data(case["data"]), case["method"])
    table = fit.ranova(nsim=0)
    assert table.index.tolist() == ["<none>", *case["rows"]]
    columns = ["npar", "loglik", "aic", "chisq", "df", "p"]
    found = table.loc[list(case["rows"]), columns].to_numpy(float)
    peer = np.array(list(case["rows"].values()))
    np.testing.assert_allclose(found[:, :5], peer[:, :5], rtol=OPTIMUM)
    np.testing.assert_allclose(found[:, 5], peer[:, 5], rtol=P_VALUE)


@pytest.mark.usefixtures("user_speed")
def test_ranova_is_the_fit_of_the_smaller_model(sleepstudy):
    """Also of terms with several parts, interactions, and structures as a whole."""
    data = sleepstudy.assign(
        late=np.where(sleepstudy["Days"] > 4, "yes", "no"),
        block=np.repeat(np.arange(36), 5).astype(str),
    )
    text = "Reaction ~ Days + {} + (1 | block)"
    fit = fitted(text.format("(Days + late | Subject)"), data)
    table = fit.ranova()
    smaller = ["(late | Subject)", "(Days | Subject)"]
    assert table.index[1:3].tolist() == [
        "Days in (Days + late | Subject)",
        "late in (Days + late | Subject)",
    ]
    for i, part in enumerate(smaller):
        other = fitted(text.format(part), data)
        assert table["loglik"].iloc[i + 1] == pytest.approx(other.loglik, abs=1e-6)
        assert table["npar"].iloc[i + 1] == other.npar
    product = fitted("Reaction ~ Days + (Days * late | Subject)", data).ranova()
    assert product.index[1:].tolist() == [
        "Days:late in (Days + late + Days:late | Subject)"
    ]
    whole = fitted("Reaction ~ Days + (1 | block) + cs(late + Days | Subject)", data)
    table = whole.ranova()
    assert table["df"].iloc[2] == 4
    assert np.isnan(table["p_mixture"].iloc[2])  # three SDs
    alone = fitted("Reaction ~ Days + (1 | block)", data)
    assert table["loglik"].iloc[2] == pytest.approx(alone.loglik, abs=1e-6)


# --- the exact distribution -----------------------------------------------------------


@pytest.mark.parametrize("name", ["dyestuff", "dyestuff2", "two_days", "score"])
def test_exact_p_is_rlrsims(name, public_data):
    case = PEER["rlrt"][name]
    data = public_data(case["data"])
    if "below" in case:
        data = data[data["Days"] < case["below"]]
    fit = fitted(case["formula"], data)
    row = fit.ranova(nsim=20_000, seed=1).iloc[1]
    assert row["chisq"] == pytest.approx(case["chisq"], abs=1e-5)
    p = case["p"]
    assert abs(row["p_exact"] - p) < MCSE * np.sqrt((p * (1 - p) + 1e-5) / 16_000)
    if "quantiles" not in case:
        return
    stats = fit.model.conditioned.statistics
    draws = rlrt_draws(stats, 20_000, np.random.default_rng(2))
    for level, value in zip(PEER["rlrt"]["levels"], case["quantiles"], strict=True):
        if value:
            error = MCSE * np.sqrt(level * (1 - level) / 16_000)
            assert abs((draws <= value).mean() - level) < error


@pytest.mark.usefixtures("user_speed")
def test_exact_distribution_is_that_of_refits(public_data):
    """The statistic of responses simulated without the random term."""
    data = public_data("Dyestuff")
    fit = fitted("Yield ~ 1 + (1 | Batch)", data)
    draws = rlrt_draws(fit.model.conditioned.statistics, 5000, np.random.default_rng(3))
    factors = [np.zeros((1, 1))]
    model, n = fit.model, 200
    ys = lmm.simulate(model, n, 4, beta=np.array([5.0]), factors=factors, sigma=2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seen = [
            model.with_response(y).fit_reml().ranova(nsim=0)["chisq"].iloc[1]
            for y in ys
        ]
    for value in (0.01, 0.5, 1.5):
        p = (draws > value).mean()
        error = MCSE * np.sqrt(p * (1 - p) * (1 / n + 1 / 5000))
        assert abs((np.array(seen) > value).mean() - p) < error


def test_exact_p_exists_for_one_effect_by_reml(sleepstudy):
    assert "p_exact" in fitted("Reaction ~ Days + (1 | Subject)", sleepstudy).ranova()
    slope = fitted("Reaction ~ Days + (0 + Days | Subject)", sleepstudy)
    assert slope.ranova(seed=1)["p_exact"].iloc[1] == 0.0
    for formula, method in [
        ("Reaction ~ Days + (Days | Subject)", "REML"),
        ("Reaction ~ Days + (1 | Subject)", "ML"),
    ]:
        assert "p_exact" not in fitted(formula, sleepstudy, method).ranova()


# --- the table ------------------------------------------------------------------------


def test_which_likelihood(sleepstudy):
    texts = [f"Reaction ~ Days + ({x} | Subject)" for x in ("1", "Days")]
    one, two = (fitted(text, sleepstudy) for text in texts)
    assert set(lmm.anova(one, two)["method"]) == {"REML"}
    by_ml = [fitted(text, sleepstudy, "ML") for text in texts]
    table = lmm.anova(*by_ml)
    assert set(table["method"]) == {"ML"}
    assert table.attrs["notes"] == ("Compared by ML, as fitted.",)
    mixed = lmm.anova(one, by_ml[1])
    assert set(mixed["method"]) == {"REML"}
    assert mixed.attrs["notes"][1].startswith("Fitted again with REML instead of ML")
    np.testing.assert_allclose(mixed["loglik"], [one.loglik, two.loglik], atol=1e-7)
    n, k = 180, two.npar
    aicc = two.aic + 2 * k * (k + 1) / (n - k - 1)
    assert lmm.anova(one, two)["aicc"].iloc[1] == pytest.approx(aicc, rel=1e-12)
    assert "<p>Compared by REML" in lmm.anova(one, two)._repr_html_()


def test_three_models_and_several_sds(sleepstudy, public_data):
    texts = ["(1 | Subject)", "(Days || Subject)", "(Days | Subject)"]
    fits = [fitted(f"Reaction ~ Days + {t}", sleepstudy) for t in texts]
    table = lmm.anova(fits[2], fits[0], fits[1])
    assert table["npar"].tolist() == [4, 5, 6]
    assert table["df"].iloc[1:].tolist() == [1.0, 1.0]
    assert table["p_mixture"].iloc[1] == 0.5 * table["p"].iloc[1]
    assert table["p_mixture"].iloc[2] == table["p"].iloc[2]
    machines = public_data("Machines")
    one = fitted("score ~ Machine + (1 | Worker)", machines)
    two = fitted("score ~ Machine + (Machine | Worker)", machines)
    table = lmm.anova(one, two)
    assert np.isnan(table["p_mixture"].iloc[1])
    assert "2 more SDs" in table.attrs["notes"][1]
    # the same span in other columns: REML criteria would not be comparable
    cells = fitted("score ~ 0 + Machine + (Machine | Worker)", machines)
    assert set(lmm.anova(one, cells)["method"]) == {"ML"}
    alike = lmm.anova(fits[2], fits[2])
    assert "nothing to test" in alike.attrs["notes"][1]
    assert alike.index.str.endswith(("[1]", "[2]")).all()


@pytest.mark.parametrize(
    ("small", "large", "n_sd"),
    [
        ("(1 | g)", "(x | g)", 1),
        ("(1 | g) + (0 + x | g)", "(x | g)", 0),
        ("(1 | h)", "(1 | h) + (x | g)", 2),
        ("(1 | h)", "(1 | h) + diag(x | g, hom = TRUE)", 1),
        ("diag(x | g)", "(x | g)", 0),
        ("diag(x | g, hom = TRUE)", "diag(x | g)", 0),
        ("(0 + I(x + 1) | g)", "(x | g)", 1),
        ("(1 | g:h)", "(1 | g/h)", 1),
        ("(x | g)", "(1 | g) + (0 + x | g)", None),
        ("(1 | g) + (0 + x | g)", "(1 | g) + (1 | h)", None),
        ("(1 | h)", "(x | g)", None),
    ],
)
def test_what_is_nested(small, large, n_sd):
    rng = np.random.default_rng(1)
    n = 120
    data = pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n)})
    data["g"], data["h"] = rng.integers(0, 8, n).astype(str), np.arange(n) % 5
    data["h"] = data["h"].astype(str)
    one, two = (Model(f"y ~ x + {text}", data).design for text in (small, large))
    reason = not_nested(one, two)
    assert (reason == "") == (n_sd is not None), reason
    if n_sd is not None:
        assert sds_tested(one, two) == n_sd
    else:
        assert "no special case" in reason


def test_refusals(sleepstudy):
    fit = fitted("Reaction ~ Days + (1 | Subject)", sleepstudy)
    large = fitted("Reaction ~ Days + (Days | Subject)", sleepstudy)
    other = fitted("Reaction ~ I(Days^2) + (1 | Subject)", sleepstudy)
    with pytest.raises(ModelError, match=r"fixed part of the smaller one has 'I\(Days"):
        lmm.anova(other, large)
    plain = lmm.anova(other, large, test=False)
    assert "chisq" not in plain
    expected = fitted(large.formula, sleepstudy, "ML").aic  # another search
    assert plain["aic"].iloc[1] == pytest.approx(expected, rel=1e-10)
    with pytest.raises(ModelError, match="no special case of a random term"):
        lmm.anova(fit, fitted("Reaction ~ Days + (0 + Days | Subject)", sleepstudy))
    with pytest.raises(ModelError, match="two fits or more"):
        lmm.anova(fit)
    with pytest.raises(ModelError, match="model 2 is a int"), unchecked():
        lmm.anova(fit, 3)
    unknown = r"Unknown method='x'\. Options: 'auto'"
    with pytest.raises(ModelError, match=unknown), unchecked():
        lmm.anova(fit, large, method="x")
    with pytest.raises(ModelError, match="one uses 180 rows, the other 170"):
        lmm.anova(fit, fitted(large.formula, sleepstudy.iloc[10:]))
    moved = sleepstudy.assign(Reaction=sleepstudy["Reaction"] + 1.0)
    with pytest.raises(ModelError, match="'Reaction' differ in value"):
        lmm.anova(fit, fitted(large.formula, moved))
    with pytest.raises(ModelError, match=r"responses are 'Reaction' and 'log"):
        lmm.anova(fit, fitted("log(Reaction) ~ Days + (Days | Subject)", sleepstudy))
    weighted = Model(large.formula, sleepstudy, weights=1.0 + sleepstudy["Days"] % 3)
    with pytest.raises(ModelError, match="weights differ"):
        lmm.anova(fit, weighted.fit_reml())
    text = "Reaction ~ Days + offset(2 * Days) + (Days | Subject)"
    net = fitted(text, sleepstudy)
    with pytest.raises(ModelError, match="offsets differ"):
        lmm.anova(fit, net)
    with pytest.raises(ModelError, match="nsim must be a whole number"), unchecked():
        fit.ranova(nsim=1.5)


def test_rows_in_batches(sleepstudy, tmp_path):
    """Sums are enough for both tables."""
    path = tmp_path / "sleep.parquet"
    sleepstudy.to_parquet(path)
    texts = [f"Reaction ~ Days + ({x} | Subject)" for x in ("1", "Days")]
    kept = [fitted(text, sleepstudy) for text in texts]
    read = [fitted(text, str(path)) for text in texts]
    pd.testing.assert_frame_equal(lmm.anova(*read), lmm.anova(*kept), rtol=1e-7)
    for one, two in zip(read, kept, strict=True):
        pd.testing.assert_frame_equal(one.ranova(), two.ranova(), rtol=1e-7)


@pytest.mark.parametrize("far", [0.0, 1e6])
def test_other_data_in_batches(far, sleepstudy, tmp_path):
    """Weights and columns are compared by their sums, however far from zero."""
    data = sleepstudy.assign(
        Days=lambda d: d["Days"] + far,
        late=lambda d: (d["Days"] - far > 4.0).astype(float),
        w=1.0 + np.arange(len(sleepstudy)) % 3,
        v=1.0 + np.arange(len(sleepstudy)) // 2 % 3,
    )
    rng = np.random.default_rng(1)
    other = data.assign(Days=rng.permutation(data["Days"]))
    data.to_parquet(tmp_path / "one.parquet")
    other.to_parquet(tmp_path / "other.parquet")
    texts = "Reaction ~ Days + (1 | Subject)", "Reaction ~ late + Days + (1 | Subject)"

    def fit(text, name="one", weights=None):
        return Model(
            text, str(tmp_path / f"{name}.parquet"), weights=weights
        ).fit_reml()

    small = fit(texts[0], weights="w")
    assert len(lmm.anova(small, fit(texts[1], weights="w"))) == 2
    assert len(lmm.anova(small, fit("Reaction ~ (1 | Subject)", weights="w"))) == 2
    for weights in ("v", None):  # of the same logarithms, or none
        with pytest.raises(ModelError, match="their weights differ"):
            lmm.anova(small, fit(texts[1], weights=weights))
    with pytest.raises(
        ModelError, match=r"they have other values, or orders, of 'Days' \("
    ):
        lmm.anova(small, fit(texts[1], "other", "w"))


def test_codings_in_batches_are_no_other_data(public_data, tmp_path):
    """Levels beside no intercept have the names of contrasts beside one."""
    path = tmp_path / "machines.parquet"
    public_data("Machines").to_parquet(path)
    texts = [f"score ~ {x} + C(Machine, Sum) + (1 | Worker)" for x in "01"]
    assert len(lmm.anova(*(fitted(text, str(path)) for text in texts), test=False)) == 2


def test_laws_of_shift_scale_and_order(sleepstudy):
    """Chi-squares do not see units of y and x, nor the order of rows and terms."""
    text = "Reaction ~ Days + ({} | Subject)"
    moved = sleepstudy.sample(frac=1.0, random_state=1).assign(
        Days=lambda d: 60 * d["Days"] - 7, Reaction=lambda d: d["Reaction"] / 1000 + 3
    )
    for tables in zip(
        *(
            (
                fitted(text.format("Days"), data).ranova(),
                lmm.anova(*(fitted(text.format(x), data) for x in ("1", "Days"))),
            )
            for data in (sleepstudy, moved)
        ),
        strict=True,
    ):
        one, two = (table["chisq"].iloc[1] for table in tables)
        assert one == pytest.approx(two, rel=1e-7)
