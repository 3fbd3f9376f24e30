"""Power by simulation: against theory, alike in all processes; wrong studies told."""

import math

import numpy as np
import pandas as pd
import pytest
from sampling import unchecked
from scipy import stats
from typer.testing import CliRunner

import bayeslmm as lmm
from bayeslmm import FormulaError, ModelError
from bayeslmm.cli.app import app
from bayeslmm.design.arrays import rows_of
from bayeslmm.formula import parse_formula
from bayeslmm.planning.power import _line
from bayeslmm.planning.sizes import resized
from bayeslmm.planning.studies import make_studies
from bayeslmm.planning.targets import Result
from bayeslmm.planning.truth import true_parameters

STUDY = {"1|g_sigma": 0.5, "sigma": 1.0}
FORMULA = "y ~ x + (1 | g)"


def study(levels=20, rows=5, seed=0):
    """A balanced study; x varies within levels, trt between them."""
    g = np.repeat(np.arange(levels), rows)
    x = np.tile(np.linspace(-1.0, 1.0, rows), levels)
    return pd.DataFrame({"g": g, "x": x, "trt": (g % 2).astype(float)})


@pytest.mark.usefixtures("user_speed")
def test_power_is_that_of_the_theory():
    """Within levels exact: noncentral t with n - J - 1 degrees of freedom."""
    data = study()
    found = lmm.power(
        FORMULA, data, effect="x", parameters={**STUDY, "x": 0.4}, nsim=300, seed=1
    )
    line = found.table.iloc[0]
    se = 1.0 / math.sqrt(float((data["x"] ** 2).sum()))
    df, shift = 100 - 20 - 1, 0.4 / se
    edge = stats.t.ppf(0.975, df)
    exact = stats.nct.sf(edge, df, shift) + stats.nct.cdf(-edge, df, shift)
    assert abs(line["power"] - exact) < 3.5 * line["mcse"]
    assert line["lower"] < exact < line["upper"] or abs(line["power"] - exact) < 0.04
    assert line["estimate"] == pytest.approx(0.4, abs=4 * se / math.sqrt(300))
    assert (line["n"], line["nsim"], line["failed"]) == (100, 300, 0)
    share = (found.p_values[0] < 0.05).mean()
    assert line["power"] == share
    assert "Power to find 'x' by 'satterthwaite'" in repr(found)


@pytest.mark.parametrize(("p", "end", "bound"), [(0.9, "lower", 0), (1e-9, "upper", 1)])
def test_none_or_all_found_ends_the_interval_at_the_bound(p, end, bound):
    """Exactly: rounding gave 8.7e-19, or more than 1."""
    results = [Result(p=p, estimate=0.0, converged=True)] * 300
    line = _line(results, np.full(300, p), 0.05)
    assert line[end] == bound
    z = stats.norm.ppf(0.975)  # Wilson's interval has this length at both ends
    assert line["upper"] - line["lower"] == pytest.approx(z**2 / (300 + z**2))


@pytest.mark.parametrize("test", ["satterthwaite", "kenward-roger", "residual", "lrt"])
@pytest.mark.usefixtures("user_speed")
def test_the_level_is_kept_where_there_is_no_effect(test):
    """Between levels, where z finds too much: p below .05 in 5 of 100 studies."""
    found = lmm.power(
        "y ~ trt + (1 | g)",
        study(10, 4),
        effect="trt",
        parameters={**STUDY, "trt": 0.0},
        test=test,
        nsim=300,
        seed=2,
    )
    share = found.table["power"].iloc[0]
    too_free = test in ("residual", "lrt")  # both take 10 levels for more than they are
    error = 3.5 * math.sqrt(0.05 * 0.95 / 300)
    assert 0.05 - error < share < 0.05 + error + 0.05 * too_free
    assert found.p_values[0].mean() == pytest.approx(0.5 - 0.03 * too_free, abs=0.07)
    assert found.table["failed"].iloc[0] == 0


@pytest.mark.usefixtures("user_speed")
def test_z_finds_more_than_satterthwaite_and_that_more_than_kenward_roger():
    """The same responses by one seed: 20 levels of 5 rows, effect between levels."""
    shares = {
        test: lmm.power(
            "y ~ trt + (1 | g)",
            study(),
            effect="trt",
            parameters={**STUDY, "trt": 0.8},
            test=test,
            nsim=100,
            seed=3,
        ).table["power"][0]
        for test in ("z", "satterthwaite", "kenward-roger")
    }
    assert shares["z"] > shares["satterthwaite"] >= shares["kenward-roger"] > 0.5


@pytest.mark.usefixtures("user_speed")
def test_a_seed_says_all_whatever_the_processes():
    options = {"effect": "x", "parameters": {**STUDY, "x": 0.3}, "nsim": 60, "seed": 4}
    one = lmm.power(FORMULA, study(), **options)
    two = lmm.power(FORMULA, study(), n_jobs=2, **options)
    np.testing.assert_array_equal(one.p_values[0], two.p_values[0])
    other = lmm.power(FORMULA, study(), **{**options, "seed": 5})
    assert not np.array_equal(one.p_values[0], other.p_values[0])


@pytest.mark.usefixtures("user_speed")
def test_more_levels_and_more_rows_find_more():
    found = lmm.power(
        FORMULA,
        study(10, 4),
        effect="x",
        parameters={**STUDY, "x": 0.35},
        groups={"g": [6, 24]},
        rows=[1, 2],
        nsim=80,
        seed=5,
    )
    table = found.table
    assert table["n"].tolist() == [24, 48, 96, 192]
    assert table["g"].tolist() == [6, 6, 24, 24]
    assert table["rows"].tolist() == [1, 2] * 2
    by_n = table.groupby("n")["power"].mean()
    assert by_n.is_monotonic_increasing
    assert by_n.iloc[-1] > by_n.iloc[0] + 0.3


@pytest.mark.usefixtures("user_speed")
def test_a_pilot_fit_lends_its_estimates(public_data):
    pilot = lmm.Model(
        "Reaction ~ Days + (Days | Subject)", public_data("sleepstudy")
    ).fit_reml()
    found = lmm.power(pilot, effect="Days", nsim=50, seed=6)
    assert found.table["power"][0] > 0.95
    assert found.table["estimate"][0] == pytest.approx(10.467, abs=1.0)
    weak = lmm.power(pilot, effect="Days", parameters={"Days": 1.0}, nsim=50, seed=6)
    assert weak.table["power"][0] < 0.4
    same = lmm.power(pilot, effect="Days = 10.467", nsim=100, seed=6)
    assert 0.0 < same.table["power"][0] < 0.13


@pytest.mark.usefixtures("user_speed")
def test_terms_and_sds_are_tested(public_data):
    pilot = lmm.Model(
        "weight ~ treatment * sex + litsize + (1 | litter)", public_data("rat_pup")
    ).fit_reml()
    joint = lmm.power(pilot, effect="treatment", nsim=30, seed=7)
    assert joint.table["power"][0] > 0.9
    slopes = lmm.power(
        "y ~ x + (x | g)",
        study(30, 8),
        effect="x|g_sigma",
        parameters={**STUDY, "x": 0.0, "x|g_sigma": 0.7, "g_corr[Intercept:x]": 0.2},
        test="lrt",
        nsim=40,
        seed=8,
    )
    assert slopes.table["power"][0] > 0.6
    assert slopes.table["estimate"][0] == pytest.approx(0.7, abs=0.15)
    nothing = lmm.power(
        "y ~ x + (x || g)",
        study(30, 8),
        effect="x|g_sigma",
        parameters={**STUDY, "x": 0.0, "x|g_sigma": 0.0},
        test="lrt",
        nsim=150,
        seed=8,
    )
    assert 0.0 < nothing.table["power"][0] < 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / 150)
    assert nothing.table["failed"][0] == 0


@pytest.mark.usefixtures("user_speed")
def test_the_posterior_finds_what_its_interval_leaves_out():
    options = {"effect": "x", "parameters": {**STUDY, "x": 1.2}, "nsim": 4, "seed": 9}
    found = lmm.power(FORMULA, study(), test="posterior", **options)
    assert found.table["power"][0] == 1.0


@pytest.mark.usefixtures("user_speed")
def test_the_posterior_finds_no_more_than_z_where_there_is_nothing():
    """The same responses: p of both within Monte Carlo error and the priors' pull."""
    options = {"effect": "x", "parameters": {**STUDY, "x": 0.0}, "nsim": 6, "seed": 9}
    posterior = lmm.power(FORMULA, study(), test="posterior", **options).p_values[0]
    z = lmm.power(FORMULA, study(), test="z", **options).p_values[0]
    np.testing.assert_allclose(posterior, z, atol=0.1)
    assert posterior.max() > 0.1


@pytest.mark.usefixtures("user_speed")
def test_an_sd_is_tested_by_the_likelihood_ratio_unless_that_is_refused():
    sds = {"tm|g_sigma[t0]": 0.8, "tm|g_sigma[t1]": 0.5}
    given = {**sds, "x": 0.1, "sigma": 1.0}
    data = study(20, 6).assign(tm=np.tile(["t0", "t1"], 60))
    found = lmm.power(
        "y ~ x + (0 + tm | g)",
        data,
        effect="tm|g_sigma[t0]",
        parameters=given,
        nsim=20,
        seed=1,
    )
    assert found.test == "lrt"
    assert "by 'lrt'" in repr(found)
    assert found.table["power"][0] > 0.3
    assert found.table["estimate"][0] == pytest.approx(0.8, abs=0.25)


@pytest.mark.parametrize("word", ["homdiag", "cs", "homcs", "ar1", "toep"])
def test_no_sd_is_tested_of_a_structure_that_ties_effects(word):
    tm = np.tile(["t0", "t1", "t2"], 40)
    data = study(20, 6).assign(tm=tm, y=np.arange(120.0) % 7)
    model = lmm.Model(f"y ~ x + {word}(0 + tm | g)", data)
    sds = [p.label for p in model.design.space.parameters if p.component == "sd"]
    given = {"x": 0.1, "sigma": 1.0, **dict.fromkeys(sds, 0.5)}
    with pytest.raises(ModelError, match=f"structure '{word}' has no model without"):
        lmm.power(model, effect=sds[0], parameters=given, nsim=2)


def test_a_study_without_p_values_counts_as_failed():
    p = np.array([0.01, math.nan])
    lines = _line([Result(1.0, 0.01, True), Result(1.0, math.nan, True)], p, 0.05)
    assert (lines["power"], lines["failed"]) == (0.5, 1)


def test_equal_sds_are_one_parameter():
    """One label says it for all; two values contradict each other."""
    design = lmm.Model(
        "y ~ x + homdiag(x | g)", study().assign(y=np.arange(100.0) % 7)
    ).design
    given = {"x": 0.0, "sigma": 1.0}
    sds = [p.label for p in design.space.parameters if p.component == "sd"]
    for label in sds:
        pilot = dict.fromkeys(sds, 2.0)
        factor = true_parameters(design, {**given, label: 0.7}, pilot)[1][0]
        np.testing.assert_allclose(factor, 0.7 * np.eye(2))
    if len(sds) > 1:
        both = dict(zip(sds, (0.7, 0.8), strict=True))
        with pytest.raises(ModelError, match=r"are one SD .* values: 0\.7, 0\.8"):
            true_parameters(design, {**given, **both})


def test_a_model_of_other_rows_keeps_weights_and_priors():
    rng = np.random.default_rng(0)
    data = study(8, 4).assign(y=rng.normal(size=32), w=rng.uniform(0.5, 2.0, 32))
    model = lmm.Model(FORMULA, data, weights="w", priors="flat")
    (words, larger), *_ = make_studies(model, data, None, {"g": 12}, 2)
    assert words == {"g": 12, "rows": 2}
    assert larger.weights_column == "w"
    assert larger.design.has_weights
    assert larger.priors.name == model.priors.name
    (_, written), *_ = make_studies(FORMULA, data, "w", {"g": 12}, None)
    assert written.design.has_weights
    options = {"effect": "x", "parameters": {**STUDY, "x": 0.3}, "nsim": 5, "seed": 1}
    own = lmm.power(model, **options).p_values[0]
    np.testing.assert_allclose(lmm.power(model, data, **options).p_values[0], own)
    by_array = lmm.Model(FORMULA, data, weights=data["w"].to_numpy())
    with pytest.raises(ModelError, match="name it: weights='w'"):
        lmm.power(by_array, data, **options)
    lmm.power(by_array, data, weights="w", **options)
    counts = lmm.Model(FORMULA, data.assign(y=data["y"] > 0), family="bernoulli")
    with pytest.raises(ModelError, match="Gaussian responses, not 'bernoulli'"):
        lmm.power(counts, data, **options)


def test_levels_nested_in_those_repeated_are_new_in_each_copy():
    data = pd.DataFrame(
        {
            "school": np.repeat(["a", "b", "c"], 8),
            "pupil": np.repeat(np.arange(12), 2),
            "seat": np.tile([1, 1, 2, 2], 6),
            "x": np.tile([0.0, 1.0], 12),
        }
    )
    formula = parse_formula("y ~ x + (1 | school) + (1 | pupil) + (1 | seat)")
    grown = resized(data, {"school": 7}, formula)
    assert grown["school"].nunique() == 7
    assert grown["pupil"].nunique() == 28
    assert (grown.groupby("pupil")["school"].nunique() == 1).all()
    assert grown["seat"].nunique() == 2  # crossed, and so it stays
    shrunk = resized(data, {"school": 2}, formula)
    assert set(shrunk["pupil"]) <= set(data["pupil"])


@pytest.mark.parametrize(("count", "most"), [(6, 0), (8, 0), (9, 1), (14, 0), (26, 0)])
def test_predictors_between_levels_keep_their_proportions(count, most):
    """Rows in any order, with an age of its own for each level."""
    data = study(10, 3)
    data["trt"] = np.where(data["g"] < 5, "new", "old")
    data["age"] = np.random.default_rng(0).permutation(10)[data["g"]]
    formula = parse_formula("y ~ x + trt + age + (1 | g)")
    levels = resized(data, {"g": count}, formula).drop_duplicates("g")
    arms = levels["trt"].value_counts()
    assert len(levels) == count
    assert abs(arms["new"] - arms["old"]) <= most


@pytest.mark.usefixtures("user_speed")
def test_a_response_that_is_there_stays_and_another_is_finite():
    given = {**STUDY, "(Intercept)": 6.0, "x": 0.4}
    options = {"effect": "x", "parameters": given, "nsim": 40, "seed": 1}
    plain = lmm.power(FORMULA, study(), **options)
    for response in ("log(rt)", "log(rt / (1 - rt))"):
        found = lmm.power(f"{response} ~ x + (1 | g)", study(), **options)
        assert found.table["n"][0] == 100
        np.testing.assert_allclose(found.p_values[0], plain.p_values[0], rtol=1e-4)
    rt = np.random.default_rng(1).uniform(200.0, 900.0, 100)
    (_, model), *_ = make_studies(
        "log(rt) ~ x + (1 | g)", study().assign(rt=rt), None, None, None
    )
    np.testing.assert_allclose(rows_of(model.design, "y").y, np.log(rt))


def test_fits_that_are_no_pilots_are_told(tmp_path):
    data = study().assign(y=np.random.default_rng(0).normal(size=100))
    data.to_parquet(tmp_path / "study.parquet")
    model = lmm.Model(FORMULA, tmp_path / "study.parquet")
    with pytest.raises(ModelError, match=r"has the sums of .* Give data="):
        lmm.power(model.fit_reml(), effect="x", nsim=2)
    both = lmm.fit(FORMULA, data, draws=50, tune=50, chains=2, progress=False)
    with unchecked(), pytest.raises(ModelError, match=r"give fit\.reml"):
        lmm.power(both, effect="x", nsim=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"effect": "z"}, "no coefficient 'z'"),
        ({"parameters": {"x": 0.3}}, "needs a value of '1|g_sigma', 'sigma'"),
        ({"parameters": {"xx": 0.3}}, "no parameter 'xx'"),
        ({"parameters": {**STUDY, "x": float("nan")}}, "'x' must be a finite number"),
        ({"parameters": {**STUDY, "x": 1, "sigma": 0}}, "'sigma' must be positive"),
        ({"parameters": {**STUDY, "x": 1, "1|g_sigma": -1}}, "is an SD: at least 0"),
        ({"parameters": [1, 2]}, "parameters must be values by label"),
        ({"parameters": {"Intercept": 1, "(Intercept)": 2}}, "has two values"),
        ({"weights": [1, 2]}, "weights must be the name of a column"),
        ({"groups": [10, 20]}, "groups must be numbers of levels by column"),
        ({"groups": {"g": []}}, r"groups\['g'\] is empty"),
        ({"groups": {"g": "20"}}, r"groups\['g'\] must be a whole number"),
        ({"groups": {"g": [4, 2.5]}}, r"groups\['g'\] must be a whole number"),
        ({"rows": []}, "rows is empty"),
        ({"rows": 2.0}, "rows must be a whole number of at least 1"),
        ({"n_jobs": 0}, "n_jobs must be a whole number of processes"),
        ({"n_jobs": 1.5}, "n_jobs must be a whole number of processes"),
        ({"effect": "1|g_sigma", "test": "satterthwaite"}, "by test='lrt' alone"),
        ({"test": "t"}, "Unknown test='t'"),
        ({"alpha": 5}, "alpha must lie between 0 and 1.*such as 0.05"),
        ({"nsim": 0}, "nsim must be a whole number"),
        ({"groups": {"h": 3}}, "no column 'h' to have more levels"),
        ({"groups": {"x": 3}}, "'x' does not group rows.*grouping columns: 'g'"),
        ({"groups": {"g": 1}}, r"groups\['g'\] must be a whole number of at least 2"),
        ({"rows": 0}, "rows must be a whole number of at least 1"),
        ({"effect": "1|g_sigma", "test": "lrt"}, "is the only random effect"),
        ({"effect": "1|g_sigma", "test": "z"}, "is tested by test='lrt' alone"),
        ({"effect": "x = 1", "test": "lrt"}, "compares with 0"),
        ({"effect": ["x = 1", "x = 2"]}, "contradict each other"),
        ({"seed": -1}, "seed must be"),
        ({"data": None}, "power needs the rows of the study"),
        ({"data": [1]}, "must be a pandas data frame"),
        ({"source": 3}, "takes a fit, a model or a formula"),
    ],
    ids=str,
)
def test_impossible_studies_are_told(options, words):
    given = {
        "source": FORMULA,
        "data": study(),
        "effect": "x",
        "parameters": {**STUDY, "x": 0.3},
        "nsim": 2,
        **options,
    }
    source = given.pop("source")
    with unchecked(), pytest.raises((ModelError, FormulaError), match=words):
        lmm.power(source, **given)


@pytest.mark.usefixtures("user_speed")
def test_the_command_line(tmp_path):
    study().drop(columns="trt").to_csv(tmp_path / "study.csv", index=False)
    call = ["power", str(tmp_path / "study.csv"), FORMULA, "--effect", "x"]
    given = ["--set", "x=0.4", "--set", "1|g_sigma=0.5", "--set", "sigma=1"]
    more = ["--nsim", "50", "--seed", "1", "--levels", "g=10,20", "--rows", "1,2"]
    shown = CliRunner().invoke(app, [*call, *given, *more])
    assert shown.exit_code == 0, shown.output
    assert "Power to find x by satterthwaite, alpha 0.05" in shown.output
    assert len([line for line in shown.output.splitlines() if " 50 " in line]) >= 4
    wrong = CliRunner().invoke(app, [*call, "--set", "x"])
    assert wrong.exit_code == 2
    assert "--set needs LABEL=NUMBER" in wrong.output
    wrong = CliRunner().invoke(app, [*call, *given, "--levels", "g=a"])
    assert wrong.exit_code == 2
    assert "--levels needs COLUMN=NUMBERS" in wrong.output
    wrong = CliRunner().invoke(app, [*call, *given, "--rows", "a"])
    assert wrong.exit_code == 2
    assert "--rows needs NUMBERS" in wrong.output
    weighted = CliRunner().invoke(app, [*call, *given, "--weights", "w"])
    assert weighted.exit_code == 2
    assert "'w'" in weighted.output


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_answer():
    """`joblib.parallel_config("dask")`, on a cluster of this machine."""
    distributed = pytest.importorskip("distributed")
    from joblib import parallel_config

    options = {"effect": "x", "parameters": {**STUDY, "x": 0.3}, "nsim": 120, "seed": 4}
    here = lmm.power(FORMULA, study(), **options)
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1)
    with cluster, distributed.Client(cluster), parallel_config("dask"):
        there = lmm.power(FORMULA, study(), n_jobs=-1, **options)
    np.testing.assert_array_equal(here.p_values[0], there.p_values[0])
