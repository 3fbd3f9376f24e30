"""What a page of residual plots shows: the numbers behind each panel.

Takes a fit of either kind; gives a `CheckPanels`: residuals beside fitted values with
curves through them, quantiles beside the band in which those of the model's own
responses stay, residuals by level, and Cook's distances.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.special import ndtr, ndtri

from bayeslmm.design.arrays import rows_of
from bayeslmm.marginal.standardizing import Standard
from bayeslmm.posterior.check import (
    check_gaussian,
    number_of_draws,
    posterior_replicates,
)
from bayeslmm.posterior.fit import Posterior
from bayeslmm.reml.cases import ROWS
from bayeslmm.reml.check import MOST_LEVELS
from bayeslmm.reml.fit import RemlFit
from bayeslmm.reml.replicates import (
    Replicates,
    number_of_replicates,
    reml_replicates,
)
from bayeslmm.reml.smoother import smooth

# Quantiles of a panel; levels without which there is no panel of their effects.
MOST_POINTS, FEWEST_LEVELS = 300, 3

Curve = tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]] | None


class Quantiles(NamedTuple):
    """Quantiles of standardised values beside normal ones.

    ``table`` has ``normal``, ``observed``, ``lower``, ``upper``; ``of`` is what they
    are of, ``names`` the levels at the points or None, ``n`` how many values there are.
    """

    of: str
    table: pd.DataFrame
    names: list[str] | None
    n: int


@dataclass(frozen=True, slots=True)
class CheckPanels:
    """Numbers of the panels.

    Attributes
    ----------
    rows : DataFrame
        A row for each row used: ``fitted``, units of y, ``residual``, standardised,
        ``level`` of `group`.
    trend, spread : tuple of ndarray or None
        Curves through residuals, and through the roots of their sizes, by fitted
        values.
    residuals : Quantiles
        Of the residuals.
    effects : tuple of Quantiles
        Of each random effect of a group with at least three levels.
    group : str
        Grouping factor of the residuals by level.
    influence : DataFrame or None
        ``case``, ``cooks_distance``; None of a posterior.
    influence_of : str
        ``"rows"``, or the group.
    prob : float
        Share of the model's responses that stay within a band throughout.
    nsim : int
        Responses that were simulated.
    """

    rows: pd.DataFrame
    trend: Curve
    spread: Curve
    residuals: Quantiles
    effects: tuple[Quantiles, ...]
    group: str
    influence: pd.DataFrame | None
    influence_of: str
    prob: float
    nsim: int


def check_panels(
    fit: RemlFit | Posterior,
    group: str,
    *,
    prob: float,
    seed: int | np.random.Generator | None,
) -> CheckPanels:
    """The numbers of all panels.

    Parameters
    ----------
    fit : RemlFit or Posterior
        A Gaussian model whose rows are in memory.
    group : str
        Grouping factor of the residuals by level, and of influence.
    prob : float
        Share of the model's responses that stay within a band throughout.
    seed : int, Generator or None
        Of the simulated responses.
    """
    design = fit.model.design
    if isinstance(fit, Posterior):
        check_gaussian(fit, "plot_check")
        nsim = number_of_draws(fit)
        chunks = posterior_replicates(fit, nsim, seed)
    else:
        nsim = number_of_replicates(fit.nobs)
        chunks = reml_replicates(fit, nsim, seed)
    residuals, effects, fitted, residual = _quantiles(fit, chunks, prob)
    t = next(t for t, term in enumerate(design.groups) if term.group == group)
    levels = np.array(design.groups[t].levels, dtype=object)
    codes = rows_of(design, "residuals by level").codes[t]
    of, influence = _influence(fit, group)
    return CheckPanels(
        rows=pd.DataFrame(
            {"fitted": fitted, "residual": residual, "level": levels[codes]}
        ),
        trend=smooth(fitted, residual),
        spread=smooth(fitted, np.sqrt(np.abs(residual))),
        residuals=residuals,
        effects=effects,
        group=group,
        influence=influence,
        influence_of=of,
        prob=prob,
        nsim=nsim,
    )


# --- quantiles ------------------------------------------------------------------------


class _Part(NamedTuple):
    """Some values that are sorted: residuals, or one effect of the levels known."""

    of: str
    term: int
    effect: int
    names: np.ndarray | None

    def values(self, seen: Standard) -> Float[np.ndarray, "s m"]:
        """The values of each response."""
        if self.names is None:
            return seen.residual
        return seen.effects[self.term][:, :, self.effect]


def _quantiles(
    fit: RemlFit | Posterior, chunks: Iterable[Replicates], prob: float
) -> tuple[Quantiles, tuple[Quantiles, ...], np.ndarray, np.ndarray]:
    """Quantiles of residuals and effects; fitted values and residuals, averaged."""
    parts = [_Part("Residuals", 0, 0, None)]
    for t, term in enumerate(fit.model.design.groups):
        if term.n_levels >= FEWEST_LEVELS:
            names = np.array(term.levels, dtype=object)
            parts += [
                _Part(f"{effect} of {term.group}", t, k, names)
                for k, effect in enumerate(term.effects)
            ]
    drawn: list[list[np.ndarray]] = [[] for _ in parts]
    seen: list[list[np.ndarray]] = [[] for _ in parts]
    fitted, residual, n = 0.0, 0.0, 0
    for chunk in chunks:
        for i, part in enumerate(parts):
            known = part.values(chunk.drawn)
            at = _positions(known.shape[1])
            drawn[i].append(np.sort(known, axis=1)[:, at])
            seen[i].append(part.values(chunk.observed))
        fitted = fitted + chunk.observed.fitted.sum(axis=0)
        residual = residual + chunk.observed.residual.sum(axis=0)
        n += len(chunk.observed.fitted)
    found = [
        _beside(part, np.concatenate(own).mean(axis=0), np.concatenate(those), prob)
        for part, own, those in zip(parts, seen, drawn, strict=True)
    ]
    kept = tuple(one for one in found[1:] if one is not None)
    assert found[0] is not None, "residuals are finite"
    return found[0], kept, np.asarray(fitted / n), np.asarray(residual / n)


def _positions(m: int) -> Int[np.ndarray, " q"]:
    """Which of m sorted values are shown: all, or ends and some between."""
    if m <= MOST_POINTS:
        return np.arange(m)
    normal = np.linspace(-1.0, 1.0, MOST_POINTS) * ndtri((m - 0.5) / m)
    return np.unique(np.clip((ndtr(normal) * m).astype(int), 0, m - 1))


def _beside(
    part: _Part,
    own: Float[np.ndarray, " m"],
    drawn: Float[np.ndarray, "s q"],
    prob: float,
) -> Quantiles | None:
    """Quantiles of one part with their band; None where an SD is 0."""
    if not np.isfinite(own).all():
        return None
    m, order = len(own), np.argsort(own, kind="stable")
    at = _positions(m)
    lower, upper = band(drawn, prob)
    table = pd.DataFrame(
        {
            "normal": ndtri((at + 0.5) / m),
            "observed": own[order][at],
            "lower": lower,
            "upper": upper,
        }
    )
    names = None if part.names is None else part.names[order][at].tolist()
    return Quantiles(part.of, table, names, m)


def band(
    drawn: Float[np.ndarray, "s q"], prob: float
) -> tuple[Float[np.ndarray, " q"], Float[np.ndarray, " q"]]:
    """Limits within which a share `prob` of the rows stay at all places.

    References
    ----------
    .. [1] Aldor-Noiman et al. (2013). The power to see: a new graphical test of
       normality. Am. Stat. 67(4). https://doi.org/10.1080/00031305.2013.847865
    """
    s = len(drawn)
    ranks = drawn.argsort(axis=0).argsort(axis=0)
    nearest = np.minimum(ranks, s - 1 - ranks).min(axis=1)  # to either end, anywhere
    depth = int(np.sort(nearest)[int((1.0 - prob) * s)])
    ordered = np.sort(drawn, axis=0)
    return ordered[depth], ordered[s - 1 - depth]


# --- influence ------------------------------------------------------------------------


def _influence(fit: RemlFit | Posterior, group: str) -> tuple[str, pd.DataFrame | None]:
    """Cook's distances of the levels, of the rows where the levels are too many."""
    if isinstance(fit, Posterior) or not fit.design.p:
        return group, None
    n = next(t.n_levels for t in fit.design.groups if t.group == group)
    few = FEWEST_LEVELS <= n <= MOST_LEVELS
    of = group if few and not fit.model.conditioned.statistics.in_steps else ROWS
    table = fit.influence(of, method="one-step").table
    return of, pd.DataFrame(
        {
            "case": [str(case) for case in table.index],
            "cooks_distance": table["cooks_distance"].to_numpy(),
        }
    )
