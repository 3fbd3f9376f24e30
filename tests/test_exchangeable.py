"""Crossed factors whose levels are alike, and those of which most levels meet.

Both are other routes to the numbers of the blocked steps, which `test_marginal` holds
against the dense formula.
"""

from functools import partial

import numpy as np
import pytest
from helpers import coded_design, dense_log_density, random_factors, with_rows
from hypothesis import given, settings, strategies as st

from bayeslmm.design.arrays import Design
from bayeslmm.marginal import BetaPrior, cross_products, draw_effects, log_density
from bayeslmm.marginal.exchangeable import find_classes
from bayeslmm.marginal.layout import make_layout
from bayeslmm.marginal.likelihood import log_density_gradient
from bayeslmm.marginal.profile import profiled_gradient
from bayeslmm.marginal.routes import dense_rest, make_statistics, small_rest
from bayeslmm.marginal.several import Crossed, Exchangeable, Filled, InSteps
from bayeslmm.marginal.statistics import Statistics

EXACT, SLOPE = 1e-10, 1e-8

seeds = st.integers(0, 2**32 - 1)


def experiment(
    rng: np.random.Generator,
    *,
    subjects: int = 12,
    items: int = 8,
    lists: int = 1,
    effects: tuple[int, ...] = (2, 2),
    weight: float | None = None,
) -> Design:
    """Every subject sees every item, in both conditions or in that of their list.

    The rows come in random order; a third factor, if any, has a level for each item's
    parity.
    """
    s, i, c = (a.ravel() for a in np.mgrid[:subjects, :items, :2])
    seen = (s + i) % lists % 2 == c if lists > 1 else np.ones(len(s), bool)
    order = rng.permutation(np.flatnonzero(seen))
    s, i, c = s[order], i[order], c[order]
    codes = [s, i, (i + s) % 2][: len(effects)]
    design = coded_design(rng, codes, effects)
    Z = [np.column_stack([np.ones(len(s)), c - 0.3])[:, :k] for k in effects]
    X = np.column_stack([np.ones(len(s)), c - 0.5])
    weights = None if weight is None else np.full(len(s), weight)
    return with_rows(design, Z=tuple(Z), X=X, weights=weights)


def by_steps(stats: Statistics) -> Statistics:
    """The same cross-products, by the blocked steps."""
    return make_statistics(stats.sums, stats.layout, dense_rest)


def as_loops(stats: Statistics, solver: type) -> Statistics:
    """The same by the loops of a solver."""

    def route(parts):
        rest, _ = small_rest(parts)
        lead = parts.sums.A[0], parts.sums.F[0]
        if solver is Crossed:
            own = Crossed.of(
                parts.layout, *lead, *parts.coupling, rest.values, parts.Fr
            )
        else:
            own = Filled.of(parts.layout, lead, parts.coupling, (rest.values, parts.Fr))
        return rest, own

    return make_statistics(stats.sums, stats.layout, route)


def assert_same(one: Statistics, two: Statistics, design: Design, seed: int) -> None:
    """Density of two routes, flat prior and Normal, and profiles, with gradients."""
    rng = np.random.default_rng(seed)
    factors, sigma = random_factors(rng, design), float(rng.uniform(0.3, 3.0))
    precision = np.diag([0.4, 2.0])
    normal = BetaPrior(np.array([0.3, -0.2]), precision, float(np.log(0.8)), 2)
    for prior in (None, normal):
        a = log_density_gradient(one, factors, sigma, prior)
        b = log_density_gradient(two, factors, sigma, prior)
        assert a[0] == pytest.approx(b[0], rel=EXACT)
        assert a[2] == pytest.approx(b[2], rel=SLOPE, abs=SLOPE)
        for x, y in zip(a[1], b[1], strict=True):
            assert np.tril(x) == pytest.approx(np.tril(y), rel=SLOPE, abs=SLOPE)
    for restricted in (True, False):
        value, slopes = profiled_gradient(one, factors, restricted=restricted)
        expected, others = profiled_gradient(two, factors, restricted=restricted)
        assert value == pytest.approx(expected, rel=EXACT)
        for x, y in zip(slopes, others, strict=True):
            assert np.tril(x) == pytest.approx(np.tril(y), rel=SLOPE, abs=SLOPE)


designs = st.fixed_dictionaries(
    {
        "subjects": st.integers(9, 14),
        "items": st.sampled_from([4, 8, 12]),
        "lists": st.sampled_from([1, 2, 4]),
        "effects": st.sampled_from([(1, 1), (2, 2), (2, 1), (1, 2), (2, 2, 1)]),
        "weight": st.sampled_from([None, 2.5]),
    }
)


@settings(max_examples=10)
@given(designs, seeds)
def test_levels_that_are_alike_are_one(spec, seed):
    design = experiment(np.random.default_rng(seed), **spec)
    stats = cross_products(design)
    assert isinstance(stats.solver, Exchangeable)
    assert_same(stats, by_steps(stats), design, seed)


@settings(max_examples=12)
@given(designs, seeds, st.sampled_from([Crossed, Filled]))
def test_loops_equal_the_steps_where_levels_differ(spec, seed, solver):
    rng = np.random.default_rng(seed)
    design = experiment(rng, **spec)
    design = with_rows(design, weights=rng.uniform(0.5, 2.0, design.n))
    stats = cross_products(design)
    assert isinstance(stats.solver, Filled)
    assert_same(as_loops(stats, solver), by_steps(stats), design, seed)


def test_density_is_that_of_the_textbook():
    rng = np.random.default_rng(5)
    design = experiment(rng, lists=4)
    factors = random_factors(rng, design)
    found = log_density(cross_products(design), factors, 0.8)
    assert found == pytest.approx(dense_log_density(design, factors, 0.8), rel=EXACT)


def test_cost_depends_neither_on_subjects_nor_on_items():
    shapes = set()
    for subjects, items in ((12, 8), (60, 40), (200, 16)):
        rng = np.random.default_rng(3)
        design = experiment(rng, subjects=subjects, items=items, lists=2)
        solver = cross_products(design).solver
        assert isinstance(solver, Exchangeable)
        shapes.add(tuple(array.shape for array in solver.arrays))
    assert len(shapes) == 1


def test_a_singular_factor_is_no_edge():
    rng = np.random.default_rng(6)
    design = experiment(rng, lists=2)
    stats = cross_products(design)
    factors = [np.array([[0.7, 0.0], [-0.7, 0.0]]), np.zeros((2, 2))]
    one, two = (log_density_gradient(s, factors, 0.9) for s in (stats, by_steps(stats)))
    assert one[0] == pytest.approx(two[0], rel=EXACT)
    for x, y in zip(one[1], two[1], strict=True):
        assert np.tril(x) == pytest.approx(np.tril(y), rel=SLOPE, abs=SLOPE)


@pytest.mark.parametrize("change", ["row", "weight", "slope"])
def test_one_row_that_differs_makes_levels_of_its_own(change):
    rng = np.random.default_rng(7)
    design = experiment(rng)
    Z, weights = [z.copy() for z in design.rows.Z], np.ones(design.n)
    if change == "weight":
        weights[3] = 1.5
    elif change == "slope":
        Z[0][3, 1] += 0.25
    else:
        weights[3] = 1e-3  # all but gone
    design = with_rows(design, Z=tuple(Z), weights=weights)
    stats = cross_products(design)
    assert isinstance(stats.solver, Exchangeable)
    assert [len(first) for first in stats.solver.classes.first] == [2, 2]
    assert_same(stats, by_steps(stats), design, 8)


def test_levels_that_do_not_all_meet_are_not_alike():
    """Pairs of subjects and items, each of two: a pattern of zeros, all entries 1."""
    rng = np.random.default_rng(9)
    s = np.arange(24) % 6
    design = coded_design(rng, [s, (s + np.arange(24) // 12) % 6], (1, 1))
    design = with_rows(design, weights=None)
    sums = cross_products(design).sums
    assert find_classes(sums, make_layout(design)) is None


def test_a_new_response_has_the_sums_of_its_own():
    rng = np.random.default_rng(10)
    design = experiment(rng, lists=2, effects=(2, 1))
    stats = cross_products(design)
    new = with_rows(design, y=rng.normal(size=design.n))
    want = cross_products(new)
    got = stats.respond(want.WW[-1], [F[:, :, -1] for F in want.sums.F])
    for one, two in zip(got.solver.arrays, want.solver.arrays, strict=True):
        assert one == pytest.approx(two, rel=EXACT, abs=1e-12)


class Numbers(np.random.Generator):
    """A generator whose standard normal numbers are given."""

    def __init__(self, z: np.ndarray) -> None:
        super().__init__(np.random.PCG64(0))
        self.z = z

    def standard_normal(self, size: tuple[int, ...]) -> np.ndarray:
        assert self.z.shape == size
        return self.z


def law_of_draws(stats: Statistics, factors, sigma) -> tuple[np.ndarray, np.ndarray]:
    """Exact mean and covariance of what is drawn, which is linear in the numbers."""
    size = stats.p + stats.m
    z = np.vstack([np.zeros(size), np.eye(size)])
    many = [np.repeat(L[None], size + 1, axis=0) for L in factors]
    sigmas = np.full(size + 1, sigma)
    beta, b = draw_effects(stats, many, sigmas, Numbers(z), lead=False)
    drawn = np.hstack([beta, *(own.reshape(size + 1, -1) for own in b[1:])])
    columns = drawn[1:] - drawn[0]
    return drawn[0], columns.T @ columns


@pytest.mark.parametrize("effects", [(2, 2), (1, 2), (2, 2, 1)])
def test_effects_are_drawn_from_their_law(effects):
    rng = np.random.default_rng(11)
    design = experiment(rng, subjects=9, items=4, lists=2, effects=effects)
    factors, stats = random_factors(rng, design), cross_products(design)
    assert isinstance(stats.solver, Exchangeable)
    law = partial(law_of_draws, factors=factors, sigma=0.7)
    mean, covariance = law(by_steps(stats))
    for other in (stats, as_loops(stats, Filled), as_loops(stats, Crossed)):
        found = law(other)
        assert found[0] == pytest.approx(mean, rel=SLOPE, abs=SLOPE)
        assert found[1] == pytest.approx(covariance, rel=SLOPE, abs=SLOPE)


@pytest.mark.parametrize("kind", [Exchangeable, Filled, Crossed])
def test_draws_where_a_chain_stood_are_those_of_each_point_alone(kind):
    rng = np.random.default_rng(14)
    design = experiment(rng, subjects=9, items=4, lists=2)
    stats = cross_products(design)
    if kind is not Exchangeable:
        stats = as_loops(stats, kind)
    one, other = random_factors(rng, design), random_factors(rng, design)
    many = [np.stack([a, a, b, a]) for a, b in zip(one, other, strict=True)]
    sigmas, z = np.array([0.7, 0.7, 0.9, 0.7]), rng.normal(size=(4, stats.p + stats.m))
    beta, b = draw_effects(stats, many, sigmas, Numbers(z), lead=False)
    for s in range(4):
        at = slice(s, s + 1)
        alone = [L[at] for L in many]
        own = draw_effects(stats, alone, sigmas[at], Numbers(z[at]), lead=False)
        np.testing.assert_array_equal(beta[s], own[0][0])
        np.testing.assert_array_equal(b[1][s], own[1][1][0])


def test_large_balanced_designs_need_no_steps():
    rng = np.random.default_rng(12)
    design = experiment(rng, subjects=90, items=80, lists=4)
    stats = cross_products(design)
    assert stats.m == 160
    assert isinstance(by_steps(stats).solver, InSteps)
    assert not stats.in_steps
    assert_same(stats, by_steps(stats), design, 13)
