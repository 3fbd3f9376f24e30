"""The one list of parameters: labels, places, and that nothing else knows them."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from graph_cases import MODE
from helpers import random_design
from hypothesis import given, strategies as st
from sampling import sample_unchecked, unchecked
from test_layers import PACKAGE

from bayeslmm import FitWarning, Model
from bayeslmm.design import arrays
from bayeslmm.design.arrays import Design
from bayeslmm.design.space import (
    POSITIVE,
    Coordinate,
    Parameter,
    ParameterSpace,
    parameter_space,
)
from bayeslmm.formula.nodes import STRUCTURE_WORDS
from bayeslmm.marginal.conditioning import condition
from bayeslmm.marginal.objective import Objective, second_differences
from bayeslmm.posterior.agreement import joint_coordinates
from bayeslmm.posterior.draws import sd_corr_draws
from bayeslmm.posterior.lattice import Lattice
from bayeslmm.posterior.margins import mean_sd, values_at
from bayeslmm.posterior.mode import laplace
from bayeslmm.posterior.quadrature import quadrature
from bayeslmm.posterior.tails import find_tails
from bayeslmm.posterior.target import Target, make_target
from bayeslmm.posterior.visits import log_target
from bayeslmm.priors import Prior, make_priors
from bayeslmm.reml.criterion import profiled_problem

# Same algebra by two routes.
EXACT = 1e-10
SEEDS = st.integers(0, 2**31)
SLOPES = "y ~ x + (x | g)"


def with_structure(design: Design, word: Any) -> Design:
    """The design with the covariance of its first term restricted."""
    first, *others = design.groups
    return replace(design, groups=(replace(first, structure=word), *others))


def target_of(design: Design, extra: dict[str, Prior] | None = None) -> Target:
    """Target under the default priors, and those of other parameters."""
    priors = make_priors("weak", design)
    priors = replace(priors, auxiliary=tuple((extra or {}).items()))
    return make_target(design, condition(design), priors)


# --- labels and places ----------------------------------------------------------------

SDS = ("1|g_sigma", "g1|g_sigma", "g2|g_sigma")
PARTIALS = {
    "us": ("Intercept:g1", None, None),
    "diag": (),
    "cs": ("rho",),
    "hetar1": ("rho",),
    "toep": ("lag 1", None),
    "homdiag": (),
    "homcs": ("rho",),
    "ar1": ("rho",),
    "homtoep": ("lag 1", None),
}


@pytest.mark.parametrize("word", STRUCTURE_WORDS)
def test_every_coordinate_has_its_parameters(word: str) -> None:
    """Log sigma, SDs (one if they are equal), partials; then the next term."""
    rng = np.random.default_rng(1)
    design = random_design(rng, layout="crossed", effects=(3, 1))
    space = with_structure(design, word).space
    equal = word.startswith("hom") or word == "ar1"
    scales = (SDS,) if equal else tuple((label,) for label in SDS)
    partials = tuple((f"g_corr[{n}]",) if n else () for n in PARTIALS[word])
    wanted = (("sigma",), *scales, *partials, ("1|h_sigma",))
    tells = tuple(tuple(p.label for p in own.tells) for own in space.coordinates)
    assert tells == wanted
    assert space.size == len(wanted)
    assert space.sigma == 0
    assert space.place("1|h_sigma") == space.size - 1
    assert space.of_term(0) == slice(1, space.size - 1)
    assert space.scales_of(0) == slice(1, 1 + len(scales))
    assert space.scales == (0, *range(1, 1 + len(scales)), space.size - 1)
    assert [space.told(i).label for i in space.scales] == [
        *("sigma", *(own[0] for own in scales), "1|h_sigma")
    ]


def test_the_profiled_space_has_no_sigma() -> None:
    """REML's theta: the same parameters, one coordinate less."""
    design = random_design(np.random.default_rng(1), effects=(2,))
    space, profiled = design.space, design.space.profiled
    assert profiled.parameters == space.parameters
    assert profiled.of_term(0) == slice(0, 3)
    assert profiled.place("sigma") is None


def test_parameters_have_ranges_and_words() -> None:
    """For intervals and for sentences."""
    design = random_design(np.random.default_rng(1), effects=(3,))
    space = with_structure(design, "cs").space
    fixed, sd, corr = space.fixed[0], space.sds(0)[1], space.corrs(0)[0]
    assert sd.words == "the SD of g1|g"
    assert space.sds(0)[0].words == "the SD of 1|g"
    assert corr.words == "the correlation rho of g"
    assert space.variances[-1].words == "the residual SD"
    assert (sd.bounds, corr.bounds) == (POSITIVE, (-0.5, 1.0))
    for parameter, value in ((fixed, -2.5), (sd, 0.3), (corr, -0.4)):
        working = parameter.working(value)
        assert parameter.natural(working) == pytest.approx(value)
        step = 1e-6
        ends = [parameter.natural(working + side * step) for side in (1, -1)]
        numeric = (ends[0] - ends[1]) / (2 * step)
        assert parameter.slope(value) == pytest.approx(numeric, rel=1e-6)
    assert sd.natural(800.0) == np.inf
    assert corr.working(1.0) == np.inf


@given(SEEDS, st.sampled_from(STRUCTURE_WORDS), st.integers(1, 4))
def test_coordinates_come_back(seed: int, word: str, k: int) -> None:
    """From x to factors and sigma and back; every parameter is where it is said."""
    rng = np.random.default_rng(seed)
    design = random_design(rng, layout="crossed", effects=(k, 1))
    target = target_of(with_structure(design, word))
    x = target.start + rng.normal(0, 0.7, target.space.size)
    sigma = float(target.safe_sigma(x))
    relative = [factor[0] / sigma for factor in target.safe_factors(x[None])]
    np.testing.assert_allclose(target.coordinates(relative, sigma), x, atol=1e-7)
    spreads = [sd_corr_draws(own) for own in target.prior_factors(x[None])]
    scalars = target.space.scalars(x[None])
    for parameter in target.space.variances:
        place = target.space.place(parameter.label)
        value = parameter.read(np.empty(0), spreads, scalars)[0]
        if parameter.component != "corr":
            assert place is not None
            assert parameter.working(value) == pytest.approx(x[place], abs=1e-9)
        elif place is not None:  # of this coordinate alone
            others = np.arange(x.size) != place
            moved = np.where(others, x + rng.normal(0, 0.3, x.size), x)
            own = sd_corr_draws(target.prior_factors(moved[None])[0])[1]
            assert own[0][parameter.index] == pytest.approx(value, abs=1e-9)


def test_a_correlation_of_several_coordinates_has_no_place() -> None:
    """Lag 2 of a Toeplitz structure: quadrature took it for a function of lag 1.

    On sums over points that are any; its table had a mean of 0.615 for 0.735.
    """
    rng = np.random.default_rng(8)
    target = target_of(with_structure(random_design(rng, effects=(3,)), "homtoep"))
    lag = target.space.corrs(0)[1]
    assert target.space.place(lag.label) is None
    x = target.start + rng.normal(0.0, 0.7, (40, target.start.size))
    nothing = np.zeros((40, 2))
    nodes = np.zeros(x.shape, np.int64)
    lattice = Lattice(np.ones(4), nodes, x, rng.normal(size=40), nothing, nothing)
    r, s = np.tanh(x[:, 2:]).T  # the partial autocorrelations
    values = r**2 + s * (1.0 - r**2)
    mean, sd = mean_sd(lag, target, lattice)
    assert mean == pytest.approx(lattice.weights @ values, rel=EXACT)
    assert sd**2 == pytest.approx(lattice.weights @ (values - mean) ** 2, rel=EXACT)


def test_both_sides_are_asked_the_same_way() -> None:
    """REML's criterion and the posterior's density: value, gradient, effects."""
    design = random_design(np.random.default_rng(9), effects=(2,))
    target = target_of(design)
    problem = profiled_problem(design, target.conditioned, restricted=True)
    for side in (problem, target):
        assert isinstance(side, Objective)
        assert side.start.size == side.space.size
        frame = np.eye(side.space.size)
        curvature = second_differences(
            lambda points, f=side: np.array([f(point)[1] for point in points]),
            *(side.start, frame, 1e-4),
        )
        for at in frame:
            ends = [side(side.start + sign * 1e-4 * at)[0] for sign in (1, -1)]
            numeric = (sum(ends) - 2.0 * side(side.start)[0]) / 1e-8
            assert at @ curvature @ at == pytest.approx(numeric, rel=1e-3, abs=1e-3)
        assert side.effects(side.start).beta.shape == (design.p,)


# --- nothing else knows ---------------------------------------------------------------

KNOWING = {"x", "point", "theta", "start", "mode", "gradient", "draws"}
# Rows of tables of points, not coordinates of a point.
OTHERS = {"lattice.x[0]", "draws[0]"}
READERS = ("spec", "graph", "simulation", "tables", "reml", "posterior")


def first_coordinates(source: str) -> Iterator[str]:
    """Where a file takes the first coordinate, or all but the first, by its number."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Subscript):
            continue
        name = ast.unparse(node.value).split(".")[-1]
        several = isinstance(node.slice, ast.Tuple)
        index = node.slice.elts if several else [node.slice]
        ends = {ast.unparse(one) for one in index}
        shown = ast.unparse(node)
        leading = not several or ast.unparse(index[0]) in ("...", ":")
        if name in KNOWING and ends & {"0", "1:"} and leading and shown not in OTHERS:
            yield f"line {node.lineno}: {shown}"


@pytest.mark.parametrize("room", READERS)
def test_no_other_file_knows_where_sigma_is(room: str) -> None:
    """Kernels are told by an integer; there is no place by its number elsewhere."""
    files = [*PACKAGE.glob(f"{room}.py"), *PACKAGE.glob(f"{room}/**/*.py")]
    assert files
    found = {path.name: [*first_coordinates(path.read_text())] for path in files}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_search_sees_what_it_should() -> None:
    """The places of before."""
    told = "exp(point[0]); exp(draws[..., 0]); x[1:]; target.start[0]; theta[:, 0]"
    assert len([*first_coordinates(told)]) == 5
    assert not [*first_coordinates("x[i]; shape[0]; x[space.sigma]; theta[1]")]


# --- one more coordinate --------------------------------------------------------------

PHI = Parameter("phi", "sigma", "phi", bounds=POSITIVE, words="a parameter of tests")
LOG_PHI = Coordinate("phi", None, (PHI,))
LOG_NORMAL = Prior("LogNormal", (("mu", 0.3), ("sigma", 0.4)))


@pytest.fixture
def longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every design has a parameter of its residuals more, the first in x."""

    def with_phi(*given: Any) -> ParameterSpace:
        own = parameter_space(*given)
        return ParameterSpace((*own.parameters, PHI), (LOG_PHI, *own.coordinates))

    monkeypatch.setattr(arrays, "parameter_space", with_phi)


def with_prior(model: Model) -> Model:
    """The model with a prior of phi."""
    model._priors = replace(model.priors, auxiliary=(("phi", LOG_NORMAL),))
    return model


@pytest.mark.parametrize("word", ["us", "diag", "cs", "homdiag"])
@pytest.mark.parametrize("layout", ["one", "crossed"])
def test_a_coordinate_more_moves_no_density(
    word: str, layout: Any, request: pytest.FixtureRequest
) -> None:
    """The same density times its prior: compiled, term by term, and of one point."""
    rng = np.random.default_rng(3)
    effects = (2,) if layout == "one" else (2, 1)
    design = random_design(rng, layout=layout, effects=effects)
    design = with_structure(design, word)
    short = target_of(design)
    request.getfixturevalue("longer")
    long = target_of(replace(design), {"phi": LOG_NORMAL})
    assert long.space.sigma == 1
    assert (long.compiled is None) == (short.compiled is None)
    x = short.start + rng.normal(0, 0.7, short.start.size)
    z = (0.2 - 0.3) / 0.4
    for target in (long, replace(long, plan=None, compiled=None)):
        value, gradient = target(np.append(0.2, x))
        constant = -np.log(0.4 * np.sqrt(2 * np.pi))
        expected, slopes = short(x)
        assert value - expected == pytest.approx(constant - 0.5 * z**2, abs=1e-8)
        np.testing.assert_allclose(gradient, [-z / 0.4, *slopes], rtol=1e-8, atol=1e-8)
        assert log_target(target, np.append(0.2, x)) == pytest.approx(value, rel=EXACT)
        one, other = target.factors(np.append(0.2, x)[None]), short.factors(x[None])
        for own, theirs in zip(one, other, strict=True):
            np.testing.assert_allclose(own, theirs, rtol=EXACT, atol=1e-14)
    for parameter in design.space.variances[:-1]:
        at = np.append(0.2, x)[None]
        found = values_at(parameter, long, at), values_at(parameter, short, x[None])
        np.testing.assert_allclose(*found, rtol=EXACT)


def test_a_coordinate_more_moves_no_mode_and_no_tail(
    request: pytest.FixtureRequest,
) -> None:
    """Where the searches end, and which moments there are."""
    design = random_design(np.random.default_rng(4), effects=(2,), n_levels=12, n=150)
    short = laplace(target_of(design))
    moments = find_tails(design, target_of(design)).moments
    request.getfixturevalue("longer")
    design = replace(design)
    target = target_of(design, {"phi": LOG_NORMAL})
    long = laplace(target)
    np.testing.assert_allclose(long.mode[1:], short.mode, atol=1e-4)
    assert long.mode[0] == pytest.approx(0.3, abs=1e-4)
    np.testing.assert_array_equal(find_tails(design, target).moments, [2, *moments])


def children() -> pd.DataFrame:
    """Twelve children, ten rows of each."""
    rng = np.random.default_rng(6)
    g, x = np.repeat(np.arange(12), 10), rng.normal(size=120)
    b = rng.normal(0.0, (1.0, 0.5), (12, 2))
    y = 3.0 + x + b[g, 0] + b[g, 1] * x + rng.normal(size=120)
    return pd.DataFrame({"y": y, "x": x, "g": g})


@pytest.mark.usefixtures("user_speed")
def test_a_coordinate_more_moves_no_figure(request: pytest.FixtureRequest) -> None:
    """Quadrature: its prior integrates to 1, and the margins are the same."""
    data = children()
    short = quadrature(Model("y ~ x + (1 | g)", data))
    request.getfixturevalue("longer")
    long = quadrature(with_prior(Model("y ~ x + (1 | g)", data)))
    assert long.log_evidence == pytest.approx(short.log_evidence, abs=1e-3)
    columns = ["mean", "median", "sd", "lower", "upper"]
    found = long.table.loc[short.table.index, columns]
    np.testing.assert_allclose(found, short.table[columns], rtol=1e-3, atol=1e-3)
    phi = long.table.loc["phi"]
    assert phi["median"] == pytest.approx(np.exp(0.3), rel=1e-3)
    assert phi["mean"] == pytest.approx(np.exp(0.3 + 0.08), rel=1e-3)


@pytest.mark.parametrize("method", ["nuts", "importance"])
def test_a_coordinate_more_moves_no_draw(
    method: Any, request: pytest.FixtureRequest
) -> None:
    """Samplers and tables: sigma, SDs and correlations under their own names."""
    data = children()
    with unchecked():
        short = Model(SLOPES, data).sample(seed=1, method=method)
    request.getfixturevalue("longer")
    model = with_prior(Model(SLOPES, data))
    long = sample_unchecked(model, seed=1, method=method)
    table, other = long.summary(), short.summary()
    assert list(table.index) == [*other.index, "phi"]
    apart = (table["median"] - other["median"]) / other["sd"]
    assert apart.abs().max() < 0.15  # Monte Carlo error of a median is about 0.02
    assert table.loc["phi", "median"] == pytest.approx(np.exp(0.3), rel=0.05)
    target = make_target(model.design, model.conditioned, model.priors)
    x = joint_coordinates(model.design, target, long.idata)
    for label in ("phi", "sigma", "x|g_sigma"):
        place = target.space.place(label)
        own = np.log(long.draws(label)[:, ::10])
        np.testing.assert_allclose(x[..., place], own, atol=1e-9)
    wide = long.varcorr()
    assert list(wide.index) == [*short.varcorr().index, "phi"]
    spread = (wide["median"] - short.varcorr()["median"]).abs()
    assert (spread.dropna() < 0.3 * other["sd"].loc[spread.dropna().index]).all()


def test_a_coordinate_more_moves_no_estimate(request: pytest.FixtureRequest) -> None:
    """REML: all as it was; the data say nothing of phi, and the fit says that."""
    data = children()
    short = Model(SLOPES, data).fit_reml()
    other = short.summary()
    request.getfixturevalue("longer")
    with pytest.warns(FitWarning, match="phi is not identified"):
        long = Model(SLOPES, data).fit_reml()
    assert long.optimum.theta.size == short.optimum.theta.size + 1
    assert long.status.converged
    table = long.summary()
    assert list(table.index) == [*other.index, "phi"]
    np.testing.assert_allclose(
        table.iloc[:-1, 1:], other.iloc[:, 1:], rtol=1e-4, atol=1e-6
    )
    assert np.isnan(table.loc["phi", "se"])


def test_a_coordinate_more_moves_no_graph(request: pytest.FixtureRequest) -> None:
    """The integrated PyMC model has it as a variable, with its prior."""
    data = children()
    short = Model(SLOPES, data).to_pymc(marginal=True)
    request.getfixturevalue("longer")
    long = with_prior(Model(SLOPES, data)).to_pymc(marginal=True)
    names = [rv.name for rv in short.free_RVs]
    assert sorted(rv.name for rv in long.free_RVs) == sorted([*names, "phi"])
    point = {**short.initial_point(), "phi_log__": np.array(0.2)}
    apart = float(long.compile_logp(mode=MODE)(point))
    point.pop("phi_log__")
    apart -= float(short.compile_logp(mode=MODE)(point))
    z = (0.2 - 0.3) / 0.4
    assert apart == pytest.approx(-np.log(0.4 * np.sqrt(2 * np.pi)) - 0.5 * z**2)
