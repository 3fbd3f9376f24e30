"""The response beside responses that the model makes, all in SDs under the model.

Takes a fit; gives what checks and envelopes compare, a chunk of responses at a time:
the residuals and random effects of the data, and those of simulated responses, at the
same covariance parameters. For a REML fit these are the estimates throughout, and
nothing is fitted again: the reference is exact for parameters that are known, and
statistics that do not depend on scale make little of the difference.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.design.arrays import rows_of
from bayeslmm.marginal.saferows import SafeRows, safe_rows
from bayeslmm.marginal.standardizing import Standard, make_standardizer
from bayeslmm.reml.late import problem_of

if TYPE_CHECKING:
    from bayeslmm.reml.fit import RemlFit

# Rows times responses that are held at a time; numbers that are worth drawing in all.
CHUNK, WORTH = 1_000_000, 4_000_000
MOST, FEWEST = 999, 199


@dataclass(frozen=True, slots=True)
class Replicates:
    """The data and some simulated responses; ``fitted`` in units of y.

    ``observed`` has one row, or one for each of ``drawn`` where each has covariance
    parameters of its own. Rows of leverage 1 have residual 0 in all.
    """

    observed: Standard
    drawn: Standard


def number_of_replicates(n: int) -> int:
    """How many responses are simulated for n rows: fewer of many."""
    return int(np.clip(WORTH // max(n, 1), FEWEST, MOST))


def reml_replicates(
    fit: "RemlFit", nsim: int, seed: int | np.random.Generator | None
) -> Iterator[Replicates]:
    """The data beside responses of the estimates, in chunks."""
    rng = np.random.default_rng(seed)
    rows = safe_rows(fit.design, fit.model.conditioned, "checks of all rows")
    standard = make_standardizer(rows, problem_of(fit).factors(fit.optimum.theta))
    fixed, y = fit._fitted(None), rows_of(fit.design, "checks of all rows").y
    found = standard(observed_response(rows, fit.sigma))
    observed = replace(finite(found), fitted=(y - fit.residuals())[None])
    for s in chunk_sizes(nsim, len(y)):
        drawn = finite(standard(standard.simulate(rng, s)))
        yield Replicates(
            observed, replace(drawn, fitted=fixed + fit.sigma * drawn.fitted)
        )


def observed_response(rows: SafeRows, sigma: float) -> np.ndarray:
    """The response in residual SDs, shape (1, n); what X leaves of it."""
    return rows.W[:, -1][None] * (rows.conditioned.unit / sigma)


def chunk_sizes(nsim: int, n: int) -> Iterator[int]:
    """Sizes of the chunks of so many responses."""
    most = max(1, CHUNK // max(n, 1))
    for start in range(0, nsim, most):
        yield min(most, nsim - start)


def finite(seen: Standard) -> Standard:
    """Residuals of 0 where the fit passes through the row, whatever it is."""
    return replace(seen, residual=np.nan_to_num(seen.residual))
