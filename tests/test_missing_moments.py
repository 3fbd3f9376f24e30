"""No table, text, file or figure shows a mean or an SD that does not exist.

Three classrooms under flat priors: the SD between them, the intercept and their effects
have no mean. All that prints is walked, by name, so that what is added is walked too.
"""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# the fits of the fixture are both there
import inspect
import json
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sampling import unchecked

import bayeslmm as lmm
from bayeslmm import FitWarning, Model
from bayeslmm.api.both import Fit
from bayeslmm.reporting.html import report_html
from bayeslmm.reporting.text import fit_text

# What has no mean, and columns that would be one.
MISSING = {"Intercept", "1|classroom_sigma", "Intercept|classroom"}
MOMENTS = {"mean", "sd", "mcse_mean", "variance", "covariance", "posterior_mean"}
NEW = pd.DataFrame({"edu": [2.0, 8.0], "classroom": ["new", "c1"]})

# Tables of the posterior by method, with the rows that have no mean. Those that have
# all: shares, coefficients of levels in the data, slopes.
Rows = Callable[[pd.DataFrame], Any]


def labelled(table: pd.DataFrame) -> Any:
    """Rows of what is missing by label."""
    return table.index.isin(MISSING | {"fixed"})


def by_effect(table: pd.DataFrame) -> Any:
    """Rows of effects of levels."""
    return (table["effect"] + "|" + table["group"]).isin(MISSING)


def everything(table: pd.DataFrame) -> Any:
    """All rows."""
    return np.full(len(table), True)


def nothing(table: pd.DataFrame) -> Any:
    """No row: all means exist."""
    return np.full(len(table), False)


def new_levels(table: pd.DataFrame) -> Any:
    """The first row of `NEW`."""
    return np.arange(len(table)) == 0


TABLES: dict[str, tuple[Callable[[Fit], pd.DataFrame], Rows]] = {
    "summary": (lambda f: f.posterior.summary(), labelled),
    "summary of hdi": (lambda f: f.posterior.summary(0.9, "hdi"), labelled),
    "fixef": (lambda f: f.posterior.fixef(), labelled),
    "varcorr": (lambda f: f.posterior.varcorr(), labelled),
    "varcorr at the mean": (lambda f: f.posterior.varcorr(at="mean"), labelled),
    "varcomp": (lambda f: f.posterior.varcomp(), labelled),
    "varcomp at zero": (lambda f: f.posterior.varcomp(at="zero"), labelled),
    "ranef": (lambda f: f.posterior.ranef(), by_effect),
    "ranef of one": (lambda f: f.posterior.ranef(levels=["c1"]), by_effect),
    "coef": (lambda f: f.posterior.coef(), nothing),
    "rank_levels": (lambda f: f.posterior.rank_levels(), nothing),
    "icc": (lambda f: f.posterior.icc(), nothing),
    "r2": (lambda f: f.posterior.r2(), nothing),
    "bayesian_r2": (lambda f: f.posterior.bayesian_r2(), nothing),
    "emmeans": (lambda f: f.posterior.emmeans("1"), everything),
    "emmeans at": (
        lambda f: f.posterior.emmeans("edu", at={"edu": [2, 8]}),
        everything,
    ),
    "emtrends": (lambda f: f.posterior.emtrends("1", "edu"), nothing),
    "contrast": (
        lambda f: f.posterior.contrast({"a": {"Intercept": 1.0, "edu": 5.0}}),
        everything,
    ),
    "contrast of slopes": (lambda f: f.posterior.contrast({"b": {"edu": 1}}), nothing),
    "predict": (lambda f: f.posterior.predict(), nothing),
    "predict new": (lambda f: f.posterior.predict(NEW, level="new"), new_levels),
    "predict response": (
        lambda f: f.posterior.predict(NEW, level="new", kind="response"),
        new_levels,
    ),
    "predict population": (
        lambda f: f.posterior.predict(NEW, level="population"),
        everything,
    ),
    "compare": (lambda f: f.compare(), labelled),
    "quadrature": (lambda f: f.model.quadrature(tolerance=1e-2).summary(), labelled),
    "diagnose": (lambda f: f.posterior.diagnose().table, labelled),
    "vcov": (lambda f: f.posterior.vcov().loc[["Intercept"]], everything),
}


@pytest.fixture(scope="module")
def flat(classrooms: pd.DataFrame) -> Fit:
    """Both fits."""
    with unchecked(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        model = Model("score ~ edu + (1 | classroom)", classrooms, priors="flat")
        post = model.sample(draws=300, chains=2, seed=1, progress=False)
        return Fit(model, model.fit_reml(), post)


@pytest.mark.parametrize("name", TABLES)
def test_no_table_has_a_mean_that_does_not_exist(flat: Fit, name: str) -> None:
    """NaN where it is missing, and a number where it is not."""
    make, rows = TABLES[name]
    with unchecked():
        table = pd.DataFrame(make(flat))
    without = np.asarray(rows(table), bool)
    columns = list(table.columns) if name == "vcov" else sorted(MOMENTS & {*table})
    found = table[columns].to_numpy(float)
    assert np.isnan(found[without]).all()
    if name != "vcov":
        assert np.isfinite(found[~without]).all()
    others = [c for c in ("median", "lower", "upper") if c in table]
    assert np.isfinite(table[others].to_numpy(float)).all()


def test_every_table_of_the_posterior_is_walked(flat: Fit) -> None:
    """A method that takes `prob` gives intervals, so perhaps means: it is above."""
    methods = {
        name
        for name, method in inspect.getmembers(type(flat.posterior), callable)
        if not name.startswith("_")
        and {"prob", "kind"} & {*inspect.signature(method).parameters}
    }
    walked = " ".join(TABLES)
    alone = {"interval", "confint", "predict_draws", "residuals", "check"}
    assert sorted(m for m in methods - alone if m not in walked) == []
    assert flat.posterior.sigma == flat.posterior.draws("sigma").mean()


def test_the_population_is_not_fitted_by_what_has_no_mean(flat: Fit) -> None:
    """Marginal residuals are of it; conditional ones exist."""
    with unchecked():
        assert np.isnan(flat.posterior.residuals("marginal")).all()
        assert np.isfinite(flat.posterior.residuals()).all()
        assert np.isfinite(flat.posterior.fitted()).all()


def means(flat: Fit) -> Iterator[str]:
    """What the means of draws would print as, to four digits."""
    for label in ("Intercept", "1|classroom_sigma"):
        draws = flat.posterior.draws(label)
        for value in (draws.mean(), draws.std(ddof=1)):
            digits = max(3 - int(np.floor(np.log10(abs(value)))), 0)
            yield f"{value:.{digits}f}"
            yield f"{value:.{max(digits - 1, 0)}f}"


def check_texts(flat: Fit, texts: dict[str, str]) -> None:
    """None of them has a mean of these draws."""
    for name, text in texts.items():
        numbers = set(re.findall(r"(?<![\d.])\d+\.?\d*(?![\d.])", text))
        assert not numbers & {*means(flat)}, name


def test_no_text_has_one(flat: Fit) -> None:
    """The screen, the report, the cards, the reading."""
    with unchecked():
        page = report_html(flat)
        texts = {
            "screen": fit_text(flat),
            "report": re.sub(r"<style.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL),
            "card": flat._repr_html_(),
            "post": repr(flat.posterior) + flat.posterior._repr_html_(),
            "reading": " ".join(flat.reading()),
        }
    check_texts(flat, texts)
    assert "no such mean or SD" in texts["screen"]
    assert "Means that do not exist" in texts["report"]
    assert "The mean of 1|classroom_sigma is infinite" in texts["report"]


@pytest.mark.slow
def test_no_file_has_one(flat: Fit, tmp_path: Path) -> None:
    """The folder of results, and what opens it."""
    with unchecked(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        flat.save(tmp_path / "out")
        saved = lmm.load(tmp_path / "out")
        opened = saved.posterior.summary()
        tidy = (tmp_path / "out" / "tables.csv").read_text()
        check_texts(flat, {"saved": repr(saved), "tidy": tidy})
    assert np.isnan(opened.loc[labelled(opened), ["mean", "sd"]]).all(axis=None)
    found = json.loads((tmp_path / "out" / "summary.json").read_text())
    kept = json.dumps(found)
    assert "NaN" not in kept
    assert not set(re.findall(r"\d+\.\d+", kept)) & {*means(flat)}


def test_no_figure_marks_one(flat: Fit) -> None:
    """Marks of a forest and of posteriors are medians, or there are none."""
    with unchecked():
        figures = [
            lmm.plot_posterior(flat.posterior, labels=["1|classroom_sigma"]),
            lmm.plot_forest(flat.posterior, reml=flat.reml),
        ]
    draws = flat.posterior.draws("1|classroom_sigma")
    for figure in figures:
        drawn = getattr(figure, "viz", None)
        axes = figure.axes if drawn is None else drawn["figure"].item().axes
        for ax in axes:
            marks = [x for line in ax.lines for x in np.atleast_1d(line.get_xdata())]
            assert not np.isclose(marks, draws.mean(), rtol=1e-6).any()
            words = " ".join(text.get_text() for text in ax.texts)
            assert "mean" not in words
