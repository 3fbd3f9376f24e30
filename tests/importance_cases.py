"""Models, targets and runs for the tests of importance sampling."""

import functools
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sampling import unchecked

from bayeslmm import Model, simulate_classrooms
from bayeslmm.design import Design
from bayeslmm.graph.trees import to_datatree
from bayeslmm.posterior.importance import (
    Declined,
    ImportanceDraws,
    importance_posterior,
    sample_importance,
)
from bayeslmm.posterior.mode import Laplace, laplace
from bayeslmm.posterior.rounds import Rounds
from bayeslmm.posterior.target import Target, make_target
from bayeslmm.posterior.visits import in_threads

Run = tuple[Model, Target, Laplace]


def prepared(model: Model) -> Run:
    """A model with its target and mode."""
    target = make_target(model.design, model.conditioned, model.priors)
    return model, target, laplace(target)


@functools.cache
def intercepts() -> Run:
    """Random intercepts of 15 classrooms."""
    data = simulate_classrooms(n_classrooms=15, n_pupils=8, seed=3).data
    return prepared(Model("score ~ edu + (1 | classroom)", data))


@functools.cache
def crossed() -> Run:
    """Two crossed factors, so many levels that density and effects come together."""
    rng = np.random.default_rng(8)
    a, b = np.tile(np.arange(130), 10), rng.permutation(np.repeat(np.arange(65), 20))
    y = rng.normal(size=130)[a] + rng.normal(size=65)[b] + rng.normal(size=1300)
    data = pd.DataFrame({"y": y, "a": a, "b": b, "x": rng.normal(size=1300)})
    return prepared(Model("y ~ x + (1 | a) + (x | b)", data))


def accepted(run: Run, **options: Any) -> ImportanceDraws:
    """Draws that are known to be accepted; runs that are declined are checked."""
    defaults: dict[str, Any] = {"draws": 500, "chains": 4, "seed": 1, "cores": 1}
    with unchecked():
        found = sample_importance(run[1], run[2], **{**defaults, **options})
    assert isinstance(found, ImportanceDraws), found.reason
    return found


def interrupt_second_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the second batch of points is evaluated; the first is left alone."""
    module, calls = sys.modules[Rounds.__module__], []

    def interrupted(visit: Any, items: Any, cores: int) -> Any:
        """As `in_threads`, once."""
        calls.append(len(items))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return in_threads(visit, items, cores)

    monkeypatch.setattr(module, "in_threads", interrupted)


def declined(model: Model, **options: Any) -> Declined:
    """A run that is known to be declined."""
    _, target, normal = prepared(model)
    defaults: dict[str, Any] = {"draws": 1000, "chains": 4, "seed": 1, "cores": 1}
    found = sample_importance(target, normal, **{**defaults, **options})
    assert isinstance(found, Declined)
    return found


def tree_of(design: Design, target: Target, drawn: ImportanceDraws) -> Any:
    """The draws as ArviZ holds them."""
    arrays = importance_posterior(design, target, drawn)
    return to_datatree(design, arrays, drawn.stats, {"method": "importance"})
