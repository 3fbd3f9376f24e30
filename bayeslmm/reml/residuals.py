"""Residuals by kind, under our names and lme4's words.

Takes a fit with rows in memory and a kind; gives one number for each row. What is said
here of kinds holds for `RemlFit` and `Posterior` alike.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import rows_of
from bayeslmm.design.rows import Rows
from bayeslmm.errors import ModelError, check_flag, nearest_names
from bayeslmm.marginal.leverage import RowFit, fit_rows
from bayeslmm.marginal.saferows import safe_rows
from bayeslmm.reml.late import problem_of

if TYPE_CHECKING:
    from bayeslmm.reml.fit import RemlFit

KINDS = ("response", "pearson", "scaled", "standardized", "studentized", "marginal")
# Other words for them: lme4's, nlme's, textbooks'.
WORDS = {
    "raw": "response",
    "working": "response",
    "conditional": "response",
    "deviance": "pearson",
    "normalized": "scaled",
    "standardised": "standardized",
    "internal": "standardized",
    "studentised": "studentized",
    "external": "studentized",
    "population": "marginal",
}
# Those in units of y, or of y times the root of the weights.
UNSCALED = ("response", "pearson", "marginal")
NEEDED = "residuals of all rows"


def check_residual_kind(kind: object) -> str:
    """The kind that a word means; `ModelError` for an unknown one."""
    word = WORDS.get(kind, kind) if isinstance(kind, str) else kind
    if isinstance(word, str) and word in KINDS:
        return word
    listed = ", ".join(repr(one) for one in KINDS)
    near = nearest_names(kind, KINDS) if isinstance(kind, str) else ""
    raise ModelError(
        f"Unknown kind of residuals: {kind!r}.{near.partition(' There are:')[0]} "
        f"Kinds: {listed}; lme4's 'working' and 'deviance' are understood too."
    )


def check_scaled(kind: str, scaled: object) -> bool:
    """Whether R's ``resid(scaled = TRUE)`` was asked for, of what can be scaled."""
    if not check_flag(scaled, "scaled"):
        return False
    if check_residual_kind(kind) not in UNSCALED:
        raise ModelError(
            f"scaled=True divides residuals in units of y by sigma; {kind!r} ones are "
            f"unit-free. Leave scaled out."
        )
    return True


def row_fit(fit: "RemlFit", needed: str = NEEDED) -> RowFit:
    """Leverage and residuals of a fit, safe coordinates."""
    rows = safe_rows(fit.design, fit.model.conditioned, needed)
    return fit_rows(rows, problem_of(fit).factors(fit.optimum.theta))


def reml_residuals(fit: "RemlFit", kind: object) -> Float[np.ndarray, " n"]:
    """Residuals of a REML or ML fit."""
    word, rows = check_residual_kind(kind), rows_of(fit.design, NEEDED)
    if word == "marginal":
        return rows.y - fit._fitted(None)
    raw = rows.y - fit.fitted()
    if word == "response":
        return raw
    pearson = raw * root_weights(rows)
    structure, own = fit.design.residual, rows.residual
    if structure is not None and own is not None:
        pearson = pearson / structure.scale(own, fit.residual_values)
    if word == "pearson":
        return pearson
    if word == "scaled" and structure is not None and own is not None:
        return structure.whiten(own, fit.residual_values, pearson / fit.sigma)
    if word == "scaled":
        return pearson / fit.sigma
    found = standardized(pearson / fit.sigma, row_fit(fit).hat)
    if word == "standardized":
        return found
    return studentized(found, fit)


def standardized(
    scaled: Float[np.ndarray, " n"], hat: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Residuals in their own SDs; NaN where the fit passes through the row."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = scaled / np.sqrt(1.0 - hat)
    return np.where(np.isfinite(found), found, np.nan)


def studentized(
    own: Float[np.ndarray, " n"], fit: "RemlFit"
) -> Float[np.ndarray, " n"]:
    """Standardised residuals with sigma estimated without their own row.

    ``t = s sqrt((d - 1) / (d - s^2))`` with d = n - p, from sigma's degrees of freedom.
    """
    df = fit.design.n - fit.design.p
    if fit.method == "ML":  # its sigma is over n
        own = own * np.sqrt(df / fit.design.n)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = own * np.sqrt((df - 1.0) / (df - own**2))
    return np.where(np.isfinite(found), found, np.nan)


def root_weights(rows: Rows) -> Float[np.ndarray, " n"] | float:
    """Square roots of the precision weights; 1 without."""
    return 1.0 if rows.weights is None else np.sqrt(rows.weights)
