"""A saved fit is the fit without its rows: every verb, every shape, every damage."""

import hashlib
import inspect
import io
import json
import math
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st
from sampling import unchecked

import bayeslmm as lmm
from bayeslmm.archive.codec import Reader, Writer, form_of
from bayeslmm.archive.file import DIGEST, FORMAT, read_file
from bayeslmm.archive.forms import FORMS
from bayeslmm.archive.model import model_of_state, model_state
from bayeslmm.errors import DataError, InputFileError, OutputError
from bayeslmm.formula.nodes import Name
from bayeslmm.priors import Prior
from bayeslmm.spec import ModelSpec

EXACT = 1e-10
REFERENCE = Path(__file__).with_name("reference")
# What cannot be done without the rows, and so says that they are not there.
NEEDS_ROWS = {
    "RemlFit": {
        *("check", "cooks_distance", "fitted", "hatvalues", "influence", "matrices"),
        *("predict", "resid", "residual_batches", "residuals", "simulate"),
    },
    "Posterior": {
        *("bayesian_r2", "check", "compute_log_likelihood", "fitted", "loo"),
        *(
            "predict",
            "predict_draws",
            "resid",
            "residual_batches",
            "residuals",
            "simulate",
        ),
    },
}


def save_and_load(fit: Any, folder: Path) -> lmm.Fit:
    """A fit through one file."""
    fit.save(folder / "fit.lmm")
    return lmm.load(folder / "fit.lmm")


@pytest.fixture(scope="module")
def fit(gaps: lmm.Model) -> lmm.Fit:
    """Both fits of simulated classrooms."""
    with unchecked():
        post = gaps.sample(draws=100, chains=2, seed=5, progress=False)
        return lmm.Fit(gaps, gaps.fit_reml(), post)


@pytest.fixture(scope="module")
def file(fit: lmm.Fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of that fit, not to be written to."""
    path = tmp_path_factory.mktemp("archive") / "fit.lmm"
    fit.save(path)
    return path


@pytest.fixture(scope="module")
def loaded(file: Path) -> lmm.Fit:
    """What that file gives."""
    return lmm.load(file)


# --- every verb -----------------------------------------------------------------------


def verbs(fit: object) -> Iterator[str]:
    """Public names of its class that can be asked for without an argument."""
    for name in dir(type(fit)):
        verb = getattr(type(fit), name)
        if name.startswith("_") or (is_dataclass(fit) and name in names_of(fit)):
            continue
        if not callable(verb):
            yield name
            continue
        given = list(inspect.signature(verb).parameters.values())[1:]
        kinds = (inspect.Parameter.VAR_KEYWORD,)
        if all(p.default is not p.empty or p.kind in kinds for p in given):
            yield name


def names_of(fit: Any) -> set[str]:
    """Names of the fields of a dataclass."""
    return {field.name for field in fields(fit)}


def asked(fit: object, name: str) -> object:
    """What a verb gives, with a seed if it draws."""
    verb = getattr(fit, name)
    if not callable(verb):
        return verb
    seeded = "seed" in inspect.signature(verb).parameters
    return verb(**({"seed": 1} if seeded else {}))


def assert_same(old: Any, new: Any) -> None:
    """Equal numbers, names and attributes, NaN where there was NaN."""
    assert type(old) is type(new)
    if callable(old) and hasattr(old, "__qualname__"):
        assert old.__qualname__ == new.__qualname__
    elif isinstance(old, ModelSpec):
        assert old.said == new.said
    elif isinstance(old, pd.DataFrame):
        pd.testing.assert_frame_equal(old, new, rtol=EXACT, atol=EXACT)
    elif isinstance(old, np.ndarray | float):
        np.testing.assert_allclose(new, old, rtol=EXACT, equal_nan=True)
    elif is_dataclass(old):
        for field in fields(old):
            if field.compare and not field.name.startswith("_"):
                assert_same(getattr(old, field.name), getattr(new, field.name))
    elif isinstance(old, tuple | list):
        assert len(old) == len(new)
        for a, b in zip(old, new, strict=True):
            assert_same(a, b)
    elif isinstance(old, dict):
        assert list(old) == list(new)
        assert_same(tuple(old.values()), tuple(new.values()))
    else:
        assert old == new


@pytest.mark.parametrize("side", ["reml", "posterior"])
def test_every_verb_gives_what_it_gave_or_says_that_rows_are_missing(
    fit: lmm.Fit, loaded: lmm.Fit, side: str
) -> None:
    old, new = getattr(fit, side), getattr(loaded, side)
    # profile: below; rank_levels of several effects has to be told which
    refused, skipped = set(), {"profile", "design", "save", "rank_levels"}
    with unchecked():
        for name in sorted({*verbs(old)} - skipped):
            if name in NEEDS_ROWS[type(old).__name__]:
                with pytest.raises(DataError, match="rows are not in a saved fit"):
                    asked(new, name)
                refused.add(name)
                continue
            then, now = asked(old, name), asked(new, name)
            if name == "prior_sensitivity":  # brms' scale is of the rows
                kept = then.loc[then["prior"] != "brms"]
                then = kept.reset_index(drop=True)
            assert_same(then, now)
    assert refused == NEEDS_ROWS[type(old).__name__]


@pytest.mark.usefixtures("user_speed")
def test_what_both_fits_say_is_what_it_was(fit: lmm.Fit, loaded: lmm.Fit) -> None:
    assert_same(fit.compare(), loaded.compare())
    assert_same(fit.effect_tests(), loaded.effect_tests())
    assert fit.reading() == loaded.reading()
    assert repr(loaded).startswith(repr(fit))
    assert loaded.saved is not None
    assert loaded.saved.versions["bayeslmm"] == lmm.__version__
    assert f"written {loaded.saved.written} by bayeslmm" in " ".join(
        repr(loaded).split()
    )
    xr.testing.assert_identical(fit.posterior.idata, loaded.posterior.idata)
    assert_same(fit.model.priors, loaded.model.priors)
    assert_same(fit.model.describe(), loaded.model.describe())
    assert fit.model.space == loaded.model.space
    old, new = fit.shrinkage(), loaded.shrinkage()  # no pooling is of sums there
    pd.testing.assert_frame_equal(old, new, rtol=1e-6)


def test_new_rows_are_predicted_and_what_has_arguments_agrees(
    fit: lmm.Fit, loaded: lmm.Fit
) -> None:
    new = pd.DataFrame({"edu": [0.0, 1.0], "classroom": ["c01", "c99"]})
    for old, other in ((fit.reml, loaded.reml), (fit.posterior, loaded.posterior)):
        kind: Any = {"kind": "response", "seed": 3, "level": "new"}
        assert_same(old.predict(new, **kind), other.predict(new, **kind))
        assert_same(old.contrast("edu = 0.3"), other.contrast("edu = 0.3"))
    ranks = [p.rank_levels(effect="edu") for p in (fit.posterior, loaded.posterior)]
    assert_same(*ranks)
    draws = [
        p.ranef(levels=["c01"], draws=True) for p in (fit.posterior, loaded.posterior)
    ]
    xr.testing.assert_identical(*draws)


def test_it_can_be_fitted_and_sampled_again_to_the_same_numbers(
    fit: lmm.Fit, loaded: lmm.Fit
) -> None:
    assert_same(fit.reml.summary(), loaded.model.fit_reml().summary())
    with unchecked():
        post = loaded.model.sample(draws=100, chains=2, seed=5, progress=False)
    assert_same(fit.posterior.summary(), post.summary())


def test_a_loaded_fit_is_saved_again_as_it_is(loaded: lmm.Fit, tmp_path: Path) -> None:
    again = save_and_load(loaded, tmp_path)
    assert_same(loaded.compare(), again.compare())
    assert again.model.design.unsaved == loaded.model.design.unsaved != ""


def test_profiles_that_were_found_are_kept(fit: lmm.Fit, tmp_path: Path) -> None:
    reml = fit.model.fit_reml()
    reml.profiled["sigma", 1.96] = (0.5, math.inf)
    kept = save_and_load(reml, tmp_path).reml
    assert kept.profiled == {("sigma", 1.96): (0.5, math.inf)}


def test_one_fit_alone_says_how_to_have_the_other(fit: lmm.Fit, tmp_path: Path) -> None:
    reml = save_and_load(fit.reml, tmp_path)
    assert reml.posterior is None
    assert repr(reml).startswith(reml.model.formula.text)
    with pytest.raises(lmm.NotSavedError, match=r"no draws here.*model\.sample\(\)"):
        reml.compare()
    post = save_and_load(fit.posterior, tmp_path)
    with pytest.raises(lmm.NotSavedError, match=r"no REML fit.*model\.fit_reml\(\)"):
        post.shrinkage()
    assert_same(fit.posterior.summary(), post.posterior.summary())


# --- every shape ----------------------------------------------------------------------

SHAPES = {
    "slopes": "y ~ x + (x | g)",
    "independent": "y ~ x + (x || g)",
    "nested": "y ~ x + (1 | g / h)",
    "crossed": "y ~ x + (1 | g) + (x | k)",
    "factors": "y ~ C(f, Sum) * x + (0 + f | g)",
    "splines": "y ~ bs(x, df=4) + poly(z, 2) + scale(z):x + (1 | g)",
    "structures": "y ~ x + cs(0 + f | g) + ar1(0 + f | k)",
    "offset": "log(y + 50) ~ x + offset(z) + (1 | g)",
    "aliased": "y ~ x + I(2 * x) + (1 | g)",
    "numbers": "y ~ x + (1 | h)",
    "no bars": "y ~ x * f",
}


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """240 rows of two crossed factors, one nested, text, numbers and weights."""
    rng = np.random.default_rng(7)
    n = 240
    g, k = np.arange(n) % 12, rng.permutation(n) % 7
    x, z = rng.normal(size=(2, n))
    effects = rng.normal(size=12)[g] + 0.5 * rng.normal(size=7)[k]
    return pd.DataFrame(
        {
            "y": 1.0 + 0.5 * x + effects + rng.normal(size=n),
            "x": x,
            "z": z,
            "w": rng.uniform(0.5, 2.0, n),
            "g": [f"g{i}" for i in g],
            "k": [f"k{i}" for i in k],
            "h": np.arange(n) % 24,
            "f": rng.choice(["a", "b", "c"], n),
            "t": np.arange(n) // 12,
            "n": rng.poisson(2.0, n),
        }
    )


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.DataWarning")
@pytest.mark.filterwarnings("ignore::bayeslmm.errors.FitWarning")
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_comes_back(rows: pd.DataFrame, shape: str, tmp_path: Path) -> None:
    with unchecked():
        bare = shape == "no bars"
        own: Any = {"residual": "varident(f)"} if bare else {"weights": "w"}
        model = lmm.Model(SHAPES[shape], rows, **own)
        reml = model.fit_reml()
        new = save_and_load(reml, tmp_path)
        assert_same(reml.summary(), new.reml.summary())
        assert_same(reml.varcorr(), new.reml.varcorr())
        assert_same(reml.anova(), new.reml.anova())
        level: Any = "population" if bare else "group"
        some = rows.head(5)
        assert_same(
            reml.predict(some, level=level), new.reml.predict(some, level=level)
        )
        assert_same(model.priors, new.model.priors)
        assert str(new.model.formula) == str(model.formula)
        again = lmm.load(tmp_path / "fit.lmm", data=rows).reml
        assert again is not None
        assert_same(reml.residuals(), again.residuals())


RESIDUALS = ("ar1(t | g)", "cs(g)", "varident(f) * ar1(t | g)")


@pytest.mark.parametrize("residual", RESIDUALS)
def test_structured_residuals_come_back(
    rows: pd.DataFrame, residual: str, tmp_path: Path
) -> None:
    with unchecked():
        bars = "(0 + x | g)" if residual == "cs(g)" else "(1 | g)"
        model = lmm.Model(f"y ~ x + {bars}", rows, residual=residual)
        reml = model.fit_reml()
        new = save_and_load(reml, tmp_path)
        assert_same(reml.summary(), new.reml.summary())
        kind: Any = {"kind": "response"}
        assert_same(
            reml.predict(rows.head(3), **kind), new.reml.predict(rows.head(3), **kind)
        )
        given = lmm.load(tmp_path / "fit.lmm", data=rows)
        assert_same(reml.residuals(), given.reml.residuals())


def test_a_singular_fit_comes_back_with_its_gaps(
    classrooms: pd.DataFrame, tmp_path: Path
) -> None:
    model = lmm.Model("score ~ edu + (edu | classroom)", classrooms)
    with pytest.warns(lmm.FitWarning, match="is estimated as -1"):
        reml = model.fit_reml()
    new = save_and_load(reml, tmp_path).reml
    assert_same(reml.varcorr(), new.varcorr())
    assert_same(reml.information, new.information)
    assert new.information.reasons == reml.information.reasons != {}


def test_rows_in_batches_are_as_far_as_they_were(
    rows: pd.DataFrame, tmp_path: Path
) -> None:
    rows.to_parquet(tmp_path / "rows.parquet")
    formula = "y ~ x + I(x^2) + (1 | g)"
    model = lmm.Model(formula, tmp_path / "rows.parquet", weights="w")
    reml = model.fit_reml()
    new = save_and_load(reml, tmp_path)
    assert_same(reml.summary(), new.reml.summary())
    assert (
        new.model.design.fixed_moments.sd() == model.design.fixed_moments.sd()
    ).all()
    assert str(new.model.plan) == str(model.plan)
    with pytest.raises(DataError, match=r"made by from_tally.*or loaded"):
        next(iter(new.reml.residual_batches()))
    with pytest.raises(DataError, match="no checksum to compare others with"):
        lmm.load(tmp_path / "fit.lmm", data=rows)


@pytest.mark.parametrize("family", ["poisson", "negativebinomial"])
def test_models_of_other_families_come_back(
    rows: pd.DataFrame, family: str, tmp_path: Path
) -> None:
    from bayeslmm.archive.fits import read_fit, write_fit

    model = lmm.Model("n ~ x * f + (1 | g)", rows, family=family)
    write_fit(tmp_path / "model.lmm", model, None, None)
    new = read_fit(tmp_path / "model.lmm", lmm.Model).model
    assert (new.family, new.priors) == (family, model.priors)
    old, encoded = model.recipe.encode(rows.head()), new.recipe.encode(rows.head())
    assert (old.X == encoded.X).all()
    with pytest.raises(lmm.ModelError, match="family 'gaussian', and this"):
        new.fit_reml()


def test_a_model_without_fits_is_shown_and_saved_alone(
    rows: pd.DataFrame, tmp_path: Path
) -> None:
    """It ended in an AssertionError, in print() too."""
    model = lmm.Model("y ~ x + (1 | g)", rows)
    fit = lmm.Fit(model, None, None)
    assert "(1 | g)" in repr(fit)
    for verb, place in ((fit.save, "results"), (fit.report, "page.html")):
        with pytest.raises(lmm.NotSavedError, match=r"neither a REML fit nor.*\.lmm"):
            verb(tmp_path / place)
    fit.save(tmp_path / "model.lmm")
    assert lmm.load(tmp_path / "model.lmm").reml is None
    assert [file.name for file in tmp_path.iterdir()] == ["model.lmm"]


@pytest.mark.slow
def test_a_posterior_of_another_family_comes_back(
    rows: pd.DataFrame, tmp_path: Path
) -> None:
    model = lmm.Model("n ~ x + (1 | g)", rows, family="poisson")
    post = model.sample(draws=50, tune=100, chains=2, seed=1, progress=False)
    new = save_and_load(post, tmp_path).posterior
    assert new is not None
    assert_same(post.summary(), new.summary())
    options: Any = {"kind": "response", "seed": 1}
    assert_same(
        post.predict(rows.head(), **options), new.predict(rows.head(), **options)
    )


def test_priors_stay_as_they_were_asked_for(gaps: lmm.Model, tmp_path: Path) -> None:
    bmb = pytest.importorskip("bambi")
    rule = {
        "edu": bmb.Prior("Normal", mu=0, sigma=2),
        "1|classroom": Prior("HalfNormal", (("sigma", 2.0),)),
        "sigma": "HalfCauchy(3)",
        "classroom_corr": "LKJ(3)",
    }
    data = lmm.simulate_classrooms(6, seed=1).data
    model = lmm.Model("score ~ edu + (edu | classroom)", data, priors=rule)
    new = save_and_load(model.fit_reml(), tmp_path)
    assert new.model.priors == model.priors
    given = lmm.load(tmp_path / "fit.lmm", data=data).model
    y = data["score"].to_numpy() * 2.0
    assert given.with_response(y).priors == model.with_response(y).priors


def answers(fit: lmm.Fit, names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Results under other priors, and what is known of each variance component."""
    return (
        lmm.prior_sensitivity(fit.posterior, priors=names),
        lmm.varcomp_table(fit.reml, fit.posterior),
    )


def test_priors_say_what_they_said_and_answer_what_if(
    fit: lmm.Fit, loaded: lmm.Fit
) -> None:
    assert loaded.model.priors.design is loaded.model.design
    assert str(loaded.model.priors) == str(fit.model.priors)
    assert_same(fit.model.priors.meaning(), loaded.model.priors.meaning())
    names = ["half-normal"]
    with unchecked():
        for own, other in zip(answers(fit, names), answers(loaded, names), strict=True):
            assert_same(own, other)


def test_priors_that_need_rows_are_left_out_and_said(tmp_path: Path) -> None:
    data = lmm.simulate_classrooms(6, 4, seed=1).data
    with unchecked():
        model = lmm.Model("score ~ 1 + (1 | classroom)", data)
        post = model.sample(draws=50, chains=2, seed=1, progress=False)
        table = lmm.prior_sensitivity(save_and_load(post, tmp_path).posterior)
    assert "brms" not in table["prior"].tolist()
    assert "brms are left out" in table.attrs["notes"][0]


def test_a_file_from_before_priors_knew_their_design_says_the_same(
    fit: lmm.Fit,
) -> None:
    state = model_state(fit.model)
    assert state["_priors"].design is None
    again = model_of_state(lmm.Model, state)
    assert again.priors.design is again.design


# --- rows given again -----------------------------------------------------------------


def test_rows_that_are_given_again_do_all_that_they_did(
    fit: lmm.Fit, file: Path, rows: pd.DataFrame, tmp_path: Path
) -> None:
    weights = rows["w"].to_numpy()
    reml = lmm.Model("y ~ x + (1 | g)", rows, weights=weights).fit_reml()
    reml.save(tmp_path / "fit.lmm")
    with pytest.raises(DataError, match="single values or the order"):
        lmm.load(tmp_path / "fit.lmm", data=rows, weights=weights[::-1])
    whole = lmm.load(tmp_path / "fit.lmm", data=rows, weights=weights)
    with unchecked():
        for name in ("fitted", "hatvalues", "residuals", "simulate"):
            assert_same(asked(reml, name), asked(whole.reml, name))
        assert_same(
            reml.refit(rows["z"]).summary(), whole.reml.refit(rows["z"]).summary()
        )
    assert (whole.model.row_labels == rows.index).all()


OTHERS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "fewer": (lambda d: d.iloc[1:], "240 rows were used then and 239 of these can be"),
    "order": (lambda d: d.iloc[::-1], "single values or the order of the rows differ"),
    "response": (lambda d: d.assign(y=d["y"] + (d.index == 3)), "values of 'y' are"),
    "predictor": (lambda d: d.assign(x=2.0 * d["x"]), "values of 'x' are others"),
    "levels": (
        lambda d: d.assign(g=d["g"].replace("g3", "new")),
        r"levels of 'g' are others \('g3', 'new'\)",
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_rows_are_refused_with_what_differs(
    rows: pd.DataFrame, kind: str, tmp_path: Path
) -> None:
    lmm.Model("y ~ x + (1 | g)", rows).fit_reml().save(tmp_path / "fit.lmm")
    change, words = OTHERS[kind]
    with pytest.raises(DataError, match=f"not those of the saved fit: .*{words}"):
        lmm.load(tmp_path / "fit.lmm", data=change(rows))


# --- damage ---------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    at=st.floats(0.0, 1.0, exclude_max=True), cut=st.booleans(), bit=st.integers(0, 7)
)
def test_a_file_that_was_cut_off_or_changed_anywhere_is_refused(
    file: Path, at: float, cut: bool, bit: int
) -> None:
    whole = file.read_bytes()
    place = int(at * len(whole))
    damaged = bytearray(whole[:place] if cut else whole)
    if not cut:
        damaged[place] ^= 1 << bit
    path = file.with_name("damaged.lmm")
    path.write_bytes(damaged)
    with pytest.raises(
        InputFileError, match=r"not as it was written|no file that baye"
    ):
        lmm.load(path)


def rewritten(file: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The file with other members, its checksum right: what a later version writes."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.comment = b"0" * DIGEST
        for name, content in members.items():
            archive.writestr(name, content)
    body = stream.getvalue()[:-DIGEST]
    path = file.with_name("rewritten.lmm")
    path.write_bytes(body + hashlib.sha256(body).hexdigest().encode())
    return path


def edited(
    name: str, change: Callable[[Any], None]
) -> Callable[[dict[str, bytes]], None]:
    """A change of one JSON member."""

    def edit(members: dict[str, bytes]) -> None:
        content = json.loads(members[name])
        change(content)
        members[name] = json.dumps(content).encode()

    return edit


def part(content: Any, name: str) -> Any:
    """One part of the content: dicts are pairs."""
    return next(value for key, value in content["items"] if key == name)


def recipe(content: Any) -> Any:
    """The recipe in the content."""
    return part(part(content, "model"), "recipe")


BROKEN: dict[str, tuple[str, Callable[[Any], None], str]] = {
    "later": (
        "header.json",
        lambda c: c.update(format=FORMAT + 1, versions={"bayeslmm": "9.0"}),
        rf"format {FORMAT + 1}, of bayeslmm 9\.0; .*Upgrade: pip",
    ),
    "foreign": (
        "header.json",
        lambda c: c.update(program="spss"),
        "was not written by bayeslmm",
    ),
    "class": (
        "content.json",
        lambda c: recipe(c).update({"@": "Spell"}),
        "holds a 'Spell', which this version of bayeslmm does not know",
    ),
    "field": (
        "content.json",
        lambda c: recipe(c)["design"].pop("groups"),
        "a 'Design' in it lacks groups",
    ),
    "array": (
        "content.json",
        lambda c: part(part(c, "model"), "_conditioned")["root"].update(name="no"),
        "cannot be read",
    ),
    "other model": (
        "content.json",
        lambda c: recipe(c)["design"]["fixed"].pop(),
        "cross-products are of another model",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_this_version_cannot_read_is_one_message(file: Path, kind: str) -> None:
    name, change, words = BROKEN[kind]
    with pytest.raises(InputFileError, match=words):
        lmm.load(rewritten(file, edited(name, change)))


def test_fields_of_a_later_version_are_left_out_and_absent_ones_take_their_default(
    file: Path, fit: lmm.Fit
) -> None:
    def change(content: Any) -> None:
        design = recipe(content)["design"]
        design["colour"] = {"@": "dict", "items": []}
        del design["source"]
        part(content, "reml")["items"].append(["mood", "good"])

    new = lmm.load(rewritten(file, edited("content.json", change)))
    assert new.model.design.source == "the data"
    assert_same(fit.reml.summary(), new.reml.summary())


def test_pickled_objects_are_never_read(file: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([SimpleNamespace()], dtype=object), allow_pickle=True)

    def change(members: dict[str, bytes]) -> None:
        members["0.npy"] = stream.getvalue()

    with pytest.raises(InputFileError, match="Object arrays cannot be loaded"):
        lmm.load(rewritten(file, change))
    with zipfile.ZipFile(file) as archive:
        names = {Path(name).suffix for name in archive.namelist()}
    assert names == {".json", ".npy", ".nc"}


def test_what_is_no_saved_fit_is_said(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "notes.lmm"
    other.write_text("mine")
    with pytest.raises(InputFileError, match="no file that bayeslmm wrote"):
        lmm.load(other)
    other.write_bytes(b"")
    with pytest.raises(InputFileError, match="no file that bayeslmm wrote"):
        lmm.load(other)
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("a.txt", "a" * 200)
    with pytest.raises(InputFileError, match="a zip of another program"):
        lmm.load(other)
    with pytest.raises(InputFileError, match=r"Did you mean 'fit\.lmm'"):
        lmm.load(file.with_name("fti.lmm"))


def test_a_file_is_written_whole_or_not_at_all(
    fit: lmm.Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fit.lmm"
    fit.reml.save(path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bayeslmm.archive.file._close", full)
    with pytest.raises(OutputError, match="No space left"):
        fit.reml.save(path)
    assert path.read_bytes() == before
    assert [own.name for own in tmp_path.iterdir()] == ["fit.lmm"]
    with pytest.raises(OutputError, match="folder that exists"):
        fit.reml.save(tmp_path / "nowhere" / "fit.lmm")


# --- values ---------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.floats()
VALUES = st.recursive(
    SCALARS | st.builds(Name, st.text(), st.integers(0, 9)),
    lambda inner: (
        st.lists(inner).map(tuple)
        | st.lists(inner)
        | st.dictionaries(st.text() | st.tuples(st.text(), st.floats(0, 1)), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=settings().max_examples // 2)
@given(value=VALUES)
def test_values_come_back_with_their_types(value: Any) -> None:
    writer = Writer(FORMS)
    text = json.dumps(writer.plain(value), allow_nan=False)
    found = Reader.of(FORMS, writer.arrays).value(json.loads(text))
    assert repr(found) == repr(value)  # NaN is NaN, -0.0 is -0.0, a tuple no list


def test_arrays_come_back_and_shared_ones_are_written_once() -> None:
    own = np.array([[1.0, math.nan]])
    big = np.array([2**70, "a"], dtype=object)
    writer = Writer(FORMS)
    plain = json.loads(json.dumps(writer.plain((own, own, big))))
    assert len(writer.arrays) == 1
    a, b, c = Reader.of(FORMS, writer.arrays).value(plain)
    assert a is b is own
    assert c.tolist() == big.tolist()


def test_a_class_that_is_not_listed_is_not_written() -> None:
    with pytest.raises(TypeError, match="SimpleNamespace is not among"):
        Writer(FORMS).plain(SimpleNamespace())
    names = [kind.__name__ for kind in FORMS]
    assert len({*names}) == len(names)
    assert form_of(Name).needed == {"name"}


# --- other versions -------------------------------------------------------------------


def test_a_file_of_format_1_stays_readable() -> None:
    """Written by 0.1.0; its numbers are beside it. Never write it anew."""
    new = lmm.load(REFERENCE / "fit_format_1.lmm")
    known = json.loads((REFERENCE / "fit_format_1.json").read_text())
    assert read_file(REFERENCE / "fit_format_1.lmm").header["format"] == 1
    assert new.reml.summary()["estimate"].to_dict() == pytest.approx(known["reml"])
    assert new.posterior.summary()["mean"].to_dict() == pytest.approx(known["mean"])
    data = pd.DataFrame({"edu": [1.0], "classroom": ["c01"]})
    found = new.reml.predict(data)["estimate"].iloc[0]
    assert found == pytest.approx(known["predicted"])
