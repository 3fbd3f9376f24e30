"""The same data under other priors, without fitting again where that can be had.

Takes a `Posterior` and priors by name; gives a tidy table: median and interval of every
parameter under each. Few variance parameters have one lattice for all priors, without
Monte Carlo error; else the draws are weighted by the ratio of the priors and their
Pareto k says whether that can be trusted. Where it cannot, that prior is fitted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import (
    ModelError,
    PriorError,
    SamplingInterruptedError,
    check_fraction,
    check_progress,
    check_seed,
    listed,
    nearest_names,
)
from bayeslmm.graph.trees import COORDINATES, UNCONSTRAINED
from bayeslmm.posterior.fit import Posterior
from bayeslmm.posterior.lattice import Lattice
from bayeslmm.posterior.margins import quantiles
from bayeslmm.posterior.options import available_cores
from bayeslmm.posterior.quadrature import MAX_DIMENSION, quadrature
from bayeslmm.posterior.sampling import sample
from bayeslmm.posterior.shared_lattice import is_fine, prior_at, shared_lattices
from bayeslmm.posterior.tables import beta_draws
from bayeslmm.posterior.tails import find_tails
from bayeslmm.posterior.target import Target, make_target
from bayeslmm.posterior.weighted import marginal_target
from bayeslmm.priors import Prior, Priors
from bayeslmm.priors.density import fixed_logp
from bayeslmm.priors.standard import FITTED, STANDARD, prior_words, standard_priors
from bayeslmm.reml.expense import EXPENSIVE, useful_threads
from bayeslmm.spec import ModelSpec
from bayeslmm.tables import Table

if TYPE_CHECKING:
    import pandas as pd

# Above this Pareto k weighted draws have no error that could be told.
LARGEST_K = 0.7
# Up to so many variance parameters all priors share one lattice.
LATTICE_UP_TO = 3
NO_BRMS = (
    "The priors of brms are left out: they take the median of the response, and this "
    "fit has no rows."
)

Ends = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class _Answer:
    """Median, lower and upper of each parameter, and how they were had."""

    values: Float[np.ndarray, "p 3"]
    how: str
    k: float = float("nan")


def prior_sensitivity(
    post: Posterior,
    *,
    priors: Mapping[str, object] | list[str] | None = None,
    prob: float = 0.95,
    seed: int | np.random.Generator | None = None,
    progress: bool | Literal["auto"] = "auto",
) -> "pd.DataFrame":
    """The posterior of the same data under other priors, side by side.

    Use it to see which results are the data's and which the prior's, before somebody
    else asks: with few groups the SD of their effects is much of both.

    Parameters
    ----------
    post : Posterior
        Gaussian, with Normal or flat priors of the fixed effects.
    priors : mapping or list of str, optional
        Priors by a name of your own, each as for `Model.with_priors`:
        ``{"narrow": {"1|classroom": "HalfNormal(1)"}, "bambi": "bambi"}``. Or names of
        standard ones; by default all twelve: of every SD of random effects
        ``"half-normal"``, ``"half-t"`` (3 degrees of freedom), ``"half-Cauchy"``,
        ``"exponential (PC)"`` and ``"gamma(2)"`` with scale s, s the SD of y over that
        of the column, ``"inverse-gamma"`` (0.001, 0.001 s**2 on the variance),
        ``"uniform on sd"``, ``"uniform on variance"``, ``"uniform on log sd"``; and all
        priors as ``"bambi"``, ``"brms"`` and ``"blme"`` have them; those of brms
        need the rows of the fit.
    prob : float, default 0.95
        Probability of the equal-tailed intervals.
    seed : int or Generator, optional
        For those that have to be fitted again.
    progress : bool or "auto", default "auto"
        Whether fits that take long show a bar.

    Returns
    -------
    DataFrame
        One row for each prior and parameter: ``prior``, ``parameter``, ``component``,
        ``median``, ``lower``, ``upper`` in units of the parameter, ``k`` (Pareto k of
        weighted draws, a hyphen where there are none), ``how``: ``"quadrature"`` (one
        lattice for all, no Monte Carlo error), ``"weighted draws"``, ``"fitted again"``
        with the reason, or ``"refused"`` with the reason, and ``sd_prior``, the priors
        of the SDs. The first prior is that of the fit.

    Raises
    ------
    ModelError
        If the effects were not integrated out, or a name is unknown.
    PriorError
        If a prior names nothing in the model.

    Notes
    -----
    A lattice is grown until what lies outside matters under no prior. Weights are
    prior over prior at draws of the variance parameters and fixed effects, smoothed
    [1]_. Priors under which there is no posterior, as uniform on log sd, which has
    infinite mass at an SD of 0, are refused.

    References
    ----------
    .. [1] Vehtari et al. (2024). J. Mach. Learn. Res. 25(72).
       https://jmlr.org/papers/v25/19-556.html
    .. [2] Gelman (2006). Bayesian Anal. 1(3). https://doi.org/10.1214/06-BA117A

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> post = model.sample(draws=200, seed=1, progress=False)
    >>> table = lmm.prior_sensitivity(post, priors=["half-normal", "uniform on sd"])
    >>> of_sd = table[table["parameter"] == "1|classroom_sigma"]
    >>> of_sd[["prior", "how"]].to_numpy().tolist()
    [['as fitted', 'quadrature'], ['half-normal', 'quadrature'], \
['uniform on sd', 'quadrature']]
    """
    check_fraction(prob, "prob")
    check_seed(seed)
    check_progress(progress)
    target = marginal_target(post.model, post.method)
    variants = {FITTED: post.model.priors, **_variants(post.model, priors)}
    ends = (0.5, 0.5 - 0.5 * prob, 0.5 + 0.5 * prob)
    found = _refused(post.model, variants)
    left = {k: v for k, v in variants.items() if k not in found}
    found |= _by_lattice(post.model, target, left, ends)
    left = {k: v for k, v in variants.items() if k not in found}
    found |= _by_draws(post, target, left, ends)
    rng = np.random.default_rng(seed)
    for name in [k for k, own in found.items() if own.k > LARGEST_K]:
        try:
            again = _again(post, variants[name], ends, rng, progress)
        except (KeyboardInterrupt, SamplingInterruptedError):
            why = f"weighted draws; k = {found[name].k:.2f}, fit interrupted"
            found[name] = replace(found[name], how=why)
            break
        why = f"fitted again, weights had k = {found[name].k:.2f}"
        found[name] = _Answer(again, why, found[name].k)
    table = _table(post.model, variants, found)
    if priors is None and "brms" not in variants:
        table.attrs["notes"] = [NO_BRMS]
    return table


def quick_sensitivity(post: Posterior) -> "pd.DataFrame | None":
    """The table of standard priors where it takes a moment: from one lattice alone.

    Without brms', whose prior of the intercept needs draws; None where there is no
    lattice.
    """
    if post.method == "joint":
        return None
    model, target = post.model, marginal_target(post.model, post.method)
    names = [name for name in STANDARD if name != "brms"]
    variants = {FITTED: model.priors, **_variants(model, names)}
    found = _refused(model, variants)
    left = {k: v for k, v in variants.items() if k not in found}
    found |= _by_lattice(model, target, left, (0.5, 0.025, 0.975))
    if FITTED not in found:
        return None
    return _table(model, {k: v for k, v in variants.items() if k in found}, found)


def _variants(
    model: ModelSpec, priors: Mapping[str, object] | list[str] | None
) -> dict[str, Priors]:
    """The priors wanted, by name."""
    if isinstance(priors, Mapping):
        return {
            str(name): model.with_priors(rule).priors  # type: ignore[arg-type]
            for name, rule in priors.items()
        }
    if isinstance(priors, str):
        raise ModelError(
            f"priors= is the text {priors!r}. Give a list of names of standard priors, "
            f"[{priors!r}], or a dict of priors by a name of your own."
        )
    names = list(STANDARD) if priors is None else list(priors)
    odd = [name for name in names if name not in STANDARD]
    if odd:
        raise ModelError(
            f"No standard prior {odd[0]!r}.{nearest_names(str(odd[0]), STANDARD)} They "
            f"are {listed(STANDARD, len(STANDARD))}; or give a dict of priors."
        )
    if priors is None and model.design.rows is None:
        names.remove("brms")  # needs medians
    return {n: standard_priors(n, model.priors, model.design) for n in names}


def _refused(model: ModelSpec, variants: Mapping[str, Priors]) -> dict[str, _Answer]:
    """Those under which there is no posterior, with the reason."""
    found, p = {}, len(model.space.parameters)
    for name, priors in variants.items():
        try:
            near = _integrable(priors)
            find_tails(model.design, make_target(model.design, model.conditioned, near))
        except PriorError as error:
            why = str(error).split(". ")[0]
            found[name] = _Answer(np.full((p, 3), np.nan), f"refused: {why}")
    return found


def _integrable(priors: Priors) -> Priors:
    """The priors with a Normal in place of those of fixed effects that are not.

    Of the same location and scale: only to see what the tails of the SDs do.
    """
    return replace(priors, fixed=tuple(_normal_for(own) for own in priors.fixed))


def _normal_for(prior: Prior) -> Prior:
    """A Normal of the location and scale of a prior; a Normal or flat one itself."""
    if prior.name == "Normal" or prior.is_flat:
        return prior
    own = prior.arguments
    mu = own.get("mu", own.get("alpha", 0.0))
    sigma = own.get("sigma", own.get("b", own.get("beta", 1.0)))
    return Prior("Normal", (("mu", mu), ("sigma", sigma)))


def _is_integrable(priors: Priors) -> bool:
    """Whether all fixed effects have Normal or flat priors."""
    return all(own.name == "Normal" or own.is_flat for own in priors.fixed)


def _by_lattice(
    model: ModelSpec, target: Target, variants: Mapping[str, Priors], ends: Ends
) -> dict[str, _Answer]:
    """Answers from one lattice, for those and where it can be had."""
    cheap = target.statistics.seconds <= EXPENSIVE
    if target.space.size > LATTICE_UP_TO or not cheap:
        return {}
    own = {name: v for name, v in variants.items() if _is_integrable(v)}
    cores = useful_threads(target.statistics, available_cores())
    lattices = shared_lattices(
        target, model.design, model.priors, list(own.values()), cores
    )
    found = {}
    for name, lattice in zip(own, lattices or [], strict=False):
        if is_fine(lattice):
            values = _lattice_values(model, target, lattice, ends)
            found[name] = _Answer(values, "quadrature")
    return found


def _lattice_values(
    model: ModelSpec, target: Target, lattice: Lattice, ends: Ends
) -> Float[np.ndarray, "p 3"]:
    """Quantiles of every parameter."""
    return np.array(
        [quantiles(p, target, lattice, ends) for p in model.space.parameters]
    )


def _by_draws(
    post: Posterior, target: Target, variants: Mapping[str, Priors], ends: Ends
) -> dict[str, _Answer]:
    """Answers from the draws, weighted by prior over prior."""
    if not variants:
        return {}
    from arviz_stats.base import array_stats

    model, design = post.model, post.model.design
    x = post.idata[UNCONSTRAINED][COORDINATES].to_numpy()
    x = x.reshape(-1, target.space.size)
    beta = beta_draws(design, post.idata).reshape(-1, design.p)
    values = np.array([post.draws(p.label).ravel() for p in model.space.parameters])
    roots, own = target.factors(x), model.priors

    def logp(priors: Priors) -> Float[np.ndarray, " n"]:
        """Log density of coordinates and fixed effects under some priors."""
        fixed = fixed_logp(priors, design, beta).sum(axis=1)
        return fixed + prior_at(design, x, roots, own, priors)

    before, found = logp(own), {}
    for name, priors in variants.items():
        ratio = logp(priors) - before
        ratio = np.nan_to_num(ratio, nan=-700.0, neginf=-700.0)
        log_weights, k, how = np.zeros(len(x)), np.nan, "draws"
        if np.ptp(ratio) > 1e-9:
            log_weights, k = array_stats.psislw(-ratio)  # takes minus the logs
            how = "weighted draws"
        weights = np.exp(log_weights - np.max(log_weights))
        answer = np.array([_weighted_quantiles(v, weights, ends) for v in values])
        found[name] = _Answer(answer, how, float(k))
    return found


def _weighted_quantiles(
    values: Float[np.ndarray, " n"], weights: Float[np.ndarray, " n"], ends: Ends
) -> Float[np.ndarray, " e"]:
    """Quantiles of weighted draws, between their midpoints."""
    order = np.argsort(values)
    own = weights[order] / weights.sum()
    return np.interp(ends, np.cumsum(own) - 0.5 * own, values[order])


def _again(
    post: Posterior,
    priors: Priors,
    ends: Ends,
    rng: np.random.Generator,
    progress: bool | Literal["auto"],
) -> Float[np.ndarray, "p 3"]:
    """Quantiles of a new fit under other priors."""
    model = post.model.with_priors(priors)
    parameters = model.space.parameters
    if model.space.size <= MAX_DIMENSION and _is_integrable(priors):
        try:
            fit = quadrature(model, tolerance=1e-2)
            return _lattice_values(model, fit.target, fit.lattice, ends)
        except ModelError:
            pass  # too wide for a grid
    sizes = post.status
    new = sample(
        model,
        draws=sizes.draws,
        chains=sizes.chains,
        seed=rng,
        progress=progress,
    )
    if new.status.partial:  # Ctrl-C: the weighted draws say more
        raise KeyboardInterrupt
    values = [new.draws(p.label).ravel() for p in parameters]
    return np.array([np.quantile(v, ends) for v in values])


def _table(
    model: ModelSpec, variants: Mapping[str, Priors], found: Mapping[str, _Answer]
) -> "pd.DataFrame":
    """One row for each prior and parameter."""
    rows = []
    for name, priors in variants.items():
        own = found[name]
        words = "; ".join(
            dict.fromkeys(prior_words(p) for term in priors.sd for p in term)
        )
        for parameter, values in zip(model.space.parameters, own.values, strict=True):
            middle = (*values.tolist(), own.k, own.how)
            rows.append((name, parameter.label, parameter.component, *middle, words))
    columns = [
        *("prior", "parameter", "component", "median", "lower", "upper"),
        *("k", "how", "sd_prior"),
    ]
    return Table(rows, columns=columns)
