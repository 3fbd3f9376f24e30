"""One number and one grouping factor: what the ladder of pooling is about.

Takes a model; gives the predictor that is followed from complete pooling to a mixed
model, with the rows as ordinary regressions need them.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bayeslmm.comparison.blocks import Block, group_blocks
from bayeslmm.comparison.lines import find_predictor
from bayeslmm.comparison.regressions import Columns
from bayeslmm.design.arrays import rows_of
from bayeslmm.errors import ModelError
from bayeslmm.spec import ModelSpec


class Followed(NamedTuple):
    """The grouping factor, the label of the fixed effect, and the rows."""

    block: Block
    name: str
    rows: Columns

    @property
    def x(self) -> Float[np.ndarray, " n"]:
        """Values of the predictor."""
        return self.rows.X[:, self.rows.at]


def follow(model: ModelSpec, predictor: str | None = None) -> Followed:
    """What is followed.

    Parameters
    ----------
    model : Model
        Gaussian, with one grouping factor.
    predictor : str, optional
        A numeric fixed effect; by default the first whose effect varies, else the first
        fixed one.

    Raises
    ------
    ModelError
        If there are several grouping factors, or the predictor is no number or not in
        the fixed part.
    DataError
        If the rows are not in memory.
    """
    if model.family != "gaussian":
        raise ModelError(
            f"Complete, no and partial pooling of a slope are compared for Gaussian "
            f"models, which family {model.family!r} is not."
        )
    blocks = group_blocks(model)
    if len(blocks) != 1:
        names = ", ".join(block.group for block in blocks) or "none"
        raise ModelError(
            f"This needs one grouping factor, and the formula has {len(blocks)} "
            f"({names}): each would be pooled or not apart from the others. Leave one, "
            f"or compare models with bayeslmm.anova."
        )
    (block,) = blocks
    found = find_predictor(model, block, predictor)
    if found.levels or found.name not in model.design.fixed_names:
        fixed = [name for name in model.design.fixed_names if name != "Intercept"]
        raise ModelError(
            f"This follows the slope of one number, and "
            f"{found.name or 'the formula'!r} "
            f"{'is a factor' if found.levels else 'has none in the fixed part'}. "
            f"Fixed effects: {', '.join(fixed) or 'none but the intercept'}. For a "
            f"factor use emmeans and contrast of the fits."
        )
    return Followed(block, found.name, _columns(model, block, found.name))


def _columns(model: ModelSpec, block: Block, name: str) -> Columns:
    """The rows, as regressions need them."""
    rows = rows_of(model.design, "ordinary regressions")
    return Columns(
        y=rows.net,
        X=rows.X,
        at=model.design.fixed_names.index(name),
        codes=rows.codes[block.terms[0]],
        weights=np.ones(rows.n) if rows.weights is None else rows.weights,
    )
