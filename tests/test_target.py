"""The target of the samplers: oracle, gradients, compiled form, mode, propriety."""

import ctypes
import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from helpers import LAYOUTS, dense_log_density, finite_difference, random_design
from hypothesis import given, strategies as st
from sampling import unchecked

from bayeslmm import covariance
from bayeslmm.design.arrays import Design
from bayeslmm.formula.nodes import STRUCTURE_WORDS, StructureWord
from bayeslmm.marginal.conditioning import condition
from bayeslmm.posterior.compiled import _scale_row
from bayeslmm.posterior.kernels.callbacks import (
    DONE,
    IMPOSSIBLE,
    MISFIT,
    logp_callback,
)
from bayeslmm.posterior.kernels.coordinates import FARTHEST, log_prior
from bayeslmm.posterior.mode import laplace, negative_hessian, whitening_basis
from bayeslmm.posterior.nuts import run_nutpie
from bayeslmm.posterior.options import check_options
from bayeslmm.posterior.target import Target, make_target
from bayeslmm.posterior.visits import log_target
from bayeslmm.priors import Prior, make_priors, scale_logp

# Same algebra by two routes.
EXACT = 1e-10
# Fourth-order differences of a log density of order 100.
DIFFERENCES = 1e-6
SEEDS = st.integers(0, 2**31)
STRUCTURES = st.sampled_from(STRUCTURE_WORDS)
SETS = st.sampled_from(["weak", "flat", "bambi", "boundary-avoiding"])


def with_structure(design: Design, structure: StructureWord) -> Design:
    """The design with the covariance of its first term restricted."""
    first, *others = design.groups
    return replace(design, groups=(replace(first, structure=structure), *others))


def target_of(design: Design, priors: Any = "weak") -> Target:
    """Target of a design under a set of priors."""
    return make_target(design, condition(design), make_priors(priors, design))


# --- the target ---------------------------------------------------------------------


@given(SEEDS, st.sampled_from(LAYOUTS), STRUCTURES, st.integers(1, 3), SETS)
def test_gradient_is_that_of_the_value(
    seed: int, layout: Any, structure: Any, k: int, priors: str
) -> None:
    """Gradient against differences: designs, structures and priors at random points."""
    rng = np.random.default_rng(seed)
    effects = (k,) if layout == "one" else (k, 1)
    design = random_design(rng, layout=layout, effects=effects, weights=seed % 2 == 0)
    target = target_of(with_structure(design, structure), priors)
    x = target.start + rng.normal(0, 0.7, target.start.size)
    with unchecked():
        numeric = finite_difference(lambda point: target(point)[0], x)
    np.testing.assert_allclose(
        target(x)[1], numeric, rtol=DIFFERENCES, atol=DIFFERENCES
    )


@given(SEEDS, st.sampled_from([2.0, 1.0, 3.5]))
def test_value_is_density_plus_priors(seed: int, eta: float) -> None:
    """The dense normal density, half-t priors on log scales, LKJ on tanh."""
    rng = np.random.default_rng(seed)
    design = random_design(rng, effects=(2,))
    spread = "HalfStudentT(nu=3, sigma=1.7)"
    given_priors = {
        "Intercept": "Normal(1, 2)",
        "common": "Normal(0, 3)",
        "group_specific": spread,
        "sigma": spread,
        "g_corr": eta,
    }
    priors = make_priors(given_priors, design, center_predictors=False)
    target = make_target(design, condition(design), priors)
    x = target.start + rng.normal(0, 0.7, 4)
    factor = covariance.coordinates_to_factor(covariance.STRUCTURES["us"], x[1:], 2)
    expected = dense_log_density(
        design,
        [factor],
        math.exp(x[0]),
        np.array([1.0, 0.0]),
        np.diag([1 / 4, 1 / 9]),
    )
    for log_sd in x[:3]:
        expected += (
            math.log(2) + scipy.stats.t.logpdf(math.exp(log_sd), 3, scale=1.7) + log_sd
        )
    # LKJ(eta) of one correlation: rho = 2 Beta(eta, eta) - 1, drho/dz = 1 - rho**2
    rho = math.tanh(x[3])
    expected += scipy.stats.beta.logpdf((1 + rho) / 2, eta, eta) - math.log(2)
    expected += math.log(1 - rho**2)
    assert target(x)[0] == pytest.approx(expected, rel=EXACT, abs=1e-8)


# --- the compiled target ------------------------------------------------------------

POSITIVE: list[tuple[str, dict[str, float]]] = [
    ("HalfFlat", {}),
    ("HalfNormal", {"sigma": 2.0}),
    ("HalfStudentT", {"nu": 3.0, "sigma": 2.0}),
    ("HalfCauchy", {"beta": 2.0}),
    ("Exponential", {"lam": 0.5}),
    ("Gamma", {"alpha": 2.0, "beta": 0.1}),
    ("InverseGamma", {"alpha": 3.0, "beta": 2.0}),
    ("LogNormal", {"mu": 0.5, "sigma": 1.5}),
    ("Weibull", {"alpha": 1.5, "beta": 2.0}),  # by table
]


@given(SEEDS, st.sampled_from(LAYOUTS), STRUCTURES, st.integers(1, 4), SETS)
def test_the_compiled_target_is_the_one_term_by_term(
    seed: int, layout: Any, structure: Any, k: int, priors: str
) -> None:
    """Value, gradient and factors by `covariance` and `priors.scale`, in Python."""
    rng = np.random.default_rng(seed)
    effects = (k,) if layout == "one" else (k, 1)
    design = random_design(rng, layout=layout, effects=effects)
    target = target_of(with_structure(design, structure), priors)
    plain = replace(target, plan=None, compiled=None)
    x = target.start + rng.normal(0, 0.7, target.start.size)
    (value, gradient), (expected, slopes) = target(x), plain(x)
    assert value == pytest.approx(expected, rel=EXACT)
    scale = np.abs(slopes).max() + 1.0
    np.testing.assert_allclose(gradient, slopes, rtol=1e-9, atol=1e-9 * scale)
    assert log_target(target, x) == pytest.approx(value, rel=EXACT)
    for own, theirs in zip(
        target.factors(x[None]), plain.factors(x[None]), strict=True
    ):
        np.testing.assert_allclose(own, theirs, rtol=EXACT, atol=1e-14)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_there_is_a_compiled_target_for_every_small_model(layout: Any) -> None:
    """Terms without a product form, and those alone, go term by term."""
    effects = (2,) if layout == "one" else (2, 1)
    design = random_design(np.random.default_rng(1), layout=layout, effects=effects)
    assert target_of(design).compiled is not None
    assert target_of(with_structure(design, "cs")).compiled is None


@pytest.mark.parametrize("at", [-60.0, -24.0, -1.0, 0.3, 3.0, 12.4, 50.0])
def test_compiled_priors_are_those_of_the_scales(at: float) -> None:
    """Closed forms and tables, in the body, in the tails and beyond the knots."""
    for name, arguments in POSITIVE:
        prior = Prior(name, tuple(arguments.items()))
        tables: list[Any] = []
        row = np.array([_scale_row(prior, tables)])
        knots = np.array([table.knots for table in tables] or [np.zeros((2, 2))])
        slope = np.empty(1)
        value = log_prior(np.array([at]), row, knots, slope)
        expected = scale_logp(prior)(at)
        assert value == pytest.approx(expected[0], rel=EXACT, abs=EXACT)
        assert slope[0] == pytest.approx(expected[1], rel=EXACT, abs=EXACT)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_callback_is_the_whitened_target(layout: Any, k: int) -> None:
    """What nutpie calls through a pointer equals the target in Python."""
    effects = (k,) if layout == "one" else (k, 1)
    rng = np.random.default_rng(k)
    target = target_of(random_design(rng, layout=layout, effects=effects, n=80))
    normal = laplace(target)
    assert target.compiled is not None
    packed = target.compiled.packed(normal)
    table = packed.table
    call = logp_callback().ctypes
    z, out, logp = rng.normal(size=normal.mode.size), normal.mode * 0, np.zeros(1)
    numbers = ctypes.POINTER(ctypes.c_double)
    given_ = (array.ctypes.data_as(numbers) for array in (z, out, logp))
    assert call(z.size, *given_, table.ctypes.data) == DONE
    value, gradient = target(normal.mode + normal.basis @ z)
    assert logp[0] == pytest.approx(value - normal.value, rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(out, normal.basis.T @ gradient, rtol=1e-8, atol=1e-8)
    z[0] = 1e6
    given_ = (array.ctypes.data_as(numbers) for array in (z, out, logp))
    assert call(z.size, *given_, table.ctypes.data) == IMPOSSIBLE
    given_ = (array.ctypes.data_as(numbers) for array in (z, out, logp))
    assert call(z.size - 1, *given_, table.ctypes.data) == MISFIT


def test_nutpie_has_the_class_that_takes_callbacks() -> None:
    """Canary: fails in these words when nutpie moves what `callback_model` builds."""
    from nutpie.compile_pymc import CompiledPyMCModel

    names = {field.name for field in fields(CompiledPyMCModel)}
    wanted = {
        *("dims", "compiled_logp_func", "compiled_expand_func", "initial_point_func"),
        *("shared_data", "shared_var_keys", "user_data", "n_expanded", "shape_info"),
        *("logp_func", "expand_func", "_n_dim", "_shapes", "_coords"),
    }
    assert wanted <= names, (
        "nutpie has changed CompiledPyMCModel: adapt bayeslmm.posterior.compiled"
        ".callback_model, or let it return None so that from_pyfunc is used"
    )


@pytest.mark.parametrize("kernel", ["pooled", "pairs"])
@pytest.mark.usefixtures("user_speed")
def test_callback_and_function_give_the_same_draws(kernel: str) -> None:
    """The sampler does the same thing with either, so the draws are equal."""
    k = 1 if kernel == "pooled" else 2
    design = random_design(np.random.default_rng(4), effects=(k,), n=120, n_levels=10)
    target = target_of(design)
    normal = laplace(target)
    options = check_options(200, 100, 2, 3, None, 1, False)
    fast = run_nutpie(target, normal, options)
    slow = run_nutpie(replace(target, compiled=None), normal, options)
    np.testing.assert_allclose(fast.z[:, :20], slow.z[:, :20], rtol=1e-6, atol=1e-6)
    law = scipy.stats.ks_2samp(
        fast.z.reshape(-1, normal.mode.size)[::4, 0],
        slow.z.reshape(-1, normal.mode.size)[::4, 0],
    )
    assert law.pvalue > 1e-4


@pytest.mark.parametrize("value", [FARTHEST + 1, -FARTHEST - 1, math.nan, math.inf])
def test_far_points_are_impossible_without_a_warning(value: float) -> None:
    """Overflow is met by density zero, not by a warning or NaN."""
    target = target_of(random_design(np.random.default_rng(1), effects=(2,)))
    for i in range(target.start.size):
        x = target.start.copy()
        x[i] += value
        logp, gradient = target(x)
        assert logp == -math.inf
        np.testing.assert_array_equal(gradient, 0.0)


@given(SEEDS, st.integers(1, 3))
def test_near_the_edge_the_target_is_still_a_number(seed: int, k: int) -> None:
    """SDs off by a factor exp(20) give a density, not an overflow."""
    rng = np.random.default_rng(seed)
    target = target_of(random_design(rng, effects=(k,)))
    x = target.start + rng.choice([-20.0, 0.0, 20.0], target.start.size)
    logp, gradient = target(x)
    assert logp < 0.0
    assert np.isfinite(gradient).all()


# --- mode and whitening -------------------------------------------------------------


@given(SEEDS, st.integers(1, 3))
def test_whitened_curvature_is_the_identity(seed: int, k: int) -> None:
    """At the mode the gradient is zero and basis' H basis = I."""
    rng = np.random.default_rng(seed)
    target = target_of(random_design(rng, effects=(k,), n=60, n_levels=12))
    normal = laplace(target)
    assert np.abs(target(normal.mode)[1]).max() < 1e-4
    hessian = negative_hessian(target, normal.mode)
    if np.linalg.eigvalsh(hessian).min() > 0.06:
        whitened = normal.basis.T @ hessian @ normal.basis
        np.testing.assert_allclose(whitened, np.eye(len(whitened)), atol=1e-6)


def test_negative_curvature_is_raised() -> None:
    """A saddle point still gives finite, independent directions."""
    basis = whitening_basis(np.diag([4.0, -3.0, 0.0]))
    np.testing.assert_allclose(basis @ basis.T, np.diag([0.25, 20.0, 20.0]))
