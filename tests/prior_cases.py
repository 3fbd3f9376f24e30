"""A design that has every kind of parameter a prior can be given to."""

import numpy as np

from bayeslmm.design.arrays import (
    Design,
    EffectVariable,
    FixedVariable,
    GroupTerm,
    RowAccount,
)
from bayeslmm.design.rows import Rows


def make_design(structure: str = "us", *, intercept: bool = True) -> Design:
    """60 rows, x and a three-level factor a fixed; (x | g) and (1 | h)."""
    rng = np.random.default_rng(5)
    n = 60
    a, g, h = np.arange(n) % 3, np.arange(n) % 5, np.arange(n) // 10
    x = rng.normal(3.0, 2.0, n)
    levels = [0, 1, 2] if not intercept else [1, 2]
    dummies = np.column_stack([a == level for level in levels]).astype(float)
    one, named = np.ones(n), tuple("ABC"[level] for level in levels)
    fixed = [
        FixedVariable("x", (int(intercept),)),
        FixedVariable(
            "a", tuple(range(1 + intercept, 1 + intercept + len(levels))), named
        ),
    ]
    if intercept:
        fixed.insert(0, FixedVariable("Intercept", (0,)))
    X = np.column_stack([*([one] if intercept else []), x, dummies])
    slopes = GroupTerm(
        "(x | g)",
        "g",
        ("Intercept", "x"),
        tuple("vwxyz"),
        structure,  # type: ignore[arg-type]
        (EffectVariable("1|g", "1", (0,)), EffectVariable("x|g", "x", (1,))),
    )
    crossed = GroupTerm(
        "(1 | h)",
        "h",
        ("Intercept",),
        tuple("abcdef"),
        "us",
        (EffectVariable("1|h", "1", (0,)),),
    )
    y = 20.0 + 0.5 * x + a + rng.normal(0.0, 2.0, n)
    account = RowAccount(n, n)
    Z, codes = (np.column_stack([one, x]), one[:, None]), (g, h)
    rows = Rows(y, X, Z, codes, np.arange(n))
    return Design(tuple(fixed), (slopes, crossed), "y", account, rows)
