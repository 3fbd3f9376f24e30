"""Plain numpy before numba is loaded: what the kernels compute, and for how long.

What the twins compute is what their kernels do (held to the dense formula elsewhere),
up to rounding; where these find no density, neither do they.
"""

import subprocess
import sys

import numpy as np
import pytest
from helpers import dense_criterion, random_design, random_factors

from bayeslmm.marginal import cross_products
from bayeslmm.marginal.kernels import (
    algebra,
    blocked,
    compiling,
    generic,
    plain,
    rows,
    scalars,
)
from bayeslmm.marginal.kernels.compiling import Kernel, Ledger
from bayeslmm.marginal.kernels.entries import entries_of
from bayeslmm.marginal.likelihood import grams
from bayeslmm.marginal.profile import profiled_gradient
from bayeslmm.marginal.solvers import Levels

EXACT = {"rtol": 1e-10, "atol": 1e-10}
"""The same algebra by two routes."""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def symmetric(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Positive definite matrices."""
    half = rng.standard_normal(shape + shape[-1:])
    return half @ half.swapaxes(-1, -2) + np.eye(shape[-1])


def arguments(name: str, rng: np.random.Generator) -> tuple:
    """What a kernel takes: 7 levels of 2 effects, 3 columns, 5 coordinates."""
    J, k, w, m = 7, 2, 3, 5
    A, F = symmetric(rng, J, k), rng.standard_normal((J, k, w))
    Lam = np.tril(rng.standard_normal((k, k)))
    root = np.linalg.cholesky(symmetric(rng, J, k)) + np.triu(np.full((k, k), 9.0), 1)
    U, K = rng.standard_normal((J, k, w)), symmetric(rng, w)
    columns = np.sort(rng.permuted(np.tile(np.arange(m), (J, 1)), axis=1)[:, :3])
    couplings = np.arange(0, 3 * J + 1, 3), columns.ravel()
    B, V = rng.standard_normal((2, 3 * J, k))
    R, t = symmetric(rng, m), rng.standard_normal((m, w))
    codes = rng.integers(0, J, 40)
    Z, W = rng.standard_normal((40, k)), rng.standard_normal((40, w))
    added = codes, Z, rng.uniform(0.5, 2.0, 40), W, np.ones((J, k, k + w))
    return {
        "eliminate_lead": (A, F, Lam, symmetric(rng, w), root, U),
        "eliminate_couplings": (*couplings, B, Lam, root, U, V, R, t),
        "lead_projections": (A, F, Lam, root, U, F.copy(), A.copy()),
        "couple_projections": (
            *(A, Lam, root, *couplings, B, V, R, t, F.copy(), A.copy()),
        ),
        "mirror_in_place": (rng.standard_normal((m, m)),),
        "sum_gradient": (F, A, Lam, K, 0, k, 0.3, np.ones((k, k))),
        "solve_normal": (K, np.array([1.0, 2.0, 3.0]), 9.0),
        "solve_profile": (
            *(K, 20, True, np.empty(w - 1), np.empty((w - 1, w - 1)), np.empty((w, w))),
        ),
        "scale_scalars": (R, rng.standard_normal(m), np.zeros((m, m))),
        "project_scalars": (
            *(R, rng.standard_normal(m), t.T.copy(), symmetric(rng, m)),
            *(np.empty((w, m)), np.zeros(m)),
        ),
        "_sum_three": (
            *(Z, rng.standard_normal(40), rng.uniform(0.5, 2.0, 40)),
            *(rng.standard_normal(w), K, np.empty((40, w)), np.ones((w, w))),
        ),
        "_accumulate_usual": added,
        "_accumulate_any": added,
    }[name]


TWINS = [
    one
    for module in (algebra, blocked, rows, scalars)
    for one in vars(module).values()
    if isinstance(one, Kernel)
    and one.plain is not None
    and one.__module__ == module.__name__
]
# Matrices of which the kernels fill, or read on, the lower triangle alone.
LOWER = {
    "eliminate_lead": (3, 4),
    "eliminate_couplings": (7,),
    "scale_scalars": (2,),
    "project_scalars": (3,),
}


@pytest.mark.parametrize("kernel", TWINS, ids=lambda kernel: kernel.__name__)
def test_a_twin_computes_what_its_kernel_does(kernel: Kernel, rng):
    given = arguments(kernel.__name__, rng)
    copies = [
        tuple(one.copy() if isinstance(one, np.ndarray) else one for one in given)
        for _ in range(2)
    ]
    assert kernel.plain is not None
    found, expected = kernel.plain(*copies[0]), kernel.made(*copies[1])
    if expected is not None:
        np.testing.assert_allclose(found, expected, **EXACT)
    for i, (own, other) in enumerate(zip(*copies, strict=True)):
        lower = i in LOWER.get(kernel.__name__, ())
        pair = (np.tril(own), np.tril(other)) if lower else (own, other)
        np.testing.assert_allclose(*pair, **EXACT, err_msg=f"argument {i}")


def test_there_is_a_twin_of_all_that_a_small_fit_calls():
    passes = {"eliminate_lead", "eliminate_couplings"}
    gradients = {"lead_projections", "couple_projections", "sum_gradient"}
    matrices = {"mirror_in_place", "scale_scalars", "project_scalars"}
    fixed, rows_ = (
        {"solve_normal", "solve_profile"},
        {"_accumulate_usual", "_sum_three"},
    )
    called = passes | gradients | matrices | fixed | rows_
    assert called <= {kernel.__name__ for kernel in TWINS}


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize(("k", "p"), [(1, 1), (2, 3), (3, 2)])
def test_profiles_at_many_points_are_those_of_the_kernel(k, p, restricted, rng):
    A, F = symmetric(rng, 9, k), rng.standard_normal((9, k, p + 1))
    WW = 50.0 * symmetric(rng, p + 1)
    factors = np.tril(rng.standard_normal((6, k, k)))
    factors[1] = 0.0  # singular
    factors[2] = np.nan  # breaks down, alone
    found = np.empty((2, 6)), np.zeros((2, 6, k, k))
    square = np.empty((p + 1, p + 1))
    room = np.empty(p), np.empty((p, p)), square, square.copy()
    own = entries_of(Levels.of(A, F)).with_slopes
    at = (factors[:, None], 30, restricted, room, found[0][0], found[1][0][:, None])
    generic.profiles(*own, WW, *at)
    given = (A, F, WW, factors, 30, restricted)

    with np.errstate(all="ignore"):
        plain.levels_profiles(*given, found[0][1], found[1][1])
    assert np.isnan(found[0][0]).tolist() == [False, False, True, *[False] * 3]
    np.testing.assert_allclose(found[0][1], found[0][0], **EXACT)
    lives = ~np.isnan(found[0][0])
    np.testing.assert_allclose(found[1][1][lives], found[1][0][lives], **EXACT)


@pytest.mark.parametrize("layout", ["one", "nested", "crossed"])
@pytest.mark.parametrize("k", [1, 2])
def test_a_model_has_one_criterion_before_and_after_numba_and_it_is_the_dense_one(
    layout, k, rng, monkeypatch
):
    effects = (k,) if layout == "one" else (k, k)
    design = random_design(rng, layout=layout, effects=effects, n_levels=4)
    stats, factors = cross_products(design), random_factors(rng, design)
    points, found = stats.layout.join(factors)[None], []
    for spent, ended in ((0.0, False), (np.inf, True)):
        monkeypatch.setattr(compiling.PLAIN, "spent", spent)
        monkeypatch.setattr(Ledger, "ended", ended)
        value, slopes = profiled_gradient(stats, factors)
        lower = [np.tril(slope) for slope in slopes]
        found.append((value, *lower, *grams(stats, points)))
    expected = dense_criterion(design, factors, restricted=True)[0]
    for own, other in zip(*found, strict=True):
        np.testing.assert_allclose(own, other, **EXACT)
    np.testing.assert_allclose(found[0][0], expected, **EXACT)


def test_plain_steps_end_when_they_have_cost_what_loading_does(monkeypatch):
    monkeypatch.setattr(Ledger, "ended", False)
    ledger = Ledger(compiling.LOADING)
    turns = 0
    while ledger.affords(100):
        turns += 1
    expected = compiling.LOADING / (compiling.PER_STEP + 100 * compiling.PER_ENTRY)
    assert abs(turns - expected) <= 1.0
    assert not Ledger(compiling.LOADING).affords(compiling.MOST_ENTRIES + 1)


REFITS = """
import sys
import numpy as np
import bayeslmm as lmm
from bayeslmm.marginal.kernels.compiling import PLAIN
pupils = lmm.simulate_classrooms(seed=1).data
fit = lmm.Model("score ~ edu + (edu | classroom)", pupils).fit_reml()
assert "numba" not in sys.modules
fit.confint(method="boot", nsim=300, seed=1, progress=False)
assert "numba" in sys.modules
"""


def test_whatever_fits_many_times_comes_to_compiled_kernels():
    done = subprocess.run(
        [sys.executable, "-c", REFITS], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
