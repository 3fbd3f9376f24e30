"""A law: no number, table, figure or file depends on what a column is called."""

from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sampling import sample_unchecked, unchecked

from bayeslmm import Model, Posterior, RemlFit, compare, reading, shrinkage_table
from bayeslmm.reporting.figures import all_figures

# Names that are words of xarray, ArviZ, PyMC or bambi, or that files dislike.
ODD = ["chain", "a/b", "1|g", "Ünï ç"]
# each of the kind of one above: reserved, a path, a suffix, a sign
MORE = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("draw", "..", "f_dim", "x.y", "g__i")
]
PLAIN = ("f", "g")


def made(factor: str, group: str) -> pd.DataFrame:
    """One data set under these names."""
    rng = np.random.default_rng(3)
    n = 160
    kinds, levels = rng.integers(3, size=n), np.repeat(np.arange(16), n // 16)
    return pd.DataFrame(
        {
            "y": rng.normal(size=n) + 2 * rng.normal(size=(16, 3))[levels, kinds],
            factor: np.array(list("uvw"))[kinds],
            group: [f"level {i}" for i in levels],
        }
    )


def fitted(factor: str, group: str, method: str) -> tuple[RemlFit, Posterior]:
    """REML and a short run under these names."""
    data = made(factor, group)
    model = Model(f"y ~ `{factor}` + (`{factor}` | `{group}`)", data)
    options = {"draws": 60, "tune": 60, "chains": 2, "seed": 1}
    post = sample_unchecked(model, method=method, **options)
    return model.fit_reml(), post


def tables(factor: str, group: str, method: str) -> dict[str, pd.DataFrame | pd.Series]:
    """Every table that a fit and a posterior give."""
    reml, post = fitted(factor, group, method)
    data = made(factor, group)
    return {
        "reml": reml.summary(),
        "summary": post.summary(),
        "varcorr": post.varcorr(),
        "at the mean": post.varcorr(at="mean"),
        "ranef": post.ranef(),
        "coef": post.coef(),
        "icc": post.icc(),
        "by group": reml.icc(by_group=True),
        "components": reml.varcomp(),
        "predict": post.predict(),
        "new rows": post.predict(data.head(3)),
        "compare": compare(reml, post),
        "shrinkage": shrinkage_table(reml, post),
    }


def numbers(table: pd.DataFrame | pd.Series) -> np.ndarray:
    """The numeric columns, names and labels aside."""
    return pd.DataFrame(table).select_dtypes("number").to_numpy(np.float64)


@pytest.fixture(scope="module")
def plain() -> dict[str, pd.DataFrame | pd.Series]:
    """The tables of the same data under plain names."""
    with unchecked():
        return tables(*PLAIN, "nuts")


@pytest.mark.parametrize("name", [*ODD, *MORE])
@pytest.mark.usefixtures("user_speed")
def test_a_renamed_factor_changes_no_number(name, plain):
    compare_to(plain, tables(name, "g", "nuts"))


@pytest.mark.parametrize(
    "name", [*ODD, "sigma", *MORE, pytest.param("sample", marks=pytest.mark.slow)]
)
@pytest.mark.usefixtures("user_speed")
def test_a_renamed_group_changes_no_number(name, plain):
    compare_to(plain, tables("f", name, "nuts"))


@pytest.mark.slow
def test_renamed_columns_change_no_number_of_the_joint_model():
    compare_to(tables(*PLAIN, "joint"), tables("a/b", "chain", "joint"))


@pytest.mark.parametrize(
    ("factor", "group"),
    [("a/b", ".."), pytest.param("chain", "a/b", marks=pytest.mark.slow)],
)
@pytest.mark.usefixtures("user_speed")
def test_odd_names_pass_files_figures_and_sentences(
    factor: str, group: str, tmp_path: Path
):
    reml, post = fitted(factor, group, "nuts")
    path = tmp_path / "post.nc"
    post.save(path)
    back = az.from_netcdf(path)["posterior"]
    for variable, draws in post.idata["posterior"].items():
        np.testing.assert_array_equal(back[variable], draws)
    assert all(isinstance(line, str) for line in reading(reml, post))
    figures = [figure for *_, figure in all_figures(reml, post)]
    assert figures
    for figure in figures:
        assert isinstance(figure, Figure)
        figure.savefig(tmp_path / "figure.png", dpi=20)
        plt.close(figure)


def compare_to(
    plain: dict[str, pd.DataFrame | pd.Series],
    renamed: dict[str, pd.DataFrame | pd.Series],
) -> None:
    """Say which table differs, if one does."""
    for name, table in plain.items():
        left, right = numbers(table), numbers(renamed[name])
        assert left.size, name
        np.testing.assert_allclose(right, left, rtol=1e-9, atol=1e-12, err_msg=name)
