"""The sparse route: the dense oracle, the dense route, no fill where there is none."""

import ast
import itertools
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import (
    coded_design,
    dense_conditional,
    dense_criterion,
    dense_log_density,
    finite_difference,
    random_factors,
    random_precision,
    sums_of,
    take_rows,
)
from hypothesis import given, strategies as st
from test_average import all_directions

import bayeslmm.marginal.routes as routes_room
from bayeslmm import Model
from bayeslmm.design.arrays import Design
from bayeslmm.errors import DataError
from bayeslmm.marginal import (
    BetaPrior,
    Statistics,
    conditional_mean,
    cross_products,
    draw_effects,
    log_density,
    log_density_gradient,
    profiled_criterion,
    profiled_curvature,
    profiled_gradient,
)
from bayeslmm.marginal.dense import DenseRest, dense_bytes
from bayeslmm.marginal.kernels import panels as panel_kernels
from bayeslmm.marginal.layout import make_layout
from bayeslmm.marginal.points import density_with_effects
from bayeslmm.marginal.routes import dense_rest, make_statistics, sparse_rest
from bayeslmm.marginal.several import InSteps
from bayeslmm.marginal.sparse import SparseRest

EXACT = 1e-10  # same algebra by two routes
DIFFERENCE = 2e-6  # central differences of the dense density, absolute
N_DRAWS = 1_500
MAX_Z = 4.5  # some hundred z-scores are looked at

SHAPES = ("nested", "nested3", "crossed", "chain", "crossed3")
specs = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32 - 1),
        "shape": st.sampled_from(SHAPES),
        "effects": st.tuples(*[st.integers(1, 3)] * 3),
        "weights": st.booleans(),
    }
)


def codes_of(shape: str, rng: np.random.Generator, size: int = 6) -> list[np.ndarray]:
    """Levels of the rows: nested in two or three levels, crossed, or neighbours."""
    if shape == "chain":  # a level of the first factor meets two, next to each other
        lead = np.repeat(np.arange(4 * size), 3)
        return [lead, np.minimum(lead // 4 + rng.integers(0, 2, lead.size), size - 1)]
    unit = np.repeat(np.arange(4 * size), rng.integers(1, 4, 4 * size))
    if shape == "nested":
        return [unit, unit // 4]
    if shape == "nested3":
        return [unit, unit // 2, unit // 6]
    others = [
        rng.permutation(np.resize(np.arange(size - c), unit.size)) for c in (0, 1)
    ]
    return [unit, *others[: 1 if shape == "crossed" else 2]]


def build(spec: dict) -> Design:
    """Design of a drawn specification, factors in random order."""
    rng = np.random.default_rng(spec["seed"])
    codes = [
        np.unique(code, return_inverse=True)[1] for code in codes_of(spec["shape"], rng)
    ]
    order = rng.permutation(len(codes))
    return coded_design(
        rng,
        [codes[i] for i in order],
        spec["effects"][: len(codes)],
        weights=spec["weights"],
        offset=True,
    )


def forced(design: Design, route=sparse_rest) -> Statistics:
    """Statistics for a route that the size alone would not ask for."""
    layout = make_layout(design)
    return make_statistics(sums_of(design, layout), layout, route)


def draw_parameters(design: Design, seed: int):
    """Factors, sigma, and a prior of beta that is flat, proper or partly flat."""
    rng = np.random.default_rng(seed)
    rank = seed % (design.p + 1)
    precision, mean = random_precision(rng, design.p, rank), rng.normal(size=design.p)
    log_det = float(np.linalg.slogdet(precision[:rank, :rank])[1]) if rank else 0.0
    prior = BetaPrior(mean, precision, log_det, rank)
    return random_factors(rng, design), float(rng.uniform(0.4, 2.0)), prior


@given(specs)
def test_density_is_the_textbook_formula(spec):
    design = build(spec)
    factors, sigma, prior = draw_parameters(design, spec["seed"])
    stats = forced(design)
    flat = dense_log_density(design, factors, sigma)
    assert log_density(stats, factors, sigma) == pytest.approx(flat, rel=EXACT)
    dense = dense_log_density(design, factors, sigma, prior.mean, prior.precision)
    assert log_density(stats, factors, sigma, prior) == pytest.approx(dense, rel=EXACT)


@given(specs, st.booleans())
def test_gradients_are_those_of_the_textbook_formula(spec, restricted):
    design = build(spec)
    factors, sigma, prior = draw_parameters(design, spec["seed"])
    stats = forced(design)
    _, d_factors, d_log_sigma = log_density_gradient(stats, factors, sigma, prior)
    _, profiled = profiled_gradient(stats, factors, restricted=restricted)

    def density(factors, sigma):
        return dense_log_density(design, factors, sigma, prior.mean, prior.precision)

    slope = finite_difference(lambda x: density(factors, np.exp(x[0])), [np.log(sigma)])
    assert d_log_sigma == pytest.approx(slope[0], rel=1e-6, abs=DIFFERENCE)
    for t, L in enumerate(factors):
        lower = np.tril_indices(len(L))

        def moved(entries, t=t, lower=lower):
            found = [factor.copy() for factor in factors]
            found[t][lower] = entries
            return found

        slopes = finite_difference(lambda x, at=moved: density(at(x), sigma), L[lower])
        assert d_factors[t][lower] == pytest.approx(slopes, rel=1e-6, abs=DIFFERENCE)
        slopes = finite_difference(
            lambda x, at=moved: dense_criterion(design, at(x), restricted=restricted)[
                0
            ],
            L[lower],
        )
        assert profiled[t][lower] == pytest.approx(slopes, rel=1e-6, abs=DIFFERENCE)


@given(specs)
def test_conditional_moments_are_the_textbook_ones(spec):
    design = build(spec)
    factors, sigma, prior = draw_parameters(design, spec["seed"])
    found = conditional_mean(forced(design), factors, sigma, prior)
    dense = dense_conditional(design, factors, sigma, prior.mean, prior.precision)
    assert found.beta == pytest.approx(dense.beta, rel=1e-8, abs=1e-9)
    for t in range(len(design.groups)):
        for name in ("b", "b_cov_given_beta", "b_cov"):
            ours, theirs = getattr(found, name)[t], getattr(dense, name)[t]
            assert ours == pytest.approx(theirs, rel=1e-8, abs=1e-9), name


@given(specs, st.sampled_from(["as drawn", "no SD", "correlation 1"]), st.booleans())
def test_the_dense_route_says_the_same(spec, edge, restricted):
    """Also where the factors are singular, in blocks of the lead and of the rest."""
    design = build(spec)
    factors, sigma, prior = draw_parameters(design, spec["seed"])
    if edge != "as drawn":
        first = 0 if edge == "no SD" else 1
        factors = [np.where(np.arange(len(L)) >= first, 0.0, L) for L in factors]
    one, two = forced(design), forced(design, dense_rest)
    same(
        log_density_gradient(one, factors, sigma, prior),
        log_density_gradient(two, factors, sigma, prior),
    )
    directions = all_directions(factors)
    same(
        profiled_curvature(one, factors, directions, restricted=restricted),
        profiled_curvature(two, factors, directions, restricted=restricted),
    )
    profile = profiled_criterion(one, factors, restricted=restricted)
    other = profiled_criterion(two, factors, restricted=restricted)
    assert profile.criterion == pytest.approx(other.criterion, rel=EXACT)


def same(one, two) -> None:
    """Nested tuples of arrays agree, each on its own scale."""
    if isinstance(two, tuple):
        for a, b in zip(one, two, strict=True):
            same(a, b)
        return
    scale = float(np.abs(two).max(initial=1.0))
    assert one == pytest.approx(two, rel=EXACT, abs=EXACT * scale)


@pytest.mark.parametrize("effects", [(1, 1), (2, 1), (1, 2)])
def test_panels_of_many_columns_say_the_same(effects):
    """A rest of 240 coordinates that fills: panels of 64 columns meet each other."""
    rng = np.random.default_rng(5)
    codes = [np.repeat(np.arange(600), 3), np.resize(np.arange(240), 1800)]
    codes[1] = rng.permutation(codes[1])
    design = coded_design(rng, codes, effects)
    factors, sigma, prior = draw_parameters(design, 6)
    one, two = forced(design), forced(design, dense_rest)
    assert isinstance(one.R, SparseRest)
    assert np.diff(one.R.panels.shape[0]).max() == 64
    same(
        log_density_gradient(one, factors, sigma, prior),
        log_density_gradient(two, factors, sigma, prior),
    )
    first = conditional_mean(one, factors, sigma, prior)
    other = conditional_mean(two, factors, sigma, prior)
    for name in ("b", "b_cov_given_beta", "b_cov"):
        same(getattr(first, name), getattr(other, name))


@pytest.mark.parametrize("shape", ["nested3", "crossed3"])
def test_draws_have_the_exact_joint_law(shape):
    design = build({"seed": 3, "shape": shape, "effects": (2, 1, 1), "weights": True})
    factors, sigma, prior = draw_parameters(design, 12)
    stats, rng = forced(design), np.random.default_rng(11)
    dense = dense_conditional(design, factors, sigma, prior.mean, prior.precision)
    beta, b = draw_effects(
        stats,
        [np.repeat(L[None], N_DRAWS, axis=0) for L in factors],
        np.full(N_DRAWS, sigma),
        rng,
        prior,
    )
    draws = np.hstack([beta, *(term.reshape(N_DRAWS, -1) for term in b)])
    white = np.linalg.solve(np.linalg.cholesky(dense.cov), (draws - dense.mean).T)
    means = white.mean(axis=1) * np.sqrt(N_DRAWS)
    second = (white @ white.T / N_DRAWS - np.eye(len(white))) * np.sqrt(N_DRAWS)
    second[np.diag_indices_from(second)] /= np.sqrt(2.0)
    assert np.abs(means).max() < MAX_Z
    assert np.abs(second).max() < MAX_Z
    value, beta, b = density_with_effects(stats, factors, sigma, rng, prior)
    expected = dense_log_density(design, factors, sigma, prior.mean, prior.precision)
    assert value == pytest.approx(expected, rel=EXACT)
    assert [term.shape for term in b] == [(t.n_levels, t.k) for t in design.groups]


@pytest.mark.parametrize(
    ("shape", "entries"),
    [("nested", 50), ("nested3", 2 * (100 + 34)), ("chain", 2 * 50)],
)
def test_what_need_not_fill_does_not(shape, entries):
    """Nested factors: each level, and the level above it; a chain: one neighbour.

    A panel of two columns, the last level below another and that, keeps the entry above
    its diagonal as well.
    """
    rng = np.random.default_rng(2)
    design = coded_design(rng, codes_of(shape, rng, size=50), (1, 1, 1))
    R = forced(design).R
    assert isinstance(R, SparseRest)
    assert R.panels.n_values <= entries
    assert R.panels.operations <= 2 * entries


def test_factor_has_the_structure_of_its_panels():
    """P S P' = L L', and the inverse, entry by entry, for crossed levels that fill."""
    rng = np.random.default_rng(9)
    design = coded_design(rng, codes_of("crossed3", rng, size=15), (1, 2, 1))
    R = forced(design).R
    assert isinstance(R, SparseRest)
    places = R.panels.shape
    m = len(R.panels.order)
    dense = R.times(np.eye(m))[np.ix_(R.panels.order, R.panels.order)]
    assert np.array_equal(dense, dense.T)
    values = R.values.copy()
    panel_kernels.add_identity(places, values)
    log_det = panel_kernels.factor_panels(places, values)
    S = dense + np.eye(m)
    assert log_det == pytest.approx(np.linalg.slogdet(S)[1], rel=EXACT)
    inverse = np.empty_like(values)
    panel_kernels.invert_panels(places, values, inverse)
    L, Z = np.linalg.cholesky(S), np.linalg.inv(S)
    edges, starts, rows, at, _ = places
    for q in range(len(edges) - 1):
        width, own = edges[q + 1] - edges[q], rows[starts[q] : starts[q + 1]]
        columns = np.arange(edges[q], edges[q + 1])
        part = slice(at[q], at[q + 1])
        lower = own[:, None] >= columns
        found = values[part].reshape(-1, width)
        assert found[lower] == pytest.approx(L[np.ix_(own, columns)][lower], abs=1e-12)
        found = inverse[part].reshape(-1, width)
        assert found == pytest.approx(Z[np.ix_(own, columns)], abs=1e-12)
        later = np.setdiff1d(np.arange(edges[q + 1], m), own)
        assert np.abs(L[np.ix_(later, columns)]).max(initial=0.0) < 1e-14


def test_not_positive_definite_is_nan():
    design = build({"seed": 1, "shape": "chain", "effects": (1, 1), "weights": False})
    stats = forced(design)
    assert isinstance(stats.R, SparseRest)
    broken = replace(stats.R, values=stats.R.values - 1e6)
    factors = [np.eye(1)] * 2
    assert np.isnan(log_density(replace(stats, R=broken), factors, 1.0))


@pytest.mark.parametrize(
    ("shape", "rest"),
    [("nested", SparseRest), ("chain", SparseRest), ("full", DenseRest)],
)
def test_kernel_is_chosen_by_the_fill(shape, rest):
    rng = np.random.default_rng(8)
    if shape == "full":
        codes = list(np.array(list(itertools.product(range(130), range(120)))).T)
    else:
        codes = codes_of(shape, rng, size=120)
    design = coded_design(rng, codes, (1, 1), weights=True)  # no two levels are alike
    stats = cross_products(design)
    assert isinstance(stats.R, rest)
    assert isinstance(stats.solver, InSteps)
    assert 0.0 < stats.seconds < 0.1


@pytest.mark.parametrize("shape", ["nested", "full"])
def test_what_memory_is_free_changes_no_route(shape, monkeypatch):
    """Two machines compute the same numbers, or one of them refuses."""
    rng = np.random.default_rng(8)
    codes = codes_of("nested", rng, size=120)
    if shape == "full":
        codes = list(np.array(list(itertools.product(range(130), range(120)))).T)
    design, found, refused = coded_design(rng, codes, (1, 1)), set(), 0
    for room in np.geomspace(1e3, 1e12, 28):
        monkeypatch.setattr(routes_room, "available_bytes", lambda room=room: room)
        try:
            found.add(type(cross_products(design).R))
        except DataError:
            refused += 1
            assert not found, "more memory is never refused"
    assert len(found) == 1
    assert 0 < refused < 28


PARTS = ("solvers", "several", "dense", "sparse")


def test_no_file_asks_which_route_was_taken():
    """The solver and the matrix of the rest answer, whichever they are.

    But for the compiled functions, which are looked up by the solver, for models less
    some rows, which take the route of the whole, for structured residuals, and for
    draws of levels that are alike.
    """
    package = Path(routes_room.__file__).parents[1]
    # not "pairs": marginal means have an option of that name
    words = re.compile(r"[\"'](pooled|crossed|blocked|sparse)[\"']")
    homes = {f"bayeslmm.marginal.{name}" for name in PARTS}
    users = {"routes.py", "entries.py", "downdate.py"}
    users |= {"several.py", "effects.py", "contrasts.py"}  # levels that are alike
    users |= {"standins.py", "stack.py"}  # structured residuals
    for room in ("marginal", "reml", "posterior"):
        for path in (package / room).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert not words.search(text), path
            imported = [
                alias.name
                for node in ast.walk(ast.parse(text))
                if isinstance(node, ast.ImportFrom) and node.module in homes
                for alias in node.names
            ]
            bytes_alone = {*imported} <= {"dense_bytes", "SPARSE_BYTES"}
            assert bytes_alone or path.name in users, path


def test_statistics_of_parts_add_up():
    rng = np.random.default_rng(4)
    design = coded_design(rng, codes_of("nested3", rng, size=120), (2, 1, 1))
    layout, part = make_layout(design), rng.integers(0, 2, design.n)
    parts = [sums_of(take_rows(design, part == i), layout) for i in range(2)]
    added = make_statistics(parts[0] + parts[1], layout)
    whole, (factors, sigma, _) = cross_products(design), draw_parameters(design, 2)
    assert type(added.R) is type(whole.R) is SparseRest
    same(
        log_density_gradient(added, factors, sigma),
        log_density_gradient(whole, factors, sigma),
    )


def nested_frame(n_schools: int, seed: int):
    """Scores of pupils in classes in schools, with an effect of x that varies."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    row = np.repeat(np.arange(n_schools * 3), 4)
    school, x = row // 3, rng.normal(size=row.size)
    y = 1.0 + 0.5 * x + rng.normal(size=row.size)
    y += rng.normal(0, 0.8, n_schools)[school] + rng.normal(0, 0.5, 3 * n_schools)[row]
    y += rng.normal(0, 0.4, n_schools)[school] * x
    return pd.DataFrame({"y": y, "x": x, "school": school, "class": row % 3})


def test_draws_beyond_memory_are_refused_before_they_are_made(monkeypatch):
    """The effects of all factors but the largest are stored, however many they are."""
    memory = sys.modules["bayeslmm.design.memory"]
    model = Model("y ~ x + (1 | school/class)", nested_frame(400, 5))
    monkeypatch.setattr(memory, "available_bytes", lambda: 1e6)
    with pytest.raises(DataError, match=r"2,000 draws of 400 random effects would"):
        model.sample(draws=500, chains=4, keep="summary")


def test_reml_of_nested_factors_is_that_of_the_dense_route(monkeypatch):
    data = nested_frame(120, 3)
    formula = "y ~ x + (x | school) + (1 | school:class)"
    sparse = Model(formula, data)
    assert isinstance(sparse.conditioned.statistics.R, SparseRest)
    monkeypatch.setattr(sys.modules["bayeslmm.marginal.routes"], "SPARSE_COST", 1e30)
    dense = Model(formula, data)
    assert isinstance(dense.conditioned.statistics.R, DenseRest)
    one, two = sparse.fit_reml(), dense.fit_reml()
    assert one.criterion == pytest.approx(two.criterion, rel=EXACT)
    same(one.summary()["estimate"].to_numpy(), two.summary()["estimate"].to_numpy())


def test_nested_factors_read_in_batches_are_those_in_memory(tmp_path):
    """And what the plan asks for is not the square of the smaller one."""
    data = nested_frame(300, 4)
    data.to_parquet(tmp_path / "scores.parquet")
    formula = "y ~ x + (x | school) + (1 | school:class)"
    streamed = Model(formula, tmp_path / "scores.parquet")
    assert isinstance(streamed.conditioned.statistics.R, SparseRest)
    assert streamed.plan is not None
    assert streamed.plan.bytes < dense_bytes(streamed.conditioned.statistics.m)
    one, two = streamed.fit_reml(), Model(formula, data).fit_reml()
    assert one.criterion == pytest.approx(two.criterion, rel=1e-9)


@pytest.mark.parametrize(
    "name", ["pastes_nested_REML", "pastes_nested_ML", "insteval_A_REML"]
)
def test_criterion_at_the_optimum_of_lme4(name, public_data):
    """Small and crossed models that the dense routes take by themselves."""
    reference = Path(__file__).parent / "reference" / "lme4.json"
    case = json.loads(reference.read_text())["fits"][name]
    model = Model(case["formula"], public_data(case["data"]))
    stats = forced(model.design)
    # lme4 has the factors in falling order of their levels
    order = sorted(
        range(stats.layout.n_terms), key=lambda t: -model.design.groups[t].n_levels
    )
    relative = [np.empty((1, 1)) for _ in order]
    for t, theta in zip(order, case["theta"], strict=True):
        relative[t][:] = theta
    restricted = case["method"] == "REML"
    profile = profiled_criterion(stats, relative, restricted=restricted)
    assert profile.criterion == pytest.approx(case["criterion"], abs=1e-6)
    assert profile.sigma == pytest.approx(case["sigma"], rel=1e-6)
