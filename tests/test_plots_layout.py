"""Figures hold what they show: labels apart, nothing outside the canvas."""

from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from sampling import sample_unchecked

import bayeslmm as lmm
from bayeslmm.errors import DataError, ModelError
from bayeslmm.plots.labels import place_labels
from bayeslmm.plots.levels import LEEWAY, choose_levels
from bayeslmm.plots.names import level_name, wrapped, wrapped_words

FORMULA = "score ~ edu + (edu | classroom)"
LONG = "subj_corr[Intercept:condition[incongruent]]"
TOUCH = 0.5  # pixels by which boxes may touch


@pytest.fixture(
    scope="module",
    params=[  # all levels have a name; most are left out; between both; a crowd
        *(3, 60),
        *(pytest.param(levels, marks=pytest.mark.slow) for levels in (18, 1000)),
    ],
)
def fits(request):
    """REML and posterior of a number of classrooms."""
    pupils = 40 if request.param == 3 else 6  # fewer end at the boundary
    data = lmm.simulate_classrooms(request.param, pupils, seed=1).data
    model = lmm.Model(FORMULA, data)
    return model.fit_reml(), sample_unchecked(model, draws=50, chains=2, seed=1)


@pytest.fixture(scope="module")
def long_names():
    """REML and posterior where every name is long, and has a dollar sign."""
    data = lmm.simulate_classrooms(9, 12, seed=4).data
    education = "years_of_education_of_both_parents_at_the_first_visit"
    group = "classroom_within_school_within_district_of_the_county"
    score = "score_of_the_standardised_test_of_reading_and_spelling"
    data = data.rename(columns={"edu": education, "classroom": group, "score": score})
    data[group] = [f"the ${c}$ classroom of the school of {c}" for c in data[group]]
    model = lmm.Model(f"{score} ~ {education} + ({education} | {group})", data)
    return model.fit_reml(), sample_unchecked(model, draws=50, chains=2, seed=1)


def figures(reml, post) -> dict[str, Figure]:
    """Every figure of a pair of fits, laid out."""
    slope = reml.model.design.fixed_names[1:]
    found = {
        "plane": lmm.plot_shrinkage(reml, post),
        "plane_all": lmm.plot_shrinkage(reml, levels="all"),
        "rows": lmm.plot_shrinkage(reml, post, effects=slope),
        "ranef": lmm.plot_ranef(reml),
        "ranef_all": lmm.plot_ranef(post, levels="all"),
        "forest": lmm.plot_forest(post),
        "forest_reml": lmm.plot_forest(post, reml),
        "trace": lmm.plot_trace(post, reml).viz["figure"].item(),
        "posterior": lmm.plot_posterior(post, reml).viz["figure"].item(),
        "rank": lmm.plot_rank(post).viz["figure"].item(),
    }
    for figure in found.values():
        figure.draw_without_rendering()
    return found


def overlap(one, other) -> bool:
    """Whether two boxes overlap by more than a touch."""
    a, b = one.extents, other.extents
    return bool(
        min(a[2], b[2]) - max(a[0], b[0]) > TOUCH
        and min(a[3], b[3]) - max(a[1], b[1]) > TOUCH
    )


def box_of(artist):
    """Box of a text without the line that leads from it to its mark, or of a legend."""
    if isinstance(artist, Text):
        return Text.get_window_extent(artist)
    return artist.get_window_extent()


def texts_that_collide(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts on one another: names, ticks, titles, captions, the legend."""
    shown = []
    for ax in figure.axes:
        if not ax.get_visible() or not ax.axison:
            continue
        every = [ax, *ax.child_axes]
        shown += [t for t in ax.texts if t.get_text()]
        titles = [ax.title, ax._left_title]
        shown += [t for t in (*titles, ax.xaxis.label, ax.yaxis.label) if t.get_text()]
        for part in every:
            for axis in (part.xaxis, part.yaxis):
                low, high = sorted(axis.get_view_interval())
                for tick in axis.get_major_ticks():
                    if low <= tick.get_loc() <= high:
                        labels = (tick.label1, tick.label2)
                        shown += [t for t in labels if t.get_visible() and t.get_text()]
    shown += [t for t in figure.texts if t.get_text()]
    if figure._suptitle is not None:
        shown.append(figure._suptitle)
    shown += list(figure.legends)
    boxes = {id(t): (t, box_of(t)) for t in shown}
    return [
        tuple(str(getattr(t, "get_text", lambda: "legend")()) for t in (one, other))
        for (one, a), (other, b) in combinations(boxes.values(), 2)
        if overlap(a, b)
    ]


def outside(figure: Figure) -> float:
    """Pixels by which anything lies outside the canvas."""
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    out = max(-box.x0, -box.y0, box.x1 - width, box.y1 - height)
    return out * figure.dpi


@pytest.mark.usefixtures("user_speed")
def test_no_label_lies_on_another_and_nothing_outside(fits):
    for name, figure in figures(*fits).items():
        assert (name, texts_that_collide(figure)) == (name, [])
        assert outside(figure) <= TOUCH, name


@pytest.mark.usefixtures("user_speed")
def test_long_names_wrap_and_stay_inside(long_names):
    for name, figure in figures(*long_names).items():
        assert (name, texts_that_collide(figure)) == (name, [])
        assert outside(figure) <= TOUCH, name


# --- names ----------------------------------------------------------------------------


def test_a_long_name_is_broken_after_signs_and_loses_nothing():
    lines = wrapped(LONG).split("\n")
    assert lines == ["subj_corr[Intercept:", "condition[incongruent]]"]
    word = "x" * 60
    assert wrapped(word).replace("\n", "") == word
    assert max(len(part) for part in wrapped(word).split("\n")) <= 24
    assert wrapped("edu") == "edu"


def test_a_long_level_keeps_both_its_ends():
    assert level_name("school of the north 1") == "school of the north 1"
    cut = level_name("a school with a very long name, class 12")
    assert cut.startswith("a school wi")
    assert cut.endswith("e, class 12")
    assert len(cut) <= 24


def test_a_dollar_is_a_dollar():
    figure = Figure()
    cases = (
        (wrapped("cost$a$b"), "cost$a$b"),
        (level_name("$1$"), "$1$"),
        (wrapped_words("in $ or $", 9), "in $ or $"),
    )
    for text, meant in cases:
        drawn = figure.text(0, 0, text).get_window_extent()
        expected = figure.text(0, 0, meant, parse_math=False).get_window_extent()
        assert np.array_equal(drawn.extents, expected.extents)


# --- places of labels -----------------------------------------------------------------


def test_labels_of_one_point_take_places_apart_or_none():
    figure = Figure(figsize=(2, 2))
    ax = figure.subplots()
    points = np.full((80, 2), 0.5)
    left_out = place_labels(ax, points, [f"level {i}" for i in range(80)], points[:1])
    boxes = [box_of(t) for t in ax.texts]
    assert left_out == 80 - len(boxes) > 0
    assert len(boxes) > 8
    assert not any(overlap(a, b) for a, b in combinations(boxes, 2))
    frame = ax.get_window_extent()
    assert all(frame.contains(*corner) for box in boxes for corner in box.corners())
    assert ax.texts[0].get_text() == "level 0"  # the first has the first choice


# --- choice of levels -----------------------------------------------------------------


def chosen(names, asked, most=5, **reasons):
    """Names and note of the levels chosen."""
    arrays = {k: np.asarray(v, float) for k, v in reasons.items()}
    found = choose_levels(names, asked, "group", arrays, most=most)
    return [names[i] for i in found.positions], found.note


def test_levels_are_taken_from_each_reason_in_turn():
    names = [f"l{i}" for i in range(20)]
    far = np.arange(20.0)
    near = np.where(far == 4, np.nan, -far)
    taken, note = chosen(names, 4, far=far, near=near)
    assert taken == ["l0", "l1", "l18", "l19"]
    assert note == (
        "4 of 20 levels: the far and the near; 16 left out (levels='all' has them)"
    )
    assert "l4" not in chosen(names, 18, near=near, far=np.zeros(20))[0][:4]


def test_what_is_the_same_for_all_levels_is_no_reason():
    names = [f"l{i}" for i in range(20)]
    taken, note = chosen(names, 2, rows=np.ones(20), far=np.arange(20))
    assert taken == ["l18", "l19"]
    assert "the far;" in note


def test_few_levels_are_all_drawn_and_nothing_is_said():
    names = [f"l{i}" for i in range(int(5 * LEEWAY))]
    assert chosen(names, None, far=np.arange(6)) == (names, "")
    assert len(chosen([*names, "x"], None, far=np.arange(7))[0]) == 5
    assert chosen(names, "all", far=np.arange(6)) == (names, "")
    assert chosen(names, 99, far=np.arange(6)) == (names, "")


def test_named_levels_may_be_numbers_and_keep_no_order():
    names = ["308", "309", "310"]
    assert chosen(names, [310, "308"], far=[1, 2, 3]) == (
        ["308", "310"],
        "2 of 3 levels, as asked",
    )
    assert chosen(names, pd.Series([309]), far=[1, 2, 3])[0] == ["309"]


# --- fits -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unequal():
    """REML and posterior of 8 classrooms of 2 to 9 pupils, with a second predictor."""
    data = lmm.simulate_classrooms(8, 9, seed=4).data
    number = data.groupby("classroom", observed=True).cumcount()
    code = data["classroom"].astype("category").cat.codes
    data = data[number <= 1 + code].reset_index(drop=True)
    data["age"] = np.random.default_rng(1).normal(size=len(data))
    data["sex"] = np.where(np.arange(len(data)) % 3 == 0, "f", "m")
    model = lmm.Model("score ~ edu + age + sex + (edu | classroom)", data)
    return model.fit_reml(), sample_unchecked(model, draws=200, chains=2, seed=1), data


def lines_of(ax) -> dict[str, np.ndarray]:
    """Lines of a panel by their label, shape (points, 2)."""
    return {str(a.get_label()): np.array(a.get_xydata()) for a in ax.lines}


def test_fits_have_a_panel_for_each_level_fewest_rows_first(unequal):
    figure = lmm.plot_fits(*unequal[:2])
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == [f"c{i:02d}  (n = {i + 2})" for i in range(8)]


def test_lines_are_the_coefficients_of_the_table_with_the_rest_at_its_mean(unequal):
    reml, post, data = unequal
    figure = lmm.plot_fits(reml, post)
    table = lmm.shrinkage_table(reml).set_index(["level", "effect"])
    fixed = reml.fixef()["estimate"]
    rows = data[data["classroom"] == "c05"]
    shift = fixed["age"] * rows["age"].mean()
    shift += fixed["sex[m]"] * (rows["sex"] == "m").mean()
    drawn = lines_of(figure.axes[5])
    for label, column in (
        ("no pooling, own", "no_pooling"),
        ("complete pooling", "complete_pooling"),
        ("partial pooling, REML", "partial_pooling"),
    ):
        coef = table[column]["c05"]
        x, y = drawn[label].T
        np.testing.assert_allclose(y, coef["Intercept"] + shift + coef["edu"] * x)
    (points,) = [c for c in figure.axes[5].collections if len(c.get_offsets()) > 1]
    y = points.get_offsets()[:, 1]
    line = table["partial_pooling"]["c05"]
    expected = line["Intercept"] + shift + line["edu"] * rows["edu"]
    used = (data["classroom"] == "c05").to_numpy()
    np.testing.assert_allclose(y, expected + reml.residuals()[used])
    assert "less other columns" in figure.get_supylabel().replace("\n", " ")


def test_points_are_the_response_where_nothing_else_varies(fits):
    reml, _ = fits
    figure = lmm.plot_fits(reml, levels=3)
    assert figure.get_supylabel() == "score"
    y = np.concatenate([ax.collections[-1].get_offsets()[:, 1] for ax in figure.axes])
    assert set(np.round(y, 8)) <= set(np.round(reml.model.design.rows.y, 8))


def test_the_band_is_the_posterior_of_the_line(unequal):
    reml, post, data = unequal
    figure = lmm.plot_fits(reml, post, prob=0.8)
    band = figure.axes[5].collections[0].get_paths()[0].vertices
    rows = data[data["classroom"] == "c05"]
    new = pd.DataFrame({"edu": [4.0], "classroom": ["c05"], "age": [0.0], "sex": ["f"]})
    draws = post.predict_draws(new, kind="mean")[..., 0]
    for name, mean in (
        ("age", rows["age"].mean()),
        ("sex[m]", rows["sex"].eq("m").mean()),
    ):
        draws = draws + post.draws(name) * mean
    at = np.sort(band[np.isclose(band[:, 0], 4.0)][:, 1])
    np.testing.assert_allclose(at[[0, -1]], np.quantile(draws, [0.1, 0.9]), rtol=1e-6)


def test_a_factor_or_a_fixed_predictor_can_be_on_the_axis(unequal):
    reml, _, _ = unequal
    figure = lmm.plot_fits(reml, predictor="sex", levels=["c07"])
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["f", "m"]
    x, y = lines_of(figure.axes[0])["partial pooling, REML"].T
    assert list(x) == [0.0, 1.0]
    assert np.diff(y) == pytest.approx(reml.fixef()["estimate"]["sex[m]"])
    figure = lmm.plot_fits(reml, predictor="age", levels=1)
    x, y = lines_of(figure.axes[0])["partial pooling, REML"].T
    slope = np.diff(y) / np.diff(x)
    np.testing.assert_allclose(slope, reml.fixef()["estimate"]["age"])


def test_a_curve_of_the_predictor_is_drawn_as_a_curve(unequal):
    data = unequal[2]
    reml = lmm.Model("score ~ edu + I(edu**2) + (1 | classroom)", data).fit_reml()
    figure = lmm.plot_fits(reml, levels=["c07"])
    x, y = lines_of(figure.axes[0])["partial pooling, REML"].T
    curve = np.polynomial.Polynomial.fit(x, y, 2).convert().coef
    np.testing.assert_allclose(curve[1:], reml.fixef()["estimate"].iloc[1:], rtol=1e-6)


def test_without_a_predictor_rows_are_in_their_order(unequal):
    reml = lmm.Model("score ~ 1 + (1 | classroom)", unequal[2]).fit_reml()
    figure = lmm.plot_fits(reml, levels=["c03"])
    assert figure.axes[0].get_xlabel() == "row in its level"
    assert list(figure.axes[0].collections[0].get_offsets()[:, 0]) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"predictor": "edd"}, "predictor='edd' is no predictor.*Did you mean 'edu'"),
        ({"predictor": "score"}, "is no predictor"),
        ({"term": "clasroom"}, "Did you mean 'classroom'"),
        ({"levels": ["c7"]}, "no level 'c7'.*'c07'"),
        ({"prob": 1.5}, "prob must lie between 0 and 1"),
    ],
)
def test_fits_that_are_not_there_cannot_be_drawn(unequal, options, words):
    with pytest.raises(ModelError, match=words):
        lmm.plot_fits(*unequal[:2], **options)


def test_rows_that_are_not_in_memory_cannot_be_drawn(unequal):
    data = unequal[2]
    reml = lmm.Model(FORMULA, [data[:20], data[20:]]).fit_reml()
    with pytest.raises(DataError, match="not in memory: the rows of each level"):
        lmm.plot_fits(reml)


# --- random effects -------------------------------------------------------------------


def test_random_effects_are_sorted_each_by_itself_with_their_intervals(unequal):
    reml, post, _ = unequal
    for fit, estimate in ((reml, "estimate"), (post, "mean")):
        figure = lmm.plot_ranef(fit, prob=0.8)
        table = fit.ranef() if fit is reml else fit.ranef(0.8)
        assert [ax.get_title() for ax in figure.axes] == ["Intercept", "edu"]
        for ax in figure.axes:
            own = table[table["effect"] == ax.get_title()].sort_values(estimate)
            dots = next(a for a in ax.lines if a.get_marker() == "o")
            np.testing.assert_allclose(dots.get_xdata(), own[estimate])
            assert all(low < high for low, high in pairwise(dots.get_xdata()))
            assert [t.get_text() for t in ax.get_yticklabels()] == list(own["level"])
            ends = np.array(ax.collections[0].get_segments())[:, :, 0]
            if fit is post:
                np.testing.assert_allclose(ends, own[["lower", "upper"]])
            else:
                half = 1.2815515655446004 * own["sd"]
                np.testing.assert_allclose(np.diff(ends)[:, 0] / 2, half)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"effects": ["edd"]}, "'edd' is not among the effects of classroom"),
        ({"effects": []}, "effects must be a list of names"),
        ({"levels": ["c7"]}, "no level 'c7'"),
        ({"prob": 0.0}, "prob must lie between 0 and 1"),
    ],
)
def test_random_effects_that_are_not_there_cannot_be_drawn(unequal, options, words):
    with pytest.raises(ModelError, match=words):
        lmm.plot_ranef(unequal[0], **options)
