"""Shrinkage with intercepts read at the means of the predictors."""

import numpy as np
import pytest
from sampling import sample_unchecked

import bayeslmm as lmm
from bayeslmm.comparison import shrinkage_covariances
from bayeslmm.errors import ModelError

POOLING = ["no_pooling", "partial_pooling", "complete_pooling", "center"]
OPTIMUM = 1e-4  # two optimisers stop this close to one optimum, in units of y


@pytest.fixture(scope="module")
def data():
    """Twelve classrooms with a second predictor that does not vary by classroom."""
    rows = lmm.simulate_classrooms(12, 20, seed=4).data
    rows["age"] = 10.0 + np.random.default_rng(1).normal(size=len(rows))
    rows["score"] += 0.5 * rows["age"]
    return rows


@pytest.mark.parametrize("term", ["(edu | classroom)", "(1 | classroom)"])
def test_intercepts_at_the_means_are_those_of_centred_predictors(data, term):
    means = data[["edu", "age"]].mean()
    centred = data.assign(edu=data.edu - means.edu, age=data.age - means.age)
    formula = f"score ~ edu + age + {term}"
    moved = lmm.shrinkage_table(lmm.Model(formula, data).fit_reml(), at="mean")
    there = lmm.shrinkage_table(lmm.Model(formula, centred).fit_reml())
    np.testing.assert_allclose(moved[POOLING], there[POOLING], atol=OPTIMUM)
    assert moved.attrs["at"] == "mean"


def test_posterior_columns_at_the_means_are_those_of_the_moved_draws(data):
    model = lmm.Model("score ~ edu + age + (edu | classroom)", data)
    post = sample_unchecked(model, draws=100, chains=2, seed=1)
    table = lmm.shrinkage_table(model.fit_reml(), post, at="mean")
    own = post.ranef(levels=["c03"], draws=True).to_numpy()
    slope = post.draws("edu") + own[..., 1]
    intercept = post.draws("Intercept") + own[..., 0] + slope * data.edu.mean()
    intercept += post.draws("age") * data.age.mean()
    row = table[(table.level == "c03") & (table.effect == "Intercept")].iloc[0]
    assert row["posterior"] == pytest.approx(intercept.mean())
    bounds = np.quantile(intercept, [0.025, 0.975])
    np.testing.assert_allclose(row[["lower", "upper"]].astype(float), bounds)
    pair = ("Intercept", "edu")
    found = shrinkage_covariances(post, "classroom", pair, at="mean")[3]
    np.testing.assert_allclose(found, np.cov(intercept.ravel(), slope.ravel()))


def test_factors_stay_at_their_reference(data):
    rows = data.assign(sex=np.where(np.arange(len(data)) % 3 == 0, "f", "m"))
    reml = lmm.Model("score ~ sex + (1 | classroom)", rows).fit_reml()
    zero, mean = (lmm.shrinkage_table(reml, at=at) for at in ("zero", "mean"))
    np.testing.assert_array_equal(zero[POOLING], mean[POOLING])


def test_another_place_is_refused():
    from bayeslmm.reml.centred import is_at_mean

    with pytest.raises(ModelError, match="Unknown at='median'"):
        is_at_mean("median")
