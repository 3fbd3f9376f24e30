"""The variance that fitted values explain, draw by draw: Bayesian R2.

Takes a model and an ArviZ DataTree of its draws; gives for each draw the variance over
the rows of the fitted values, over that and the variance of what they leave.

References
----------
.. [1] Gelman, Goodrich, Gabry and Vehtari (2019). Am. Stat. 73(3).
   https://doi.org/10.1080/00031305.2018.1549100
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import rows_of
from bayeslmm.design.known import LevelWord
from bayeslmm.design.shares import mean_variance
from bayeslmm.errors import ModelError, is_choice, listed
from bayeslmm.families import FAMILIES, Family, Others
from bayeslmm.posterior.places import residual_draws
from bayeslmm.posterior.predictions import (
    PredictionRows,
    factor_draws,
    linear_draws,
    old_rows,
    other_draws,
    row_chunks,
)
from bayeslmm.posterior.tables import beta_draws
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr

Variance = Literal["model", "residuals"]
Draws = Float[np.ndarray, "chain draw"]
Rowwise = Float[np.ndarray, "chain draw m"]


@dataclass(slots=True)
class Spread:
    """Variance over rows that are seen some at a time, for each draw."""

    n: int = 0
    mean: "Draws | float" = 0.0
    squares: "Draws | float" = 0.0

    def see(self, values: Rowwise) -> None:
        """Take in some rows."""
        m = values.shape[-1]
        own = values.mean(axis=-1)
        step, n = own - self.mean, self.n + m
        self.squares = self.squares + np.square(values - own[..., None]).sum(axis=-1)
        self.squares = self.squares + step**2 * (self.n * m / n)
        self.mean, self.n = self.mean + step * (m / n), n

    @property
    def variance(self) -> "Draws | float":
        """Divided by n - 1."""
        return self.squares / max(self.n - 1, 1)


def explained_draws(
    model: ModelSpec, tree: "xr.DataTree", variance: object
) -> dict[str, Draws]:
    """Bayesian R2 of each draw, of the fixed part and of all.

    Raises
    ------
    ModelError
        If `variance` is unknown, or the family's is.
    """
    family = FAMILIES[model.family]
    _check_asked(family, variance)
    found = {}
    if model.family == "gaussian":
        found["marginal"] = _explained(model, tree, variance, "population")
    found["conditional"] = _explained(model, tree, variance, "group")
    return found


def _check_asked(family: Family, variance: object) -> None:
    """Raise `ModelError` for another word, or a family without."""
    if not is_choice(variance, get_args(Variance)):
        raise ModelError(
            f"Unknown variance={variance!r}. Options: 'model' (what the model says of "
            f"a response), 'residuals' (of response less fitted value)."
        )
    if family.name == "vonmises":
        raise ModelError(
            "Angles have no variance about a mean that R2 could be a share of. Look at "
            "kappa in summary(), their concentration."
        )
    if variance == "model" and family.spread is None:
        known = [name for name, own in FAMILIES.items() if own.spread is not None]
        raise ModelError(
            f"The variance of a response of family {family.name!r} is not known here; "
            f"those of {listed(known, 12)} are. Use variance='residuals'."
        )


def _explained(
    model: ModelSpec, tree: "xr.DataTree", variance: object, level: LevelWord
) -> Draws:
    """The same of the fitted values with the random effects, or without."""
    given = rows_of(model.design, "fitted values of all rows")
    rows = old_rows(model, tree, level)
    beta, others = beta_draws(model.design, tree), other_draws(model.family, tree)
    family = FAMILIES[model.family]
    fitted, left, said = Spread(), Spread(), np.zeros(beta.shape[:2])
    for part in row_chunks(said.size, model.design.n):
        eta = linear_draws(beta, rows, part)
        mean = family.mean(eta, others, _of(rows.trials, part))
        fitted.see(mean)
        left.see(given.y[part] - mean)
        if variance == "model":
            own = _said(family, eta, others, rows, part)
            said += (own * _strata(model, tree, rows, part)).sum(axis=-1)
    rest = left.variance
    if variance == "model":
        rest = said / model.design.n + (
            0.0 if level == "group" else _between(model, tree)
        )
    return np.asarray(fitted.variance / (fitted.variance + rest))


def _said(
    family: Family,
    eta: Rowwise,
    others: Others,
    rows: PredictionRows,
    part: slice,
) -> Rowwise:
    """Variance of a response about its fitted value, as the model has it."""
    assert family.spread is not None, "the border refuses families without"
    trials = _of(rows.trials, part)
    one = np.ones(1) if trials is None else trials
    spread = family.spread(family.link.inverse(eta), others, one)
    return spread if rows.weights is None else spread / rows.weights[part]


def _strata(
    model: ModelSpec, tree: "xr.DataTree", rows: PredictionRows, part: slice
) -> Rowwise | float:
    """Residual variance of rows relative to that of the first stratum."""
    structure = model.design.residual
    if structure is None or rows.residual is None:
        return 1.0
    values = residual_draws(model.design, tree)
    return np.square(structure.scale(rows.residual.take(part), values))


def _between(model: ModelSpec, tree: "xr.DataTree") -> Draws:
    """Mean variance of the random part, which the fixed part leaves."""
    design = model.design
    return np.sum(
        [
            mean_variance(columns, factor_draws(design, tree, t))
            for t, columns in enumerate(design.moments.Z)
        ],
        axis=0,
    )


def _of(
    values: Float[np.ndarray, " n"] | None, part: slice
) -> Float[np.ndarray, " m"] | None:
    """Some rows, where there are any."""
    return None if values is None else values[part]
