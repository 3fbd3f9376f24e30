"""Cases under the posterior of all others: the densities, point by point.

Takes a `Target` with its rows, cases (rows, or the levels of a grouping factor) and
points of the variance parameters; gives ``log p(y_c | y_-c, point)``, beta and b
integrated out, and the target of the model without a case, by sums less those of its
rows. Priors stay those of all rows.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from bayeslmm.errors import ModelError
from bayeslmm.marginal.downdate import Downdater
from bayeslmm.marginal.left_out import (
    fitted_densities,
    level_densities,
    row_densities,
)
from bayeslmm.marginal.leverage import fit_rows
from bayeslmm.marginal.saferows import SafeRows, safe_rows
from bayeslmm.posterior.compiled import compile_target
from bayeslmm.posterior.target import Target
from bayeslmm.posterior.visits import in_threads, log_target
from bayeslmm.reml.cases import ROWS, Case, cases_of, term_of
from bayeslmm.reml.chunks import Progress, with_bar
from bayeslmm.spec import ModelSpec

# Of the largest eigenvalue of the precision of the fixed effects: what is smaller than
# this without some rows is rounding.
DEPENDENT = 1e-9


@dataclass(frozen=True, slots=True)
class Leaving:
    """What is left out of a model in turn.

    Attributes
    ----------
    target : Target
        Of all rows.
    rows : SafeRows
        These, in its coordinates.
    by : str
        ``"rows"``, or a grouping factor.
    cases : sequence of ndarray of int
        Rows of each case.
    names : ndarray, shape (c,)
        What the cases are called.
    alone : bool
        Whether the model has one grouping factor, and levels of it are left out or
        rows: then all cases come from one factorisation.
    downdater : Downdater
        Gives sums less those of some rows.
    """

    target: Target
    rows: SafeRows
    by: str
    cases: Sequence[Case]
    names: np.ndarray
    alone: bool
    downdater: Downdater

    def without(self, c: int) -> Target:
        """The target of the model without a case."""
        target = self.target
        conditioned = self.downdater.without(self.cases[c])
        compiled = target.compiled and compile_target(
            target.plan, conditioned, target.beta
        )
        return replace(target, conditioned=conditioned, compiled=compiled)

    def densities(
        self, x: Float[np.ndarray, "s m"], *, cores: int, progress: Progress
    ) -> Float[np.ndarray, "s c"]:
        """Log density of each case given all others, units of the data, at points."""
        sigma = self.target.safe_sigma(x)
        factors = self.target.safe_factors(x)
        relative = [factor / sigma[:, None, None] for factor in factors]
        if self.alone:
            block = self.rows.conditioned.statistics.lead
            at_once = row_densities if self.by == ROWS else level_densities
            return at_once(self.rows, block.join(relative), sigma, self.target.beta)
        if self.by == ROWS:
            found = self._rows(relative, sigma)
            return np.array(list(with_bar(found, len(x), progress, "rows left out")))
        whole = densities(self.target, x, cores)
        parts = (densities(self.without(c), x, cores) for c in range(len(self.cases)))
        shown = with_bar(parts, len(self.cases), progress, f"{self.by} left out")
        return whole[:, None] - np.array(list(shown)).T

    def _rows(
        self, relative: list[Float[np.ndarray, "s _k _k"]], sigma: np.ndarray
    ) -> Iterator[Float[np.ndarray, " n"]]:
        """All rows, a point at a time."""
        for s, scale in enumerate(sigma.tolist()):
            own = [factor[s] for factor in relative]
            seen = fit_rows(self.rows, own, scale, self.target.beta)
            yield fitted_densities(self.rows, seen, scale)

    def needed(self) -> Bool[np.ndarray, " c"]:
        """Cases without which a fixed effect under a flat prior has no estimate."""
        prior, rows = self.target.beta, self.rows
        p = rows.W.shape[1] - 1
        if p == 0 or (prior is not None and prior.n_proper == p):
            return np.zeros(len(self.cases), bool)
        X = rows.W[:, :p]
        precision = X.T @ (X * rows.weights[:, None])
        if prior is not None:
            precision = precision + prior.precision
        whole = np.linalg.eigvalsh(precision)[-1]
        found = []
        for case in self.cases:
            left = precision - X[case].T @ (X[case] * rows.weights[case][:, None])
            found.append(not np.linalg.eigvalsh(left)[0] > DEPENDENT * whole)
        return np.array(found)


def leaving(model: ModelSpec, target: Target, by: object) -> Leaving:
    """What is left out of a model, by a word.

    Parameters
    ----------
    model : ModelSpec
        Gaussian model, its rows in memory.
    target : Target
        Its target.
    by : str
        ``"rows"``, or a grouping factor.

    Raises
    ------
    DataError
        If the rows were read in batches.
    ModelError
        If there is no such grouping factor, or the residuals have a structure.
    """
    cases, index = cases_of(model, by, "by")
    design, word = model.design, str(by)
    if design.residual is not None:
        raise ModelError(
            f"Rows are left out of sums over independent residuals, and with "
            f"residual={design.residual.label!r} rows of a series are correlated. "
            f"Compare such models by bayes_factor(), or fit the model to the data "
            f"without some levels and look at predict()."
        )
    kept = model.priors.centered
    rows = safe_rows(design, model.conditioned, "densities of left-out rows", kept)
    layout = target.statistics.layout
    alone = not layout.rest and bool(layout.lead.terms)
    if alone and word != ROWS:
        t = term_of(design, word)
        alone = t in layout.lead.terms
    names, downdater = index.to_numpy(), Downdater.of(rows)
    return Leaving(target, rows, word, cases, names, alone, downdater)


def densities(
    target: Target, x: Float[np.ndarray, "s m"], cores: int
) -> Float[np.ndarray, " s"]:
    """Log density of the target at points; minus infinity where impossible."""

    def visit(point: Float[np.ndarray, " m"]) -> float:
        """At one point."""
        return log_target(target, point)

    return np.array(in_threads(visit, list(x), cores), dtype=float).reshape(len(x))


def log_mean(values: Float[np.ndarray, "s c"]) -> Float[np.ndarray, " c"]:
    """Log of the mean of exponentials over the first axis."""
    top = values.max(axis=0)
    return top + np.log(np.exp(values - top).sum(axis=0)) - math.log(len(values))
