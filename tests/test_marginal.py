"""The marginal likelihood against the dense textbook formula, and its laws."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from helpers import (
    LAYOUTS,
    coded_design,
    dense_conditional,
    dense_criterion,
    dense_log_density,
    finite_difference,
    random_design,
    random_factors,
    random_precision,
    sums_of,
    take_rows,
    with_rows,
)
from hypothesis import given, strategies as st

import bayeslmm.marginal.levels as levels_room
import bayeslmm.marginal.routes as routes_room
import bayeslmm.marginal.sums as sums_room
from bayeslmm.design.arrays import Design
from bayeslmm.errors import DataError
from bayeslmm.marginal import (
    BetaPrior,
    conditional_mean,
    cross_products,
    draw_effects,
    log_density,
    log_density_gradient,
    log_sigma_gradient,
    profiled_criterion,
    profiled_gradient,
)
from bayeslmm.marginal.layout import make_layout
from bayeslmm.marginal.levels import draw_levels
from bayeslmm.marginal.routes import dense_rest, make_statistics, one_factor
from bayeslmm.marginal.several import Crossed, Exchangeable, Filled, InSteps
from bayeslmm.marginal.solvers import Levels, Pairs, Pooled

EXACT = 1e-10  # same algebra by two routes
DIFFERENCE = 2e-6  # central differences of the dense density, absolute
N_DRAWS = 4_000
MAX_Z = 4.5  # 300 z-scores or so are looked at: P(any beyond) is about 2e-3

seeds = st.integers(0, 2**32 - 1)
# beartype looks at random items, which Hypothesis forbids inside a strategy: the
# strategies give arguments, and each test builds its design from them.
specs = st.fixed_dictionaries(
    {
        "seed": seeds,
        "layout": st.sampled_from(LAYOUTS),
        "effects": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "weights": st.booleans(),
        "offset": st.booleans(),
        "p": st.integers(1, 3),
    }
)


def build(spec: dict) -> Design:
    """Design of a drawn specification; one term if there is one factor."""
    arguments = dict(spec)
    rng = np.random.default_rng(arguments.pop("seed"))
    if spec["layout"] == "one":
        arguments["effects"] = spec["effects"][:1]
    return random_design(rng, **arguments)


def draw_parameters(design: Design, seed: int):
    """Factors, sigma, and a prior of beta that is flat, proper or partly flat."""
    rng = np.random.default_rng(seed)
    factors, sigma = random_factors(rng, design), float(rng.uniform(0.4, 2.0))
    rank = int(rng.integers(0, design.p + 1))
    precision, mean = random_precision(rng, design.p, rank), rng.normal(size=design.p)
    log_det = float(np.linalg.slogdet(precision[:rank, :rank])[1]) if rank else 0.0
    return factors, sigma, BetaPrior(mean, precision, log_det, rank)


@given(specs, seeds)
def test_density_is_the_textbook_formula(spec, seed):
    design = build(spec)
    factors, sigma, prior = draw_parameters(design, seed)
    stats = cross_products(design)
    flat = dense_log_density(design, factors, sigma)
    assert log_density(stats, factors, sigma) == pytest.approx(flat, rel=EXACT)
    dense = dense_log_density(design, factors, sigma, prior.mean, prior.precision)
    assert log_density(stats, factors, sigma, prior) == pytest.approx(dense, rel=EXACT)


@given(specs, seeds)
def test_gradient_is_that_of_the_textbook_formula(spec, seed):
    design = build(spec)
    factors, sigma, prior = draw_parameters(design, seed)
    stats = cross_products(design)
    value, d_factors, d_log_sigma = log_density_gradient(stats, factors, sigma, prior)
    assert value == log_density(stats, factors, sigma, prior)

    def density(factors, sigma):
        return dense_log_density(design, factors, sigma, prior.mean, prior.precision)

    slope = finite_difference(lambda x: density(factors, np.exp(x[0])), [np.log(sigma)])
    assert d_log_sigma == pytest.approx(slope[0], rel=1e-6, abs=DIFFERENCE)
    for t, L in enumerate(factors):
        lower = np.tril_indices(len(L))

        def at(entries, t=t, lower=lower):
            moved = [factor.copy() for factor in factors]
            moved[t][lower] = entries
            return density(moved, sigma)

        slopes = finite_difference(at, L[lower])
        assert d_factors[t][lower] == pytest.approx(slopes, rel=1e-6, abs=DIFFERENCE)


@given(specs, seeds, st.booleans())
def test_profile_is_the_dense_criterion_and_its_gradient(spec, seed, restricted):
    design = build(spec)
    factors, _, _ = draw_parameters(design, seed)
    stats = cross_products(design)
    profile = profiled_criterion(stats, factors, restricted=restricted)
    criterion, sigma, beta = dense_criterion(design, factors, restricted=restricted)
    assert profile.criterion == pytest.approx(criterion, rel=EXACT)
    assert profile.sigma == pytest.approx(sigma, rel=EXACT)
    assert profile.beta == pytest.approx(beta, rel=1e-8, abs=1e-8)
    value, gradients = profiled_gradient(stats, factors, restricted=restricted)
    assert value == pytest.approx(profile.criterion, rel=1e-14)
    of_sigma = log_sigma_gradient(stats, factors, restricted=restricted)
    for t, L in enumerate(factors):
        lower = np.tril_indices(len(L))

        def at(entries, t=t, lower=lower):
            moved = [factor.copy() for factor in factors]
            moved[t][lower] = entries
            return dense_criterion(design, moved, restricted=restricted)

        slopes = finite_difference(lambda entries, at=at: at(entries)[0], L[lower])
        assert gradients[t][lower] == pytest.approx(slopes, rel=1e-6, abs=DIFFERENCE)
        slopes = finite_difference(
            lambda entries, at=at: math.log(at(entries)[1]), L[lower]
        )
        assert of_sigma[t][lower] == pytest.approx(slopes, rel=1e-6, abs=DIFFERENCE)


@given(specs, seeds)
def test_criterion_is_minus_twice_the_density_at_its_own_sigma(spec, seed):
    design = build(spec)
    relative, _, _ = draw_parameters(design, seed)
    stats = cross_products(design)
    profile = profiled_criterion(stats, relative)
    absolute = [profile.sigma * factor for factor in relative]
    density = log_density(stats, absolute, profile.sigma)
    assert profile.criterion == pytest.approx(-2.0 * density, rel=EXACT)


@given(specs, seeds)
def test_conditional_moments_are_the_textbook_ones(spec, seed):
    design = build(spec)
    factors, sigma, prior = draw_parameters(design, seed)
    found = conditional_mean(cross_products(design), factors, sigma, prior)
    dense = dense_conditional(design, factors, sigma, prior.mean, prior.precision)
    assert found.beta == pytest.approx(dense.beta, rel=1e-8, abs=1e-9)
    assert found.beta_cov == pytest.approx(dense.beta_cov, rel=1e-8, abs=1e-9)
    for t in range(len(design.groups)):
        for name in ("b", "b_cov_given_beta", "b_cov"):
            ours, theirs = getattr(found, name)[t], getattr(dense, name)[t]
            assert ours == pytest.approx(theirs, rel=1e-8, abs=1e-9), name


@given(specs, seeds)
def test_singular_factors_are_ordinary_points(spec, seed):
    design = build(spec)
    factors, sigma, prior = draw_parameters(design, seed)
    singular = tuple(np.where(np.arange(len(L)) == len(L) - 1, 0.0, L) for L in factors)
    stats = cross_products(design)
    dense = dense_log_density(design, singular, sigma, prior.mean, prior.precision)
    value, d_factors, _ = log_density_gradient(stats, singular, sigma, prior)
    assert value == pytest.approx(dense, rel=EXACT)
    # the density is even in a column of the factor that is 0: no slope there
    for gradient in d_factors:
        assert gradient[-1, -1] == pytest.approx(0.0, abs=1e-12)


@given(specs, seeds)
def test_restricted_criterion_ignores_what_X_explains(spec, seed):
    design = build(spec)
    rng = np.random.default_rng(seed)
    factors = random_factors(rng, design)
    moved = with_rows(
        design, y=design.rows.y + design.rows.X @ rng.normal(size=design.p)
    )
    one = profiled_criterion(cross_products(design), factors)
    other = profiled_criterion(cross_products(moved), factors)
    assert other.criterion == pytest.approx(one.criterion, rel=1e-9)


@given(specs, seeds)
def test_density_ignores_the_order_of_rows_and_levels(spec, seed):
    design = build(spec)
    factors, sigma, prior = draw_parameters(design, seed)
    rng = np.random.default_rng(seed)
    shuffled = shuffle(design, rng)
    one = log_density(cross_products(design), factors, sigma, prior)
    other = log_density(cross_products(shuffled), factors, sigma, prior)
    assert other == pytest.approx(one, rel=EXACT)


@given(specs, seeds)
def test_every_kernel_gives_the_same_density_and_gradient(spec, seed):
    design = build({**spec, "layout": "one"})
    factors, sigma, prior = draw_parameters(design, seed)
    layout = make_layout(design)
    sums = sums_of(design, layout)
    solvers = [Pooled, Levels, *([Pairs] if design.groups[0].k == 2 else [])]
    found, profiles = [], []
    for solver in solvers:
        forced = make_statistics(sums, layout, partial(one_factor, solver=solver))
        found.append(log_density_gradient(forced, factors, sigma, prior))
        profiles.append(profiled_gradient(forced, factors, restricted=bool(seed % 2)))
    for other in found[1:]:
        assert other[0] == pytest.approx(found[0][0], rel=EXACT)
        assert other[1][0] == pytest.approx(found[0][1][0], rel=1e-9, abs=1e-9)
        assert other[2] == pytest.approx(found[0][2], rel=1e-9, abs=1e-9)
    for other in profiles[1:]:
        assert other[0] == pytest.approx(profiles[0][0], rel=EXACT)
        assert other[1][0] == pytest.approx(profiles[0][1][0], rel=1e-8, abs=1e-8)


@given(specs, seeds)
def test_statistics_of_parts_add_up(spec, seed):
    design = build(spec)
    rng = np.random.default_rng(seed)
    layout = make_layout(design)
    part = rng.integers(0, 3, design.n)
    parts = [sums_of(take_rows(design, part == i), layout) for i in range(3)]
    whole = cross_products(design)
    for sums in (parts[0] + parts[1] + parts[2], parts[2] + (parts[0] + parts[1])):
        added = make_statistics(sums, layout)
        assert added.n == whole.n
        assert added.log_weights == pytest.approx(whole.log_weights)
        arrays = added.solver.arrays, whole.solver.arrays
        for one, other in zip(*arrays, strict=True):
            assert one == pytest.approx(other, rel=EXACT, abs=1e-12)
        for name in ("WW", "A", "F", "indptr", "columns", "B", "Fr"):
            one, other = getattr(added, name), getattr(whole, name)
            assert one == pytest.approx(other, rel=EXACT, abs=1e-12), name


def test_threads_change_nothing_but_rounding(monkeypatch):
    monkeypatch.setattr(sums_room, "ROWS_PER_THREAD", 16)
    design = random_design(np.random.default_rng(4), layout="crossed", effects=(2, 1))
    layout = make_layout(design)
    one, two = sums_of(design, layout, 1), sums_of(design, layout, 2)
    assert pytest.approx(one.WW) == two.WW
    for a, b in zip(one.A + one.F, two.A + two.F, strict=True):
        assert a == pytest.approx(b)
    assert one.cells[0].keys.tolist() == two.cells[0].keys.tolist()
    assert one.cells[0].values == pytest.approx(two.cells[0].values)


@given(specs, seeds, st.sampled_from(["nested", "crossed"]))
def test_one_compiled_call_equals_the_blocked_steps(spec, seed, layout):
    design = build({**spec, "layout": layout})
    factors, sigma, prior = draw_parameters(design, seed)
    stats = cross_products(design)
    assert isinstance(stats.solver, (Crossed, Filled, Exchangeable))
    blocked = make_statistics(stats.sums, stats.layout, dense_rest)
    one = log_density_gradient(stats, factors, sigma, prior)
    two = log_density_gradient(blocked, factors, sigma, prior)
    assert one[0] == pytest.approx(two[0], rel=EXACT)
    assert one[2] == pytest.approx(two[2], rel=1e-9, abs=1e-9)
    for a, b in zip(one[1], two[1], strict=True):
        assert a == pytest.approx(b, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("solver", "layout", "effects", "n_levels"),
    [
        (Pooled, "one", (1,), 20),
        (Pairs, "one", (2,), 20),
        (Levels, "one", (3,), 20),
        (Crossed, "nested", (1, 1), 8),
        (Filled, "crossed", (1, 1), 20),
        (InSteps, "crossed", (3, 3), 50),
    ],
)
def test_kernel_is_chosen_by_what_the_data_share(solver, layout, effects, n_levels):
    rng = np.random.default_rng(8)
    design = random_design(
        rng, layout=layout, effects=effects, n=200, n_levels=n_levels
    )
    assert isinstance(cross_products(design).solver, solver)


def test_levels_with_the_same_rows_are_pooled():
    days = np.tile(np.arange(10.0), 30)
    design = random_design(np.random.default_rng(2), effects=(2,), n=300, n_levels=30)
    Z = np.column_stack([np.ones(300), days])
    codes = np.repeat(np.arange(30), 10)
    stats = cross_products(with_rows(design, Z=(Z,), codes=(codes,)))
    assert isinstance(stats.solver, Pooled)
    assert stats.solver.arrays[1].tolist() == [30.0]


def test_crossed_factors_beyond_memory_are_refused(monkeypatch):
    """Of 4,000 x 4,000 crossed levels neither form of the covariance fits in 150 MB."""
    rng = np.random.default_rng(6)
    codes = [rng.permutation(np.tile(np.arange(4_000), 5)) for _ in range(2)]
    design = coded_design(rng, codes, (1, 1))
    monkeypatch.setattr(routes_room, "available_bytes", lambda: 1.5e8)
    with pytest.raises(DataError, match=r"4,000 random .* would take 0\.8 GB, of 0\.1"):
        cross_products(design)


def shuffle(design: Design, rng: np.random.Generator) -> Design:
    """The same data with rows and levels in another order."""
    moved = take_rows(design, rng.permutation(design.n))
    orders = [rng.permutation(term.n_levels) for term in design.groups]
    pairs = zip(orders, moved.rows.codes, strict=True)
    return with_rows(moved, codes=tuple(order[codes] for order, codes in pairs))


def split_term(design: Design) -> Design:
    """(x | g) of two effects written as two terms on g."""
    (term,) = design.groups
    halves = [replace(term, effects=(term.effects[i],)) for i in (0, 1)]
    (Z,), (codes,) = design.rows.Z, design.rows.codes
    apart = with_rows(design, Z=(Z[:, [0]], Z[:, [1]]), codes=(codes, codes))
    return replace(apart, groups=tuple(halves))


@given(seeds)
def test_two_terms_of_one_group_are_one_block_at_zero_correlation(seed):
    rng = np.random.default_rng(seed)
    design = random_design(rng, effects=(2,), weights=True)
    sd = rng.uniform(0.2, 2.0, 2)
    together = cross_products(design)
    apart = cross_products(split_term(design))
    assert apart.lead.terms == (0, 1)
    joint, halves = [np.diag(sd)], [sd[:1, None], sd[1:, None]]
    one = log_density_gradient(together, joint, 0.9)
    two = log_density_gradient(apart, halves, 0.9)
    assert two[0] == pytest.approx(one[0], rel=EXACT)
    assert two[2] == pytest.approx(one[2], rel=1e-9)
    diagonal = np.concatenate([d.ravel() for d in two[1]])
    assert diagonal == pytest.approx(np.diag(one[1][0]), rel=1e-9, abs=1e-9)


def test_weights_of_two_are_rows_given_twice():
    rng = np.random.default_rng(5)
    design = random_design(rng, effects=(2,))
    twice = np.repeat(np.arange(design.n), 2)
    doubled = take_rows(design, twice)
    weighted = with_rows(design, weights=np.full(design.n, 2.0))
    one, two = cross_products(weighted), cross_products(doubled)
    assert pytest.approx(two.A) == one.A
    assert pytest.approx(two.WW) == one.WW


@pytest.mark.parametrize("layout", LAYOUTS)
def test_draws_have_the_exact_joint_law(layout):
    rng = np.random.default_rng(11)
    design = random_design(rng, layout=layout, effects=(2, 1), weights=True, n_levels=4)
    factors, sigma, prior = draw_parameters(design, 12)
    dense = dense_conditional(design, factors, sigma, prior.mean, prior.precision)
    beta, b = draw_effects(
        cross_products(design),
        [np.repeat(L[None], N_DRAWS, axis=0) for L in factors],
        np.full(N_DRAWS, sigma),
        rng,
        prior,
    )
    draws = np.hstack([beta, *(term.reshape(N_DRAWS, -1) for term in b)])
    # whitened by the exact law, all coordinates are independent standard normals
    white = np.linalg.solve(np.linalg.cholesky(dense.cov), (draws - dense.mean).T)
    means = white.mean(axis=1) * np.sqrt(N_DRAWS)
    second = (white @ white.T / N_DRAWS - np.eye(len(white))) * np.sqrt(N_DRAWS)
    second[np.diag_indices_from(second)] /= np.sqrt(2.0)
    assert np.abs(means).max() < MAX_Z
    assert np.abs(second).max() < MAX_Z


@pytest.mark.parametrize("layout", LAYOUTS)
def test_levels_of_the_lead_are_drawn_alone_as_with_all(layout, monkeypatch):
    rng = np.random.default_rng(21)
    design = random_design(
        rng, layout=layout, effects=(2, 1), n=300, n_levels=150, weights=True
    )
    stats = cross_products(design)
    k, n_draws = stats.lead.k, 6
    relative = np.repeat(np.tril(rng.normal(size=(k, k)))[None], n_draws, axis=0)
    sigma, beta = rng.uniform(0.5, 1.0, n_draws), rng.normal(size=(n_draws, stats.p))
    given = (stats, relative, sigma, beta, rng.normal(size=(n_draws, stats.m)))

    def draw(levels):
        return draw_levels(*given, np.random.default_rng(5), levels)

    everything = draw(None)
    assert np.array_equal(draw([140, 3, 77]), everything[:, [140, 3, 77]])
    monkeypatch.setattr(levels_room, "THREADED", 1)
    assert np.array_equal(draw(None), everything)


def test_levels_given_the_rest_have_the_law_of_the_joint_draw():
    rng = np.random.default_rng(22)
    design = random_design(rng, layout="crossed", effects=(2, 1), n_levels=4)
    factors, sigma, prior = draw_parameters(design, 23)
    stats = cross_products(design)
    t = stats.lead.terms[0]
    dense = dense_conditional(design, factors, sigma, prior.mean, prior.precision)
    repeated = [np.repeat(L[None], N_DRAWS, axis=0) for L in factors]
    sigmas = np.full(N_DRAWS, sigma)
    beta, b = draw_effects(stats, repeated, sigmas, rng, prior)
    rest = np.hstack([b[u].reshape(N_DRAWS, -1) for u in range(len(b)) if u != t])
    again = draw_levels(stats, repeated[t] / sigma, sigmas, beta, rest, rng)
    mean_z = (again.mean(axis=0) - dense.b[t]) * np.sqrt(N_DRAWS)
    sd = np.sqrt(np.diagonal(dense.b_cov[t], axis1=1, axis2=2))
    assert np.abs(mean_z / sd).max() < MAX_Z
    variance_z = (again.var(axis=0) / sd**2 - 1) * np.sqrt(N_DRAWS / 2)
    assert np.abs(variance_z).max() < MAX_Z


def test_draws_depend_on_the_generator_alone():
    design = random_design(np.random.default_rng(3), layout="crossed", effects=(1, 1))
    stats = cross_products(design)
    factors = [np.full((5, 1, 1), 0.7)] * 2
    one = draw_effects(stats, factors, np.ones(5), np.random.default_rng(1))
    two = draw_effects(stats, factors, np.ones(5), np.random.default_rng(1))
    assert np.array_equal(one[0], two[0])
    assert all(np.array_equal(a, b) for a, b in zip(one[1], two[1], strict=True))
    assert len(np.unique(one[0][:, 0])) == 5
