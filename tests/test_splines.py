"""bs() and ns() of a formula: R's bases, knots learnt once, extrapolation (#10)."""

import json
import pathlib
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import bayeslmm as lmm
from bayeslmm.errors import DataError, DataWarning, FormulaError
from bayeslmm.formula import parse_formula

REFERENCE = json.loads(
    (pathlib.Path(__file__).parent / "reference" / "coding.json").read_text()
)["splines"]
X, NEW = np.array(REFERENCE["x"]), np.array(REFERENCE["new"])
EXACT = 1e-12  # of the largest value


def frame(x=X):
    """Three rows for each x, in three groups."""
    x = np.tile(x, 3)
    rng = np.random.default_rng(3)
    g = np.repeat(["a", "b", "c"], len(x) // 3)
    y = np.sin(x) + rng.normal(size=len(x)) + np.repeat([-2.0, 0.0, 2.0], len(x) // 3)
    return pd.DataFrame({"x": x, "z": rng.normal(size=len(x)), "g": g, "y": y})


def quiet(formula, data):
    """A model, though columns may be dropped (with an intercept in the spline)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return lmm.Model(formula, data)


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda case: case["call"])
def test_bases_are_those_of_r(case):
    """In the rows of the fit and in new ones, on both sides of the boundary."""
    model = quiet(f"y ~ 0 + {case['call']} + (1 | g)", frame())
    wanted = np.reshape(case["fit"], (len(X), -1))
    found = model.design.rows.X
    np.testing.assert_allclose(found, np.tile(wanted, (3, 1)), atol=EXACT)
    data = pd.DataFrame({"x": NEW, "g": "a"})
    outside = (case["boundary"][0] > NEW) | (case["boundary"][1] < NEW)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        new = model.recipe.encode(data).X
    assert len(seen) == outside.any()
    wanted = np.reshape(case["new"], (len(NEW), -1))
    np.testing.assert_allclose(new, wanted, atol=EXACT * np.abs(wanted).max() * 10)


def test_values_beyond_the_boundary_are_counted():
    """In the warning, with the call."""
    fit = lmm.Model("y ~ ns(x, df = 3) + (1 | g)", frame()).fit_reml()
    new = pd.DataFrame({"x": [1.0, 2.0, 99.0], "g": "a"})
    with pytest.warns(DataWarning, match=r"1 of 3 values of x .*ns\(x, df = 3\)"):
        fit.predict(new)


def test_batches_need_knots():
    """Their range is learnt; quantiles are refused, with what to write."""
    data = frame()
    batches = pa.Table.from_pandas(data).to_batches(max_chunksize=13)
    formula = "y ~ bs(x, knots = c(2, 5)) + (1 | g)"
    one, other = (lmm.Model(formula, d).fit_reml() for d in (data, batches))
    assert one.criterion == pytest.approx(other.criterion, abs=1e-7)
    assert one.fixef().index.equals(other.fixef().index)
    with pytest.raises(DataError, match=r"quantiles of all rows.*knots = c\(.*2 of"):
        lmm.Model("y ~ bs(x, df = 5) + (1 | g)", batches)


def test_interactions_and_bar_terms():
    """Splines multiply, and vary by group."""
    design = lmm.Model("y ~ ns(x, 2) * z + (0 + ns(x, 2) | g)", frame()).design
    names = ("ns(x, 2)1", "ns(x, 2)2")
    assert design.groups[0].effects == names
    assert design.fixed_names[-2:] == ("ns(x, 2)1:z", "ns(x, 2)2:z")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("bs(x, df = 0)", "'df' of bs.. must be a whole number"),
        ("bs(x, knots = z)", "'knots' of bs.. must be a number or c"),
        ("ns(x, degree = 2)", "no argument 'degree'"),
        ("bs(x, Boundary.knots = 3)", "must be two numbers"),
        ("I(bs(x) + 1)", "cannot stand inside"),
    ],
)
def test_calls_that_cannot_be(call, said):
    """Before any data are seen."""
    with pytest.raises(FormulaError, match=said):
        parse_formula(f"y ~ {call} + (1 | g)")


def test_data_that_cannot_be():
    """Too few columns; knots that coincide."""
    with pytest.raises(DataError, match="fewer columns than 3"):
        lmm.Model("y ~ bs(x, df = 2) + (1 | g)", frame())
    with pytest.raises(DataError, match="must lie between its boundary knots"):
        lmm.Model("y ~ bs(x, knots = 50) + (1 | g)", frame())


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("x:I(z^2)", ("x:I(z^2)",)),
        ("x + g2:I(x^2)", ("x", "g2:I(x^2)[p]", "g2:I(x^2)[q]")),
        ("x * I(z > 0)", ("x", "I(z > 0)[True]", "x:I(z > 0)[True]")),
        ("g2 * I(x^2)", ("g2[q]", "I(x^2)", "g2:I(x^2)[q]")),
    ],
)
def test_products_with_expressions(text, columns):
    """``x:I(..)`` as R has it."""
    data = frame().assign(g2=np.tile(["p", "q"], 24))
    model = lmm.Model(f"y ~ {text} + (1 | g)", data)
    assert model.design.fixed_names[1:] == columns
    assert np.isfinite(model.fit_reml().fixef()["estimate"]).all()
