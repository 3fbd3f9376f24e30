"""Stand-in for rows that were read in batches and are not in memory.

Takes the name of the source; gives an object that raises as soon as anything is
computed with it, so that no number can come from rows that are not there. Needs numpy
only.
"""

from typing import TYPE_CHECKING, NoReturn, cast

import numpy as np

from bayeslmm.errors import DataError

if TYPE_CHECKING:
    Stand = np.ndarray  # what readers take the rows for
else:
    Stand = object


class AbsentRows:
    """Rows of a streamed design: every use is a `DataError` that says the way out.

    Parameters
    ----------
    source : str
        Where the rows were read, ``'data.parquet'``.
    what : str
        What they would hold, ``the response 'y'``.
    """

    __slots__ = ("source", "what")
    __hash__ = object.__hash__

    def __init__(self, source: str, what: str) -> None:
        self.source, self.what = source, what

    def __repr__(self) -> str:
        """What is absent, and where it was read."""
        return f"<{self.what}: read in batches from {self.source}, not in memory>"

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        """Raise: the rows were asked for."""
        raise absence(self.source, f"a computation on {self.what}")

    def __getattr__(self, name: str) -> NoReturn:
        """Raise, but let protocols (``__deepcopy__``, ``_repr_html_``) find nothing."""
        if name.startswith("_"):
            raise AttributeError(name)
        self._refuse()

    # numpy asks for __array__ and __array_ufunc__ before anything else
    __array__ = __array_ufunc__ = __array_function__ = _refuse
    __len__ = __iter__ = __getitem__ = __contains__ = __bool__ = _refuse
    __float__ = __int__ = __index__ = __neg__ = __abs__ = __invert__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __sub__ = __mul__ = __truediv__ = __pow__ = __matmul__ = _refuse
    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rpow__ = __rmatmul__ = _refuse


def absent_rows(source: str, what: str) -> Stand:
    """`AbsentRows` where an array is meant."""
    return cast("np.ndarray", AbsentRows(source, what))


def check_rows(rows: object, what: str) -> None:
    """Raise if the rows were streamed; `what` needs them, "fitted values of all rows".

    Parameters
    ----------
    rows : object
        ``design.y`` or another field that holds rows.
    what : str
        What they are needed for, a plural that starts the reason.

    Raises
    ------
    DataError
        If the rows were read in batches.
    """
    if isinstance(rows, AbsentRows):
        raise absence(rows.source, what)


def absence(source: str, what: str) -> DataError:
    """The error for something that needs rows, with the way out."""
    return DataError(
        f"The rows of {source} were read in batches and are not in memory: {what} "
        f"would need them. For fitted values and residuals, iterate over "
        f"residual_batches(), which reads them again; for predictions of some rows, "
        f"read these into a data frame and give it to predict(); for anything else, "
        f"fit the model to a data frame in memory, a sample if need be."
    )
