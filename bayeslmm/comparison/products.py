"""Cross-products of each level's own columns, with what else the model says taken off.

Takes a REML fit and a grouping factor; gives what each level's own regression is
computed from, without the rows.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.comparison.blocks import Block, spread_of
from bayeslmm.errors import ModelError
from bayeslmm.marginal.sums import block_pairs

if TYPE_CHECKING:
    from bayeslmm.reml.fit import RemlFit


def level_products(
    reml: "RemlFit", block: Block
) -> tuple[
    Float[np.ndarray, "j k k"], Float[np.ndarray, "j k"], Float[np.ndarray, "k k"]
]:
    """Z_j'W Z_j and Z_j'W r_j of each level in safe columns, and T of effects T c.

    r is the response less all that does not vary within this block, at REML values.
    """
    safe = reml.model.conditioned
    if safe.stack is not None:
        check_one_factor(reml)
        safe = safe.at(reml.theta[-1])  # each level's own regression is by its R^-1
    layout, sums = safe.statistics.layout, safe.statistics.sums
    at = [own.terms for own in layout.blocks].index(block.terms)
    common = safe.to_moved @ np.where(block.common, reml.beta, 0.0)
    score = sums.F[at] @ np.append(safe.root @ (safe.beta - common), safe.unit)
    for (one, other), cells in zip(block_pairs(layout), sums.cells, strict=True):
        level, other_level = np.divmod(cells.keys, other.n_levels)
        if one.terms == block.terms:
            theirs = _safe_effects(reml, other.terms)[other_level]
            np.subtract.at(score, level, np.einsum("cab,cb->ca", cells.values, theirs))
        elif other.terms == block.terms:
            theirs = _safe_effects(reml, one.terms)[level]
            products = np.einsum("cba,cb->ca", cells.values, theirs)
            np.subtract.at(score, other_level, products)
    return sums.A[at], score, spread_of(safe, block.terms)


def check_one_factor(reml: "RemlFit") -> None:
    """Raise for several factors under structured residuals, whose rows may mix."""
    structure = reml.design.residual
    if len({term.group for term in reml.design.groups}) > 1 and structure is not None:
        raise ModelError(
            f"Under residual={structure.label!r} the shrinkage of levels is shown for "
            f"one grouping factor, not for several. ranef() has their effects."
        )


def _safe_effects(reml: "RemlFit", terms: tuple[int, ...]) -> Float[np.ndarray, "j k"]:
    """The same for safe columns, units of y."""
    safe = reml.model.conditioned
    own = [safe.unit * safe.safe_effects(t, reml.effects.b[t]) for t in terms]
    return np.hstack(own)
