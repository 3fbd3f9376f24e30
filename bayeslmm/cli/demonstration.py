"""The data of ``bayeslmm demo``: simulated classrooms, or the chapter's pupils."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from bayeslmm.datasets import load_data, simulate_classrooms
from bayeslmm.errors import ModelError, nearest_names
from bayeslmm.reporting.record import Record

if TYPE_CHECKING:
    import pandas as pd

FORMULA = "score ~ edu + (edu | classroom)"
SEED = 4
CHAPTER = "score_parentedu_byclass"
NAMES = ("simulated", "chapter")


class Demonstration(NamedTuple):
    """Rows, where they are from in words and for the record, and what made them."""

    data: "pd.DataFrame"
    words: str
    source: Record
    truth: Mapping[str, float] | None


def demonstration(name: str) -> Demonstration:
    """The data of that name.

    Raises
    ------
    ModelError
        If there are none.
    """
    if name == "simulated":
        made = simulate_classrooms(seed=SEED)
        words = (
            "Simulated classrooms: scores of pupils against the education of their "
            "parents."
        )
        source = Record(f"simulate_classrooms(seed={SEED})")
        return Demonstration(made.data, words, source, made.truth)
    if name == "chapter":
        pupils = load_data(CHAPTER)
        words = (
            "The tutorial's classrooms: scores of 60 pupils in 3 classes against the "
            f"education of their parents.\nSource: {pupils.attrs['origin']}."
        )
        return Demonstration(pupils, words, Record(f"load_data({CHAPTER!r})"), None)
    raise ModelError(
        f"There is no demonstration {name!r}.{nearest_names(name, NAMES)} "
        f"--data is one of: {', '.join(NAMES)}."
    )
