"""Figures: what is drawn where (positions, labels, order), not pixels."""

import io
import sys
import warnings
from dataclasses import replace

import arviz as az
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, FancyArrowPatch
from sampling import sample_unchecked

import bayeslmm as lmm
from bayeslmm.compare import shrinkage_covariances
from bayeslmm.errors import ModelError
from bayeslmm.plots.plane import ELLIPSE_PROB, ellipse_axes
from bayeslmm.plots.ranks import _independent_step
from bayeslmm.plots.style import MANY_LEVELS, coefficient_axis, limits
from bayeslmm.report.figures import file_name

N_MANY = 1000


@pytest.fixture(scope="module")
def intercepts():
    """REML and posterior of a random-intercept model, 12 classrooms."""
    data = lmm.simulate_classrooms(12, 8, seed=4).data
    model = lmm.Model("score ~ edu + (1 | classroom)", data)
    return model.fit_reml(), sample_unchecked(model, draws=200, chains=2, seed=1)


@pytest.fixture(scope="module")
def slopes():
    """REML and posterior with correlated slopes, 12 classrooms."""
    data = lmm.simulate_classrooms(12, 20, seed=4).data
    model = lmm.Model("score ~ edu + (edu | classroom)", data)
    return model.fit_reml(), sample_unchecked(model, draws=200, chains=2, seed=1)


@pytest.fixture(scope="module")
def many():
    """REML and posterior of 1,000 classrooms of 4."""
    data = lmm.simulate_classrooms(N_MANY, 4, seed=4).data
    model = lmm.Model("score ~ edu + (edu | classroom)", data)
    return model.fit_reml(), sample_unchecked(model, draws=50, chains=2, seed=1)


def line(figure: Figure, words: str) -> np.ndarray:
    """Positions (x, y) of the line whose label holds some words."""
    (found,) = [a for a in figure.axes[0].lines if words in str(a.get_label())]
    return np.asarray(found.get_xydata())


def legend(figure: Figure) -> list[str]:
    """Texts of the legend of a figure."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


# --- rows -----------------------------------------------------------------------------


def test_rows_show_the_table_ordered_by_partial_pooling(intercepts):
    figure = lmm.plot_shrinkage(*intercepts)
    table = lmm.shrinkage_table(*intercepts).sort_values("partial_pooling")
    rows = np.arange(12)
    expected = np.column_stack([table["no_pooling"], rows])
    np.testing.assert_allclose(line(figure, "no pooling"), expected)
    expected = np.column_stack([table["partial_pooling"], rows])
    np.testing.assert_allclose(line(figure, "REML BLUP"), expected)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == list(table["level"])
    complete = line(figure, "complete pooling")
    assert set(complete[:, 0]) == {table["complete_pooling"].iloc[0]}


def test_rows_show_the_posterior_below_each_level_with_its_interval(intercepts):
    figure = lmm.plot_shrinkage(*intercepts, prob=0.8)
    table = lmm.shrinkage_table(*intercepts, prob=0.8).sort_values("partial_pooling")
    (bars,) = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    ends = np.array(bars.get_segments())
    np.testing.assert_allclose(ends[:, :, 0], table[["lower", "upper"]])
    assert (ends[:, 0, 1] < np.arange(12)).all()
    assert "partial pooling, posterior mean and 80% ETI" in legend(figure)


def test_marks_are_the_same_in_every_figure(intercepts, slopes):
    for fits in (intercepts, slopes):
        marks = {a.get_label(): a for a in lmm.plot_shrinkage(*fits).axes[0].lines}
        no_pooling = marks["no pooling"]
        assert no_pooling.get_marker() == "o"
        assert no_pooling.get_markerfacecolor() == "none"
        assert marks["partial pooling, REML BLUP"].get_markerfacecolor() != "none"
        assert marks["complete pooling"].get_linestyle() == "--"


def test_axis_says_what_and_in_which_units(intercepts, slopes):
    (rows,) = lmm.plot_shrinkage(*intercepts).axes
    assert rows.get_xlabel() == "Intercept of each classroom  (units of score)"
    (plane,) = lmm.plot_shrinkage(*slopes).axes
    assert plane.get_ylabel() == "edu of each classroom  (score per edu)"
    design = slopes[0].model.design
    cell = coefficient_axis(design, "Worker", "Machine[B]")
    assert cell == "Machine[B] of each Worker  (units of score)"


def test_reml_alone_is_drawn_without_a_posterior(intercepts, slopes):
    for reml, _ in (intercepts, slopes):
        figure = lmm.plot_shrinkage(reml)
        assert not [text for text in legend(figure) if "posterior" in text]
        assert len(line(figure, "REML BLUP")) == 12


# --- plane ----------------------------------------------------------------------------


def test_plane_has_an_arrow_from_no_pooling_to_partial_pooling(slopes):
    figure = lmm.plot_shrinkage(*slopes)
    arrows = [p for p in figure.axes[0].patches if isinstance(p, FancyArrowPatch)]
    assert len(arrows) == 12
    table = lmm.shrinkage_table(*slopes)
    wide = table.pivot(index="level", columns="effect")
    for column, words in (("no_pooling", "no pooling"), ("partial_pooling", "REML")):
        expected = wide[column][["Intercept", "edu"]].to_numpy()
        np.testing.assert_allclose(line(figure, words), expected)
    center = line(figure, "centre of pooling")
    np.testing.assert_allclose(center, [slopes[0].beta])


def test_plane_has_the_posterior_ellipse_of_each_level(slopes):
    figure = lmm.plot_shrinkage(*slopes)
    ellipses = [p for p in figure.axes[0].patches if isinstance(p, Ellipse)]
    covariances = shrinkage_covariances(slopes[1], "classroom", ("Intercept", "edu"))
    for ellipse, covariance in zip(ellipses, covariances, strict=True):
        width, height, angle = ellipse_axes(covariance, ELLIPSE_PROB)
        assert (ellipse.width, ellipse.height) == (width, height)
        assert ellipse.angle == angle
    assert "posterior, 50% normal ellipse" in legend(figure)


def test_half_of_a_normal_lies_in_its_half_ellipse():
    covariance = np.array([[4.0, 1.5], [1.5, 1.0]])
    width, height, angle = ellipse_axes(covariance, 0.5)
    draws = np.random.default_rng(1).multivariate_normal([0, 0], covariance, 40_000)
    turn = np.radians(angle)
    along = draws @ [np.cos(turn), np.sin(turn)]
    across = draws @ [-np.sin(turn), np.cos(turn)]
    inside = (2 * along / width) ** 2 + (2 * across / height) ** 2 < 1.0
    # four standard errors of a share of 0.5 among 40,000
    assert inside.mean() == pytest.approx(0.5, abs=4 * 0.5 / 200)
    assert width >= height > 0.0


def test_one_effect_of_two_is_drawn_as_rows(slopes):
    figure = lmm.plot_shrinkage(*slopes, effects=("edu",))
    table = lmm.shrinkage_table(*slopes)
    slope = table[table["effect"] == "edu"].sort_values("partial_pooling")
    np.testing.assert_allclose(line(figure, "BLUP")[:, 0], slope["partial_pooling"])


# --- many levels ----------------------------------------------------------------------


def test_a_thousand_rows_stay_on_a_page_with_few_names(many):
    figure = lmm.plot_shrinkage(*many, effects=("Intercept",))
    assert figure.get_size_inches()[1] <= 10.0
    names = figure.axes[0].get_yticklabels()
    assert 20 <= len(names) <= 31
    assert "1,000 levels by estimate, one in 34 named" in figure.axes[0].get_ylabel()
    assert len(line(figure, "REML BLUP")) == N_MANY


def test_a_thousand_arrows_become_lines_with_one_typical_ellipse(many):
    figure = lmm.plot_shrinkage(*many)
    (axes,) = figure.axes
    assert not [p for p in axes.patches if isinstance(p, FancyArrowPatch)]
    assert len([p for p in axes.patches if isinstance(p, Ellipse)]) == 1
    assert not [t for t in axes.texts if t.get_text()]
    found = [text for text in legend(figure) if text.startswith("no pooling")]
    outside = int(found[0].split("(")[1].split(" outside")[0])
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    circles = line(figure, "no pooling")
    assert outside == ((circles < low) | (circles > high)).any(axis=1).sum() > 0
    filled = line(figure, "REML BLUP")
    assert ((filled >= low) & (filled <= high)).all()


def test_the_frame_holds_all_but_far_circles():
    near = np.array([0.0, 1.0, 2.0, 3.0, 4.0, np.nan])
    held = np.array([1.0, 2.5])
    low, high = limits(near, held)
    assert low < 0.0
    assert high > 4.0
    low, high = limits(np.append(near, 1e6), held)
    assert high < 10.0
    assert limits(np.array([np.nan]), np.array([2.0])) == (1.0, 3.0)


def test_few_levels_are_those_that_can_be_told_apart(intercepts):
    assert MANY_LEVELS >= 18  # sleepstudy's subjects each have a row and an ellipse
    figure = lmm.plot_shrinkage(*intercepts)
    assert len(figure.axes[0].get_yticklabels()) == 12


def test_levels_without_a_line_of_their_own_are_counted():
    data = lmm.simulate_classrooms(12, 20, seed=4).data.drop(index=range(1, 20))
    reml = lmm.Model("score ~ edu + (edu | classroom)", data).fit_reml()
    figure = lmm.plot_shrinkage(reml)
    assert "no pooling (1 not identified)" in legend(figure)
    arrows = [p for p in figure.axes[0].patches if isinstance(p, FancyArrowPatch)]
    assert len(arrows) == 11


# --- where it draws -------------------------------------------------------------------


def test_given_axes_are_drawn_on(intercepts):
    figure = Figure()
    axes = figure.subplots(1, 2)
    assert lmm.plot_shrinkage(*intercepts, ax=axes[1]) is figure
    assert not axes[0].lines
    assert axes[1].lines
    assert axes[1].get_legend() is not None


def test_nothing_global_is_touched(intercepts):
    from matplotlib import pyplot as plt

    before, settings = plt.get_fignums(), dict(mpl.rcParams)
    lmm.plot_shrinkage(*intercepts).savefig(io.BytesIO())
    assert plt.get_fignums() == before
    assert dict(mpl.rcParams) == settings


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"term": "clasroom"}, "Did you mean 'classroom'"),
        ({"effects": ("edd",)}, "'edd' is not among the effects of classroom"),
        ({"effects": ()}, "0 effects were asked for"),
    ],
)
def test_what_is_not_there_cannot_be_drawn(slopes, options, words):
    with pytest.raises(ModelError, match=words):
        lmm.plot_shrinkage(*slopes, **options)


def test_a_term_may_be_named_as_written(slopes):
    figure = lmm.plot_shrinkage(*slopes, term="(edu | classroom)")
    assert len(line(figure, "REML BLUP")) == 12


# --- ArviZ's figures ------------------------------------------------------------------


@pytest.fixture
def closing():
    """Close what arviz-plots leaves in pyplot's register."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def panels(collection) -> dict[str, object]:
    """Axes of each variable."""
    return {name: ax.item() for name, ax in collection.viz["plot"].data_vars.items()}


@pytest.mark.usefixtures("closing")
def test_trace_marks_reml_in_every_panel(slopes):
    reml, post = slopes
    drawn = panels(lmm.plot_trace(post, reml))
    estimates = reml.summary()["estimate"]
    assert list(drawn) == list(estimates.index)
    for label, ax in drawn.items():
        (marked,) = [a for a in ax.lines if a.get_linestyle() == "--"]
        assert set(marked.get_ydata()) == {estimates[label]}


@pytest.mark.usefixtures("closing")
def test_density_marks_reml_in_every_panel_and_names_its_interval(slopes):
    reml, post = slopes
    collection = lmm.plot_posterior(post, reml, prob=0.8, kind="hdi")
    estimates = reml.summary()["estimate"]
    for label, ax in panels(collection).items():
        (marked,) = [a for a in ax.lines if a.get_linestyle() == "--"]
        assert set(marked.get_xdata()) == {estimates[label]}
    caption = collection.viz["figure"].item().get_supxlabel()
    assert caption == "posterior: density, median and 80% HDI; dashed: REML estimate"


@pytest.mark.usefixtures("closing")
def test_forest_is_relative_to_reml_in_its_standard_errors(slopes):
    reml, post = slopes
    collection = lmm.plot_forest(post, reml)
    table = lmm.compare(reml, post)
    points = collection.viz["point_estimate"]
    for label, row in table.iterrows():
        (x, _) = points[label].item().get_offsets()[0]
        assert x == pytest.approx(row["difference_in_se"])
    axis = collection.viz["plot"].sel(column="forest").item()
    assert "minus REML estimate, in its standard errors" in axis.get_xlabel()
    assert "50% and 95% ETI" in axis.get_xlabel()
    assert "boundary" not in axis.get_xlabel()


@pytest.mark.usefixtures("closing")
def test_whole_variables_can_be_drawn_in_their_own_units(slopes):
    _, post = slopes
    collection = lmm.plot_forest(post, labels=["edu", "1|classroom"])
    points = collection.viz["point_estimate"]
    expected = float(post.idata["posterior"]["1|classroom"][..., 3].median())
    (x, _) = points["1|classroom[c03]"].item().get_offsets()[0]
    assert x == pytest.approx(expected)
    assert len(points.data_vars) == 13


@pytest.mark.usefixtures("closing")
def test_rank_has_a_panel_for_each_parameter(slopes):
    _, post = slopes
    assert len(panels(lmm.plot_rank(post))) == 6
    assert list(panels(lmm.plot_rank(post, labels=["sigma"]))) == ["sigma"]


def test_an_unknown_label_is_offered_the_nearest(slopes):
    with pytest.raises(ModelError, match="Did you mean 'sigma'"):
        lmm.plot_trace(slopes[1], labels=["sigmma"])


@pytest.mark.usefixtures("closing")
def test_panels_are_laid_out_without_overlap(slopes):
    reml, post = slopes
    figure = lmm.plot_posterior(post, reml).viz["figure"].item()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO())
    renderer = figure.canvas.get_renderer()
    boxes = [ax.get_tightbbox(renderer) for ax in figure.axes if ax.get_visible()]
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            assert not one.padded(-1.0).overlaps(other.padded(-1.0))


def marks(collection) -> int:
    """Points that a rank plot marks as suspicious."""
    axes = collection.viz["figure"].item().axes
    return sum(len(p.get_offsets()) for ax in axes for p in ax.collections)


def test_rank_marks_nothing_where_the_diagnosis_finds_no_disagreement(slopes):
    """One rule for both (issue 7): a panel was flagged beside "No problem found"."""
    _, post = slopes
    rng = np.random.default_rng(1)
    split = replace(post, idata=post.idata.copy())
    sigma = split.idata["posterior"]["sigma"].to_numpy()
    apart = np.sort(sigma, axis=None).reshape(sigma.shape)
    sigma[:] = rng.permuted(apart, axis=1)
    assert marks(lmm.plot_rank(split)) > 0
    agreeing = replace(split, status=replace(post.status, sampler="importance"))
    assert marks(lmm.plot_rank(agreeing)) == 0  # R-hat is not asked of weighted points
    assert not any(
        text.get_text().startswith("p=")
        for ax in panels(lmm.plot_rank(split)).values()
        for text in ax.texts
    )


def test_ranks_are_of_draws_that_are_about_independent():
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(4, 3000))
    slow = noise.copy()
    for i in range(1, 3000):
        slow[:, i] = 0.9 * slow[:, i - 1] + noise[:, i]
    tree = az.from_dict({"posterior": {"fast": noise}})
    assert _independent_step(tree) == 12  # 250 of 3000
    both = az.from_dict({"posterior": {"fast": noise, "slow": slow}})
    assert 12 < _independent_step(both) < 40  # 19 draws for each effective one


def test_a_long_trace_is_thinned_and_says_so(slopes, monkeypatch):
    _, post = slopes
    monkeypatch.setattr("bayeslmm.plots.diagnostics.MOST_DRAWN", 100)
    figure = lmm.plot_trace(post, labels=["sigma"])
    assert "one of 2 draws" in figure.viz["figure"].item().get_supxlabel()
    (ax,) = panels(figure).values()
    assert {len(line.get_xdata()) for line in ax.lines} == {100}


def test_figures_of_names_that_differ_in_signs_only_have_files_of_their_own():
    taken: set[str] = set()
    names = ["a.b", "a_b", "A_b", "$", "%", "..", "g" * 500, "g" * 500, "\ud800"]
    found = [file_name("shrinkage", name, taken=taken) for name in names]
    assert found[:5] == [
        "shrinkage_a_b",
        "shrinkage_a_b_2",
        "shrinkage_A_b_3",
        "shrinkage",
        "shrinkage_2",
    ]
    assert len({name.lower() for name in found}) == len(names)
    assert max(len(name.encode()) for name in found) <= 255 - len(".png")
