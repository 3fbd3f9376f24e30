"""Many points of a target at once: the same numbers as one by one."""

import numpy as np
import pytest
from helpers import coded_design

import bayeslmm as lmm
from bayeslmm.marginal import cross_products
from bayeslmm.marginal.likelihood import gram, grams
from bayeslmm.marginal.several import Crossed, Exchangeable, Filled
from bayeslmm.marginal.solvers import Levels, Pairs, Pooled
from bayeslmm.posterior.mode import laplace
from bayeslmm.posterior.target import make_target
from bayeslmm.posterior.visits import fixed_visitor, visit_many

MODELS = {
    "score ~ edu + (1 | classroom)": Pooled,
    "score ~ edu + (edu | classroom)": Pairs,
    "score ~ edu + (edu + age | classroom)": Levels,
    "score ~ edu + (1 | classroom) + (1 | test)": Filled,
    "score ~ edu + (1 | classroom) + (1 | block)": Exchangeable,
    "score ~ edu + (1 | school/classroom)": Crossed,
}


@pytest.fixture(scope="module")
def pupils():
    """Pupils of classrooms in schools, who sat some of several tests."""
    data = lmm.simulate_classrooms(9, 8, seed=3).data
    rng = np.random.default_rng(4)
    classroom = data.groupby("classroom").ngroup()
    return data.assign(
        school=classroom % 6,
        age=rng.normal(size=len(data)),
        test=rng.integers(0, 5, len(data)),
        block=data.groupby("classroom").cumcount() % 4,
        wt=rng.uniform(0.5, 2.0, len(data)),
    )


@pytest.mark.parametrize("formula", MODELS)
def test_many_points_are_many_single_ones(formula, pupils):
    weights = "wt" if MODELS[formula] is Pairs else None
    model = lmm.Model(formula, pupils, weights=weights)
    target = make_target(model.design, model.conditioned, model.priors)
    assert isinstance(target.statistics.solver, MODELS[formula])
    normal, rng = laplace(target), np.random.default_rng(5)
    x = normal.mode + rng.normal(size=(40, normal.mode.size)) @ normal.basis.T
    x[7] = 1e3  # impossible
    found, visit = visit_many(target, x, 2), fixed_visitor(target)
    for at, value, beta, variance in zip(
        x, found.log_density, found.beta, found.beta_var, strict=True
    ):
        one = visit(at)
        assert value == pytest.approx(one[0], rel=1e-11)
        if np.isfinite(value):
            assert beta == pytest.approx(one[1], rel=1e-9)
            assert variance == pytest.approx(one[2], rel=1e-9)


def test_steps_give_many_points_too():
    rng = np.random.default_rng(6)
    codes = [rng.integers(0, 60, 400) for _ in range(2)]
    stats = cross_products(coded_design(rng, codes, (2, 2)))
    assert stats.in_steps
    factors = [np.tril(rng.normal(size=(3, 2, 2))) for _ in range(2)]
    log_dets, G = grams(stats, stats.layout.join(factors))
    for i in range(3):
        one = gram(stats, [own[i] for own in factors])
        assert (log_dets[i], *G[i].ravel()) == pytest.approx((one[0], *one[1].ravel()))
