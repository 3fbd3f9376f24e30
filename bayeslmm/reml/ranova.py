"""Tests of the random part: each term left out, or reduced, in turn.

Takes a `RemlFit`, gives the table of lmerTest's `ranova` with the p values that a null
at the boundary asks for. A smaller model is the same criterion with some of theta held
at 0, so it needs no rows.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.arrays import check_terms
from bayeslmm.design.frame import AnyFactor
from bayeslmm.design.matrices import CodedTerm
from bayeslmm.design.recipe import Recipe
from bayeslmm.errors import check_count, check_seed
from bayeslmm.reml.criterion import ProfiledProblem
from bayeslmm.reml.late import problem_of
from bayeslmm.reml.lrt import MOST_LEVELS, chisq_p, mixture_p, rlrt_draws
from bayeslmm.reml.profiled import TIGHT, WALL
from bayeslmm.reml.turned import flat_theta, turned_problem
from bayeslmm.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.reml.fit import RemlFit

Seed = int | np.random.Generator | None


@dataclass(frozen=True, slots=True)
class Reduction:
    """One bar term made smaller.

    Attributes
    ----------
    name : str
        ``Days in (Days | Subject)``; the term alone if all of it goes.
    term : int
        Number of the bar term.
    gone : ndarray, shape (r, k)
        Combinations of its effects that no longer vary.
    """

    name: str
    term: int
    gone: Float[np.ndarray, "r k"]


def ranova_table(fit: "RemlFit", nsim: object, seed: Seed) -> "pd.DataFrame":
    """The fit and each smaller model; see `RemlFit.ranova`."""
    nsim = check_count(nsim, "nsim", 0)
    check_seed(seed)
    check_terms(fit.design, "random effects to test")
    rows = {"<none>": _row(fit.npar, fit.criterion)}
    for t in range(len(fit.design.groups)):
        for one in reductions(fit.model.recipe, t):
            rng = np.random.default_rng(seed)
            rows[one.name] = tested(fit, one, nsim, rng)
    table = Table.from_dict(rows, orient="index")
    table.index.name = "term"
    if table["p_exact"].isna().all():
        del table["p_exact"]
    return Table(table)


def tested(
    fit: "RemlFit", one: Reduction, nsim: int, rng: np.random.Generator
) -> dict[str, float | int]:
    """The row of a smaller model in `ranova_table`."""
    own = fit.design.groups[one.term]
    n_theta, n_sd = own.covariance.n_theta, own.covariance.n_sd
    left = own.k - len(one.gone)
    df = n_theta(own.k) - (n_theta(left) if left else 0)
    lost = n_sd(own.k) - (n_sd(left) if left else 0)
    chisq = max(least_without(fit, one).criterion - fit.optimum.criterion, 0.0)
    return {
        **_row(fit.npar - df, fit.criterion + chisq),
        "chisq": chisq,
        "df": float(df),
        "p": chisq_p(chisq, df),
        "p_mixture": mixture_p(chisq, df, lost),
        "p_exact": _exact_p(fit, chisq, nsim, rng),
    }


def _row(npar: int, criterion: float) -> dict[str, float | int]:
    """What any model has."""
    aic = criterion + 2 * npar
    return {"npar": npar, "loglik": -0.5 * criterion, "aic": aic}


def reductions(recipe: Recipe, t: int) -> Iterator[Reduction]:
    """A term without each part of it that no other part contains, or without all."""
    term, coded = recipe.design.groups[t], recipe.coding.effects[t]
    if not (term.covariance.unstructured and term.k > 1 and coded):
        yield Reduction(term.label, t, np.eye(term.k))
        return
    for one in coded:
        if any(set(one.term.atoms) < set(other.term.atoms) for other in coded):
            continue
        columns = [
            effect
            for variable in term.variables
            if variable.expr == one.term.label
            for effect in variable.effects
        ]
        gone = np.eye(term.k)[columns]
        others = [other for other in coded if other is not one]
        if _means(recipe, one) and (not others or any(any(o.full) for o in others)):
            gone = np.diff(gone, axis=0)  # (0 + f | g) becomes (1 | g)
        yield Reduction(f"{one.term.label} in {term.label}", t, gone)


def _means(recipe: Recipe, one: CodedTerm) -> bool:
    """Whether the columns of a term are those of all cells of its factors."""
    variables = recipe.coding.variables
    factors = [isinstance(variables[a.label], AnyFactor) for a in one.term.atoms]
    return all(factors) and all(one.full)


@dataclass(frozen=True, slots=True)
class Least:
    """Where a smaller model has its least criterion, safe coordinates.

    Attributes
    ----------
    problem : ProfiledProblem
        The criterion, its columns turned so that what goes comes first.
    theta : ndarray, shape (m,)
        With zeros for what goes.
    criterion : float
        To be compared with ``fit.optimum.criterion``.
    """

    problem: ProfiledProblem
    theta: Float[np.ndarray, " m"]
    criterion: float


def least_without(fit: "RemlFit", one: Reduction) -> Least:
    """The smaller model at its best.

    Parameters
    ----------
    fit : RemlFit
        Fit of the larger model.
    one : Reduction
        What goes.

    Returns
    -------
    Least
        Its theta, and the criterion there.
    """
    problem = problem_of(fit)
    relative = tuple(factor / fit.sigma for factor in fit.factors)
    if len(one.gone) == one.gone.shape[1]:
        best = flat_theta(problem, relative, fit.theta)
        return _least(problem, best, _places(problem, one.term))
    turned = turned_problem(problem, relative, fit.theta, one.term, one.gone)
    block = problem.blocks[one.term]
    column = np.triu_indices(block.k)[0]  # of theta, the lower triangle by columns
    gone = _places(problem, one.term)[column < len(one.gone)]
    return _least(turned.problem, turned.best, gone)


def _places(problem: ProfiledProblem, t: int) -> Int[np.ndarray, " m"]:
    """Where theta of a term is."""
    return np.arange(problem.m)[problem.blocks[t].where]


def _least(
    problem: ProfiledProblem, best: Float[np.ndarray, " m"], gone: Int[np.ndarray, " g"]
) -> Least:
    """Least criterion with some of theta at 0, from the estimate and from the start."""
    free, found = np.setdiff1d(np.arange(problem.m), gone), np.zeros(problem.m)
    if not len(free):
        return Least(problem, found, problem(found)[0])
    lower, upper = problem.bounds

    def value(rest: Float[np.ndarray, " f"]) -> tuple[float, Float[np.ndarray, " f"]]:
        """Criterion with its gradient by what is free."""
        theta = np.zeros(problem.m)
        theta[free] = rest
        criterion, gradient = problem(theta)
        if not (math.isfinite(criterion) and np.isfinite(gradient).all()):
            return WALL, np.zeros_like(rest)
        return criterion, gradient[free]

    from scipy.optimize import minimize

    bounds = list(zip(lower[free], upper[free], strict=True))
    ends = [
        minimize(
            value, point, jac=True, method="L-BFGS-B", bounds=bounds, options=TIGHT
        )
        for point in (best[free], problem.start[free])
    ]
    end = min(ends, key=lambda end: end.fun)
    found[free] = end.x
    return Least(problem, found, float(end.fun))


def _exact_p(
    fit: "RemlFit", chisq: float, nsim: int, rng: np.random.Generator
) -> float:
    """Share of draws under the null above the statistic; NaN where there are none."""
    groups = fit.design.groups
    simple = fit.method == "REML" and len(groups) == 1 and groups[0].k == 1
    simple = simple and fit.design.residual is None
    if not (simple and nsim) or groups[0].n_levels > MOST_LEVELS:
        return math.nan
    draws = rlrt_draws(fit.model.conditioned.statistics, nsim, rng)
    return float((draws > max(chisq, 1e-8)).mean())
