"""Every structure through every law, table, sentence, report and command."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from cli_cases import run_unchecked
from helpers import dense_criterion, dense_log_density
from numpy.typing import NDArray
from sampling import unchecked
from scipy.linalg import toeplitz
from scipy.stats import beta

import bayeslmm as lmm
from bayeslmm.comparison import prior_pull
from bayeslmm.covariance import (
    STRUCTURES,
    Structure,
    coordinates_to_factor,
    corr_logp,
    factor_to_sd_corr,
)
from bayeslmm.posterior.sampling import sample
from bayeslmm.reml.estimate import fit_reml
from bayeslmm.reporting.explain import explain_text
from bayeslmm.reporting.html import report_html
from bayeslmm.reporting.record import Record
from bayeslmm.reporting.summary import summary_json

EXACT = 1e-10  # the same algebra by two routes
LOWEST = 1e-5  # two optima of one criterion
NO_SHARE = ("us", "diag", "homdiag")
EVERY = [pytest.param(own, id=word) for word, own in STRUCTURES.items()]

# By default one of each kind; the others differ in the effects, not in the structure.
BARS = (
    "(f | g)",
    "diag(x | g, hom = TRUE)",
    "cs(0 + f | g, hom = TRUE)",
    "cs(1 | g)",
    "hetar1(0 + f | g)",
    "toep(0 + f | g, hom = TRUE)",
    *(
        pytest.param(bar, marks=pytest.mark.slow)
        for bar in (
            "diag(x | g)",
            "diag(f | g, hom = TRUE)",
            "cs(x | g)",
            "cs(x | g, hom = TRUE)",
            "ar1(0 + f | g)",
            "ar1(1 | g)",
            "toep(f | g)",
            "toep(1 | g)",
        )
    ),
)


# Those whose report is written: it takes its time.
DRAWN = ("cs(x | g, hom = TRUE)", "toep(0 + f | g, hom = TRUE)")


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """Twelve groups of twenty; a number and a factor whose effects vary."""
    rng = np.random.default_rng(1)
    g = np.arange(240) % 12
    data = pd.DataFrame({"x": rng.normal(size=240), "g": g})
    data["f"] = rng.permutation(list("abc") * 80)
    effects = rng.normal(size=(12, 3))
    data["y"] = effects[g, 0] + effects[g, 1] * data["x"] + rng.normal(size=240)
    data["y"] += effects[g, 2] * (data["f"] == "b")
    return data


@pytest.mark.parametrize("bar", BARS)
@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_every_structure_passes_every_table(bar: str, data: pd.DataFrame) -> None:
    """`hom = TRUE` ended in IndexError and ValueError in compare, reading, report."""
    with unchecked():
        model = lmm.Model(f"y ~ x + f + {bar}", data)
        reml, post = fit_reml(model), sample(model, seed=1, draws=60, chains=2)
        labels = list(reml.summary().index)
        assert list(post.summary().index) == labels
        assert list(lmm.compare(reml, post).index) == labels
        assert list(reml.confint().index) == list(post.interval().index) == labels
        for at in ("zero", "mean"):
            own = reml.varcorr(at=at)  # type: ignore[arg-type]
            theirs = post.varcorr(at=at)  # type: ignore[arg-type]
            assert list(own.index) == list(theirs.index)
        assert len(reml.ranef()) == len(post.ranef()) == 12 * model.design.groups[0].k
        assert len(reml.coef()) == len(post.coef())
        assert len(lmm.shrinkage_table(reml, post)) == len(reml.ranef())
        assert lmm.reading(reml, post)
        assert explain_text(model)
        assert repr(model.priors)
        fit = lmm.Fit(model, reml, post)
        assert summary_json(fit, record=Record(), files={})
        if bar in DRAWN:
            assert "Reading" in report_html(fit)


@pytest.mark.parametrize(
    ("bar", "label"),
    [
        ("diag(x | g, hom = TRUE)", "x|g_sigma"),
        pytest.param("toep(0 + f | g)", "g_corr[lag 2]", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("plain_figures")
def test_the_command_line_takes_them_too(
    bar: str, label: str, folder: object, data: pd.DataFrame
) -> None:
    """The first crashed there."""
    del folder
    data.to_csv("data.csv", index=False)
    formula = f"y ~ x + f + {bar}"
    code, out, _ = run_unchecked(
        "fit", "data.csv", formula, "--reml-only", "--out", "res"
    )
    assert code == 0
    assert label in out


# --- the covariance of the textbook ---------------------------------------------------


def textbook(own: Structure, named: NDArray, k: int) -> NDArray:
    """Correlation matrix, from the correlations that tables show."""
    lag = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    match own.word:
        case "us":
            found = np.eye(k)
            found[np.triu_indices(k, 1)] = named  # rows of it are columns below
            return found + np.triu(found, 1).T
        case "diag" | "homdiag":
            return np.eye(k)
        case "cs" | "homcs":
            return np.where(lag == 0, 1.0, named[0])
        case "ar1" | "hetar1":
            return named[0] ** lag
    return toeplitz([1.0, *named])


def random_point(own: Structure, k: int, seed: int) -> NDArray:
    """Coordinates, partials within 0.9."""
    return np.random.default_rng(seed).uniform(-1.4, 1.4, own.n_theta(k))


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("own", EVERY)
def test_correlations_are_what_their_names_say(own: Structure, k: int) -> None:
    """SDs and named correlations give the whole matrix, which is positive definite."""
    for seed in range(5):
        factor = coordinates_to_factor(own, random_point(own, k, seed), k)
        sd, corr = factor_to_sd_corr(factor)
        named = own.read(corr)
        assert len(named) == own.n_corr(k) == len(own.correlations.pairs(k))
        for pair, value in zip(own.correlations.pairs(k), named, strict=True):
            assert corr[pair] == pytest.approx(value, abs=EXACT)
        assert corr == pytest.approx(textbook(own, named, k), abs=EXACT)
        assert own.homogeneous == (np.ptp(sd) < EXACT)
        assert (np.diag(factor) > 0.0).all()


@pytest.mark.parametrize("own", EVERY)
def test_slopes_of_the_matrix_are_differences(own: Structure) -> None:
    """By each named correlation."""
    k, step = 4, 1e-6
    corr = factor_to_sd_corr(coordinates_to_factor(own, random_point(own, k, 1), k))[1]
    named = own.read(corr)
    for c in range(len(named)):
        move = step * (np.arange(len(named)) == c)
        ends = textbook(own, named + move, k) - textbook(own, named - move, k)
        slope = own.correlations.slope(named, c, k)
        assert slope == pytest.approx(ends / (2.0 * step), abs=1e-8)


def test_coordinates_of_toep_are_partial_autocorrelations() -> None:
    """Of two effects given those between them, from the inverse of their covariance."""
    own, k = STRUCTURES["toep"], 6
    x = random_point(own, k, 3)
    corr = factor_to_sd_corr(coordinates_to_factor(own, x, k))[1]
    for lag in range(1, k):
        inverse = np.linalg.inv(corr[: lag + 1, : lag + 1])
        partial = -inverse[0, lag] / np.sqrt(inverse[0, 0] * inverse[lag, lag])
        assert np.tanh(x[k + lag - 1]) == pytest.approx(partial, abs=EXACT)


@pytest.mark.parametrize("own", EVERY)
@pytest.mark.parametrize("eta", [1.0, 2.0, 3.5])
def test_the_prior_that_is_told_is_the_one_used(own: Structure, eta: float) -> None:
    """A Beta of each partial, scaled; LKJ is tested beside the factor."""
    k = 4
    x, told = random_point(own, k, 2), own.prior(k, eta)
    if not own.is_shared(k):
        assert told["name"] == "LKJ" or not own.n_corr(k)
        return
    assert f"Beta({eta:g}, {eta:g}) on ({own.low(k):.4g}, 1)" in own.prior_words(k, eta)
    assert told["args"]["lower"] == own.low(k)
    w = np.tanh(x[own.n_sd(k) :])
    law = beta(told["args"]["alpha"], told["args"]["beta"], loc=-1.0, scale=2.0)
    expected = (law.logpdf(w) + np.log1p(-(w**2))).sum()
    assert corr_logp(own, x, k, eta)[0] == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("own", [own for own in EVERY if own.id not in NO_SHARE])
@pytest.mark.parametrize("eta", [1.0, 2.0])
def test_density_of_the_correlations_has_their_jacobian(
    own: Structure, eta: float
) -> None:
    """That of the coordinates, by differences; up to a constant."""
    k, step, found = 4, 1e-6, []
    for seed in (1, 2, 3):
        x = random_point(own, k, seed)
        corr = factor_to_sd_corr(coordinates_to_factor(own, x, k))[1]
        named = own.correlations.read(corr)
        rows = [
            np.arctanh(np.cos(own.angles(named + step * unit, k)))
            - np.arctanh(np.cos(own.angles(named - step * unit, k)))
            for unit in np.eye(len(named))
        ]
        jacobian = np.linalg.slogdet(np.array(rows) / (2.0 * step))[1]
        density = corr_logp(own, x, k, eta)[0] + jacobian
        found.append(own.corr_density(named, k, eta) - density)
    assert found == pytest.approx([found[0]] * 3, abs=1e-6)


@pytest.mark.parametrize("word", ["cs", "ar1", "toep"])
@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_a_prior_of_shared_correlations_pulls(word: str) -> None:
    """It was left out, and the reading said that no prior pulled at all."""
    fit = fitted(word, 6)
    pull, table = prior_pull(fit, fit.model.priors), fit.summary()
    own = [label for label in pull.index if label.startswith("g_corr")]
    assert pull[own].notna().all()
    if word == "toep":  # uniform partials are not uniform correlations
        assert pull[own[0]] < 0.0
        return
    low = fit.model.design.groups[0].covariance.low(4)
    rho = table["estimate"]["g_corr[rho]"]
    slope = 1.0 / (rho - low) - 1.0 / (1.0 - rho)  # of Beta(2, 2)
    expected = slope * table["se"]["g_corr[rho]"]
    assert pull["g_corr[rho]"] == pytest.approx(expected, rel=1e-6)


def test_the_prior_of_toep_is_printed(data: pd.DataFrame) -> None:
    """In the table of priors and in the summary, as it is used."""
    model = lmm.Model("y ~ x + f + toep(0 + f | g)", data)
    words = "Beta(2, 2) on (-1, 1) of each partial autocorrelation"
    assert words in repr(model.priors)
    assert model.design.groups[0].covariance.prior(3, 2.0)["of"] in words


# --- the criterion --------------------------------------------------------------------


def by_steps(seed: int) -> pd.DataFrame:
    """Forty groups; four steps, near ones alike, and not as ar1 has it."""
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(toeplitz([1.0, 0.7, 0.2, 0.1]))
    g, f = np.repeat(np.arange(40), 12), np.tile(np.arange(4), 120)
    effects = rng.normal(size=(40, 4)) @ root.T * [1.0, 1.5, 0.8, 1.2]
    y = effects[g, f] + rng.normal(size=480)
    return pd.DataFrame({"y": y, "f": np.array(list("abcd"))[f], "g": g})


@cache
def fitted(word: str, seed: int) -> lmm.RemlFit:
    """REML of one structure, made once."""
    with unchecked():
        return fit_reml(lmm.Model(f"y ~ f + {word}(0 + f | g)", by_steps(seed)))


@pytest.mark.parametrize("own", EVERY)
@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_criterion_is_that_of_the_table(own: Structure) -> None:
    """Dense, from the SDs and correlations that the summary shows, and the lowest."""
    fit = fitted(own.word, 6)
    shown, term = fit.summary()["estimate"], fit.model.design.groups[0]
    sd = np.array([v for i, v in shown.items() if "_sigma[" in i or i == "f|g_sigma"])
    named = np.array([v for i, v in shown.items() if i.startswith("g_corr")])
    corr = textbook(own, named, term.k)
    values, vectors = np.linalg.eigh(corr)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    factor = np.broadcast_to(sd, (term.k,))[:, None] * root
    assert fit.status.converged
    found = -2.0 * dense_log_density(fit.model.design, [factor], fit.sigma)
    assert found == pytest.approx(fit.criterion, abs=1e-7)
    lowest, *_ = dense_criterion(
        fit.model.design, [factor / fit.sigma], restricted=True
    )
    assert lowest == pytest.approx(fit.criterion, abs=1e-7)


OTHER_SEEDS = [pytest.param(seed, marks=pytest.mark.slow) for seed in (4, 8)]


@pytest.mark.parametrize("seed", [1, 6, *OTHER_SEEDS])
@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
@pytest.mark.usefixtures("user_speed")
def test_a_wider_structure_is_never_worse(seed: int) -> None:
    """us, toep, ar1: each holds the next. hetar1 of seed 1 was searched for ever."""
    words = ("us", "toep", "homtoep", "hetar1", "ar1")
    fits = {word: fitted(word, seed) for word in words}
    assert all(fit.status.converged for fit in fits.values())
    for wide, narrow in [
        ("us", "toep"),
        ("toep", "hetar1"),
        ("toep", "homtoep"),
        ("homtoep", "ar1"),
    ]:
        assert fits[wide].criterion <= fits[narrow].criterion + LOWEST


def test_a_partial_at_its_end_is_told() -> None:
    """Of toep the lags from there on are on the boundary, and have no SE."""
    with pytest.warns(lmm.FitWarning, match="at lag 3 of toep"):
        fit = fitted.__wrapped__("toep", 1)  # anew: it is the warning that is tested
    assert fit.status.boundary == ("g_corr[lag 3]",)
    se = fit.summary()["se"]
    assert np.isfinite(se["g_corr[lag 1]"])
    assert np.isfinite(se["g_corr[lag 2]"])
    assert np.isnan(se["g_corr[lag 3]"])
