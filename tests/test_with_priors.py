"""One prior changed, the rest kept: what is kept and what is not."""

import numpy as np
import pytest

from bayeslmm import Model, PriorError
from bayeslmm.priors import make_priors


@pytest.fixture(scope="module")
def model(classrooms) -> Model:
    """The chapter's model with a slope, under the default priors."""
    return Model("score ~ edu + (edu | classroom)", classrooms)


def test_one_prior_changes_and_the_rest_stays(model):
    new = model.with_priors({"edu": "Normal(0, 1)"})
    assert str(new.priors.fixed[1]) == "Normal(mu=0, sigma=1)"
    assert new.priors.fixed[0] == model.priors.fixed[0]
    assert (new.priors.sd, new.priors.sigma) == (model.priors.sd, model.priors.sigma)
    assert new.priors.references == model.priors.references
    assert new.conditioned is model.conditioned
    assert model.priors.name == "weak"


def test_changes_add_up(model):
    new = model.with_priors({"edu": "Normal(0, 1)"}).with_priors({"sigma": "flat"})
    both = {"edu": "Normal(0, 1)", "sigma": "flat"}
    assert new.priors == model.with_priors(both).priors
    assert new.with_priors("weak").priors == model.priors


def test_a_later_word_for_all_is_heard(model):
    first = model.with_priors({"edu": "Normal(0, 1)", "1|classroom": "HalfNormal(1)"})
    later = first.with_priors({"common": "flat", "group_specific": "HalfNormal(2)"})
    assert all(prior.is_flat for prior in later.priors.fixed)
    assert {str(p) for p in later.priors.sd[0]} == {"HalfNormal(sigma=2)"}
    whole = first.with_priors({"set": "flat", "sigma": "HalfNormal(1)"})
    assert whole.priors.sd[0][0].is_flat


def test_priors_as_numbers_do_not_follow_the_response(model):
    y = 10.0 * np.asarray(model.design.rows.y)
    other = model.with_response(y)
    assert other.priors.sigma != model.priors.sigma
    held = other.with_priors(model.priors)
    assert held.priors == model.priors
    assert held.with_response(y).priors == model.priors
    one = held.with_priors({"sigma": "HalfNormal(1)"})
    assert str(one.priors.sigma) == "HalfNormal(sigma=1)"
    assert one.priors.fixed == model.priors.fixed
    assert one.priors.references == model.priors.references


def test_same_numbers_as_a_model_made_with_them(model, classrooms):
    changes = {"1|classroom": "HalfNormal(5)", "classroom_corr": 3}
    made = Model("score ~ edu + (edu | classroom)", classrooms, priors=changes)
    assert model.with_priors(changes).priors == made.priors
    kept = Model("score ~ edu + (edu | classroom)", classrooms, priors=made.priors)
    assert kept.priors == made.priors
    assert kept.priors.design is kept.design


def test_priors_of_another_model_are_refused(model, classrooms):
    other = Model("score ~ 1 + (1 | classroom)", classrooms)
    with pytest.raises(PriorError, match=r"of another model.*'1\|classroom_sigma'"):
        model.with_priors(other.priors)
    renamed = classrooms.rename(columns={"edu": "parents"})
    other = Model("score ~ parents + (parents | classroom)", renamed)
    with pytest.raises(PriorError, match="of another model"):
        model.with_priors(other.priors)
    with pytest.raises(PriorError, match="names nothing in this model"):
        model.with_priors({"edo": "flat"})
    with pytest.raises(PriorError, match="a dict of priors, or the priors of a model"):
        make_priors(3, model.design)
