"""The fit without a row or a level: brute force, dense formulas, lme4, laws."""

import numpy as np
import pandas as pd
import pytest
from helpers import dense_V
from reml_cases import toy
from sampling import unchecked
from test_response import CASES, frame, quiet

from bayeslmm import DataError, Model, ModelError
from bayeslmm.marginal.downdate import Downdater
from bayeslmm.marginal.saferows import safe_rows

# Of estimate and SE: each search ends within 1e-11 of the least criterion, which is
# 3e-6 SEs at most.
SEARCHES = 1e-6
SUMS = 1e-11  # of the sums over all rows
EXACT = 1e-8


def fitted(formula, data, **options):
    """The REML fit, without its warnings about the boundary."""
    return quiet(lambda: Model(formula, data, **options).fit_reml())


def assert_is_brute_force(fit, data, found, case, gone, **options):
    """Row `case` of an influence is the fit of the other rows, made anew."""
    other = fitted(fit.formula, data[~gone].reset_index(drop=True), **options)
    with unchecked():
        ours, theirs = fit.summary()["estimate"], other.summary()["estimate"]
        size = fit.summary()["se"].fillna(1.0) + ours.abs()
        moved = found.change.loc[case]
        assert moved.index.tolist() == ours.index.tolist()
        expected = (ours - theirs) / size
        np.testing.assert_allclose(moved / size, expected, atol=SEARCHES)
        d = fit.beta - other.beta
        cook = d @ np.linalg.solve(fit.beta_cov, d) / len(d)
        assert found.table["cooks_distance"][case] == pytest.approx(cook, rel=1e-5)
        fixed = other.fixef()
        expected = (fit.fixef()["estimate"] - fixed["estimate"]) / fixed["se"]
        np.testing.assert_allclose(found.dfbetas.loc[case], expected, atol=1e-5)
    assert found.table["n"][case] == gone.sum()
    assert found.table["converged"][case]


def test_sleepstudy_without_each_subject_and_some_rows(sleepstudy):
    fit = fitted("Reaction ~ Days + (Days | Subject)", sleepstudy)
    subject = sleepstudy["Subject"].astype(str).to_numpy()
    found = quiet(lambda: fit.influence("Subject"))
    for level in ("308", "309", "337", "372"):
        assert_is_brute_force(fit, sleepstudy, found, level, subject == level)
    found = quiet(lambda: fit.influence("rows"))
    for row in (0, 56, 59):
        gone = np.arange(len(sleepstudy)) == row
        assert_is_brute_force(fit, sleepstudy, found, row, gone)


@pytest.mark.parametrize("of", ["plate", "sample"])
def test_a_crossed_design_without_each_level(of, public_data):
    data = public_data("Penicillin")
    fit = fitted("diameter ~ 1 + (1 | plate) + (1 | sample)", data)
    found = quiet(lambda: fit.influence(of))
    for level in list(found.table.index[:3]):
        gone = data[of].astype(str).to_numpy() == level
        assert_is_brute_force(fit, data, found, level, gone)


@pytest.mark.parametrize("weights", [None, "weight"])
@pytest.mark.parametrize("case", CASES)
def test_sums_without_rows_are_sums_of_the_others(case, weights):
    """Without a whole level of each factor and some rows beside them."""
    data = frame()
    model = Model(CASES[case], data, weights=weights)
    rows = safe_rows(model.design, model.conditioned, "sums")
    downdater, old = Downdater.of(rows), rows.conditioned.statistics.sums
    gone = {3, 17, 50}
    for codes in rows.codes:
        gone |= set(np.flatnonzero(codes == codes[7]).tolist())
    gone = np.array(sorted(gone))
    kept = np.setdiff1d(np.arange(len(data)), gone)
    found = downdater.without(gone).statistics.sums
    W, w = rows.W[kept], rows.weights[kept]
    close = {"atol": SUMS * old.n}
    np.testing.assert_allclose(found.WW, W.T @ (W * w[:, None]), **close)
    assert found.n == len(kept)
    assert found.log_weights == pytest.approx(np.log(w).sum(), abs=SUMS * old.n)
    for b, (Z, codes) in enumerate(zip(rows.Z, rows.codes, strict=True)):
        A, F = np.zeros_like(old.A[b]), np.zeros_like(old.F[b])
        z = Z[kept]
        np.add.at(A, codes[kept], np.einsum("n,nk,nl->nkl", w, z, z))
        np.add.at(F, codes[kept], np.einsum("n,nk,nw->nkw", w, z, W))
        np.testing.assert_allclose(found.A[b], A, **close)
        np.testing.assert_allclose(found.F[b], F, **close)
        assert (found.A[b][codes[7]] == 0.0).all()
    for cells in found.cells:
        Z, other = rows.Z[0][kept], rows.Z[1][kept]
        whole = np.zeros((len(old.A[0]) * len(old.A[1]), Z.shape[1], other.shape[1]))
        key = rows.codes[0][kept].astype(int) * len(old.A[1]) + rows.codes[1][kept]
        np.add.at(whole, key, np.einsum("n,nk,nl->nkl", w, Z, other))
        np.testing.assert_allclose(cells.values, whole[cells.keys], **close)


@pytest.mark.parametrize("case", ["levels", "crossed", "blocked", "cs", "offset"])
def test_one_step_is_exact_given_theta(case):
    """Fixed effects, SEs and sigma of the other rows at these relative SDs, dense."""
    data = frame()
    fit = fitted(CASES[case], data, weights="weight")
    design = fit.design
    X, y = design.rows.X, design.rows.net
    V = dense_V(design, fit.factors, fit.sigma) / fit.sigma**2
    group = design.groups[0].group
    by_row = quiet(lambda: fit.influence(method="one-step"))
    by_level = quiet(lambda: fit.influence(group, method="one-step"))
    level = by_level.table.index[0]
    own = design.rows.codes[0] == design.groups[0].levels.index(level)
    picked = [(by_row, i, np.arange(design.n) == i) for i in (0, 5, 70)]
    for found, label, gone in [*picked, (by_level, level, own)]:
        stay = np.ix_(~gone, ~gone)
        inverse, kept = np.linalg.inv(V[stay]), X[~gone]
        C = np.linalg.inv(kept.T @ inverse @ kept)
        beta = C @ kept.T @ inverse @ y[~gone]
        left = y[~gone] - kept @ beta
        dof = (~gone).sum() - design.p
        sigma = np.sqrt(left @ inverse @ left / dof)
        order = [p.index[0] for p in design.space.fixed]
        moved = (fit.beta - beta)[order]
        se = sigma * np.sqrt(np.diag(C))[order]
        labels = [p.label for p in design.space.fixed]
        close = {"rtol": EXACT, "atol": EXACT}
        np.testing.assert_allclose(found.change.loc[label, labels], moved, **close)
        np.testing.assert_allclose(found.dfbetas.loc[label], moved / se, **close)
        assert found.change.loc[label, "sigma"] == pytest.approx(
            fit.sigma - sigma, rel=EXACT, abs=EXACT
        )


def test_lme4_has_the_same_distances(sleepstudy):
    """lme4 1.1-31: ``influence(m, "Subject")``; d'C^-1 d / 2 with ``vcov(m)``."""
    fit = fitted("Reaction ~ Days + (Days | Subject)", sleepstudy)
    found = quiet(lambda: fit.influence("Subject")).table["cooks_distance"]
    theirs = [0.092416955703, 0.148523397702, 0.110520837328, 0.083414815246]
    theirs += [0.056386694820, 0.006315102044, 0.020970174038, 0.006215838368]
    theirs += [0.129480388245, 0.125996279763, 0.051582372828, 0.074398678574]
    theirs += [0.013794848019, 0.034249256914, 0.001197598318, 0.091720910729]
    theirs += [0.001264224962, 0.010368179917]
    np.testing.assert_allclose(found, theirs, rtol=2e-4)


@pytest.mark.slow
def test_many_random_effects_beside_the_largest_factor():
    """A rest that goes in steps, panels or LAPACK."""
    data = frame()
    fit = fitted(CASES["blocked"], data)
    assert fit.model.conditioned.statistics.in_steps
    found = quiet(lambda: fit.influence("dozens"))
    level = found.table.index[2]
    gone = data["dozens"].to_numpy() == level
    assert_is_brute_force(fit, data, found, level, gone)


def test_what_cannot_be_left_out_is_said():
    data = frame().assign(alone=0.0)
    data.loc[[4, 5], "alone"] = 1.0
    data.loc[[4, 5], "g"] = data.loc[4, "g"]
    fit = fitted("y ~ x + alone + (1 | g)", data)
    level = str(data.loc[4, "g"])
    for method in ("refit", "one-step"):
        found = quiet(lambda method=method: fit.influence("g", method=method))
        assert np.isnan(found.table["cooks_distance"][level])
        assert np.isfinite(found.table["cooks_distance"].drop(level)).all()
        assert f"Without level of g {level} the model cannot" in found.messages[0]
        assert found.messages[0] in repr(found)
    alone = fitted("y ~ x + alone + (1 | g)", data.drop(index=5).reset_index(drop=True))
    for method in ("refit", "one-step"):
        found = quiet(lambda method=method: alone.influence(method=method))
        assert found.change.index[found.change["x"].isna()].tolist() == [4]
        assert "Without row 4 the model" in found.messages[0]


def test_rows_go_by_their_labels():
    data = toy(1, 40)
    data.index = [f"r{i}" for i in range(40)]
    fit = fitted("y ~ x + (1 | g)", data)
    found = quiet(lambda: fit.influence(method="one-step"))
    assert found.table.index.tolist() == data.index.tolist()
    assert found.change.columns.tolist() == ["Intercept", "x", "sigma"]
    assert "40 rows, left out one at a time (SDs held)" in repr(found)


def test_laws():
    """Units and origin of y and x, order of rows, names of levels."""
    data = frame()
    fit = fitted("y ~ x + (x | g)", data)
    plain = quiet(lambda: fit.influence("g"))
    moved = data.assign(
        y=1000.0 + 7.0 * data["y"], x=(data["x"] - 3.0) / 10.0, g="new" + data["g"]
    )
    moved = moved.sample(frac=1.0, random_state=1, ignore_index=True)
    other = quiet(lambda: fitted("y ~ x + (x | g)", moved).influence("g"))
    names = "new" + plain.table.index
    table = other.table.loc[names].set_axis(plain.table.index)
    pd.testing.assert_frame_equal(table, plain.table, rtol=1e-4, check_names=False)
    change = other.change.loc[names].to_numpy()
    at = [plain.change.columns.get_loc(c) for c in ("x", "x|g_sigma", "sigma")]
    scale = np.array([70.0, 70.0, 7.0])
    expected = plain.change.to_numpy()[:, at] * scale
    np.testing.assert_allclose(change[:, at], expected, rtol=1e-4, atol=1e-6)


def test_errors(sleepstudy):
    fit = fitted("Reaction ~ Days + (1 | Subject)", sleepstudy)
    with pytest.raises(ModelError, match="neither 'rows' nor a grouping factor"):
        fit.influence("subject")
    with unchecked(), pytest.raises(ModelError, match="method must be 'refit'"):
        fit.influence(method="exact")
    streamed = Model("Reaction ~ Days + (1 | Subject)", [sleepstudy, sleepstudy])
    with pytest.raises(DataError, match="influences would need them"):
        quiet(streamed.fit_reml).influence("Subject")
