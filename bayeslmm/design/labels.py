"""What the rows used are called, so that a reader finds them in the data again.

Takes the data frame and the positions of the rows used; gives one label for each.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from bayeslmm.errors import printable

if TYPE_CHECKING:
    import pandas as pd


def label_rows(data: object, kept: Int[np.ndarray, " n"]) -> np.ndarray:
    """Labels of the rows used, as coordinates of a DataTree take them.

    Parameters
    ----------
    data : DataFrame
        Of pandas, or any other kind.
    kept : ndarray of int, shape (n,)
        Positions of the rows used.

    Returns
    -------
    ndarray, shape (n,)
        The index of a pandas frame: numbers and dates as they are, anything else as
        text. Positions for other frames, which have no index, and where labels occur
        more than once.
    """
    import pandas as pd

    if not isinstance(data, pd.DataFrame):
        return kept
    labels = index_labels(data.index[kept])
    return kept if labels is None else labels


def index_labels(index: "pd.Index") -> np.ndarray | None:
    """The labels of an index, as `label_rows` writes them; None unless each is one."""
    import pandas as pd

    if not index.is_unique:
        return None
    if not isinstance(index, pd.MultiIndex) and index.dtype.kind in "iufM":
        return index.to_numpy()
    labels = np.array([printable(str(label)) for label in index], dtype=object)
    return labels if len(set(labels)) == len(labels) else None
