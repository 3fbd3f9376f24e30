"""Incomplete factorials: columns are dropped as by lme4, and what is left (#10)."""

import json
import pathlib
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings, strategies as st

import bayeslmm as lmm
from bayeslmm.errors import DataError, DataWarning, ModelError
from bayeslmm.reporting.explain import column_meanings

REFERENCE = json.loads(
    (pathlib.Path(__file__).parent / "reference" / "coding.json").read_text()
)
DATA = pd.DataFrame(REFERENCE["data"])
CASES = REFERENCE["fits"]
PEER = 1e-7  # criterion, of two optimisers
PEER_F = 1e-3  # relative; F moves with theta, which has half the digits
PEER_DF = 1e-3


def quiet(formula, data=DATA, **options):
    """The model without the warning of dropped columns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return lmm.Model(formula, data, **options)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["formula"])
def test_fits_are_those_of_lme4(case, streamed):
    """Columns kept, estimates, SEs and criterion, from rows and from batches."""
    data = pa.Table.from_pandas(DATA).to_batches(max_chunksize=13)
    fit = quiet(case["formula"], data if streamed else DATA).fit_reml()
    table = fit.fixef()
    assert len(table) == len(case["fixef"])
    assert len(fit.design.account.aliased) == len(case["dropped"])
    np.testing.assert_allclose(table["estimate"], case["fixef"], atol=1e-6)
    np.testing.assert_allclose(table["se"], case["se"], rtol=1e-4)
    assert fit.criterion == pytest.approx(case["criterion"], abs=PEER)


@pytest.mark.parametrize("kind", [1, 2, 3])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["formula"])
def test_tests_are_those_of_lmertest(case, kind):
    """With empty cells too; a term whose columns are all dropped is not there."""
    table = quiet(case["formula"]).fit_reml().anova(type=kind)
    peer = {k: np.atleast_1d(v) for k, v in case[f"anova{kind}"].items()}
    there = [i for i, f in enumerate(peer["F"]) if f is not None]
    assert list(table.index) == [peer["term"][i] for i in there]
    assert table["num_df"].tolist() == [peer["numdf"][i] for i in there]
    F, df = (np.array([peer[k][i] for i in there], float) for k in ("F", "dendf"))
    np.testing.assert_allclose(table["F"], F, rtol=PEER_F, atol=1e-5)
    np.testing.assert_allclose(table["den_df"], df, rtol=PEER_DF)


def test_what_was_dropped_is_said():
    """In the warning, in the account, and what the others mean."""
    said = r"'a:b\[q, z\]': zero in every row.* was dropped.*'q', 'z'"
    with pytest.warns(DataWarning, match=said):
        model = lmm.Model("y ~ a * b + (1 | g)", DATA)
    assert model.design.account.aliased == ("a:b[q, z]",)
    names = ("Intercept", "a[q]", "b[y]", "b[z]", "a:b[q, y]")
    assert model.design.fixed_names == names
    assert len(column_meanings(model)) == len(names)
    with pytest.warns(DataWarning, match=r"'I\(2 \* x\)' = 2 'x'.*dropped"):
        lmm.Model("y ~ x + I(2 * x) + (1 | g)", DATA)


def test_effects_that_are_not_estimable_are_refused_by_name():
    """Predictions, contrasts, marginal means."""
    fit = quiet("y ~ a * b + (1 | g)").fit_reml()
    new = pd.DataFrame({"a": ["p", "q"], "b": ["z", "z"], "g": ["g1", "g1"]})
    with pytest.raises(DataError, match=r"1 of the 2.*number 2.*'a:b\[q, z\]'"):
        fit.predict(new)
    assert fit.emmeans("a | b")["estimate"].isna().sum() == 1  # emmeans' nonEst
    with pytest.raises(ModelError, match=r"'a:b\[q, z\]' is not estimable.*dropped"):
        fit.contrast("a:b[q, z] - a[q]")
    np.testing.assert_allclose(
        fit.predict(DATA)["estimate"], fit.predict()["estimate"], atol=1e-10
    )
    assert len(fit.emmeans("b", at={"a": "p"})) == 3


def test_a_dropped_name_within_another_refuses_its_own_alone():
    """'ag' was dropped, 'age' was not."""
    data = DATA.assign(age=DATA.x, ag=3.0 * DATA.x, g_age=DATA.x**2)
    fit = quiet("y ~ age + g_age + ag + (1 | g)", data).fit_reml()
    assert fit.design.account.aliased == ("ag",)
    for what in ("age", "g_age - age", {"age": 2.0}):
        assert np.isfinite(fit.contrast(what)["estimate"]).all()
    for what in ("ag", "age - 2 * ag = 1", {"ag": 1.0}):
        with pytest.raises(ModelError, match=r"'ag' is not estimable: it was dropped"):
            fit.contrast(what)


def test_a_dropped_repeat_does_not_stand_in_the_way():
    """New rows in which z = 2 x still are estimable, others are not."""
    fit = quiet("y ~ x + z + (1 | g)", DATA.assign(z=2.0 * DATA.x + 1.0)).fit_reml()
    new = pd.DataFrame({"x": [3.0], "z": [7.0], "g": "g1"})
    assert np.isfinite(fit.predict(new)["estimate"]).all()
    with pytest.raises(DataError, match="need the effect 'z'"):
        fit.predict(new.assign(z=8.0))


def test_matrices_over_all_columns_are_checked():
    """Rows of the full X are estimable and their means are; single cells are not.

    By definition: a combination of rows of X, whatever columns were kept.
    """
    data = DATA.assign(z=2.0 * DATA.x + 1.0)
    model = quiet("y ~ a * b + x + z + (1 | g)", data)
    fit, aliasing = model.fit_reml(), model.recipe.coding.aliasing
    full, kept = np.zeros((2, len(aliasing.names))), model.design.rows.X[[0, 7]]
    full[:] = kept @ aliasing.relation
    found = fit.contrast(full)
    np.testing.assert_allclose(found["estimate"], kept @ fit.beta, rtol=1e-10)
    np.testing.assert_allclose(found["se"], fit.contrast(kept)["se"], rtol=1e-10)
    one = np.zeros(len(aliasing.names))
    one[list(aliasing.names).index("x")] = 1.0  # told from z by nothing
    with pytest.raises(ModelError, match=r"'x' \(row 1 .*not estimable.*tell 'z' from"):
        fit.contrast(one)
    one[list(aliasing.names).index("z")] = 2.0  # both together are
    x = fit.contrast(one)["estimate"].iloc[0]
    assert x == pytest.approx(fit.fixef()["estimate"]["x"])
    with pytest.raises(ModelError, match=r"has 3 columns.*those that were dr"):
        fit.contrast(np.ones(3))


def test_posterior_and_graphs_have_the_columns_kept():
    """Names, priors and draws."""
    model = quiet("y ~ a * b + x * a + (1 | g)")
    post = model.sample(draws=50, tune=50, chains=1, seed=1)
    names = set(post.idata.posterior.data_vars)
    assert "a:b[q, y]" in names
    assert not any("q, z" in name for name in names)
    joint = {variable.name for variable in model.to_pymc().free_RVs}
    assert any("a:b[q, y]" in name for name in joint)
    model.to_pymc(marginal=True)


def test_an_error_where_nothing_is_estimable():
    """A column of zeros without an intercept."""
    with pytest.raises(DataError, match=r"zero in every row.*Nothing can be estimated"):
        lmm.Model("y ~ 0 + z + (1 | g)", DATA.assign(z=0.0))


@settings(max_examples=10, deadline=None)
@example(seed=300, shift=0.0)  # a cell of one row has no slope
@given(seed=st.integers(0, 1000), shift=st.sampled_from([0.0, 50.0, 2000.0]))
def test_law_dropping_changes_no_fitted_value(seed, shift):
    """The space of X is that of all columns, wherever x is zero."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({name: rng.choice(list("pqr"), 70) for name in "ab"})
    data["x"], data["g"] = rng.normal(size=70) + shift, rng.integers(0, 6, 70)
    data["y"] = rng.normal(size=70) + 3.0 * rng.normal(size=6)[data.g]
    data = data[~((data.a == "q") & (data.b == "r"))]
    model = quiet("y ~ x * a * b + (1 | g)", data)
    cells = (data.a + data.b).rename("cell")
    full = quiet("y ~ 0 + cell + cell:x + (1 | g)", data.assign(cell=cells))
    whole = np.hstack([model.design.rows.X, full.design.rows.X]) - 0.0
    whole = whole / np.linalg.norm(whole, axis=0)
    ranks = [
        np.linalg.matrix_rank(X / np.linalg.norm(X, axis=0), tol=1e-9)
        for X in (model.design.rows.X, full.design.rows.X, whole)
    ]
    assert ranks == [model.design.p, full.design.p, full.design.p]
    one, other = (m.fit_reml().predict()["estimate"] for m in (model, full))
    np.testing.assert_allclose(one, other, atol=1e-3)
