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
from bayeslmm.comparison import shrinkage_covariances
from bayeslmm.errors import ModelError
from bayeslmm.plots.plane import ELLIPSE_PROB, ellipse_axes
from bayeslmm.plots.ranks import _independent_step, rank_band
from bayeslmm.plots.style import (
    AREAS,
    MANY_LEVELS,
    areas,
    coefficient_axis,
    limits,
    pulled,
)
from bayeslmm.reporting.figures import file_name

N_MANY = 1000
EXACT = 1e-10  # rounding of shares


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
    """Positions (x, y) of the line or marks whose label holds some words."""
    ax = figure.axes[0]
    (found,) = [a for a in ax.get_children() if words in str(a.get_label())]
    xy = found.get_offsets() if hasattr(found, "get_offsets") else found.get_xydata()
    return np.ma.filled(xy, np.nan)


def legend(figure: Figure) -> list[str]:
    """Texts of the legend of a figure."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


# --- rows -----------------------------------------------------------------------------


def test_rows_show_the_table_ordered_by_partial_pooling(intercepts):
    figure = lmm.plot_shrinkage(*intercepts)
    table = lmm.shrinkage_table(*intercepts, at="mean").sort_values("partial_pooling")
    rows = np.arange(12)
    expected = np.column_stack([table["no_pooling"], rows])
    np.testing.assert_allclose(line(figure, "no pooling"), expected)
    expected = np.column_stack([table["partial_pooling"], rows])
    np.testing.assert_allclose(line(figure, "REML BLUP"), expected)
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(table["level"])
    assert set(line(figure, "centre")[:, 0]) == {table["center"].iloc[0]}
    (right,) = ax.child_axes
    said = [label.get_text() for label in right.get_yticklabels()]
    share = 100 * table["shrinkage"]  # of one effect, the share of the way it went
    assert said == [f"n = 8, pulled {pull:.0f}%" for pull in share]
    arrows = [p for p in ax.patches if isinstance(p, FancyArrowPatch)]
    ends = np.array([np.array(a._posA_posB)[:, 0] for a in arrows])
    np.testing.assert_allclose(ends, table[["no_pooling", "partial_pooling"]])


def test_the_area_of_a_mark_is_that_of_its_data():
    sizes = areas(np.array([1, 40, 80]))
    assert sizes[2] == 2 * sizes[1] > sizes[0] == AREAS[0]


@pytest.mark.parametrize(
    ("own", "pooled", "words"),
    [
        (4.0, 3.0, "n = 5, pulled 50%"),
        (4.0, 1.0, "n = 5, past the centre"),
        (4.0, 4.5, "n = 5, away from it"),
        (np.nan, 2.5, "n = 5, no own estimate"),
        (2.0, 2.0, "n = 5, pulled 0%"),
    ],
)
def test_the_pull_in_words_is_what_the_arrow_shows(own, pooled, words):
    assert pulled(5, own, pooled, 2.0) == words


def test_rows_show_the_posterior_below_each_level_with_its_interval(intercepts):
    figure = lmm.plot_shrinkage(*intercepts, prob=0.8)
    table = lmm.shrinkage_table(*intercepts, prob=0.8, at="mean")
    table = table.sort_values("partial_pooling")
    (bars,) = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    ends = np.array(bars.get_segments())
    np.testing.assert_allclose(ends[:, :, 0], table[["lower", "upper"]])
    assert (ends[:, 0, 1] < np.arange(12)).all()
    assert "partial pooling, posterior mean and 80% ETI" in legend(figure)


def test_marks_are_the_same_in_every_figure(intercepts, slopes):
    for fits in (intercepts, slopes):
        ax = lmm.plot_shrinkage(*fits).axes[0]
        marks = {str(a.get_label()).split(";")[0]: a for a in ax.get_children()}
        assert len(marks["no pooling"].get_facecolor()) == 0
        assert len(marks["partial pooling, REML BLUP"].get_facecolor()) == 1
        assert marks["centre of pooling (fixed effect)"].get_linestyle() == "--"


def test_axis_says_what_where_and_in_which_units(intercepts, slopes):
    design = slopes[0].model.design
    mean = design.rows.X[:, 1].mean()
    (rows,) = lmm.plot_shrinkage(*intercepts).axes
    at = f"{intercepts[0].model.design.rows.X[:, 1].mean():.3g}"
    said = rows.get_xlabel().replace("\n", " ")
    assert said == (
        f"Intercept of each classroom where edu = {at}, its mean (units of score)"
    )
    (plane,) = lmm.plot_shrinkage(*slopes, at="zero").axes
    assert plane.get_ylabel() == "edu of each classroom (score per edu)"
    assert "where edu = 0 (units" in plane.get_xlabel().replace("\n", " ")
    (plane,) = lmm.plot_shrinkage(*slopes).axes
    assert f"edu = {mean:.3g}, its mean" in plane.get_xlabel().replace("\n", " ")
    cell = coefficient_axis(design, "Worker", "Machine[B]", "zero")
    assert cell == "Machine[B] of each Worker (units of score)"


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
    table = lmm.shrinkage_table(*slopes, at="mean")
    wide = table.pivot(index="level", columns="effect")
    for column, words in (("no_pooling", "no pooling"), ("partial_pooling", "REML")):
        expected = wide[column][["Intercept", "edu"]].to_numpy()
        np.testing.assert_allclose(line(figure, words), expected)
    across, up = line(figure, "centre of pooling")[0, 0], slopes[0].beta
    mean = slopes[0].model.design.rows.X[:, 1].mean()
    assert across == pytest.approx(up[0] + mean * up[1])


def test_plane_has_the_posterior_ellipse_of_each_level(slopes):
    figure = lmm.plot_shrinkage(*slopes)
    ellipses = [p for p in figure.axes[0].patches if isinstance(p, Ellipse)]
    covariances = shrinkage_covariances(
        slopes[1], "classroom", ("Intercept", "edu"), at="mean"
    )
    for ellipse, covariance in zip(ellipses, covariances, strict=True):
        width, height, angle = ellipse_axes(covariance, ELLIPSE_PROB)
        assert (ellipse.width, ellipse.height) == (width, height)
        assert ellipse.angle == angle
    assert "posterior mean in its 50% normal ellipse" in legend(figure)
    middles = [ellipse.center for ellipse in ellipses]
    np.testing.assert_allclose(line(figure, "posterior mean"), middles)


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


def test_a_thousand_rows_are_the_25_that_tell_the_most_and_the_rest_is_counted(many):
    figure = lmm.plot_shrinkage(*many, effects=("Intercept",))
    assert "25 of 1,000 levels" in figure.get_suptitle()
    assert "975 left out (levels='all' has" in figure.get_suptitle().replace("\n", " ")
    assert len(line(figure, "REML BLUP")) == 25
    table = lmm.shrinkage_table(*many, at="mean")
    table = table[table["effect"] == "Intercept"].set_index("level")
    far = (table["partial_pooling"] - table["center"]).abs()
    moved = (table["partial_pooling"] - table["no_pooling"]).abs()
    names = {label.get_text() for label in figure.axes[0].get_yticklabels()}
    assert names >= set(far.nlargest(8).index) | set(moved.nlargest(8).index)


def test_all_of_a_thousand_rows_stay_on_a_page_with_few_names(many):
    figure = lmm.plot_shrinkage(*many, effects=("Intercept",), levels="all")
    assert figure.get_size_inches()[1] <= 10.0
    assert 20 <= len(figure.axes[0].get_yticklabels()) <= 60
    assert "1,000 levels by estimate, one in" in figure.axes[0].get_ylabel()
    assert len(line(figure, "REML BLUP")) == N_MANY


def test_of_a_thousand_arrows_twelve_are_told_and_the_others_faint(many):
    figure = lmm.plot_shrinkage(*many)
    (axes,) = figure.axes
    for kind in (FancyArrowPatch, Ellipse):
        assert len([p for p in axes.patches if isinstance(p, kind)]) == 12
    assert len([t for t in axes.texts if t.get_text()]) == 12
    assert "the other 988 levels" in legend(figure)
    found = [text for text in legend(figure) if text.startswith("no pooling")]
    outside = int(found[0].split("(")[1].split(" outside")[0])
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    table = lmm.shrinkage_table(*many, at="mean")
    wide = table.pivot(index="level", columns="effect")[["no_pooling"]].to_numpy()
    assert outside == ((wide < low) | (wide > high)).any(axis=1).sum() > 0
    for words in ("REML BLUP", "the other"):
        filled = line(figure, words)
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
    assert lmm.plot_shrinkage(*intercepts, ax=axes[1]) is None  # its owner shows it
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
        ({"effects": ()}, "effects must be a list of names"),
        ({"levels": ["c3"]}, "classroom has no level 'c3'.*Did you mean 'c03'"),
        ({"levels": "c03"}, r"write levels=\['c03'\]"),
        ({"levels": 0}, "asks for no level"),
        ({"levels": True}, "must be a number, 'all', or a list"),
        ({"levels": []}, "names no level"),
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


def forest_medians(figure: Figure) -> dict[str, float]:
    """Median of each name of a forest, which may be wrapped."""
    found = {}
    for ax in figure.axes:
        names = [label.get_text().replace("\n", "") for label in ax.get_yticklabels()]
        points = next(a for a in ax.lines if a.get_marker() == "o")
        found |= dict(zip(names, points.get_xdata(), strict=True))
    return found


def test_forest_is_relative_to_reml_in_its_standard_errors(slopes):
    reml, post = slopes
    figure = lmm.plot_forest(post, reml)
    table = lmm.compare(reml, post)
    assert forest_medians(figure) == pytest.approx(dict(table["difference_in_se"]))
    (axes,) = figure.axes
    said = axes.get_xlabel().split("\n")
    assert said == ["posterior - REML, in REML SEs", "(median, 50% and 95% ETI)"]


def test_forest_without_reml_has_an_axis_for_each_kind_of_parameter(slopes):
    _, post = slopes
    figure = lmm.plot_forest(post)
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "fixed effects",
        "standard deviations",
        "correlations",
    ]
    assert forest_medians(figure) == pytest.approx(dict(post.summary()["median"]))


def test_whole_variables_can_be_drawn_in_their_own_units(slopes):
    _, post = slopes
    found = forest_medians(lmm.plot_forest(post, labels=["edu", "1|classroom"]))
    expected = float(post.idata["posterior"]["1|classroom"][..., 3].median())
    assert found["1|classroom[c03]"] == pytest.approx(expected)
    assert len(found) == 13


def test_a_forest_of_nothing_that_reml_estimates_is_refused(slopes):
    reml, post = slopes
    with pytest.raises(ModelError, match="None of the labels asked for has a REML"):
        lmm.plot_forest(post, reml, labels=["1|classroom"])


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
    boxes = [ax.get_tightbbox() for ax in figure.axes if ax.get_visible()]
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            assert not one.padded(-1.0).overlaps(other.padded(-1.0))


@pytest.mark.usefixtures("closing")
def test_chains_that_disagree_leave_the_band_and_others_do_not(slopes):
    """One band for all panels (issue 7): one was flagged beside "No problem found"."""
    _, post = slopes
    rng = np.random.default_rng(1)
    split = replace(post, idata=post.idata.copy(deep=True))
    sigma = split.idata["posterior"]["sigma"].to_numpy()
    apart = np.sort(sigma, axis=None).reshape(sigma.shape)
    sigma[:] = rng.permuted(apart, axis=1)
    drawn = panels(lmm.plot_rank(split))
    out = {name: leaves_the_band(ax) for name, ax in drawn.items()}
    assert out["sigma"]
    assert not any(out[name] for name in ("Intercept", "edu"))
    assert not any(ax.texts for ax in drawn.values())  # no p=


def leaves_the_band(ax) -> bool:
    """Whether any line of a panel leaves the grey band by more than a step."""
    (band,) = ax.collections
    height = np.abs(band.get_paths()[0].vertices[:, 1]).max()
    return max(np.abs(a.get_ydata()).max() for a in ax.lines) > height


def test_independent_chains_leave_the_band_as_often_as_it_says():
    n_draws, n_chains, runs, prob = 100, 4, 1000, 0.9
    x, lower, upper = rank_band(n_draws, n_chains, prob)
    at = np.arange(n_chains, n_draws * n_chains, n_chains)
    np.testing.assert_allclose(x[1:-1], at / (n_draws * n_chains))
    rng, left = np.random.default_rng(2), 0
    for _ in range(runs):
        order = rng.permutation(np.repeat(np.arange(n_chains), n_draws))
        counts = np.cumsum(order == np.arange(n_chains)[:, None], axis=1)[:, at - 1]
        ecdf = counts / n_draws - x[1:-1]
        out = (ecdf < lower[1:-1] - EXACT) | (ecdf > upper[1:-1] + EXACT)
        left += out.any()
    # four standard errors of a share of 0.1 among 1000 runs
    assert left / runs == pytest.approx(1 - prob, abs=4 * np.sqrt(0.09 / runs))


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
