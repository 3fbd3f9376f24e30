"""The page of a report in Chromium: quiet, whole on any screen, open to all readers."""

import re
import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright
from report_cases import Fits
from sampling import sample_unchecked, unchecked

import bayeslmm as lmm
from bayeslmm.reporting.html import report_html

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PHONE, DESK = 390, 1280  # CSS pixels
OVER = """width => [...document.querySelectorAll('body *')].filter(one =>
  one.getBoundingClientRect().right > width + 0.5 && !one.closest('.scroll')
  && !one.closest('.side') && getComputedStyle(one).position !== 'absolute'
).map(one => one.outerHTML.slice(0, 80))"""
HOSTILE = (
    "<script>document.title = 'ran'</script>",
    "<img src=x onerror=\"document.title='ran'\">",
    "مدرسة ١",
    "👩‍👩‍👧 Łódź & 'c' \"d\"",
    "l" * 10_000,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="#13: there is no Chromium")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu"]
        own = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield own
        own.close()


@pytest.fixture(scope="module")
def path(public_data, tmp_path_factory):
    """The report of a model with long names, and levels that would run as code."""
    data = public_data("Machines").rename(columns={"Machine": "kind_of_the_machine"})
    names = dict(zip(data["Worker"].astype(str).unique(), HOSTILE, strict=False))
    data["Worker"] = data["Worker"].astype(str).replace(names)
    formula = "score ~ kind_of_the_machine + (kind_of_the_machine | Worker)"
    model = lmm.Model(formula, data)
    post = sample_unchecked(model, draws=50, chains=2, seed=1)
    path = tmp_path_factory.mktemp("report") / "report.html"
    with unchecked():
        page = report_html(Fits(model, model.fit_reml(), post))
    path.write_text(page, encoding="utf-8")
    return path


def opened(browser, path, width, **options):
    """The page at a width, and all that it said or asked for."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, offline=True, **options
    )
    page, told = context.new_page(), []
    page.on("console", lambda one: told.append(one.text))
    page.on("pageerror", lambda one: told.append(str(one)))
    page.on("request", lambda one: told.append(one.url))
    page.goto(path.as_uri())
    return page, told


@pytest.fixture(scope="module")
def desk(browser, path):
    return opened(browser, path, DESK)


@pytest.fixture(scope="module")
def phone(browser, path):
    return opened(browser, path, PHONE, color_scheme="dark")


def test_it_asks_for_nothing_and_nothing_runs(desk, path):
    page, told = desk
    assert told == [path.as_uri()]
    assert page.title().startswith("score ~ kind_of_the_machine")
    assert page.locator("main script, main img, main iframe").count() == 0
    assert page.locator(f"th:has-text('{HOSTILE[2]}')").count() > 0


@pytest.mark.parametrize("screen", ["desk", "phone"])
def test_axe_finds_nothing_in_the_light_and_in_the_dark(screen, request):
    page, _ = request.getfixturevalue(screen)
    page.eval_on_selector_all("details", "all => all.forEach(one => {one.open = true})")
    found = Axe().run(page)
    page.eval_on_selector_all("details", "all => all.forEach(one => {one.open = !1})")
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize(("screen", "width"), [("desk", DESK), ("phone", PHONE)])
def test_nothing_runs_over_the_edge(screen, width, request):
    page, _ = request.getfixturevalue(screen)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OVER, width) == []


def test_contents_lead_to_every_section_and_stay_in_view(desk):
    page, _ = desk
    links = page.locator("nav.side a")
    targets = [links.nth(i).get_attribute("href") for i in range(links.count())]
    assert targets == [
        f"#{one}"
        for one in page.eval_on_selector_all("section", "all => all.map(o => o.id)")
    ]
    page.emulate_media(reduced_motion="reduce")
    links.nth(links.count() - 2).click()
    top = page.locator(targets[-2]).bounding_box()["y"]
    assert abs(top) < 60
    assert 0 <= page.locator("nav.side li").first.bounding_box()["y"] < 900
    assert not page.locator("details.fold").is_visible()


def test_a_telephone_has_folded_contents_and_named_numbers(phone):
    page, _ = phone
    assert not page.locator("nav.side").is_visible()
    assert not page.locator("details.fold a").first.is_visible()
    page.locator("details.fold summary").click()
    assert page.locator("details.fold a").first.is_visible()
    page.locator("details.fold summary").click()
    shown = page.locator("thead").first.evaluate("o => getComputedStyle(o).display")
    assert shown == "none"
    cells = page.eval_on_selector_all("tbody td", "all => all.map(o => o.dataset.name)")
    assert all(cells)


def test_equations_are_drawn_by_the_browser(desk):
    page, _ = desk
    heights = page.eval_on_selector_all(
        ".maths math", "all => all.map(o => o.getBoundingClientRect().height)"
    )
    assert len(heights) == 3
    assert heights[1] > 2.0 * heights[2]  # a matrix of three rows


def test_on_paper_nothing_is_cut(desk):
    page, _ = desk
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 680, "height": 900})  # A4 less its margins
    hidden = page.locator("nav.side, details.fold, a.skip")
    assert all(not hidden.nth(i).is_visible() for i in range(hidden.count()))
    over = """() => [...document.querySelectorAll('table, figure, .maths div')].filter(
      one => one.getBoundingClientRect().right > innerWidth + 1).length"""
    assert page.evaluate(over) == 0
    pages = len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4")))
    assert 3 <= pages <= 12
