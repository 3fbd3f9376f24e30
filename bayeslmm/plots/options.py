"""Options of plot functions: an unknown one is told with the options there are.

Takes a plot function, gives it back with its arguments looked at; Python's own words
for an unknown one neither list the options nor offer the nearest.
"""

import functools
import inspect
from collections.abc import Callable

from bayeslmm.errors import ModelError, nearest_names


def options_checked[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """The function, which tells an unknown option or one too many in our words."""
    name = function.__name__
    parameters = inspect.signature(function).parameters
    places = [
        one for one, seen in parameters.items() if seen.kind is not seen.KEYWORD_ONLY
    ]
    there = f"{name} takes {', '.join(parameters)}."

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        unknown = [one for one in kwargs if one not in parameters]
        if unknown:
            hint = nearest_names(unknown[0], parameters).partition(" There are:")[0]
            raise ModelError(f"{name} has no option {unknown[0]!r}.{hint} {there}")
        if len(args) > len(places):
            raise ModelError(
                f"{name} takes {' and '.join(places)} without a name, and was given "
                f"{len(args)} arguments so; give the others by name. {there}"
            )
        return function(*args, **kwargs)

    return checked
