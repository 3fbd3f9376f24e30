"""Residuals and fitted values a batch of rows at a time.

Takes a fit; gives frames of some rows each, of a model in memory as of one whose rows
were read in batches and are read once more for it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.rows import linear_predictor
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

Effects = tuple[Float[np.ndarray, "_j _k"], ...]


class RowBatches:
    """What `RemlFit` and `Posterior` share: tables of rows, in batches."""

    __slots__ = ()
    model: ModelSpec

    def _means(self) -> tuple[Float[np.ndarray, " p"], Effects]:
        """Estimates of the fixed and of the random effects."""
        raise NotImplementedError

    def residual_batches(self) -> Iterator["pd.DataFrame"]:
        """Residuals and fitted values, a batch of rows at a time.

        Use it where the rows do not fit in memory: they are read once more, in order.
        The frames together hold what `residuals` and `fitted` give in memory.

        Returns
        -------
        iterator of DataFrame
            One row for each row used: ``response``, ``fitted``, ``residual``, units of
            y; index ``row``, its position in the data from 0.

        Raises
        ------
        DataError
            If the model does not know where its rows are; while iterating, if they
            cannot be read, or at the end if they are not those of the fit.

        Examples
        --------
        >>> import bayeslmm as lmm
        >>> rows = lmm.simulate_classrooms(seed=1).data
        >>> batches = [rows[:100], rows[100:]]
        >>> fit = lmm.Model("score ~ edu + (1 | classroom)", batches).fit_reml()
        >>> [len(part) for part in fit.residual_batches()]
        [100, 140]
        """
        beta, b = self._means()
        return _frames(self.model, beta, b)


def _frames(
    model: ModelSpec, beta: Float[np.ndarray, " p"], b: Effects
) -> Iterator["pd.DataFrame"]:
    """A frame for each batch; the rows are asked for now, so that errors come now."""
    parts = model.read_rows()

    def frames() -> Iterator["pd.DataFrame"]:
        import pandas as pd

        for part in parts:
            fitted, y = linear_predictor(part, beta, b), part.y
            columns = {"response": y, "fitted": fitted, "residual": y - fitted}
            yield pd.DataFrame(columns, index=pd.Index(part.position, name="row"))

    return frames()
