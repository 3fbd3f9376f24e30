"""What is known of a run beside its model and fits: data, seed, date.

Takes what the caller knows; gives a `Record`, which the report prints and the folder of
results keeps.
"""

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.data import Origin

if TYPE_CHECKING:
    from bayeslmm.design import Design
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.spec import ModelSpec


def _now() -> str:
    """The time with its zone, to the second, in ISO 8601."""
    return dt.datetime.now().astimezone().isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Record:
    """Where the rows came from, which seed drew, and when.

    Attributes
    ----------
    data : str or None
        Name of the data file, None where there was none.
    sha256 : str or None
        Checksum of that file.
    seed : int or None
        Seed of the sampler.
    written : str
        Date and time, ISO 8601.
    """

    data: str | None = None
    sha256: str | None = None
    seed: int | None = None
    written: str = field(default_factory=_now)


def record_of(model: "ModelSpec", post: "Posterior | None") -> Record:
    """What a fit knows: the file of its rows, the seed if it was sampled."""
    origin = model.design.account.origin or Origin()
    seed = None if post is None else post.idata.attrs.get("seed")
    return Record(origin.file, origin.sha256, None if seed is None else int(seed))


def record_lines(record: Record, model: "ModelSpec") -> list[str]:
    """The same in lines, for the report."""
    lines = [f"written {record.written}"]
    lines.append(f"data: {record.data or 'a frame or batches, not a file'}")
    if record.sha256 is not None:
        lines.append(f"SHA-256 of that file: {record.sha256}")
    rows = rows_checksum(model.design)
    if rows is not None:
        lines.append(f"SHA-256 of the rows used, as the model has them: {rows}")
    if record.seed is not None:
        lines.append(f"seed: {record.seed}")
    return lines


def rows_checksum(design: "Design") -> str | None:
    """SHA-256 of the rows used as the model has them; None for rows in batches."""
    rows = design.rows
    if rows is None:
        return None
    digest = hashlib.sha256()
    for array in (rows.y, rows.X, rows.weights, rows.offset):
        if array is not None:
            digest.update(np.ascontiguousarray(array, np.float64).tobytes())
    for term, Z, codes in zip(design.groups, rows.Z, rows.codes, strict=True):
        digest.update(np.ascontiguousarray(Z, np.float64).tobytes())
        digest.update(np.ascontiguousarray(codes, np.int64).tobytes())
        digest.update("\0".join(term.levels).encode())
    return digest.hexdigest()
