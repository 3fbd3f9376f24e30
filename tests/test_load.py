"""Folders of results: written whole, over no one else's, and opened again."""

import importlib
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from cli_cases import FORMULA, INTERCEPTS, run
from report_cases import Fits
from sampling import unchecked

import bayeslmm as lmm
from bayeslmm.design.rowless import rows_checksum
from bayeslmm.errors import InputFileError, NotSavedError, OutputError
from bayeslmm.reporting.manifest import FORMAT
from bayeslmm.reporting.save import save_fit
from bayeslmm.reporting.tidy import COLUMNS, read_tables

# What a report says is tested beside it; here it is one more file of a folder.
pytestmark = pytest.mark.usefixtures("plain_figures", "plain_report")


@pytest.fixture(scope="module")
def fit(gaps):
    """Both fits of simulated classrooms."""
    with unchecked():
        post = gaps.sample(draws=100, chains=2, seed=5)
    return lmm.Fit(gaps, gaps.fit_reml(), post)


@pytest.fixture(scope="module")
def results(fit, tmp_path_factory):
    """The folder of that fit, not to be written to."""
    folder = tmp_path_factory.mktemp("saved") / "results"
    save = importlib.import_module("bayeslmm.reporting.save")
    with pytest.MonkeyPatch.context() as patch, unchecked():
        patch.setattr(save, "save_figures", lambda *_, **__: [])
        patch.setattr(save, "write_report", lambda _, path, *__: path.touch())
        fit.save(folder)
    return folder


@pytest.fixture
def copied(results, tmp_path):
    """A copy of the folder, to be damaged."""
    return Path(shutil.copytree(results, tmp_path / "results"))


def edit(folder: Path, change) -> None:
    """Change the manifest of a folder."""
    content = json.loads((folder / "summary.json").read_text())
    change(content)
    (folder / "summary.json").write_text(json.dumps(content))


# --- opened again ---------------------------------------------------------------------


def test_a_folder_is_the_fit(fit, results):
    saved = lmm.load(results)
    same = pd.testing.assert_frame_equal
    same(saved.compare(), fit.compare())
    same(saved.reml.ranef(), fit.reml.ranef())
    same(saved.posterior.summary(0.9, "hdi"), fit.posterior.summary(0.9, "hdi"))
    assert saved.reading() == fit.reading()
    assert rows_checksum(saved.model.recipe) == rows_checksum(fit.model.recipe)
    assert repr(saved).startswith(repr(fit))
    assert f"read from {results}" in " ".join(repr(saved).split()).replace("- ", "-")
    assert re.match(r"20\d\d-\d\d-\d\dT", saved.saved.written)


def test_reml_alone_is_opened_too(gaps, csv):
    run("fit", csv, INTERCEPTS, "--reml-only", "--out", "results")
    saved = lmm.load("results")
    assert saved.posterior is None
    assert saved.model.design.account.origin.file == "pupils.csv"
    with pytest.raises(NotSavedError, match="no draws here"):
        saved.compare()


def test_the_tidy_table_has_every_number_with_its_unit(fit, results):
    tidy = read_tables(results / "tables.csv")
    assert tuple(tidy.columns) == COLUMNS
    at = tidy.set_index(["table", "label", "statistic"])
    assert at.loc[("reml", "edu", "se"), "value"] == (fit.reml.summary()["se"]["edu"])
    assert at.loc[("posterior", "sigma", "median"), "unit"] == "score"
    assert at.loc[("reml", "edu", "estimate"), "unit"] == "score per unit of edu"
    slope = at.loc[("posterior", "edu|classroom_sigma", "sd"), "unit"]
    assert slope == "score per unit of edu"
    assert at.loc[("posterior", "edu", "rhat"), "unit"] == ""
    levels = tidy[(tidy["table"] == "groups") & (tidy["statistic"] == "levels")]
    assert levels["value"].tolist() == [12.0]
    keys = [*COLUMNS[:7]]
    assert not tidy.duplicated(keys).any()


def test_names_that_csv_readers_take_for_missing_stay(tmp_path):
    data = lmm.simulate_classrooms(4, 8, seed=4).data
    names = {"c0": "NA", "c1": "null", "c2": "", "c3": "1e5"}
    old = sorted(set(data["classroom"].astype(str)))
    new = dict(zip(old, names.values(), strict=True))
    data["classroom"] = data["classroom"].astype(str).map(new)
    model = lmm.Model("score ~ edu + (1 | classroom)", data)

    reml = model.fit_reml()
    save_fit(Fits(model, reml), tmp_path / "results")
    saved = lmm.load(tmp_path / "results").reml.ranef()
    assert saved["level"].tolist() == reml.ranef()["level"].tolist()


# --- folders that cannot be opened ----------------------------------------------------


def test_a_folder_of_the_future_is_refused(copied):
    edit(copied, lambda content: content.update(format=FORMAT + 1))
    with pytest.raises(InputFileError, match=rf"format {FORMAT + 1}.*Upgrade: pip"):
        lmm.load(copied)


def test_a_folder_without_the_model_says_what_can_be_read(copied):
    edit(copied, lambda content: content.update(format=1))
    with pytest.raises(InputFileError, match=r"before folders held the model.*netcdf"):
        lmm.load(copied)


def test_a_folder_from_before_is_refused(copied):
    def earlier(content):
        for key in ("program", "format", "files"):
            del content[key]

    edit(copied, earlier)
    with pytest.raises(InputFileError, match="before results could be opened again"):
        lmm.load(copied)


@pytest.mark.parametrize("name", ["fit.lmm", "posterior.nc"])
def test_files_that_are_missing_or_damaged_are_named(copied, name):
    path = copied / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputFileError, match=rf"{name}' is not as it was written"):
        lmm.load(copied)
    path.unlink()
    with pytest.raises(InputFileError, match=f"lacks {name}.*Copy the folder whole"):
        lmm.load(copied)


def test_a_file_with_the_draws_of_another_fit_is_refused(copied):
    (copied / "posterior.nc").write_bytes(b"others")
    with pytest.raises(InputFileError, match=r"does not have the draws of fit\.lmm"):
        lmm.load(copied / "fit.lmm")
    (copied / "posterior.nc").unlink()
    with pytest.raises(InputFileError, match="lacks posterior"):
        lmm.load(copied / "fit.lmm")


DAMAGE = {
    "cut": (lambda text: text[:200], "cannot be read as JSON"),
    "list": (lambda _: "[]", "was not written by bayeslmm"),
    "foreign": (lambda _: '{"program": "spss"}', "was not written by bayeslmm"),
    "bare": (
        lambda _: '{"program": "bayeslmm", "format": 2, "files": {}}',
        "does not list its files",
    ),
    "no files": (
        lambda _: '{"program": "bayeslmm", "format": 2}',
        "does not list its files",
    ),
    "outside": (
        lambda _: '{"program": "bayeslmm", "format": 2, "files": {"../x": {}}}',
        "does not list its files",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_or_foreign_manifest_is_one_message(copied, kind):
    change, words = DAMAGE[kind]
    path = copied / "summary.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(InputFileError, match=words):
        lmm.load(copied)


def test_what_is_no_folder_of_results_is_said(results, tmp_path, csv):
    with pytest.raises(InputFileError, match="Did you mean 'results'"):
        lmm.load(results.parent / "result")
    with pytest.raises(InputFileError, match="no file that bayeslmm wrote"):
        lmm.load(csv)
    with pytest.raises(InputFileError, match=r"has no summary\.json"):
        lmm.load(tmp_path)


# --- folders that are written to ------------------------------------------------------

OURS = ("--reml-only", "--out", "results")


def test_a_folder_of_another_program_is_not_written_to(csv):
    Path("results").mkdir()
    Path("results/report.html").write_text("mine")
    Path("results/notes.txt").write_text("mine")
    code, out, err = run("fit", csv, INTERCEPTS, *OURS)
    assert (code, out) == (3, "")  # before any work
    assert "'results' holds notes.txt and report.html, which bayeslmm did not" in err
    assert "--force" in err
    assert Path("results/report.html").read_text() == "mine"
    code, out, _ = run("fit", csv, INTERCEPTS, *OURS, "--force")
    assert code == 0
    assert Path("results/report.html").read_text() != "mine"
    assert Path("results/notes.txt").read_text() == "mine"


def test_a_summary_of_another_program_makes_no_folder_ours(csv):
    Path("results").mkdir()
    Path("results/summary.json").write_text('{"accuracy": 1}')
    code, _, err = run("fit", csv, INTERCEPTS, *OURS)
    assert code == 3
    assert "was not written by bayeslmm" in err


def test_an_own_folder_is_replaced_and_that_is_said(csv):
    run("fit", csv, INTERCEPTS, *OURS)
    _, out, _ = run("fit", csv, FORMULA, *OURS)
    words = " ".join(out.split())
    assert f"replaced the results that were there: {INTERCEPTS}, written 20" in words
    assert lmm.load("results").formula == FORMULA


@pytest.mark.usefixtures("user_speed")
def test_saving_from_python_does_the_same(fit, folder):
    said = fit.save("results")
    assert said[0].startswith("wrote summary.json, fit.lmm, tables.csv, posterior.nc")
    assert len(said) == 1
    assert fit.reml.save("results")[1].startswith(
        "replaced the results that were there"
    )
    (folder / "other").mkdir()
    (folder / "other" / "a.txt").touch()
    with pytest.raises(OutputError, match=r"holds a\.txt.*force=True"):
        fit.reml.save("other")
    fit.reml.save("other", force=True)
    assert (folder / "other" / "a.txt").exists()
    assert lmm.load("other").formula == FORMULA


@pytest.mark.usefixtures("user_speed")
def test_one_fit_alone_is_a_folder_too(fit, folder):
    fit.posterior.save("post")
    fit.reml.save("reml")
    post, reml = lmm.load("post"), lmm.load("reml")
    assert post.reml is None
    assert reml.posterior is None
    same = pd.testing.assert_frame_equal
    same(post.posterior.summary(), fit.posterior.summary())
    same(post.posterior.ranef(), fit.posterior.ranef())
    same(reml.reml.summary(), fit.reml.summary())
    assert not (folder / "reml" / "posterior.nc").exists()


@pytest.mark.usefixtures("user_speed")
def test_the_command_and_save_write_the_same_files(csv):
    few = ("--draws", 50, "--chains", 2, "--seed", 3, "--out", "results")
    run("fit", csv, INTERCEPTS, *few)
    fit = lmm.fit(INTERCEPTS, pd.read_csv(csv), draws=50, chains=2, seed=3)
    fit.save("saved")
    names = [
        sorted(p.relative_to(f).as_posix() for p in Path(f).rglob("*"))
        for f in ("results", "saved")
    ]
    assert names[0] == names[1]
    one, two = Path("results/tables.csv"), Path("saved/tables.csv")
    assert one.read_bytes() == two.read_bytes()
    one, two = lmm.load("results").model.recipe, lmm.load("saved").model.recipe
    assert rows_checksum(one) == rows_checksum(two)
