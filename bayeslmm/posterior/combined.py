"""Linear combinations of the fixed effects of a posterior, draw by draw."""

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.design.contrasts import make_contrasts
from bayeslmm.posterior.places import draws_at, places
from bayeslmm.posterior.tables import IntervalKind, interval_bounds
from bayeslmm.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.posterior.fit import Posterior


def contrast_table(
    post: "Posterior", what: object, prob: float, kind: IntervalKind
) -> "pd.DataFrame":
    """Combinations of the fixed effects; see `Posterior.contrast`."""
    import pandas as pd

    asked = make_contrasts(post.model.design, what)
    names, known = post.model.design.fixed_names, places(post.model.design, post.idata)
    total = 0.0
    for place, weights in enumerate(asked.weights.T):
        if weights.any():
            draws = draws_at(known, post.idata, names[place])
            total = total + draws[..., None] * weights
    values = np.asarray(total) + asked.constants
    lower, upper = interval_bounds(values, prob, kind)
    mean, sd = values.mean(axis=(0, 1)), values.std(axis=(0, 1), ddof=1)
    no_mean, no_sd = (
        [any(names[i] in without for i in np.flatnonzero(row)) for row in asked.weights]
        for without in (post.status.missing.mean, post.status.missing.sd)
    )
    return Table(
        {
            "mean": np.where(no_mean, np.nan, mean),
            "median": np.median(values, axis=(0, 1)),
            "sd": np.where(no_sd, np.nan, sd),
            "lower": lower,
            "upper": upper,
            "p_above": (values > 0.0).mean(axis=(0, 1)),
        },
        index=pd.Index(asked.names, name="contrast"),
    )
