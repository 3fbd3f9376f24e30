"""Figures of left-out cases and of Bayes factors: what stands where."""

import arviz as az
import numpy as np
import pytest
from sampling import sample_unchecked, unchecked
from test_loo import toy

import bayeslmm as lmm
from bayeslmm import Model, ModelError


@pytest.fixture(scope="module")
def pair():
    """Two models of the toy, each level of a left out."""
    found = []
    for formula in ("y ~ x + (1 | a)", "y ~ 1 + (1 | a)"):
        post = sample_unchecked(
            Model(formula, toy()), draws=20, chains=1, seed=1, progress=False
        )
        with unchecked():
            found.append((post, post.loo("a", progress=False)))
    return found


def test_differences_stand_in_their_order(pair):
    (_, one), (_, two) = pair
    figure = lmm.plot_loo(one, two, names=("with x", "without"))
    ax = figure.axes[0]
    expected = (one.elpd_i - two.elpd_i).to_series().sort_values()
    drawn = np.concatenate([line.get_xdata() for line in ax.lines[1:]])
    np.testing.assert_allclose(np.sort(drawn), expected)
    shown = [tick.get_text() for tick in ax.get_yticklabels()]
    assert shown == expected.index.tolist()
    difference = float(expected.sum())
    assert "with x against without" in figure.get_suptitle()
    assert f"difference {difference:.1f}" in figure.get_suptitle()


def test_cases_made_anew_are_open(pair):
    _, one = pair[0]
    table = one.table().sort_values("elpd")
    one.refitted = (str(table.index[2]),)
    try:
        ax = lmm.plot_loo(one).axes[0]
    finally:
        one.refitted = ()
    filled, hollow = ax.lines
    assert hollow.get_xdata().tolist() == [table["elpd"].iloc[2]]
    assert hollow.get_markerfacecolor() == "white"
    assert len(filled.get_xdata()) == 4


def test_what_cannot_be_drawn_is_said(pair):
    (post, one), _ = pair
    with unchecked():
        rows = post.loo(progress=False)
        with pytest.raises(ModelError, match="leaving out other cases"):
            lmm.plot_loo(one, rows)
        with pytest.raises(ModelError, match="what to call the two models"):
            lmm.plot_loo(one, one, names=("a",))
        with pytest.raises(ModelError, match="names"):
            lmm.plot_loo(one, one, names=3)
        with pytest.raises(ModelError, match=r"what post.loo\(\) gives"):
            lmm.plot_loo(post)
        with pytest.raises(ModelError, match=r"what bayes_factors\(model\) gives"):
            lmm.plot_bayes_factors(one)
    assert lmm.plot_loo(rows).axes[0].get_ylabel() == "row"


def test_arviz_draws_it(pair):
    (_, one), (_, two) = pair
    drawn = az.plot_khat(one, backend="none")
    assert drawn is not None
    table = az.compare({"one": one, "two": two}, round_to="none")
    assert set(table.index) == {"one", "two"}


def test_factors_are_drawn_on_log_scales():
    model = Model("y ~ 1 + (1 | a)", toy())
    with unchecked():
        factors = lmm.bayes_factors(model, nsim=0, scales=(0.5, 1.0, 3.0))
        figure = lmm.plot_bayes_factors(factors)
    ax = figure.axes[0]
    line = ax.lines[0]
    assert line.get_label() == "(1 | a)"
    assert line.get_xdata().tolist() == [0.5, 1.0, 3.0]
    expected = np.log10(factors.sensitivity["bf"])
    np.testing.assert_allclose(line.get_ydata(), expected)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0.5", "1", "3"]
