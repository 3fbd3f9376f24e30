"""The target, its mode, and the run of the sampler: laws, seeds, faults, options."""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from helpers import LAYOUTS, dense_log_density, finite_difference, random_design
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from sampling import sample_unchecked, unchecked

from bayeslmm import (
    FitWarning,
    Model,
    ModelError,
    PriorError,
    SamplingError,
    covariance,
)
from bayeslmm.design.arrays import Design
from bayeslmm.fit.mode import laplace, negative_hessian, whitening_basis
from bayeslmm.fit.nuts import complete_part
from bayeslmm.fit.options import check_options, choose_method
from bayeslmm.fit.sampling import sample
from bayeslmm.fit.target import (
    FARTHEST,
    Target,
    TermTarget,
    check_proper,
    make_target,
)
from bayeslmm.marginal import cross_products
from bayeslmm.priors import make_priors

# Same algebra by two routes.
EXACT = 1e-10
# Fourth-order differences of a log density of order 100.
DIFFERENCES = 1e-6
# Monte Carlo errors that two estimates may be apart.
MCSE = 4.0

Array = NDArray[np.float64]
SEEDS = st.integers(0, 2**31)
STRUCTURES = st.sampled_from(covariance.STRUCTURES)
SETS = st.sampled_from(["weak", "flat", "bambi", "boundary-avoiding"])


def with_structure(design: Design, structure: covariance.Structure) -> Design:
    """The design with the covariance of its first term restricted."""
    first, *others = design.groups
    return replace(design, groups=(replace(first, structure=structure), *others))


def target_of(design: Design, priors: Any = "weak") -> Target:
    """Target of a design under a set of priors."""
    return make_target(design, cross_products(design), make_priors(priors, design))


# --- the target ---------------------------------------------------------------------


@given(SEEDS, st.sampled_from(LAYOUTS), STRUCTURES, st.integers(1, 3), SETS)
def test_gradient_is_that_of_the_value(
    seed: int, layout: Any, structure: Any, k: int, priors: str
) -> None:
    """Gradient against differences: designs, structures and priors at random points."""
    rng = np.random.default_rng(seed)
    effects = (k,) if layout == "one" else (k, 1)
    design = random_design(rng, layout=layout, effects=effects, weights=seed % 2 == 0)
    target = target_of(with_structure(design, structure), priors)
    x = target.start + rng.normal(0, 0.7, target.start.size)
    with unchecked():
        numeric = finite_difference(lambda point: target(point)[0], x)
    np.testing.assert_allclose(
        target(x)[1], numeric, rtol=DIFFERENCES, atol=DIFFERENCES
    )


@given(SEEDS, st.sampled_from([2.0, 1.0, 3.5]))
def test_value_is_density_plus_priors(seed: int, eta: float) -> None:
    """The dense normal density, half-t priors on log scales, LKJ on tanh."""
    rng = np.random.default_rng(seed)
    design = random_design(rng, effects=(2,))
    spread = "HalfStudentT(nu=3, sigma=1.7)"
    given_priors = {
        "Intercept": "Normal(1, 2)",
        "common": "Normal(0, 3)",
        "group_specific": spread,
        "sigma": spread,
        "g_corr": eta,
    }
    priors = make_priors(given_priors, design, center_predictors=False)
    target = make_target(design, cross_products(design), priors)
    x = target.start + rng.normal(0, 0.7, 4)
    factor = covariance.coordinates_to_factor("us", x[1:], 2)
    expected = dense_log_density(
        design,
        [factor],
        math.exp(x[0]),
        np.array([1.0, 0.0]),
        np.diag([1 / 4, 1 / 9]),
    )
    for log_sd in x[:3]:
        expected += (
            math.log(2) + scipy.stats.t.logpdf(math.exp(log_sd), 3, scale=1.7) + log_sd
        )
    # LKJ(eta) of one correlation: rho = 2 Beta(eta, eta) - 1, drho/dz = 1 - rho**2
    rho = math.tanh(x[3])
    expected += scipy.stats.beta.logpdf((1 + rho) / 2, eta, eta) - math.log(2)
    expected += math.log(1 - rho**2)
    assert target(x)[0] == pytest.approx(expected, rel=EXACT, abs=1e-8)


@given(SEEDS, STRUCTURES, st.integers(1, 4))
def test_scalar_terms_are_the_general_ones(seed: int, structure: Any, k: int) -> None:
    """Factors and pullbacks written out in scalars equal those of `covariance`."""
    rng = np.random.default_rng(seed)
    m = covariance.n_theta(structure, k)
    x = rng.normal(size=m + 1)
    term = TermTarget(structure, k, 1, m + 1, (), 2.0)
    factor = term.factor(x.tolist())
    np.testing.assert_allclose(
        factor, covariance.coordinates_to_factor(structure, x[1:], k), rtol=EXACT
    )
    d_factor = rng.normal(size=(k, k))
    np.testing.assert_allclose(
        term.pullback(x.tolist(), factor, d_factor),
        covariance.coordinates_pullback(structure, x[1:], k, d_factor),
        rtol=EXACT,
    )


@pytest.mark.parametrize("value", [FARTHEST + 1, -FARTHEST - 1, math.nan, math.inf])
def test_far_points_are_impossible_without_a_warning(value: float) -> None:
    """Overflow is met by density zero, not by a warning or NaN."""
    target = target_of(random_design(np.random.default_rng(1), effects=(2,)))
    for i in range(target.start.size):
        x = target.start.copy()
        x[i] += value
        logp, gradient = target(x)
        assert logp == -math.inf
        np.testing.assert_array_equal(gradient, 0.0)


@given(SEEDS, st.integers(1, 3))
def test_near_the_edge_the_target_is_still_a_number(seed: int, k: int) -> None:
    """SDs off by a factor exp(20) give a density, not an overflow."""
    rng = np.random.default_rng(seed)
    target = target_of(random_design(rng, effects=(k,)))
    x = target.start + rng.choice([-20.0, 0.0, 20.0], target.start.size)
    logp, gradient = target(x)
    assert logp < 0.0
    assert np.isfinite(gradient).all()


# --- mode and whitening -------------------------------------------------------------


@given(SEEDS, st.integers(1, 3))
def test_whitened_curvature_is_the_identity(seed: int, k: int) -> None:
    """At the mode the gradient is zero and basis' H basis = I."""
    rng = np.random.default_rng(seed)
    target = target_of(random_design(rng, effects=(k,), n=60, n_levels=12))
    normal = laplace(target)
    assert np.abs(target(normal.mode)[1]).max() < 1e-4
    hessian = negative_hessian(target, normal.mode)
    if np.linalg.eigvalsh(hessian).min() > 0.06:
        whitened = normal.basis.T @ hessian @ normal.basis
        np.testing.assert_allclose(whitened, np.eye(len(whitened)), atol=1e-6)


def test_negative_curvature_is_raised() -> None:
    """A saddle point still gives finite, independent directions."""
    basis = whitening_basis(np.diag([4.0, -3.0, 0.0]))
    np.testing.assert_allclose(basis @ basis.T, np.diag([0.25, 20.0, 20.0]))


# --- improper posteriors ------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_levels", "improper", "without_mean"),
    [(2, True, False), (3, False, True), (4, False, False)],
)
def test_flat_priors_need_levels(
    n_levels: int, improper: bool, without_mean: bool
) -> None:
    """With a flat SD the tail is sd**-(J - 1): J = 2 improper, J = 3 without a mean."""
    rng = np.random.default_rng(3)
    target = target_of(random_design(rng, n_levels=n_levels), "flat")
    if improper:
        with pytest.raises(PriorError, match=r"1\|g_sigma' is improper.*3 levels"):
            check_proper(target)
    else:
        assert check_proper(target) == (("1|g_sigma",) if without_mean else ())


def test_a_covariate_of_the_levels_costs_one() -> None:
    """A fixed effect that is constant within levels takes one level away."""
    rng = np.random.default_rng(4)
    design = random_design(rng, n_levels=3, p=2)
    constant = rng.normal(size=3)[design.groups[0].codes]
    design = replace(design, X=np.column_stack([design.X[:, 0], constant]))
    with pytest.raises(PriorError, match="improper"):
        check_proper(target_of(design, "flat"))
    assert check_proper(target_of(design, "weak")) == ()


def test_a_response_that_is_reproduced_is_refused() -> None:
    """Exact fits: by the fixed effects, or by the effects of the levels."""
    design = random_design(np.random.default_rng(5))
    exact = replace(design, y=design.X @ np.array([1.0, 2.0]))
    with pytest.raises(SamplingError, match="reproduce 'y' exactly"):
        target_of(exact)
    codes = design.groups[0].codes
    constant = replace(design, y=np.array([3.0, 1.0, 4.0, 1.5, 9.0])[codes])
    with pytest.raises(PriorError, match=r"'sigma' is improper.*reproduces"):
        check_proper(target_of(constant))


def test_sampling_says_that_an_sd_has_no_mean() -> None:
    """A flat SD with three levels is sampled, and the reader is told."""
    rng = np.random.default_rng(6)
    group = np.repeat(["a", "b", "c"], 12)
    frame = pd.DataFrame({"y": rng.normal(size=36), "g": group})
    model = Model("y ~ 1 + (1 | g)", frame, priors="flat")
    with pytest.warns(FitWarning, match=r"1\|g_sigma' has no mean"):
        post = sample_unchecked(model, draws=200, seed=1)
    assert post.status.without_mean == ("1|g_sigma",)


# --- seeds ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> Model:
    """Six groups of eight rows."""
    rng = np.random.default_rng(7)
    group = np.repeat(np.arange(6), 8)
    x = rng.normal(size=48)
    y = 2 + x + rng.normal(size=6)[group] + rng.normal(size=48)
    frame = pd.DataFrame({"y": y, "x": x, "g": [f"g{i}" for i in group]})
    return Model("y ~ x + (1 | g)", frame)


def everything(model: Model, **options: Any) -> dict[str, Array]:
    """All draws and statistics of a short run."""
    post = sample_unchecked(model, **{"draws": 60, "tune": 60, "chains": 3, **options})
    groups = ("posterior", "sample_stats")
    return {
        str(name): values.to_numpy()
        for group in groups
        for name, values in post.idata[group].data_vars.items()
    }


def same(first: dict[str, Array], second: dict[str, Array]) -> bool:
    """Whether two runs are equal to the last bit."""
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


def test_draws_depend_on_the_seed_alone(small: Model) -> None:
    """Not on the number of cores, and not on what ran before."""
    first = everything(small, seed=11, cores=1)
    assert same(first, everything(small, seed=11, cores=3))
    assert not same(first, everything(small, seed=12, cores=3))


def test_fewer_chains_are_the_first_of_more(small: Model) -> None:
    """Chain c is the same whatever the number of chains."""
    three, two = everything(small, seed=11), everything(small, seed=11, chains=2)
    assert same({name: draws[:2] for name, draws in three.items()}, two)
    assert not np.array_equal(three["1|g"][0], three["1|g"][1])


def test_generators_are_seeds(small: Model) -> None:
    """A Generator gives its next number, so that a second run differs."""
    rng = np.random.default_rng(5)
    first, second = everything(small, seed=rng), everything(small, seed=rng)
    assert same(first, everything(small, seed=np.random.default_rng(5)))
    assert not same(first, second)


def test_the_seed_that_was_used_is_kept(small: Model) -> None:
    """A run without a seed can be repeated."""
    options = {"draws": 20, "tune": 20, "chains": 2}
    post = sample_unchecked(small, **options)
    again = sample_unchecked(small, **options, seed=post.idata.attrs["seed"])
    np.testing.assert_array_equal(post.draws("sigma"), again.draws("sigma"))


# --- the hard tail ------------------------------------------------------------------


def test_three_classrooms_keep_their_tail(classrooms: pd.DataFrame) -> None:
    """No divergence, and the slope SD of independent importance sampling (about 0.19).

    The joint model at its defaults loses this tail: 0.13 to 0.15, with divergences.
    """
    model = Model("score ~ edu + (edu | classroom)", classrooms, priors="bambi")
    post = sample_unchecked(model, draws=2000, seed=3)
    assert post.status.n_divergent == 0
    assert post.diagnose().ok
    mean, error = importance_mean(model, 60_000)
    draws = post.draws("edu|classroom_sigma")
    assert abs(draws.mean() - mean) < MCSE * math.hypot(az.mcse(draws), error)
    assert mean == pytest.approx(0.19, abs=0.02)


def importance_mean(model: Model, n: int) -> tuple[float, float]:
    """Posterior mean of the slope SD, with its error, from weighted Student-t draws."""
    target = make_target(model.design, model.statistics, model.priors)
    normal, rng = laplace(target), np.random.default_rng(1)
    m = normal.mode.size
    df = 3
    z = 1.3 * rng.normal(size=(n, m)) / np.sqrt(rng.chisquare(df, (n, 1)) / df)
    # up to a constant, which the weights do not see
    proposal = -(df + m) / 2 * np.log1p(np.sum((z / 1.3) ** 2, axis=1) / df)
    x = normal.mode + z @ normal.basis.T
    with unchecked():
        logp = np.array([target(point)[0] for point in x])
    weights = np.exp(logp - normal.value - proposal)
    weights /= weights.sum()
    slope = np.exp(x[:, 2])
    mean = float(weights @ slope)
    return mean, float(np.sqrt(np.sum((weights * (slope - mean)) ** 2)))


# --- interruption -------------------------------------------------------------------


def run_tree(lengths: list[int], draws: int) -> Any:
    """What nutpie gives of chains of some lengths: NaN after the last draw."""
    z = np.zeros((len(lengths), draws, 2))
    z += np.arange(len(lengths))[:, None, None]
    for chain, length in enumerate(lengths):
        z[chain, length:] = np.nan
    blank = np.zeros(z.shape[:2])
    names = (
        "diverging",
        "depth",
        "maxdepth_reached",
        "energy",
        "energy_error",
        "mean_tree_accept",
        "step_size",
        "n_steps",
        "logp",
    )
    return az.from_dict(
        {"posterior": {"z": z}, "sample_stats": dict.fromkeys(names, blank)}
    )


@pytest.mark.parametrize(
    ("lengths", "chains", "draws"),
    [
        ([100, 100, 100, 100], (0, 1, 2, 3), 100),
        ([80, 90, 70, 85], (0, 1, 2, 3), 70),
        ([100, 30, 0, 0], (0,), 100),
        ([100, 60, 0, 0], (0, 1), 60),
        ([0, 55, 9, 60], (1, 3), 55),
    ],
)
def test_most_complete_draws_are_kept(
    lengths: list[int], chains: tuple[int, ...], draws: int
) -> None:
    """Chains are cut to one length; those that would cost more than they add go."""
    part = complete_part(run_tree(lengths, 100), 100, -3.0)
    assert part.chains == chains
    assert part.z.shape == (len(chains), draws, 2)
    np.testing.assert_array_equal(part.z[:, 0, 0], chains)
    assert part.partial == (lengths != [100] * 4)
    np.testing.assert_array_equal(part.stats["lp"], -3.0)


def test_nothing_drawn_is_an_error() -> None:
    """Three draws are no posterior."""
    with pytest.raises(SamplingError, match="interrupted before a chain had 4 draws"):
        complete_part(run_tree([3, 0, 2, 3], 100), 100, 0.0)


INTERRUPTED = """
import os, signal, threading, time, warnings
import numpy as np, pandas as pd
from bayeslmm.fit import target as target_module
from bayeslmm import Model, SamplingError
from bayeslmm.fit.sampling import sample

inner = target_module.log_density_gradient
began = threading.Event()

def slow(*arguments):
    if threading.current_thread() is not threading.main_thread():
        began.set()
        time.sleep(0.0005)
    return inner(*arguments)

def interrupt():
    began.wait()
    time.sleep(SECONDS)
    os.kill(os.getpid(), signal.SIGINT)

rng = np.random.default_rng(7)
group = np.repeat(np.arange(6), 8)
y = rng.normal(size=6)[group] + rng.normal(size=48)
model = Model("y ~ 1 + (1 | g)", pd.DataFrame({"y": y, "g": group}))
sample(model, draws=4, tune=4, seed=1)  # compile and import first
target_module.log_density_gradient = slow
threading.Thread(target=interrupt, daemon=True).start()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    try:
        post = sample(model, draws=100_000, tune=30, seed=1, progress=False, cores=4)
        print(post.status.partial, post.status.chains, post.status.draws >= 4)
        print(post.idata["posterior"].sizes["draw"] == post.status.draws)
        print(bool(np.isfinite(post.draws("sigma")).all()), post.diagnose().ok)
        print([str(w.message)[:23] for w in caught])
    except SamplingError as error:
        print("SamplingError:", error)
"""


def interrupted(seconds: float) -> str:
    """Output of a process that gets Ctrl-C some time after sampling began."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.replace("SECONDS", str(seconds))],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(signal, "SIGINT"), reason="no signals here")
def test_ctrl_c_returns_what_was_drawn() -> None:
    """A partial posterior, said to be partial, by status, warning and diagnosis."""
    lines = interrupted(1.5).splitlines()
    assert lines[0] == "True 4 True"
    assert lines[1] == "True"
    assert lines[2] == "True False"
    assert lines[3] == "['The run was interrupted']"


# --- methods and options ------------------------------------------------------------


def test_auto_takes_the_marginal_route_where_it_can(small: Model) -> None:
    """Gaussian with Normal priors: marginal density; else joint, with the reason."""
    assert choose_method(small, "auto") == choose_method(small, "nuts")
    assert choose_method(small, "auto")[0] == "marginal"
    assert choose_method(small, "joint")[0] == "joint"


def test_auto_says_why_it_takes_the_joint_model() -> None:
    """A prior that cannot be integrated, and a family that has no closed form."""
    frame = pd.DataFrame({"y": [0, 1] * 12, "x": range(24), "g": ["a", "b", "c"] * 8})
    robust = Model("y ~ x + (1 | g)", frame, priors={"x": "StudentT(3, 0, 1)"})
    method, reason = choose_method(robust, "auto")
    assert method == "joint"
    assert "StudentT" in reason
    with pytest.raises(PriorError, match=r"'x' is StudentT.*joint"):
        choose_method(robust, "nuts")
    bounded = Model("y ~ x + (1 | g)", frame, priors={"1|g": "Uniform(0, 5)"})
    method, reason = choose_method(bounded, "auto")
    assert method == "joint"
    assert "Uniform" in reason
    logistic = Model("y ~ x + (1 | g)", frame, family="bernoulli")
    method, reason = choose_method(logistic, "auto")
    assert method == "joint"
    assert "'bernoulli'" in reason
    with pytest.raises(ModelError, match=r"'bernoulli'.*method='joint'"):
        choose_method(logistic, "nuts")


def test_the_joint_model_gives_a_posterior_too() -> None:
    """A family without a closed form: same names, tables and reason."""
    rng = np.random.default_rng(8)
    group = np.repeat(["a", "b", "c", "d"], 15)
    x = rng.normal(size=60)
    y = rng.binomial(1, 1 / (1 + np.exp(-x)))
    frame = pd.DataFrame({"y": y, "x": x, "g": group})
    model = Model("y ~ x + (1 | g)", frame, family="bernoulli")
    options = {"draws": 100, "tune": 200, "chains": 2, "target_accept": 0.99}
    post = sample_unchecked(model, **options, seed=2, progress=False)
    assert (post.method, post.status.partial) == ("joint", False)
    assert "'bernoulli'" in post.reason
    assert list(post.summary().index) == ["Intercept", "x", "1|g_sigma"]
    assert post.predict()["mean"].between(0, 1).all()
    assert len(post.ranef()) == 4
    with pytest.raises(ModelError, match="No parameter 'sigma'"):
        post.draws("sigma")
    with pytest.raises(ModelError, match=r"'bernoulli'.*Gaussian models only"):
        post.icc()
    with pytest.raises(ModelError, match="compute_log_likelihood"):
        post.compute_log_likelihood()


def test_both_routes_give_one_posterior(small: Model) -> None:
    """Joint and marginal, within Monte Carlo errors."""
    marginal = sample_unchecked(small, seed=1).summary()
    joint = sample_unchecked(small, seed=1, method="joint", progress=False).summary()
    apart = (joint["mean"] - marginal["mean"]).abs()
    errors = np.hypot(joint["mcse_mean"], marginal["mcse_mean"])
    assert (apart < MCSE * errors).all(), apart / errors


def test_unknown_method_lists_the_methods(small: Model) -> None:
    """All of them are short enough to list."""
    with pytest.raises(
        ModelError, match=r"'nut'.*'auto', 'nuts', 'importance', 'joint'"
    ):
        choose_method(small, "nut")


GOOD: dict[str, Any] = {
    "draws": 10,
    "tune": None,
    "chains": 2,
    "seed": 1,
    "target_accept": None,
    "cores": None,
    "progress": "auto",
}


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("draws", 0, "draws must be a whole number of at least 4, not 0"),
        ("draws", 2.5, "draws must be a whole number"),
        ("draws", True, "draws must be a whole number"),
        ("tune", -1, "tune must be a whole number of at least 0"),
        ("chains", 0, "chains must be a whole number of at least 1"),
        ("chains", "4", "chains must be a whole number"),
        ("cores", -2, "cores must be a whole number of at least 1"),
        ("seed", -1, r"seed must be a whole number from 0 to 2\*\*63 - 1"),
        ("seed", 1.5, "seed must be a whole number .* or a numpy Generator"),
        ("seed", 2**63, "seed must be a whole number"),
        ("target_accept", 1.0, "target_accept must lie between 0 and 1"),
        ("target_accept", "high", "target_accept must lie between 0 and 1"),
        ("progress", "yes", "progress must be True, False or 'auto'"),
    ],
)
def test_options_out_of_range_are_named(option: str, value: object, words: str) -> None:
    """Before any work starts."""
    with pytest.raises(ModelError, match=words):
        check_options(**{**GOOD, option: value})


def test_sample_checks_its_options(small: Model) -> None:
    """The public function, not only the inner one."""
    with pytest.raises(ModelError, match="draws must be"):
        sample(small, draws=1)


def test_log_likelihoods_are_kept_on_request(small: Model) -> None:
    """One for each draw and row, not otherwise; through the model's own method too."""
    options: dict[str, Any] = {"draws": 10, "tune": 10, "chains": 2, "seed": 1}
    with unchecked():
        kept = small.sample(**options, log_likelihood=True)
        plain = small.sample(**options)
    assert kept.idata["log_likelihood"]["y"].shape == (2, 10, 48)
    assert "log_likelihood" not in plain.idata.children


def test_short_runs_are_silent(small: Model, capfd: pytest.CaptureFixture[str]) -> None:
    """No bar and no line for a run of a second."""
    sample_unchecked(small, draws=10, tune=10, chains=2, seed=1)
    assert capfd.readouterr() == ("", "")


def test_a_bar_is_shown_on_request(
    small: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """progress=True and a run that is expected to be long ask nutpie for its bar."""
    assert asked_for_bar(small, monkeypatch, progress=True)
    assert not asked_for_bar(small, monkeypatch, progress=False)
    assert not asked_for_bar(small, monkeypatch, progress="auto")
    monkeypatch.setattr(sys.modules["bayeslmm.fit.nuts"], "LONG_RUN", 0.0)
    assert asked_for_bar(small, monkeypatch, progress="auto")


def asked_for_bar(
    model: Model, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> bool:
    """Whether nutpie was asked to show its bar."""
    import nutpie

    seen: list[bool] = []
    inner: Callable[..., Any] = nutpie.sample

    def spy(*arguments: Any, progress_bar: bool, **others: Any) -> Any:
        """nutpie.sample without its bar."""
        seen.append(progress_bar)
        return inner(*arguments, progress_bar=False, **others)

    with monkeypatch.context() as patch:
        patch.setattr(nutpie, "sample", spy)
        sample_unchecked(model, draws=10, tune=10, chains=2, seed=1, **options)
    return seen[0]
