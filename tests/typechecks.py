"""Run-time checks of types and shapes at a price that long loops can pay.

`pytest --jaxtyping-packages=bayeslmm,typechecks.checked`: jaxtyping makes two functions
of each function, one that has its parameters and one that has its result, and has
`checked` decorate them.
"""

import functools
import os
from collections.abc import Callable
from typing import Any

from beartype import beartype

# A test's first calls of a function are where its types and shapes are decided; what
# follows are steps of a search or other examples, of which every STEP-th is checked.
FIRST, STEP = 25, 10
if os.environ.get("HYPOTHESIS_PROFILE") == "weekly":
    STEP = 1

_test = 0


def start_test() -> None:
    """Count the calls of each function anew."""
    global _test
    _test += 1


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """`beartype`, made when first called, for the first calls and one in `STEP`."""
    hints = function.__annotations__
    if hints.get("return", Any) is not Any:  # its parameters have been checked
        function.__annotations__ = {"return": hints["return"]}
    strict, test, calls = None, 0, 0

    @functools.wraps(function)
    def sometimes(*args: Any, **kwargs: Any) -> Any:
        nonlocal strict, test, calls
        if test != _test:
            test, calls = _test, 0
        calls += 1
        if calls > FIRST and calls % STEP:
            return None  # jaxtyping asks whether it raises, not what it returns
        strict = strict or beartype(function)
        return strict(*args, **kwargs)

    return sometimes
