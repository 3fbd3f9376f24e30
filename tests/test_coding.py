"""Codings of factors in the formula: R's numbers, names, and laws."""

import json
import pathlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from sampling import unchecked

import bayeslmm as lmm
from bayeslmm.design.factor_coding import contrast_of
from bayeslmm.errors import DataError, FormulaError
from bayeslmm.formula import parse_formula
from bayeslmm.posterior.quadrature import quadrature

REFERENCE = json.loads(
    (pathlib.Path(__file__).parent / "reference" / "coding.json").read_text()
)
DATA = pd.DataFrame(REFERENCE["data"])
EXACT = 1e-12
PEER = 1e-7  # criterion, of two optimisers that stop at 1e-8 of the parameters
DF = 2e-2  # lmerTest differentiates numerically, twice
FLAT_EFFECTS = {"set": "weak", "Intercept": "flat", "common": "flat"}
CODINGS = ("Treatment", 'Treatment("y")', "SAS", "Sum", "Helmert", "Poly")


def _contrast(coding, levels):
    atom = parse_formula(f"y ~ C(f, {coding}) + (1 | g)").fixed.terms[0].atoms[0]
    return contrast_of(atom, levels)


@pytest.mark.parametrize("n", range(2, 7))
@pytest.mark.parametrize(
    ("coding", "peer"),
    [
        ("contr.sum", "sum"),
        ("Sum", "sum"),
        ("Helmert", "helmert"),
        ("contr.helmert", "helmert"),
        ("Poly", "poly"),
        ("contr.treatment(base = 2)", "treatment2"),
        ('Treatment("b")', "treatment2"),
        ("contr.SAS", "SAS"),
    ],
)
def test_values_are_those_of_r(coding, peer, n):
    """contr.sum(n), contr.helmert(n), contr.poly(n), ..."""
    found = _contrast(coding, tuple("abcdef"[:n]))
    wanted = np.reshape(REFERENCE["contr"][str(n)][peer], (n, n - 1))
    np.testing.assert_allclose(found.values, wanted, atol=EXACT)
    assert len(found.names) == len(set(found.names)) == len(found.words) == n - 1


@pytest.mark.parametrize("case", REFERENCE["coded"], ids=lambda c: c["formula"])
def test_matrix_and_fit_are_those_of_lme4(case):
    """Columns of X, REML criterion, and lmerTest's F of type 3, interactions too."""
    model = lmm.Model(case["formula"], DATA)
    np.testing.assert_allclose(model.design.rows.X, case["X"], atol=EXACT)
    fit = model.fit_reml()
    assert fit.criterion == pytest.approx(case["criterion"], abs=PEER)
    np.testing.assert_allclose(fit.fixef()["estimate"], case["fixef"], rtol=1e-5)
    if case["formula"].startswith("y ~ x + C("):
        return  # lmerTest tests the slope of the first level, we the mean of slopes
    peer, table = case["anova3"], fit.anova()
    assert list(table.index) == np.atleast_1d(peer["term"]).tolist()
    np.testing.assert_allclose(table["F"], peer["F"], rtol=1e-5)
    np.testing.assert_allclose(table["den_df"], peer["dendf"], rtol=DF * 2)


def test_names_say_the_coding():
    """formulae's names for Sum and Treatment, patsy's and R's marks for the others."""
    names = {
        coding: lmm.Model(f"y ~ C(b, {coding}) + (1 | g)", DATA).design.fixed_names[1:]
        for coding in CODINGS
    }
    found = {
        coding: [name.removeprefix("C(b, ").split(")[")[1] for name in own]
        for coding, own in names.items()
    }
    assert found == {
        "Treatment": ["y]", "z]"],
        'Treatment("y")': ["x]", "z]"],
        "SAS": ["x]", "y]"],
        "Sum": ["x]", "y]"],
        "Helmert": ["H.y]", "H.z]"],
        "Poly": ["L]", "Q]"],
    }


def test_bar_terms_are_coded_too():
    """R's rule: contrasts beside an intercept, all levels without one."""
    design = lmm.Model("y ~ a + (C(b, Sum) | g)", DATA).design
    assert design.groups[0].effects == (
        "Intercept",
        "C(b, Sum)[x]",
        "C(b, Sum)[y]",
    )
    np.testing.assert_array_equal(np.unique(design.rows.Z[0][:, 1:]), [-1, 0, 1])
    alone = lmm.Model("y ~ a + (0 + C(b, Sum) | g)", DATA).design
    assert alone.groups[0].k == 3
    np.testing.assert_array_equal(alone.rows.Z[0].sum(axis=1), 1.0)


def test_graph_has_the_same_columns():
    """The joint graph is made by bambi, whose formulae lacks Helmert and Poly."""
    model = lmm.Model("y ~ C(b, Helmert) * x + C(a, Sum) + (C(a, Sum) | g)", DATA)
    joint = model.to_pymc()
    names = {variable.name for variable in joint.free_RVs + joint.deterministics}
    assert {"C(b, Helmert)[H.y]", "C(a, Sum)[p]", "C(a, Sum)[p]|g"} <= names
    post = model.sample(draws=50, chains=1, tune=50, seed=1)
    assert "C(b, Helmert)[H.z]" in post.idata.posterior


def test_new_data_and_batches_are_coded_alike():
    """A prediction for one level needs the coding of all of them."""
    formula = "y ~ C(b, Helmert) * x + (1 | g)"
    fit = lmm.Model(formula, DATA).fit_reml()
    new = fit.predict(DATA.iloc[[7]])["estimate"]
    np.testing.assert_allclose(new, fit.predict(DATA)["estimate"].iloc[[7]])
    import pyarrow as pa

    batches = pa.Table.from_pandas(DATA).to_batches(max_chunksize=13)
    streamed = lmm.Model(formula, batches).fit_reml()
    assert streamed.criterion == pytest.approx(fit.criterion, abs=1e-8)
    assert streamed.fixef().index.equals(fit.fixef().index)


def test_explain_says_what_is_compared():
    """Words of each column, and where the others are read."""
    from bayeslmm.reporting.explain import column_meanings

    words = column_meanings(lmm.Model("y ~ C(b, Sum) * x + (1 | g)", DATA))
    assert "x less the mean of all levels" in words[1]
    assert "C(b, Sum) is at the mean of its levels" in words[0]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("C(b, Diff)", "must be Treatment.*Sum, Helmert or Poly.*contr.poly"),
        ('C(b, Sum("x"))', "must be Treatment"),
        ("C(b, contr.treatment(base = 0))", "must be Treatment"),
    ],
)
def test_unknown_codings_are_listed(asked, said):
    """With those that there are."""
    with pytest.raises(FormulaError, match=said):
        parse_formula(f"y ~ {asked} + (1 | g)")


def test_unknown_reference_lists_the_levels():
    """By name and by place."""
    with pytest.raises(DataError, match=r"level 'w'.*not there.*'x', 'y', 'z'"):
        lmm.Model('y ~ C(b, Treatment("w")) + (1 | g)', DATA)
    with pytest.raises(DataError, match=r"number 4.*'x', 'y', 'z'"):
        lmm.Model("y ~ C(b, contr.treatment(base = 4)) + (1 | g)", DATA)


def test_too_many_levels_for_polynomials():
    """As contr.poly(96)."""
    with pytest.raises(DataError, match="polynomials of 96 levels"):
        _contrast("Poly", tuple(map(str, range(96))))


@pytest.mark.parametrize("coding", ["Sum", "Helmert"])
def test_law_posterior_of_sds_does_not_depend_on_the_coding(coding):
    """Flat effects of the same space leave the same marginal posterior, exactly."""
    formulas = [f"y ~ C(b, {c}) + (1 | g)" for c in (CODINGS[0], coding)]
    models = [lmm.Model(text, DATA, priors=FLAT_EFFECTS) for text in formulas]
    with unchecked():
        tables = [quadrature(model, tolerance=1e-2).summary() for model in models]
    sds = [table.loc[["1|g_sigma", "sigma"]] for table in tables]
    for column in ("mean", "sd", "lower", "upper"):
        np.testing.assert_allclose(sds[0][column], sds[1][column], rtol=1e-8)


@settings(max_examples=12, deadline=None)
@given(
    first=st.sampled_from(CODINGS),
    second=st.sampled_from(CODINGS),
    part=st.sampled_from(["{} + (1 | g)", "{} * x + (1 | g)", "{} + x + (x | g)"]),
    seed=st.integers(0, 20),
)
def test_law_fit_does_not_depend_on_the_coding(first, second, part, seed):
    """Fitted values, criterion (less its log det X) and SDs are those of the space."""
    rng = np.random.default_rng(seed)
    data = DATA.assign(y=DATA.y + 0.3 * rng.standard_normal(len(DATA)))
    fits = [
        lmm.Model("y ~ " + part.format(f"C(b, {c})"), data).fit_reml()
        for c in (first, second)
    ]
    one, other = (fit.predict()["estimate"].to_numpy() for fit in fits)
    np.testing.assert_allclose(one, other, atol=2e-3)
    moved = [
        fit.criterion - np.linalg.slogdet(m.T @ m)[1]
        for fit in fits
        for m in [fit.model.design.rows.X]
    ]
    assert moved[0] == pytest.approx(moved[1], abs=1e-6)
