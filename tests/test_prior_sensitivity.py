"""The same data under other priors: against fits of each, and a chapter's values."""

import time

import numpy as np
import pandas as pd
import pytest
from sampling import unchecked

import bayeslmm as lmm
from bayeslmm import Model, ModelError, Posterior, PriorError
from bayeslmm.posterior import sensitivity
from bayeslmm.posterior.quadrature import quadrature
from bayeslmm.posterior.sensitivity import prior_sensitivity
from bayeslmm.priors.standard import FITTED, STANDARD

SD = "1|classroom_sigma"
# The chapter's figures have two decimals and were made by another quadrature.
CHAPTER = 0.05
# Two lattices, in SDs of the parameter.
QUADRATURE = 2e-3
# Weighted draws: the Monte Carlo error of a median of 4,000, in SDs, four times.
DRAWS = 0.12


@pytest.fixture(scope="module")
def flat(classrooms: pd.DataFrame) -> Posterior:
    """The chapter's model with flat beta and sigma, half-t(3, 2.75) on the SD."""
    priors = {"set": "flat", "1|classroom": "HalfStudentT(3, 2.75)"}
    model = Model("score ~ edu + (1 | classroom)", classrooms, priors=priors)
    return model.sample(seed=1, method="quadrature", progress=False)


@pytest.fixture(scope="module")
def weak(classrooms: pd.DataFrame) -> Posterior:
    """The same under the default priors."""
    model = Model("score ~ edu + (1 | classroom)", classrooms)
    return model.sample(seed=1, method="quadrature", progress=False)


def of(table: pd.DataFrame, prior: str, label: str = SD) -> np.ndarray:
    """Median and interval of a parameter under one prior."""
    own = table[(table["prior"] == prior) & (table["parameter"] == label)]
    return own[["median", "lower", "upper"]].to_numpy(float)[0]


def test_values_of_the_chapter(flat: Posterior) -> None:
    """Six priors of the classroom SD; the slope of edu is the same under each."""
    chapter = {
        "HalfStudentT(3, 2.75)": (3.17, 1.60, 8.32),
        "Exponential(scale=2.75)": (3.25, 1.56, 8.43),
        "HalfNormal(5)": (3.74, 1.71, 9.29),
        "HalfCauchy(5)": (3.81, 1.67, 13.9),
        "HalfNormal(13.755)": (4.90, 1.82, 18.8),
        "flat": (6.44, 1.93, np.nan),  # its upper end is looked at below
    }
    rules = {name: {"1|classroom": name} for name in chapter}
    table = prior_sensitivity(flat, priors=rules)
    for name, known in chapter.items():
        tolerance = CHAPTER * np.array([1.0, 1.0, 2.0])
        off = np.abs(of(table, name) - np.array(known)) / tolerance
        assert np.nanmax(off) < 1.0, (name, of(table, name))
        edu = of(table, name, "edu")
        assert 0.1309 < edu[0] < 0.1314
    assert set(table["how"]) == {"quadrature"}


def test_the_far_tail_of_a_flat_prior(flat: Posterior) -> None:
    """With 3 groups the tail falls as 1 / sd: the end is where brute force has it.

    The density of the SD given flat beta and sigma, on a fine grid to 1e6.
    """
    from bayeslmm.posterior.target import make_target
    from bayeslmm.posterior.visits import log_target

    model = flat.model.with_priors("flat")
    target = make_target(model.design, model.conditioned, model.priors)
    log_sd = np.linspace(-3.0, np.log(1e6), 500)
    log_sigma = target.start[0] + np.linspace(-0.8, 0.8, 40)
    grid = np.array(
        [[log_target(target, np.array([s, t])) for t in log_sd] for s in log_sigma]
    )
    density = np.exp(grid - grid.max()).sum(axis=0)
    below = np.cumsum(density) - 0.5 * density
    upper = np.exp(np.interp(0.975 * density.sum(), below, log_sd))
    table = prior_sensitivity(flat, priors={"flat": "flat"})
    assert of(table, "flat")[2] == pytest.approx(upper, rel=0.01)


@pytest.mark.parametrize("name", ["half-Cauchy", "inverse-gamma", "blme", "bambi"])
def test_each_prior_as_if_fitted_under_it(weak: Posterior, name: str) -> None:
    """Reading the shared lattice is the same as a quadrature of its own."""
    table = prior_sensitivity(weak, priors=[name])
    variant = sensitivity.standard_priors(name, weak.model.priors, weak.model.design)
    own = quadrature(weak.model.with_priors(variant)).summary()
    for label, row in own.iterrows():
        width = row["upper"] - row["lower"]
        known = row[["median", "lower", "upper"]].to_numpy(float)
        found = of(table, name, str(label))
        assert np.abs(found - known).max() < QUADRATURE * width, (label, found, known)


def test_twelve_priors_in_a_second(weak: Posterior) -> None:
    """As a user has it, warm; of the processor's time, whatever else runs."""
    with unchecked():
        prior_sensitivity(weak)
        start = time.process_time()
        table = prior_sensitivity(weak)
        assert time.process_time() - start < 1.0
    assert list(dict.fromkeys(table["prior"])) == [FITTED, *STANDARD]
    assert len(STANDARD) == 12


def test_what_has_no_posterior_is_refused_with_the_reason(flat: Posterior) -> None:
    """Uniform on log sd never has one, uniform on the variance not with 3 groups."""
    names = ["uniform on sd", "uniform on variance", "uniform on log sd"]
    table = prior_sensitivity(flat, priors=names).set_index("prior")
    assert set(table.loc["uniform on sd", "how"]) == {"quadrature"}
    for name, why in (
        ("uniform on variance", "does not fall as the SD grows"),
        ("uniform on log sd", "runs off towards 0"),
    ):
        assert table.loc[name, "median"].isna().all()
        assert table.loc[name, "how"].str.contains(f"refused: .*{why}").all()


@pytest.fixture(scope="module")
def slopes() -> Posterior:
    """Four variance parameters: draws, not a lattice."""
    data = lmm.simulate_classrooms(12, 10, seed=1).data
    model = Model("score ~ edu + (edu | classroom)", data)
    return model.sample(seed=1, method="nuts", progress=False)


def test_weighted_draws_are_the_posterior_under_the_other_prior(
    slopes: Posterior,
) -> None:
    """Bambi's priors, which mean the SD at edu = 0, against a fit under them."""
    table = prior_sensitivity(slopes, priors=["bambi"])
    own = table[table["prior"] == "bambi"]
    assert set(own["how"]) == {"weighted draws"}
    assert own["k"].max() < sensitivity.LARGEST_K
    fit = slopes.model.with_priors("bambi").sample(
        seed=2, method="nuts", progress=False
    )
    for label, row in fit.summary().iterrows():
        found = of(table, "bambi", str(label))
        assert abs(found[0] - row["median"]) < DRAWS * row["sd"], label


def test_weights_that_cannot_be_trusted_lead_to_a_fit(
    weak: Posterior, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prior elsewhere than the draws: k is told, and the prior is fitted."""
    monkeypatch.setattr(sensitivity, "LATTICE_UP_TO", 0)
    rules = {"far": {"1|classroom": "LogNormal(4, 0.1)"}}
    table = prior_sensitivity(weak, priors=rules, seed=1)
    own = table[table["prior"] == "far"]
    assert own["k"].min() > sensitivity.LARGEST_K
    assert own["how"].str.startswith("fitted again, weights had k = ").all()
    known = quadrature(weak.model.with_priors(rules["far"])).summary().loc[SD]
    assert of(table, "far")[0] == pytest.approx(known["median"], rel=0.01)
    assert of(table, FITTED)[0] == pytest.approx(np.median(weak.draws(SD)))


def test_units_do_not_matter(classrooms: pd.DataFrame, weak: Posterior) -> None:
    """Standard priors follow the units of y."""
    names = ["half-normal", "inverse-gamma", "gamma(2)"]
    before = prior_sensitivity(weak, priors=names)
    tenfold = classrooms.assign(score=10.0 * classrooms["score"])
    model = Model("score ~ edu + (1 | classroom)", tenfold)
    after = prior_sensitivity(
        model.sample(seed=1, method="quadrature", draws=50, progress=False),
        priors=names,
    )
    for name in names:
        np.testing.assert_allclose(of(after, name), 10.0 * of(before, name), rtol=1e-4)


def test_what_cannot_be_asked(weak: Posterior) -> None:
    with pytest.raises(ModelError, match=r"No standard prior 'halfnormal'.*half-nor"):
        prior_sensitivity(weak, priors=["halfnormal"])
    with pytest.raises(PriorError, match="names nothing in this model"):
        prior_sensitivity(weak, priors={"mine": {"1|school": "flat"}})
    with unchecked(), pytest.raises(ModelError, match=r"the text 'bambi'"):
        prior_sensitivity(weak, priors="bambi")  # type: ignore[arg-type]


def test_the_picture_has_the_numbers_of_the_table(weak: Posterior) -> None:
    """A line for each prior that has a posterior, a word for one that has none."""
    names = ["half-normal", "uniform on log sd"]
    table = prior_sensitivity(weak, priors=names)
    figure = lmm.plot_prior_sensitivity(table, labels=[SD, "edu"])
    first = figure.axes[0]
    assert [t.get_text() for t in first.get_yticklabels()] == [FITTED, *names]
    lines = [c.get_segments()[0][:, 0] for c in first.collections]  # type: ignore[attr-defined]
    np.testing.assert_allclose(lines[1], of(table, "half-normal")[1:])
    assert len(lines) == 2
    assert [t.get_text() for t in first.texts] == ["no posterior"]
    with pytest.raises(ModelError, match="No parameter 'edi'"):
        lmm.plot_prior_sensitivity(table, labels=["edi"])
    with pytest.raises(ModelError, match="has no column 'prior'"):
        lmm.plot_prior_sensitivity(pd.DataFrame({"a": [1]}))
