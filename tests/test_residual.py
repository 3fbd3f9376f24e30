"""Structured residuals: grammar, what rows say, likelihood against dense algebra."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from helpers import finite_difference, random_factors
from residual_cases import KINDS, dense_R, dense_structured_V, structured_design

from bayeslmm import DataError, FormulaError, Model, ModelError
from bayeslmm.formula import parse_formula
from bayeslmm.marginal import log_density, profiled_criterion
from bayeslmm.marginal.columns import data_columns
from bayeslmm.marginal.conditioning import condition
from bayeslmm.marginal.layout import make_layout
from bayeslmm.marginal.slopes import (
    residual_log_sigma_slopes,
    structured_density_gradient,
    structured_profile_gradient,
)
from bayeslmm.marginal.stack import make_stack

# The same algebra by another road; differences of fourth order, by steps of 1e-4.
EXACT, GRADIENT = 1e-10, 1e-6


# --- the likelihood -------------------------------------------------------------------


def cases() -> Iterator[tuple[str, bool, str, tuple[int, ...]]]:
    """Every kind with strata and without, on one grouping factor and on two."""
    for kind in KINDS:
        for strata in (True, False):
            if kind or strata:
                yield kind, strata, "one", (2,)
    for kind in ("", "holes", "cs"):
        yield kind, True, "nested", (1, 2)
        yield kind, True, "crossed", (2, 1)
    yield "ar1", False, "one", (1,)
    yield "uneven", False, "one", (3,)


@pytest.mark.parametrize(("kind", "strata", "layout", "effects"), [*cases()])
def test_the_likelihood_is_the_dense_one(
    kind: str, strata: bool, layout: str, effects: tuple[int, ...]
) -> None:
    """Density and criterion with V and its inverse; gradients by differences."""
    rng = np.random.default_rng(len(kind) + 10 * strata)
    options = {"layout": layout, "effects": effects, "weights": len(kind) == 3}
    design = structured_design(rng, kind, strata=strata, **options)
    stack = make_stack(design, make_layout(design), data_columns(design))
    x = rng.normal(0, 0.6, len(design.residual.parameters))
    factors, sigma = random_factors(rng, design), 0.8
    R = dense_R(design, x)
    np.testing.assert_allclose(stack.at(x).log_weights, -np.linalg.slogdet(R)[1])
    values = np.array(
        [p.natural(v) for p, v in zip(design.residual.parameters, x, strict=True)]
    )
    own = design.residual.matrix(design.rows.residual, values, design.rows.weights)
    np.testing.assert_allclose(own, R, rtol=EXACT, atol=1e-14)

    V = np.linalg.inv(dense_structured_V(design, x, factors, sigma))
    X, y = design.rows.X, design.rows.net
    C = X.T @ V @ X
    left = y - X @ np.linalg.solve(C, X.T @ V @ y)
    expected = np.linalg.slogdet(V)[1] - np.linalg.slogdet(C)[1] - left @ V @ left
    expected = 0.5 * (expected - (design.n - design.p) * np.log(2 * np.pi))
    found = structured_density_gradient(stack, x, factors, sigma)
    assert found[0] == pytest.approx(expected, rel=EXACT)

    def density(z: np.ndarray) -> float:
        return log_density(stack.at(z), factors, sigma)

    assert density(x) == pytest.approx(expected, rel=EXACT)
    numeric = finite_difference(density, x)
    np.testing.assert_allclose(found[3], numeric, rtol=GRADIENT, atol=GRADIENT)
    for restricted in (True, False):

        def at(z: np.ndarray, restricted: bool = restricted):
            return profiled_criterion(stack.at(z), factors, restricted=restricted)

        given = (stack, x, factors)
        value, _, last = structured_profile_gradient(*given, restricted=restricted)
        assert value == pytest.approx(at(x).criterion, rel=EXACT)
        numeric = finite_difference(lambda z: at(z).criterion, x)
        np.testing.assert_allclose(last, numeric, rtol=GRADIENT, atol=GRADIENT)
        slopes = residual_log_sigma_slopes(*given, restricted=restricted)
        numeric = finite_difference(lambda z: np.log(at(z).sigma), x)
        np.testing.assert_allclose(slopes, numeric, rtol=GRADIENT, atol=GRADIENT)


@pytest.mark.parametrize("kind", ["holes", "cs"])
def test_safe_coordinates_move_no_density(kind: str) -> None:
    """Far from zero, by both roads: all at once, and turned to the data's origin."""
    rng = np.random.default_rng(5)
    design = structured_design(rng, kind, strata=True, layout="nested", effects=(2, 2))
    plain = make_stack(design, make_layout(design), data_columns(design))
    safe = condition(design)
    x = rng.normal(0, 0.5, len(design.residual.parameters))
    factors, sigma = random_factors(rng, design), 0.8
    expected = log_density(plain.at(x), factors, sigma)
    for own in (safe, safe.unmoved()):
        lifted = [
            np.linalg.solve(own.spread(t), L) / own.unit for t, L in enumerate(factors)
        ]
        roots = [np.linalg.cholesky(L @ L.T) for L in lifted]
        value = log_density(own.at(x).statistics, roots, sigma / own.unit)
        assert value + own.log_jacobian == pytest.approx(expected, rel=EXACT)


# --- the grammar ----------------------------------------------------------------------


def test_the_grammar_has_products() -> None:
    """Words around a grouping factor, times each other; no bar term is needed."""
    formula = parse_formula("y ~ x", residual="varident(a:b) * ar1(day | s)")
    first, second = formula.residual
    assert (first.word, first.group_label, first.order) == ("varident", "a:b", None)
    assert (second.word, second.group_label) == ("ar1", "s")
    assert second.order is not None
    assert second.order.label == "day"
    assert formula.columns == ("y", "x", "a", "b", "s", "day")
    assert formula.random == ()
    assert str(formula) == "y ~ x"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ar1(g)", "in which order the rows of a series come: write ar1"),
        ("ar1(1 | g)", "1 says no order"),
        ("vardent(g)", "no structure of residuals.*Did you mean 'varident'"),
        ("toep(t | g)", "There are: varident.g.*cs.g.*ar1.time"),
        ("varident(g) * varident(h)", "cannot be multiplied"),
        ("cs(g) * ar1(t | g)", "times one correlation structure"),
        ("ar1(t | g) + cs(g)", "multiplied by '\\*' and nothing else"),
        ("cs(1 | g)", "takes a grouping factor and no bar"),
        ("varident(g, h)", "Write varident"),
        ("cs(a + b)", "one grouping factor; crossed columns are a:b"),
        ("varident(y)", "response y cannot say what its own residuals"),
        ("", "residual must be text such as"),
        ("cs(g", "bracket is never closed"),
    ],
)
def test_what_is_no_structure_is_refused(text: str, words: str) -> None:
    """With what was seen and what there is."""
    with pytest.raises(FormulaError, match=words):
        parse_formula("y ~ x + (1 | g)", residual=text)


# --- what the rows say ----------------------------------------------------------------


@pytest.fixture
def frame() -> pd.DataFrame:
    """Eight subjects of two groups, six days each."""
    rng = np.random.default_rng(2)
    s, day = np.repeat(np.arange(8), 6), np.tile(np.arange(6), 8)
    return pd.DataFrame(
        {
            "y": rng.normal(size=48) + rng.normal(size=8)[s],
            "day": day,
            "s": [f"s{i}" for i in s],
            "half": np.where(s < 4, "low", "high"),
            "part": np.where(day < 3, "first", "last"),
            "word": [f"d{i}" for i in day],
        }
    )


def structure(frame: pd.DataFrame, residual: str, formula: str = "y ~ day + (1 | s)"):
    """What a model says of its residuals."""
    return Model(formula, frame, residual=residual).design.residual


def test_steps_are_those_of_the_data(frame: pd.DataFrame) -> None:
    """The smallest gap where all others are multiples of it, else the typical one."""
    series = structure(frame, "ar1(day | s)").series
    assert (series.step, series.regular, series.low) == (1.0, True, -1.0)
    frame["day"] *= 7
    holes = frame[~frame["day"].isin([14, 35])]
    series = structure(holes, "ar1(day | s)").series
    assert (series.step, series.regular) == (7.0, True)
    frame["day"] = frame["day"] + np.tile([0, 0.4, 0, 1.3, 0, 0], 8)
    series = structure(frame, "ar1(day | s)").series
    assert not series.regular
    assert series.step == pytest.approx(7.0, abs=1.4)
    assert series.low == 0.0
    assert structure(frame, "cs(s)", "y ~ day").series.low == pytest.approx(-1 / 5)


def test_parameters_have_labels_ranges_and_words(frame: pd.DataFrame) -> None:
    """The ratio of each stratum to the first, then rho; both in the table of REML."""
    model = Model("y ~ day + (1 | s)", frame, residual="varident(half) * ar1(day | s)")
    ratio, rho = model.design.residual.parameters
    assert (ratio.label, rho.label) == ("sigma_ratio[low]", "rho")
    assert ratio.words == "the residual SD of low relative to that of high"
    assert rho.words == "the correlation of residuals of one s that are 1 of day apart"
    assert [p.label for p in model.space.parameters][-3:] == [
        *("sigma", "sigma_ratio[low]", "rho")
    ]
    for parameter, value in ((ratio, 0.4), (rho, -0.3)):
        there = parameter.natural(parameter.working(value))
        assert there == pytest.approx(value)


@pytest.mark.parametrize(
    ("change", "residual", "words"),
    [
        (
            {"day": 1},
            "ar1(day | s)",
            "'s0' has two rows at day = 1, and so have 7",
        ),
        ({}, "ar1(word | s)", "'word' orders the rows.*no column of numbers"),
        ({}, "ar1(day | half)", "levels of 'half' are not nested in those of 's'"),
        ({"part": "x"}, "varident(part)", "there is 1 level .'x'.. Leave"),
        ({}, "varident(row)", "have one row: a single row says nothing of an SD"),
        ({}, "cs(row)", "each of the 48 levels of 'row' has one row"),
        ({}, "cs(s)", "cs.s. and .1 . s. both give any two rows"),
    ],
)
def test_rows_that_cannot_have_it_are_refused(
    frame: pd.DataFrame, change: dict[str, object], residual: str, words: str
) -> None:
    """With levels and counts, and what to do."""
    frame = frame.assign(row=[f"r{i}" for i in range(48)], **change)
    formula = "y ~ 1 + (1 | s)" if residual != "ar1(day | half)" else "y ~ (1 | s)"
    with pytest.raises(DataError, match=words):
        Model(formula, frame, residual=residual)


def test_too_many_gaps_are_refused(frame: pd.DataFrame) -> None:
    """Sums are kept for each."""
    rng = np.random.default_rng(1)
    big = pd.concat([frame.assign(s=frame["s"] + str(i)) for i in range(4)])
    big["day"] = big["day"] + rng.uniform(0, 0.9, len(big))
    with pytest.raises(DataError, match=r"different gaps.*coarser grid"):
        Model("y ~ 1 + (1 | s)", big, residual="ar1(day | s)")


def test_other_families_and_batches_have_no_residuals(
    frame: pd.DataFrame, tmp_path
) -> None:
    """Said before anything is read."""
    with pytest.raises(ModelError, match="'poisson' has no residuals of its own"):
        Model("y ~ (1 | s)", frame, family="poisson", residual="varident(half)")
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path)
    with pytest.raises(DataError, match="needs all rows at once"):
        Model("y ~ (1 | s)", path, residual="varident(half)")


def test_rows_without_a_time_are_left_out(frame: pd.DataFrame) -> None:
    """As those without a predictor; a column that is not there is named."""
    frame.loc[3, "day"] = np.nan
    design = Model("y ~ (1 | s)", frame, residual="ar1(day | s)").design
    assert design.account.missing == {"day": 1}
    assert design.n == 47
    with pytest.raises(FormulaError, match=r"no column 'dey'.*Did you mean 'day'"):
        Model("y ~ (1 | s)", frame, residual="ar1(dey | s)")
