"""Widths to expect: against dense formulas, closed forms and simulated studies."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from sampling import unchecked
from scipy.stats import norm
from typer.testing import CliRunner

import bayeslmm as lmm
from bayeslmm.cli.app import app
from bayeslmm.errors import FitWarning, ModelError
from bayeslmm.planning.information import expected_information, free_variances
from bayeslmm.planning.truth import true_parameters

DENSE = 1e-6  # derivatives by differences on both sides
STEP = 1e-5


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """120 rows under two crossed factors, with weights."""
    rng = np.random.default_rng(0)
    n = 120
    x = rng.normal(1.0, 1.0, n)
    own = {"g": np.arange(n) % 10, "k": rng.permutation(n) % 4}
    text = {name: codes.astype(str) for name, codes in own.items()}
    return pd.DataFrame(
        {"y": rng.normal(size=n), "x": x, "w": rng.uniform(0.5, 2.0, n), **text}
    )


def dense_covariance(model: lmm.Model, values: Mapping[str, float]) -> np.ndarray:
    """V of all rows, from its definition."""
    design = model.design
    own, truth = design.rows, true_parameters(design, values)
    V = np.diag(truth.sigma**2 / own.weights)
    for Z, codes, factor, term in zip(
        own.Z, own.codes, truth.factors, design.groups, strict=True
    ):
        wide = np.zeros((len(Z), term.n_levels, term.k))
        wide[np.arange(len(Z)), codes] = Z
        wide = wide.reshape(len(Z), -1)
        V += wide @ np.kron(np.eye(term.n_levels), factor @ factor.T) @ wide.T
    return V


def moved(model: lmm.Model, values: Mapping[str, float], p: Any, step: float) -> Any:
    """The values with one working parameter moved, and those that equal it."""
    at = float(p.working(np.array(values[p.label])))
    new = float(p.natural(np.array(at + step)))
    equal = p.term is not None and model.design.groups[p.term].covariance.homogeneous
    same = model.space.sds(p.term) if equal and p.component == "sd" else (p,)
    return {**values, **{q.label: new for q in same}}


def dense_information(model: lmm.Model, values: Mapping[str, float]) -> tuple[Any, ...]:
    """Inverse information, covariance of beta and degrees of freedom, the long way."""
    X = model.design.rows.X
    inverse = np.linalg.inv(dense_covariance(model, values))
    C = np.linalg.inv(X.T @ inverse @ X)
    P = inverse - inverse @ X @ C @ X.T @ inverse
    slopes = [
        np.subtract(
            *(
                dense_covariance(model, moved(model, values, p, s))
                for s in (STEP, -STEP)
            )
        )
        / (2.0 * STEP)
        for p in free_variances(model.design)
    ]
    information = np.array([[np.trace(P @ a @ P @ b) for a in slopes] for b in slopes])
    W = np.linalg.inv(0.5 * information)
    moves = np.array([C @ X.T @ inverse @ a @ inverse @ X @ C for a in slopes])
    along = np.einsum("ipp->pi", moves)
    spread = np.einsum("pi,ij,pj->p", along, W, along)
    return W, C, 2.0 * np.diag(C) ** 2 / spread


SHAPES = {
    "slopes": (
        "y ~ x + (x | g)",
        {"1|g_sigma": 0.8, "x|g_sigma": 0.4, "g_corr[Intercept:x]": -0.4},
    ),
    "crossed": (
        "y ~ x + (1 | g) + (x || k)",
        {"1|g_sigma": 0.8, "1|k_sigma": 0.5, "x|k_sigma": 0.3},
    ),
    "shared": ("y ~ x + cs(0 + x + I(x^2) | g)", {}),
    "equal": ("y ~ x + diag(x | g, hom=TRUE)", {}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_information_is_that_of_the_dense_formula(
    rows: pd.DataFrame, shape: str
) -> None:
    formula, some = SHAPES[shape]
    with unchecked():
        model = lmm.Model(formula, rows, weights="w")
        labels = model.space.labels
        values = dict.fromkeys(labels, 0.6) | some | {"sigma": 1.2}
        found = expected_information(model, values)
        W, C, df = dense_information(model, values)
    np.testing.assert_allclose(found.covariance, W, rtol=DENSE, atol=1e-9)
    np.testing.assert_allclose(found.beta_cov, C, rtol=1e-9)
    np.testing.assert_allclose(found.df, df, rtol=DENSE)


def study(J: int, n: int) -> pd.DataFrame:
    """J groups of n rows."""
    g, i = np.divmod(np.arange(J * n), n)
    return pd.DataFrame({"g": [f"g{own}" for own in g], "x": i - (n - 1) / 2})


@settings(max_examples=20, deadline=None)
@given(J=st.integers(10, 40), n=st.integers(2, 9), sd=st.floats(0.7, 3.0))
def test_balanced_groups_have_the_widths_of_analysis_of_variance(
    J: int, n: int, sd: float
) -> None:
    """Var(log sigma) = 1 / (2 df); the group variance is a difference of mean squares.

    Searle, Casella and McCulloch (1992), section 3.5, by the delta method.
    """
    between = 1.0 + n * sd**2
    variance = 2.0 * (between**2 / (J - 1) + 1.0 / (J * (n - 1))) / n**2
    se = np.sqrt(variance) / (2.0 * sd**2)
    truth = {"1|g_sigma": sd, "sigma": 1.0}
    with unchecked():
        found = lmm.precision(
            "y ~ 1 + (1 | g)", study(J, n), parameters=truth, method="information"
        ).table.set_index("label")
    assert found.loc["1|g_sigma", "se"] == pytest.approx(se, rel=1e-6)
    own = found.loc["sigma"]
    assert own["se"] == pytest.approx(1.0 / np.sqrt(2.0 * J * (n - 1)), rel=1e-6)
    ends = np.exp(np.array([-1.0, 1.0]) * norm.ppf(0.975) * own["se"])
    assert own[["lower", "upper"]].to_numpy(float) == pytest.approx(ends)
    assert found.loc["Intercept", "se"] == pytest.approx(np.sqrt(between / (J * n)))


def test_widths_have_the_units_of_the_response_and_no_origin(
    rows: pd.DataFrame,
) -> None:
    """Twice the SDs, twice the widths; the response and the order are nothing."""
    truth = {"x": 0.3, "1|g_sigma": 0.8, "x|g_sigma": 0.4, "sigma": 1.2}
    twice = {name: 2.0 * value for name, value in truth.items()}
    options: Any = {"method": "information"}
    formula = "y ~ x + (x || g)"
    with unchecked():
        one = lmm.precision(formula, rows, parameters=truth, **options).table
        two = lmm.precision(formula, rows, parameters=twice, **options).table
        other = rows.assign(y=7.0 - 3.0 * rows["y"]).iloc[::-1]
        same = lmm.precision(formula, other, parameters=truth, **options).table
    np.testing.assert_allclose(two["width"], 2.0 * one["width"], rtol=1e-7)
    np.testing.assert_allclose(same["width"], one["width"], rtol=1e-7)


TRUTH = {"x": 0.2, "1|g_sigma": 0.8, "sigma": 1.0}
FORMULA = "y ~ x + (1 | g)"


def test_information_and_simulation_agree_where_there_are_groups() -> None:
    with unchecked():
        both = [
            lmm.precision(
                *(FORMULA, study(24, 6)), parameters=TRUTH, method=how, nsim=60, seed=1
            ).table.set_index("label")["width"]
            for how in ("information", "simulation")
        ]
    ratio = both[0] / both[1]
    assert ratio.between(0.9, 1.1).all(), ratio


def test_few_groups_are_simulated_and_say_how_many_studies_have_no_interval() -> None:
    few = TRUTH | {"1|g_sigma": 0.25}
    with unchecked():
        options: Any = {"nsim": 20, "seed": 1}
        found = lmm.precision(FORMULA, study(4, 6), parameters=few, **options)
        again = lmm.precision(FORMULA, study(4, 6), parameters=few, **options)
    own = found.table.set_index("label")
    assert own["how"].tolist() == [*["information"] * 2, "simulation", "information"]
    assert 0.0 < own.loc["1|g_sigma", "without"] < 1.0
    assert found.table.equals(again.table)


def test_an_sd_of_zero_has_no_information() -> None:
    none = TRUTH | {"1|g_sigma": 0.0}
    planned = lmm.precision(
        FORMULA, study(10, 5), parameters=none, method="information"
    )
    found = planned.table.set_index("label")
    assert np.isnan(found.loc["1|g_sigma", "width"])
    assert found.loc["sigma", "width"] > 0.0
    with pytest.raises(ModelError, match="has no interval where it is 0"):
        planned.needed("1|g_sigma", ratio=0.5)


def test_needed_is_the_first_number_that_does() -> None:
    with unchecked():
        found = lmm.precision(FORMULA, study(20, 5), parameters=TRUTH)
        widths = found.table.set_index("label")["width"]
        levels = found.needed("1|g_sigma", ratio=0.5)
        sizes = [levels - 1, levels]
        table = lmm.precision(
            FORMULA, study(20, 5), parameters=TRUTH, groups={"g": sizes}
        ).table
    near = table.loc[table["label"] == "1|g_sigma", "width"].tolist()
    assert near[1] <= 0.5 * widths["1|g_sigma"] < near[0]
    assert 70 < levels < 90  # a width falls as one over the root of the groups
    with unchecked():
        assert found.needed("x", width=float(widths["x"])) == 20
        assert found.needed("sigma", width=float(widths["sigma"]), group="g") == 20


def test_needed_keeps_the_other_sizes_of_the_first_row(rows: pd.DataFrame) -> None:
    """Twice the rows, more levels of the crossed factor: as they were asked for."""
    truth = {"1|g_sigma": 0.8, "1|k_sigma": 0.8, "sigma": 1.0}
    asked: Any = {"parameters": truth, "method": "information"}
    formula = "y ~ 1 + (1 | g) + (1 | k)"
    with unchecked():
        sizes: Any = {"groups": {"k": [8, 4]}, "rows": [2, 1]}
        found = lmm.precision(formula, rows, **asked, **sizes)
        levels = found.needed("1|g_sigma", ratio=0.7)
        around: Any = {"groups": {"k": 8, "g": [levels - 1, levels]}, "rows": 2}
        near = lmm.precision(formula, rows, **asked, **around).table
    widths = near.loc[near["label"] == "1|g_sigma", "width"].tolist()
    first = found.table.set_index("label")["width"]["1|g_sigma"].iloc[0]
    assert widths[1] <= 0.7 * first < widths[0]


def test_structured_residuals_are_simulated() -> None:
    data = study(8, 6)
    data["t"] = data.groupby("g").cumcount()
    data["y"] = np.random.default_rng(1).normal(size=len(data))
    with unchecked():
        model = lmm.Model(FORMULA, data, residual="ar1(t | g)")
        truth = dict.fromkeys(model.space.labels, 0.5)
        found = lmm.precision(model, parameters=truth, nsim=4, seed=1)
    own = found.table.set_index("label")
    assert own.index.tolist() == list(model.space.labels)
    assert set(own["how"]) == {"simulation"}
    assert (own["width"] > 0.0).all()
    (rho,) = (p.label for p in model.design.residual.parameters)
    assert -1.0 < own.loc[rho, "lower"] < 0.5 < own.loc[rho, "upper"] < 1.0


def test_an_interrupt_leaves_the_sizes_that_were_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = importlib.import_module("bayeslmm.planning.precision")
    real, sizes = module.expected_widths, []

    def stopped(*given: Any) -> Any:
        sizes.append(1)
        if len(sizes) == 3:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(module, "expected_widths", stopped)
    options: Any = {"parameters": TRUTH, "method": "information"}
    with unchecked():
        with pytest.warns(FitWarning, match="sizes that were done"):
            found = lmm.precision(
                FORMULA, study(12, 5), groups={"g": [10, 20, 40]}, **options
            )
        assert found.table["g"].unique().tolist() == [10, 20]
        sizes[:] = [1, 1]
        with pytest.raises(KeyboardInterrupt):
            lmm.precision(FORMULA, study(12, 5), **options)


def test_the_command_line(tmp_path: Path) -> None:
    study(20, 5).to_csv(tmp_path / "study.csv", index=False)
    call = ["precision", str(tmp_path / "study.csv"), FORMULA]
    given = [word for name in TRUTH for word in ("--set", f"{name}={TRUTH[name]}")]
    with unchecked():
        shown = CliRunner().invoke(app, [*call, *given, "--levels", "g=20,40"])
        wrong = CliRunner().invoke(app, [*call, *given, "--method", "magic"])
        table = lmm.precision(
            FORMULA, study(20, 5), parameters=TRUTH, groups={"g": [20, 40]}
        ).table
    assert shown.exit_code == 0, shown.output
    assert "Width to expect of 95% intervals" in shown.output
    lines = [line for line in shown.output.splitlines() if "1|g_sigma" in line]
    widths = table.loc[table["label"] == "1|g_sigma", "width"]
    for line, width in zip(lines, widths, strict=True):
        assert f"{width:.3f}" in line
    assert wrong.exit_code == 2
    assert "Unknown method 'magic'" in wrong.output


def test_what_cannot_be_planned_is_said(rows: pd.DataFrame) -> None:
    with unchecked():
        found = lmm.precision(FORMULA, study(20, 5), parameters=TRUTH)
        with pytest.raises(ModelError, match=r"Did you mean '1\|g_sigma'"):
            found.needed("1|g_sigmo", ratio=0.5)
        for own in ({}, {"ratio": 0.5, "width": 1.0}, {"ratio": -1}, {"width": "a"}):
            with pytest.raises(ModelError, match="Give either width="):
                found.needed("sigma", **own)
        with pytest.raises(ModelError, match="levels of 'g' the interval of 'x' is"):
            found.needed("x", width=1e-6)
        with pytest.raises(ModelError, match="precision needs the rows of the study"):
            lmm.precision(FORMULA)
        with pytest.raises(ModelError, match=r"needs a value of '1\|g_sigma'"):
            lmm.precision(FORMULA, study(20, 5), parameters={"x": 1.0, "sigma": 1.0})
        with pytest.raises(ModelError, match="Unknown method 'magic'"):
            lmm.precision(FORMULA, study(20, 5), parameters=TRUTH, method="magic")
        model = lmm.Model("y ~ x + (1 | g)", rows, residual="varident(k)")
        with pytest.raises(ModelError, match="known here for independent residuals"):
            lmm.precision(model.fit_reml(), method="information")


def test_the_figure_has_the_widths_of_the_table() -> None:
    with unchecked():
        sizes: Any = {"groups": {"g": [10, 20, 40]}, "rows": [1, 2]}
        found = lmm.precision(
            *(FORMULA, study(20, 5)), parameters=TRUTH, method="information", **sizes
        )
        figure = found.plot(labels=["1|g_sigma"])
    (ax,) = figure.axes
    own = found.table[found.table["label"] == "1|g_sigma"]
    for times, line in zip((1, 2), ax.lines, strict=True):
        part = own[own["rows"] == times]
        assert line.get_ydata().tolist() == part["width"].tolist()
        assert line.get_xdata().tolist() == part["g"].tolist() == [10, 20, 40]
    assert ax.get_title() == "1|g_sigma"
    with pytest.raises(ModelError, match="There is no parameter 'no'"):
        lmm.plot_precision(found, ["no"])


@pytest.mark.slow
@pytest.mark.parametrize(("J", "sd"), [(8, 1.0), (12, 0.5), (40, 0.25)])
def test_where_the_information_is_trusted_it_is_right(J: int, sd: float) -> None:
    """The switch at 0.35: widths within 12% of the median of 200 studies."""
    truth = {"1|g_sigma": sd, "sigma": 1.0}
    with unchecked():
        one, two = (
            lmm.precision(
                "y ~ 1 + (1 | g)", study(J, 10), parameters=truth, method=how, seed=3
            ).table.set_index("label")
            for how in ("auto", "simulation")
        )
    assert one.loc["1|g_sigma", "how"] == "information"
    ratio = one.loc["1|g_sigma", "width"] / two.loc["1|g_sigma", "width"]
    assert 0.88 < ratio < 1.12
    assert two.loc["1|g_sigma", "without"] < 0.05
