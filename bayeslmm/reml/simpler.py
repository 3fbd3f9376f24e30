"""Smaller models of a fit, without rows: what is left out, estimates, and its test.

Takes a `RemlFit` with a `Reduction` of one of its terms; gives a `Simpler`: the same
criterion with some of theta held at 0, so that everything is read off cross-products.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import GroupTerm
from bayeslmm.reml.ranova import Reduction, least_without, reductions, tested
from bayeslmm.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.reml.fit import RemlFit


@dataclass(frozen=True, slots=True)
class Simpler:
    """A smaller model beside a fit.

    Attributes
    ----------
    name : str
        What goes, ``edu in (edu | classroom)``.
    left : str
        What is left of the term, ``(1 | classroom)``; empty if nothing is.
    row : dict
        ``npar``, ``loglik``, ``aic``, ``chisq``, ``df``, ``p``, ``p_mixture``,
        ``p_exact``, as `RemlFit.ranova` has them.
    beta, se : ndarray, shape (p,)
        Its fixed effects and their SEs.
    sigma : float
        Its residual SD.
    """

    name: str
    left: str
    row: dict[str, float | int]
    beta: Float[np.ndarray, " p"]
    se: Float[np.ndarray, " p"]
    sigma: float

    @property
    def p(self) -> float:
        """The most exact of its p values."""
        row = self.row
        known = (row["p_exact"], row["p_mixture"], row["p"])
        return float(next(value for value in known if np.isfinite(value)))


def simpler_models(fit: "RemlFit", t: int, nsim: int, seed: int) -> list[Simpler]:
    """Bar term number t without each part of it that can go, or without all."""
    found = []
    for one in reductions(fit.model.recipe, t):
        end = least_without(fit, one)
        effects, unit = end.problem.effects(end.theta), fit.model.conditioned.unit
        found.append(
            Simpler(
                one.name,
                _left(fit.design.groups[t], one),
                tested(fit, one, nsim, np.random.default_rng(seed)),
                effects.beta,
                np.sqrt(np.diag(effects.beta_cov)),
                unit * end.problem.profile(end.theta).sigma,
            )
        )
    return found


def simpler_table(fit: "RemlFit", found: list[Simpler]) -> "pd.DataFrame":
    """The fit and the smaller models: criterion and test."""
    own = {"npar": fit.npar, "loglik": fit.loglik, "aic": fit.aic}
    rows = {"<none>": own, **{one.name: one.row for one in found}}
    table = Table.from_dict(rows, orient="index")
    table.index.name = "without"
    return Table(table.dropna(axis="columns", how="all"))


def fixed_table(fit: "RemlFit", found: list[Simpler]) -> "pd.DataFrame":
    """The fixed effects and the residual SD of the fit and of the smaller models."""
    own_se = np.sqrt(np.diag(fit.beta_cov))
    models = [("<none>", fit.beta, own_se, fit.sigma)]
    models += [(one.name, one.beta, one.se, one.sigma) for one in found]
    names = (*fit.design.fixed_names, "sigma")
    rows = [
        {"label": label, "without": name, "estimate": value, "se": error}
        for i, label in enumerate(names)
        for name, beta, se, sigma in models
        for value, error in [(*beta, sigma)[i : i + 1] + (*se, np.nan)[i : i + 1]]
    ]
    return Table(Table(rows).set_index(["label", "without"]))


def _left(term: GroupTerm, one: Reduction) -> str:
    """The term without what goes."""
    if len(one.gone) == term.k:
        return ""
    gone = one.name.removesuffix(f" in {term.label}")
    kept = [v.expr for v in term.variables if v.expr != gone]
    if not kept:
        return f"(1 | {term.group})"  # (0 + f | g) less its differences
    head = "" if "1" in kept else "0 + "
    return f"({head}{' + '.join(kept)} | {term.group})"
