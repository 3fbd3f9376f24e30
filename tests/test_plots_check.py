"""The page of residual plots: what is drawn is what the fits say."""

import numpy as np
import pandas as pd
import pytest
from sampling import sample_unchecked, unchecked
from scipy.stats import norm
from test_response import frame, quiet

import bayeslmm as lmm
from bayeslmm import DataError, Model, ModelError
from bayeslmm.comparison.check_panels import band
from bayeslmm.reml.smoother import smooth

TITLES = ["Residuals by fitted", "Size by fitted", "Residuals (", "Residuals by g"]


def data():
    """Rows with levels of both factors that differ."""
    rows = frame()
    rows["y"] += 2.0 * (pd.factorize(rows["h"])[0] % 3)
    return rows


def page(fit, **options):
    """The panels of a page, by their titles."""
    with unchecked():
        figure = lmm.plot_check(fit, **options)
    return {ax.get_title().replace("\n", " "): ax for ax in figure.axes}


def panel(panels, start):
    """The panel whose title starts so."""
    (found,) = [ax for title, ax in panels.items() if title.startswith(start)]
    return found


@pytest.fixture(scope="module")
def sides():
    """REML and a short posterior of a weighted crossed model."""
    model = Model("y ~ x + (x | g) + (1 | h)", data(), weights="weight")
    post = sample_unchecked(model, draws=30, chains=2, seed=5, method="importance")
    return quiet(model.fit_reml), post


def test_reml_panels_are_its_residuals(sides):
    fit, _ = sides
    panels = page(fit)
    starts = [*TITLES, "Fixed effects without each g", "Intercept of g", "x of g"]
    for start in [*starts, "Intercept of h"]:
        panel(panels, start)
    assert len(panels) == len(starts) + 1
    own = fit.residuals("standardized")
    points = panel(panels, TITLES[0]).collections[0].get_offsets()
    np.testing.assert_allclose(points, np.column_stack([fit.fitted(), own]))
    sizes = panel(panels, TITLES[1]).collections[0].get_offsets()
    np.testing.assert_allclose(sizes[:, 1], np.sqrt(np.abs(own)))
    line, dots = panel(panels, TITLES[2]).lines
    n = len(own)
    normal = norm.ppf((np.arange(n) + 0.5) / n)
    np.testing.assert_allclose(dots.get_xydata().T, [normal, np.sort(own)])
    np.testing.assert_allclose(*line.get_data())
    cook = fit.influence("g", method="one-step").table["cooks_distance"]
    ax = panel(panels, "Fixed effects without")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), cook)
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert names == list(cook.index)


def test_effects_are_blups_in_their_sds(sides):
    fit, _ = sides
    dots = panel(page(fit), "Intercept of h").lines[1].get_ydata()
    table = fit.ranef(condvar="joint")
    own = table[table["group"] == "h"]
    sd = fit.varcorr().loc["1|h_sigma", "estimate"]
    expected = own["estimate"] / np.sqrt(sd**2 - own["sd"] ** 2)
    np.testing.assert_allclose(dots, np.sort(expected))


def test_levels_are_sorted_by_their_medians(sides):
    fit, _ = sides
    ax = panel(page(fit, term="h"), "Residuals by h")
    own = pd.Series(fit.residuals("standardized"))
    medians = own.groupby(data()["h"].astype(str).to_numpy()).median().sort_values()
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert names == list(medians.index)
    lines = [line for line in ax.lines if line.get_linewidth() == 1.2]
    drawn = [line.get_ydata()[0] for line in lines]
    np.testing.assert_allclose(drawn, medians)


def test_a_posterior_has_the_same_panels_but_influence(sides):
    _, post = sides
    panels = page(post)
    for start in [*TITLES, "Intercept of g", "x of g", "Intercept of h"]:
        panel(panels, start)
    assert not any("without" in title for title in panels)
    points = panel(panels, TITLES[0]).collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 1], post.residuals("standardized"))


def test_a_share_of_rows_stays_in_a_band_throughout():
    drawn = np.sort(np.random.default_rng(1).normal(size=(999, 30)), axis=1)
    for prob in (0.5, 0.95):
        lower, upper = band(drawn, prob)
        inside = ((drawn >= lower) & (drawn <= upper)).all(axis=1).mean()
        assert prob <= inside < prob + 0.06  # ranks are whole numbers
        # others of the same kind, within 4 of their own errors of that
        fresh = np.sort(np.random.default_rng(2).normal(size=(2000, 30)), axis=1)
        share = ((fresh >= lower) & (fresh <= upper)).all(axis=1).mean()
        assert abs(share - inside) < 4.0 * np.sqrt(0.25 / 999)


def test_curves():
    x = np.linspace(-2.0, 5.0, 400)
    grid, line = smooth(x, 3.0 - 2.0 * x)
    np.testing.assert_allclose(line, 3.0 - 2.0 * grid, atol=1e-6)
    noise = np.random.default_rng(1).normal(size=400)
    grid, curve = smooth(x, np.sin(x) + 0.3 * noise)
    assert np.abs(curve - np.sin(grid)).max() < 0.3
    order = np.random.default_rng(2).permutation(400)
    np.testing.assert_allclose(
        smooth(x[order], (np.sin(x))[order])[1], smooth(x, np.sin(x))[1]
    )
    assert smooth(np.repeat([1.0, 2.0, 3.0], 50), noise[:150]) is None


def test_many_rows_and_levels_are_thinned_and_said():
    rng = np.random.default_rng(3)
    n, levels = 12_000, 300
    g, x = rng.integers(0, levels, n), rng.normal(size=n)
    y = x + rng.normal(size=levels)[g] + rng.normal(size=n)
    fit = Model("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": x, "g": g})).fit_reml()
    panels = page(fit)
    ax = panel(panels, TITLES[0])
    shown = len(ax.collections[0].get_offsets())
    assert f"({shown:,} of 12,000 rows drawn)" in ax.get_xlabel().replace("\n", " ")
    assert shown < 5_100
    assert panel(panels, "Residuals by g").get_xlabel() == "300 levels of g, by median"
    ax = panel(panels, "Fixed effects without each g")
    cook = fit.influence("g", method="one-step").table["cooks_distance"]
    named = {text.get_text() for text in ax.texts}
    assert named == set(cook.nlargest(3).index)


def test_errors(sides, sleepstudy):
    fit, _ = sides
    with pytest.raises(ModelError, match="grouping factor"):
        lmm.plot_check(fit, term="k")
    with pytest.raises(ModelError, match="no option 'group'"):
        lmm.plot_check(fit, group="g")
    with unchecked(), pytest.raises(ModelError, match="draws a RemlFit or a Posterior"):
        lmm.plot_check(fit.model)
    streamed = Model("Reaction ~ Days + (1 | Subject)", [sleepstudy, sleepstudy])
    with pytest.raises(DataError, match="not in memory"):
        lmm.plot_check(quiet(streamed.fit_reml))


# --- posterior.check() ----------------------------------------------------------------


def test_a_posterior_is_checked_as_a_fit_is(sides):
    reml, post = sides
    with unchecked():
        ours, theirs = reml.check(), post.check()
    kept = ours.table[ours.table.index != "influence"]
    assert list(theirs.table.columns) == list(ours.table.columns)
    assert list(zip(theirs.table.index, theirs.table["of"], strict=True)) == list(
        zip(kept.index, kept["of"], strict=True)
    )
    assert theirs.nsim == 60
    tested = kept["p"].notna().to_numpy()
    apart = (theirs.table["value"].to_numpy() - kept["value"].to_numpy())[tested]
    assert np.abs(apart).max() < 0.5


def test_a_posterior_finds_an_outlier():
    rows = data()
    rows.loc[11, "y"] += 15.0
    model = Model("y ~ x + (x | g) + (1 | h)", rows, weights="weight")
    found = sample_unchecked(model, draws=150, chains=2, seed=5, method="importance")
    with unchecked():
        checked = found.check()
    assert not checked.ok
    assert "Row 11 (" in " ".join(checked.messages)
    assert checked.nsim == 300
