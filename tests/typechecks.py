"""Run-time checks of types and shapes at a price that long loops can pay.

`pytest --jaxtyping-packages=bayeslmm,typechecks.checked` has jaxtyping decorate each
function of the package with `jaxtyping.jaxtyped`, here in its place `jaxtyped`, which
makes the checks of a function when it is called and then makes them now and then.
"""

import functools
import inspect
import os
from collections.abc import Callable
from types import CodeType
from typing import Any

import jaxtyping
from beartype import beartype
from jaxtyping import jaxtyped as always

# A test's first calls of a function are where its types and shapes are decided; what
# follows are steps of a search or other examples, of which every STEP-th is checked.
FIRST, STEP = 3, 50
if os.environ.get("HYPOTHESIS_PROFILE") == "weekly":
    STEP = 1

_test = 0
# The test that called last, and its calls. Of code, not of functions: one that another
# makes at each call is the same one.
_calls: dict[CodeType, list[int]] = {}


def start_test() -> None:
    """Count the calls of each function anew."""
    global _test
    _test += 1


def jaxtyped(target: Any = None, *, typechecker: Any) -> Any:
    """`jaxtyping.jaxtyped`, for the first calls of a function and one in `STEP`."""
    if target is None:
        return functools.partial(jaxtyped, typechecker=typechecker)
    if not inspect.isfunction(target):
        return always(target, typechecker=typechecker)
    strict, seen = None, _calls.setdefault(target.__code__, [0, 0])

    @functools.wraps(target)
    def sometimes(*args: Any, **kwargs: Any) -> Any:
        nonlocal strict
        __tracebackhide__ = True
        if jaxtyping.config.jaxtyping_disable:
            return target(*args, **kwargs)
        if seen[0] != _test:
            seen[:] = _test, 0
        seen[1] += 1
        if seen[1] > FIRST and seen[1] % STEP:
            return target(*args, **kwargs)
        strict = strict or always(target, typechecker=typechecker)
        return strict(*args, **kwargs)

    return sometimes


jaxtyping.jaxtyped = jaxtyped


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """`beartype` of what jaxtyping asks: once for parameters, once for the result."""
    hints = function.__annotations__
    if hints.get("return", Any) is not Any:  # its parameters have been checked
        function.__annotations__ = {"return": hints["return"]}
    return beartype(function)
