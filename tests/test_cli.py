"""The command line: what it prints and writes, and what Ctrl-C leaves."""

import gc
import hashlib
import importlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_cases import FORMULA, INTERCEPTS, run, run_unchecked
from typer.testing import CliRunner

from bayeslmm.api.model import Model
from bayeslmm.cli import app
from bayeslmm.cli.garbage import collect_again
from bayeslmm.cli.interrupts import INTERRUPTED
from bayeslmm.design import source
from bayeslmm.graph.sampling import complete_chains

# --- the whole job --------------------------------------------------------------------


def test_fit_prints_and_writes_everything(csv):
    sampling = ("--draws", 200, "--chains", 2, "--seed", 7)
    code, out, err = run_unchecked("fit", csv, FORMULA, *sampling, "--out", "results")
    assert (code, err) == (0, "")
    for words in (
        FORMULA,
        "60 rows, all used",
        "classroom: 6 levels, 10 rows each",
        "REML criterion",
        "95% Wald",
        "95% ETI",
        "REML beside the posterior, in units of score",
        "Reading",
        "Diagnosis",
    ):
        assert words in out
    results = Path("results")
    summary = json.loads((results / "summary.json").read_text())
    expected = hashlib.sha256(csv.read_bytes()).hexdigest()
    assert summary["data"]["path"] == "pupils.csv"
    assert summary["data"]["sha256"] == expected
    assert summary["seed"] == 7
    reml = Model(FORMULA, pd.read_csv(csv)).fit_reml()
    assert summary["reml"]["criterion"] == pytest.approx(reml.criterion, abs=1e-8)
    assert f"{reml.criterion:.3f}" in out
    assert summary["posterior"]["draws"] == 200
    pictures = sorted((results / "figures").iterdir())
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in pictures)
    assert [path.name for path in pictures] == [
        "check.png",
        "fits.png",
        "forest.png",
        "posterior.png",
        "rank.png",
        "shrinkage_classroom.png",
        "trace.png",
    ]
    page = (results / "report.html").read_text(encoding="utf-8")
    for words in (FORMULA, "data: pupils.csv", expected, "seed: 7", summary["written"]):
        assert words in page
    import arviz as az

    stored = az.from_netcdf(results / "posterior.nc")
    mean = float(stored["posterior"]["edu"].mean())
    assert summary["posterior"]["fixed_effects"]["edu"]["mean"] == pytest.approx(mean)


def test_the_same_seed_prints_the_same(csv):
    few = ("--draws", 20, "--tune", 50, "--chains", 1)
    arguments = ("fit", csv, INTERCEPTS, *few, "--seed")
    assert (
        run_unchecked(*arguments, 3)[1]
        == run_unchecked(*arguments, 3)[1]
        != run_unchecked(*arguments, 4)[1]
    )


def test_without_a_seed_the_one_used_is_printed(csv):
    arguments = ("fit", csv, INTERCEPTS, "--draws", 20, "--tune", 50, "--chains", 1)
    _, out, _ = run_unchecked(*arguments)
    seed = re.search(r"--seed (\d+) repeats these draws", out)[1]
    _, again, _ = run_unchecked(*arguments, "--seed", seed)
    assert re.findall(r"sigma .*", again)[1] == re.findall(r"sigma .*", out)[1]


@pytest.mark.usefixtures("plain_figures")
def test_reml_only_has_no_posterior(csv):
    options = ("--reml-only", "--out", "results")
    code, out, _ = run_unchecked("fit", csv, FORMULA, *options)
    assert code == 0
    assert "Posterior" not in out
    assert not Path("results/posterior.nc").exists()
    summary = json.loads(Path("results/summary.json").read_text())
    assert (summary["posterior"], summary["seed"]) == (None, None)
    assert summary["reml"]["status"]["converged"] is True


def test_dropped_rows_are_printed(csv):
    data = pd.read_csv(csv)
    data.loc[:4, "score"] = np.nan
    data.to_csv("holes.csv", index=False)
    _, out, _ = run("fit", "holes.csv", FORMULA, "--reml-only")
    assert "55 of 60 rows used; 5 dropped for missing values in score (5)" in out


def test_a_grouping_column_of_numbers_is_a_factor(csv):
    _, by_number, _ = run("fit", csv, "score ~ edu + (1 | number)", "--reml-only")
    _, by_name, _ = run("fit", csv, INTERCEPTS, "--reml-only")
    assert "number: 6 levels" in by_number
    assert (
        re.search(r"criterion (\S+)", by_number)[1]
        == (re.search(r"criterion (\S+)", by_name)[1])
    )


def test_weights_are_a_column(csv):
    _, out, _ = run("fit", csv, INTERCEPTS, "--reml-only", "--weights", "number")
    data = pd.read_csv(csv)
    expected = Model(INTERCEPTS, data, weights="number").fit_reml().criterion
    assert f"REML criterion {expected:.3f}" in out


@pytest.mark.slow
def test_other_families_have_no_reml(csv):
    formula = "passed ~ edu + (1 | classroom)"
    few = ("--draws", 100, "--tune", 200, "--chains", 2, "--seed", 1)
    options = ("--family", "bernoulli", *few, "--out", "results")
    code, out, _ = run_unchecked("fit", csv, formula, *options)
    assert code == 0
    summary = json.loads(Path("results/summary.json").read_text())
    assert summary["reml"] is None
    assert set(summary["posterior"]["fixed_effects"]) == {"Intercept", "edu"}
    assert len(list(Path("results/figures").iterdir())) == 4
    assert "REML" not in out
    assert "Posterior" in out


@pytest.mark.usefixtures("plain_figures")
def test_demo_shows_the_true_values_beside_both_fits(folder):
    code, out, _ = run_unchecked(
        "demo", "--draws", 50, "--chains", 2, "--out", "results"
    )
    assert code == 0
    table = out[out.index("The values that made these data") :]
    assert re.search(r"edu\|classroom_sigma\s+0\.150+\s", table)
    assert (folder / "results" / "report.html").exists()


def test_demo_fits_the_pupils_of_the_chapter():
    few = ("--draws", 50, "--chains", 2)
    code, out, _ = run_unchecked("demo", "--data", "chapter", *few)
    assert code == 0
    assert "The tutorial's classrooms: scores of 60 pupils in 3 classes" in out
    assert "pystatsml (CC-BY 4.0)" in out
    assert "The values that made these data" not in out
    assert re.search(r"edu +0\.127", out)
    code, _, err = run("demo", "--data", "chapters")
    assert code == 2
    assert "no demonstration 'chapters'. Did you mean 'chapter'" in err


def test_explain_says_what_a_formula_means_without_fitting(csv, monkeypatch):
    monkeypatch.setattr("bayeslmm.reml.estimate.minimise", None)
    code, out, _ = run("explain", csv, FORMULA)
    assert code == 0
    assert "edu        change of mean score per unit of edu" in out


def test_explain_shows_matrices_of_a_few_rows(csv):
    code, out, _ = run("explain", csv, FORMULA, "--matrices")
    assert code == 0
    assert "y and X of 6 rows" in out
    assert "V = Z D Z' + R, covariance of y" in out


def test_a_terminal_without_unicode_gets_question_marks(csv):
    runner = CliRunner(charset="ascii", env={"COLUMNS": "100"})
    data = pd.read_csv(csv).rename(columns={"edu": "\u00e9du"})
    data.to_csv("accent.csv", index=False)
    formula = "score ~ \u00e9du + (1 | classroom)"
    done = runner.invoke(app, ["fit", "accent.csv", formula, "--reml-only"])
    assert done.exit_code == 0, done.exception
    assert "score ~ ?du + (1 | classroom)" in done.stdout


def test_help_teaches_and_version_is_printed(folder):
    code, out, _ = run("fit", "--help")
    assert code == 0
    assert 'bayeslmm fit pupils.csv "score ~ edu + (1 | classroom)"' in out
    assert "(x || g): not correlated" in out
    assert run("--version")[1].startswith("bayeslmm 0.")
    assert "demo" in run("--help")[1]


# --- Ctrl-C ---------------------------------------------------------------------------


@pytest.mark.usefixtures("plain_figures")
def test_an_interrupted_run_gives_partial_results_and_says_so(csv, monkeypatch):
    sample = Model.sample

    def stopped(model, **options):
        post = sample(model, **options)
        return replace(post, status=replace(post.status, partial=True))

    monkeypatch.setattr(Model, "sample", stopped)
    few = ("--draws", 50, "--tune", 50, "--chains", 2, "--seed", 1)
    code, out, _ = run_unchecked("fit", csv, INTERCEPTS, *few, "--out", "results")
    assert code == INTERRUPTED == 130
    assert "Interrupted: these are partial results." in out
    assert "The posterior is partial" in out
    assert json.loads(Path("results/summary.json").read_text())["posterior"]["partial"]
    assert 'class="warning"' in Path("results/report.html").read_text(encoding="utf-8")


PHASES = {
    "bayeslmm.cli.models:make_model": "while reading pupils.csv; nothing was written",
    "bayeslmm.reml.estimate:fit_reml": "while fitting by REML; nothing was written",
    "bayeslmm.posterior.sampling:laplace": "while sampling, after the fit by REML;",
    "bayeslmm.posterior.sampling:draw_posterior": "while sampling, after the fit",
    "bayeslmm.cli.run:print_diagnosis": "while summarising the draws; nothing",
    "bayeslmm.reporting.save:save_figures": "while writing to results; nothing was",
    "bayeslmm.reporting.save:move_files": "some files may be of this run",
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.usefixtures("plain_figures", "plain_report")
def test_an_interrupt_says_what_it_stopped_and_writes_nothing(csv, monkeypatch, phase):
    def stop(*_arguments, **_options):
        raise KeyboardInterrupt

    module, name = phase.split(":")
    monkeypatch.setattr(importlib.import_module(module), name, stop)
    options = ("--draws", 50, "--chains", 2, "--seed", 1, "--out", "results")
    code, _, err = run_unchecked("fit", csv, INTERCEPTS, *options)
    assert code == INTERRUPTED
    assert err.startswith("\nbayeslmm: interrupted while ")
    assert PHASES[phase] in err
    assert "Traceback" not in err
    assert not Path("results").exists()


@pytest.mark.usefixtures("plain_figures", "plain_report")
def test_an_interrupt_leaves_the_files_of_an_earlier_run_whole(csv, monkeypatch):
    options = ("--reml-only", "--out", "results")
    run("fit", csv, INTERCEPTS, *options)
    before = {p: p.read_bytes() for p in Path("results").rglob("*") if p.is_file()}

    def stop(*_arguments, **_options):
        raise KeyboardInterrupt

    save = importlib.import_module("bayeslmm.reporting.save")
    monkeypatch.setattr(save, "write_report", stop)
    assert run("fit", csv, "score ~ 1 + (1 | classroom)", *options)[0] == INTERRUPTED
    after = {p: p.read_bytes() for p in Path("results").rglob("*") if p.is_file()}
    assert after == before


def test_an_interrupt_while_the_sampler_tunes_is_one_too(csv, monkeypatch):
    """No chain has a draw: there is nothing partial to give."""

    def tuning(*_arguments, **_options):
        complete_chains(np.empty((4, 0, 3)), fewest=4)

    sampling = importlib.import_module("bayeslmm.posterior.sampling")
    monkeypatch.setattr(sampling, "run_nutpie", tuning)
    code, _, err = run("fit", csv, INTERCEPTS, "--out", "results")
    assert code == INTERRUPTED
    assert "interrupted before a chain had 4 draws after tuning" in err
    assert "Interrupted: nothing was written." in err


def test_a_demo_that_is_interrupted_ends_as_such(folder, monkeypatch):
    monkeypatch.setattr("bayeslmm.cli.run.run", lambda *_, **__: True)
    assert run("demo")[0] == INTERRUPTED


def test_a_large_parquet_file_is_read_in_batches(folder, monkeypatch, pupils):
    pupils.to_parquet("large.parquet")
    whole = run("fit", "large.parquet", INTERCEPTS, "--reml-only")
    monkeypatch.setattr(source, "LARGE", 0)
    assert run("fit", "large.parquet", INTERCEPTS, "--reml-only") == whole
    assert whole[0] == 0


def test_garbage_is_collected_again_without_what_was_there_before():
    """The way in from a shell turns the collector off while libraries are loaded."""
    before = gc.get_freeze_count()  # Python 3.12 has some of its own
    collect_again()
    assert gc.get_freeze_count() == before  # it was on
    gc.disable()
    try:
        collect_again()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()
        gc.enable()
