"""Simulation-based calibration: sound posteriors pass, wrong ones are found out.

Ranks of true values from the prior are uniform (Talts et al. 2018, arXiv:1804.06788;
Modrak et al. 2023, doi:10.1214/23-BA1404). Six shapes weekly, every sampler.
"""

from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import dense_log_density
from sampling import sample_unchecked, unchecked

import bayeslmm as lmm
from bayeslmm import ModelError, PriorError
from bayeslmm.errors import DataError, SamplingInterruptedError
from bayeslmm.planning import calibration, refits
from bayeslmm.planning.certificate import KINDS, LIKELIHOODS, PROBS
from bayeslmm.planning.refits import compare_with_truth, draw_truths
from bayeslmm.planning.uniform import departure, ecdf_table, joint_band, rank_table
from bayeslmm.reml.intervals import profile_falls
from bayeslmm.reml.status import read_parameters

SETS = 200
EXACT = {"rel": 1e-8, "abs": 1e-8}


@pytest.fixture(scope="module")
def model() -> lmm.Model:
    """Six classrooms of four."""
    pupils = lmm.simulate_classrooms(6, 4, seed=1).data
    return lmm.Model("score ~ edu + (1 | classroom)", pupils)


@pytest.fixture(scope="module")
def found(model: lmm.Model) -> lmm.Calibration:
    """A short calibration."""
    with unchecked():
        return model.calibrate(n=20, seed=1, draws=60, progress=False)


# --- ranks and their band -------------------------------------------------------------


def test_uniform_ranks_stay_in_the_band_as_often_as_it_says() -> None:
    """Of four quantities together 95 in 100; ranks that are shifted do not."""
    rng, n = np.random.default_rng(3), 30
    inside = [
        rank_table({c: rng.uniform(size=n) for c in "abcd"}, 0.95)["inside"].all()
        for _ in range(120)
    ]
    assert np.mean(inside) == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 120))
    shifted = rank_table({"a": rng.uniform(size=n) ** 4}, 0.95)
    assert not shifted["inside"].any()


def test_the_band_is_wider_for_more_quantities_and_narrower_for_more_ranks() -> None:
    reach = [joint_band(n, m, 0.95).reach for n, m in [(30, 1), (30, 8), (60, 8)]]
    assert reach[1] > reach[0] > reach[2]
    # one point of an ECDF is binomial: 2 SDs at the middle, and more for all points
    assert 2.0 < reach[0] / np.sqrt(0.25 / 30) < 3.5


def test_tables_of_ranks_say_how_they_depart() -> None:
    n = 120
    even = (np.arange(n) + 0.5) / n
    ranks = {
        "uniform": even,
        "high": even**0.5,
        "narrow": np.where(even < 0.5, even**2, 1.0 - (1.0 - even) ** 2),
        "wide": 0.5 + 0.5 * (even - 0.5),
    }
    table = rank_table(ranks, 0.95)
    assert table["inside"].tolist() == [True, False, False, False]
    assert table.loc["uniform", "mean_rank"] == pytest.approx(0.5)
    assert table.loc["uniform", "spread"] == pytest.approx(1.0, abs=1e-4)
    assert table.loc["wide", "spread"] == pytest.approx(0.5, abs=1e-4)
    said = {
        label: departure(row["mean_rank"], row["spread"], n)
        for label, row in table.iterrows()
    }
    assert "above its draws: it is too low" in said["high"]
    assert "too narrow" in said["narrow"]
    assert "too wide" in said["wide"]
    assert "below its draws: it is too high" in departure(0.4, 1.0, n)
    long = ecdf_table(ranks, 0.95)
    for label, row in table.iterrows():
        own = long.loc[label]
        assert row["farthest"] == own["difference"].abs().max()
        out = (own["difference"] < own["lower"]) | (own["difference"] > own["upper"])
        assert out.any() != row["inside"]


# --- one data set -----------------------------------------------------------------


@pytest.fixture(scope="module")
def one() -> tuple[Any, refits.Truth]:
    """Posterior of a response whose parameters are known, a correlated slope."""
    data = lmm.simulate_classrooms(8, 6, seed=2).data
    data["edu"] += 10.0  # priors refer to its mean, tables to 0
    base = lmm.Model("score ~ edu + (edu | classroom)", data)
    truth = draw_truths(base, 1, np.random.default_rng(5))[0]
    own = base.with_response(truth.y).with_priors(base.priors)
    return sample_unchecked(own, draws=30, chains=2, seed=1, keep="all"), truth


def test_the_marginal_likelihood_is_the_dense_one(
    one: tuple[Any, refits.Truth],
) -> None:
    """At every draw compared, and at the truth, priors of beta as they were."""
    post, truth = one
    design, space = post.model.design, post.model.space
    drawn, true = refits._log_marginal(post, truth)
    priors = post.model.priors
    assert priors.centered  # the intercept's prior is at the means
    turn = np.eye(2)
    turn[0, 1] = design.moments.X.mean[1]
    mean, sd = np.array(
        [(p.arguments["mu"], p.arguments["sigma"]) for p in priors.fixed]
    ).T
    precision = turn.T @ np.diag(sd**-2) @ turn
    at = np.linalg.solve(turn, mean)

    def dense(factor: np.ndarray, sigma: float) -> float:
        """With V of all rows."""
        return dense_log_density(design, [factor], sigma, at, precision)

    given = truth.parameters
    assert true == pytest.approx(dense(given.factors[0], given.sigma), **EXACT)
    assert drawn.size == 60
    values = {label: post.draws(label).ravel() for label in space.labels}
    for i in (0, 29, 59):
        sds = [values[f"{e}|classroom_sigma"][i] for e in ("1", "edu")]
        r = values["classroom_corr[Intercept:edu]"][i]
        factor = lmm.sd_corr_to_factor(np.array(sds), np.array([[1.0, r], [r, 1.0]]))
        assert drawn[i] == pytest.approx(dense(factor, values["sigma"][i]), rel=1e-6)


def test_the_likelihood_given_effects_is_the_normal_density(
    one: tuple[Any, refits.Truth],
) -> None:
    """Up to a constant: n log(2 pi) / 2, the same for draws and truth."""
    post, truth = one
    drawn, true = refits._log_likelihood(post, truth)
    design, given = post.model.design, truth.parameters
    rows = design.rows
    fitted = rows.X @ given.beta
    fitted += (rows.Z[0] * truth.effects[0][rows.codes[0]]).sum(axis=1)
    constant = 0.5 * design.n * np.log(2.0 * np.pi)
    density = sum(
        np.log(NormalDist(m, given.sigma).pdf(y))
        for m, y in zip(fitted, truth.y, strict=True)
    )
    assert true - constant == pytest.approx(density, **EXACT)
    from bayeslmm.posterior.pointwise import log_likelihood_draws

    known = log_likelihood_draws(post.model, post.idata).sum(axis=-1).ravel()
    np.testing.assert_allclose(drawn - constant, known, rtol=1e-8)


@pytest.mark.usefixtures("user_speed")
def test_priors_stay_those_of_the_model_whatever_the_response(
    model: lmm.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Priors that follow the simulated response are another model: not calibrated."""
    seen = []
    plain = refits.sample

    def spy(own: Any, **options: Any) -> Any:
        """What is sampled."""
        seen.append(own)
        return plain(own, **options)

    monkeypatch.setattr(refits, "sample", spy)
    truth = draw_truths(model, 1, np.random.default_rng(2))[0]
    far = replace(truth, y=100.0 * truth.y)
    compare_with_truth(model, far, "auto", 50, 1)
    assert seen[0].priors == model.priors
    np.testing.assert_array_equal(seen[0].design.rows.y, far.y)


@pytest.mark.usefixtures("user_speed")
def test_a_value_is_inside_the_profile_interval_where_the_fall_says_so(
    one: tuple[Any, refits.Truth],
) -> None:
    post, truth = one
    fit, given = post.model.fit_reml(), truth.parameters
    space = post.model.space
    scalars = {"sigma": given.sigma}
    values = read_parameters(
        post.model.design, space.parameters, given.factors, scalars, given.beta
    )
    for prob in (0.3, 0.8):
        table = fit.interval(prob, method="profile")
        most = NormalDist().inv_cdf(0.5 + prob / 2) ** 2
        ends = table.to_numpy(float)
        for own in (values, ends.mean(axis=1), ends[:, 1] + 0.1 * np.ptp(ends, axis=1)):
            own = np.where(np.abs(own) < 1.0, own, values)  # a correlation stays one
            inside = (ends[:, 0] <= own) & (own <= ends[:, 1])
            np.testing.assert_array_equal(profile_falls(fit, own) <= most, inside)
    best = profile_falls(fit, fit.summary()["estimate"].to_numpy())
    np.testing.assert_allclose(best[2:], 0.0, atol=1e-3)  # fixed effects have ML's


# --- the certificate --------------------------------------------------------------


def test_a_calibration_says_what_it_found(found: lmm.Calibration) -> None:
    labels = ["Intercept", "edu", "1|classroom_sigma", "sigma"]
    assert list(found.ranks.columns) == [*labels, *LIKELIHOODS]
    assert found.ranks.shape == (20, 6)
    assert ((found.ranks > 0.0) & (found.ranks < 1.0)).all(axis=None)
    assert found.ok
    assert "as far as 20 data sets can tell" in found.verdict
    assert found.methods == {"nuts": 20}
    assert found.failures == ()
    own = found.coverage.loc["edu"]
    assert list(own["interval"].unique()) == list(KINDS)
    assert list(own["prob"][:3]) == list(PROBS)
    assert (own["n"] == 20).all()
    widths = own[own["prob"] == 0.95].set_index("interval")["width"]
    assert np.isnan(widths["profile"])
    assert (widths[["eti", "hdi", "wald"]] > 0.0).all()
    assert "wald 95%" in repr(found)
    assert "<table" in found._repr_html_()


def test_an_equal_tailed_interval_holds_what_its_rank_says(
    found: lmm.Calibration,
) -> None:
    """Coverage and ranks are of the same draws; a quantile is between two of them."""
    own = found.coverage[found.coverage["interval"] == "eti"]
    for label, rows in own.groupby(level=0):
        ranks = found.ranks[label]
        for prob, share in zip(rows["prob"], rows["coverage"], strict=True):
            edge = (1.0 - prob) / 2.0
            sure = ((ranks > edge + 0.01) & (ranks < 1.0 - edge - 0.01)).mean()
            most = ((ranks > edge - 0.01) & (ranks < 1.0 - edge + 0.01)).mean()
            assert sure <= share <= most


@pytest.mark.usefixtures("user_speed")
def test_a_prior_that_is_not_that_of_the_data_is_found_out(
    model: lmm.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """True SDs of residuals far beyond what the prior allows."""
    plain = refits.prior_parameters

    def wrong(*given: Any) -> list[Any]:
        """Sigma from a prior of its own."""
        return [one._replace(sigma=one.sigma + 5.0) for one in plain(*given)]

    monkeypatch.setattr(refits, "prior_parameters", wrong)
    nothing = np.full((4, 3, 4), np.nan)
    monkeypatch.setattr(refits, "_intervals", lambda *_: (nothing, nothing))
    narrow = model.with_priors({"sigma": "HalfNormal(1)"})
    found = narrow.calibrate(n=10, seed=1, draws=40, progress=False)
    assert found.coverage["coverage"].isna().all()
    assert not found.ok
    assert not found.table.loc["sigma", "inside"]
    assert "sigma: true values lie too often above" in found.verdict


@pytest.mark.slow
@pytest.mark.usefixtures("user_speed")
def test_a_posterior_of_other_data_is_found_out(
    model: lmm.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Draws that do not know the response of which the true values are."""
    plain = refits.sample
    monkeypatch.setattr(refits, "sample", lambda _, **options: plain(model, **options))
    found = model.calibrate(n=20, seed=1, draws=50, progress=False)
    assert not found.ok
    assert found.verdict.startswith("Not calibrated: over 20 data sets")


def test_one_seed_gives_one_answer(model: lmm.Model) -> None:
    with unchecked():
        first, again = (
            calibration._chunk(model, "auto", 30, 1, np.random.default_rng(8))
            for _ in range(2)
        )
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.ranks, b.ranks)
        np.testing.assert_array_equal(a.widths, b.widths)


def test_ctrl_c_keeps_what_is_done(
    model: lmm.Model, found: lmm.Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data sets are handed out by fives: of 33, six times five are whole."""
    done = 0
    example = calibration.Outcome(
        np.full(6, 0.5), np.ones((4, 3, 4)), np.ones((4, 3, 4)), "nuts", False
    )

    def interrupted(*given: Any) -> Any:
        """Ctrl-C while one of them is fitted."""
        nonlocal done
        done += 1
        if done == 33:
            raise KeyboardInterrupt
        return example

    monkeypatch.setattr(calibration, "compare_with_truth", interrupted)
    some = model.calibrate(n=60, seed=1, progress=False)
    assert len(some.ranks) == 30
    assert "Interrupted: 30 of 60 were not done." in some.notes
    done = 27
    with pytest.raises(ModelError, match="fewer than 10 say nothing of 60 asked for"):
        model.calibrate(n=60, seed=1, progress=False)
    done = 32
    with pytest.raises(KeyboardInterrupt):
        model.calibrate(n=60, seed=1, progress=False)


def test_a_sampler_that_was_interrupted_ends_the_calibration(
    model: lmm.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps its draws and goes on as if nothing had been."""
    plain = refits.sample

    def partial(own: Any, **options: Any) -> Any:
        """As after Ctrl-C."""
        post = plain(own, **options)
        return replace(post, status=replace(post.status, partial=True))

    monkeypatch.setattr(refits, "sample", partial)
    truth = draw_truths(model, 1, np.random.default_rng(2))[0]
    with unchecked(), pytest.raises(KeyboardInterrupt):
        compare_with_truth(model, truth, "auto", 50, 1)


def test_an_interrupt_before_there_are_draws_is_no_failure_of_the_data(
    model: lmm.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any, **__: Any) -> Any:
        raise SamplingInterruptedError("Sampling was interrupted.")

    monkeypatch.setattr(refits, "sample", stopped)
    truth = draw_truths(model, 1, np.random.default_rng(2))[0]
    with unchecked(), pytest.raises(KeyboardInterrupt):
        compare_with_truth(model, truth, "auto", 50, 1)


def test_data_sets_without_a_fit_are_counted(
    model: lmm.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = calibration.Outcome(
        np.full(6, 0.5), np.ones((4, 3, 4)), np.ones((4, 3, 4)), "nuts", True
    )
    answers = iter([outcome, "The sampler gave up."] * 30)
    monkeypatch.setattr(calibration, "compare_with_truth", lambda *_: next(answers))
    found = model.calibrate(n=50, seed=1, progress=False)
    assert len(found.ranks) == 25
    assert found.warned == 25
    said = " ".join(found.notes)
    assert "25 data sets had no fit and are left out" in said
    assert "The sampler gave up." in said


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"n": 9}, ModelError, "n must be a whole number of at least 10"),
        ({"n": "many"}, ModelError, "n must be"),
        ({"draws": 3}, ModelError, "draws must be"),
        ({"seed": -1}, ModelError, "seed must be"),
        ({"n_jobs": 0}, ModelError, "n_jobs must be"),
        ({"progress": "yes"}, ModelError, "progress must be"),
        ({"method": "joint"}, ModelError, "Unknown method='joint' of a calibration"),
        ({"method": None}, ModelError, "Unknown method=None"),
    ],
)
def test_options_that_cannot_be(
    model: lmm.Model, options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with unchecked(), pytest.raises(kind, match=words):
        model.calibrate(**options)


def test_flat_priors_cannot_be_calibrated(model: lmm.Model) -> None:
    """Nothing can be drawn from them: the reason, and a near alternative."""
    for priors in ("flat", {"sigma": "flat"}, {"edu": "flat"}):
        with pytest.raises(PriorError, match=r"flat.* no calibration.*with_priors"):
            model.with_priors(priors).calibrate()


def test_models_that_cannot_be_calibrated(model: lmm.Model) -> None:
    data = lmm.simulate_classrooms(6, 4, seed=1).data
    counts = lmm.Model(
        "passed ~ edu + (1 | classroom)",
        data.assign(passed=(data["score"] > data["score"].median()).astype(int)),
        family="bernoulli",
    )
    with pytest.raises(ModelError, match="family 'bernoulli'"):
        counts.calibrate()
    with pytest.raises(PriorError, match="priors that can be integrated"):
        model.with_priors({"edu": "StudentT(3, 0, 1)"}).calibrate()
    slopes = lmm.Model(
        "score ~ edu + (edu | classroom) + (1 | school)",
        data.assign(school=data["classroom"].str[-1]),
    )
    with pytest.raises(ModelError, match="quadrature takes at most 4"):
        slopes.calibrate(method="quadrature")


def test_rows_in_batches_cannot_be_simulated() -> None:
    import pyarrow as pa

    data = lmm.simulate_classrooms(6, 4, seed=1).data
    batches = pa.Table.from_pandas(data).to_batches()
    streamed = lmm.Model("score ~ edu + (1 | classroom)", batches)
    with pytest.raises(DataError, match="batches"):
        streamed.calibrate()


# --- the figure -------------------------------------------------------------------


def test_the_figure_draws_the_tables(found: lmm.Calibration) -> None:
    figure = found.plot()
    assert len(figure.axes) == 6
    for ax, (label, own) in zip(
        figure.axes, found.ecdf().groupby(level=0, sort=False), strict=True
    ):
        assert ax.get_title() == label
        np.testing.assert_array_equal(ax.lines[-1].get_ydata(), own["difference"])
        top = ax.collections[0].get_paths()[0].vertices[:, 1].max()
        assert top == pytest.approx(own["upper"].max())
    shown = lmm.plot_calibration(found, ["sigma", "edu"], what="coverage")
    own = found.coverage.loc[["sigma"]]
    for kind, bars in zip(KINDS, shown.axes[0].containers, strict=True):
        rows = own[own["interval"] == kind]
        np.testing.assert_array_equal(bars[0].get_ydata(), rows["coverage"])
    assert "20 data sets" in shown.get_suptitle()


def test_a_curve_that_leaves_the_band_is_red(found: lmm.Calibration) -> None:
    bent = found.ranks.assign(edu=found.ranks["edu"] ** 3)
    columns = {c: bent[c].to_numpy() for c in bent.columns}
    wrong = replace(found, ranks=bent, table=rank_table(columns, 0.95))
    colors = [ax.lines[-1].get_color() for ax in lmm.plot_calibration(wrong).axes]
    assert colors[1] != colors[0]
    assert len(set(colors)) == 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"labels": ["nothing"]}, "no quantity 'nothing'"),
        ({"labels": 5}, "labels"),
        ({"what": "both"}, "'ranks' or 'coverage'"),
        ({"what": None}, "'ranks' or 'coverage'"),
        ({"prob": 0.5}, "no option 'prob'"),
    ],
)
def test_figures_that_cannot_be(
    found: lmm.Calibration, given: dict[str, Any], words: str
) -> None:
    with unchecked(), pytest.raises(ModelError, match=words):
        lmm.plot_calibration(found, **given)
    with unchecked(), pytest.raises(ModelError, match="calibrate"):
        lmm.plot_calibration(found.table)  # type: ignore[arg-type]


# --- weekly -----------------------------------------------------------------------


SHAPES: dict[str, tuple[str, dict[str, str]]] = {
    "three levels": ("y ~ x + (1 | g)", {}),
    "correlated slope": ("y ~ year + (year | g)", {}),
    "nested": ("y ~ x + (1 | g / h)", {}),
    "crossed": ("y ~ x + (1 | g) + (1 | h)", {}),
    "weights": ("y ~ x + (x | g)", {"weights": "w"}),
    "ar1": ("y ~ x + (1 | g)", {"residual": "ar1(year | g)"}),
}


def shape(name: str) -> lmm.Model:
    """Three levels; a correlated slope; nested; crossed; weights; AR(1) residuals."""
    rng, n = np.random.default_rng(3), 64

    def rows(levels: int, each: int) -> pd.DataFrame:
        """Rows in levels, a predictor far from 0, other factors, weights, times."""
        n = levels * each
        i = np.arange(n)
        return pd.DataFrame(
            {
                "g": i % levels,
                "h": (i // levels) % 4,
                "class": i % levels * 4 + (i // levels) % 4,
                "x": rng.normal(size=n).round(2),
                "year": 2006.0 + i // levels,
                "w": rng.uniform(0.3, 3.0, n).round(2),
                "y": rng.normal(size=n),
            }
        )

    many, few = rows(8, 8), rows(3, 10)
    assert len(many) == n
    formula, options = SHAPES[name]
    data = few if name == "three levels" else many
    return lmm.Model(formula, data, **options)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SHAPES)
def test_six_shapes_are_calibrated(name: str) -> None:
    """Two hundred data sets of each, as a user draws them."""
    with unchecked():
        found = shape(name).calibrate(n=SETS, seed=11, progress=False)
    print(name, found)
    assert not found.failures
    assert found.ok, found.verdict
    own = found.coverage[found.coverage["interval"].isin(["eti", "hdi"])]
    error = np.sqrt(own["prob"] * (1.0 - own["prob"]) / own["n"])
    assert ((own["coverage"] - own["prob"]).abs() < 4.0 * error).all(), own


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("method", ["quadrature", "importance"])
def test_the_other_routes_are_calibrated(method: Any) -> None:
    with unchecked():
        found = shape("three levels").calibrate(
            n=SETS, seed=12, method=method, progress=False
        )
    assert found.methods[method] > SETS / 2
    assert found.ok, found.verdict


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_sds_that_are_a_half_too_large_are_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Draws, not priors: eight levels outweigh a prior that is off by as much."""
    plain = refits.sample

    def larger(own: Any, **options: Any) -> Any:
        """SDs of the random effects."""
        post = plain(own, **options)
        drawn = post.idata["posterior"]
        drawn["1|g_sigma"] = 1.5 * drawn["1|g_sigma"]
        return post

    monkeypatch.setattr(refits, "sample", larger)
    with unchecked():
        found = shape("three levels").calibrate(
            n=100, seed=11, draws=200, progress=False
        )
    assert not found.ok
    assert "1|g_sigma: true values lie too often below its draws" in found.verdict


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_processes_do_not_matter(model: lmm.Model) -> None:
    options = {"n": 20, "seed": 4, "draws": 50, "progress": False}
    with unchecked():
        one, two = (model.calibrate(n_jobs=jobs, **options) for jobs in (1, 2))
    pd.testing.assert_frame_equal(one.ranks, two.ranks)
    pd.testing.assert_frame_equal(one.coverage, two.coverage)
