"""A frame with factors, numbers and a flag, and its design."""

import numpy as np
import pandas as pd

from bayeslmm.design import (
    build_design,
)
from bayeslmm.design.source import open_source
from bayeslmm.formula import parse_formula
from bayeslmm.marginal.stream import stream_model


def small_frame(n=24):
    """Two factors of 3 and 2 levels, two numbers, a flag, a grouping factor of 4."""
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.normal(size=n),
            "w": rng.uniform(1, 4, size=n),
            "a": np.tile(["p", "q", "r"], n // 3),
            "b": np.repeat(["u", "v"], n // 2),
            "flag": rng.random(n) < 0.5,
            "g": np.tile(np.repeat(["A", "B", "C", "D"], 3), n // 12),
        }
    )


def build(text, data=None, **settings):
    return build_design(
        parse_formula(text), small_frame() if data is None else data, **settings
    )


def read(text, data, *, streamed=False, weights=None):
    """Recipe of a frame in memory, or of the same rows read in batches."""
    names = data.column_names if hasattr(data, "column_names") else data.columns
    formula = parse_formula(text, columns=names)
    if not streamed:
        return build_design(formula, data, weights=weights)
    source = open_source([data])
    assert source is not None
    return stream_model(formula, source, weights=weights, threads=1).recipe
