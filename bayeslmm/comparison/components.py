"""One row for each variance component: every interval, and what data and prior say.

Takes a `RemlFit` and a `Posterior`; gives `ComponentPanel`s, each with the numbers of
its row and the curves of its figure, and the table of all of them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.comparison.component_intervals import component_intervals
from bayeslmm.comparison.component_words import component_sentences
from bayeslmm.comparison.pairs import check_same_model
from bayeslmm.comparison.table import interval_name
from bayeslmm.design.arrays import Design
from bayeslmm.design.space import POSITIVE
from bayeslmm.errors import (
    ModelError,
    check_count,
    check_fraction,
    check_names,
    is_count,
    is_number,
    nearest_names,
)
from bayeslmm.posterior.components import ICC, component_labels, make_component
from bayeslmm.reml.centred import At, is_at_mean
from bayeslmm.tables import Table

if TYPE_CHECKING:
    from bayeslmm.posterior.densities import ComponentCurves
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.posterior.weighted import WeightedPoints
    from bayeslmm.reml.fit import RemlFit

Eps = float | Mapping[str, float] | None

# What an SD is compared with by default: this share of the residual SD, in the units of
# a column; and an ICC with this.
SMALL_SD, SMALL_ICC = 0.1, 0.05


@dataclass(frozen=True, slots=True)
class ComponentPanel:
    """A component: the numbers of its row, and its curves.

    Attributes
    ----------
    row : dict of str
        Columns of `varcomp_table`.
    curves : ComponentCurves
        Prior and posterior.
    """

    row: dict[str, Any]
    curves: "ComponentCurves"

    @property
    def label(self) -> str:
        """Of the component."""
        return self.curves.component.label


def varcomp_table(
    reml: "RemlFit",
    post: "Posterior",
    *,
    labels: Sequence[str] | None = None,
    at: At = "zero",
    eps: Eps = None,
    prob: float = 0.95,
    nsim: int = 0,
    seed: int | np.random.Generator | None = None,
) -> pd.DataFrame:
    """Each variance component by every method, and how much of it the data say.

    Use it before an SD, a correlation or an ICC is quoted: the methods disagree where
    the data say little, and then the prior decides.

    Parameters
    ----------
    reml : RemlFit
        Fit by REML or ML.
    post : Posterior
        Posterior of the same model.
    labels : sequence of str, optional
        Components, labels of `compare` or ``"icc"``; by default all.
    at : {"zero", "mean"}, default "zero"
        Where predictors stand for the SD and correlations of an intercept beside their
        effects: at 0, as in lme4 and `compare`, or at their means, to which the default
        priors refer. At their means there are no Wald and profile intervals of these.
    eps : float or mapping of str to float, optional
        What ``p_below`` compares with, for all or by label; by default a tenth of the
        residual SD (posterior median), for a slope per SD of its column; 0 for a
        correlation; 0.05 for the ICC.
    prob : float, default 0.95
        Probability of all intervals.
    nsim : int, default 0
        Responses simulated for a parametric bootstrap; 0 for none.
    seed : int or numpy.random.Generator, optional
        Of these.

    Returns
    -------
    DataFrame
        Index ``label``; columns ``component`` (sd, corr, sigma, icc), ``reml``; limits
        ``wald_lower``, ``wald_upper`` (log or atanh scale; the ICC's by the delta
        method on the logit scale), ``profile_lower``, ``profile_upper`` (of the fit's
        criterion), with `nsim` ``boot_lower``, ``boot_upper`` (percentiles);
        ``median``, ``eti_lower``, ``eti_upper``, ``hdi_lower``, ``hdi_upper`` of the
        posterior; ``eps`` and ``p_below``, the posterior probability of less;
        ``levels`` and ``effective_levels``: levels seen without error that would tell
        as much of an SD; ``contraction``: 1 less posterior over prior variance of the
        log SD (atanh of a correlation, logit of an ICC) [1]_; ``overlap``: share of
        the posterior that lies under the prior [2]_. NaN where there is none: Wald at
        the boundary, the last two under a flat prior. ``attrs["notes"]`` has a
        sentence or two about each component.

    Raises
    ------
    ModelError
        If the fits are not of the same model, a label is unknown, an option is out of
        range, or the effects were not integrated out (another family).

    See Also
    --------
    plot_varcomp : The same as a picture, with likelihood, prior and posterior.
    Posterior.density : The curves of one component.

    References
    ----------
    .. [1] Schad, Betancourt and Vasishth (2021). Psychol. Methods 26(1).
       https://doi.org/10.1037/met0000275
    .. [2] Garrett and Zeger (2000). Biometrics 56(4).
       https://doi.org/10.1111/j.0006-341X.2000.01055.x

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> reml, post = model.fit_reml(), model.sample(draws=200, seed=1, progress=False)
    >>> lmm.varcomp_table(reml, post).index.tolist()
    ['1|classroom_sigma', 'sigma', 'icc']
    """
    panels = component_panels(
        *(reml, post), labels=labels, at=at, eps=eps, prob=prob, nsim=nsim, seed=seed
    )
    index = pd.Index([panel.label for panel in panels], name="label")
    table = Table([panel.row for panel in panels], index=index)
    table.attrs |= {"prob": prob, "method": reml.method, "at": at}
    percent = interval_name(prob, "wald").removesuffix(" Wald")
    table.attrs["notes"] = (
        f"All intervals are {percent}. A posterior is so much prior as it has of the "
        f"prior's variance, of the log of an SD, the atanh of a correlation and the "
        f"logit of an ICC.",
        *(s for panel in panels for s in component_sentences(panel, reml, post, prob)),
    )
    return table


def component_panels(
    reml: "RemlFit",
    post: "Posterior",
    *,
    labels: Sequence[str] | None = None,
    at: At = "zero",
    eps: Eps = None,
    prob: float = 0.95,
    nsim: int = 0,
    seed: int | np.random.Generator | None = None,
) -> list[ComponentPanel]:
    """Numbers and curves of each component; see `varcomp_table`."""
    from bayeslmm.posterior.densities import component_curves
    from bayeslmm.posterior.weighted import weighted_points

    check_same_model(reml, post)
    check_fraction(prob, "prob")
    nsim = nsim if is_count(nsim) and nsim == 0 else check_count(nsim, "nsim", 2)
    is_at_mean(at)
    design = post.model.design
    chosen = _chosen(design, labels)
    limits = _checked_eps(design, eps)
    points = weighted_points(post)
    components = [make_component(design, points.target, one, at) for one in chosen]
    curves = [component_curves(own, points) for own in components]
    columns = component_intervals(reml, post, chosen, at, prob, nsim, seed)
    sigma = float(np.median(post.draws("sigma")))
    return [
        _panel(own, points, design, columns[label], limits, sigma)
        for label, own in zip(chosen, curves, strict=True)
    ]


def _panel(
    curves: "ComponentCurves",
    points: "WeightedPoints",
    design: Design,
    columns: dict[str, Any],
    limits: Mapping[str, float],
    sigma: float,
) -> ComponentPanel:
    """One component."""
    from bayeslmm.posterior.learnt import (
        contraction,
        effective_levels,
        overlap,
        proper_prior,
    )
    from bayeslmm.posterior.read_off import component_probability

    own, prior = curves.component, proper_prior(curves)
    limit = limits.get(own.label, _default_eps(design, curves, sigma))
    below = math.nan
    if math.isfinite(limit):
        below = component_probability(curves, -math.inf, limit)
    term = None if own.parameter is None else own.parameter.term
    row = {
        "component": own.kind,
        **columns,
        "eps": limit,
        "p_below": below,
        "levels": math.nan if term is None else float(design.groups[term].n_levels),
        "effective_levels": effective_levels(design, points, own),
        "contraction": contraction(curves, prior),
        "overlap": overlap(curves, prior),
    }
    return ComponentPanel(row, curves)


def _chosen(design: Design, labels: Sequence[str] | None) -> tuple[str, ...]:
    """Components asked for, or all."""
    known = component_labels(design)
    if labels is None:
        return known
    found = check_names(labels, "labels")
    for label in found:
        if label not in known:
            raise ModelError(
                f"No variance component {label!r} in this model."
                f"{nearest_names(label, known)}"
            )
    return found


def _checked_eps(design: Design, eps: Eps) -> dict[str, float]:
    """What each component is compared with, as far as it was said."""
    if eps is None:
        return {}
    known = component_labels(design)
    found = eps if isinstance(eps, Mapping) else dict.fromkeys(known, eps)
    for label, value in found.items():
        if label not in known:
            raise ModelError(
                f"eps names {label!r}, which is no variance component of this model."
                f"{nearest_names(label, known)}"
            )
        if not is_number(value) or not math.isfinite(value):
            raise ModelError(
                f"eps must be a number, or a mapping of labels to numbers, in the "
                f"units of the component, not {value!r}."
            )
    never = [p.label for p in design.space.variances if p.bounds == POSITIVE]
    for label in [*never, ICC]:
        if found.get(label, 1.0) <= 0.0:
            raise ModelError(
                f"eps of {label!r} is {found[label]:g}, and it is never below 0. Give "
                f"a positive number, in the units of the component."
            )
    return {label: float(value) for label, value in found.items()}


def _default_eps(design: Design, curves: "ComponentCurves", sigma: float) -> float:
    """What a component of its kind is compared with."""
    own = curves.component
    if own.kind == "icc":
        return SMALL_ICC
    parameter = own.parameter
    if parameter is None or parameter.term is None:
        return math.nan
    if own.kind == "corr":
        return 0.0
    columns, effect = design.moments.Z[parameter.term], parameter.index[0]
    spread = float(columns.sd()[effect]) or float(columns.rms()[effect])
    return SMALL_SD * sigma / spread
