"""The lesson in Chromium: its numbers are Python's, its labels do nothing."""

import json
import re
import shutil

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from lesson_cases import (
    columns_of,
    covariance_at,
    dense_estimates,
    rows_without,
    unequal_rows,
    with_usual_level,
)
from playwright.sync_api import sync_playwright
from report_cases import Fits
from sampling import sample_unchecked, unchecked
from scipy.special import logsumexp, ndtri

import bayeslmm as lmm
from bayeslmm.comparison import lesson as numbers, lesson_left_out
from bayeslmm.comparison.lesson import find_lesson
from bayeslmm.posterior.left_out import leaving
from bayeslmm.posterior.visits import log_target
from bayeslmm.posterior.weighted import weighted_points
from bayeslmm.priors.density import form_logp
from bayeslmm.priors.scale import scaled_form
from bayeslmm.reporting.lesson import lesson_html

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SAME = 1e-8  # the same algebra in two languages; the issue asks for 1e-6
DENSE = 1e-6  # by inverses of n x n matrices
STEPS = (0, 1, 250, 500, 750, 900)  # of the slider; beyond digits are lost by both
Z = ndtri(0.975)
READ = """id => [...document.getElementById(id).tBodies[0].rows].map(row =>
  [...row.cells].map(cell => Number(cell.querySelector('data')?.value ?? NaN)))"""
NAMES = """() => [...document.getElementById('levels-numbers').tBodies[0].rows].map(
  row => row.cells[0].textContent)"""
HOSTILE = (
    "</script><script>document.title = 'ran'</script>",
    "<img src=x onerror=\"document.title='ran'\">",
    "a\u2028b & 'c' \"d\"",
    "👩‍👩‍👧 Łódź",
    "مدرسة ١",
    "l" * 10_000,
    "javascript:alert(1)",
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="#13: there is no Chromium")


class Page:
    """A lesson in the browser: what a reader does, and what is there to be read."""

    def __init__(self, browser, path, **options):
        self.told = []
        context = browser.new_context(**{"offline": True, **options})
        self.page = context.new_page()
        self.page.on("console", lambda one: self.told.append(one.text))
        self.page.on("pageerror", lambda one: self.told.append(str(one)))
        self.page.on("request", lambda one: self.told.append(one.url))
        self.page.goto(path.as_uri())
        assert self.told == [path.as_uri()]  # the page itself
        self.told.clear()
        self.page.eval_on_selector_all(
            "details.numbers", "all => all.forEach(one => { one.open = true; })"
        )

    def set(self, name, value):
        """A slider, a number or a choice, as if it were moved."""
        self.page.evaluate(
            """([id, value]) => {
              const own = document.getElementById(id);
              if (own.type === 'checkbox') own.checked = value; else own.value = value;
              own.dispatchEvent(new Event('input'));
              own.dispatchEvent(new Event('change'));
            }""",
            [name, value],
        )

    def levels(self, labels):
        """Own, pooled, lower, upper, pooling of the levels in this order."""
        rows = dict(zip(self.page.evaluate(NAMES), self.table("levels"), strict=True))
        return np.array([rows[label] for label in labels])[:, 2:]

    def table(self, name):
        """Numbers of a table, every digit."""
        return np.array(self.page.evaluate(READ, f"{name}-numbers"), float)

    def said(self, name):
        """Numbers of a sentence, every digit."""
        find = f"#{name} data"
        values = self.page.eval_on_selector_all(find, "all => all.map(o => o.value)")
        return np.array(values, float)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu"]
        own = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield own
        own.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lessons")


@pytest.fixture(scope="module")
def rows():
    return unequal_rows()


def made(fit, folder, browser, name, **options):
    """A lesson of a fit, and its page."""
    reml = getattr(fit, "reml", fit)
    post = getattr(fit, "posterior", None)
    with unchecked():
        found = find_lesson(reml, post, **options)
        path = folder / f"{name}.html"
        path.write_text(lesson_html(found), encoding="utf-8")
        return found, Page(browser, path)


@pytest.fixture(scope="module")
def slopes(rows, folder, browser):
    """Intercepts and slopes, precision weights."""
    model = lmm.Model("y ~ x + (x | g)", rows, weights="w")
    return made(model.fit_reml(), folder, browser, "slopes")


@pytest.fixture(scope="module")
def crossed(rows, folder, browser):
    """Intercepts of two factors that cross."""
    model = lmm.Model("y ~ x + (1 | g) + (1 | item)", rows)
    return made(model.fit_reml(), folder, browser, "crossed")


@pytest.fixture(scope="module")
def sampled(rows, folder, browser):
    """With a posterior."""
    model = lmm.Model("y ~ x + (1 | g)", rows)
    post = sample_unchecked(model, draws=100, chains=2, seed=1)
    fit = Fits(model, model.fit_reml(), post)
    return made(fit, folder, browser, "sampled")


def sd_at(lesson, step):
    """The SD at a step of the slider."""
    return lesson.scale * step / (1000 - step)


def expected(lesson, sd):
    """What the table of the levels should have, of `Dial.estimates`."""
    found, at = lesson.dial.estimates(sd), lesson.dial.turned[0]
    coef, reach = found.coef[:, at], Z * found.coef_se[:, at]
    return np.column_stack([lesson.own, coef, coef - reach, coef + reach]), found


@pytest.mark.parametrize("case", ["slopes", "crossed", "sampled"])
@pytest.mark.parametrize("step", STEPS)
def test_every_step_is_the_dial(case, step, request):
    lesson, page = request.getfixturevalue(case)
    page.set("sd", step)
    want, found = expected(lesson, sd_at(lesson, step))
    got = page.levels(lesson.dial.block.levels)
    np.testing.assert_allclose(got[:, :4], want, rtol=SAME)
    pooling = found.pooling[:, lesson.dial.turned[0]]
    np.testing.assert_allclose(got[:, 4], pooling, rtol=SAME)
    fixed = np.column_stack(
        [found.beta, found.beta - Z * found.beta_se, found.beta + Z * found.beta_se]
    )
    np.testing.assert_allclose(page.table("fixed")[:, 1:], fixed, rtol=SAME)
    assert page.told == []


def test_the_sentences_have_the_numbers_of_the_dial(slopes):
    lesson, page = slopes
    page.set("sd", 400)
    sd, at = sd_at(lesson, 400), lesson.dial.turned[0]
    found = lesson.dial.estimates(sd)
    center = (lesson.dial.block.carried @ found.beta)[at]
    np.testing.assert_allclose(page.said("sd-now"), [sd], rtol=SAME)
    np.testing.assert_allclose(page.said("center-now"), [center], rtol=SAME)
    pooled = np.median(found.pooling[:, at])
    np.testing.assert_allclose(page.said("pooling-now"), [pooled], rtol=SAME)
    ridge = (lesson.dial.reml.sigma / sd) ** 2
    np.testing.assert_allclose(page.said("ridge-now"), [ridge], rtol=SAME)


@pytest.mark.parametrize("case", ["slopes", "crossed", "sampled"])
@pytest.mark.parametrize("step", [250, 750])
def test_a_level_that_is_left_out_is_as_if_its_rows_were_not_there(case, step, request):
    lesson, page = request.getfixturevalue(case)
    own, sd, gone = columns_of(lesson), sd_at(lesson, step), 3
    left = rows_without(own, gone)
    beta, coef, se, pooling = dense_estimates(lesson, sd, left)
    page.set("sd", step)
    page.set("level", str(gone))
    page.set("drop", True)
    try:
        got = page.levels(lesson.dial.block.levels)[:, 1:]
        want = np.column_stack([coef, coef - Z * se, coef + Z * se, pooling])
        np.testing.assert_allclose(got, want, rtol=DENSE)
        np.testing.assert_allclose(page.table("fixed")[:, 1], beta, rtol=DENSE)
        assert "is left out" in page.page.inner_text("#level-said")
    finally:
        page.set("drop", False)


@pytest.mark.parametrize("case", ["slopes", "crossed", "sampled"])
def test_a_new_level_lands_where_its_rows_would_take_it(case, request):
    lesson, page = request.getfixturevalue(case)
    page.set("sd", 600)
    page.set("new-value", "7.5")
    page.set("new-n", "4")
    sd = sd_at(lesson, 600)
    own = with_usual_level(lesson, columns_of(lesson), 4, 7.5)
    beta, coef, se, pooling = dense_estimates(lesson, sd, own)
    center = lesson.dial.block.carried[lesson.dial.turned[0]] @ beta
    new = [coef[-1], coef[-1] - Z * se[-1], coef[-1] + Z * se[-1], pooling[-1], center]
    np.testing.assert_allclose(page.said("new-said")[1:], new, rtol=DENSE)
    np.testing.assert_allclose(
        page.levels(lesson.dial.block.levels)[:, 1], coef[:-1], rtol=DENSE
    )
    page.set("new-n", "0")
    found, at = lesson.dial.estimates(sd), lesson.dial.turned[0]
    row = lesson.dial.block.carried[at]
    assert page.said("new-said")[0] == pytest.approx(row @ found.beta, rel=SAME)


def test_a_new_level_of_no_number_is_none(slopes):
    lesson, page = slopes
    page.set("sd", 600)
    page.set("new-n", "-1")
    assert "Rows are a whole number" in page.page.inner_text("#new-said")
    want, _ = expected(lesson, sd_at(lesson, 600))
    got = page.levels(lesson.dial.block.levels)
    np.testing.assert_allclose(got[:, 1], want[:, 1], rtol=SAME)
    page.set("new-n", "0")


def test_at_its_own_scale_the_curve_is_the_density_of_the_posterior(sampled):
    lesson, page = sampled
    page.set("by", "0")
    sd, prior, density = page.table("curve").T
    want = lesson.post.density("1|g_sigma", grid=sd)
    np.testing.assert_allclose(density, want["density"], rtol=SAME)
    np.testing.assert_allclose(prior, want["prior"], rtol=SAME)
    marks = [lesson.marks.median, lesson.marks.lower, lesson.marks.upper]
    np.testing.assert_allclose(page.said("curve-said"), marks, rtol=SAME)


@pytest.mark.parametrize("by", [-2.0, -1.0, 2.0])
def test_another_scale_is_the_ratio_of_the_priors(sampled, by):
    """Against quadrature of the same integral on ten times as many points."""
    lesson, page = sampled
    page.set("by", str(by))
    sd, prior, density = page.table("curve").T
    form = scaled_form(lesson.curve.prior, 2.0**by)
    np.testing.assert_allclose(prior, np.exp(form_logp(form, sd)), rtol=SAME)

    def ratio(values):
        return np.exp(form_logp(form, values) - form_logp(lesson.curve.prior, values))

    ends = lesson.curve.log_sd
    fine = np.exp(np.linspace(ends[0], ends[-1], 4001))
    old = lesson.post.density("1|g_sigma", grid=fine)["density"].to_numpy() * fine
    mean = (old * ratio(fine)).sum() / old.sum()
    want = lesson.post.density("1|g_sigma", grid=sd)["density"] * ratio(sd) / mean
    np.testing.assert_allclose(density, want, rtol=1e-6)
    tail = (1.0 - lesson.prob) / 2.0
    ends = lesson.curve.quantiles(np.array([0.5, tail, 1.0 - tail]), 2.0**by)
    np.testing.assert_allclose(page.said("curve-said")[:3], ends, rtol=SAME)
    page.set("by", "0")


def test_levels_that_are_not_shown_count(rows, folder, browser, monkeypatch):
    """Three of seven levels are on the page, and all estimates are those of seven."""
    monkeypatch.setattr(numbers, "MOST_LEVELS", 3)
    reml = lmm.Model("y ~ x + (x | g)", rows, weights="w").fit_reml()
    lesson, page = made(reml, folder, browser, "some", effect="Intercept")
    assert len(lesson.shown) == 3
    names = [lesson.dial.block.levels[j] for j in lesson.shown]
    for step in (0, 300, 900):
        page.set("sd", step)
        want, found = expected(lesson, sd_at(lesson, step))
        got = page.levels(names)[:, :4]
        np.testing.assert_allclose(got, want[lesson.shown], rtol=1e-7)
        np.testing.assert_allclose(page.table("fixed")[:, 1], found.beta, rtol=1e-7)
    assert "3 of 7 levels are shown" in page.page.inner_text("footer")


def test_labels_are_text(rows, folder, browser):
    data = rows.replace({"g": dict(zip(sorted(set(rows["g"])), HOSTILE, strict=True))})
    data = data.rename(columns={"y": "<b>y</b>", "g": "</style>"})
    reml = lmm.Model("`<b>y</b>` ~ x + (1 | `</style>`)", data).fit_reml()
    lesson, page = made(reml, folder, browser, "hostile")
    titles = page.page.eval_on_selector_all(
        "#levels-numbers bdi", "all => all.map(one => one.title)"
    )
    assert sorted(titles) == sorted(lesson.dial.block.levels)
    assert page.page.title() != "ran"
    assert page.page.query_selector_all("img, b, a[href^=javascript], link") == []
    assert page.page.evaluate("document.scripts.length") == 3
    widths = [1280, 390]
    for width in widths:
        page.page.set_viewport_size({"width": width, "height": 800})
        reach = page.page.evaluate("document.documentElement.scrollWidth")
        assert reach <= width
    assert (folder / "hostile.html").stat().st_size < 500_000
    assert page.told == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(sampled, folder, browser, scheme):
    page = Page(browser, folder / "sampled.html", color_scheme=scheme)
    found = Axe().run(page.page).response["violations"]
    assert [(one["id"], one["help"]) for one in found] == [], json.dumps(found)[:2000]


def test_the_keyboard_turns_the_dial(slopes):
    lesson, page = slopes
    page.set("sd", 400)
    page.page.focus("#sd")
    page.page.keyboard.press("ArrowRight")
    page.page.wait_for_function(
        "() => document.getElementById('said').textContent.startsWith('SD ')"
    )
    np.testing.assert_allclose(page.said("sd-now"), [sd_at(lesson, 401)], rtol=SAME)


def test_it_prints_on_two_pages(sampled):
    _, page = sampled
    printed = page.page.pdf(prefer_css_page_size=True)
    assert re.findall(rb"/Count (\d+)", printed) == [b"2"]


def restricted(own, cov):
    """Restricted log likelihood of rows, by n x n matrices."""
    same = own.codes[:, None] == own.codes
    V = own.others + np.diag(own.noise) + same * (own.Z @ cov @ own.Z.T)
    inv = np.linalg.inv(V)
    within = own.X.T @ inv @ own.X
    left = own.y - own.X @ np.linalg.solve(within, own.X.T @ inv @ own.y)
    logs = [np.linalg.slogdet(one)[1] for one in (V, within)]
    return -0.5 * (sum(logs) + left @ inv @ left)


def curve_change(page, gone):
    """SDs of the curve's table, and what its log changes by without a level."""
    page.set("level", str(gone))
    before = page.table("curve")
    page.set("drop", True)
    after = page.table("curve")
    page.set("drop", False)
    return before[:, 0], np.log(after[:, 2] / before[:, 2])


def test_without_a_level_all_else_is_integrated_out(sampled):
    """Against sums over sigma of the target of the other rows, by a fine grid."""
    lesson, page = sampled
    sds, found = curve_change(page, 5)
    target = weighted_points(lesson.post).target
    place, sigma = target.space.place("1|g_sigma"), target.space.sigma
    left = leaving(lesson.post.model, target, "g").without(5)
    logs = np.log(lesson.dial.reml.sigma) + np.linspace(-1.5, 1.5, 301)

    def margin(own, sd):
        x = np.tile(target.start, (len(logs), 1))
        x[:, sigma], x[:, place] = logs, np.log(sd)
        return logsumexp([log_target(own, one) for one in x])

    near = lesson.post.density("1|g_sigma", grid=sds)["density"] > 1e-3
    want = [margin(left, sd) - margin(target, sd) for sd in sds[near]]
    np.testing.assert_allclose(np.diff(found[near]), np.diff(want), atol=2e-3)


def test_where_it_cannot_be_the_likelihood_of_the_others_is_taken(
    sampled, folder, browser, monkeypatch
):
    """The density times the ratio of both likelihoods, sigma held."""
    monkeypatch.setattr(lesson_left_out, "MOST_VALUES", 0)
    fit = Fits(sampled[0].post.model, sampled[0].dial.reml, sampled[0].post)
    lesson, page = made(fit, folder, browser, "held")
    own, left = (columns_of(lesson), rows_without(columns_of(lesson), 5))
    sds, found = curve_change(page, 5)
    covs = [covariance_at(lesson, sd) for sd in sds]
    want = [restricted(left, one) - restricted(own, one) for one in covs]
    np.testing.assert_allclose(np.diff(found), np.diff(want), atol=1e-6)
    assert "held at the REML fit" in page.page.inner_text("#one-title ~ .small")
