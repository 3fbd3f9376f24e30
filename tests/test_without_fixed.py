"""A model without a single fixed effect has all figures and tables of others."""

import pytest
from sampling import sample_unchecked

import bayeslmm as lmm


@pytest.fixture(scope="module")
def fit() -> lmm.Fit:
    """Five classrooms about 0."""
    data = lmm.simulate_classrooms(5, seed=1).data
    data["score"] -= data["score"].mean()
    model = lmm.Model("score ~ 0 + (1 | classroom)", data)
    post = sample_unchecked(model, draws=100, chains=2, seed=1)
    return lmm.Fit(model, model.fit_reml(), post)


def test_priors_say_what_they_mean(fit: lmm.Fit) -> None:
    """Nothing of the response is explained by fixed effects."""
    meaning = fit.model.priors.meaning()
    assert meaning.loc["R2 (fixed effects)", "median"] == 0.0
    assert meaning.loc["R2 (all)", "median"] == meaning.loc["ICC", "median"]


def test_levels_are_pooled_towards_nothing(fit: lmm.Fit) -> None:
    """The lines of complete pooling are at 0, those of the levels are their effects."""
    path = lmm.shrinkage_path(fit.posterior, sd=[0.0])
    assert path["estimate"].to_numpy() == pytest.approx(0.0)
    for draw in (lmm.plot_fits, lmm.plot_pooling):
        titles = [a.get_title() for a in draw(fit.reml, fit.posterior).axes]
        assert sum(bool(title) for title in titles) == 5
