"""Predictors whose zero lies so far from the data that priors meant there mislead.

The SD of an intercept and its correlation with a slope are those where the predictor
is 0. Seen from R SDs away the one is R times the slope's SD of a row, the other within
1 / R^2 of -1 or 1: what a prior meant at zero all but excludes, so that the posterior
gives up the slopes instead. Sets that refer to the mean know nothing of it.
"""

import numpy as np

from bayeslmm.design.arrays import Design
from bayeslmm.priors import Priors

# SDs of a predictor between zero and its mean. On sleepstudy `cs(Days | Subject)` keeps
# a slope SD of 4.4 at 22 of them (6.3 at the mean), 3.9 at 36, and 0.2 at 71.
FAR = 30.0


def far_from_zero(design: Design, priors: Priors) -> tuple[str, ...]:
    """Names of predictors that are too far from zero for the priors of their term.

    Parameters
    ----------
    design : Design
        Arrays of the model.
    priors : Priors
        Its priors.

    Returns
    -------
    tuple of str
        Each once; empty for priors that refer to the mean, or are flat.
    """
    found: dict[str, None] = {}
    for t, term in enumerate(design.groups):
        flat = priors.corr_eta[t] == 1.0 and all(p.is_flat for p in priors.sd[t])
        at_zero = not flat and priors.reference[t] is None
        correlated = "Intercept" in term.effects and term.covariance.n_corr(term.k) > 0
        if not (at_zero and correlated):
            continue
        columns = design.moments.Z[t]
        spread = columns.sd()
        varies = ~columns.constant & (spread > 0.0)
        far = np.abs(columns.mean) > FAR * spread
        found |= dict.fromkeys(
            effect
            for effect, one in zip(term.effects, varies & far, strict=True)
            if one
        )
    return tuple(found)
