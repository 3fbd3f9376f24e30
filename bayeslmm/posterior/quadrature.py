"""The posterior without Monte Carlo error: quadrature over the variance parameters.

Takes a `Model` with at most four variance parameters, gives a `Quadrature`: evidence,
means, SDs and quantiles of every parameter, each with an error estimate. The variance
parameters are summed over a lattice that is refined until two successive ones agree;
given them the fixed effects are Normal, so theirs are mixtures of Normals in closed
form. It shares the density with the samplers and nothing else, and is their referee.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import (
    ModelError,
    check_fraction,
    is_number,
    nearest_names,
    warn_user,
)
from bayeslmm.posterior.lattice import (
    MOST_POINTS,
    Lattice,
    unit_steps,
)
from bayeslmm.posterior.margins import mean_sd, quantiles
from bayeslmm.posterior.mode import Laplace, laplace
from bayeslmm.posterior.options import available_cores
from bayeslmm.posterior.origin import Views, find_origin, look
from bayeslmm.posterior.tables import hide_missing
from bayeslmm.posterior.tails import Tails, find_tails
from bayeslmm.posterior.target import Target, make_target
from bayeslmm.reml.expense import useful_threads
from bayeslmm.spec import ModelSpec
from bayeslmm.tables import Table
from bayeslmm.tables.notebook import fragment

if TYPE_CHECKING:
    import pandas as pd

# A lattice in d dimensions takes about 12**d points and more.
MAX_DIMENSION = 4
# Steps, in SDs of a coordinate given the others. For a normal density the trapezoid
# rule errs by 2 exp(-2 (pi / step)**2): 5e-9 with step 1.
STEPS = (1.0, 0.8, 0.6, 0.45, 0.35, 0.25)
# Beyond these a lattice has too few points to be summed, or asks of doubles what they
# have not.
TOLERANCES = (1e-12, 1.0)
# The first lattice ends where the density is below the tolerance times exp(-6), each
# finer one two log units further out, so that their difference tells of the tails too.
FIRST_CUT, MORE_CUT = 6.0, 2.0


@dataclass(frozen=True, slots=True, repr=False)
class Quadrature:
    """A posterior by quadrature.

    Attributes
    ----------
    model : Model
        What was fitted.
    target : Target
        Density of the coordinates.
    normal : Laplace
        Its mode.
    lattice : Lattice
        The finest lattice.
    tails : Tails
        Which moments exist.
    table : DataFrame
        What `summary` gives.
    log_evidence : float
        Log density of the data, parameters integrated out; NaN if a prior is flat.
    error : float
        Change of the log evidence from the lattice before.
    converged : bool
        Whether all errors are within the tolerance.
    views : Views
        Which lattice tells of which parameter.
    """

    model: ModelSpec
    target: Target
    normal: Laplace
    lattice: Lattice
    tails: Tails
    table: "pd.DataFrame"
    log_evidence: float
    error: float
    converged: bool
    views: Views

    def summary(self) -> "pd.DataFrame":
        """Every parameter with its interval and its error.

        Returns
        -------
        DataFrame
            Index ``label``; columns ``component``, ``mean``, ``median``, ``sd``,
            ``lower``, ``upper`` in units of the parameter, and ``error``: the largest
            change of these from the lattice before. A mean or SD that the posterior
            does not have is NaN (flat priors and few levels). The intervals are
            equal-tailed, of the probability given to `quadrature`.
        """
        return self.table.copy()

    def quantile(self, label: str, probability: float) -> float:
        """Value of a parameter below which a probability lies.

        Parameters
        ----------
        label : str
            As in the index of `summary`.
        probability : float
            Between 0 and 1.

        Returns
        -------
        float
            Units of the parameter.

        Raises
        ------
        ModelError
            If there is no such parameter, or the probability is out of range.
        """
        found = {p.label: p for p in self.model.space.parameters}
        if label not in found:
            raise ModelError(f"No parameter {label!r}.{nearest_names(label, found)}")
        check_fraction(probability, "probability")
        parameter = found[label]
        return quantiles(parameter, *self.views.of(parameter), (probability,))[0]

    @property
    def reason(self) -> str:
        """Size and errors in one sentence, for the draws that are made from it."""
        share = float((self.table["error"] / _spread(self.table)).max())
        evidence = (
            ""
            if math.isnan(self.log_evidence)
            else f"; log evidence {self.log_evidence:.4f} (error {self.error:.1g})"
        )
        return (
            f"Independent draws from a lattice of {len(self.lattice.nodes):,} points "
            f"over {self.target.start.size} variance parameters; its figures changed "
            f"by at most {share:.1g} SDs at the last refinement{evidence}."
        )

    def __repr__(self) -> str:
        """Formula, evidence and size."""
        return (
            f"Quadrature({self.model.formula.text!r}, log_evidence="
            f"{self.log_evidence:.4f}, points={len(self.lattice.nodes)})"
        )

    def _repr_html_(self) -> str:
        """The same with the table, for notebooks."""
        return fragment(repr(self), tables=[self.table])


def quadrature(
    model: ModelSpec,
    *,
    prob: float = 0.95,
    tolerance: float = 1e-4,
    cores: int | None = None,
) -> Quadrature:
    """Posterior of a model with few variance parameters, without Monte Carlo error.

    Use it to check a sampler, or where the evidence is wanted; `sample` gives draws.

    Parameters
    ----------
    model : Model
        Family Gaussian, priors of the fixed effects Normal or flat, at most four
        variance parameters.
    prob : float, default 0.95
        Probability of the equal-tailed intervals.
    tolerance : float, default 1e-4
        Largest change from one lattice to the next, in posterior SDs, and of the log
        evidence, at which the refinement stops.
    cores : int, optional
        Most threads; the result does not depend on it. By default all cores.

    Returns
    -------
    Quadrature
        Summary, evidence and their errors.

    Raises
    ------
    ModelError
        If there are too many variance parameters, or the posterior is too wide.
    PriorError
        If the posterior is improper, or a prior cannot be integrated.

    Warns
    -----
    FitWarning
        If the finest lattice has not reached the tolerance.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> from bayeslmm.posterior.quadrature import quadrature
    >>> classrooms = lmm.simulate_classrooms(seed=1)
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", classrooms.data)
    >>> quadrature(model).converged
    True
    """
    check_fraction(prob, "prob")
    low, high = TOLERANCES
    if not is_number(tolerance) or not low <= tolerance <= high:
        raise ModelError(
            f"tolerance must be a positive number from {low:g} to {high:g}, in "
            f"posterior SDs, such as 0.01, not {tolerance!r}."
        )
    target = make_target(model.design, model.conditioned, model.priors)
    if target.start.size > MAX_DIMENSION:
        raise ModelError(_too_many(target.start.size))
    tails = find_tails(model.design, target, model.priors.name)
    threads = useful_threads(target.statistics, cores or available_cores())
    normal = laplace(target)
    refined = _refine(model, target, normal, tails, prob, tolerance, threads)
    if not refined.converged:
        warn_user(_not_converged(refined, tolerance))
    flat = _has_flat_prior(model, target)
    return Quadrature(
        model=model,
        target=target,
        normal=normal,
        lattice=refined.lattice,
        tails=tails,
        table=refined.table,
        log_evidence=math.nan if flat else refined.lattice.log_integral,
        error=refined.error,
        converged=refined.converged,
        views=refined.views,
    )


@dataclass(frozen=True, slots=True)
class _Refined:
    """The finest lattices, their table, and the change from the one before."""

    views: Views
    table: "pd.DataFrame"
    error: float
    converged: bool

    @property
    def lattice(self) -> Lattice:
        """That of the model's coordinates."""
        return self.views.own[1]


def _refine(
    model: ModelSpec,
    target: Target,
    normal: Laplace,
    tails: Tails,
    prob: float,
    tolerance: float,
    cores: int,
) -> _Refined:
    """Finer lattices until two agree, or to the finest."""
    unit, origin = unit_steps(target, normal), find_origin(model, target)
    last: _Refined | None = None
    for i, step in enumerate(STEPS):
        finer = (STEPS[i - 1] / step) ** len(unit) if i else 1.0
        if last is not None and finer * len(last.lattice.nodes) > MOST_POINTS:
            break  # what there is has its error beside it
        cut = FIRST_CUT + i * MORE_CUT - math.log(tolerance)
        try:
            views = look(
                target, origin, normal, (step, unit, tails.moments, cut), cores
            )
        except ModelError:
            if last is None:
                raise
            break
        lattice = views.own[1]
        table = _table(model, views, tails, prob)
        if last is None:
            table["error"] = np.inf
            last = _Refined(views, table, math.inf, False)
            continue
        error = abs(lattice.log_integral - last.lattice.log_integral)
        table["error"] = _largest_change(table, last.table)
        converged = error <= tolerance and bool(
            (table["error"] <= tolerance * _spread(table)).all()
        )
        last = _Refined(views, table, error, converged)
        if converged:
            break
    assert last is not None, "there are steps"
    return last


def _table(
    model: ModelSpec,
    views: Views,
    tails: Tails,
    prob: float,
) -> "pd.DataFrame":
    """Mean, median, SD and interval of every parameter."""
    import pandas as pd

    from bayeslmm.tables.both import label_index

    wanted = model.space.parameters
    ends = (0.5, 0.5 - 0.5 * prob, 0.5 + 0.5 * prob)
    rows = []
    for parameter in wanted:
        where = views.of(parameter)
        mean, sd = mean_sd(parameter, *where)
        median, lower, upper = quantiles(parameter, *where, ends)
        rows.append((parameter.component, mean, median, sd, lower, upper))
    index = label_index(wanted)
    columns = pd.Index(["component", "mean", "median", "sd", "lower", "upper"])
    return hide_missing(Table(rows, index, columns), index, tails.missing)


def _largest_change(
    table: "pd.DataFrame", before: "pd.DataFrame"
) -> Float[np.ndarray, " p"]:
    """Largest change of a figure of each parameter, of those that exist."""
    columns = ["mean", "median", "sd", "lower", "upper"]
    new, old = (t[columns].to_numpy(float) for t in (table, before))
    both = np.isfinite(new) & np.isfinite(old)
    change = np.zeros(new.shape)
    change[both] = np.abs(new[both] - old[both])
    return change.max(axis=1)


def _spread(table: "pd.DataFrame") -> Float[np.ndarray, " p"]:
    """SD of each parameter; half the interval where it has none."""
    sd = table["sd"].to_numpy(float)
    half = 0.5 * (table["upper"] - table["lower"]).to_numpy(float)
    return np.where(np.isfinite(sd), sd, half)


def _has_flat_prior(model: ModelSpec, target: Target) -> bool:
    """Whether a prior is improper, so that the evidence has no meaning."""
    if any(prior.is_flat for prior in model.priors.scales):
        return True
    n_proper = 0 if target.beta is None else target.beta.n_proper
    return n_proper < model.design.p


def _too_many(m: int) -> str:
    """Message for a model with many variance parameters."""
    return (
        f"The model has {m} variance parameters (residual SD included); quadrature "
        f"takes at most {MAX_DIMENSION}, because its cost grows by a factor of 12 or "
        "more with each. Use model.sample(method='auto')."
    )


def _not_converged(refined: _Refined, tolerance: float) -> str:
    """Message for errors above the tolerance on the finest lattice."""
    share = refined.table["error"].to_numpy(float) / _spread(refined.table)
    worst = refined.table.index[int(np.argmax(share))]
    return (
        f"Quadrature has not reached its tolerance of {tolerance:g}: the figures of "
        f"{worst!r} changed by {share.max():.2g} SDs at the last step, the log "
        f"evidence by {refined.error:.2g}. The column 'error' says how far to trust "
        "each."
    )
