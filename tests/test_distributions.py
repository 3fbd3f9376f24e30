"""Densities, tail probabilities and ranks of a posterior, against what is known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sampling import sample_unchecked, unchecked
from scipy import integrate, stats

from bayeslmm import Model, ModelError, Posterior
from bayeslmm.datasets import simulate_classrooms
from bayeslmm.posterior.components import make_component
from bayeslmm.posterior.densities import _lines, component_curves
from bayeslmm.posterior.lines import density_along, normalised
from bayeslmm.posterior.margins import coordinate_margin
from bayeslmm.posterior.mixtures import NormalMixture
from bayeslmm.posterior.prior_points import prior_density
from bayeslmm.posterior.visits import log_target
from bayeslmm.posterior.weighted import weighted_points

# What the tutorial's 60 pupils must give, by quadrature: its figures have two decimals.
TUTORIAL = 0.05
# Sums over a lattice against integrals of scipy.
SUMS = 2e-3
# Averages over 384 lines through draws, against all draws: Monte Carlo of both.
LINES = 0.03
EXACT = 1e-10

Data = pd.DataFrame
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def pupils() -> Data:
    """Five classrooms of eight."""
    return simulate_classrooms(5, 8, seed=3).data


@pytest.fixture(scope="module")
def one(pupils: Data) -> Posterior:
    """An SD and sigma: a lattice."""
    priors = {"1|classroom": "HalfNormal(3)", "sigma": "HalfNormal(2)"}
    flat = {"Intercept": "flat", "common": "flat"}
    model = Model("score ~ 1 + (1 | classroom)", pupils, priors={**priors, **flat})
    return sample_unchecked(model, draws=500, seed=1)


@pytest.fixture(scope="module")
def slopes() -> Posterior:
    """Two SDs, a correlation, sigma: draws."""
    data = simulate_classrooms(12, 12, seed=2).data
    model = Model("score ~ edu + (edu | classroom)", data)
    return sample_unchecked(model, draws=1000, seed=1, method="nuts")


def dense_likelihood(data: Data, sd: float, sigma: float) -> float:
    """Restricted likelihood of one mean and one SD, with the dense covariance."""
    codes = pd.factorize(data["classroom"])[0]
    same = codes[:, None] == codes[None]
    V = sigma**2 * np.eye(len(data)) + sd**2 * same
    P, y, one = np.linalg.inv(V), data["score"].to_numpy(), np.ones(len(data))
    rest = y - one * (one @ P @ y) / (one @ P @ one)
    log_det = np.linalg.slogdet(V)[1] + np.log(one @ P @ one)
    return float(np.exp(-0.5 * (log_det + rest @ P @ rest) + 60.0))


def test_prior_times_likelihood_is_the_posterior(one: Posterior, pupils: Data) -> None:
    """Each against scipy's integrals of the dense restricted likelihood."""

    nodes, weights = np.polynomial.legendre.leggauss(120)
    sigmas, weights = 0.3 + 3.0 * (nodes + 1.0), 3.0 * weights
    weights = weights * stats.halfnorm.pdf(sigmas, scale=2)

    def over_sigma(sd: float) -> float:
        heights = [dense_likelihood(pupils, sd, s) for s in sigmas.tolist()]
        return float(weights @ heights)

    grid = np.array([0.6, 1.5, 4.0])
    expected = np.array([over_sigma(sd) for sd in grid.tolist()])
    with unchecked():
        table = one.density("1|classroom_sigma", grid)
    likelihood = table["likelihood"].to_numpy()
    np.testing.assert_allclose(
        likelihood / likelihood[1], expected / expected[1], rtol=SUMS
    )
    prior = stats.halfnorm.pdf(grid, scale=3)
    np.testing.assert_allclose(table["prior"], prior, rtol=EXACT)
    np.testing.assert_allclose(table["density"], prior * likelihood, rtol=EXACT)
    with unchecked():
        whole = one.density("1|classroom_sigma", np.linspace(0.0, 25.0, 5001))
    area = float(np.trapezoid(whole["density"], whole["value"]))
    assert area == pytest.approx(1.0, abs=SUMS)


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        ("HalfStudentT(3, 2.75)", (3.17, 1.60, 8.32)),
        pytest.param("Exponential(0.36363636)", (3.25, 1.56, 8.43), marks=SLOW),
        pytest.param("HalfNormal(5)", (3.74, 1.71, 9.29), marks=SLOW),
        pytest.param("HalfCauchy(5)", (3.81, 1.67, 13.9), marks=SLOW),
        pytest.param("HalfNormal(13.755)", (4.90, 1.82, 18.8), marks=SLOW),
        ("flat", (6.44, 1.93, 134.0)),
    ],
)
def test_the_tutorials_posteriors(classrooms: Data, prior: str, expected: Any) -> None:
    """Median and 95% of the SD of three classrooms, priors of the rest flat."""
    rest = dict.fromkeys(("Intercept", "common", "sigma"), "flat")
    model = Model(
        "score ~ edu + (1 | classroom)",
        classrooms,
        priors={**rest, "1|classroom": prior},
    )
    with unchecked(), pytest.warns() if prior == "flat" else _nothing():
        post = model.sample(draws=50, chains=2, seed=1, progress=False)
    with unchecked():
        points = weighted_points(post)
        own = make_component(model.design, points.target, "1|classroom_sigma", "zero")
        curves = component_curves(own, points)
    found = own.natural(curves.posterior.quantiles(np.array([0.5, 0.025, 0.975])))
    # the tutorial's grid ended: of its flat posterior the far tail was left out
    rtol = np.array([0.01, 0.01, 0.04 if prior == "flat" else 0.01])
    away = np.abs(found - np.array(expected))
    assert (away < TUTORIAL + rtol * np.array(expected)).all(), found


def _nothing() -> Any:
    """No warning is asked for."""
    from contextlib import nullcontext

    return nullcontext()


def test_lines_through_the_lattice_give_its_margin(one: Posterior) -> None:
    """Two routes to the density of log sd; the second knows nothing of a grid."""
    with unchecked():
        points = weighted_points(one)
        assert points.lattice is not None
        margin = normalised(*coordinate_margin(points.lattice, 1))
        nodes = np.linspace(-1.5, 2.5, 41)
        kept = points.weights > 1e-8
        weights = points.weights[kept] / points.weights[kept].sum()
        given = (points.x[kept], weights, points.x[kept, 1], np.array([0.0, 1.0]))
        found = density_along(
            *given, nodes, lambda x: np.array([log_target(points.target, p) for p in x])
        )
    shape = margin.log_at(nodes) - found.log_density
    near = found.log_density > found.log_density.max() - 6.0
    np.testing.assert_allclose(shape[near], shape[near].mean(), atol=SUMS)


def test_densities_by_lines_describe_the_draws(slopes: Posterior) -> None:
    """Quantiles of every component, at zero and at the mean, in SDs of the draws."""
    with unchecked():
        points = weighted_points(slopes)
        design = slopes.model.design
        for at in ("zero", "mean"):
            for parameter in design.space.variances:
                own = make_component(design, points.target, parameter.label, at)
                curves = component_curves(own, points)
                drawn = own.working(points.x)
                wanted = np.array([0.1, 0.5, 0.9])
                found = curves.posterior.quantiles(wanted)
                error = (found - np.quantile(drawn, wanted)) / drawn.std()
                assert np.abs(error).max() < 3.0 * LINES, (at, own.label)


def test_the_prior_of_an_icc_is_a_convolution(one: Posterior) -> None:
    """logit(icc) = 2 log sd - 2 log sigma: scipy's integral of two densities."""
    with unchecked():
        points = weighted_points(one)
        own = make_component(one.model.design, points.target, "icc", "zero")
        prior = prior_density(own, points.target)
    assert prior is not None

    def of_log(x: float, scale: float) -> float:
        return stats.halfnorm.pdf(np.exp(x), scale=scale) * np.exp(x)

    def density(value: float) -> float:
        def product(log_sigma: float) -> float:
            return of_log(log_sigma + 0.5 * value, 3.0) * of_log(log_sigma, 2.0)

        return 0.5 * integrate.quad(product, -15.0, 4.0, epsrel=1e-9)[0]

    values = np.array([-4.0, -1.0, 0.0, 1.0, 4.0])
    expected = [density(value) for value in values.tolist()]
    np.testing.assert_allclose(np.exp(prior(values)), expected, rtol=5 * SUMS)


def test_tail_probabilities_are_those_of_the_mixture(
    one: Posterior, slopes: Posterior
) -> None:
    """Beside shares of draws where there are some, and below one draw where not."""
    with unchecked():
        n = slopes.draws("edu").size
        for label, ends in {
            "edu": {"below": 0.15},
            "sigma": {"above": 1.0},
            "classroom_corr[Intercept:edu]": {"below": -0.2, "above": -0.8},
        }.items():
            drawn = slopes.draws(label)
            low, high = ends.get("above", -np.inf), ends.get("below", np.inf)
            share = float(((drawn > low) & (drawn < high)).mean())
            found = slopes.probability(label, **ends)
            error = np.sqrt(share * (1.0 - share) / n)
            assert abs(found - share) < 4.0 * error + LINES, label
        assert 0.0 < slopes.probability("edu", above=3.0) < 1e-6
        label = f"1|classroom[{one.model.design.groups[0].levels[0]}]"
        drawn = one.ranef(levels=["c00"], draws=True).to_numpy()
        share = float((drawn > 0.0).mean())
        found = one.probability(label, above=0.0)
    assert abs(found - share) < 0.06


def test_a_mixture_is_its_normals() -> None:
    """Two of them: density, both tails, and the quantile back."""
    own = NormalMixture(
        np.array([0.3, 0.7]), np.array([-1.0, 2.0]), np.array([1.0, 0.5])
    )
    values = np.array([-2.0, 0.0, 2.5])
    parts = [stats.norm(-1.0, 1.0), stats.norm(2.0, 0.5)]
    expected = 0.3 * parts[0].pdf(values) + 0.7 * parts[1].pdf(values)
    np.testing.assert_allclose(own.density(values), expected, rtol=EXACT)
    assert own.above(12.0) == pytest.approx(0.3 * parts[0].sf(12.0), rel=1e-6)
    assert own.above(0.3) + own.below(0.3) == pytest.approx(1.0, abs=EXACT)
    assert own.below(own.quantiles(0.2)[0]) == pytest.approx(0.2, abs=1e-7)


def test_units_of_the_response_change_no_probability(pupils: Data) -> None:
    """A law: y in thousandths."""
    found = []
    with unchecked():
        for unit in (1.0, 1000.0):
            data = pupils.assign(score=unit * pupils["score"])
            model = Model("score ~ 1 + (1 | classroom)", data)
            post = model.sample(draws=50, chains=2, seed=1, progress=False)
            low = post.probability("1|classroom_sigma", below=1.5 * unit)
            found.append((low, post.probability("icc", above=0.5)))
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_what_is_no_question_is_said(one: Posterior) -> None:
    cases: list[tuple[Any, str]] = [
        (lambda: one.density("1|classrom_sigma"), "Did you mean '1.classroom_sigma'"),
        (lambda: one.density("1|classroom[zz]"), "no level 'zz' of 'classroom'"),
        (lambda: one.density(3), "label must be text"),
        (lambda: one.density("sigma", "x"), "grid must be numbers"),
        (lambda: one.density("sigma", [np.nan]), "grid must be numbers"),
        (lambda: one.density("sigma", at="middle"), "Unknown at='middle'"),
        (lambda: one.probability("sigma"), "Say of what range"),
        (lambda: one.probability("sigma", above="x"), "above must be a number"),
        (lambda: one.probability("sigma", above=2, below=1), "Nothing lies above 2"),
        (lambda: replace(one, method="joint").density("sigma"), "all its effects"),
        (lambda: one.rank_levels("edu"), "No effect 'edu' varies over classroom"),
        (lambda: one.rank_levels(group="school"), "No grouping factor 'school'"),
        (lambda: one.rank_levels(top=5), "top=5 of 5 levels"),
        (lambda: one.rank_levels(top=0), "top must be"),
        (lambda: one.rank_levels(best="first"), "Unknown best='first'"),
        (lambda: one.rank_levels(prob=2), "prob must lie between"),
        (lambda: one.rank_levels(at={"edu": 1}), "no predictor has an effect"),
    ]
    for call, words in cases:
        with unchecked(), pytest.raises(ModelError, match=words):
            call()


def test_ranks_are_those_within_each_draw(slopes: Posterior) -> None:
    """Against a loop over the draws of all levels."""
    with unchecked():
        table = slopes.rank_levels("edu", top=3).set_index("level")
        levels = list(slopes.model.design.groups[0].levels)
        b = slopes.ranef(levels=levels, draws=True).to_numpy().reshape(-1, 12, 2)
        ranks = np.array([stats.rankdata(-row) for row in b[:, :, 1]])
        np.testing.assert_allclose(table.loc[levels, "rank"], ranks.mean(0), rtol=EXACT)
        np.testing.assert_allclose(table.loc[levels, "p_top"], (ranks <= 3).mean(0))
        np.testing.assert_allclose(table.loc[levels, "p_best"], (ranks <= 1).mean(0))
        assert table["p_top"].sum() == pytest.approx(3.0)
        lowest = slopes.rank_levels("edu", best="lowest").set_index("level")
        np.testing.assert_allclose(lowest.loc[levels, "rank"], 13.0 - ranks.mean(0))
        point = slopes.rank_levels(at={"edu": 4.0}).set_index("level")
        ranks = np.array([stats.rankdata(-row) for row in b @ np.array([1.0, 4.0])])
        np.testing.assert_allclose(point.loc[levels, "rank"], ranks.mean(0), rtol=EXACT)
        with pytest.raises(ModelError, match="Say which is ranked"):
            slopes.rank_levels()


def test_an_effect_is_known_by_its_label_in_the_tables(slopes: Posterior) -> None:
    group = slopes.model.design.groups[0].group
    for name in slopes.model.design.groups[0].effects:
        own = slopes.rank_levels(name)
        head = "1" if name == "Intercept" else name
        for label in (f"{head}|{group}", f"{head}|{group}_sigma"):
            pd.testing.assert_frame_equal(slopes.rank_levels(label), own)
    with pytest.raises(ModelError, match=r"No effect 'no\|"):
        slopes.rank_levels(f"no|{group}")


def test_tails_of_an_sd_that_mixes_others_have_lines_of_their_own(
    slopes: Posterior,
) -> None:
    """Lines through the middle know nothing of the tails: these have a half of all."""
    with unchecked():
        points = weighted_points(slopes)
        label = "1|classroom_sigma"
        own = make_component(slopes.model.design, points.target, label, "zero")
        values = own.working(points.x)
        kept, weights = _lines(points, values)
    low = np.quantile(values, 0.01)
    assert weights.sum() == pytest.approx(1.0)
    assert (values[kept] < low).sum() > 50
    assert weights[values[kept] < low].sum() == pytest.approx(0.01, abs=1e-3)
