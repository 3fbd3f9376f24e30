"""Priors that refer to x = 0 are told to be senseless where that is far (#7, A1)."""

import numpy as np
import pandas as pd
import pytest
from sampling import sample_unchecked

from bayeslmm import FitWarning, Model
from bayeslmm.posterior.distance import far_from_zero

rng = np.random.default_rng(11)
G = np.repeat(np.arange(10), 8)
X = np.tile(np.arange(8.0), 10)
DATA = pd.DataFrame(
    {
        "y": rng.normal(size=10)[G] * (1.0 + 0.5 * X) + rng.normal(size=80),
        "x": X,
        "f": np.tile(["a", "b"], 40),
        "g": G,
    }
)


def names(formula, shift, priors="weak"):
    """What is too far from zero."""
    model = Model(formula, DATA.assign(x=DATA["x"] + shift), priors=priors)
    return far_from_zero(model.design, model.priors)


@pytest.mark.parametrize(
    ("formula", "priors"),
    [
        ("y ~ x + cs(x | g)", "weak"),
        ("y ~ x + ar1(x | g, hom=TRUE)", "weak"),
        ("y ~ x + (x | g)", "bambi"),
        ("y ~ x + (x | g)", "brms"),
    ],
)
def test_a_zero_far_from_the_data_is_said_and_a_near_one_not(formula, priors):
    assert names(formula, 2006.0, priors) == ("x",)
    assert names(formula, 0.0, priors) == ()


@pytest.mark.parametrize(
    ("formula", "priors"),
    [
        ("y ~ x + (x | g)", "weak"),  # its priors refer to the mean
        ("y ~ x + (x | g)", "flat"),
        ("y ~ x + (x || g)", "weak"),  # no correlation: another model at another zero
        ("y ~ x + (0 + x | g)", "weak"),
        ("y ~ x + (f | g)", "bambi"),
        ("y ~ x + (1 | g)", "bambi"),
    ],
)
def test_priors_that_know_nothing_of_zero_are_not_spoken_of(formula, priors):
    assert names(formula, 2006.0, priors) == ()


def test_the_fit_warns_and_its_diagnosis_says_what_to_do():
    model = Model("y ~ x + cs(x | g)", DATA.assign(x=DATA["x"] + 2006.0))
    with pytest.warns(FitWarning, match=r"refer to x = 0, very far.*Take the mean off"):
        post = sample_unchecked(model, draws=100, chains=2, seed=1)
    assert not post.diagnose().ok
    near = sample_unchecked(Model("y ~ x + cs(x | g)", DATA), draws=100, chains=2)
    assert near.status.far == ()
