"""Which levels a figure draws: those asked for, or those that tell the most."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.errors import ModelError, nearest_names

Levels = int | Literal["all"] | Iterable[object]

LEEWAY = 1.2  # to leave out fewer than a fifth is not worth the words


@dataclass(frozen=True, slots=True)
class ChosenLevels:
    """Positions (s,) of the levels drawn, and a line that says which; "" for all."""

    positions: Int[np.ndarray, " s"]
    note: str


def choose_levels(
    names: Sequence[str],
    asked: Levels | None,
    group: str,
    reasons: dict[str, Float[np.ndarray, " j"]],
    *,
    most: int,
) -> ChosenLevels:
    """The levels to be drawn.

    Parameters
    ----------
    names : sequence of str
        All levels.
    asked : int, "all" or iterable of labels, optional
        How many, all, or which; by default about `most`.
    group : str
        Grouping factor, for messages.
    reasons : dict of str to ndarray, shape (j,)
        What speaks for a level, largest first, by the words for it (``"most moved"``);
        the levels are taken from each in turn.
    most : int
        Levels drawn by default.

    Raises
    ------
    ModelError
        If `asked` is none of these, or a level does not exist.
    """
    count = _count(asked, len(names), most)
    if count is None:
        assert isinstance(asked, Iterable)
        chosen = _named(names, list(asked), group)
        return ChosenLevels(
            chosen, f"{len(chosen):,} of {len(names):,} levels, as asked"
        )
    if count >= len(names):
        return ChosenLevels(np.arange(len(names)), "")
    # what is the same for all levels tells none from the others
    reasons = {words: r for words, r in reasons.items() if len(set(r)) > 1} or reasons
    words = " and ".join(", the ".join(reasons).rsplit(", ", 1))
    note = (
        f"{count:,} of {len(names):,} levels: the {words}; "
        f"{len(names) - count:,} left out (levels='all' has them)"
    )
    return ChosenLevels(_in_turn(list(reasons.values()), count), note)


def pooling_reasons(
    own: Float[np.ndarray, "j k"],
    pooled: Float[np.ndarray, "j k"],
    center: Float[np.ndarray, "j k"],
    sizes: Int[np.ndarray, " j"],
) -> dict[str, Float[np.ndarray, " j"]]:
    """What speaks for drawing a level, all its effects together.

    Distances are in SDs of the pooled estimates; `sizes` are the rows of the levels.
    """
    spread = pooled.std(axis=0)
    spread = np.where(spread > 0.0, spread, 1.0)
    return {
        "furthest from the centre": np.linalg.norm((pooled - center) / spread, axis=1),
        "most moved": np.linalg.norm((own - pooled) / spread, axis=1),
        "fewest rows": -sizes.astype(float),
    }


def _count(asked: object, n_levels: int, most: int) -> int | None:
    """How many levels are wanted; None if they are named."""
    if asked is None:
        return n_levels if n_levels <= LEEWAY * most else most
    if isinstance(asked, str):
        if asked == "all":
            return n_levels
        raise ModelError(
            f"levels={asked!r} is one text, and levels are 'all', a number, or a list "
            f"of labels. For one level write levels=[{asked!r}]."
        )
    if isinstance(asked, Integral) and not isinstance(asked, bool):
        if asked < 1:
            raise ModelError(
                f"levels={asked} asks for no level. Give a number from 1 on, 'all', or "
                "a list of labels."
            )
        return int(asked)
    if isinstance(asked, Iterable) and not isinstance(asked, dict):
        return None
    raise ModelError(
        f"levels must be a number, 'all', or a list of labels, not {asked!r}."
    )


def _named(
    names: Sequence[str], asked: list[object], group: str
) -> Int[np.ndarray, " s"]:
    """Positions of the levels of these labels; numbers stand for their text."""
    if not asked:
        raise ModelError("levels=[] names no level. Leave it out for the default.")
    position = {name: i for i, name in enumerate(names)}
    for label in asked:
        if str(label) not in position:
            raise ModelError(
                f"{group} has no level {str(label)!r}, and {len(names):,} others."
                f"{nearest_names(str(label), names)}"
            )
    return np.unique([position[str(label)] for label in asked])


def _in_turn(
    reasons: list[Float[np.ndarray, " j"]], count: int
) -> Int[np.ndarray, " s"]:
    """Positions of the first of each order in turn, until there are enough."""
    orders = np.column_stack(
        [np.argsort(-np.nan_to_num(r, nan=-np.inf), kind="stable") for r in reasons]
    )
    chosen = list(dict.fromkeys(orders.ravel().tolist()))[:count]
    return np.sort(np.array(chosen, dtype=int))
