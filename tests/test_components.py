"""`varcomp_table` and `plot_varcomp`: intervals by every method, data beside prior."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sampling import sample_unchecked, unchecked

import bayeslmm as lmm
from bayeslmm import ModelError
from bayeslmm.datasets import simulate_classrooms
from bayeslmm.posterior.components import make_component
from bayeslmm.posterior.densities import ComponentCurves, component_curves
from bayeslmm.posterior.learnt import (
    contraction,
    effective_levels,
    middle,
    overlap,
    proper_prior,
)
from bayeslmm.posterior.weighted import weighted_points

EXACT = 1e-8
SLOPES = ("1|classroom_sigma", "edu|classroom_sigma", "classroom_corr[Intercept:edu]")


@pytest.fixture(scope="module")
def fits() -> Any:
    """Correlated slopes of eight classrooms, both sides."""
    data = simulate_classrooms(8, 10, seed=5).data
    model = lmm.Model("score ~ edu + (edu | classroom)", data)
    return model.fit_reml(), sample_unchecked(model, seed=1, draws=500)


@pytest.fixture(scope="module")
def balanced() -> Any:
    """One SD, classrooms of the same size."""
    data = simulate_classrooms(7, 6, seed=5).data
    model = lmm.Model("score ~ 1 + (1 | classroom)", data)
    return model.fit_reml(), sample_unchecked(model, seed=1, draws=200)


def test_every_interval_is_the_one_of_its_own_table(fits: Any) -> None:
    reml, post = fits
    with unchecked():
        table = lmm.varcomp_table(reml, post, prob=0.9, nsim=5, seed=1)
        labels = [*SLOPES, "sigma"]
        assert table.index.tolist() == [*labels, "icc"]
        profile = reml.interval(0.9, method="profile")
        boot = reml.interval(0.9, method="boot", nsim=5, seed=1)
        eti, hdi = post.summary(0.9), post.summary(0.9, "hdi")
        icc = post.icc(0.9).loc["adjusted"]
    for name, theirs in {
        "profile": profile,
        "boot": boot,
        "eti": eti,
        "hdi": hdi,
    }.items():
        ours = table.loc[labels, [f"{name}_lower", f"{name}_upper"]]
        np.testing.assert_allclose(
            ours, theirs.loc[labels, ["lower", "upper"]], rtol=EXACT
        )
    assert table.loc["icc", "eti_upper"] == pytest.approx(icc["upper"])
    assert table.loc["sigma", "wald_upper"] == pytest.approx(
        reml.summary(0.9).loc["sigma", "upper"]
    )
    notes = " ".join(table.attrs["notes"])
    assert all(f"{label}: posterior median" in notes for label in table.index)


def test_what_is_small_is_what_was_said(fits: Any) -> None:
    """`eps` by label, its probability that of the density."""
    reml, post = fits
    label = "edu|classroom_sigma"
    with unchecked():
        table = lmm.varcomp_table(reml, post, labels=[label], eps={label: 0.2})
        expected = post.probability(label, below=0.2)
        usual = lmm.varcomp_table(reml, post, labels=list(SLOPES))["eps"]
    assert table.loc[label, "p_below"] == pytest.approx(expected, rel=EXACT)
    sigma = float(np.median(post.draws("sigma")))
    spread = reml.design.moments.Z[0].sd()[1]
    np.testing.assert_allclose(usual, [0.1 * sigma, 0.1 * sigma / spread, 0.0])


def test_the_wald_interval_of_an_icc(balanced: Any) -> None:
    """logit(icc) = 2 log sd - 2 log sigma, by hand."""
    reml, post = balanced
    with unchecked():
        row = lmm.varcomp_table(reml, post, labels="icc").loc["icc"]
    v = reml.information.covariance
    reach = 1.959963985 * 2.0 * math.sqrt(v[0, 0] + v[1, 1] - 2.0 * v[0, 1])
    centre = math.log(row["reml"] / (1.0 - row["reml"]))
    ends = [1.0 / (1.0 + math.exp(-centre + s * reach)) for s in (1.0, -1.0)]
    np.testing.assert_allclose([row["wald_lower"], row["wald_upper"]], ends, rtol=1e-5)


def test_effective_levels_of_a_balanced_design(balanced: Any) -> None:
    """J (sd**2 / (sd**2 + sigma**2 / n))**2, as the information on log sd has it."""
    _, post = balanced
    with unchecked():
        points = weighted_points(post)
        label = "1|classroom_sigma"
        own = make_component(post.model.design, points.target, label, "zero")
        found = effective_levels(post.model.design, points, own)
    sigma, sd = np.exp(middle(points))
    assert found == pytest.approx(7.0 * (sd**2 / (sd**2 + sigma**2 / 6.0)) ** 2)


def test_a_posterior_that_is_its_prior_is_all_prior(balanced: Any) -> None:
    """Overlap 1 and contraction 0; under a flat prior there is neither."""
    _, post = balanced
    with unchecked():
        points = weighted_points(post)
        label = "1|classroom_sigma"
        own = make_component(post.model.design, points.target, label, "zero")
        curves = component_curves(own, points)
        prior = proper_prior(curves)
        assert prior is not None
        same = ComponentCurves(own, prior, curves.log_prior)
        assert overlap(same, proper_prior(same)) == pytest.approx(1.0, abs=1e-3)
        assert contraction(same, proper_prior(same)) == pytest.approx(0.0, abs=1e-3)
        assert 0.0 < overlap(curves, prior) < 1.0
        flat = ComponentCurves(own, curves.posterior, lambda values: values)
        assert proper_prior(flat) is None
        assert math.isnan(overlap(flat, None))
        assert math.isnan(contraction(flat, None))


def test_at_the_means_stand_the_parameters_of_the_priors(fits: Any) -> None:
    reml, post = fits
    with unchecked():
        table = lmm.varcomp_table(reml, post, at="mean", labels=list(SLOPES))
        expected = post.varcorr(at="mean")["median"]
    np.testing.assert_allclose(table["median"], expected[list(SLOPES)], rtol=EXACT)
    moved = ["1|classroom_sigma", "classroom_corr[Intercept:edu]"]
    assert table.loc[moved, "profile_lower"].isna().all()
    assert np.isfinite(table.loc["edu|classroom_sigma", "profile_lower"])


def test_the_figure_draws_what_the_tables_have(fits: Any) -> None:
    """Likelihood times prior is the posterior, up to a height; intervals as tabled."""
    reml, post = fits
    label = "edu|classroom_sigma"
    with unchecked():
        figure = lmm.plot_varcomp(reml, post, labels=[label], profile=True)
        table = lmm.varcomp_table(reml, post, labels=[label])
    ax, fan = figure.axes
    lines = {str(line.get_label()).split(" (")[0]: line for line in ax.lines}
    assert set(lines) == {
        "posterior",
        "prior",
        "likelihood",
        "profile likelihood",
        "REML",
    }
    heights = {name: np.asarray(own.get_ydata(), float) for name, own in lines.items()}
    some = heights["posterior"] > 1e-3 * heights["posterior"].max()
    product = heights["prior"] * heights["likelihood"]
    ratio = (product / np.where(some, heights["posterior"], 1.0))[some]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)
    words = [text.get_text() for text in fan.get_yticklabels()]
    assert words == ["Wald", "profile", "ETI", "HDI"]
    segment = fan.collections[1].get_segments()[0][:, 0]
    np.testing.assert_allclose(
        segment, table.loc[label, ["profile_lower", "profile_upper"]].to_numpy(float)
    )


def test_wrong_arguments_are_told(fits: Any) -> None:
    reml, post = fits
    cases: list[tuple[dict[str, Any], str]] = [
        ({"labels": ["1|clasroom_sigma"]}, "Did you mean '1.classroom_sigma'"),
        ({"labels": 3}, "labels must be a list"),
        ({"eps": "x"}, "eps must be a number"),
        ({"eps": {"edu": 1.0}}, "eps names 'edu'"),
        ({"eps": -1.0}, "is -1, and it is never below 0"),
        ({"prob": 1.0}, "prob must lie between"),
        ({"nsim": 1}, "nsim must be"),
        ({"nsim": True}, "nsim must be"),
        ({"at": "middle"}, "Unknown at='middle'"),
    ]
    for options, words in cases:
        for call in (lmm.varcomp_table, lmm.plot_varcomp):
            with unchecked(), pytest.raises(ModelError, match=words):
                call(reml, post, **options)
    data = simulate_classrooms(8, 10, seed=1).data
    other = lmm.Model("score ~ 1 + (1 | classroom)", data)
    with unchecked(), pytest.raises(ModelError, match="not of the same model"):
        lmm.varcomp_table(other.fit_reml(), post)


def test_a_component_that_may_be_nothing(public_data: Any) -> None:
    """Dyestuff2: REML says 0, no Wald interval, and the words leave it open."""
    data: pd.DataFrame = public_data("Dyestuff2")
    model = lmm.Model("Yield ~ 1 + (1 | Batch)", data)
    with unchecked(), pytest.warns(lmm.FitWarning, match="estimated as 0"):
        reml = model.fit_reml()
    with unchecked():
        post = model.sample(draws=200, seed=1, progress=False)
        table = lmm.varcomp_table(reml, post, labels=["1|Batch_sigma"])
        figure = lmm.plot_varcomp(reml, post)
        ridge = lmm.plot_singular(reml, post).axes[0]
        lines = {str(line.get_label()): line for line in ridge.lines}
        curve = lines["posterior density over its maximum"]
        density = post.density("1|Batch_sigma", curve.get_xdata())["density"]
    np.testing.assert_allclose(curve.get_ydata(), density / density.max())
    row = table.loc["1|Batch_sigma"]
    assert row["reml"] == 0.0
    assert math.isnan(row["wald_upper"])
    assert row["profile_lower"] == 0.0 < row["profile_upper"]
    assert row["effective_levels"] < 2.0
    assert "whether it matters is open" in table.attrs["notes"][1]
    share = f"{100 * (1.0 - row['contraction']):.0f}% prior, HalfStudentT"
    assert f"The posterior is {share}" in table.attrs["notes"][1]
    assert "quote the two together" in table.attrs["notes"][1]
    assert len(figure.axes) == 6


def test_a_posterior_under_the_top_of_its_prior_is_not_the_prior(
    public_data: Any,
) -> None:
    """Six levels that are seen well where the prior is high: the data say all of it."""
    model = lmm.Model(
        "diameter ~ 1 + (1 | plate) + (1 | sample)", public_data("Penicillin")
    )
    reml, post = model.fit_reml(), sample_unchecked(model, seed=1, draws=200)
    with unchecked():
        table = lmm.varcomp_table(reml, post, labels=["1|sample_sigma"])
    row = table.loc["1|sample_sigma"]
    assert row["overlap"] > 0.4
    assert row["contraction"] > 0.9
    assert (
        f"is {100 * (1.0 - row['contraction']):.0f}% prior" in table.attrs["notes"][1]
    )
    assert "quote the two" not in table.attrs["notes"][1]
