"""The textbook's matrices: the chapter's six rows, the dense formula, refusals."""

import re

import numpy as np
import pandas as pd
import pytest

import bayeslmm as lmm
from bayeslmm.reml.matrices import find_rows


@pytest.fixture(scope="module")
def six():
    """Two pupils of each class: the chapter's example of X 6x2 and Z 6x3."""
    return pd.DataFrame(
        {
            "score": [7.2, 7.9, 9.1, 11.1, 14.6, 14.0],
            "edu": [2, 10, 1, 9, 8, 5],
            "classroom": ["c0", "c0", "c1", "c1", "c2", "c2"],
        }
    )


@pytest.fixture(scope="module")
def chapter(six):
    """The fit of them, whose figures are those of nlme and statsmodels (SEEDS.md)."""
    return lmm.Model("score ~ edu + (1 | classroom)", six).fit_reml()


@pytest.fixture(scope="module")
def pupils():
    return lmm.simulate_classrooms(5, 8, seed=4).data


def test_the_chapters_six_rows_have_the_chapters_numbers(chapter):
    found = chapter.matrices()
    assert found.X.to_numpy().tolist() == [[1, e] for e in (2, 10, 1, 9, 8, 5)]
    assert found.Z.to_numpy().tolist() == np.repeat(np.eye(3), 2, axis=0).tolist()
    assert found.beta["beta"].to_numpy() == pytest.approx([9.6501, 0.1714], abs=1e-4)
    assert found.u["u"].to_numpy() == pytest.approx(
        [-3.0989, -0.4033, 3.5022], abs=1e-4
    )
    assert found.D.to_numpy() == pytest.approx(3.3351**2 * np.eye(3), abs=1e-3)
    assert found.R.to_numpy() == pytest.approx(0.4618**2 * np.eye(6), abs=1e-4)
    assert chapter.loglik == pytest.approx(-10.2518, abs=1e-4)


def test_v_gives_the_likelihood_and_the_effects_of_the_textbook(chapter, six):
    found = chapter.matrices()
    X, Z, D, V = (getattr(found, name).to_numpy() for name in "XZDV")
    y = six["score"].to_numpy()
    P = np.linalg.inv(V)
    beta = np.linalg.solve(X.T @ P @ X, X.T @ P @ y)
    assert beta == pytest.approx(found.beta["beta"].to_numpy(), rel=1e-9)
    r = y - X @ beta
    assert Z.T @ P @ r @ D == pytest.approx(found.u["u"].to_numpy(), rel=1e-9)
    assert found.e["e"].to_numpy() == pytest.approx(
        r - Z @ (D @ Z.T @ P @ r), abs=1e-12
    )
    (_, whole), (_, fixed) = np.linalg.slogdet(V), np.linalg.slogdet(X.T @ P @ X)
    loglik = -0.5 * (4 * np.log(2 * np.pi) + whole + fixed + r @ P @ r)
    assert loglik == pytest.approx(chapter.loglik, rel=1e-9)


def test_weights_slopes_and_crossed_factors_are_in_the_matrices(pupils):
    day, slopes = np.arange(40) % 4, np.repeat([0.5, -1.0, 0.0, 1.0, -0.5], 8)
    score = pupils["score"] + day + slopes * pupils["edu"]
    pupils = pupils.assign(w=np.linspace(1, 2, 40), day=day, score=score)
    formula = "score ~ edu + (edu | classroom) + (1 | day)"
    fit = lmm.Model(formula, pupils, weights="w").fit_reml()
    found = fit.matrices(40)
    assert found.Z.shape == (40, 5 * 2 + 4)
    S, tau = fit.factors[0] @ fit.factors[0].T, fit.factors[1][0, 0] ** 2
    row = pupils.loc[found.y.index]
    z = np.column_stack([np.ones(40), row["edu"]])
    same = row["classroom"].to_numpy()[:, None] == row["classroom"].to_numpy()
    together = row["day"].to_numpy()[:, None] == row["day"].to_numpy()
    V = same * (z @ S @ z.T) + tau * together + np.diag(fit.sigma**2 / row["w"])
    assert found.V.to_numpy() == pytest.approx(V, rel=1e-10, abs=1e-10)
    fitted = dict(zip(fit.model.row_labels, fit.fitted(), strict=True))
    assert (found.y.iloc[:, 0] - found.e["e"]).to_dict() == pytest.approx(fitted)


def test_rows_are_two_of_each_of_the_first_levels_or_those_named(pupils):
    formula = "score ~ edu + (1 | classroom)"
    model = lmm.Model(formula, pupils.set_index(pupils.index + 7))
    codes = model.design.rows.codes[0]
    assert codes[find_rows(model)].tolist() == [0, 0, 1, 1, 2, 2]
    counts = np.bincount(codes[find_rows(model, 12)])
    assert counts.tolist() == [4, 2, 2, 2, 2]  # a second pair where all have one
    assert sorted(find_rows(model, 40).tolist()) == list(range(40))
    assert find_rows(model, [46, 7]).tolist() == [39, 0]
    shuffled = lmm.Model(formula, pupils.sample(frac=1, random_state=1))
    places = find_rows(shuffled)
    assert np.bincount(shuffled.design.rows.codes[0][places]).tolist() == [2, 2, 2]


def test_explain_prints_them_and_says_what_other_families_have_not(chapter, capsys):
    chapter.model.explain(matrices=True)
    shown = capsys.readouterr().out
    assert "Z of 6 rows, a column for each effect of each classroom" in shown
    assert re.search(
        r"V = Z D Z' \+ R.*\n.*\n\s+0  11\.336  11\.123 +\. +\. +\. +\.\n", shown
    )
    counts = pd.DataFrame({"k": [1, 3, 2, 5], "g": list("aabb")})
    other = lmm.Model("k ~ 1 + (1 | g)", counts, family="poisson")
    other.explain(matrices=True, rows=[0, 2])
    shown = capsys.readouterr().out
    assert "y and X of 2 rows" in shown
    assert "none: with family 'poisson' y has no one covariance" in shown
    with pytest.raises(
        lmm.ModelError, match="D, R and V are those of a Gaussian model"
    ):
        lmm.plot_matrices(other)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([0, "x"], "No row that was used has the label 'x'"),
        (0, "asks for 0 rows; one is the least"),
        ([], "asks for 0 rows"),
        ([3, 3], "Row 3 is asked for twice"),
        ("first", "neither a number of rows nor a list of their labels"),
        (True, "neither a number of rows"),
        (2001, "Ask for at most 2,000"),
    ],
)
def test_rows_that_cannot_be_shown_are_named(chapter, rows, said):
    with pytest.raises(lmm.ModelError, match=said):
        chapter.matrices(rows)
    with pytest.raises(lmm.ModelError, match=said):
        lmm.plot_matrices(chapter, rows)


def test_what_is_too_large_to_print_or_draw_says_what_is_not(pupils):
    many = lmm.simulate_classrooms(30, 10, seed=4).data
    model = lmm.Model("score ~ edu + (1 | classroom)", many)
    with pytest.raises(lmm.ModelError, match="plot_matrices"):
        model.explain(matrices=True, rows=13)
    with pytest.raises(lmm.ModelError, match="give matrices=True too"):
        model.explain(rows=3)
    with pytest.raises(lmm.ModelError, match="finer than a screen"):
        lmm.plot_matrices(model, 201)


def test_the_picture_has_the_numbers_in_their_cells(chapter):
    figure = lmm.plot_matrices(chapter)
    texts = [text.get_text() for text in figure.axes[0].texts]
    # D, Z D Z', what is off the diagonal of V, and the score of one row
    assert texts.count("11.1") == 3 + 12 + 6 + 1
    assert texts.count("0.213") == 6
    assert {"Intercept", "edu", "1[c0]", "score"} <= set(texts)
    assert {"=", "+", ";"} <= set(texts)
    large = lmm.plot_matrices(chapter.model, 6).axes[0]
    assert len(large.collections) == 10
    whole = lmm.Model(
        "score ~ edu + (1 | classroom)", lmm.simulate_classrooms(seed=1).data
    )
    sizes = [text.get_text() for text in lmm.plot_matrices(whole, 60).axes[0].texts]
    assert any(text.endswith("60 × 60") for text in sizes)
