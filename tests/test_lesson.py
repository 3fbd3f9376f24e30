"""A lesson in Python: its equations, its words, what it refuses."""

import json
import os
import re

import numpy as np
import pandas as pd
import pytest
from lesson_cases import unequal_rows
from report_cases import Fits
from sampling import sample_unchecked, unchecked
from scipy import stats
from typer.testing import CliRunner

import bayeslmm as lmm
from bayeslmm.cli.app import app
from bayeslmm.comparison import lesson as numbers
from bayeslmm.comparison.lesson import find_lesson
from bayeslmm.comparison.lesson_words import in_sentence, lesson_words, noun_of
from bayeslmm.priors.density import form_logp
from bayeslmm.priors.scale import ScaleForm, scaled_form
from bayeslmm.reporting.lesson import as_json, lesson_html
from bayeslmm.reporting.lesson_numbers import LABELS, page_numbers

EXACT = 1e-10  # sums in another order


@pytest.fixture(scope="module")
def rows():
    return unequal_rows()


@pytest.fixture(scope="module")
def slopes(rows):
    return lmm.Model("y ~ x + (x | g)", rows, weights="w").fit_reml()


@pytest.fixture(scope="module")
def sampled(rows):
    model = lmm.Model("y ~ x + (1 | g)", rows)
    post = sample_unchecked(model, draws=100, chains=2, seed=1)
    return Fits(model, model.fit_reml(), post)


@pytest.mark.parametrize(
    "formula", ["y ~ x + (x | g)", "y ~ x + (1 | g) + (1 | item)", "y ~ 0 + (1 | g)"]
)
def test_rows_that_go_with_levels_are_all_rows(rows, formula):
    """Less the penalty of the other factors, which stays."""
    reml = lmm.Model(formula, rows, weights="w").fit_reml()
    own = find_lesson(reml, None, "g").equations
    w, p = len(own.shown.s), own.shown.p
    penalty = np.diag(np.arange(w) >= p).astype(float)
    size = np.abs(own.shown.S).max(initial=1.0)
    assert own.gone is not None
    left = own.shown.S - penalty
    np.testing.assert_allclose(own.gone.S.sum(axis=0), left, atol=EXACT * size)
    np.testing.assert_allclose(own.gone.s.sum(axis=0), own.shown.s, atol=EXACT * size)


def test_of_many_levels_some_are_shown(slopes, monkeypatch):
    """With fewest and most rows, and the one furthest off."""
    whole = find_lesson(slopes, None)
    monkeypatch.setattr(numbers, "MOST_LEVELS", 3)
    some = find_lesson(slopes, None)
    sizes = some.dial.block.sizes
    assert len(some.shown) == 3
    assert {int(sizes.argmin()), int(sizes.argmax())} <= {*some.shown.tolist()}
    furthest = np.nanargmax(np.abs(whole.own - np.nanmedian(whole.own)))
    assert furthest in some.shown
    assert whole.equations.left is None
    assert some.equations.left is not None


def test_the_first_slope_is_turned_unless_another_is_named(slopes):
    assert find_lesson(slopes, None).effect == "x"
    assert find_lesson(slopes, None, effect="Intercept").effect == "Intercept"
    with pytest.raises(lmm.ModelError, match="'z' is not among the effects of g"):
        find_lesson(slopes, None, effect="z")
    with pytest.raises(lmm.ModelError, match="'h' is not among the grouping factors"):
        find_lesson(slopes, None, term="h")


def test_marks_are_those_of_the_fits(sampled):
    found = find_lesson(sampled.reml, sampled.posterior)
    ml = sampled.model.fit_reml(method="ML")
    assert found.marks.reml == pytest.approx(float(sampled.reml.factors[0][0, 0]))
    assert found.marks.ml == pytest.approx(float(ml.factors[0][0, 0]))
    below = [
        sampled.posterior.probability("1|g_sigma", below=one)
        for one in (found.marks.lower, found.marks.median, found.marks.upper)
    ]
    np.testing.assert_allclose(below, [0.025, 0.5, 0.975], atol=2e-4)
    from_ml = find_lesson(ml, None)
    assert from_ml.marks.reml == pytest.approx(found.marks.reml, rel=1e-5)
    assert "held at the ML fit" in from_ml.held


def test_half_the_scale_is_the_posterior_under_that_prior(rows, sampled):
    """Against a model with that prior, by its own lattice."""
    found = find_lesson(sampled.reml, sampled.posterior)
    assert found.curve is not None
    form = found.curve.prior
    assert form is not None
    assert form.kind == "half_t"
    priors = {"set": "weak", "1|g": f"HalfStudentT({form.a}, {form.b / 8.0})"}
    other = lmm.Model("y ~ x + (1 | g)", rows, priors=priors)
    post = sample_unchecked(other, draws=100, chains=2, seed=1)
    ends = found.curve.quantiles(np.array([0.025, 0.5, 0.975]), 0.125)
    below = [post.probability("1|g_sigma", below=one) for one in ends]
    np.testing.assert_allclose(below, [0.025, 0.5, 0.975], atol=1e-3)


@pytest.mark.parametrize(
    ("form", "law"),
    [
        (ScaleForm("half_normal", 0.0, 2.0, 0.0), stats.halfnorm(0, 6)),
        (ScaleForm("half_t", 3.0, 2.0, 0.0), stats.t(3, 0, 6)),
        (ScaleForm("gamma", 2.5, 2.0, 0.0), stats.gamma(2.5, 0, 1.5)),
        (ScaleForm("inverse_gamma", 2.5, 2.0, 0.0), stats.invgamma(2.5, 0, 6)),
        (ScaleForm("log_normal", 0.5, 2.0, 0.0), stats.lognorm(2, 0, 3 * np.exp(0.5))),
    ],
)
def test_a_scaled_prior_is_that_of_a_multiple(form, law):
    """Three times as wide, up to a constant; the constants differ by that of 3."""
    values = np.array([0.3, 1.0, 4.0])
    wide = form_logp(scaled_form(form, 3.0), values)
    np.testing.assert_allclose(np.ptp(wide - law.logpdf(values)), 0.0, atol=1e-12)
    same = form_logp(form, values / 3.0) - np.log(3.0)
    np.testing.assert_allclose(wide, same, rtol=1e-12)


def test_words_have_the_numbers_of_the_fit(sampled):
    found = find_lesson(sampled.reml, sampled.posterior)
    words = lesson_words(found)
    assert "7 levels of g have 2 to 14 rows each." in words.lead[0]
    assert f"REML's SD is {found.marks.reml:.2f}" in words.lead[1]
    assert "Take g0, which has 2 rows, the fewest." in words.prior[0]
    partial = found.dial.estimates(found.marks.reml).coef[0, 0]
    assert f"says {partial:.2f}" in words.prior[1]
    assert f"{found.own[0]:.2f}, with a standard error of" in words.prior[1]
    assert len(words.questions) == 3
    assert np.median(found.dial.estimates(found.halfway).pooling) == pytest.approx(0.5)
    assert f"At {found.halfway:.3f}: there half" in words.questions[1].answer
    assert found.curve is not None
    half = found.curve.quantiles(np.array([0.5]), 0.5)[0]
    assert f"to {half:.2f}" in words.questions[2].answer


def test_without_a_posterior_the_page_says_so(slopes):
    page = lesson_html(find_lesson(slopes, None))
    assert "There is no posterior in this fit (REML alone)" in page
    assert 'id="by"' not in page
    assert '<span data-mark="median"' not in page


def test_without_rows_there_are_no_pictures(sampled, tmp_path):
    """An opened fit has sums, and all estimates; no level can be left out."""
    fit = lmm.Fit(sampled.model, sampled.reml, sampled.posterior)
    with unchecked():
        fit.save(tmp_path / "fit.lmm")
        opened = lmm.load(tmp_path / "fit.lmm")
        page = opened.lesson(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "The rows are not in memory" in page
    assert 'id="panels"' not in page
    assert 'id="drop"' not in page
    whole = find_lesson(fit.reml, fit.posterior)
    found = find_lesson(opened.reml, opened.posterior)
    np.testing.assert_allclose(found.equations.shown.f, whole.equations.shown.f)
    with unchecked():
        alone = lmm.lesson(opened.posterior, tmp_path / "alone.html")
    assert '<span data-mark="median"' in alone.read_text(encoding="utf-8")


def test_residuals_with_a_structure_leave_no_level_out(rows):
    data = rows.assign(time=rows.groupby("g").cumcount())
    reml = lmm.Model("y ~ x + (1 | g)", data, residual="ar1(time | g)").fit_reml()
    found = find_lesson(reml, None)
    assert found.equations.gone is None
    assert "residuals are correlated" in " ".join(lesson_words(found).notes)


def test_an_intercept_whose_prior_is_elsewhere_has_no_scale(rows):
    """Priors refer to the mean of x; the SD at x = 0 mixes three parameters."""
    model = lmm.Model("y ~ x + (x | g)", rows)
    post = sample_unchecked(model, draws=100, chains=2, seed=1)
    with unchecked():
        found = find_lesson(model.fit_reml(), post, effect="Intercept")
    assert found.curve is not None
    assert not found.curve.can_scale
    assert "no prior of its own" in lesson_words(found).scale[0]


def test_a_singular_fit_is_told(rows):
    flat = rows.assign(y=rows["x"] + np.tile([1.0, -1.0], len(rows))[: len(rows)])
    with pytest.warns(lmm.BayesLMMWarning):
        reml = lmm.Model("y ~ x + (1 | g)", flat).fit_reml()
    found = find_lesson(reml, None)
    assert found.marks.reml == 0.0
    assert found.scale == pytest.approx(found.dial.halfway)
    assert "Here REML chooses 0, the edge" in " ".join(lesson_words(found).lead)
    assert page_numbers(found)["dial"]["start"] == 0.0


@pytest.mark.parametrize(
    ("formula", "residual", "message"),
    [
        ("y ~ x", "cs(g)", "has no bar term"),
        ("y ~ 1 + homcs(0 + item | g)", None, "SD of several effects of g"),
    ],
)
def test_models_without_a_dial_of_one_effect(rows, formula, residual, message):
    reml = lmm.Model(formula, rows, residual=residual).fit_reml()
    with pytest.raises(lmm.ModelError, match=message):
        find_lesson(reml, None)


def test_other_families_are_told_what_to_use(rows, tmp_path):
    model = lmm.Model(
        "z ~ x + (1 | g)", rows.assign(z=1 * (rows["y"] > 8)), family="bernoulli"
    )
    with pytest.raises(lmm.ModelError, match=r"family 'bernoulli'.*post\.coef\(\)"):
        lmm.lesson(Fits(model), tmp_path / "page.html")
    with pytest.raises(lmm.ModelError, match="not a int"):
        lmm.lesson(3, tmp_path / "page.html")  # pyright: ignore[reportArgumentType]


def test_places_that_cannot_be_written(slopes, tmp_path, monkeypatch):
    with pytest.raises(lmm.OutputError, match="is a folder"):
        lmm.lesson(slopes, tmp_path)
    with pytest.raises(lmm.OutputError, match="There is no folder"):
        lmm.lesson(slopes, tmp_path / "none" / "page.html")

    def refused(*_args, **_options):
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr("pathlib.Path.write_text", refused)
    with pytest.raises(lmm.OutputError, match="could not be written"):
        lmm.lesson(slopes, tmp_path / "page.html")


def test_too_many_other_effects_are_refused(rows):
    rng, data = np.random.default_rng(1), rows.loc[np.repeat(rows.index, 30)]
    item = np.arange(len(data)) % 400
    data = data.assign(item=item, y=data["y"] + rng.normal(size=400)[item])
    reml = lmm.Model("y ~ 1 + (1 | g) + (1 | item)", data).fit_reml()
    with pytest.raises(lmm.ModelError, match="have 400 effects: a page"):
        find_lesson(reml, None, "g")


def test_json_cannot_end_its_script():
    text = as_json({"a": "</script><!-- & \u2028 \u2029 \" 'é"})
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text)["a"] == "</script><!-- & \u2028 \u2029 \" 'é"
    with pytest.raises(ValueError, match="JSON"):
        as_json([float("nan")])


def test_long_names_share_their_room():
    """Sixty of 10,000 letters are cut alike, their ends kept."""
    n = 60
    data = pd.DataFrame({"g": np.repeat(np.arange(n), 3), "y": np.arange(3.0 * n) % 7})
    data["g"] = [f"{j:03d}" + "x" * 10_000 + f"{j:03d}" for j in data["g"]]
    reml = lmm.Model("y ~ 1 + (1 | g)", data).fit_reml()
    full = page_numbers(find_lesson(reml, None))["full"]
    assert sum(map(len, full.values())) <= LABELS
    assert all(name[:3] == name[-3:] for name in full.values())
    assert len(lesson_html(find_lesson(reml, None)).encode()) < 500_000


def test_names_in_sentences():
    assert in_sentence("Subject") == "Subject"
    assert in_sentence("مدرسة") == "\u2068مدرسة\u2069"
    assert len(in_sentence("a" * 100)) == 23
    assert [noun_of(one) for one in ("Intercept", "x", "k[B]")] == [
        "intercept",
        "slope of x",
        "effect of k[B]",
    ]


def test_the_command_writes_a_page(rows, tmp_path):
    rows.assign(x=rows["x"].where(rows.index > 0)).to_csv(
        tmp_path / "rows.csv", index=False
    )
    page, data = tmp_path / "page.html", str(tmp_path / "rows.csv")
    command = ["lesson", data, "y ~ x + (x | g)", "--reml-only", "--out"]
    done = CliRunner().invoke(app, [*command, str(page), "--effect", "Intercept"])
    assert done.exit_code == 0, done.output
    dropped = "48 of 49 rows used; 1 dropped for missing values in x (1)"
    assert dropped in done.output
    text = page.read_text(encoding="utf-8")
    assert "How much does each g borrow" in text
    assert dropped in text
    done = CliRunner().invoke(app, [*command, str(tmp_path / "none" / "page.html")])
    assert done.exit_code == 3
    assert not (tmp_path / "none").exists()


def test_few_levels_left_are_said(tmp_path):
    """Far beyond the posterior of all levels the curve without one is a guess."""
    pages = {}
    for n in (4, 9):
        pupils = lmm.simulate_classrooms(n, 8, seed=2).data
        model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
        post = sample_unchecked(model, draws=50, chains=2, seed=1)
        page = lmm.lesson(Fits(model, model.fit_reml(), post), tmp_path / f"{n}.html")
        pages[n] = page.read_text(encoding="utf-8")
    assert "With only 3 levels left its far ends are a guess" in pages[4]
    assert "far ends are a guess" not in pages[9]
