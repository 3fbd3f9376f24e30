"""Arguments of figures, files and simulations: a wrong one is said in a sentence."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sampling import sample_unchecked, unchecked

import bayeslmm as lmm
from bayeslmm import BayesLMMError, Fit, FormulaError, ModelError

FIGURES_OF_DRAWS = (
    lmm.plot_trace,
    lmm.plot_posterior,
    lmm.plot_forest,
    lmm.plot_rank,
)
NO_NAMES = (True, -1, float("nan"), 1 + 1j, [1], [None], [], (), {}, np.arange(2))
NO_TEXT = (True, -1, float("nan"), [1], ["edu"], {}, np.arange(2), b"edu")
NO_PATHS = (None, True, 3, [1], {}, b"x", "", "a\0b", "\ud800", np.arange(2))


@pytest.fixture(scope="module")
def fits() -> Any:
    """A model of two effects with both of its fits."""
    pupils = lmm.simulate_classrooms(6, 8, seed=1).data
    model = lmm.Model("score ~ edu + (edu | classroom)", pupils)
    reml = model.fit_reml()
    return reml, sample_unchecked(model, seed=1, draws=50, chains=2)


def said(call: Callable[[], object], words: str) -> None:
    """One of our errors, with these words."""
    with unchecked(), pytest.raises(BayesLMMError, match=words):
        call()


@pytest.mark.parametrize("name", sorted(n for n in lmm.__all__ if n[:5] == "plot_"))
def test_unknown_options_are_told_with_those_there_are(fits: Any, name: str) -> None:
    """`labls` offers `labels` or what is nearest, and every option is listed."""
    plot: Any = getattr(lmm, name)
    first, second = (
        fits if "reml" in list(signature(plot).parameters)[:1] else fits[::-1]
    )
    options = ", ".join(signature(plot).parameters)
    said(
        lambda: plot(first, foo=1),
        f"{name} has no option 'foo'. {name} takes {options}",
    )
    option = list(signature(plot).parameters)[-1]
    said(
        lambda: plot(first, **{option + "s": 1}), f"{option}s'. Did you mean '{option}'"
    )
    said(lambda: plot(first, second, 3, 4), f"{name} takes .* without a name, and was")


def test_figures_of_both_fits_take_the_options_of_their_functions(fits: Any) -> None:
    """`fit.plot_fits(levels=2)` draws two; what is no option is told."""
    reml, post = fits
    both = Fit(reml.model, reml, post)
    assert sum(bool(ax.get_title()) for ax in both.plot_fits(levels=2).axes) == 2
    said(lambda: both.plot_shrinkage(effect="edu"), "Did you mean 'effects'")
    said(lambda: both.plot_ranef(probe=0.5), "Did you mean 'prob'")


@pytest.mark.parametrize("labels", NO_NAMES, ids=str)
def test_labels_are_names(fits: Any, labels: Any) -> None:
    for draw in FIGURES_OF_DRAWS:
        said(lambda draw=draw: draw(fits[1], labels=labels), "labels must be a list of")


def test_one_label_is_a_list_of_one(fits: Any) -> None:
    """`labels="edu"` was read letter by letter."""
    assert len(lmm.plot_forest(fits[1], labels="edu").axes[0].get_yticks()) == 1
    said(lambda: lmm.plot_trace(fits[1], labels="edi"), "Did you mean 'edu'")


@pytest.mark.parametrize("value", ["x", 1, True, float("nan"), {}, np.arange(2)])
def test_what_is_marked_is_a_fit_of_reml(fits: Any, value: Any) -> None:
    for draw in FIGURES_OF_DRAWS[:3]:
        said(lambda draw=draw: draw(fits[1], value), "reml must be what")
    said(lambda: lmm.plot_fits(fits[0], value), "post must be what")
    said(lambda: lmm.plot_shrinkage(fits[0], value), "post must be what")


def test_fits_of_another_model_and_other_objects_are_not_drawn(fits: Any) -> None:
    reml, post = fits
    pupils = lmm.simulate_classrooms(6, 8, seed=1).data
    other = lmm.Model("score ~ 1 + (1 | classroom)", pupils)
    both = Fit(reml.model, reml, post)
    for draw in FIGURES_OF_DRAWS[:3]:
        said(lambda draw=draw: draw(post, other.fit_reml()), "not of the same model")
        said(lambda draw=draw: draw(both), "give fit.reml or fit.posterior")
    said(lambda: lmm.compare(reml.model, post), "reml must be what")


@pytest.mark.parametrize("prob", [None, "0.9", True, 0, 1, -1, float("nan"), [0.9]])
def test_the_density_checks_its_interval(fits: Any, prob: Any) -> None:
    said(lambda: lmm.plot_posterior(fits[1], prob=prob), "prob must lie between")
    said(lambda: lmm.plot_posterior(fits[1], kind=prob), "Unknown kind of interval")


@pytest.mark.parametrize("value", NO_TEXT, ids=str)
def test_terms_predictors_and_effects_are_text(fits: Any, value: Any) -> None:
    reml, post = fits
    said(lambda: lmm.plot_fits(reml, term=value), "term must be text")
    said(lambda: lmm.plot_shrinkage(reml, term=value), "term must be text")
    said(lambda: lmm.plot_ranef(post, term=value), "term must be text")
    said(lambda: lmm.plot_fits(reml, predictor=value), "predictor must be text")
    said(lambda: lmm.plot_pooling(reml, term=value), "term must be text")
    said(lambda: lmm.plot_shrinkage_path(post, term=value), "term must be text")
    if not isinstance(value, list) or value != ["edu"]:
        for draw in (lmm.plot_ranef, lmm.plot_shrinkage):
            said(lambda draw=draw: draw(reml, effects=value), "effects must be a list")


def test_effects_are_known_and_named_once(fits: Any) -> None:
    for draw in (lmm.plot_ranef, lmm.plot_shrinkage):
        said(lambda draw=draw: draw(fits[0], effects=["edi"]), "Did you mean 'edu'")
        said(lambda draw=draw: draw(fits[0], effects=["edu"] * 2), "one effect twice")
    three = ["Intercept", "edu", "edu2"]
    said(lambda: lmm.plot_shrinkage(fits[0], effects=three), "'edu2' is not among")
    assert lmm.plot_shrinkage(fits[0], effects="edu").axes


@pytest.mark.parametrize("levels", [True, 0, 1.5, float("nan"), "c00", [], {}, ["x"]])
def test_levels_are_a_number_all_or_labels(fits: Any, levels: Any) -> None:
    for draw in (
        lmm.plot_fits,
        lmm.plot_shrinkage,
        lmm.plot_ranef,
        lmm.plot_pooling,
        lmm.plot_shrinkage_path,
    ):
        said(lambda draw=draw: draw(fits[0], levels=levels), "level")


@pytest.mark.parametrize("ax", ["x", True, 1, [1], {}, np.arange(2)])
def test_axes_are_axes_of_a_figure(fits: Any, ax: Any) -> None:
    """`plt.subplots(1, 2)` gives an array of them."""
    from matplotlib.figure import Figure

    said(lambda: lmm.plot_shrinkage(fits[0], ax=ax), "ax must be the axes of a")
    removed = Figure().subplots()
    removed.remove()
    said(lambda: lmm.plot_shrinkage(fits[0], ax=removed), "ax must be the axes of a")
    said(lambda: lmm.plot_shrinkage(fits[0], at=ax), "at")


@pytest.mark.parametrize("path", NO_PATHS, ids=repr)
def test_paths_are_paths(fits: Any, path: Any) -> None:
    """A folder of None ended in a TypeError of pathlib."""
    reml, post = fits
    both = Fit(reml.model, reml, post)
    said(lambda: lmm.load(path), "path")
    said(lambda: both.save(path), "path")
    said(lambda: lmm.read(path), "path")
    said(lambda: lmm.report(both, path), "path")
    said(lambda: post.save(path), "path")
    said(lambda: lmm.report(path, "report.html"), "what bayeslmm.fit gives")


@pytest.mark.parametrize("value", [True, 1 + 1j, {}, [1], np.arange(2), "\ud800"])
def test_options_of_reading_a_file(tmp_path: Path, value: Any) -> None:
    """An array as `sep` ended in numpy's "truth value ... is ambiguous"."""
    file = tmp_path / "rows.csv"
    file.write_text("a,b\n1,2\n")
    for option in ("sep", "decimal", "encoding"):
        said(lambda option=option: lmm.read(file, **{option: value}), option)
    said(lambda: lmm.load_data(value), "There is no data set")


def test_draws_are_asked_for_with_true(fits: Any) -> None:
    for value in (1, "yes", np.arange(2)):
        call = lambda value=value: fits[1].ranef(levels=["c00"], draws=value)  # noqa: E731
        said(call, "draws must be True or False")


@pytest.mark.parametrize("value", ["x", None, 1.5, [1], {}, np.arange(2), 1 + 1j])
def test_parts_of_a_scan_are_what_they_are(fits: Any, value: Any) -> None:
    pupils, text = lmm.simulate_classrooms(3, 4, seed=1).data, "score ~ (1 | classroom)"
    scan = lmm.scan_rows(text, pupils)
    said(lambda: lmm.sum_partition(value, pupils), "scan must be what")
    said(lambda: lmm.Model.from_tally(value, value), "scan must be what")
    said(lambda: lmm.Model.from_tally(scan, value), "tally must be what")
    said(lambda: lmm.scan_rows(text, pupils, progress=value), "progress must be")
    if value is not None:
        said(lambda: lmm.scan_rows(text, pupils, threads=value), "threads must be a")
    if not isinstance(value, str):
        with unchecked(), pytest.raises(FormulaError, match="A formula is a string"):
            lmm.scan_rows(value, pupils)


@pytest.mark.parametrize("value", ["x", True, 1 + 1j, {}, [[1], [1, 2]], ["a"]])
@pytest.mark.parametrize("name", ["beta", "factors", "sigma", "effects"])
def test_parameters_of_simulations_are_numbers(
    fits: Any, name: str, value: Any
) -> None:
    """A list as `beta` ended in an AttributeError, though its numbers were right."""
    good = {"beta": [1.0, 2.0], "factors": [np.eye(2)], "sigma": 1}
    model = fits[0].model
    with unchecked():
        assert lmm.simulate(model, **good).shape == (1, 48)
    said(lambda: lmm.simulate(model, **{**good, name: value}), name)
    said(lambda: lmm.simulate(model, **{**good, "factors": [np.eye(2)] * 2}), "1 here")
    said(lambda: lmm.sd_corr_to_factor(value), "sd must be a list of numbers")
    said(lambda: lmm.sd_corr_to_factor([1.0, 1.0], value), "corr must be a matrix")


def test_a_covariance_has_as_many_sds_as_correlations() -> None:
    said(lambda: lmm.sd_corr_to_factor([1.0], np.eye(2)), "1 SDs need correlations")
    said(lambda: lmm.sd_corr_to_factor([]), "0 SDs need")
    nan = np.full((1, 1), np.nan)
    said(lambda: lmm.sd_corr_to_factor([1.0], nan), "are no covariance")


@pytest.mark.parametrize("n", ["x", None, True, 1.5, 0, -1, 10**12, [1]])
def test_classrooms_are_counted(n: Any) -> None:
    """A million million classrooms ended the process."""
    for counts in ((n, 3), (3, n)):
        call = lambda counts=counts: lmm.simulate_classrooms(*counts, seed=1)  # noqa: E731
        said(call, "cannot be simulated: both must be whole numbers")


def test_what_is_right_is_drawn(fits: Any) -> None:
    for draw in FIGURES_OF_DRAWS[:3]:
        draw(fits[1], fits[0], labels=("edu", "sigma"))
    with pytest.raises(ModelError, match="no level"):
        lmm.plot_ranef(fits[1], levels=["c77"])
