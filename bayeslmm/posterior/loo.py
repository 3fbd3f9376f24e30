"""Cross-validation that respects groups: rows or levels left out, effects integrated.

Takes a `Posterior`; gives ArviZ's ELPD of rows, or of the levels of a grouping factor,
each under the posterior of all others. Given the variance parameters the densities are
closed forms, so that only these few are reweighted.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
from jaxtyping import Bool, Float

from bayeslmm.design.describe import containing_groups
from bayeslmm.errors import ModelError, PriorError, check_progress, listed
from bayeslmm.graph.names import OBSERVATIONS
from bayeslmm.posterior.bridge import equal_points
from bayeslmm.posterior.elpd import left_out_class
from bayeslmm.posterior.independence import efficiency_of
from bayeslmm.posterior.lattice import Lattice
from bayeslmm.posterior.left_out import Leaving, leaving
from bayeslmm.posterior.left_out_fits import Refit, refit_without
from bayeslmm.posterior.options import available_cores
from bayeslmm.posterior.predictions import check_size
from bayeslmm.posterior.weighted import WeightedPoints, weighted_points
from bayeslmm.reml.cases import ROWS
from bayeslmm.reml.chunks import Progress, with_bar
from bayeslmm.reml.expense import useful_threads
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr
    from arviz_stats.utils import ELPDDataLOO

    from bayeslmm.posterior.fit import Posterior

# Of the posterior without a case, on the outermost points of a lattice: more says that
# it goes on beyond them, and about as much is missing of its density.
EDGE = 1e-4
GOOD_K = 0.7
# Densities of cases at draws: with more cases there are fewer draws, but for so many.
MOST_VALUES, FEWEST_DRAWS = 4_000_000, 1000


@dataclass(frozen=True, slots=True)
class Reweighted:
    """Cases under the posterior of all others, by weights on that of all rows.

    Attributes
    ----------
    elpd, mcse, pareto_k : ndarray, shape (c,)
        Log predictive density, its Monte Carlo standard error, and the shape of the
        tail of the weights; 0 on a lattice.
    within : ndarray, shape (c,)
        Log density by the posterior of all rows, the case among them.
    trusted : ndarray of bool, shape (c,)
        Whether the weights may be believed.
    """

    elpd: Float[np.ndarray, " c"]
    mcse: Float[np.ndarray, " c"]
    pareto_k: Float[np.ndarray, " c"]
    within: Float[np.ndarray, " c"]
    trusted: Bool[np.ndarray, " c"]


def loo(
    post: "Posterior", by: str = ROWS, *, progress: Progress = "auto"
) -> "ELPDDataLOO":
    """Log predictive density of left-out rows or levels; see `Posterior.loo`."""
    model, progress = post.model, check_progress(progress)
    if post.method == "joint":
        raise ModelError(
            f"{model.formula.text!r} was sampled with all its effects, because of its "
            f"family ({model.family}), of priors of fixed effects that are not Normal, "
            f"or by method='joint'. Rows and levels are left out where the effects are "
            f"integrated out. arviz.loo(post.compute_log_likelihood().idata) leaves "
            f"out rows, given the effects of their levels."
        )
    points = weighted_points(post)
    left = leaving(model, points.target, by)
    points = _thinned(points, post.status.chains, len(left.cases))
    _check_needed(left)
    check_size(len(points.x), len(left.cases), "The densities of left-out cases")
    cores = useful_threads(points.target.statistics, available_cores())
    values = left.densities(points.x, cores=cores, progress=progress)
    if not np.isfinite(values).all():
        raise ModelError(_not_finite(left, ~np.isfinite(values).all(axis=0)))
    share = _efficiency(post, points)
    found = reweight(points, values, share)
    seed, again = int(post.idata.attrs["seed"]), np.flatnonzero(~found.trusted).tolist()
    wholes = (points.lattice or equal_points(values[:, c], share) for c in again)
    fits = (
        refit_without(model, left, c, whole, seed, cores)
        for c, whole in zip(again, wholes, strict=True)
    )
    refits = list(with_bar(fits, len(again), progress if again else False, "refits"))
    return _elpd(model, left, points, found, dict(zip(again, refits, strict=True)))


def _thinned(points: WeightedPoints, chains: int, n_cases: int) -> WeightedPoints:
    """Draws evenly spread over each chain, as many as so many cases can have."""
    size = len(points.x)
    most = max(FEWEST_DRAWS, MOST_VALUES // n_cases)
    if points.lattice is not None or size <= most:
        return points
    step = -(-size // most)
    kept = np.arange(size).reshape(chains, -1)[:, ::step].ravel()
    return replace(
        points,
        x=points.x[kept],
        weights=np.full(len(kept), 1.0 / len(kept)),
        log_density=points.log_density[kept],
        log_prior=points.log_prior[kept],
    )


def reweight(
    points: WeightedPoints, values: Float[np.ndarray, "s c"], efficiency: float
) -> Reweighted:
    """Cases by weights on the points of the posterior of all rows.

    Parameters
    ----------
    points : WeightedPoints
        Of the posterior of all rows.
    values : ndarray, shape (s, c)
        Log density of each case given all others, at each point.
    efficiency : float
        Effective share of the points, if they are draws.

    Notes
    -----
    On a lattice the weights are exact as long as it covers the posterior without the
    case; of draws they are smoothed.

    References
    ----------
    .. [1] Vehtari, Simpson, Gelman, Yao and Gabry (2024). Pareto smoothed importance
       sampling. J. Mach. Learn. Res. 25(72). https://jmlr.org/papers/v25/19-556.html
    """
    from arviz_stats.base import array_stats

    log_weights = np.log(np.maximum(points.weights, 1e-300))[:, None]
    within = _log_sum(log_weights + values)
    if points.lattice is None:
        size = len(values) * efficiency
        smoothed, k = array_stats.psislw(values.T, r_eff=cast("int", efficiency))
        elpd = _log_sum(smoothed.T + values)
        spread = len(values) * np.exp(2.0 * smoothed).sum(axis=1) - 1.0
        trusted = k <= good_k(points)
        return Reweighted(elpd, np.sqrt(spread / size), k, within, trusted)
    ratios = log_weights - values
    total = _log_sum(ratios)
    edge = np.exp(ratios - total)[_outermost(points.lattice)].sum(axis=0)
    exact = np.zeros(values.shape[1])
    return Reweighted(-total, exact, exact, within, edge <= EDGE)


def good_k(points: WeightedPoints) -> float:
    """Pareto k up to which weights on draws are trusted, as ArviZ has it."""
    if points.lattice is not None:
        return GOOD_K
    return min(GOOD_K, 1.0 - 1.0 / math.log10(len(points.x)))


def _log_sum(values: Float[np.ndarray, "s c"]) -> Float[np.ndarray, " c"]:
    """Log of the sum of exponentials over the first axis."""
    top = values.max(axis=0)
    return top + np.log(np.exp(values - top).sum(axis=0))


def _outermost(lattice: Lattice) -> Bool[np.ndarray, " n"]:
    """Points, of those that have weight, of which a neighbour is not there."""
    nodes = lattice.nodes[lattice.weights > 0.0]
    strides = np.concatenate([[1], np.cumprod(np.ptp(nodes, axis=0)[:-1] + 3)])
    keys = (nodes - nodes.min(axis=0) + 1) @ strides
    found = np.zeros(len(keys), bool)
    for stride in strides:
        found |= ~np.isin(keys + stride, keys) | ~np.isin(keys - stride, keys)
    return found


def _efficiency(post: "Posterior", points: WeightedPoints) -> float:
    """Effective share of the draws; 1 of other points."""
    if points.lattice is not None:
        return 1.0
    m = points.x.shape[1]
    return efficiency_of(points.x.reshape(post.status.chains, -1, m))


# --- words ----------------------------------------------------------------------------


def _elpd(
    model: ModelSpec,
    left: Leaving,
    points: WeightedPoints,
    found: Reweighted,
    refits: dict[int, Refit],
) -> "ELPDDataLOO":
    """ArviZ's object, cases made anew in their places."""
    elpd, mcse, k = found.elpd.copy(), found.mcse.copy(), found.pareto_k.copy()
    for c, one in refits.items():
        elpd[c], mcse[c], k[c] = one.elpd, one.mcse, 0.0  # as arviz.reloo has it
    label, n = _by_label(left), len(elpd)
    return left_out_class()(
        elpd=float(elpd.sum()),
        se=float(np.sqrt(n * elpd.var())),
        p=float((found.within - elpd).sum()),
        n_samples=len(points.x),
        n_data_points=n,
        scale="log",
        warning=False,
        good_k=good_k(points),
        elpd_i=label(elpd, "elpd_i"),
        pareto_k=label(k, "pareto_k"),
        on_lattice=points.lattice is not None,
        influence_pareto_k=label(found.pareto_k, "influence_pareto_k"),
        p_loo_i=label(found.within - elpd, "p_loo_i"),
        by=left.by,
        question=question(model, left.by),
        points=_points_words(points),
        sizes=label(np.array([len(case) for case in left.cases]), "n"),
        mcse_i=label(mcse, "mcse_i"),
        refitted=tuple(str(left.names[c]) for c in refits),
    )


def _by_label(left: Leaving):  # noqa: ANN202 (a function of arrays)
    """What puts an array over cases under their names."""
    import xarray as xr

    dim = OBSERVATIONS if left.by == ROWS else left.by

    def label(values: np.ndarray, name: str) -> "xr.DataArray":
        """The values under the names of the cases."""
        return xr.DataArray(values, {dim: left.names}, dims=(dim,), name=name)

    return label


def question(model: ModelSpec, by: str) -> str:
    """What leaving out answers, in a sentence."""
    groups = list(dict.fromkeys(term.group for term in model.design.groups))
    if by == ROWS:
        return (
            f"How well is a new row of a known {' and '.join(groups)} predicted, its "
            f"effects being learnt from all other rows?"
        )
    inside = [one for one in groups if by in containing_groups(model.design, one)]
    known = [one for one in groups if one != by and one not in inside]
    said = f"How well are all rows of a new {by} predicted together"
    if inside:
        said += f", with new levels of {' and '.join(inside)}"
    if known:
        said += f", levels of {' and '.join(known)} being known where they occur"
    return f"{said}?"


def _points_words(points: WeightedPoints) -> str:
    """What the densities are averaged over."""
    size = f"{len(points.x):,}"
    if points.lattice is None:
        return f"{size} posterior draws, reweighted"
    return f"a lattice of {size} points, without Monte Carlo error"


def _check_needed(left: Leaving) -> None:
    """Raise where a flat prior leaves nothing to predict a case from."""
    needed = left.needed()
    if needed.any():
        raise PriorError(_not_finite(left, needed))


def _not_finite(left: Leaving, lost: Bool[np.ndarray, " c"]) -> str:
    """Message for cases that have no predictive density."""
    what = "row" if left.by == ROWS else left.by
    return (
        f"Without {what} {listed(left.names[lost].tolist())} a fixed effect whose "
        f"prior is flat cannot be estimated, so that nothing predicts it. Give the "
        f"fixed effects proper priors, for example priors='weak'."
    )
