"""Shares of variance: ICC and R2 of parameters, whoever estimated them.

Takes a design and values of its parameters (an estimate, those of a bootstrap, draws);
gives what is read off the variances of the parts of the model (`design.shares`).

References
----------
.. [1] Nakagawa et al. (2017). J. R. Soc. Interface 14(134).
   https://doi.org/10.1098/rsif.2017.0213
.. [2] Johnson (2014). Methods Ecol. Evol. 5(9). https://doi.org/10.1111/2041-210X.12225
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.design.describe import containing_groups
from bayeslmm.design.shares import Values, variance_parts
from bayeslmm.tables import Table

type Numbers = Mapping[str, Float[np.ndarray, "*s m"]]

WITHOUT_RHO = (
    "Of the random effects alone: rows of one level are correlated by rho of their "
    "residuals too, which is in no ICC."
)


@dataclass(frozen=True, slots=True)
class Quantities:
    """Rows of a table that both sides have: what each is, and how it is computed.

    Attributes
    ----------
    index : Index
        Of the rows.
    of : callable
        Values of the parameters -> numbers by name, each of shape (..., rows); the
        first, ``estimate``, is what the table is about.
    keys : dict of str to list
        Columns that say what a row is.
    limited : tuple of str
        Names beside ``estimate`` of which an interval is shown too.
    attrs : dict
        What is said of the table.
    """

    index: pd.Index
    of: Callable[[Values], Numbers]
    keys: Mapping[str, list] = field(default_factory=dict)
    limited: tuple[str, ...] = ()
    attrs: Mapping[str, object] = field(default_factory=dict)


def quantity_table(rows: Quantities, numbers: Mapping[str, np.ndarray]) -> Table:
    """What each row is, then the numbers of either side."""
    table = Table({**rows.keys, **numbers}, index=rows.index)
    table.attrs.update(rows.attrs)
    return table


def share_index(names: Sequence[str]) -> pd.Index:
    """Index of shares."""
    return pd.Index(list(names), name="share")


def with_notes(table: Table, notes: Sequence[str]) -> Table:
    """The table with sentences below it, if there are any."""
    if notes:
        table.attrs["notes"] = tuple(notes)
    return table


def icc_quantities(design: Design) -> Quantities:
    """Random variance over random and residual, without and with the fixed part."""

    def of(values: Values) -> Numbers:
        found = variance_parts(design, values)
        shares = (found.random / found.within, found.random / found.total)
        return {"estimate": np.stack(shares, axis=-1)}

    series = design.residual is not None and design.residual.series is not None
    attrs = {"notes": (WITHOUT_RHO,)} if series else {}
    return Quantities(share_index(("adjusted", "unadjusted")), of, attrs=attrs)


def r2_quantities(design: Design) -> Quantities:
    """Fixed, and fixed plus random, over the total variance."""

    def of(values: Values) -> Numbers:
        found = variance_parts(design, values)
        explained = (found.fixed, found.fixed + found.random)
        return {"estimate": np.stack(explained, axis=-1) / found.total[..., None]}

    return Quantities(share_index(("marginal", "conditional")), of)


def group_quantities(design: Design) -> Quantities:
    """The adjusted ICC of each grouping factor.

    Of a factor nested in others also that of two rows of one of its levels, which
    share the levels of these too.
    """
    rows = []
    for group in group_names(design):
        rows.append((group, "adjusted", (group,)))
        around = containing_groups(design, group)
        if around:
            rows.append((group, "same level", (group, *around)))
    index = pd.MultiIndex.from_tuples(
        [(group, share) for group, share, _ in rows], names=["group", "share"]
    )

    def of(values: Values) -> Numbers:
        found = variance_parts(design, values)
        own = [
            sum(found.terms[t] for group in groups for t in terms_of(design, group))
            for *_, groups in rows
        ]
        return {"estimate": np.stack(own, axis=-1) / found.within[..., None]}

    return Quantities(index, of)


def group_names(design: Design) -> tuple[str, ...]:
    """Grouping factors in the order of the formula."""
    return tuple(dict.fromkeys(term.group for term in design.groups))


def terms_of(design: Design, group: str) -> tuple[int, ...]:
    """Positions of the bar terms of a grouping factor."""
    return tuple(t for t, term in enumerate(design.groups) if term.group == group)
