"""Compile ahead: small fits of the models that people fit, each step said."""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bayeslmm.api.model import Method, Model
from bayeslmm.datasets import simulate_classrooms
from bayeslmm.errors import BayesLMMWarning

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

# What is fitted and how; most of the time goes to the first of each kind.
COMMON: tuple[tuple[str, Method], ...] = (
    ("score ~ edu + (1 | classroom)", "nuts"),
    ("score ~ edu + (edu | classroom)", "nuts"),
    ("score ~ edu + (edu || classroom)", "nuts"),
    ("score ~ edu + (edu + age | classroom)", "nuts"),
    ("score ~ edu + (1 | school/classroom)", "nuts"),
    ("score ~ edu + (1 | classroom) + (1 | test)", "nuts"),
    ("score ~ edu + (edu | classroom) + (1 | test)", "nuts"),
    ("score ~ edu + (1 | classroom) + (1 | test)", "importance"),
    ("score ~ edu + (1 | classroom)", "quadrature"),
)


def warm_up(console: "Console") -> None:
    """Fit each of the common models once, and say how long each took.

    Parameters
    ----------
    console : Console
        Where a line is printed for each.
    """
    data, started = simulate_pupils(), time.perf_counter()
    console.print(f"Compiling for {len(COMMON)} kinds of model, once on this machine.")
    with _quiet():
        for i, (formula, method) in enumerate(COMMON, start=1):
            begun = time.perf_counter()
            model = Model(formula, data)
            model.fit_reml()
            model.sample(
                draws=20, tune=20, chains=2, seed=1, method=method, progress=False
            ).summary()
            seconds = time.perf_counter() - begun
            line = f"{i}/{len(COMMON)}  {seconds:5.1f} s  {formula}  ({method})"
            console.print(line, markup=False, highlight=False)
    seconds = time.perf_counter() - started
    console.print(f"Done in {seconds:.0f} s: the next fits start at once.")


def simulate_pupils() -> "pd.DataFrame":
    """Pupils of classrooms in schools, who sat one of several tests.

    Some are missing: where levels are alike they are pooled, and nothing else compiled.
    """
    data = simulate_classrooms(24, 12, seed=1).data.drop(index=range(0, 288, 7))
    numbers = data.groupby("classroom").ngroup()
    pupil = data.groupby("classroom").cumcount()
    return data.assign(school=numbers // 4, test=pupil % 6, age=pupil % 5)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what is said of short runs, and of the compiling that is meant here."""
    logger = logging.getLogger("bayeslmm")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BayesLMMWarning)
            yield
    finally:
        logger.setLevel(level)
