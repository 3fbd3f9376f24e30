"""Predictions of a REML fit: best guess, the SD of its error, an interval.

Takes a `RemlFit` and rows, of the data or new. The error of a prediction is that of
fixed and random effects together, from Henderson's equations; to it come, each by
itself, the effects of levels that were not in the data, ``z'Sigma z``, and the noise of
a new response. The variance parameters are taken as known (normal intervals), or their
error is counted by a parametric bootstrap: of responses and effects simulated from the
fit, the error of the prediction over its SD at the *refitted* parameters is a pivot
whose quantiles take the place of the normal's.

References
----------
.. [1] Henderson (1975). Biometrics 31(2). https://doi.org/10.2307/2529430
.. [2] Chatterjee, Lahiri and Li (2008). Ann. Stat. 36(3).
   https://doi.org/10.1214/07-AOS512
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.design.known import averaged_away, known_words
from bayeslmm.design.memory import check_fits
from bayeslmm.design.predicted import predicted_index, rows_to_predict
from bayeslmm.design.recipe import NewRows
from bayeslmm.design.residual import ResidualRows, ResidualStructure
from bayeslmm.errors import (
    ModelError,
    check_count,
    check_fraction,
    check_seed,
    is_choice,
    listed,
)
from bayeslmm.marginal.rows import RowTerm, row_means
from bayeslmm.reml.late import Ended, ended_of
from bayeslmm.reml.outcomes import check_prediction, new_weights
from bayeslmm.reml.refit import make_refitter
from bayeslmm.reml.responses import Variances
from bayeslmm.simulation import Parameters, one_response, random_effects
from bayeslmm.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.reml.fit import RemlFit


class Bootstrap(NamedTuple):
    """How many responses are simulated, and from which seed."""

    nsim: int
    seed: int | np.random.Generator | None


class Predicted(NamedTuple):
    """Best guesses and SDs of their errors, units of y."""

    values: Float[np.ndarray, " n"]
    sd: Float[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class PredictedRows:
    """Rows to predict, as a fit of any response of the model has them.

    Attributes
    ----------
    rows : NewRows
        Fixed columns, bar terms, offset.
    noise : ndarray, shape (n,), or None
        Share of the residual variance that is in a new response, 1 / weight; None for
        an expected response.
    strata : tuple or None
        Structure of the residuals, and the strata of these rows.
    """

    rows: NewRows
    noise: Float[np.ndarray, " n"] | None
    strata: tuple[ResidualStructure, ResidualRows] | None = None

    def at(self, ended: Ended) -> Predicted:
        """Best guess and SD of its error where a search has ended."""
        conditioned, theta = ended.problem.conditioned, ended.optimum.theta
        relative, scale = ended.problem.factors(theta), ended.sigma / conditioned.unit
        X = self.rows.X
        values = X @ conditioned.coefficients(np.zeros(X.shape[1]))
        if self.rows.offset is not None:
            values = values + self.rows.offset
        sizes = [len(basis) for basis in conditioned.bases]
        safe = self._safe_terms(
            [conditioned.unit * conditioned.spread(t) for t in range(len(sizes))]
        )
        turned = X @ conditioned.coefficient_turn()
        stats = ended.problem.statistics_at(theta)
        known = row_means(stats, relative, turned, safe)
        variance = scale**2 * known.variances
        for term, factor in zip(safe, relative, strict=True):
            drawn = np.square(term.Z @ (scale * factor)).sum(axis=1)
            variance += np.where(term.codes < 0, drawn, 0.0)
        if self.noise is not None:
            own = self._stratum_noise(theta[ended.problem.residual])
            variance = variance + ended.sigma**2 * self.noise * own
        return Predicted(values + known.values, np.sqrt(variance))

    def _stratum_noise(
        self, x: Float[np.ndarray, " r"] | None
    ) -> Float[np.ndarray, " n"] | float:
        """Residual variance of each row relative to that of the first stratum."""
        if self.strata is None or x is None:
            return 1.0
        structure, rows = self.strata
        return np.square(structure.scale(rows, structure.natural(x)))

    def _safe_terms(self, turns: Sequence[Float[np.ndarray, "_k _k"]]) -> list[RowTerm]:
        """Bar terms in safe columns; nothing where they are left out."""
        nobody = np.full(self.rows.n, -1)
        return [
            RowTerm(np.zeros((self.rows.n, len(turn))), nobody)
            if own is None
            else RowTerm(own.Z @ turn, own.codes)
            for own, turn in zip(self.rows.groups, turns, strict=True)
        ]

    def draw(
        self,
        fit: "RemlFit",
        effects: Sequence[Float[np.ndarray, "_j _k"]],
        rng: np.random.Generator,
    ) -> Float[np.ndarray, " n"]:
        """What is predicted, in a world with these effects; each row by itself."""
        values, variance = self.rows.X @ fit.beta, np.zeros(self.rows.n)
        if self.rows.offset is not None:
            values = values + self.rows.offset
        for own, b, factor in zip(self.rows.groups, effects, fit.factors, strict=True):
            if own is None:
                continue
            part = np.einsum("nk,nk->n", own.Z, b[own.codes])
            drawn = np.square(own.Z @ factor).sum(axis=1)
            values = values + np.where(own.codes < 0, 0.0, part)
            variance += np.where(own.codes < 0, drawn, 0.0)
        if self.noise is not None:
            own = self._stratum_noise(fit.theta[-1] if self.strata else None)
            variance += fit.sigma**2 * self.noise * own
        return values + np.sqrt(variance) * rng.standard_normal(len(values))


def prediction_table(
    fit: "RemlFit",
    newdata: object,
    level: object,
    kind: str,
    prob: float,
    variances: str,
    bootstrap: Bootstrap,
) -> "pd.DataFrame":
    """Estimate, SE and interval of each row; see `RemlFit.predict`."""
    check_fraction(prob, "prob")
    check_count(bootstrap.nsim, "nsim", 2)
    check_seed(bootstrap.seed)
    if check_variances(variances) == "estimated":
        rows_of(fit.design, "a bootstrap of predictions")
    asked = _asked_rows(fit, newdata, level, kind)
    found = asked.at(ended_of(fit))
    if variances == "known":
        reach = ndtri(0.5 + prob / 2.0) * found.sd
        ends, se = (found.values - reach, found.values + reach), found.sd
        notes = ["SE and intervals: the variance parameters are taken as known."]
    else:
        errors, notes = _boot_errors(fit, asked, bootstrap)
        tails = [0.5 - prob / 2.0, 0.5 + prob / 2.0]
        low, high = np.quantile(errors.pivots, tails, axis=0) * found.sd
        ends, se = (found.values + low, found.values + high), errors.rms
    columns = {"estimate": found.values, "se": se, "lower": ends[0], "upper": ends[1]}
    index = predicted_index(newdata, fit.model.row_labels, asked.rows.n)
    table = Table(columns, index=index)
    table.attrs["notes"] = (*notes, *_alike_notes(fit, asked.rows))
    return table


def _alike_notes(fit: "RemlFit", rows: NewRows) -> list[str]:
    """What is said where levels that are not in the data differ by nothing."""
    notes = []
    for term, own, factor in zip(
        fit.design.groups, rows.groups, fit.factors, strict=True
    ):
        alike = [
            e for e, row in zip(term.effects, factor, strict=True) if not row.any()
        ]
        if alike and own is not None and (own.codes < 0).any():
            notes.append(
                f"The SD of {listed(alike)} over {term.group} is estimated as 0, so "
                f"levels that are not in the data are taken to have none of it; the "
                f"posterior says how much they may have."
            )
    return notes


def check_variances(variances: object) -> Variances:
    """How the variance parameters enter; `ModelError` for any other word."""
    for name in ("known", "estimated"):
        if is_choice(variances, (name,)):
            return name
    raise ModelError(
        f"Unknown variances={variances!r}. Options: 'known' (SE and interval take the "
        f"variance parameters as known), 'estimated' (their error is counted, by a "
        f"parametric bootstrap)."
    )


def _asked_rows(
    fit: "RemlFit", newdata: object, level: object, kind: str
) -> PredictedRows:
    """The rows, with the noise of a response if that is predicted."""
    model = fit.model
    words = known_words(fit.design.groups, level)
    check_prediction(model.family, kind)
    if kind != "response":
        words = averaged_away(words)
    rows = rows_to_predict(model.recipe, newdata, words)
    if kind != "response":
        return PredictedRows(rows, None)
    if newdata is None:
        weights = fit.design.rows and fit.design.rows.weights
    else:
        weights = new_weights(model, newdata)
    noise = np.ones(rows.n) if weights is None else 1.0 / weights
    own, structure = _residual_rows(fit, newdata), fit.design.residual
    strata = None if structure is None or own is None else (structure, own)
    return PredictedRows(rows, noise, strata)


def _residual_rows(fit: "RemlFit", newdata: object) -> ResidualRows | None:
    """Strata of the rows used, or of new ones."""
    if newdata is not None:
        return fit.model.recipe.encode_residual(newdata)
    return fit.design.rows and fit.design.rows.residual


class Errors(NamedTuple):
    """Errors of predictions over their SDs, and their root mean square."""

    pivots: Float[np.ndarray, "s n"]
    rms: Float[np.ndarray, " n"]


def _boot_errors(
    fit: "RemlFit", asked: PredictedRows, bootstrap: Bootstrap
) -> tuple[Errors, list[str]]:
    """Errors of the predictions of simulated responses, and what is said of them."""
    nsim = bootstrap.nsim
    n, rng = asked.rows.n, np.random.default_rng(bootstrap.seed)
    check_fits(
        8.0 * nsim * n,
        f"A bootstrap of {nsim:,} responses and {n:,} predictions",
        "Predict fewer rows at a time, or take the variances as known.",
    )
    refitter, design = make_refitter(fit), fit.design
    pivots, squares = [], np.zeros(n)
    for _ in range(nsim):
        effects, y = _one_world(fit, design, rng)
        ended, _ = refitter.search(y)
        truth = asked.draw(fit, effects, rng)
        if not ended.optimum.converged:
            continue
        guess = asked.at(ended)
        error = truth - guess.values
        squares += error**2
        # without fixed effects a population has no error at all
        pivots.append(np.divide(error, guess.sd, np.zeros(n), where=guess.sd > 0.0))
    if len(pivots) < 2:
        raise ModelError(f"{nsim - len(pivots)} of {nsim} bootstrap fits did not end.")
    notes = [
        f"SE and intervals count the error of the variance parameters: bootstrap of "
        f"{len(pivots):,} simulated responses."
    ]
    if len(pivots) < nsim:
        notes.append(f"{nsim - len(pivots)} more had no fit that converged.")
    return Errors(np.array(pivots), np.sqrt(squares / len(pivots))), notes


def _one_world(
    fit: "RemlFit", design: Design, rng: np.random.Generator
) -> tuple[list[Float[np.ndarray, "_j _k"]], Float[np.ndarray, " n"]]:
    """Random effects drawn at the estimates, and a response with them."""
    effects = random_effects(design, fit.factors, rng)
    own = fit.beta, fit.factors, fit.sigma, fit.residual_values
    parameters = Parameters(*own)
    return effects, one_response(design, parameters, effects, rng)
