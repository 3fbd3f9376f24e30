"""Long runs without the type checks of every call, which make them ten times slower.

The short runs of the same functions are checked.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jaxtyping

from bayeslmm import Model, Posterior
from bayeslmm.posterior.sampling import sample


@contextmanager
def unchecked() -> Iterator[None]:
    """No run-time checks of types and shapes inside: what a user has."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


def sample_unchecked(model: Model, **options: Any) -> Posterior:
    """`sample`, at the speed that a user has."""
    with unchecked():
        return sample(model, **options)
