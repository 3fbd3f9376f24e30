"""Small data sets: public ones by name, and simulated classrooms.

Takes a name or a seed; gives data frames with factors in lme4's level order. Public
data are not shipped: they are read from the folder in ``BAYESLMM_DATA``, from the cache
folder, or downloaded once, and always checked against a SHA-256. The simulated
classrooms need nothing but a seed and come with their true values.
"""

import contextlib
import hashlib
import io
import os
import sys
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.errors import (
    DataError,
    InputFileError,
    check_seed,
    is_choice,
    is_count,
    nearest_names,
)

if TYPE_CHECKING:
    import pandas as pd

DOWNLOAD_SECONDS = 30.0
MOST_PUPILS = 100_000_000

_RDATASETS = (
    "https://raw.githubusercontent.com/vincentarelbundock/Rdatasets/"
    "1dcc2bf5f955cc1224a3e1307256e1fe86b68dae/csv/"
)
_PYSTATSML = (
    "https://raw.githubusercontent.com/duchesnay/pystatsml/"
    "e020a9ffe7c0e853ec6a1a14bd50f7156acce220/statistics/lmm/datasets/"
)
_LME4 = "R package lme4 (GPL >= 2), through Rdatasets"
_NLME = "R package nlme (GPL >= 2), through Rdatasets"
# Levels of InstEval's dept, in the order that R has them.
_DEPARTMENTS = tuple("15,5,10,12,6,7,4,8,9,14,1,3,11,2".split(","))  # noqa: SIM905
_TUTORIAL = "pystatsml (CC-BY 4.0)"


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a data set comes from, and which of its columns are factors.

    A factor with an empty tuple has its levels sorted, as numbers where they are; the
    others are listed in the order that R gives them.
    """

    url: str
    sha256: str
    origin: str
    factors: dict[str, tuple[str, ...]]
    ordered: frozenset[str] = field(default_factory=frozenset)


_SOURCES = {
    "sleepstudy": _Source(
        _RDATASETS + "lme4/sleepstudy.csv",
        "20922ddc87d538bf2344f73d49000eeb2d7e14934b6191a3e071fefc329942c4",
        _LME4,
        {"Subject": ()},
    ),
    "Dyestuff": _Source(
        _RDATASETS + "lme4/Dyestuff.csv",
        "7a0c76e36c68aad3bddeff58811b89a07fb7a88cbf9ccf5d2b6fa6c30f6ca578",
        _LME4,
        {"Batch": ()},
    ),
    "Dyestuff2": _Source(
        _RDATASETS + "lme4/Dyestuff2.csv",
        "51c763504ad0128821c857a27b9189f9d160347fbd111fafda6f58ad3f0db7bf",
        _LME4,
        {"Batch": ()},
    ),
    "Pastes": _Source(
        _RDATASETS + "lme4/Pastes.csv",
        "5b18e90d073850c572f4bb080a397f60b9e8b292d26038d547296c99d87a6e25",
        _LME4,
        {"batch": (), "cask": (), "sample": ()},
    ),
    "Penicillin": _Source(
        _RDATASETS + "lme4/Penicillin.csv",
        "0caff3b1bf332fcb8cc0e410ce3f5e49c390b3bc10beda1bc4587fee1c3a466d",
        _LME4,
        {"plate": (), "sample": ()},
    ),
    "InstEval": _Source(
        _RDATASETS + "lme4/InstEval.csv",
        "13498ab015df1c2c2af465d13965cca0e91868029b0e4328557b3c709cddf476",
        _LME4,
        {
            "s": (),
            "d": (),
            "studage": (),
            "lectage": (),
            "service": (),
            "dept": _DEPARTMENTS,
        },
        frozenset({"studage", "lectage"}),
    ),
    "cbpp": _Source(
        _RDATASETS + "lme4/cbpp.csv",
        "8919ad586aabfa75fa3b3ece7ad7b398c7b31bf17467f17c304cbec86afa910a",
        _LME4,
        {"herd": (), "period": ()},
    ),
    "Machines": _Source(
        _RDATASETS + "nlme/Machines.csv",
        "4b629377d25a6db6ffc3bef41dfb86dbcc8f4952c19f9170a926cddc4f4f8f91",
        _NLME,
        {"Worker": tuple("624135"), "Machine": ()},
        frozenset({"Worker"}),
    ),
    "score_parentedu_byclass": _Source(
        _PYSTATSML + "score_parentedu_byclass.csv",
        "d2e30660b9e0d540a057d29c027fba3c19b4aeb9d8ae6ab04b20aabf9f1d8dd9",
        _TUTORIAL,
        {"classroom": ()},
    ),
    "rat_pup": _Source(
        _PYSTATSML + "rat_pup.csv",
        "6b9c0d3a52f07e949c41ba4f88b59e4449d39999a80cd4e7730641b1465ffd36",
        _TUTORIAL,
        {"sex": (), "treatment": ()},
    ),
}

DATASETS: tuple[str, ...] = tuple(sorted(_SOURCES, key=str.lower))


# --- public data ----------------------------------------------------------------------


def load_data(name: str) -> "pd.DataFrame":
    """A public data set as a data frame, factors in lme4's level order.

    Looked for as ``<name>.csv`` in the folder that the environment variable
    ``BAYESLMM_DATA`` names, then in the cache folder of the platform
    (``XDG_CACHE_HOME`` overrides it), then downloaded into the cache.

    Parameters
    ----------
    name : str
        ``sleepstudy`` (reaction time in ms against days of sleep loss), ``Dyestuff``
        and ``Dyestuff2`` (yield in grams by batch), ``Pastes`` (strength, casks in
        batches), ``Penicillin`` (diameter in mm, plates crossed with samples),
        ``InstEval`` (73,421 ratings, 1 to 5, of lecturers by students), ``cbpp``
        (disease counts in herds), ``Machines`` (productivity of workers on machines),
        ``score_parentedu_byclass`` (60 scores against years of parental education in 3
        classrooms), ``rat_pup`` (birth weights in grams, pups in litters).

    Returns
    -------
    DataFrame
        One row for each observation; factors are categoricals. ``attrs["origin"]`` says
        where the data come from and under which licence.

    Raises
    ------
    DataError
        If there is no such data set.
    InputFileError
        If the file cannot be found or downloaded, or is not the file expected.

    Examples
    --------
    >>> load_data("sleepstudy").columns.tolist()  # doctest: +SKIP
    ['Reaction', 'Days', 'Subject']
    """
    import pandas as pd

    if not is_choice(name, _SOURCES):
        raise DataError(
            f"There is no data set {name!r}.{nearest_names(name, DATASETS)} "
            f"All names: {', '.join(DATASETS)}."
        )
    source = _SOURCES[name]
    text: dict[Hashable, Any] = dict.fromkeys(source.factors, str)
    data = pd.read_csv(io.BytesIO(_read_bytes(name, source)), dtype=text)
    data = data.drop(columns="rownames", errors="ignore")
    for column, levels in source.factors.items():
        dtype = pd.CategoricalDtype(
            list(levels) or _sorted_levels(data[column].unique().tolist()),
            ordered=column in source.ordered,
        )
        data[column] = data[column].astype(dtype)
    data.attrs["origin"] = source.origin
    return data


def _sorted_levels(levels: list[str]) -> list[str]:
    """Levels in R's order: as numbers where all of them are."""
    try:
        return sorted(levels, key=float)
    except ValueError:
        return sorted(levels)


def _read_bytes(name: str, source: _Source) -> bytes:
    """Content of a data file from the first place that has it, checked."""
    for folder in _data_folders():
        path = folder / f"{name}.csv"
        if path.is_file():
            return _check_sum(_read_file(path), source, str(path))
    return _download(name, source)


def _read_file(path: Path) -> bytes:
    """Content of a file that exists."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputFileError(
            f"The data file {path} is there but cannot be read "
            f"({error.strerror}). Make it readable or remove it."
        ) from error


def _data_folders() -> list[Path]:
    """Folders that may hold data files, first the one that the user named."""
    named = os.environ.get("BAYESLMM_DATA")
    return ([Path(named).expanduser()] if named else []) + [_cache_folder()]


def _cache_folder() -> Path:
    """Where this platform keeps what can be downloaded again."""
    home = os.environ.get("XDG_CACHE_HOME")
    if home:
        return Path(home) / "bayeslmm"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "bayeslmm"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home()) / "bayeslmm" / "cache"
    return Path.home() / ".cache" / "bayeslmm"


def _check_sum(content: bytes, source: _Source, place: str) -> bytes:
    """The content, if its SHA-256 is the expected one."""
    found = hashlib.sha256(content).hexdigest()
    if found != source.sha256:
        raise InputFileError(
            f"{place} is not the file expected: its SHA-256 is {found[:12]}..., it "
            f"should be {source.sha256[:12]}.... Remove it, so that it is downloaded "
            f"again, or replace it by {source.url}."
        )
    return content


def _download(name: str, source: _Source) -> bytes:
    """Content from the address of the source, kept in the cache for the next time."""
    from urllib.request import urlopen

    try:
        with urlopen(source.url, timeout=DOWNLOAD_SECONDS) as answer:
            content = answer.read()
    except OSError as error:
        raise InputFileError(
            f"The data set {name!r} is not on this machine and cannot be downloaded "
            f"({error}). Either set the environment variable BAYESLMM_DATA to a folder "
            f"that holds {name}.csv, or put that file into {_cache_folder()}, or "
            f"connect to the internet, so that {source.url} can be read."
        ) from error
    content = _check_sum(content, source, source.url)
    with contextlib.suppress(OSError):  # a cache that cannot be written is no cache
        _store(_cache_folder() / f"{name}.csv", content)
    return content


def _store(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(path)


# --- simulated classrooms -------------------------------------------------------------

# Chosen so that 12 classes of 20 show every parameter: the slope of a class has a
# standard error of about sigma / (sd(edu) sqrt(20)) = 0.07, half of the true SD between
# classes.
_BETA = (10.0, 0.3)
_SD = (2.0, 0.15)
_CORR = -0.4
_SIGMA = 1.0


@dataclass(frozen=True, slots=True)
class SimulatedClassrooms:
    """Pupils in classrooms, with the values that made them.

    Attributes
    ----------
    data : DataFrame
        ``classroom`` (c00, c01, ...), ``edu`` (parental education, whole years, 0 to
        10), ``score`` (points).
    truth : dict of str to float
        True value of each parameter of ``score ~ edu + (edu | classroom)`` by label.
    effects : DataFrame
        True deviation of each classroom (index) from the fixed effects: ``Intercept``
        in points, ``edu`` in points per year.
    """

    data: "pd.DataFrame"
    truth: dict[str, float]
    effects: "pd.DataFrame"


def simulate_classrooms(
    n_classrooms: int = 12, n_pupils: int = 20, *, seed: int | np.random.Generator
) -> SimulatedClassrooms:
    """Scores of pupils whose intercepts and slopes vary between classrooms.

    Use it to see a fit recover known values: ``score ~ edu + (edu | classroom)``.

    Parameters
    ----------
    n_classrooms, n_pupils : int
        Number of classrooms, and of pupils in each.
    seed : int or numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    SimulatedClassrooms
        ``data``, ``truth``, ``effects``.

    Raises
    ------
    DataError
        If a number is no whole number from 1 on, or they are too many.

    Examples
    --------
    >>> simulate_classrooms(3, 2, seed=1).data["classroom"].tolist()
    ['c00', 'c00', 'c01', 'c01', 'c02', 'c02']
    """
    import pandas as pd

    counts = [n for n in (n_classrooms, n_pupils) if is_count(n) and n >= 1]
    if len(counts) < 2 or counts[0] * counts[1] > MOST_PUPILS:
        raise DataError(
            f"{n_classrooms!r} classrooms of {n_pupils!r} pupils cannot be simulated: "
            f"both must be whole numbers from 1 on, and at most {MOST_PUPILS:,} pupils."
        )
    check_seed(seed)
    rng = np.random.default_rng(seed)
    width = max(2, len(str(n_classrooms - 1)))
    names = [f"c{j:0{width}d}" for j in range(n_classrooms)]
    factor = np.array(
        [[_SD[0], 0.0], [_SD[1] * _CORR, _SD[1] * np.sqrt(1.0 - _CORR**2)]]
    )
    effects = rng.standard_normal((n_classrooms, 2)) @ factor.T
    codes = np.repeat(np.arange(n_classrooms), n_pupils)
    edu = rng.integers(0, 11, size=len(codes))
    intercept, slope = (np.array(_BETA) + effects[codes]).T
    score = intercept + slope * edu + _SIGMA * rng.standard_normal(len(codes))
    classroom = pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(names))
    return SimulatedClassrooms(
        pd.DataFrame({"classroom": classroom, "edu": edu, "score": score}),
        _classroom_truth(),
        pd.DataFrame(effects, index=names, columns=["Intercept", "edu"]),
    )


def _classroom_truth() -> dict[str, float]:
    """True parameter values by label."""
    return {
        "Intercept": _BETA[0],
        "edu": _BETA[1],
        "1|classroom_sigma": _SD[0],
        "edu|classroom_sigma": _SD[1],
        "classroom_corr[Intercept:edu]": _CORR,
        "sigma": _SIGMA,
    }
