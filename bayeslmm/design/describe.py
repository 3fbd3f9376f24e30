"""What the grouping factors look like: levels, sizes, nested or crossed.

Takes a `Design`; gives a table for people. Counts only observed combinations of levels,
so that factors with very many levels cost no more than the rows.
"""

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.design.arrays import Design, GroupTerm

if TYPE_CHECKING:
    import pandas as pd


def describe_table(design: Design) -> "pd.DataFrame":
    """Size, balance and nesting of each grouping factor.

    Parameters
    ----------
    design : Design
        Arrays of the model.

    Returns
    -------
    DataFrame
        One row for each grouping factor (index ``group``): ``levels``; ``smallest``,
        ``median`` and ``largest`` number of rows of a level; ``balanced``, whether
        these are equal; ``relation`` to the other factors, in words: nested in (each
        level occurs with one level of the other), crossed with (every combination
        occurs), partly crossed with (the share of combinations that occur).

    Examples
    --------
    >>> from bayeslmm.datasets import simulate_classrooms
    >>> from bayeslmm.design import build_design
    >>> from bayeslmm.formula import parse_formula
    >>> data = simulate_classrooms(3, 4, seed=1).data
    >>> recipe = build_design(parse_formula("score ~ edu + (1 | classroom)"), data)
    >>> describe_table(recipe.design)["levels"].to_dict()
    {'classroom': 3}
    """
    import pandas as pd

    terms = list({term.group: term for term in reversed(design.groups)}.values())[::-1]
    rows = []
    by_group = dict(
        zip((t.group for t in design.groups), design.moments.sizes, strict=True)
    )
    for term in terms:
        sizes = by_group[term.group]
        others = [
            _relation(design, term, other) for other in terms if other is not term
        ]
        rows.append(
            {
                "group": term.group,
                "levels": term.n_levels,
                "smallest": int(sizes.min()),
                "median": float(np.median(sizes)),
                "largest": int(sizes.max()),
                "balanced": bool(sizes.min() == sizes.max()),
                "relation": "; ".join(others),
            }
        )
    columns = ["levels", "smallest", "median", "largest", "balanced", "relation"]
    return pd.DataFrame(rows, columns=["group", *columns]).set_index("group")


def containing_groups(design: Design, group: str) -> tuple[str, ...]:
    """Grouping factors of which each level of one has a single level."""
    terms = {term.group: term for term in design.groups}
    own = terms.pop(group)
    return tuple(
        name
        for name, other in terms.items()
        if n_cells(design, own, other) == own.n_levels
    )


def n_cells(design: Design, term: GroupTerm, other: GroupTerm) -> int:
    """Number of combinations of levels of two factors that occur."""
    if design.rows is None:
        return design.moments.cells[term.group, other.group]
    own, others = (design.rows.codes[design.groups.index(t)] for t in (term, other))
    return len(np.unique(own * other.n_levels + others))


def _relation(design: Design, term: GroupTerm, other: GroupTerm) -> str:
    """How the levels of a factor lie in those of another, in words."""
    cells = n_cells(design, term, other)
    if cells == term.n_levels == other.n_levels:
        return f"same groups as {other.group}"
    if cells == term.n_levels:
        return f"nested in {other.group}"
    if cells == other.n_levels:
        return f"contains {other.group}"
    possible = term.n_levels * other.n_levels
    if cells == possible:
        return f"crossed with {other.group}"
    share = 100.0 * cells / possible
    return f"partly crossed with {other.group} ({share:.2g}% of combinations)"
