"""Analysis of variance of the fixed part: an F test for each term.

Takes a `RemlFit`, gives the table of lmerTest's `anova`, types 1, 2 and 3.
"""

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.design.hypotheses import term_hypotheses
from bayeslmm.errors import ModelError
from bayeslmm.reml.ddf import denominator
from bayeslmm.reml.effect_tests import f_table, warn_of_missing

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.reml.fit import RemlFit

# What a user may call the types.
TYPES = {1: 1, 2: 2, 3: 3, "1": 1, "2": 2, "3": 3, "I": 1, "II": 2, "III": 3}


def anova_table(fit: "RemlFit", kind: object, ddf: object) -> "pd.DataFrame":
    """F tests of the terms; see `RemlFit.anova`."""
    known = denominator(fit, ddf)
    number = TYPES.get(kind) if isinstance(kind, int | str) else None
    if number is None or isinstance(kind, bool):
        raise ModelError(f"Unknown type={kind!r} of anova. Options: 1, 2, 3.")
    rows = term_hypotheses(fit.model.recipe, number)
    if not rows:
        raise ModelError(
            "The fixed part has no term to be tested, an intercept at most. Test the "
            "intercept with contrast('Intercept'), the random part with ranova()."
        )
    reasons = fit.information.reasons
    loose = [label in reasons for label in fit.design.fixed_names]
    tests = [
        known.test(own, own @ fit.beta)
        for own in rows.values()
        if not own[:, loose].any()
    ]
    names = [name for name, own in rows.items() if not own[:, loose].any()]
    warn_of_missing(names, tests, ddf)
    table = f_table(names, tests, "term")
    wald = np.array([test.statistic / test.scale for test in tests])
    squares = wald * fit.sigma**2
    table.insert(0, "sum_sq", squares * np.array([test.num_df for test in tests]))
    table.insert(1, "mean_sq", squares)
    return table
