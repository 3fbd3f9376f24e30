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

STUDY = {"1|g_sigma": 0.5, "sigma": 1.0}
FORMULA = "y ~ x + (1 | g)"


def study(levels=20, rows=5, seed=0):
    """A balanced study; x varies within levels, trt between them."""
    g = np.repeat(np.arange(levels), rows)
    x = np.tile(np.linspace(-1.0, 1.0, rows), levels)
    return pd.DataFrame({"g": g, "x": x, "trt": (g % 2).astype(float)})


def test_power_is_that_of_the_theory():
    """Within levels exact: noncentral t with n - J - 1 degrees of freedom."""
    data = study()
    found = lmm.power(
        FORMULA, data, effect="x", parameters={**STUDY, "x": 0.4}, nsim=1500, seed=1
    )
    line = found.table.iloc[0]
    se = 1.0 / math.sqrt(float((data["x"] ** 2).sum()))
    df, shift = 100 - 20 - 1, 0.4 / se
    edge = stats.t.ppf(0.975, df)
    exact = stats.nct.sf(edge, df, shift) + stats.nct.cdf(-edge, df, shift)
    assert abs(line["power"] - exact) < 3.5 * line["mcse"]
    assert line["lower"] < exact < line["upper"] or abs(line["power"] - exact) < 0.04
    assert line["estimate"] == pytest.approx(0.4, abs=4 * se / math.sqrt(1500))
    assert (line["n"], line["nsim"], line["failed"]) == (100, 1500, 0)
    share = (found.p_values[0] < 0.05).mean()
    assert line["power"] == share
    assert "Power to find 'x' by 'satterthwaite'" in repr(found)


@pytest.mark.parametrize("test", ["satterthwaite", "kenward-roger", "residual", "lrt"])
def test_the_level_is_kept_where_there_is_no_effect(test):
    """Between levels, where z finds too much: p below .05 in 5 of 100 studies."""
    found = lmm.power(
        "y ~ trt + (1 | g)",
        study(10, 4),
        effect="trt",
        parameters={**STUDY, "trt": 0.0},
        test=test,
        nsim=400,
        seed=2,
    )
    share = found.table["power"].iloc[0]
    too_free = test in ("residual", "lrt")  # both take 10 levels for more than they are
    assert share < 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / 400) + 0.05 * too_free


def test_z_finds_more_than_satterthwaite_and_that_more_than_kenward_roger():
    """The same responses by one seed: 20 levels of 5 rows, effect between levels."""
    shares = {
        test: lmm.power(
            "y ~ trt + (1 | g)",
            study(),
            effect="trt",
            parameters={**STUDY, "trt": 0.8},
            test=test,
            nsim=300,
            seed=3,
        ).table["power"][0]
        for test in ("z", "satterthwaite", "kenward-roger")
    }
    assert shares["z"] > shares["satterthwaite"] >= shares["kenward-roger"] > 0.5


def test_a_seed_says_all_whatever_the_processes():
    options = {"effect": "x", "parameters": {**STUDY, "x": 0.3}, "nsim": 120, "seed": 4}
    one = lmm.power(FORMULA, study(), **options)
    two = lmm.power(FORMULA, study(), n_jobs=2, **options)
    np.testing.assert_array_equal(one.p_values[0], two.p_values[0])
    other = lmm.power(FORMULA, study(), **{**options, "seed": 5})
    assert not np.array_equal(one.p_values[0], other.p_values[0])


def test_more_levels_and_more_rows_find_more():
    found = lmm.power(
        FORMULA,
        study(10, 4),
        effect="x",
        parameters={**STUDY, "x": 0.35},
        groups={"g": [6, 12, 24]},
        rows=[1, 2],
        nsim=150,
        seed=5,
    )
    table = found.table
    assert table["n"].tolist() == [24, 48, 48, 96, 96, 192]
    assert table["g"].tolist() == [6, 6, 12, 12, 24, 24]
    assert table["rows"].tolist() == [1, 2] * 3
    by_n = table.groupby("n")["power"].mean()
    assert by_n.is_monotonic_increasing
    assert by_n.iloc[-1] > by_n.iloc[0] + 0.3


def test_a_pilot_fit_lends_its_estimates(public_data):
    pilot = lmm.Model(
        "Reaction ~ Days + (Days | Subject)", public_data("sleepstudy")
    ).fit_reml()
    found = lmm.power(pilot, effect="Days", nsim=50, seed=6)
    assert found.table["power"][0] > 0.95
    assert found.table["estimate"][0] == pytest.approx(10.467, abs=1.0)
    weak = lmm.power(pilot, effect="Days", parameters={"Days": 1.0}, nsim=50, seed=6)
    assert weak.table["power"][0] < 0.4
    same = lmm.power(pilot, effect="Days = 10.467", nsim=200, seed=6)
    assert same.table["power"][0] < 0.13


def test_terms_and_sds_are_tested(public_data):
    pilot = lmm.Model(
        "weight ~ treatment * sex + litsize + (1 | litter)", public_data("rat_pup")
    ).fit_reml()
    joint = lmm.power(pilot, effect="treatment", nsim=60, seed=7)
    assert joint.table["power"][0] > 0.9
    slopes = lmm.power(
        "y ~ x + (x | g)",
        study(30, 8),
        effect="x|g_sigma",
        parameters={**STUDY, "x": 0.0, "x|g_sigma": 0.7, "g_corr[Intercept:x]": 0.2},
        test="lrt",
        nsim=60,
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
        nsim=200,
        seed=8,
    )
    assert nothing.table["power"][0] < 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / 200)


def test_the_posterior_finds_what_its_interval_leaves_out():
    found = lmm.power(
        FORMULA,
        study(),
        effect="x",
        parameters={**STUDY, "x": 1.2},
        test="posterior",
        nsim=4,
        seed=9,
    )
    assert found.table["power"][0] == 1.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"effect": "z"}, "no coefficient 'z'"),
        ({"parameters": {"x": 0.3}}, "needs a value of '1|g_sigma', 'sigma'"),
        ({"parameters": {"xx": 0.3}}, "no parameter 'xx'"),
        ({"parameters": {**STUDY, "x": float("nan")}}, "'x' must be a finite number"),
        ({"parameters": {**STUDY, "x": 1, "sigma": 0}}, "'sigma' must be positive"),
        ({"parameters": {**STUDY, "x": 1, "1|g_sigma": -1}}, "is an SD: at least 0"),
        ({"test": "t"}, "Unknown test='t'"),
        ({"alpha": 5}, "alpha must lie between 0 and 1"),
        ({"nsim": 0}, "nsim must be a whole number"),
        ({"groups": {"h": 3}}, "no column 'h' to have more levels"),
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


def test_the_command_line(tmp_path):
    study().drop(columns="trt").to_csv(tmp_path / "study.csv", index=False)
    call = ["power", str(tmp_path / "study.csv"), FORMULA, "--effect", "x"]
    given = ["--set", "x=0.4", "--set", "1|g_sigma=0.5", "--set", "sigma=1"]
    more = ["--nsim", "50", "--seed", "1", "--levels", "g=10,20"]
    shown = CliRunner().invoke(app, [*call, *given, *more])
    assert shown.exit_code == 0, shown.output
    assert "Power to find x by satterthwaite, alpha 0.05" in shown.output
    assert len([line for line in shown.output.splitlines() if " 50 " in line]) >= 2
    wrong = CliRunner().invoke(app, [*call, "--set", "x"])
    assert wrong.exit_code == 2
    assert "--set needs LABEL=NUMBER" in wrong.output
    wrong = CliRunner().invoke(app, [*call, *given, "--levels", "g=a"])
    assert wrong.exit_code == 2
    assert "--levels needs COLUMN=NUMBERS" in wrong.output


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
