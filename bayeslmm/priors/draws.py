"""Draws of the parameters from their priors, exact and independent.

Takes `Priors` and the `Design`; gives `PriorDraws` of the parameters of the data's
columns. Priors may refer to other columns, less their means: what is drawn is what they
refer to, and is then taken to the columns of the data. Correlations are drawn through
their partial correlations [1]_.

References
----------
.. [1] Lewandowski, Kurowicka and Joe (2009). J. Multivar. Anal. 100(9).
   https://doi.org/10.1016/j.jmva.2009.04.008
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design, GroupTerm
from bayeslmm.design.residual import RHO
from bayeslmm.design.space import Parameter
from bayeslmm.errors import PriorError, listed
from bayeslmm.families import FAMILIES
from bayeslmm.priors.coefficients import stated_turn
from bayeslmm.priors.make import make_priors
from bayeslmm.priors.prior import Prior, Priors

Numbers = dict[str, float]


@dataclass(frozen=True, slots=True)
class PriorDraws:
    """Parameters drawn from their prior, of the data's columns.

    Attributes
    ----------
    beta : ndarray, shape (n, p)
        Fixed effects, units of y per unit of x.
    factors : tuple of ndarray, shape (n, k, k)
        For each bar term roots L of the covariance L L' of its effects; not triangular
        where the priors refer to columns less their means.
    scalars : dict of str to ndarray, shape (n,)
        Parameters of no term by their labels: ``sigma``, units of y, and those of
        structured residuals.
    """

    beta: Float[np.ndarray, "n p"]
    factors: tuple[Float[np.ndarray, "n _k _k"], ...]
    scalars: dict[str, Float[np.ndarray, " n"]]


def prior_draws(
    priors: Priors, design: Design, n: int, rng: np.random.Generator
) -> PriorDraws:
    """Independent draws of every parameter from its prior.

    Parameters
    ----------
    priors : Priors
        Priors of the model.
    design : Design
        Its columns and terms.
    n : int
        Number of draws.
    rng : Generator
        Source of randomness.

    Returns
    -------
    PriorDraws
        The parameters of the data's columns.

    Raises
    ------
    PriorError
        If a prior is flat, so that there is nothing to draw from.
    """
    check_proper(priors, design)
    stated = np.empty((n, len(priors.fixed)))
    for j, own in enumerate(priors.fixed):
        stated[:, j] = draw_prior(own, n, rng)
    factors = [
        _term_factors(term, priors.sd[t], priors.corr_eta[t], n, rng)
        for t, term in enumerate(design.groups)
    ]
    return PriorDraws(
        beta=np.linalg.solve(stated_turn(priors, design), stated.T).T,
        factors=tuple(
            own if turn is None else turn @ own
            for own, turn in zip(factors, priors.reference, strict=True)
        ),
        scalars={
            p.label: _scalar_draws(p, priors, n, rng) for p in _scalars(priors, design)
        },
    )


def check_proper(priors: Priors, design: Design) -> None:
    """Raise where a parameter has a flat prior, from which nothing can be drawn."""
    flat = flat_parameters(priors, design)
    if not flat:
        return
    first = flat[0]
    near = make_priors(
        "weak",
        design,
        center_predictors=priors.center_predictors,
        family=priors.family,
    ).of(first)
    given = {first.variable.removesuffix("_sigma"): str(near)}
    raise PriorError(
        f"The prior of {listed(p.label for p in flat)} is flat, which is no "
        "distribution: there is nothing to draw, no prior predictive and no "
        f"calibration. Take proper ones: model.with_priors('weak'), or for "
        f"{first.label!r} alone model.with_priors({given})."
    )


def flat_parameters(priors: Priors, design: Design) -> list[Parameter]:
    """Those whose prior is flat."""
    return [p for p in _univariate(priors, design) if priors.of(p).is_flat]


def _univariate(priors: Priors, design: Design) -> Iterator[Parameter]:
    """The parameters that have a prior of their own."""
    for p in design.space.parameters:
        if p.component in ("fixef", "sd"):
            yield p
    yield from _scalars(priors, design)


def _scalars(priors: Priors, design: Design) -> list[Parameter]:
    """Parameters of no term that the family has: sigma, those of the residuals."""
    residual = () if design.residual is None else design.residual.parameters
    known = {*FAMILIES[priors.family].others, *(p.label for p in residual)}
    return [
        p
        for p in design.space.parameters
        if p.component == "sigma" and p.label in known
    ]


def _scalar_draws(
    parameter: Parameter, priors: Priors, n: int, rng: np.random.Generator
) -> Float[np.ndarray, " n"]:
    """Draws of sigma or a parameter of the residuals; a rho fills its range."""
    drawn = draw_prior(priors.of(parameter), n, rng)
    if parameter.variable != RHO:
        return drawn
    low, high = parameter.bounds
    return low + (high - low) * drawn


def _term_factors(
    term: GroupTerm,
    sd: tuple[Prior, ...],
    eta: float,
    n: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "n k k"]:
    """Factors of the covariance of the effects that the priors of a term refer to."""
    sds = np.column_stack([draw_prior(own, n, rng) for own in sd])
    structure = term.covariance
    # the cosine w of an angle has density (1 - w^2)^(b - 1): (1 + w) / 2 is Beta(b, b)
    shares = [rng.beta(b, b, n) for b in structure.exponents(term.k, eta)]
    corr = structure.corr_factors(np.array(shares).reshape(-1, n).T, term.k)
    return np.broadcast_to(sds, (n, term.k))[..., None] * corr


def draw_prior(
    prior: Prior, n: int, rng: np.random.Generator
) -> Float[np.ndarray, " n"]:
    """Independent draws from one prior."""
    if prior.name in _DRAWN:
        return _DRAWN[prior.name](rng, prior.arguments, n)
    import pymc as pm

    dist = getattr(pm, prior.name).dist(**prior.arguments, size=n)
    seed = int(rng.integers(2**31))
    # drawn once: compiling would take seconds
    drawn: Any = pm.draw(dist, random_seed=seed, mode="FAST_COMPILE")
    return np.asarray(drawn, float)


def _normal(rng: np.random.Generator, a: Numbers, n: int) -> np.ndarray:
    """Normal(mu, sigma)."""
    return a["mu"] + a["sigma"] * rng.normal(size=n)


def _student(rng: np.random.Generator, a: Numbers, n: int) -> np.ndarray:
    """StudentT(nu, mu, sigma)."""
    return a["mu"] + a["sigma"] * rng.standard_t(a["nu"], n)


def _half_student(rng: np.random.Generator, a: Numbers, n: int) -> np.ndarray:
    """HalfStudentT(nu, sigma)."""
    return np.abs(a["sigma"] * rng.standard_t(a["nu"], n))


_DRAWN: MappingProxyType[str, Callable[[np.random.Generator, Numbers, int], Any]] = (
    MappingProxyType(
        {
            "Normal": _normal,
            "StudentT": _student,
            "HalfNormal": lambda rng, a, n: np.abs(rng.normal(0.0, a["sigma"], n)),
            "HalfStudentT": _half_student,
            "HalfCauchy": lambda rng, a, n: np.abs(a["beta"] * rng.standard_cauchy(n)),
            "Exponential": lambda rng, a, n: rng.exponential(1.0 / a["lam"], n),
            "Gamma": lambda rng, a, n: rng.gamma(a["alpha"], 1.0 / a["beta"], n),
            "InverseGamma": lambda rng, a, n: a["beta"] / rng.gamma(a["alpha"], 1.0, n),
            "LogNormal": lambda rng, a, n: rng.lognormal(a["mu"], a["sigma"], n),
            "Laplace": lambda rng, a, n: rng.laplace(a["mu"], a["b"], n),
            "Beta": lambda rng, a, n: rng.beta(a["alpha"], a["beta"], n),
        }
    )
)
