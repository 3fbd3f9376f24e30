"""A model with its fits <-> a file; the draws in it, or as netCDF beside it.

Takes a model, a `RemlFit` and a `Posterior`, of which one may be missing; gives them
again, as they were but for the rows.
"""

import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayeslmm.archive.codec import Reader, Writer
from bayeslmm.archive.file import AGAIN, Contents, read_file, write_file
from bayeslmm.archive.forms import FORMS
from bayeslmm.archive.model import model_of_state, model_state
from bayeslmm.archive.saved import Saved
from bayeslmm.data import file_hash
from bayeslmm.errors import BayesLMMError, InputFileError, OutputError
from bayeslmm.posterior.fit import Posterior
from bayeslmm.reml.fit import RemlFit
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr

DRAWS = "posterior.nc"
ENGINE = "h5netcdf"
REML = (
    *("method", "theta", "factors", "sigma", "beta", "criterion", "status"),
    *("optimum", "regular"),
)
POSTERIOR = ("method", "reason", "status", "timing")


# --- writing --------------------------------------------------------------------------


def write_fit(
    path: Path,
    model: ModelSpec,
    reml: RemlFit | None,
    post: Posterior | None,
    *,
    draws: Path | None = None,
) -> None:
    """Write a model and its fits to one file.

    Parameters
    ----------
    path : Path
        The file.
    model : ModelSpec
        Its rows are not written.
    reml, post : RemlFit, Posterior, or None
        Its fits.
    draws : Path, optional
        File beside it that has the draws; by default they go into this file.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    writer, header = Writer(FORMS), {"formula": model.said}
    parts: dict[str, Any] = {"model": model_state(model)}
    if reml is not None:
        parts["reml"] = _reml_state(reml)
    if post is not None:
        parts["posterior"] = {name: getattr(post, name) for name in POSTERIOR}
    content = writer.plain(parts)
    if post is None or draws is not None:
        if draws is not None:
            header["draws_sha256"] = file_hash(draws)
        write_file(path, Contents(header, content, writer.arrays, {}))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / DRAWS
        write_draws(file, post.idata)
        write_file(path, Contents(header, content, writer.arrays, {DRAWS: file}))


def _reml_state(reml: RemlFit) -> dict[str, Any]:
    """What of a point estimate does not follow from the rest.

    Effects do; the information at a boundary, and profiles, are dear.
    """
    state = {name: getattr(reml, name) for name in REML}
    found = {name: own for name, own in reml.found.items() if name == "information"}
    return state | {"found": found, "profiled": reml.profiled}


def write_draws(path: Path, idata: "xr.DataTree") -> None:
    """Write draws as netCDF.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    try:
        idata.to_netcdf(path, engine=ENGINE)
    except OSError as error:
        raise OutputError(
            f"The draws could not be written to {str(path)!r}: {error}. Give a path in "
            "a folder that exists and can be written."
        ) from error


# --- reading --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found[M: ModelSpec]:
    """What a file holds; a fit that is not in it is None."""

    model: M
    reml: RemlFit | None
    posterior: Posterior | None
    saved: Saved


def read_fit[M: ModelSpec](path: Path, kind: type[M]) -> Found[M]:
    """A model and its fits from a file, with draws that may lie beside it.

    Raises
    ------
    InputFileError
        If the file, or the draws, cannot be read whole.
    """
    contents = read_file(path)
    header = contents.header
    idata = _idata(path, contents)
    try:
        parts = Reader.of(FORMS, contents.arrays).value(contents.content)
        model = model_of_state(kind, parts["model"])
        reml, post = parts.get("reml"), parts.get("posterior")
        return Found(
            model,
            None if reml is None else _reml(model, reml),
            None if post is None or idata is None else _posterior(model, idata, post),
            Saved(str(path), header["written"], header["versions"]),
        )
    except (BayesLMMError, KeyError, TypeError, ValueError, AttributeError) as error:
        by = header.get("versions", {}).get("bayeslmm", "unknown")
        raise InputFileError(
            f"{str(path)!r}, written by bayeslmm {by}, cannot be read: {error}. {AGAIN}"
        ) from error


def _reml(model: ModelSpec, state: Mapping[str, Any]) -> RemlFit:
    """The point estimate of its state."""
    own = {name: state[name] for name in (*REML, "found")}
    fit = RemlFit(model=model, **own)
    fit.profiled.update(state["profiled"])
    return fit


def _posterior(
    model: ModelSpec, idata: "xr.DataTree", state: Mapping[str, Any]
) -> Posterior:
    """The posterior of its state."""
    own = {name: state[name] for name in POSTERIOR}
    return Posterior(model=model, idata=idata, **own)


def _idata(path: Path, contents: Contents) -> "xr.DataTree | None":
    """The draws in a file or beside it; None where there are none."""
    import xarray as xr

    inside, own = contents.files.get(DRAWS), contents.header.get("draws_sha256")
    beside = path.with_name(DRAWS)
    if inside is None and own is None:
        return None
    if inside is None and not beside.is_file():
        raise InputFileError(
            f"{str(path.parent)!r} lacks {DRAWS}, the draws of the fit: it was moved "
            f"or deleted. Copy the folder whole, or fit again."
        )
    if inside is None and file_hash(beside) != own:
        raise InputFileError(
            f"{str(beside)!r} does not have the draws of {path.name} (its checksum "
            f"differs): it was cut off, damaged or replaced. {AGAIN}"
        )
    source = io.BytesIO(inside) if isinstance(inside, bytes) else beside
    with xr.open_datatree(source, engine=ENGINE) as tree:
        return tree.load()
