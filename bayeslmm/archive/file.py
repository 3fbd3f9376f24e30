"""One file: a zip of JSON and arrays, closed by the checksum of all bytes before it.

Takes the header, the content and files to carry along; gives a file that any program
which reads zips and numpy's arrays can open, and that is refused here if a single byte
of it changed. It is written whole or not at all.
"""

import hashlib
import io
import json
import os
import platform
import secrets
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

import numpy as np

from bayeslmm.errors import InputFileError, OutputError, nearest_paths

PROGRAM = "bayeslmm"
# Raised when what is written can no longer be read by an earlier version.
FORMAT = 1
ENDING = ".lmm"
HEADER, CONTENT = "header.json", "content.json"
DIGEST = 64  # hexadecimal digits of SHA-256, the comment of the zip
PACKAGES = ("bayeslmm", "numpy", "scipy", "pandas", "numba", "pymc", "nutpie", "arviz")
CHUNK = 1 << 20
AGAIN = "Copy it again, or fit and save again."


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that made the numbers."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def now() -> str:
    """The time with its zone, to the second, in ISO 8601."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds.

    ``header`` says what wrote it and when; ``content`` is JSON that names ``arrays``;
    ``files`` are carried along as they are: bytes, or where these are to be read.
    """

    header: Mapping[str, Any]
    content: Any
    arrays: Mapping[str, np.ndarray]
    files: Mapping[str, bytes | Path]


def write_file(path: Path, contents: Contents) -> None:
    """Write a file: whole, or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with part.open("w+b") as stream:
            _write_zip(stream, contents)
            _close(stream)
        part.replace(path)
    except OSError as error:
        raise OutputError(
            f"The fit could not be written to {str(path)!r}: {error}. Give a path in a "
            "folder that exists and can be written."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _write_zip(stream: IO[bytes], contents: Contents) -> None:
    """All parts, and room for the checksum."""
    header = {
        "program": PROGRAM,
        "format": FORMAT,
        "written": now(),
        "versions": versions(),
        **contents.header,
    }
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"0" * DIGEST
        archive.writestr(HEADER, _json(header))
        archive.writestr(CONTENT, _json(contents.content))
        for name, array in contents.arrays.items():
            own = io.BytesIO()
            np.save(own, array, allow_pickle=False)
            archive.writestr(f"{name}.npy", own.getvalue())
        for name, file in contents.files.items():
            assert isinstance(file, Path), "what is written lies in a file"
            archive.write(file, name, compress_type=zipfile.ZIP_STORED)


def _json(value: object) -> str:
    """Strict JSON."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def _close(stream: IO[bytes]) -> None:
    """Put the checksum of all that was written in its place."""
    size = stream.seek(0, os.SEEK_END)
    digest = _digest(stream, size - DIGEST)
    stream.seek(size - DIGEST)
    stream.write(digest.encode())


def _digest(stream: IO[bytes], size: int) -> str:
    """SHA-256 of the first `size` bytes."""
    found, left = hashlib.sha256(), size
    stream.seek(0)
    while left > 0:
        chunk = stream.read(min(CHUNK, left))
        if not chunk:
            break
        found.update(chunk)
        left -= len(chunk)
    return found.hexdigest()


def read_file(path: Path) -> Contents:
    """The parts of a file, of which every byte is as it was written.

    Raises
    ------
    InputFileError
        If there is no such file, it is of another program or of a later version, or it
        was cut off, damaged or edited.
    """
    if not path.is_file():
        raise InputFileError(f"There is no file {str(path)!r}.{nearest_paths(path)}")
    try:
        with path.open("rb") as stream:
            _check_whole(path, stream)
            return _read_zip(path, stream)
    except OSError as error:
        raise InputFileError(f"{str(path)!r} cannot be read: {error}.") from error


def _check_whole(path: Path, stream: IO[bytes]) -> None:
    """Raise unless a file ends with the checksum of its bytes."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    start = stream.read(4)
    if start != b"PK\x03\x04"[: len(start)] or not start:
        raise InputFileError(
            f"{str(path)!r} is no file that bayeslmm wrote. Give one that save() of a "
            f"fit wrote, by custom 'fit{ENDING}'; arviz.from_netcdf reads draws alone."
        )
    digest = _digest(stream, size - DIGEST)
    if size <= DIGEST or stream.read(DIGEST) != digest.encode():
        raise InputFileError(
            f"{str(path)!r} is not as it was written (its checksum differs): it was "
            f"cut off, damaged or edited, or is a zip of another program. {AGAIN}"
        )


def _read_zip(path: Path, stream: IO[bytes]) -> Contents:
    """The parts of a file whose bytes are as they were written."""
    try:
        with zipfile.ZipFile(stream) as archive:
            header = json.loads(archive.read(HEADER))
            _check_header(path, header)
            names = archive.namelist()
            arrays = {
                name.removesuffix(".npy"): np.load(
                    io.BytesIO(archive.read(name)), allow_pickle=False
                )
                for name in names
                if name.endswith(".npy")
            }
            others = {*names} - {HEADER, CONTENT, *(f"{a}.npy" for a in arrays)}
            files = {name: archive.read(name) for name in others}
            return Contents(header, json.loads(archive.read(CONTENT)), arrays, files)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputFileError(
            f"{str(path)!r} was not written by bayeslmm as it is: {error}. {AGAIN}"
        ) from error


def _check_header(path: Path, header: object) -> None:
    """Raise unless this program wrote it, in a format that is read here."""
    if not isinstance(header, dict) or header.get("program") != PROGRAM:
        raise InputFileError(f"{str(path)!r} was not written by bayeslmm.")
    found = header.get("format")
    if not isinstance(found, int) or found > FORMAT:
        by = header.get("versions", {}).get(PROGRAM, "unknown")
        raise InputFileError(
            f"{str(path)!r} has format {found}, of bayeslmm {by}; this version reads "
            f"format {FORMAT}. Upgrade: pip install -U bayeslmm."
        )
