"""What is fitted: data, formula, and the columns that a hand-written model needs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import bayeslmm as lmm

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Case:
    """One data set with one formula, and the methods that can fit it.

    ``columns`` are response, predictor and group of ``y ~ x + (x | g)``, for the
    methods that are written by hand.
    """

    name: str
    suite: str
    formula: str
    load: Callable[[], "pd.DataFrame"]
    methods: tuple[str, ...]
    columns: tuple[str, str, str] = field(default=("", "", ""))


BAYESIAN = ("ours", "pymc-lkj-nutpie", "pymc-lkj", "bambi")

CASES = (
    Case(
        "sleepstudy",
        "small",
        "Reaction ~ Days + (Days | Subject)",
        lambda: lmm.load_data("sleepstudy"),
        BAYESIAN,
        ("Reaction", "Days", "Subject"),
    ),
    Case(
        "classroom",
        "small",
        "score ~ edu + (edu | classroom)",
        lambda: lmm.load_data("score_parentedu_byclass"),
        BAYESIAN,
        ("score", "edu", "classroom"),
    ),
)
