"""The page of a report in a browser: nothing runs over the edge of a telephone."""

import html
import re
import shutil
import subprocess

import pytest
from report_cases import Fits
from sampling import sample_unchecked

import bayeslmm as lmm
from bayeslmm.reporting.html import report_html

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PHONE = 390  # CSS pixels
# The page in a frame as wide as a telephone: a window of Chromium is 500 at least.
FRAME = """<!DOCTYPE html><body>
<iframe id=page style='width:{width}px;height:800px;border:0' srcdoc="{page}"></iframe>
<p id=said></p><script>
page.onload = () => {{
  const all = page.contentDocument;
  const over = [...all.querySelectorAll('body *')].filter(
    one => one.getBoundingClientRect().right > {width} + 0.5 && !one.closest('.wide'));
  said.textContent = 'width=' + all.documentElement.scrollWidth
    + ' over=' + over.length + ' head=' + getComputedStyle(
      all.querySelector('thead')).display;
}};
</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="#8: there is no Chromium")


def shown(page: str, width: int, folder) -> dict[str, str]:
    """What Chromium says of a page in a frame of some width."""
    framed = FRAME.format(width=width, page=html.escape(page, quote=True))
    (folder / "frame.html").write_text(framed, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    profile = f"--user-data-dir={folder / 'profile'}"
    address = (folder / "frame.html").as_uri()
    done = subprocess.run(
        [str(CHROMIUM), *options, profile, address],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    said = re.search(r"<p id=.said.>([^<]*)</p>", done.stdout)[1]
    return dict(part.split("=") for part in said.split())


@pytest.fixture(scope="module")
def page(public_data):
    """The report of a model with long names."""
    data = public_data("Machines").rename(columns={"Machine": "kind_of_the_machine"})
    formula = "score ~ kind_of_the_machine + (kind_of_the_machine | Worker)"
    model = lmm.Model(formula, data)
    post = sample_unchecked(model, draws=50, chains=2, seed=1)
    return report_html(Fits(model, model.fit_reml(), post))


def test_nothing_runs_over_the_edge_of_a_telephone(page, tmp_path):
    found = shown(page, PHONE, tmp_path)
    assert int(found["width"]) <= PHONE  # less a scroll bar
    assert (found["over"], found["head"]) == ("0", "none")


def test_a_wide_screen_has_whole_tables(page, tmp_path):
    found = shown(page, 1100, tmp_path)
    assert (found["over"], found["head"]) == ("0", "table-header-group")


def test_every_number_of_a_folded_table_has_its_name(page):
    rows = re.findall(r"<tr>(<td>.*?)</tr>", page)
    assert rows
    for row in rows:
        cells = re.findall(r"<td[^>]*>", row)
        assert all("data-name=" in cell for cell in cells[1:])
