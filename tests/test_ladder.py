"""Figures from complete pooling to a mixed model: what they draw is what tables say."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayeslmm as lmm
from bayeslmm.comparison.followed import follow
from bayeslmm.comparison.ladder import ladder

FIGURES = ("plot_rows", "plot_aggregation", "plot_two_stage", "plot_slopes")


@pytest.fixture(scope="module")
def model(classrooms):
    return lmm.Model("score ~ edu + (1 | classroom)", classrooms)


@pytest.fixture(scope="module")
def reml(model):
    return model.fit_reml()


def texts(figure):
    axes = [text for ax in figure.axes for text in ax.texts]
    legends = [text for legend in figure.legends for text in legend.get_texts()]
    return [text.get_text() for text in [*axes, *legends]]


def lines(ax):
    """Intercept and slope of each line of two points."""
    found = [line.get_xydata() for line in ax.lines if len(line.get_xdata()) == 2]
    return [np.polyfit(*np.asarray(ends).T, 1)[::-1] for ends in found]


def test_lines_are_those_of_the_seven_models(model):
    found = ladder(follow(model))
    assert found.pooled == pytest.approx([9.3029, 0.232842], abs=1e-4)
    assert found.common[:, 1] == pytest.approx([0.130717] * 3, abs=1e-6)
    shifts = found.common[:, 0] - found.common[0, 0]
    assert shifts == pytest.approx([0, 2.577854, 6.129755], abs=1e-6)
    own = [[6.97375, 0.129084], [9.29029, 0.177567], [13.55235, 0.055772]]
    assert found.own == pytest.approx(np.array(own), abs=1e-5)
    means = [[5.1, 7.632084], [5.4, 10.249153], [6.1, 13.892555]]
    assert found.means == pytest.approx(np.array(means), abs=1e-6)
    assert found.between[1] == pytest.approx(6.073401, abs=1e-6)


def test_each_figure_draws_its_lines(model, reml):
    pooled = lmm.plot_rows(model)
    assert lines(pooled.axes[0])[0] == pytest.approx([9.3029, 0.232842], abs=1e-3)
    assert "slope 0.233" in texts(pooled)
    left, right = lmm.plot_aggregation(model).axes
    assert len(left.collections) == 4  # three levels, and their means
    assert lines(right)[0][1] == pytest.approx(6.0734, abs=1e-3)
    left, right = lmm.plot_two_stage(model).axes
    assert [slope for _, slope in lines(left)] == pytest.approx(
        [0.129084, 0.177567, 0.055772], abs=1e-4
    )
    heights = [bar.get_height() for bar in right.patches]
    assert np.mean(heights) == pytest.approx(0.120808, abs=1e-5)
    assert "mean 0.121" in texts(right.figure)
    slopes = lmm.plot_slopes(model).axes[0]
    assert [line.get_linestyle() for line in slopes.lines[:6]] == ["--", "-"] * 3
    offsets = lmm.plot_offsets(reml)
    assert lines(offsets.axes[0])[0] == pytest.approx([9.8653, 0.131193], abs=1e-3)
    assert {" -2.89", " -0.323", " +3.21"} <= set(texts(offsets))
    assert "variance 9.43" in offsets.get_suptitle()


def test_other_predictors_are_held_at_their_means(public_data):
    rats = public_data("rat_pup")
    rats["day"] = np.arange(len(rats)) * 7 % 31 / 4
    formula = "weight ~ day + sex + treatment + (1 | litter)"
    model = lmm.Model(formula, rats)
    fit = model.fit_reml()
    followed = follow(model, "day")
    found = ladder(followed)
    assert found.adjusted
    X = np.column_stack(
        [rats["sex"] == "Male", rats["day"], pd.get_dummies(rats["litter"])]
    ).astype(float)
    slope = np.linalg.lstsq(X, rats["weight"])[0][1]
    assert found.common[:, 1] == pytest.approx(slope, rel=1e-6)
    assert "held at their means; 27 levels" in lmm.plot_rows(model).get_suptitle()
    line = lines(lmm.plot_offsets(fit, predictor="day").axes[0])[0]
    at_means = fit.predict(rats, level="population")["estimate"].mean()
    assert line[0] + line[1] * rats["day"].mean() == pytest.approx(at_means)


@pytest.mark.parametrize("name", FIGURES)
def test_many_levels_have_no_names_and_are_counted(name):
    many = lmm.simulate_classrooms(60, 4, seed=2).data
    figure = getattr(lmm, name)(lmm.Model("score ~ edu + (1 | classroom)", many))
    assert "60 levels" in figure.get_suptitle()
    assert not any(text.startswith("c") for text in texts(figure))


def test_levels_without_a_slope_are_counted(public_data):
    rats = public_data("rat_pup")
    model = lmm.Model("weight ~ litsize + (1 | litter)", rats)
    for draw in (lmm.plot_two_stage, lmm.plot_slopes):
        assert "27 levels without a slope" in draw(model).get_suptitle()


def test_what_cannot_be_drawn_is_said(model, reml, classrooms):
    full = lmm.Model("score ~ edu + (edu || classroom)", classrooms)
    with pytest.warns(lmm.FitWarning):
        fit = full.fit_reml()
    with pytest.raises(lmm.ModelError, match="plot_slopes and plot_fits draw these"):
        lmm.plot_offsets(fit)
    with pytest.raises(lmm.ModelError, match=r"of a fit give fit\.model"):
        lmm.plot_rows(reml)
    with pytest.raises(lmm.ModelError, match="has no option 'predictors'"):
        lmm.plot_rows(model, predictors="edu")
    with pytest.raises(lmm.ModelError, match="no predictor of this model"):
        lmm.plot_rows(model, predictor="ed")
    with pytest.raises(lmm.ModelError, match="a Model or one of its fits"):
        lmm.plot_residuals(classrooms)


def test_residuals_lie_by_level_where_levels_are_ignored(model, reml):
    pooled, own = lmm.plot_residuals(model), lmm.plot_residuals(reml)
    assert "residual SD 2.65" in pooled.get_suptitle()
    x, y = np.asarray(pooled.axes[0].collections[2].get_offsets()).T
    assert (y > 0).all()  # the best class
    expected = 9.3029 + 0.232842 * model.design.rows.X[40:, 1]
    np.testing.assert_allclose(x, expected, atol=1e-3)
    dots = [np.asarray(one.get_offsets()) for one in own.axes[0].collections]
    shown = np.concatenate(dots)[:, 1]
    assert np.sort(shown) == pytest.approx(np.sort(reml.residuals()))
    assert len(own.axes[2].lines) == 3


def test_a_column_that_is_constant_in_levels_is_held_in_any_unit(public_data):
    """Levels and such a column say the same within: no share of it is arbitrary."""
    rats = public_data("rat_pup")
    rats["day"] = np.arange(len(rats)) * 7 % 31 / 4
    formula = "weight ~ day + litsize + (1 | litter)"
    found = [
        ladder(follow(lmm.Model(formula, rats.assign(litsize=size)), "day"))
        for size in (rats["litsize"], 100.0 * rats["litsize"] + 7.0)
    ]
    for name in ("y", "pooled", "common", "between"):
        np.testing.assert_allclose(*(getattr(one, name) for one in found))
    within = rats["day"] - rats.groupby("litter")["day"].transform("mean")
    left = rats["weight"] - rats["day"] * (within @ rats["weight"] / (within @ within))
    slope = np.polyfit(rats["litsize"], left, 1)[0]
    size = rats["litsize"]
    held = rats["weight"] - slope * (size - size.mean())
    np.testing.assert_allclose(found[0].y, held, rtol=1e-8)


def test_a_predictor_that_is_constant_in_levels_has_no_common_slope(public_data):
    rats = public_data("rat_pup")
    rats["litsize"] = rats["litsize"] * 0.1 + 3.0
    followed = follow(lmm.Model("weight ~ litsize + (1 | litter)", rats, weights=None))
    followed = followed._replace(
        rows=replace(followed.rows, weights=np.linspace(0.3, 2.0, len(rats)))
    )
    assert np.isnan(ladder(followed).common).all()
