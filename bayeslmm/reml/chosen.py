"""Levels that a user names, found in a model."""

from collections.abc import Iterable

import numpy as np

from bayeslmm.design.arrays import Design
from bayeslmm.design.distinct import number_labels
from bayeslmm.errors import ModelError, nearest_names

Level = str | int | float | np.number
Levels = Iterable[Level] | Level

# Levels of each grouping factor that a message looks for the nearest name among.
LOOKED_AT = 1000


def chosen_levels(
    design: Design, levels: Levels | None
) -> tuple[list[int], ...] | tuple[range, ...]:
    """Positions of the levels asked for, of each bar term; all for None.

    Parameters
    ----------
    design : Design
        Arrays of the model.
    levels : sequence of str or numbers, or one of them, or None
        Names of levels of any grouping factor; numbers by their labels, ``308`` for
        ``"308"``.

    Returns
    -------
    tuple of list of int
        For each bar term, in its own order of levels.

    Raises
    ------
    ModelError
        If a level is in none of the grouping factors.
    """
    if levels is None:
        return tuple(range(term.n_levels) for term in design.groups)
    wanted = dict.fromkeys(map(_label, _listed(levels)))
    found = tuple(
        [i for i, level in enumerate(term.levels) if level in wanted]
        for term in design.groups
    )
    known = {
        term.levels[i]
        for term, own in zip(design.groups, found, strict=True)
        for i in own
    }
    if not wanted:
        raise ModelError("levels=[] names no level. Leave it out for all of them.")
    missing = [level for level in wanted if level not in known]
    if missing:
        names = [level for term in design.groups for level in term.levels[:LOOKED_AT]]
        raise ModelError(
            f"There is no level {missing[0]!r} of a grouping factor in this model."
            f"{nearest_names(missing[0], names)}"
        )
    return found


def _listed(levels: Levels) -> list[Level]:
    """The levels as a list; one alone is a list of it."""
    if isinstance(levels, str) or not isinstance(levels, Iterable):
        return [levels]
    return list(levels)


def _label(level: Level) -> str:
    """Label of a level as the design has it: numbers as they are written there."""
    if isinstance(level, bool | np.bool_):
        return str(bool(level))
    if isinstance(level, int | float | np.number):
        return number_labels(np.array([level]), flags=False)[0]
    return str(level)
