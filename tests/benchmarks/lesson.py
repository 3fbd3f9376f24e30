"""The lesson's page in Chromium: its size, first paint, and one step of each control.

By hand: ``python tests/benchmarks/lesson.py``. A step is the script of the slider with
the layout and the picture that follow it.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from playwright.sync_api import Page, sync_playwright

import bayeslmm as lmm

GROUPS = 200
STEPS = 100
OPTIONS = ["--no-sandbox", "--disable-gpu"]
PAINT = """() => performance.getEntriesByType('paint').find(
  one => one.name === 'first-contentful-paint').startTime"""
# milliseconds of each change, its layout forced, then until the next frame is shown
CHANGE = """async ([id, values]) => {
  const own = document.getElementById(id), times = [], frames = [];
  for (const value of values) {
    if (own.type === 'checkbox') own.checked = value; else own.value = value;
    const start = performance.now();
    own.dispatchEvent(new Event('input'));
    own.dispatchEvent(new Event('change'));
    document.body.getBoundingClientRect();
    times.push(performance.now() - start);
    await new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)));
    frames.push(performance.now() - start);
  }
  return [times, frames];
}"""


def fits() -> Iterator[tuple[str, lmm.Fit]]:
    """The fits whose pages are measured."""
    pupils = lmm.simulate_classrooms(3, 20, seed=1).data
    sleep = lmm.load_data("sleepstudy")
    options = {"draws": 500, "seed": 1, "progress": False}
    yield "60 pupils", lmm.fit("score ~ edu + (1 | classroom)", pupils, **options)
    yield "sleepstudy", lmm.fit("Reaction ~ Days + (Days | Subject)", sleep, **options)
    yield f"{GROUPS} groups", lmm.fit("y ~ x + (x | g)", many(), **options)


def many() -> pd.DataFrame:
    """2 to 29 rows in each of `GROUPS` groups."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(GROUPS), rng.integers(2, 30, GROUPS))
    x = rng.normal(size=len(g)) + 3.0
    b = rng.normal(size=(2, GROUPS)) * [[2.0], [0.5]]
    y = 10.0 + x + b[0, g] + b[1, g] * x + 2.0 * rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "g": g})


def changed(page: Page, control: str, values: list[object]) -> str:
    """Milliseconds of a control: script and layout, then until the picture."""
    if page.query_selector(f"#{control}") is None:
        return "none"
    times, frames = page.evaluate(CHANGE, [control, values])
    return (
        f"{np.median(times):5.1f} ms (max {max(times):.1f}), to the next frame "
        f"{np.median(frames):5.1f} ms"
    )


def main() -> None:
    """Print a line for each measure."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        for name, fit in fits():
            path = fit.lesson(Path(folder) / "lesson.html")
            page = browser.new_page()
            page.goto(path.as_uri())
            page.wait_for_timeout(200)
            print(f"{name}: {path.stat().st_size / 1000:.0f} kB")
            print(f"  first paint {page.evaluate(PAINT):.0f} ms")
            sds = [int(one) for one in np.linspace(0, 995, STEPS)]
            print(f"  SD          {changed(page, 'sd', sds)}")
            scales = [float(one) for one in np.linspace(-3, 3, STEPS)]
            print(f"  prior       {changed(page, 'by', scales)}")
            print(f"  leave out   {changed(page, 'drop', [True, False] * 5)}")
            print(f"  new level   {changed(page, 'new-n', list(range(20)))}")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
