"""What is known of a run beside its model and fits: data, seed, date.

Takes what the caller knows; gives a `Record`, which the report prints and the folder of
results keeps.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bayeslmm.archive.file import now
from bayeslmm.data import Origin
from bayeslmm.design.rowless import rows_checksum

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.spec import ModelSpec


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
    written: str = field(default_factory=now)


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
    rows = rows_checksum(model.recipe)
    if rows is not None:
        lines.append(f"SHA-256 of the rows used, as the model has them: {rows}")
    if record.seed is not None:
        lines.append(f"seed: {record.seed}")
    return lines
