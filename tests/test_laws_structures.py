"""Laws of the structures that a shift of x does not leave as they are: cs, ar1.

With two effects and an SD for each they are the unstructured covariance under another
name, wherever x is 0; with more, or one SD for all, they are what they are, and no
start may lead lower than the fit.
"""

import warnings

import numpy as np
import pandas as pd
import pytest
from sampling import sample_unchecked, unchecked
from scipy.optimize import minimize

from bayeslmm import Model, RemlFit, compare, reading
from bayeslmm.covariance import STRUCTURES, factor_to_sd_corr
from bayeslmm.reml.criterion import profiled_problem
from bayeslmm.reml.estimate import fit_reml
from bayeslmm.reml.status import boundary_message, boundary_parameters

# Two optima of one criterion.
LOWEST = 1e-4
# Estimates and their errors by two searches.
ESTIMATE, ERROR = 1e-4, 1e-2
SLOW = pytest.mark.slow
SHIFTS = (0.0, 2006.0, -1e5, *(pytest.param(c, marks=SLOW) for c in (1e2, 1e5, -2e3)))
FAR = (0.0, 1e5, -2006.0)


def quiet_fit(formula: str, data: pd.DataFrame) -> RemlFit:
    """REML whose warnings are read from its status."""
    with warnings.catch_warnings(), unchecked():
        warnings.simplefilter("ignore")
        return fit_reml(Model(formula, data))


# --- two effects, each with its SD ----------------------------------------------------


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("bar", ["cs({})", "ar1({}, hom = FALSE)"])
def test_two_effects_are_unstructured_wherever_x_is_zero(
    bar: str, shift: float, sleepstudy: pd.DataFrame
) -> None:
    """#7: with Days + 2006 the criterion stopped 4 too high and said converged."""
    data = sleepstudy.assign(Days=sleepstudy["Days"] + shift)
    effects = "Days | Subject"
    fit = quiet_fit(f"Reaction ~ Days + {bar.format(effects)}", data)
    free = quiet_fit(f"Reaction ~ Days + ({effects})", data)
    assert fit.criterion == pytest.approx(1743.6283, abs=LOWEST)
    assert fit.status.converged
    assert fit.status.message == free.status.message
    ours, theirs = fit.summary(), free.summary()
    for column, tolerance in (("estimate", ESTIMATE), ("se", ERROR)):
        found, right = ours[column].to_numpy(), theirs[column].to_numpy()
        np.testing.assert_allclose(found, right, rtol=tolerance)


# --- three effects, or one SD for all -------------------------------------------------


@pytest.fixture(scope="module")
def sleep_z(sleepstudy: pd.DataFrame) -> pd.DataFrame:
    """Sleepstudy with another number that does nothing."""
    return sleepstudy.assign(z=np.random.default_rng(1).normal(size=len(sleepstudy)))


def lowest_of_random_starts(fit: RemlFit) -> float:
    """Criterion that L-BFGS-B finds from ten random starts."""
    design, conditioned = fit.model.design, fit.model.conditioned
    problem = profiled_problem(design, conditioned, restricted=True)
    rng, bounds = np.random.default_rng(7), list(zip(*problem.bounds, strict=True))
    inside = np.clip(problem.bounds, -3.0, 3.1)
    starts = rng.uniform(np.maximum(inside[0], 0.0), inside[1], (10, problem.m))
    found = [
        minimize(problem, start, jac=True, method="L-BFGS-B", bounds=bounds).fun
        for start in starts
    ]
    return min(found) + conditioned.criterion_shift(restricted=True)


@pytest.mark.slow
@pytest.mark.parametrize("shift", FAR)
@pytest.mark.parametrize(
    "bar",
    [
        "cs(Days + z | Subject)",
        "ar1(Days + z | Subject, hom = FALSE)",
        "cs(Days | Subject, hom = TRUE)",
        "ar1(Days + z | Subject)",
    ],
)
def test_no_random_start_leads_lower(
    bar: str, shift: float, sleep_z: pd.DataFrame
) -> None:
    """#7: the search stopped on the ridge of nearly parallel columns."""
    data = sleep_z.assign(Days=sleep_z["Days"] + shift)
    fit = quiet_fit(f"Reaction ~ Days + {bar}", data)
    assert fit.status.converged
    assert fit.criterion < lowest_of_random_starts(fit) + LOWEST
    assert "not identified" not in fit.status.message


@pytest.mark.parametrize(
    ("bar", "shift"),
    [
        ("ar1(Days + z | Subject, hom = FALSE)", 1e5),
        # three equal correlations are -0.5 or more
        ("cs(Days + z | Subject)", -2006.0),
        # nearer, or with fewer bounds: weekly
        pytest.param("ar1(Days + z | Subject, hom = FALSE)", 0.0, marks=SLOW),
        pytest.param("ar1(Days + z | Subject, hom = FALSE)", -2006.0, marks=SLOW),
        pytest.param("cs(Days + z | Subject)", 0.0, marks=SLOW),
    ],
)
def test_a_further_effect_never_raises_the_criterion(
    bar: str, shift: float, sleep_z: pd.DataFrame
) -> None:
    """The SD of z at 0 is the model without z; SEs are those of that model."""
    data = sleep_z.assign(Days=sleep_z["Days"] + shift)
    fit = quiet_fit(f"Reaction ~ Days + {bar}", data)
    free = quiet_fit("Reaction ~ Days + (Days | Subject)", data)
    assert fit.criterion < free.criterion + LOWEST
    if shift:  # else z has an effect of its own
        ours, theirs = fit.summary(), free.summary()
        rows = ["1|Subject_sigma", "Days|Subject_sigma", "sigma"]
        for column in ("estimate", "se"):
            found, right = ours.loc[rows, column], theirs.loc[rows, column]
            np.testing.assert_allclose(found, right, rtol=0.02)


# --- an SD of 0 beside a shared correlation -------------------------------------------


def grouped(seed: int, zero: list[int]) -> pd.DataFrame:
    """Twenty groups, effects of three levels of f with correlation 0.7, some of 0."""
    rng = np.random.default_rng(seed)
    g, f = np.repeat(np.arange(20), 12), np.tile(np.arange(3), 80)
    sd = np.full(3, 1.5)
    sd[zero] = 0.0
    common, own = rng.normal(size=(20, 1)), rng.normal(size=(20, 3))
    effects = sd * (np.sqrt(0.7) * common + np.sqrt(0.3) * own)
    y = effects[g, f] + rng.normal(size=240)
    return pd.DataFrame({"y": y, "f": np.array(list("abc"))[f], "g": g})


@pytest.mark.parametrize(
    ("bar", "seed", "zero"),
    [
        pytest.param("cs(0 + f | g)", 1, 0, marks=SLOW),  # as the first of ar1
        ("cs(0 + f | g)", 3, 1),
        pytest.param("cs(0 + f | g)", 1, 2, marks=SLOW),  # rho was found there
        ("ar1(0 + f | g, hom = FALSE)", 0, 0),
    ],
)
def test_two_sds_are_enough_for_the_one_correlation(
    bar: str, seed: int, zero: int
) -> None:
    """#7: rho was NaN where the SD of the first or second effect was 0."""
    data = grouped(seed, [zero])
    fit = quiet_fit(f"y ~ f + {bar}", data)
    table, name = fit.summary(), f"f|g_sigma[{'abc'[zero]}]"
    assert fit.status.boundary == (name,)
    # the same model of the other two effects: unstructured
    held = data.assign(**{v: data["f"].eq(v) * 1.0 for v in "abc"})
    first, second = (v for v in "abc" if v != "abc"[zero])
    free = quiet_fit(f"y ~ f + (0 + {first} + {second} | g)", held)
    right = free.summary().loc[f"g_corr[{first}:{second}]"]
    assert fit.criterion == pytest.approx(free.criterion, abs=LOWEST)
    for column in ("estimate", "se", "lower", "upper"):
        found = table.loc["g_corr[rho]", column]
        assert found == pytest.approx(right[column], rel=ERROR)
    post = sample_unchecked(fit.model, seed=1, draws=60, chains=2)
    assert compare(fit, post).loc["g_corr[rho]", "reml"] == pytest.approx(
        right["estimate"], rel=ERROR
    )
    assert reading(fit, post)


def said_of(bar: str, factor: np.ndarray) -> tuple[tuple[str, ...], str]:
    """Labels on the boundary at a factor, and the sentence."""
    design = Model(f"y ~ f + {bar}", grouped(0, [])).design
    found = boundary_parameters(design, [factor])
    labels = tuple(parameter.label for parameter in found)
    return labels, boundary_message(design, [factor], found)


def test_one_sd_has_no_correlation_and_it_is_said() -> None:
    """Only here is rho NaN."""
    labels, message = said_of("cs(0 + f | g)", np.diag([0.0, 0.0, 1.0]))
    assert labels == ("f|g_sigma[a]", "f|g_sigma[b]", "g_corr[rho]")
    assert "without two SDs above 0 cs(0 + f | g) has no corr" in message


def test_a_gap_of_two_steps_leaves_the_sign_open() -> None:
    """Of ar1 with effects two apart the data know rho squared."""
    factor = np.diag([1.0, 0.0, np.sqrt(1.0 - 0.49**2)])
    factor[2, 0] = 0.49
    labels, message = said_of("ar1(0 + f | g, hom = FALSE)", factor)
    assert labels == ("f|g_sigma[b]",)
    assert "the sign of its correlation is arbitrary" in message
    _, corr = factor_to_sd_corr(factor)
    assert STRUCTURES["hetar1"].read(corr)[0] == pytest.approx(0.7)
    assert STRUCTURES["cs"].read(corr)[0] == pytest.approx(0.49)


# --- several shared correlations ------------------------------------------------------


@pytest.mark.parametrize(("bar", "seed"), [("toep", 5), ("homtoep", 11)])
def test_each_lag_is_searched_from_both_sides(bar: str, seed: int) -> None:
    """One effect for all of five steps: the fit was left .017 and .51 too high."""
    rng = np.random.default_rng(seed)
    g, f = np.repeat(np.arange(12), 10), np.tile(np.arange(5), 24)
    y = rng.normal(size=(12, 1))[g, 0] + rng.normal(size=120)
    data = pd.DataFrame({"y": y, "f": np.array(list("abcde"))[f], "g": g})
    fit = quiet_fit(f"y ~ f + {bar}(0 + f | g)", data)
    assert fit.status.converged
    assert fit.criterion < lowest_of_random_starts(fit) + LOWEST


@pytest.mark.parametrize(
    ("sd", "boundary", "words"),
    [
        ([0.0, 1.0, 1.0], ("f|g_sigma[a]", "g_corr[lag 2]"), "a correlation at lag 2"),
        ([1.0, 0.0, 1.0], ("f|g_sigma[b]", "g_corr[lag 1]"), "a correlation at lag 1"),
        (
            [0.0, 0.0, 1.0],
            ("f|g_sigma[a]", "f|g_sigma[b]", "g_corr[lag 1]", "g_corr[lag 2]"),
            "has no correlation",
        ),
    ],
)
def test_lags_without_two_sds_have_no_correlation(
    sd: list[float], boundary: tuple[str, ...], words: str
) -> None:
    """Of toep; the others keep theirs."""
    root = np.linalg.cholesky([[1.0, 0.5, 0.3], [0.5, 1.0, 0.5], [0.3, 0.5, 1.0]])
    lower = np.linalg.qr((np.array(sd)[:, None] * root).T, mode="r").T
    labels, message = said_of("toep(0 + f | g)", lower)
    assert labels == boundary
    assert words in message
