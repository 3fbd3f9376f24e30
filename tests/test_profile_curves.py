"""`Profile`: limits read off the curves, its figure, longer lags of `toep`."""

import numpy as np
import pandas as pd
import pytest
from sampling import unchecked

import bayeslmm as lmm
from bayeslmm import Model, ModelError
from bayeslmm.plots.profiles import MARKED

# Limits between points of a curve, of the length of the interval.
BETWEEN = 0.03


@pytest.fixture(scope="module")
def fit(sleepstudy):
    """Two SDs and their correlation."""
    return Model("Reaction ~ Days + (Days | Subject)", sleepstudy).fit_reml()


@pytest.fixture(scope="module")
def profile(fit):
    """Its curves, which are made once."""
    with unchecked():
        return fit.profile()


def test_limits_off_the_curves_are_those_searched(fit, profile):
    with unchecked():
        searched = fit.interval(0.8, method="profile")
    read = profile.interval(0.8)
    pd.testing.assert_index_equal(read.index, searched.index)
    size = np.ptp(searched.to_numpy(), axis=1)[:, None]
    assert (np.abs(read - searched) / size).to_numpy().max() < BETWEEN
    assert "Profile of the REML criterion" in repr(profile)
    assert profile.labels == tuple(fit.summary().index)


@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_curves_that_end_have_limits_at_the_end(public_data):
    """An SD of 0: nothing below; what was not followed so far has no limit."""
    fit = Model("Yield ~ 1 + (1 | Batch)", public_data("Dyestuff2")).fit_reml()
    with unchecked():
        profile = fit.profile()
    values, zeta = profile.curve("1|Batch_sigma")
    assert (values[0], zeta[0]) == (0.0, 0.0)
    assert (np.diff(zeta) > 0).all()
    table = profile.interval(0.95)
    assert table["lower"]["1|Batch_sigma"] == 0.0
    assert 2.0 < table["upper"]["1|Batch_sigma"] < 3.0
    far = profile.interval(0.9999)
    assert np.isnan(far.loc["sigma"]).all()
    assert "the curve ends before 0.9999" in repr(far).replace("\n", " ")
    assert "ends before" not in repr(table)


def test_the_figure_marks_the_intervals(profile):
    """A panel for each parameter; an upright line at every limit, up to the curve."""
    figure = profile.plot(["sigma", "Days"])
    assert [ax.get_title() for ax in figure.axes] == ["sigma", "Days"]
    assert [ax.get_xlabel() for ax in figure.axes] == [
        "units of Reaction",
        "Reaction per Days",
    ]
    for ax, label in zip(figure.axes, ("sigma", "Days"), strict=True):
        segments = [line.get_segments()[0] for line in ax.collections]
        limits = pd.concat([profile.interval(p).loc[[label]] for p in MARKED])
        places = np.array([[s[0, 0] for s in segments]]).reshape(-1, 2)
        np.testing.assert_allclose(places, limits, rtol=1e-9)
        ends = np.array([s[1, 1] for s in segments]).reshape(-1, 2)
        np.testing.assert_allclose(ends[3], [-1.96, 1.96], atol=1e-3)
        curve, line = ax.lines[1], ax.lines[0]
        assert np.interp(0.0, curve.get_ydata(), curve.get_xdata()) == pytest.approx(
            np.interp(0.0, line.get_ydata(), line.get_xdata()), rel=1e-6
        )
    bent = lmm.plot_profile(profile, ["sigma"], absolute=True).axes[0]
    assert min(bent.lines[1].get_ydata()) >= 0.0
    assert len(lmm.plot_profile(profile).axes) == 6


def test_what_cannot_be_drawn(profile, fit):
    with pytest.raises(ModelError, match=r"no curve of 'sigm'.*sigma"):
        profile.plot(["sigm"])
    with unchecked(), pytest.raises(ModelError, match="draws what fit"):
        lmm.plot_profile(fit.summary())
    with unchecked(), pytest.raises(ModelError, match="plot_profile has no option"):
        lmm.plot_profile(profile, probs=0.5)
    with unchecked(), pytest.raises(ModelError, match="absolute must be True"):
        profile.plot(absolute=1)
    with unchecked(), pytest.raises(ModelError, match="prob must lie"):
        profile.interval(prob=2)


@pytest.mark.slow
def test_the_first_lag_of_a_toeplitz_has_a_profile():
    """Where lags beyond it are free; of two effects it is the correlation itself."""
    rng = np.random.default_rng(4)
    g, t = np.divmod(np.arange(240), 12)
    part = np.array(list("abc"))[t // 4]
    root = np.linalg.cholesky([[1.0, 0.6, 0.2], [0.6, 1.0, 0.6], [0.2, 0.6, 1.0]])
    b = rng.normal(size=(20, 3)) @ root.T
    y = b[g, t // 4] + rng.normal(0.0, 0.5, 240)
    data = pd.DataFrame({"y": y, "g": g.astype(str), "part": part})
    fit = Model("y ~ 1 + toep(0 + part | g, hom = TRUE)", data).fit_reml()
    with unchecked():
        table = fit.interval(method="profile")
    estimate = fit.summary()["estimate"]
    lower, upper = table.loc["g_corr[lag 1]"]
    assert -1.0 < lower < estimate["g_corr[lag 1]"] < upper < 1.0
    assert np.isnan(table.loc["g_corr[lag 2]"]).all()
    assert "g_corr[lag 2]: no profile" in repr(table)
    for value, side in ((lower, -1), (upper, 1)):
        near = _held(data, value)
        assert near - fit.criterion == pytest.approx(3.8415, abs=5e-3), side


def _held(data: pd.DataFrame, lag1: float) -> float:
    """Lowest dense REML criterion with that correlation at lag 1."""
    from scipy.optimize import minimize

    y, n = data["y"].to_numpy(), len(data)
    same = data["g"].to_numpy()[:, None] == data["g"].to_numpy()
    place = data["part"].map({"a": 0, "b": 1, "c": 2}).to_numpy()
    X = np.ones((n, 1))

    def deviance(x: np.ndarray) -> float:
        """At log SD, log sigma and the partial correlation at lag 2."""
        lag2 = lag1**2 + np.tanh(x[2]) * (1.0 - lag1**2)
        corr = np.array([[1.0, lag1, lag2], [lag1, 1.0, lag1], [lag2, lag1, 1.0]])
        V = np.exp(2 * x[0]) * corr[place[:, None], place] * same
        V = V + np.exp(2 * x[1]) * np.eye(n)
        C = X.T @ np.linalg.solve(V, X)
        r = y - X @ np.linalg.solve(C, X.T @ np.linalg.solve(V, y))
        logs = np.linalg.slogdet(V)[1] + np.linalg.slogdet(C)[1]
        return logs + r @ np.linalg.solve(V, r) + (n - 1) * np.log(2 * np.pi)

    tight = {"xatol": 1e-6, "fatol": 1e-8}
    starts = ([0.0, -0.7, at] for at in (-0.8, 0.0, 0.8))
    ends = [minimize(deviance, x, method="Nelder-Mead", options=tight) for x in starts]
    return min(end.fun for end in ends)
