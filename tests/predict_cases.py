"""Data of the tests of predictions."""

import numpy as np
import pandas as pd


def crossed(n: int = 90, seed: int = 1) -> pd.DataFrame:
    """Two crossed factors, a slope that varies, weights."""
    rng = np.random.default_rng(seed)
    g, h, x = rng.integers(0, 8, n), rng.integers(0, 5, n), rng.normal(size=n)
    b, c = rng.normal(size=(8, 2)) * [2.0, 1.0], rng.normal(size=5)
    w = rng.uniform(0.5, 2.0, n)
    y = 1.0 + x + b[g, 0] + b[g, 1] * x + c[h] + 0.7 * rng.normal(size=n) / np.sqrt(w)
    names = {"g": [f"g{i}" for i in g], "h": [f"h{i}" for i in h]}
    return pd.DataFrame({"y": y, "x": x, "w": w} | names)


def balanced(J: int, per: int, sd: float, rng: np.random.Generator) -> pd.DataFrame:
    """Levels with the same number of rows."""
    g = np.repeat(np.arange(J), per)
    y = 5.0 + sd * rng.normal(size=J)[g] + rng.normal(size=J * per)
    return pd.DataFrame({"y": y, "g": [f"g{i}" for i in g]})
