"""Three sentences before the tables: each says what its numbers hold."""

import re
from dataclasses import replace

import numpy as np
import pytest
from sampling import sample_unchecked

import bayeslmm as lmm
from bayeslmm.comparison import answer, unit_words
from bayeslmm.errors import FitWarning
from bayeslmm.posterior import SamplingStatus
from bayeslmm.reporting.tables import comparison_table


@pytest.fixture(scope="module")
def fits(gaps):
    """Both fits of simulated classrooms."""
    return gaps.fit_reml(), sample_unchecked(gaps, draws=500, chains=4, seed=1)


def model_of(formula: str, **columns: object) -> lmm.Model:
    """A model of simulated classrooms with more columns."""
    data = lmm.simulate_classrooms(8, 12, seed=4).data
    rng = np.random.default_rng(1)
    data["noise"] = rng.normal(size=len(data))
    data["shift"] = data["score"] + 3.0 * rng.normal(size=len(data))
    return lmm.Model(formula, data.assign(**columns))


def test_the_answer_has_the_numbers_of_the_comparison(fits):
    effects, levels, trust = answer(*fits)
    table = comparison_table(lmm.compare(*fits))
    cells = {row[0]: row for _, row in table.rows}
    for label, sentence in {
        "edu": effects,
        "1|classroom_sigma": levels,
        "edu|classroom_sigma": levels,
        "sigma": levels,
    }.items():
        _, _, _, median, _, ends, _ = cells[label]
        assert f"{median} (" in sentence
        assert ends.strip("[]").replace(", ", " to ") in sentence
    assert effects.startswith("The effect of edu is ")
    assert effects.endswith(", in units of score.")
    assert "Levels of classroom differ by an SD of" in levels
    assert "in the intercept" in levels
    largest = lmm.compare(*fits)["difference_in_se"][:2].abs()
    assert f"{largest.max():.2f} SE ({largest.idxmax()})" in trust


def test_reml_alone_and_the_posterior_alone_have_one_too(fits):
    reml, post = fits
    assert "95% Wald" in answer(reml, None)[0]
    assert answer(reml, None)[2] == "REML converged, with no variance at its limit."
    assert "95% ETI" in answer(None, post)[0]
    assert answer(None, post)[2] == "The draws passed every check."


def test_effects_that_leave_out_0_are_told_from_those_that_do_not():
    reml = model_of("score ~ edu + noise + shift + (1 | classroom)").fit_reml()
    sentence = answer(reml, None)[0]
    ends = reml.summary().loc[["edu", "noise", "shift"], ["lower", "upper"]]
    clear = ends.index[(ends["lower"] > 0) | (ends["upper"] < 0)]
    assert sentence.startswith(f"{len(clear)} of 3 effects on score have intervals")
    assert [name for name in ends.index if f"{name} " in sentence] == list(clear)
    alone = model_of("score ~ noise + (1 | classroom)").fit_reml()
    assert "; 0 lies inside)" in answer(alone, None)[0]
    none = model_of("score ~ 1 + (1 | classroom)").fit_reml()
    assert answer(none, None)[0].startswith("The intercept is ")
    nothing = model_of("score ~ 0 + (1 | classroom)").fit_reml()
    assert answer(nothing, None)[0] == "The model of score has no fixed effects."


def test_what_speaks_against_the_numbers_comes_in_the_third_sentence(fits, classrooms):
    reml, post = fits
    status = SamplingStatus(4, 500, n_divergent=20)
    said = answer(reml, replace(post, status=status))[2]
    assert said.startswith("Read the posterior with care: 20 of 2000 draws ended in a")
    failed = replace(reml.status, converged=False, message="It went astray.")
    said = answer(replace(reml, status=failed), post)[2]
    assert said == "Do not rely on REML: It went astray."
    with pytest.warns(FitWarning):
        singular = lmm.Model("score ~ edu + (edu | classroom)", classrooms).fit_reml()
    said = answer(singular, None)[2]
    assert re.search("REML is singular.*classroom_corr", said)


def test_the_unit_is_that_of_the_link(pupils):
    assert unit_words(lmm.Model("score ~ 1 + (1 | classroom)", pupils)) == (
        "in units of score"
    )
    logit = lmm.Model("passed ~ 1 + (1 | classroom)", pupils, family="bernoulli")
    assert unit_words(logit) == "on the logit scale of passed"


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.FitWarning")
def test_a_shared_sd_is_of_all_effects(pupils):
    model = lmm.Model("score ~ edu + homcs(0 + text | classroom)", pupils)
    assert "in text; the residual" in answer(model.fit_reml(), None)[1]
