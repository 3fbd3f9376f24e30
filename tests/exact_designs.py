"""Crossed and nested designs whose posteriors are hard to cover, for exactness.

Correlations near -1, SDs near 0, few levels: used by `test_exactness.py` and, by hand,
by `benchmarks/exactness.py`.
"""

from collections.abc import Callable
from functools import partial

import arviz as az
import numpy as np
import pandas as pd

from bayeslmm import Model, Posterior

SLOPES = "rt ~ condition + (condition | subj) + (condition | item)"
# Draws of NUTS that answers are held against: four chains of a quarter.
REFERENCE = 40_000


def experiment(
    subjects: int,
    items: int,
    *,
    of_subject: tuple[float, float, float] = (30.0, 20.0, 0.2),
    of_item: tuple[float, float, float] = (20.0, 10.0, 0.2),
    times: int = 1,
    missing: float = 0.0,
) -> pd.DataFrame:
    """Subjects by items by two conditions: SDs of intercept and slope, correlation."""
    rng = np.random.default_rng(subjects + items)
    s, i, c, _ = (own.ravel() for own in np.mgrid[:subjects, :items, :2, :times])
    effects = []
    for n, (one, two, corr) in ((subjects, of_subject), (items, of_item)):
        z = rng.normal(size=(n, 2))
        z[:, 1] = corr * z[:, 0] + np.sqrt(1.0 - corr**2) * z[:, 1]
        effects.append(z * [one, two])
    b, d = effects[0][s], effects[1][i]
    rt = 500.0 + 20.0 * c + b[:, 0] + d[:, 0] + c * (b[:, 1] + d[:, 1])
    rt += 50.0 * rng.normal(size=s.size)
    kept = rng.random(s.size) >= missing
    data = pd.DataFrame({"rt": rt, "condition": c, "subj": s, "item": i})
    return data[kept].astype({"subj": str, "item": str})


def nested(schools: int, classes: int, sds: tuple[float, ...]) -> pd.DataFrame:
    """Pupils in classes in schools: SDs of both intercepts and slopes, residual 1."""
    rng = np.random.default_rng(schools + classes)
    s, k, _ = (own.ravel() for own in np.mgrid[:schools, :classes, :8])
    c, x = s * classes + k, rng.normal(size=s.size)
    b, d = rng.normal(size=(schools, 2)), rng.normal(size=(schools * classes, 2))
    b, d = b * sds[:2], d * sds[2:]
    y = 1.0 + x * (0.5 + b[s, 1] + d[c, 1]) + b[s, 0] + d[c, 0]
    data = pd.DataFrame({"y": y + rng.normal(size=s.size), "x": x, "s": s, "c": k})
    return data.astype({"s": str, "c": str})


DESIGNS: dict[str, tuple[str, Callable[[], pd.DataFrame]]] = {
    "30 x 24": (SLOPES, partial(experiment, 30, 24)),
    "corr -0.99": (
        SLOPES,
        partial(experiment, 20, 16, of_subject=(30.0, 20.0, -0.99), missing=0.03),
    ),
    "slope SD 0 of items": (
        SLOPES,
        partial(experiment, 24, 16, of_item=(20.0, 0.0, 0.0), missing=0.03),
    ),
    "both slope SDs 0": (
        SLOPES,
        partial(
            *(experiment, 24, 16),
            of_subject=(30.0, 0.0, 0.0),
            of_item=(20.0, 0.0, 0.0),
            missing=0.03,
        ),
    ),
    "5 x 4": (SLOPES, partial(experiment, 5, 4, times=4)),
    "4 x 3, corr -0.9": (
        SLOPES,
        partial(experiment, 4, 3, of_subject=(30.0, 20.0, -0.9), times=4),
    ),
    "3 classes in 5 schools": (
        "y ~ x + (x | s/c)",
        partial(nested, 5, 3, (1.0, 0.5, 0.3, 0.1)),
    ),
    "4 classes in 20 schools, SDs 0": (
        "y ~ x + (x | s/c)",
        partial(nested, 20, 4, (0.6, 0.5, 0.1, 0.0)),
    ),
}


def model_of(design: str) -> Model:
    """The model of a design."""
    formula, make = DESIGNS[design]
    return Model(formula, make())


def variance_labels(model: Model) -> list[str]:
    """Labels of the variance parameters."""
    own = ("sd", "corr", "sigma")
    return [p.label for p in model.space.parameters if p.component in own]


def figures(post: Posterior, labels: list[str]) -> pd.DataFrame:
    """Mean, SD and both ends of 90% intervals, with the Monte Carlo error of each."""
    rows = {}
    for label in labels:
        draws = post.draws(label)
        quantiles = np.quantile(draws, (0.05, 0.95))
        errors = [az.mcse(draws, method="quantile", prob=q) for q in (0.05, 0.95)]
        rows[label] = {
            "mean": draws.mean(),
            "sd": draws.std(),
            "5%": quantiles[0],
            "95%": quantiles[1],
            "mean error": float(az.mcse(draws, method="mean")),
            "sd error": float(az.mcse(draws, method="sd")),
            "5% error": float(errors[0]),
            "95% error": float(errors[1]),
        }
    return pd.DataFrame(rows).T
