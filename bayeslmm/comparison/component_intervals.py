"""Point and interval of every variance component by every method there is.

Takes a `RemlFit` and a `Posterior`; gives rows by label: Wald, profile, bootstrap, and
equal-tailed and highest-density intervals of the draws.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayeslmm.posterior.components import ICC
from bayeslmm.posterior.tables import IntervalKind
from bayeslmm.reml.centred import At

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

# Step of the differences of the delta method, on the working scale.
STEP = 1e-5
NOTHING = (math.nan, math.nan)
KINDS: tuple[IntervalKind, ...] = ("eti", "hdi")
METHODS = ("wald", "profile", "boot", *KINDS)


def component_intervals(
    reml: "RemlFit",
    post: "Posterior",
    labels: Sequence[str],
    at: At,
    prob: float,
    nsim: int,
    seed: int | np.random.Generator | None,
) -> dict[str, dict[str, Any]]:
    """Point and interval of each component by every method."""
    from bayeslmm.reml.intervals import profile_intervals

    design = post.model.design
    found = _estimates(reml, at)
    own = {p.label: p for p in design.space.variances}
    same = _unmoved(reml, at)
    wald = _wald(reml, prob)
    shown = tuple(own[label] for label in labels if label in own and label in same)
    profile: dict[str, tuple[float, float]] = {}
    if shown and not reml.model.conditioned.statistics.in_steps:
        table = profile_intervals(reml, prob, None, shown)
        profile = _pairs(table)
    boot = _boot(reml, at, prob, nsim, seed)
    summaries = {kind: _posterior(post, at, prob, kind) for kind in KINDS}
    rows = {}
    for label in labels:
        row: dict[str, Any] = {"reml": found[label]}
        ends = {"wald": wald, "profile": profile} | ({"boot": boot} if nsim else {})
        for method, pairs in ends.items():
            there = label in same or method == "boot"
            lower, upper = pairs.get(label, NOTHING) if there else NOTHING
            row |= {f"{method}_lower": lower, f"{method}_upper": upper}
        row["median"] = summaries["eti"][label]["median"]
        for kind, known in summaries.items():
            for end in ("lower", "upper"):
                row[f"{kind}_{end}"] = known[label][end]
        rows[label] = row
    return rows


def _pairs(table: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Limits by label."""
    ends = table[["lower", "upper"]].to_numpy(float).tolist()
    pairs = zip(map(str, table.index), ends, strict=True)
    return {label: (lower, upper) for label, (lower, upper) in pairs}


def _estimates(reml: "RemlFit", at: At) -> dict[str, float]:
    """REML estimates by label."""
    table = reml.varcorr(at=at)["estimate"]
    found = dict(
        zip(map(str, table.index), table.to_numpy(float).tolist(), strict=True)
    )
    if reml.design.groups:
        found[ICC] = float(reml.icc()["estimate"].to_numpy(float)[0])
    return found


def _unmoved(reml: "RemlFit", at: At) -> set[str]:
    """Components that are the same at 0, where REML has its intervals."""
    here, there = _estimates(reml, "zero"), _estimates(reml, at)
    return {
        label
        for label, value in here.items()
        if value == there[label] or (math.isnan(value) and math.isnan(there[label]))
    }


def _wald(reml: "RemlFit", prob: float) -> dict[str, tuple[float, float]]:
    """Wald intervals on the scales without bounds, the ICC's by the delta method."""
    z, found = NormalDist().inv_cdf(0.5 + prob / 2), {}
    covariance = reml.information.covariance
    values = reml.varcorr()["estimate"].to_numpy(float)
    for parameter, value, spread in zip(
        reml.design.space.variances, values, np.sqrt(np.diag(covariance)), strict=True
    ):
        centre = parameter.working(value)
        ends = parameter.natural(np.array([centre - z * spread, centre + z * spread]))
        found[parameter.label] = (float(ends[0]), float(ends[1]))
    if reml.design.groups:
        found[ICC] = _icc_wald(reml, z)
    return found


def _icc_wald(reml: "RemlFit", z: float) -> tuple[float, float]:
    """Delta method on the logit scale; NaN where a parameter of it has no SE."""
    design = reml.design
    if design.residual is not None or any(
        term.covariance.is_shared(term.k) or term.covariance.homogeneous
        for term in design.groups
    ):
        return NOTHING
    shown = design.space.variances
    values = reml.varcorr()["estimate"].to_numpy(float)
    working = np.array([p.working(v) for p, v in zip(shown, values, strict=True)])
    covariance = reml.information.covariance
    if not np.isfinite(covariance).all() or not np.isfinite(working).all():
        return NOTHING
    slopes = np.empty(len(shown))
    for i in range(len(shown)):
        move = STEP * (np.arange(len(shown)) == i)
        ends = [_logit_icc(reml, working + side * move) for side in (1.0, -1.0)]
        slopes[i] = (ends[0] - ends[1]) / (2.0 * STEP)
    centre = _logit_icc(reml, working)
    reach = z * math.sqrt(float(slopes @ covariance @ slopes))
    low, high = (1.0 / (1.0 + math.exp(-centre - s * reach)) for s in (-1.0, 1.0))
    return low, high


def _logit_icc(reml: "RemlFit", working: Float[np.ndarray, " d"]) -> float:
    """Log of random over residual variance at working values of the parameters."""
    design, between = reml.design, 0.0
    pairs = zip(design.space.variances, working.tolist(), strict=True)
    value = {p: float(p.natural(w)) for p, w in pairs}
    for t, term in enumerate(design.groups):
        sd, corr = np.zeros(term.k), np.eye(term.k)
        for p in design.space.sds(t):
            sd[p.index[0]] = value[p]
        for p in design.space.corrs(t):
            corr[p.index] = corr[p.index[::-1]] = value[p]
        between += float((corr * np.outer(sd, sd) * design.moments.Z[t].second()).sum())
    sigma = next(v for p, v in value.items() if p.component == "sigma")
    return math.log(between) - 2.0 * math.log(sigma)


def _boot(
    reml: "RemlFit",
    at: At,
    prob: float,
    nsim: int,
    seed: int | np.random.Generator | None,
) -> dict[str, tuple[float, float]]:
    """Percentiles of the estimates of simulated responses."""
    if not nsim:
        return {}
    table = reml.varcomp(prob, at=at, nsim=nsim, seed=seed)
    found = _pairs(table.drop(index="fixed"))
    if reml.design.groups:
        found[ICC] = _pairs(reml.icc(prob, nsim=nsim, seed=seed))["adjusted"]
    return found


def _posterior(
    post: "Posterior", at: At, prob: float, kind: IntervalKind
) -> dict[str, dict[str, float]]:
    """Median and interval of every component."""
    columns = ["median", "lower", "upper"]
    table = post.varcorr(prob, kind, at=at)[columns]
    if post.model.design.groups:
        icc = post.icc(prob, kind).loc[["adjusted"], columns]
        table = pd.concat([table, icc.rename(index={"adjusted": ICC})])
    return {
        str(label): dict(zip(columns, own, strict=True))
        for label, own in zip(table.index, table.to_numpy(float).tolist(), strict=True)
    }
