"""What rows and levels do to the estimates: the fit without each of them.

Takes a `RemlFit` and what is left out in turn, rows or the levels of a grouping factor;
gives an `Influence`: Cook's distances, DFBETAS and the change of every parameter. The
cross-products of what is left out are subtracted from those of all rows and the search
starts where the fit ended: no design is made again, no row read again.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from bayeslmm.design.arrays import Design
from bayeslmm.errors import ModelError, is_choice
from bayeslmm.marginal.downdate import Downdater
from bayeslmm.marginal.leverage import fit_rows
from bayeslmm.marginal.likelihood import gram
from bayeslmm.marginal.saferows import SafeRows, safe_rows
from bayeslmm.reml.cases import ROWS, cases_of
from bayeslmm.reml.criterion import ProfiledProblem
from bayeslmm.reml.expense import WORTH_SAYING
from bayeslmm.reml.late import problem_of
from bayeslmm.reml.optimise import minimise
from bayeslmm.reml.tables import estimates, estimates_of
from bayeslmm.tables import Table
from bayeslmm.tables.notebook import fragment

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.reml.fit import RemlFit

InfluenceMethod = Literal["refit", "one-step"]
# Of the largest eigenvalue of the cross-products of X, whose columns are orthogonal
# over all rows: what is smaller than this without some of them is rounding.
DEPENDENT = 1e-9
SHOWN, NAMED = 5, 5
SETTLED = 2  # the case that is timed


@dataclass(frozen=True, slots=True, repr=False)
class Influence:
    """The fit without each row, or each level.

    Attributes
    ----------
    of : str
        What is left out: ``"rows"``, or a grouping factor.
    method : {"refit", "one-step"}
        Whether the covariance parameters were estimated again or held.
    table : DataFrame
        Index ``row`` (labels of the rows) or ``level``; columns ``n`` (rows left out),
        ``cooks_distance`` (unit-free), ``converged``. NaN where the fixed effects
        cannot be estimated without it.
    dfbetas : DataFrame
        The same index, a column for each fixed effect: its estimate less the one
        without the row or level, in standard errors of the latter.
    change : DataFrame
        The same index, a column for each parameter: the estimate less the one without
        it, in units of the parameter. With ``"one-step"`` the SDs and correlations of
        the random effects are not there: they are held, relative to sigma.
    messages : tuple of str
        What the reader must know: cases that cannot be left out, searches that failed.
    """

    of: str
    method: InfluenceMethod
    table: "pd.DataFrame"
    dfbetas: "pd.DataFrame"
    change: "pd.DataFrame"
    messages: tuple[str, ...]

    def __repr__(self) -> str:
        """The most influential, and what is to be said of the others."""
        return "\n".join([self._head, repr(self._top), *self.messages])

    @property
    def _top(self) -> "pd.DataFrame":
        """Cases of the largest distances."""
        return self.table.nlargest(SHOWN, "cooks_distance")

    @property
    def _head(self) -> str:
        """How many were left out, and how."""
        of = "rows" if self.of == ROWS else f"levels of {self.of}"
        left = f"{len(self.table):,} {of}"
        how = {"refit": "all parameters estimated again", "one-step": "SDs held"}
        return f"Influence of {left}, left out one at a time ({how[self.method]})."

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        return fragment(self._head, self.messages, [self._top])


class Dropped(NamedTuple):
    """Estimates without each case: all parameters, SE of beta, whether found."""

    beta: Float[np.ndarray, "c p"]
    se: Float[np.ndarray, "c p"]
    values: Float[np.ndarray, "c d"]
    converged: Bool[np.ndarray, " c"]


def influence(
    fit: "RemlFit", of: str = ROWS, *, method: InfluenceMethod = "refit"
) -> Influence:
    """What leaving out each row, or each level, does to the estimates.

    See `RemlFit.influence`, whose parameters these are.
    """
    _check_method(method)
    cases, index = cases_of(fit.model, of, "of")
    rows = safe_rows(fit.design, fit.model.conditioned, "influences")
    problem = replace(problem_of(fit), conditioned=rows.conditioned, calls=Counter())
    if method == "one-step" and of == ROWS:
        dropped = _rows_at_once(fit, rows, problem)
    else:
        dropped = _one_by_one(fit, rows, problem, cases, method)
    return _result(fit, of, method, index, [len(case) for case in cases], dropped)


def _check_method(method: object) -> None:
    """Raise `ModelError` for an unknown method."""
    if not is_choice(method, get_args(InfluenceMethod)):
        raise ModelError(
            f"method must be 'refit' (all parameters estimated again) or 'one-step' "
            f"(covariance parameters held), not {method!r}."
        )


# --- estimates without it -------------------------------------------------------------


def _one_by_one(
    fit: "RemlFit",
    rows: SafeRows,
    problem: ProfiledProblem,
    cases: Sequence[Int[np.ndarray, " _d"]],
    method: InfluenceMethod,
) -> Dropped:
    """Each case by sums without its rows."""
    downdater, found = Downdater.of(rows), []
    for i, case in enumerate(cases):
        started = time.perf_counter()
        found.append(_without(fit, problem, downdater, case, search=method == "refit"))
        if i == SETTLED:
            _say_if_long((time.perf_counter() - started) * len(cases))
    return Dropped(*map(np.array, zip(*found, strict=True)))


def _say_if_long(seconds: float) -> None:
    """Say how long it will be, by a case after the first, which load kernels."""
    if seconds > WORTH_SAYING:
        logging.getLogger("bayeslmm").warning(
            "Leaving out one at a time and searching again takes some %.0f s here. "
            "method='one-step' holds the SDs and takes a moment for rows.",
            seconds,
        )


def _without(
    fit: "RemlFit",
    problem: ProfiledProblem,
    downdater: Downdater,
    gone: Int[np.ndarray, " d"],
    *,
    search: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Beta, its SE, all parameters, and whether the search ended at a minimum."""
    design, p = fit.design, fit.design.p
    nothing = np.full(p, np.nan)
    none = nothing, nothing, np.full(len(design.space.parameters), np.nan), False
    if design.n - len(gone) <= p:
        return none
    conditioned = downdater.without(gone)
    stats = conditioned.statistics
    if _is_dependent(stats.WW[:p, :p]):
        return none
    own = replace(problem, conditioned=conditioned, calls=Counter())
    optimum = minimise(own, fit.optimum) if search else fit.optimum
    profile = own.profile(optimum.theta)
    if not profile.sigma > 0.0:
        return none
    _, G = gram(stats, own.factors(optimum.theta))
    sigma = conditioned.unit * profile.sigma
    beta = conditioned.coefficients(profile.beta)
    turn = profile.sigma * conditioned.coefficient_turn()
    se = np.sqrt(np.diag(turn @ np.linalg.inv(G[:p, :p]) @ turn.T))
    factors = tuple(sigma * one for one in own.data_factors(optimum.theta))
    values = estimates_of(design, beta, factors, sigma, optimum.theta)
    return beta, se, values, optimum.converged


def _is_dependent(products: Float[np.ndarray, "p p"]) -> bool:
    """Whether columns of X are linearly dependent in the rows that stay."""
    if not len(products):
        return False
    sizes = np.linalg.eigvalsh(products)
    return not sizes[0] > DEPENDENT * sizes[-1]


def _rows_at_once(fit: "RemlFit", rows: SafeRows, problem: ProfiledProblem) -> Dropped:
    """Every row in closed form, the relative covariance parameters held."""
    seen = fit_rows(rows, problem.factors(fit.optimum.theta))
    conditioned, dof = rows.conditioned, problem.dof - 1
    turn, design = conditioned.coefficient_turn(), fit.design
    found = seen.hat < 1.0 - DEPENDENT
    beta = np.full((len(found), design.p), np.nan)
    se, sigma = beta.copy(), np.full(len(found), np.nan)
    beta[found] = conditioned.coefficients(seen.beta - seen.dropped_beta[found])
    sigma[found] = np.sqrt(np.maximum(seen.dropped_quad[found], 0.0) / dof)
    spread = np.einsum("ip,npq,iq->ni", turn, seen.dropped_variances[found], turn)
    se[found] = sigma[found][:, None] * np.sqrt(spread)
    values = np.tile(estimates(fit), (len(found), 1))
    values[:, _positions(design, "fixef")] = beta[:, _order(design)]
    values[:, _positions(design, "sigma")] = conditioned.unit * sigma[:, None]
    return Dropped(beta, se, values, found)


# --- tables ---------------------------------------------------------------------------


def _positions(design: Design, component: str) -> list[int]:
    """Where the parameters of a kind stand in the tables."""
    every = design.space.parameters
    return [i for i, p in enumerate(every) if p.component == component]


def _order(design: Design) -> list[int]:
    """Columns of X in the order of the tables."""
    return [p.index[0] for p in design.space.fixed]


def _result(
    fit: "RemlFit",
    of: str,
    method: InfluenceMethod,
    index: "pd.Index",
    sizes: Sequence[int],
    dropped: Dropped,
) -> Influence:
    """Distances and tables from the estimates without each case."""
    design, order = fit.design, _order(fit.design)
    moved = fit.beta - dropped.beta
    fixed = [p.label for p in design.space.fixed]
    shown = [
        i
        for i, p in enumerate(design.space.parameters)
        if method == "refit" or p.component in ("fixef", "sigma")
    ]
    change = estimates(fit) - dropped.values
    labels = [design.space.parameters[i].label for i in shown]
    table = Table(
        {
            "n": np.array(sizes),
            "cooks_distance": cooks_distance(moved, fit.beta_cov),
            "converged": dropped.converged,
        },
        index=index,
    )
    return Influence(
        of=of,
        method=method,
        table=table,
        dfbetas=Table((moved / dropped.se)[:, order], index=index, columns=fixed),
        change=Table(change[:, shown], index=index, columns=labels),
        messages=tuple(_messages(of, index, dropped)),
    )


def cooks_distance(
    moved: Float[np.ndarray, "c p"], covariance: Float[np.ndarray, "p p"]
) -> Float[np.ndarray, " c"]:
    """Cook's distance of changes of beta, ``d'C^-1 d / p``.

    References
    ----------
    .. [1] Cook (1977). Detection of influential observation in linear regression.
       Technometrics 19(1). https://doi.org/10.1080/00401706.1977.10489493
    """
    if not len(covariance):
        return np.full(len(moved), np.nan)
    solved = np.linalg.solve(covariance, moved.T)
    return np.einsum("cp,pc->c", moved, solved) / len(covariance)


def _messages(of: str, index: "pd.Index", dropped: Dropped) -> Iterator[str]:
    """Cases that cannot be left out, and searches that failed."""
    what = "row" if of == ROWS else f"level of {of}"
    lost = np.isnan(dropped.beta).any(axis=1)
    failed = ~dropped.converged & ~lost
    if lost.any():
        yield (
            f"Without {_named(what, index, lost)} the model cannot be estimated: the "
            f"fixed effects need it. Its influence is not a number; look at what it "
            f"alone supports."
        )
    if failed.any():
        yield (
            f"The search did not end at a minimum without {_named(what, index, failed)}"
            f"; its figures are those of the lowest point found."
        )


def _named(what: str, index: "pd.Index", chosen: Bool[np.ndarray, " c"]) -> str:
    """The first few of some cases, and how many more there are."""
    names = [str(name) for name in index[chosen]]
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    either = "any of " if len(names) > 1 else ""
    return f"{either}{what} {', '.join(names[:NAMED])}{more}"
