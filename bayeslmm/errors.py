"""What a user can act on: the errors and warnings of bayeslmm.

The room takes nothing and gives exception classes. Each error is one of ours and a
builtin, so that ``except ValueError`` keeps working; each message says what was seen,
why it cannot be, and what to do.
"""

import difflib
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Literal, TypeGuard

LARGEST_SEED = 2**63 - 1  # netCDF stores no larger integer
PACKAGE = str(Path(__file__).parent)
# Of a folder with more entries no name is offered.
MOST_FILES = 1000


class BayesLMMError(Exception):
    """Base of every error that bayeslmm raises on purpose.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> try:
    ...     lmm.load_data("sleepstudie")
    ... except lmm.BayesLMMError as error:
    ...     print(type(error).__name__)
    DataError
    """


class FormulaError(BayesLMMError, ValueError):
    """A formula that cannot be read; the message shows it with a caret.

    Parameters
    ----------
    message : str
        What was seen, why it cannot be, what to write instead.
    formula : str
        The whole formula text.
    position : int, optional
        Index of the offending character in ``formula``.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> try:
    ...     lmm.parse_formula("score ~ edu + (edu | classroom")
    ... except lmm.FormulaError as error:
    ...     print(error.position)
    14
    """

    def __init__(self, message: str, formula: str = "", position: int | None = None):
        self.formula, self.position = formula, position
        super().__init__(message + _caret(formula, position))


class DataError(BayesLMMError, ValueError):
    """Data that the model cannot use; the message names columns and counts.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> try:
    ...     lmm.load_data("sleepstudie")
    ... except lmm.DataError as error:
    ...     print(str(error).split(" All")[0])
    There is no data set 'sleepstudie'. Did you mean 'sleepstudy'?
    """


class PriorError(BayesLMMError, ValueError):
    """A prior that is unknown or cannot be honoured.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> try:
    ...     lmm.Model("score ~ edu + (1 | classroom)", pupils, priors="weka")
    ... except lmm.PriorError as error:
    ...     print("weak" in str(error))
    True
    """


class ModelError(BayesLMMError, ValueError):
    """A model, family or method that cannot be fitted as asked.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> try:
    ...     lmm.Model("score ~ edu + (1 | classroom)", pupils, family="normal")
    ... except lmm.ModelError as error:
    ...     print("gaussian" in str(error))
    True
    """


class InputFileError(BayesLMMError, OSError):
    """A file that cannot be read.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> try:
    ...     lmm.read("no_such_file.csv")
    ... except lmm.InputFileError as error:
    ...     print(isinstance(error, OSError))
    True
    """


class OutputError(BayesLMMError, OSError):
    """A place that cannot be written.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> issubclass(lmm.OutputError, OSError)
    True
    """


class NotSavedError(BayesLMMError, AttributeError):
    """A fit that is not in the file or folder that was opened.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> issubclass(lmm.NotSavedError, AttributeError)
    True
    """


class SamplingError(BayesLMMError, RuntimeError):
    """Sampling that could not start or gave no draw.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> issubclass(lmm.SamplingError, RuntimeError)
    True
    """


class SamplingInterruptedError(SamplingError):
    """Sampling was interrupted before there was a draw to report."""


class BayesLMMWarning(UserWarning):
    """Base of every warning of bayeslmm.

    Examples
    --------
    >>> import warnings
    >>> import bayeslmm as lmm
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", lmm.BayesLMMWarning)  # stop at any of them
    """


class FitWarning(BayesLMMWarning):
    """A fit that ended where the reader must know it (boundary, no convergence).

    Examples
    --------
    >>> import warnings
    >>> import bayeslmm as lmm
    >>> pupils = lmm.load_data("score_parentedu_byclass")
    >>> model = lmm.Model("score ~ edu + (edu | classroom)", pupils)
    >>> with warnings.catch_warnings(record=True) as said:
    ...     warnings.simplefilter("always")
    ...     fit = model.fit_reml()
    >>> said[0].category.__name__, fit.status.singular
    ('FitWarning', True)
    """


class DataWarning(BayesLMMWarning):
    """Data that were used otherwise than given (dropped rows, unused levels).

    Examples
    --------
    >>> import warnings
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> pupils.loc[pupils["classroom"] == "c00", "score"] = None
    >>> with warnings.catch_warnings(record=True) as said:
    ...     warnings.simplefilter("always")
    ...     model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> said[0].category.__name__, model.design.account.n_used
    ('DataWarning', 100)
    """


def warn_user(message: str, kind: type[BayesLMMWarning] = FitWarning) -> None:
    """One warning that points at the line outside the package."""
    warnings.warn(message, kind, skip_file_prefixes=(PACKAGE,))


def check_fraction(value: object, name: str, example: float = 0.95) -> None:
    """Raise `ModelError` unless a probability is a number between 0 and 1."""
    if not is_number(value) or not 0.0 < value < 1.0:
        raise ModelError(
            f"{name} must lie between 0 and 1, not {value!r}. Give a number such as "
            f"{example}."
        )


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is one number; True and False are none, though Python says so."""
    return isinstance(value, Real) and type(value).__name__ not in ("bool", "bool_")


def is_count(value: object) -> TypeGuard[int]:
    """Whether a value is one whole number; True and False are none."""
    return isinstance(value, Integral) and type(value).__name__ not in ("bool", "bool_")


def check_count(value: object, name: str, least: int) -> int:
    """The value as an integer; `ModelError` unless it is whole and at least `least`."""
    if not is_count(value) or value < least:
        raise ModelError(
            f"{name} must be a whole number of at least {least}, not {value!r}."
        )
    return int(value)


def check_seed(seed: object) -> None:
    """Raise `ModelError` unless numpy can start from a seed, and netCDF can hold it.

    A numpy Generator is known by its method, so that errors need no numpy.
    """
    if seed is None or hasattr(seed, "bit_generator"):
        return
    if not is_count(seed) or not 0 <= seed <= LARGEST_SEED:
        raise ModelError(
            f"seed must be a whole number from 0 to 2**63 - 1 or a numpy Generator, "
            f"not {seed!r}."
        )


def is_choice(value: object, options: Iterable[str]) -> bool:
    """Whether a value is one of some words; of any type, arrays too."""
    return isinstance(value, str) and value in tuple(options)


def check_flag(value: object, name: str) -> bool:
    """The value as True or False; `ModelError` for anything else, 0 and "yes" too."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise ModelError(f"{name} must be True or False, not {value!r}.")
    return bool(value)


def check_progress(value: object) -> bool | Literal["auto"]:
    """Whether to show a bar, or "auto"; `ModelError` for anything else."""
    if isinstance(value, str) and value == "auto":
        return "auto"
    if not isinstance(value, bool):
        raise ModelError(f"progress must be True, False or 'auto', not {value!r}.")
    return value


def check_text(value: object, name: str) -> str:
    """The value as text; `ModelError` for anything else."""
    if not isinstance(value, str):
        raise ModelError(
            f"{name} must be text, such as a name between quotes, not "
            f"{shortened(value)} ({type(value).__name__})."
        )
    return str(value)


def check_names(value: object, name: str) -> tuple[str, ...]:
    """Names, of which one text is one; `ModelError` unless all are text, and some."""
    names: tuple[object, ...] = ()
    if isinstance(value, str):
        names = (value,)
    elif isinstance(value, Iterable) and not isinstance(value, Mapping):
        names = tuple(value)
    if not names or not all(isinstance(one, str) for one in names):
        raise ModelError(
            f"{name} must be a list of names, such as ['edu', 'sigma'], not "
            f"{shortened(value)}. Leave it out for the default."
        )
    return tuple(str(one) for one in names)


def check_made(value: object, kind: type, name: str, made_by: str) -> None:
    """Raise `ModelError` unless a value is what another function makes."""
    if not isinstance(value, kind):
        raise ModelError(
            f"{name} must be what {made_by} gives, not {shortened(value)} "
            f"({type(value).__name__})."
        )


def as_path(value: object, name: str) -> Path:
    """The value as a path; `ModelError` for what no file can be called."""
    if not isinstance(value, str | PathLike) or isinstance(os.fspath(value), bytes):
        raise ModelError(
            f"{name} must be text or a pathlib.Path, not {shortened(value)} "
            f"({type(value).__name__})."
        )
    text = os.fspath(value)
    if not text or "\0" in text or not _can_be_encoded(text):
        raise ModelError(
            f"{name}={text!r} is no name that a file can have: it is empty, or has "
            f"characters that file names cannot hold. Give another."
        )
    return Path(text)


def _can_be_encoded(text: str) -> bool:
    """Whether the operating system can be told a path."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str) -> str:
    r"""The text with half characters (lone surrogates) written as ``\ud800``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def shortened(value: object, most: int = 60) -> str:
    """How Python writes a value, on one line that a message can hold."""
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."


def nearest_names(given: object, candidates: Iterable[object]) -> str:
    """Sentence that offers the candidates most like a name; empty without any."""
    name, names = str(given), [str(candidate) for candidate in candidates]
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if not close:
        lowered = {candidate.lower(): candidate for candidate in names}
        close = [lowered[name.lower()]] if name.lower() in lowered else []
    if close:
        return " Did you mean " + " or ".join(repr(c) for c in close) + "?"
    if 0 < len(names) <= 12:
        return " There are: " + ", ".join(repr(c) for c in names) + "."
    return ""


def listed(names: Iterable[object], limit: int = 6) -> str:
    """Names in quotes, the first few."""
    names = [repr(str(name)) for name in names]
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def repeated(names: Iterable[object]) -> list[str]:
    """Names that occur more than once, each once, as text."""
    return sorted(str(name) for name, n in Counter(names).items() if n > 1)


def nearest_paths(path: Path, *, folders: bool = False) -> str:
    """Sentence that offers files, or folders, with a name most like that of `path`."""
    parent = path.parent
    there = parent.iterdir() if parent.is_dir() else ()
    names = [one.name for one in there if one.is_dir() or not folders]
    return nearest_names(path.name, names) if len(names) < MOST_FILES else ""


def _caret(formula: str, position: int | None) -> str:
    """The formula on its own line with a caret below `position`."""
    if not formula:
        return ""
    if position is None:
        return f"\n  {formula}"
    return f"\n  {formula}\n  {' ' * position}^"
