"""Simulated pupils for the tests of comparisons."""

import numpy as np
import pandas as pd

import bayeslmm as lmm


def pupils(n_classrooms: int = 6, n_pupils: int = 8, seed: int = 3) -> pd.DataFrame:
    """Simulated pupils with a weight, an offset and a second grouping column."""
    data = lmm.simulate_classrooms(n_classrooms, n_pupils, seed=seed).data
    rng = np.random.default_rng(seed)
    data["weight"] = rng.uniform(0.5, 2.0, len(data))
    data["shift"] = rng.normal(size=len(data))
    data["item"] = np.arange(len(data)) % 5
    return data
