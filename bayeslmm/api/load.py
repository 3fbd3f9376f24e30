"""A file or folder that `save` wrote -> `Fit`."""

from dataclasses import replace
from os import PathLike
from pathlib import Path

from bayeslmm.api.both import Fit
from bayeslmm.errors import InputFileError, as_path, nearest_paths


def load(
    path: str | PathLike[str], *, data: object = None, weights: object = None
) -> Fit:
    """Open what ``save()`` of a fit, or ``--out``, wrote.

    Use it to go on with a fit without fitting again. The rows are not in a saved fit,
    and few things need them: tables, tests, draws, predictions for new data, plots of
    estimates and priors, comparisons and reports do not. What does (residuals,
    simulated responses, figures of the rows) says so; `data` gives the rows back.

    Parameters
    ----------
    path : str or path
        A file, ``fit.lmm``, or a folder of results.
    data : DataFrame or other table, optional
        The rows that were fitted. They are compared with the checksum of those.
    weights : array, optional
        Precision weights, where they were no column of the data.

    Returns
    -------
    Fit
        ``reml`` or ``posterior`` is None where it was not saved; ``saved`` says when
        and by what it was written.

    Raises
    ------
    InputFileError
        If it is nothing that ``save()`` wrote, files are missing, cut off or damaged,
        or it is of a later version.
    DataError
        If the data are not those of the fit.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> reml = lmm.Model("score ~ edu + (1 | classroom)", pupils).fit_reml()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     said = reml.save(Path(folder) / "fit.lmm")
    ...     fit = lmm.load(Path(folder) / "fit.lmm")
    >>> fit.reml.summary().equals(reml.summary()), fit.posterior
    (True, None)
    """
    from bayeslmm.api.model import Model
    from bayeslmm.archive.fits import read_fit
    from bayeslmm.archive.model import attach_rows

    found = read_fit(_file(as_path(path, "path")), Model)
    model, reml, post = found.model, found.reml, found.posterior
    if data is not None:
        model = attach_rows(model, data, weights)
        reml = None if reml is None else replace(reml, model=model)
        post = None if post is None else replace(post, model=model)
    return Fit(model, reml, post, found.saved)


def _file(path: Path) -> Path:
    """The file with the fit: the path itself, or the one of a folder of results."""
    from bayeslmm.reporting.manifest import check_files, read_manifest
    from bayeslmm.reporting.save import DRAWS, MODEL

    if path.is_file():
        return path
    if not path.exists():
        hint = nearest_paths(path, folders=True) or nearest_paths(path)
        raise InputFileError(f"There is no file or folder {str(path)!r}.{hint}")
    check_files(path, read_manifest(path), (MODEL, DRAWS))
    return path / MODEL
