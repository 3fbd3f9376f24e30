"""REML and posterior have one vocabulary: a verb gives one kind of table on both."""

import inspect

import numpy as np
import pandas as pd
import pytest
from sampling import sample_unchecked

import bayeslmm as lmm

# What the numbers of a row are called on either side.
TESTS = ("df", "t", "p")
ESTIMATE = ("estimate", "se", *TESTS, "sd", "variance", "lower", "upper")
DRAWS = ("mean", "median", "sd", "lower", "upper", "variance")
SHARES = ("share", "share_lower", "share_upper")
DIAGNOSTICS = ("mcse_mean", "ess_bulk", "ess_tail", "rhat")
# The verbs of both, with the columns that say what a row is.
VERBS = {
    "summary": ["component"],
    "interval": [],
    "confint": [],
    "fixef": [],
    "varcorr": ["group", "component", "effect1", "effect2"],
    "ranef": ["group", "level", "effect"],
    "coef": ["group", "level", "effect"],
    "predict": [],
    "varcomp": ["group", "component"],
    "icc": [],
    "r2": [],
    "vcov": None,
}
ARRAYS = ("fitted", "residuals", "resid")
# Words for one thing: none of them on one side only.
INTERVALS = {"prob", "kind", "interval"}


@pytest.fixture(scope="module", params=["(x | g) + (1 | h)", "(x || g)", "cs(x | g)"])
def sides(request):
    """Both fits of models with one and several terms, and new rows."""
    rng = np.random.default_rng(1)
    n = 160
    g, h = rng.integers(0, 8, n), rng.integers(0, 5, n)
    x = rng.normal(size=n)
    b = rng.normal(size=(8, 2)) * [2.0, 1.0]
    c = rng.normal(size=5)
    y = 1.0 + x + b[g, 0] + b[g, 1] * x + c[h] + 0.5 * rng.normal(size=n)
    data = pd.DataFrame({"y": y, "x": x, "g": g.astype(str), "h": h.astype(str)})
    model = lmm.Model(f"y ~ x + {request.param}", data)
    post = sample_unchecked(model, draws=200, chains=2, seed=1)
    return model.fit_reml(), post, data.head(7)


@pytest.mark.parametrize("verb", VERBS)
def test_the_same_verb_gives_the_same_rows(verb, sides):
    reml, post, _ = sides
    ours, theirs = getattr(reml, verb)(), getattr(post, verb)()
    pd.testing.assert_index_equal(ours.index, theirs.index)
    keys = VERBS[verb]
    if keys is None:
        assert list(ours.columns) == list(theirs.columns)
        return
    assert list(ours.columns[: len(keys)]) == list(theirs.columns[: len(keys)]) == keys
    pd.testing.assert_frame_equal(
        pd.DataFrame(ours[keys]), pd.DataFrame(theirs[keys]), check_index_type=False
    )
    assert set(ours.columns) <= {*keys, *ESTIMATE, *SHARES}
    assert set(theirs.columns) <= {*keys, *DRAWS, *DIAGNOSTICS, *SHARES}
    beside = ours.join(theirs.drop(columns=keys).add_prefix("posterior_"))
    assert len(beside) == len(ours)
    if "estimate" in beside:  # the same quantity
        apart = np.abs(beside["estimate"] - beside["posterior_mean"])
        assert (apart < 3.0 * beside["posterior_sd"]).all()


@pytest.mark.parametrize("verb", ARRAYS)
def test_what_is_an_array_is_one_on_both_sides(verb, sides):
    reml, post, _ = sides
    ours, theirs = getattr(reml, verb)(), getattr(post, verb)()
    assert isinstance(ours, np.ndarray)
    assert isinstance(theirs, np.ndarray)
    assert ours.shape == theirs.shape


def test_new_rows_are_predicted_side_by_side(sides):
    reml, post, new = sides
    for level in ("group", "new", "unknown", "population"):
        for kind in ("mean", "response", "linear"):
            ours = reml.predict(new, level=level, kind=kind)
            theirs = post.predict(new, level=level, kind=kind)
            assert list(ours.columns) == ["estimate", "se", "lower", "upper"]
            assert list(theirs.columns) == ["mean", "median", "sd", "lower", "upper"]
            beside = ours.join(theirs.add_prefix("posterior_"))
            assert beside.shape == (len(new), 9)
            # the same quantity, the posterior's SD with the error of the variances
            apart = np.abs(beside["estimate"] - beside["posterior_mean"])
            assert (apart < 1.5 * beside["posterior_sd"]).all()
            assert (beside["se"] < 1.3 * beside["posterior_sd"]).all()
            assert (beside["se"] > 0.4 * beside["posterior_sd"]).all()


def test_levels_are_chosen_alike(sides):
    reml, post, _ = sides
    ours, theirs = (fit.ranef(levels=["1"]) for fit in (reml, post))
    keys = ["group", "level", "effect"]
    assert ours[keys].to_numpy().tolist() == theirs[keys].to_numpy().tolist()


def test_one_word_for_one_thing():
    """`RemlFit` said ``level=`` where all else says ``prob=``."""
    for verb in (*VERBS, *ARRAYS):
        for side in (lmm.RemlFit, lmm.Posterior):
            given = inspect.signature(getattr(side, verb)).parameters
            assert "level" not in given or verb == "predict"  # those of a factor
    for verb in ("summary", "interval", "confint"):
        ours, theirs = (
            list(inspect.signature(getattr(side, verb)).parameters.values())
            for side in (lmm.RemlFit, lmm.Posterior)
        )
        assert [p.name for p in ours[:2]] == [p.name for p in theirs[:2]]
        assert ours[1].default == theirs[1].default == 0.95
    for verb in VERBS:
        ours, theirs = (
            inspect.signature(getattr(side, verb)).parameters
            for side in (lmm.RemlFit, lmm.Posterior)
        )
        shared = [name for name in ours if name in theirs]
        assert shared == [name for name in theirs if name in ours]
        for name in shared:
            assert ours[name].kind == theirs[name].kind, (verb, name)
            assert ours[name].default == theirs[name].default, (verb, name)


def test_probabilities_widen_the_intervals_of_both(sides):
    reml, post, _ = sides
    for fit in (reml, post):
        narrow, wide = fit.interval(prob=0.5), fit.confint(prob=0.99)
        inside = (narrow["lower"] > wide["lower"]) & (narrow["upper"] < wide["upper"])
        assert inside[~narrow.isna().any(axis=1)].all()
        pd.testing.assert_frame_equal(fit.interval(0.5), narrow)
