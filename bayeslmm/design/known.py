"""What a prediction knows of the level of a row: four words, on both sides the same.

The one place that says what they mean. With ``b_j ~ N(0, Sigma)`` the effects of level
j of a grouping factor, a row is predicted

- ``"group"``: for the level that it names, with that level's effects as they were
  estimated. A level that was not in the data is an error that names it, as in lme4 and
  brms: a misspelt name must not become somebody new.
- ``"new"``: for the level that it names, which may be one that was not in the data.
  Such a level has effects of its own, drawn from ``N(0, Sigma)``: they are the same in
  all its rows, which are therefore correlated. Levels of the data keep theirs. brms has
  this as ``allow_new_levels=TRUE, sample_new_levels="gaussian"``.
- ``"unknown"``: for a level that nobody knows, another in each row. An expected
  response is averaged over the levels there might be; a new response has the variance
  between levels in it.
- ``"population"``: without random effects, for a level in which they are all 0. lme4
  has this as ``re.form = NA``.

With several grouping factors a word holds for each of them by itself: under ``"new"`` a
row may have an old level of one and a new level of another. A mapping gives each
factor its own word, ``{"school": "group", "pupil": "unknown"}``; factors that it leaves
out are ``"group"``. ``"unknown"`` and ``"population"`` need no grouping column.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NoReturn, get_args

import numpy as np

from bayeslmm.design.arrays import GroupTerm
from bayeslmm.errors import (
    DataError,
    ModelError,
    is_choice,
    is_number,
    listed,
    nearest_names,
)

LevelWord = Literal["group", "new", "unknown", "population"]
Known = LevelWord | Mapping[str, LevelWord]

MEANINGS: dict[LevelWord, str] = {
    "group": "effects of the named level as estimated",
    "new": "a level that was not in the data has effects drawn from N(0, Sigma)",
    "unknown": "averaged over levels, each row apart",
    "population": "without random effects",
}
# Levels of a grouping factor that a message looks for the nearest name among.
LOOKED_AT = 1000
# What was written before there were words, and what says the same now.
REPLACED = {
    "random": "random=False is level='population', random=True level='group' or 'new'",
    "new_levels": "new_levels='error' is level='group'; for levels that are not in the "
    "data there are level='new', 'unknown' and 'population'",
}


def known_words(groups: Sequence[GroupTerm], level: object) -> tuple[LevelWord, ...]:
    """The word of each bar term.

    Parameters
    ----------
    groups : sequence of GroupTerm
        Bar terms of the model.
    level : str or mapping of str to str
        One of the words for all grouping factors, or for each by its name.

    Raises
    ------
    ModelError
        If there is no such word, or no such grouping factor.
    """
    if not isinstance(level, Mapping):
        return (_word(level),) * len(groups)
    names = dict.fromkeys(term.group for term in groups)
    for name in level:
        if name not in names:
            raise ModelError(
                f"level={dict(level)!r} names {name!r}, which is no grouping factor of "
                f"this model. It has {listed(names) if names else 'none'}."
            )
    return tuple(_word(level.get(term.group, "group")) for term in groups)


def _word(level: object) -> LevelWord:
    """One of the words."""
    for word in get_args(LevelWord):
        if is_choice(level, (word,)):
            return word
    options = "; ".join(f"{word!r} ({text})" for word, text in MEANINGS.items())
    hint = ""
    if is_number(level):
        hint = f" The probability of an interval is prob={level!r}."
    raise ModelError(f"Unknown level={level!r}. Options: {options}.{hint}")


def averaged_away(words: Sequence[LevelWord]) -> tuple[LevelWord, ...]:
    """The words where the average over levels is a prediction without their effects.

    So it is for a mean that is linear in them.
    """
    return tuple("population" if word == "unknown" else word for word in words)


def refuse_replaced(given: Mapping[str, object]) -> None:
    """Raise for options of `predict` that have other names now, or never existed.

    Raises
    ------
    ModelError
        If an option was replaced; the message says by what.
    TypeError
        If there never was such an option.
    """
    for name in given:
        if name in REPLACED:
            raise ModelError(f"predict() has no {name}= any more: {REPLACED[name]}.")
        raise TypeError(f"predict() got an unexpected keyword argument {name!r}")


def refuse_unseen(term: GroupTerm, unseen: np.ndarray) -> NoReturn:
    """Raise for rows whose levels the fit has not seen, `unseen` their labels."""
    names = list(dict.fromkeys(str(label) for label in unseen))
    n, near = len(unseen), nearest_names(names[0], term.levels[:LOOKED_AT])
    rows = "1 row has a level" if n == 1 else f"{n} rows have levels"
    raise DataError(
        f"{rows} of {term.group!r} that the fit has not seen: {listed(names)}."
        f"{near} There are no estimates of their effects. If no name is misspelt, "
        f"write level='new' (effects are drawn from N(0, Sigma), the same in all rows "
        f"of a level; levels of the data keep theirs), level='unknown' (averaged over "
        f"levels) or level='population' (without random effects)."
    )
