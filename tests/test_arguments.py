"""Arguments of the public calls: what is none of their values is said."""

import logging
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sampling import sample_unchecked, unchecked

import bayeslmm as lmm
from bayeslmm import DataError, ModelError
from bayeslmm.reml.criterion import profiled_problem
from bayeslmm.reml.estimate import fit_reml
from bayeslmm.reml.expense import say_if_long


@pytest.fixture(scope="module")
def fits() -> Any:
    """A model with both of its fits."""
    pupils = lmm.simulate_classrooms(6, 8, seed=1).data
    model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    reml = model.fit_reml()
    return model, reml, sample_unchecked(model, seed=1, draws=50, chains=2), pupils


NO_FRACTION = ("0.95", None, float("nan"), 0, 1, -0.5, [0.5], True)


@pytest.mark.parametrize("value", NO_FRACTION)
def test_a_probability_is_a_number_between_0_and_1(fits: Any, value: Any) -> None:
    """`prob="0.95"` ended in a TypeError of the comparison."""
    model, reml, post, _ = fits
    calls: list[Callable[[], object]] = [
        lambda: reml.summary(value),
        lambda: reml.confint(value),
        lambda: reml.interval(value),
        lambda: post.confint(value),
        lambda: lmm.compare(reml, post, prob=value),
        lambda: lmm.shrinkage_table(reml, post, prob=value),
        lambda: model.quadrature(prob=value),
        lambda: model.sample(target_accept=value or "x"),
    ]
    names = ("summary", "interval", "fixef", "varcorr", "ranef", "coef", "icc")
    calls += [lambda name=name: getattr(post, name)(prob=value) for name in names]
    calls.append(lambda: post.predict(prob=value))
    for call in calls:
        with unchecked(), pytest.raises(ModelError, match=r"between 0 and 1"):
            call()


@pytest.mark.parametrize(
    "value", [100, 1e-300, 0, -1, float("nan"), float("inf"), None, "x"]
)
def test_a_tolerance_is_a_positive_number(fits: Any, value: Any) -> None:
    with unchecked(), pytest.raises(ModelError, match="tolerance must be a positive"):
        fits[0].quadrature(tolerance=value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tune": 0}, "tune must be a whole number of at least 1"),
        ({"draws": 3}, "draws must be a whole number of at least 4"),
        ({"chains": 1.5}, "chains must be"),
        ({"keep": 5}, "keep must be 'auto'"),
        ({"keep": None}, "keep must be 'auto'"),
        ({"seed": -1}, "seed must be"),
        ({"method": None}, "Unknown method None"),
    ],
)
def test_options_of_the_sampler(fits: Any, options: dict, words: str) -> None:
    """`tune=0` ended in a panic of nutpie."""
    with unchecked(), pytest.raises(ModelError, match=words):
        fits[0].sample(progress=False, **options)


@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_the_shortest_runs_run(fits: Any) -> None:
    """One chain of four draws, one tuning draw."""
    post = sample_unchecked(fits[0], chains=1, draws=4, tune=1, seed=1, progress=False)
    assert post.idata["posterior"].sizes["draw"] == 4


def test_fits_in_the_wrong_order(fits: Any) -> None:
    """Swapped, twice the same, or no fit at all."""
    model, reml, post, _ = fits
    for call in (lmm.compare, lmm.reading, lmm.shrinkage_table, lmm.plot_shrinkage):
        for pair in ((post, reml), (reml, reml), (post, post), (model, post)):
            with unchecked(), pytest.raises(ModelError, match="must be what model"):
                call(*pair)
    for call in (lmm.plot_forest, lmm.plot_trace, lmm.plot_rank, lmm.plot_posterior):
        for given in (None, reml):
            with unchecked(), pytest.raises(ModelError, match="post must be what"):
                call(given)


def test_predictions_of_no_rows_are_an_empty_table(fits: Any) -> None:
    _, reml, post, pupils = fits
    for fit in (reml, post):
        table = fit.predict(pupils.iloc[:0])
        assert len(table) == 0
        assert list(table.columns) == list(fit.predict().columns)


def test_a_long_wait_is_said_before_it_begins(fits: Any, caplog: Any) -> None:
    """Sixty seconds without a word once; short ones are not announced."""
    import time

    with caplog.at_level(logging.WARNING, "bayeslmm"):
        model = fits[0]
        problem = profiled_problem(model.design, model.conditioned, restricted=True)

        class Slow:
            """The criterion of many parameters, for which it is timed."""

            space = SimpleNamespace(size=99)
            statistics, start = problem.statistics, problem.start
            effects = problem.effects

            def __call__(self, x: np.ndarray) -> Any:
                """Two milliseconds."""
                time.sleep(0.002)
                return problem(x)

        for count in (100, 1_000_000):
            assert not caplog.records
            say_if_long(Slow(), count, "REML of it")  # type: ignore[arg-type]
    assert "REML of it takes some" in caplog.text


def test_many_effects_are_said_before_the_wait(caplog: Any) -> None:
    """`(f40 | g)` has 820 variance parameters."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {"f": [f"f{i % 40}" for i in range(1600)], "g": np.arange(1600) // 80}
    )
    data["y"] = rng.normal(size=1600)
    model = lmm.Model("y ~ 1 + (f | g)", data)

    class StopError(Exception):
        """Instead of the wait."""

    def stop(problem: object, near: object) -> object:
        raise StopError(problem)

    with pytest.MonkeyPatch.context() as patch, unchecked():
        patch.setattr(sys.modules["bayeslmm.reml.estimate"], "minimise", stop)
        with caplog.at_level(logging.WARNING, "bayeslmm"), pytest.raises(StopError):
            fit_reml(model)
    assert "REML of 820 variance and 1 fixed parameters takes some" in caplog.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draws": 10**12}, r"draws \(4 chains of 1,000,000,000,000.*GB of memory"),
        ({"tune": 10**12}, "GB of memory are available. Ask for fewer draws"),
        ({"cores": 0}, "cores must be a whole number of at least 1, not 0"),
        ({"cores": -1}, "cores must be a whole number of at least 1, not -1"),
        ({"log_likelihood": "yes"}, "log_likelihood must be True or False, not 'yes'"),
        ({"log_likelihood": 1}, "log_likelihood must be True or False, not 1"),
        ({"method": np.arange(2)}, "Unknown method"),
        ({"keep": {}}, "keep must be 'auto'"),
        ({"keep": np.arange(2)}, "keep must be 'auto'"),
        ({"progress": np.arange(2)}, "progress must be True, False or 'auto'"),
    ],
)
def test_options_that_were_taken_or_killed_the_process(
    fits: Any, options: dict, words: str
) -> None:
    """A million million draws ended the process; `cores=0` was the default (D18)."""
    with unchecked(), pytest.raises(ModelError, match=words):
        fits[0].sample(**options)


@pytest.mark.parametrize("value", [None, "x", 1, float("nan"), np.arange(2)])
@pytest.mark.parametrize("option", ["center_predictors", "progress", "family"])
def test_options_of_the_model(fits: Any, option: str, value: Any) -> None:
    """`center_predictors="no"` was taken for yes, `family=[1]` for a dict's key."""
    formula, pupils = fits[0].formula.text, fits[3]
    with unchecked(), pytest.raises(ModelError, match=f"(?i){option}"):
        lmm.Model(formula, pupils, **{option: value})


@pytest.mark.parametrize("value", [None, 1, ["REML"], np.arange(2)])
def test_words_are_words(fits: Any, value: Any) -> None:
    """An array ended in numpy's "truth value ... is ambiguous"."""
    model, reml, post, _ = fits
    calls: list[Callable[[], object]] = [
        lambda: model.fit_reml(method=value),
        lambda: reml.ranef(condvar=value),
        lambda: post.icc(kind=value),
        lambda: post.predict(kind=value),
    ]
    for call in calls:
        with unchecked(), pytest.raises(ModelError, match="Unknown"):
            call()


@pytest.mark.parametrize("name", ["score", "edu", "w"])
def test_complex_numbers_are_refused(fits: Any, name: str) -> None:
    """Of weights numpy dropped the imaginary part, with a warning of its own."""
    pupils = fits[3].assign(w=1.0)
    pupils[name] = pupils[name] + 1j
    for weights in ("w", pupils["w"].to_numpy()):
        with unchecked(), pytest.raises(DataError, match=r"complex|numbers"):
            lmm.Model("score ~ edu + (1 | classroom)", pupils, weights=weights)


@pytest.mark.parametrize("value", ["x", -1, 1.5, float("nan"), {}, True, np.arange(2)])
def test_seeds_flags_and_labels_of_a_fit(fits: Any, value: Any) -> None:
    """A seed of "x" ended in numpy's SeedSequence."""
    _, reml, post, _ = fits
    calls: dict[str, list[Callable[[], object]]] = {
        "seed": [
            lambda: reml.simulate(seed=value),
            lambda: post.simulate(seed=value),
            lambda: post.predict(seed=value),
            lambda: lmm.simulate_classrooms(3, 4, seed=value),
        ],
        "No parameter": [lambda: post.draws(value)],
        "Unknown level": [
            lambda: reml.predict(level=value),
            lambda: post.predict(level=value),
        ],
        "Unknown variances": [lambda: reml.predict(variances=value)],
        "any more": [
            lambda: reml.predict(new_levels=value),
            lambda: post.predict_draws(random=value),
        ],
    }
    if isinstance(value, dict):  # a mapping that gives no factor a word of its own
        del calls["Unknown level"]
    for words, group in calls.items():
        for call in group:
            with unchecked(), pytest.raises(ModelError, match=words):
                call()


def test_simulations_beyond_memory_are_refused(fits: Any) -> None:
    for fit in fits[1:3]:
        with unchecked(), pytest.raises(DataError, match=r"simulated responses.*GB"):
            fit.simulate(nsim=10**12)
