"""What is known of a family of responses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

type Array = Float[np.ndarray, "..."]
# The other parameters of a family by name, in PyMC's parametrisation; shapes that go
# with the linear predictor.
type Others = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Link:
    """From the parameter that the formula models to its linear predictor, and back."""

    name: str
    forward: Callable[[Array], Array]
    inverse: Callable[[Array], Array]


@dataclass(frozen=True, slots=True)
class Support:
    """The values a response can have: in words, and which of some are none of them."""

    words: str
    outside: Callable[[Array], Bool[np.ndarray, "..."]]


class Density(NamedTuple):
    """Log density of rows, and its two derivatives in their linear predictors."""

    value: Array
    slope: Array
    curvature: Array


@dataclass(frozen=True, slots=True)
class Family:
    """A family of responses with one linear predictor.

    Attributes
    ----------
    name : str
        As bambi spells it.
    parent : str
        Parameter that the formula models, PyMC's name.
    link : Link
        Its link.
    others : tuple of str
        The other parameters.
    support : Support, optional
        Values of the response; None where every number is one, or where bambi checks
        counts against trials.
    trials : bool
        Whether it counts successes out of trials.
    weights : bool
        Whether its sigma is the SD of a row, so that a precision weight has a meaning.
    scales : tuple of str
        Those of `others` in units of y that take the prior of sigma.
    logged : bool
        Whether its linear predictor is the mean of the log of the response.
    expected : callable, optional
        ``f(parent, others)``: the mean of the response, where it is not the parent.
    density : callable, optional
        ``f(y, eta, others, trials)`` gives a `Density`; None where it is not smooth or
        has no closed form, and then PyMC's is used.
    """

    name: str
    parent: str
    link: Link
    others: tuple[str, ...] = ()
    support: Support | None = None
    trials: bool = False
    weights: bool = False
    scales: tuple[str, ...] = ()
    logged: bool = False
    expected: Callable[[Array, Others], Array] | None = None
    density: Callable[[Array, Array, Others, Array], Density] | None = None
    spread: Callable[[Array, Others, Array], Array] | None = None
    latent: Callable[[Array, Others], Array] | None = None

    @property
    def is_chance(self) -> bool:
        """Whether the parameter that the formula models is a probability, no mean."""
        return self.parent == "p" and not self.others

    @property
    def link_of_mean(self) -> str:
        """Name of the link between the mean of the response and the predictor."""
        return "log" if self.logged else self.link.name

    def mean(self, eta: Array, others: Others, trials: Array | None) -> Array:
        """Expected response at a linear predictor.

        Parameters
        ----------
        eta : ndarray
            Linear predictor.
        others : mapping of str to ndarray
            The other parameters; shapes broadcast against `eta`.
        trials : ndarray or None
            Number of trials, of a family that counts out of trials.

        Returns
        -------
        ndarray
            Units of the response: counts for counts (out of trials: trials times the
            probability); the direction for angles.
        """
        mean = self.link.inverse(eta)
        if self.expected is not None:
            mean = self.expected(mean, others)
        return mean if trials is None else trials * mean
