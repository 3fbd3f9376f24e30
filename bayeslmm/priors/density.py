"""Log densities of priors at many points, on the scale of the parameter.

Takes `Priors` and draws or nodes; gives log densities of each parameter as the prior
states it, without the Jacobian of any change of coordinates, and of the coordinates
with it. `scale` has the same densities one point at a time, for a sampler.
"""

import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import betaln

from bayeslmm.covariance import log_beta_constant
from bayeslmm.design.arrays import Design
from bayeslmm.design.space import POSITIVE
from bayeslmm.priors.coefficients import stated_turn
from bayeslmm.priors.prior import Prior, Priors
from bayeslmm.priors.scale import ScaleForm, root_inverse_gamma, scale_form

Values = Float[np.ndarray, "..."]


def prior_logp(prior: Prior, values: Values) -> Values:
    """Log density of a prior at values of its parameter; 0 of a flat one."""
    if prior.name in _REAL:
        return _REAL[prior.name](values, prior.arguments)
    form = scale_form(prior)
    if form is not None:
        return form_logp(form, values)
    own = root_inverse_gamma(prior)
    if own is not None:
        log_sd = np.log(values)
        return own(log_sd)[0] - log_sd
    import pymc as pm

    args = {name: np.asarray(value, float) for name, value in prior.args}
    found: Any = pm.logp(getattr(pm, prior.name).dist(**args), values)
    return np.asarray(found.eval(mode="FAST_COMPILE"), float)


def form_logp(form: ScaleForm, values: Values) -> Values:
    """Log density of a prior in closed form at values of its parameter."""
    return form.constant + _KERNEL[form.kind](form, values)


def _normal(v: Values, a: dict[str, float]) -> Values:
    """Normal(mu, sigma)."""
    z = (v - a["mu"]) / a["sigma"]
    return -0.5 * z * z - math.log(a["sigma"]) - 0.5 * math.log(2.0 * math.pi)


def _student(v: Values, a: dict[str, float]) -> Values:
    """StudentT(nu, mu, sigma)."""
    nu, z = a["nu"], (v - a["mu"]) / a["sigma"]
    constant = math.lgamma(0.5 * (nu + 1.0)) - math.lgamma(0.5 * nu)
    constant -= 0.5 * math.log(nu * math.pi) + math.log(a["sigma"])
    return constant - 0.5 * (nu + 1.0) * np.log1p(z * z / nu)


def _cauchy(v: Values, a: dict[str, float]) -> Values:
    """Cauchy(alpha, beta)."""
    return _student(v, {"nu": 1.0, "mu": a["alpha"], "sigma": a["beta"]})


def _laplace(v: Values, a: dict[str, float]) -> Values:
    """Laplace(mu, b)."""
    return -np.abs(v - a["mu"]) / a["b"] - math.log(2.0 * a["b"])


def _beta(v: Values, a: dict[str, float]) -> Values:
    """Beta(alpha, beta)."""
    left, right = (a["alpha"] - 1.0) * np.log(v), (a["beta"] - 1.0) * np.log1p(-v)
    return left + right - betaln(a["alpha"], a["beta"])


_REAL: MappingProxyType[str, Callable[[Values, dict[str, float]], Values]] = (
    MappingProxyType(
        {
            "Normal": _normal,
            "StudentT": _student,
            "Cauchy": _cauchy,
            "Laplace": _laplace,
            "Beta": _beta,
            "Flat": lambda v, _: np.zeros(np.shape(v)),
        }
    )
)
_KERNEL: MappingProxyType[str, Callable[[ScaleForm, Values], Values]] = (
    MappingProxyType(
        {
            "flat": lambda _, v: np.zeros(np.shape(v)),
            "half_normal": lambda f, v: -0.5 * (v / f.b) ** 2,
            "half_t": lambda f, v: -0.5 * (f.a + 1.0) * np.log1p((v / f.b) ** 2 / f.a),
            "gamma": lambda f, v: (f.a - 1.0) * np.log(v) - f.b * v,
            "inverse_gamma": lambda f, v: -(f.a + 1.0) * np.log(v) - f.b / v,
            "log_normal": lambda f, v: (
                -np.log(v) - 0.5 * ((np.log(v) - f.a) / f.b) ** 2
            ),
        }
    )
)


def coordinates_logp(
    priors: Priors, design: Design, x: Float[np.ndarray, "n m"]
) -> Float[np.ndarray, " n"]:
    """Log prior density of coordinates of the space, their Jacobian included.

    The SDs and correlations are those of the columns that these priors refer to.
    """
    return sum(natural_logp(priors, design, x).values()) + log_slopes(design, x)


def natural_logp(
    priors: Priors, design: Design, x: Float[np.ndarray, "n m"]
) -> dict[str, Float[np.ndarray, " n"]]:
    """Log prior density of each SD, of the correlations of a term, of the residuals'.

    Parameters
    ----------
    priors : Priors
        Priors of the model.
    design : Design
        Its terms.
    x : ndarray, shape (n, m)
        Coordinates of the columns that the priors refer to.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        By the label of the SD or residual parameter; of correlations, whose density is
        one for all of a term, by ``g_corr`` and the number of the term.
    """
    space, found = design.space, {}
    for i, own in enumerate(space.coordinates):
        if not own.tells or (own.term is not None and i not in space.scales):
            continue
        p = space.told(i)
        value = p.natural(x[:, i])
        if p.bounds == POSITIVE:
            found[p.label] = prior_logp(priors.of(p), value)
        else:
            low, high = p.bounds
            share = (value - low) / (high - low)
            found[p.label] = prior_logp(priors.of(p), share) - math.log(high - low)
    for t, term in enumerate(design.groups):
        if term.covariance.n_corr(term.k):
            found[corr_key(design, t)] = _corr_logp(priors, design, t, x)
    return found


def corr_key(design: Design, t: int) -> str:
    """What the log density of the correlations of a term is called."""
    group = design.groups[t].group
    earlier = sum(own.group == group for own in design.groups[:t])
    return f"{group}_corr" + (f"_{earlier + 1}" if earlier else "")


def _corr_logp(
    priors: Priors, design: Design, t: int, x: Float[np.ndarray, "n m"]
) -> Float[np.ndarray, " n"]:
    """Log density of the correlations, of free ones that of their matrix: LKJ."""
    term, where = design.groups[t], design.space.of_term(t)
    first = design.space.scales_of(t).stop
    exponents = term.covariance.exponents(term.k, priors.corr_eta[t])
    spent = term.covariance.exponents(term.k, 1.0)
    total = np.zeros(len(x))
    for i, b, one in zip(range(first, where.stop), exponents, spent, strict=True):
        # of the partial correlation, over the Jacobian of the matrix (eta = 1)
        power = (b - 1.0) - ((one - 1.0) if term.covariance.unstructured else 0.0)
        total += power * log_sech2(x[:, i]) - log_beta_constant(b)
    return total


def log_slopes(design: Design, x: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
    """Log Jacobian of SDs, correlations and residual parameters by coordinates."""
    space, total = design.space, np.zeros(len(x))
    for i, own in enumerate(space.coordinates):
        if i in space.scales:
            total += x[:, i]
        elif own.term is None:
            p = space.told(i)
            low, high = p.bounds
            total += log_sech2(x[:, i]) + math.log(0.5 * (high - low))
    for t, term in enumerate(design.groups):
        first, where = design.space.scales_of(t).stop, design.space.of_term(t)
        ones = term.covariance.exponents(term.k, 1.0)
        for i, one in zip(range(first, where.stop), ones, strict=True):
            power = one if term.covariance.unstructured else 1.0
            total += power * log_sech2(x[:, i])
    return total


def fixed_logp(
    priors: Priors, design: Design, beta: Float[np.ndarray, "n p"]
) -> Float[np.ndarray, "n p"]:
    """Log prior density of each fixed effect, given those of the data's columns."""
    stated = beta @ stated_turn(priors, design).T
    found = np.zeros(stated.shape)
    for j, own in enumerate(priors.fixed):
        found[:, j] = prior_logp(own, stated[:, j])
    return found


def log_sech2(z: Values) -> Values:
    """log(1 - tanh(z)**2), exact where tanh rounds to 1."""
    return 2.0 * (math.log(2.0) - np.abs(z) - np.log1p(np.exp(-2.0 * np.abs(z))))


def moved_coordinates(
    design: Design,
    x: Float[np.ndarray, "n m"],
    roots: tuple[Float[np.ndarray, "n _k _k"], ...],
    old: Priors,
    new: Priors,
) -> Float[np.ndarray, "n m"]:
    """Coordinates of the columns that other priors refer to, of the same points.

    Parameters
    ----------
    design : Design
        The model.
    x : ndarray, shape (n, m)
        Coordinates of the columns that `old` refers to.
    roots : tuple of ndarray, shape (n, k, k)
        Roots of the covariances of the effects of the data's columns at x.
    old, new : Priors
        Whose references differ.
    """
    moved = x.copy()
    for t, term in enumerate(design.groups):
        if old.references[t] == new.references[t]:
            continue
        turn, own = new.reference[t], roots[t]
        if turn is not None:
            own = np.linalg.solve(turn, own)
        upper = np.linalg.qr(own.swapaxes(1, 2), mode="r")
        signs = np.where(np.diagonal(upper, axis1=1, axis2=2) < 0.0, -1.0, 1.0)
        L = (upper * signs[..., None]).swapaxes(1, 2)
        sds = design.space.scales_of(t)
        squares = L**2
        size = squares.sum(axis=2)
        moved[:, sds] = 0.5 * np.log(size[:, : sds.stop - sds.start])
        c = sds.stop
        for i in range(1, term.k):
            for j in range(i):
                rest = np.sqrt(squares[:, i, j + 1 :].sum(axis=1))
                moved[:, c] = np.arcsinh(L[:, i, j] / np.maximum(rest, 1e-300))
                c += 1
    return moved


def log_volumes(
    design: Design, x: Float[np.ndarray, "n m"], terms: list[int]
) -> Float[np.ndarray, " n"]:
    """Log Jacobian of the covariance matrices of some free terms by coordinates.

    ``2^k prod sd_i^(k + 1)`` for log SDs, ``(1 - w^2)^((k - j) / 2)`` for the atanh of
    a partial correlation w in column j.
    """
    total = np.zeros(len(x))
    for t in terms:
        term, sds = design.groups[t], design.space.scales_of(t)
        total += (term.k + 1.0) * x[:, sds].sum(axis=1)
        ones = term.covariance.exponents(term.k, 1.0)
        for i, one in enumerate(ones, start=sds.stop):
            total += one * log_sech2(x[:, i])
    return total
