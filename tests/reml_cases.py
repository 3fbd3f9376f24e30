"""Random frames and quiet fits for the tests of REML."""

import warnings

import numpy as np
import pandas as pd
from sampling import unchecked

from bayeslmm import FitWarning, Model


def toy(seed, n=60, levels=6, sds=(1.0, 0.7), sigma=0.8):
    """A frame with y, x, w, and two crossed groups g and h; unequal sizes."""
    rng = np.random.default_rng(seed)
    g = np.concatenate([np.arange(levels), rng.integers(0, levels, n - levels)])
    h = np.concatenate([np.arange(4), rng.integers(0, 4, n - 4)])
    x, w = rng.normal(size=(2, n))
    b = rng.normal(size=(levels, 2)) * sds
    y = 2.0 + 0.5 * x + b[g, 0] + b[g, 1] * x + sigma * rng.normal(size=n)
    return pd.DataFrame(
        {"y": y, "x": x, "w": w, "g": [f"g{i}" for i in g], "h": [f"h{i}" for i in h]}
    )


def fit(formula, data, method="REML", **options):
    """A fit whose warning about the boundary is not the subject."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return Model(formula, data, **options).fit_reml(method=method)


def fit_unchecked(formula, data, method="REML", **options):
    """The same at the speed that a user has, for the laws that need many fits."""
    with unchecked():
        return fit(formula, data, method, **options)


def estimates(reml):
    """The estimate of every parameter."""
    return reml.summary()["estimate"]
