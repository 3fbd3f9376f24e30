"""Tables: rounded where they are shown, full where they are held."""

import os
import re

import numpy as np
import pandas as pd
import pytest

import bayeslmm as lmm
from bayeslmm.reporting.tables import comparison_table, posterior_table, reml_table
from bayeslmm.tables import Table
from bayeslmm.tables.frame import as_text


@pytest.fixture(scope="module")
def fits(sleepstudy):
    """Both fits of a model with SDs of very different size."""
    model = lmm.Model("Reaction ~ Days + (Days | Subject)", sleepstudy)
    return model.fit_reml(), model.sample(draws=200, seed=1)


@pytest.fixture
def narrow(monkeypatch):
    """A terminal of 80 columns."""
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((80, 24)))
    monkeypatch.setenv("COLUMNS", "80")


def every_table(reml, post):
    """All tables of both fits."""
    return {
        "reml.summary": reml.summary(),
        "reml.fixef": reml.fixef(),
        "reml.varcorr": reml.varcorr(),
        "reml.ranef": reml.ranef(),
        "reml.coef": reml.coef(),
        "reml.predict": reml.predict(),
        "reml.varcomp": reml.varcomp(),
        "reml.icc": reml.icc(),
        "reml.icc at": reml.icc(at={"Days": [0, 5, 9]}, pairs=True),
        "reml.r2": reml.r2(),
        "post.summary": post.summary(),
        "post.fixef": post.fixef(),
        "post.varcorr": post.varcorr(),
        "post.ranef": post.ranef(),
        "post.coef": post.coef(),
        "post.predict": post.predict(),
        "post.varcomp": post.varcomp(),
        "post.icc": post.icc(),
        "post.icc at": post.icc(at={"Days": [0, 5, 9]}, pairs=True),
        "post.r2": post.r2(),
        "compare": lmm.compare(reml, post),
        "shrinkage": lmm.shrinkage_table(reml, post),
        "diagnosis": post.diagnose().table,
    }


def test_no_column_is_hidden_at_80_characters(fits, narrow):
    for name, table in every_table(*fits).items():
        text = repr(table)
        assert max(map(len, text.splitlines())) <= 80, name
        headings = " ".join(text.split())
        for column in table.columns:
            assert re.search(rf"(^| ){re.escape(column)}( |$)", headings), (
                name,
                column,
            )
        if table.index.name == "label":
            assert all(label in text for label in table.index), name


def test_every_table_rounds_and_keeps_its_digits(fits):
    for name, table in every_table(*fits).items():
        assert isinstance(table, Table), name
        longest = max(len(digits) for digits in re.findall(r"\.(\d+)", repr(table)))
        assert longest <= 5, (name, longest)
        held = table.select_dtypes(float).to_numpy()
        assert np.any(np.round(held, 6) != held), name  # nothing was rounded inside
        assert "." in table.to_csv()


def test_rows_are_rounded_as_the_terminal_and_the_report_do(fits):
    reml, post = fits
    for shown, table in (
        (reml_table(reml), reml.summary()),
        (posterior_table(post), post.summary()),
        (comparison_table(lmm.compare(reml, post)), lmm.compare(reml, post)),
    ):
        text = as_text(table)
        names = {"SE": "se", "SD": "sd", "ESS": "ess_bulk", "R-hat": "rhat"}
        if "reml" in table.columns:
            names = {"REML": "reml", "SE": "reml_se", "SD": "sd"}
        for i, heading in enumerate(shown.header[1:], start=1):
            column = names.get(heading, heading)
            if column in text.columns and heading not in ("df", "t", "p"):
                cells = {own[0]: own[i] for _, own in shown.rows}
                assert cells == text[column].to_dict(), heading


def test_what_a_user_rounded_stays(fits):
    reml, _ = fits
    table = lmm.shrinkage_table(reml)[["no_pooling", "shrinkage"]].round(2)
    first = table["no_pooling"].iloc[0]
    assert f"{first:.2f}" in repr(table).splitlines()[1]
    assert as_text(Table({"x": [22.0, 7.0]}))["x"].iloc[0] == "22"


def test_what_does_not_exist_is_a_hyphen():
    table = Table({"mean": [np.nan, 1.2345], "sd": [np.nan, 0.1]})
    assert as_text(table).iloc[0].tolist() == ["-", "-"]
    assert as_text(table).iloc[1].tolist() == ["1.234", "0.100"]


def test_effects_of_one_column_keep_their_own_digits():
    table = Table({"effect": ["a", "b"] * 3, "estimate": [251.37, 0.01234, 240.1] * 2})
    text = as_text(table.assign(estimate=[251.372, 0.01234, 240.1, 0.0345, 220.0, 0.0]))
    assert text["estimate"].tolist()[:2] == ["251.4", "0.0123"]


def test_long_tables_are_cut_as_pandas_cuts_them():
    table = Table({"estimate": np.linspace(0.0, 1.0, 1001), "effect": "x"})
    text = repr(table)
    assert "..." in text
    assert text.endswith("[1,001 rows x 2 columns]")
    assert len(text.splitlines()) < 20
    with pd.option_context("display.max_rows", None):
        assert len(repr(table).splitlines()) == 1002


def test_html_has_all_columns_and_escapes(fits):
    for name, table in every_table(*fits).items():
        html = table._repr_html_()
        assert html is not None
        assert html.count("<th>") >= len(table.columns), name
        assert "&lt;b&gt;" in Table({"<b>": [1.5]})._repr_html_()
    with pd.option_context("display.notebook_repr_html", False):
        assert table._repr_html_() is None


def test_odd_tables_show():
    assert "Empty" in repr(Table({"a": []}))
    index = pd.MultiIndex.from_product([["a", "b"], range(100)], names=["g", "i"])
    assert "..." in repr(Table({"mean": np.arange(200) + 0.5}, index=index))
    assert "None" not in repr(Table({"effect2": [None, "x"], "sd": [1.0, 2.0]}))
    two = Table([[1.5, 2.5]], columns=["x", "x"])
    assert repr(two).split()[:2] == ["x", "x"]
    assert "∞" in repr(Table({"upper": [np.inf], "sd": [1.25]}))
