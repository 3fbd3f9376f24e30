"""Residuals of a posterior by kind, the kinds of `RemlFit.residuals`.

Takes the draws; standardised residuals are averaged over draws of the covariance
parameters, fixed and random effects at their best given each: exact up to the number of
draws looked at, and no draw of the effects is needed. Priors of the fixed effects count
in what is predicted by all other rows; not in standardised residuals, which are those
of the checks.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

from bayeslmm.design.arrays import rows_of
from bayeslmm.errors import ModelError, PriorError
from bayeslmm.marginal import BetaPrior
from bayeslmm.marginal.leverage import RowFit, fit_rows
from bayeslmm.marginal.saferows import SafeRows, safe_rows
from bayeslmm.posterior.places import label_draws, residual_draws
from bayeslmm.posterior.predictions import factor_draws
from bayeslmm.priors import safe_beta_prior
from bayeslmm.reml.residuals import (
    NEEDED,
    check_residual_kind,
    root_weights,
    standardized,
)

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior

# Draws that standardised residuals are averaged over, and rows times draws at most:
# an average residual moves with the posterior SD of a scale over the root of these.
MOST_DRAWS, MOST_ROWS, FEWEST_DRAWS = 200, 4_000_000, 10


def posterior_residuals(post: "Posterior", kind: object) -> Float[np.ndarray, " n"]:
    """Residuals of the rows used."""
    word, rows = check_residual_kind(kind), rows_of(post.model.design, NEEDED)
    if word == "response":
        return rows.y - post.fitted()
    if word == "marginal":
        return rows.y - post.predict(level="population")["mean"].to_numpy()
    if post.model.family != "gaussian":
        raise ModelError(
            f"Residuals of kind {word!r} are those of a Gaussian model, and this one "
            f"is {post.model.family!r}, whose variance goes with its mean. It has "
            f"kinds 'response' and 'marginal'; for a check of the family compare "
            f"post.predict_draws(kind='response') with the response."
        )
    structure, own = post.model.design.residual, rows.residual
    pearson = (rows.y - post.fitted()) * root_weights(rows)
    values = residual_draws(post.model.design, post.idata).mean(axis=(0, 1))
    if structure is not None and own is not None:
        pearson = pearson / structure.scale(own, values)
    if word == "pearson":
        return pearson
    if word == "scaled" and structure is not None and own is not None:
        return structure.whiten(own, values, pearson / post.sigma)
    if word == "scaled":
        return pearson / post.sigma
    if word == "standardized":
        return np.mean([own for own, _, _ in _standard_draws(post)], axis=0)
    return _left_out(post)


def _left_out(post: "Posterior") -> Float[np.ndarray, " n"]:
    """Normal scores of the LOO-PIT: each row under the posterior of all others.

    Given the covariance parameters, the standardised residual is that of a row from its
    prediction by all others; draws are weighted by one over its density there.
    """
    found = list(_standard_draws(post, with_prior=True))
    own = np.array([one for one, _, _ in found])
    hat = np.array([seen.hat for _, seen, _ in found])
    sigma = np.array([scale for _, _, scale in found])
    log_weight = 0.5 * own**2 + np.log(sigma)[:, None] - 0.5 * np.log1p(-hat)
    weight = np.exp(log_weight - np.nanmax(log_weight, axis=0))
    below = (weight * ndtr(own)).sum(axis=0) / weight.sum(axis=0)
    above = (weight * ndtr(-own)).sum(axis=0) / weight.sum(axis=0)
    return np.where(below < 0.5, ndtri(below), -ndtri(above))


def _standard_draws(
    post: "Posterior", *, with_prior: bool = False
) -> Iterator[tuple[Float[np.ndarray, " n"], RowFit, float]]:
    """Standardised residuals, leverage and sigma at draws evenly spread over all."""
    n = post.model.design.n
    rows = safe_rows(post.model.design, post.model.conditioned, NEEDED)
    most = min(MOST_DRAWS, max(FEWEST_DRAWS, MOST_ROWS // n))
    prior = _beta_prior(post, rows) if with_prior else None
    for relative, sigma in relative_draws(post, rows, most):
        unit = rows.conditioned.unit / sigma
        seen = fit_rows(rows, relative, 1.0 / unit, prior)
        scaled = seen.residual * np.sqrt(rows.weights) * unit
        yield standardized(scaled, seen.hat), seen, sigma


def _beta_prior(post: "Posterior", rows: SafeRows) -> BetaPrior | None:
    """The prior of the fixed effects; none if it is not Normal."""
    model = post.model
    try:
        return safe_beta_prior(model.priors, model.design, rows.conditioned)
    except PriorError:
        return None


def relative_draws(
    post: "Posterior", rows: SafeRows, most: int
) -> Iterator[tuple[list[Float[np.ndarray, "_k _k"]], float]]:
    """Relative factors, safe coordinates, and sigma at draws evenly spread over all."""
    design = post.model.design
    sigma = label_draws(design, post.idata, "sigma").ravel()
    terms = range(len(design.groups))
    roots = [factor_draws(design, post.idata, t) for t in terms]
    roots = [root.reshape(-1, *root.shape[-2:]) for root in roots]
    unspread = [np.linalg.inv(rows.conditioned.spread(t)) for t in terms]
    chosen = np.linspace(0, len(sigma) - 1, min(most, len(sigma)))
    for s in chosen.astype(int).tolist():
        relative = [
            _lower(own @ root[s] / sigma[s])
            for own, root in zip(unspread, roots, strict=True)
        ]
        yield relative, float(sigma[s])


def _lower(root: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "k k"]:
    """The lower-triangular factor of the covariance of any root."""
    return np.linalg.qr(root.T, mode="r").T
