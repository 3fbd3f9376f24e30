"""A frame with factors, numbers and a flag, and its design."""

import numpy as np
import pandas as pd

from bayeslmm.design import (
    build_design,
)
from bayeslmm.formula import parse_formula


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
