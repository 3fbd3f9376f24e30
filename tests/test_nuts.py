"""The run of the sampler over the marginal density: seeds, tails, faults, options."""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sampling import sample_unchecked, unchecked

from bayeslmm import (
    Model,
    ModelError,
    PriorError,
    SamplingError,
    simulate_classrooms,
)
from bayeslmm.posterior.mode import laplace
from bayeslmm.posterior.nuts import (
    TARGET_ACCEPT,
    TARGET_ACCEPT_OF_MANY,
    complete_part,
)
from bayeslmm.posterior.options import check_options, choose_method
from bayeslmm.posterior.sampling import sample
from bayeslmm.posterior.target import make_target

# Monte Carlo errors that two estimates may be apart.
MCSE = 4.0

Array = NDArray[np.float64]


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
    target = make_target(model.design, model.conditioned, model.priors)
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


def test_steps_are_longer_from_five_coordinates_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Unless an acceptance is asked for."""
    import nutpie

    seen = []

    def sample(*_: object, target_accept: float, **__: object) -> None:
        seen.append(target_accept)
        raise KeyboardInterrupt

    monkeypatch.setattr(nutpie, "sample", sample)
    data = simulate_classrooms(6, 8, seed=1).data
    data["test"] = [f"t{i % 4}" for i in range(len(data))]
    for formula, asked in (
        ("score ~ edu + (edu | classroom)", None),
        ("score ~ edu + (edu | classroom) + (1 | test)", None),
        ("score ~ edu + (edu | classroom) + (1 | test)", 0.8),
    ):
        with pytest.raises(KeyboardInterrupt):
            Model(formula, data).sample(
                draws=50, method="nuts", target_accept=asked, progress=False
            )
    assert seen == [TARGET_ACCEPT, TARGET_ACCEPT_OF_MANY, 0.8]
    assert TARGET_ACCEPT > TARGET_ACCEPT_OF_MANY


@pytest.mark.parametrize("by_interrupt", [True, False])
def test_an_interrupt_before_the_chains_are_there_stays_one(
    monkeypatch: pytest.MonkeyPatch, by_interrupt: bool
) -> None:
    """Nutpie then says that it has no results."""
    import nutpie

    def sample(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt if by_interrupt else KeyError
        except (KeyboardInterrupt, KeyError):
            raise ValueError("Sampler has no results to take")  # noqa: B904

    monkeypatch.setattr(nutpie, "sample", sample)
    model = Model("score ~ 1 + (1 | classroom)", simulate_classrooms(6, 4, seed=1).data)
    with pytest.raises(KeyboardInterrupt if by_interrupt else ValueError):
        model.sample(draws=50, method="nuts", progress=False)


INTERRUPTED = """
import os, signal, threading, time, warnings
import numpy as np, nutpie, pandas as pd
from bayeslmm import Model, SamplingError
from bayeslmm.posterior.sampling import sample

inner = nutpie.sample
began = threading.Event()

def announced(*arguments, **options):
    began.set()
    return inner(*arguments, **options)

def interrupt():
    began.wait()
    time.sleep(SECONDS)
    os.kill(os.getpid(), signal.SIGINT)

rng = np.random.default_rng(7)
group = np.repeat(np.arange(6), 8)
y = rng.normal(size=6)[group] + rng.normal(size=48)
model = Model("y ~ 1 + (1 | g)", pd.DataFrame({"y": y, "g": group}))
sample(model, draws=4, tune=4, seed=1)  # compile and import first
nutpie.sample = announced
threading.Thread(target=interrupt, daemon=True).start()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    try:
        post = sample(model, draws=2_000_000, tune=30, seed=1, progress=False, cores=4)
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
    lines = interrupted(1.0).splitlines()
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


@pytest.mark.slow
def test_both_routes_give_one_posterior(small: Model) -> None:
    """Joint and marginal, within Monte Carlo errors; `test_graph.py` has densities."""
    marginal = sample_unchecked(small, seed=1).summary()
    joint = sample_unchecked(small, seed=1, method="joint", progress=False).summary()
    apart = (joint["mean"] - marginal["mean"]).abs()
    errors = np.hypot(joint["mcse_mean"], marginal["mcse_mean"])
    assert (apart < MCSE * errors).all(), apart / errors


def test_unknown_method_lists_the_methods(small: Model) -> None:
    """All of them are short enough to list."""
    with pytest.raises(
        ModelError, match=r"'nut'.*'auto', 'nuts', 'importance', 'quadrature', 'joint'"
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
        ("tune", -1, "tune must be a whole number of at least 1"),
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
    monkeypatch.setattr(sys.modules["bayeslmm.posterior.nuts"], "LONG_RUN", 0.0)
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
