"""Sentences about a singular fit, each computed from its numbers.

Takes a `RemlFit` with the curves, the smaller models and the table of the posterior
that `singular` has made of it; gives the sentences.

References
----------
.. [1] Barr, Levy, Scheepers and Tily (2013). J. Mem. Lang. 68(3), who keep all terms of
   the design. https://doi.org/10.1016/j.jml.2012.11.001
.. [2] Matuschek, Kliegl, Vasishth, Baayen and Bates (2017). J. Mem. Lang. 94, who leave
   out what the data do not support. https://doi.org/10.1016/j.jml.2017.01.001
.. [3] Chung, Rabe-Hesketh, Dorie, Gelman and Liu (2013). Psychometrika 78(4), on
   estimates of 0 for variances that are not. https://doi.org/10.1007/s11336-013-9328-2
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import GroupTerm
from bayeslmm.reml.ridges import Slope
from bayeslmm.reml.simpler import Simpler
from bayeslmm.reml.status import sd_corr
from bayeslmm.tables.numbers import counted, listed, p_value, row, significant

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.reml.fit import RemlFit

# A p value above this leaves the smaller model standing.
STANDS = 0.05
# A fixed effect that moves by more of its SEs is named.
MOVED = 0.25
# Changes of the criterion, and of fixed effects in SEs, that are rounding.
SAME = 1e-4
# Fixed effects that a sentence names.
MOST_NAMED = 3


def singular_messages(
    fit: "RemlFit",
    slopes: tuple[Slope, ...],
    smaller: list[Simpler],
    known: "pd.DataFrame | None",
    share: float,
) -> tuple[str, ...]:
    """All sentences about a fit at its boundary."""
    first = fit.status.message.split(". There is no")[0].rstrip(".")
    found = [f"{fit.method} is singular. {first}."]
    found += _crossing_lines(fit)
    found += [_slope_sentence(one) for one in slopes]
    if not slopes:
        found.append(
            "What the likelihood looks like around it was not worked out: one value of "
            "it takes long here, or what is at its limit has no profile."
        )
    found += [smaller_sentence(fit, one) for one in smaller]
    found += _posterior_sentences(known, share)
    found.append(_advice(smaller, known is not None))
    return tuple(found)


def near_messages(fit: "RemlFit", smaller: list[Simpler]) -> tuple[str, ...]:
    """How far a fit is from its boundary."""
    if not smaller:
        return (
            f"{fit.method} is not singular: it has no random effects that could be.",
        )
    nearest = min(smaller, key=lambda one: one.row["chisq"])
    return (
        f"{fit.method} is not singular: no variance or correlation is at its limit.",
        f"The nearest boundary is the model without {nearest.name}: there the "
        f"criterion is {significant(float(nearest.row['chisq']))} higher "
        f"({_p(nearest.p)}).",
    )


# --- what is at the boundary ----------------------------------------------------------


def _crossing_lines(fit: "RemlFit") -> list[str]:
    """Where the lines of all levels meet, for a correlation of 1 or -1."""
    found = []
    for t, term in enumerate(fit.design.groups):
        sd, corr = sd_corr(term, fit.factors[t])
        if "Intercept" not in term.effects or not term.covariance.unstructured:
            continue
        start = term.effects.index("Intercept")
        for i, effect in enumerate(term.effects):
            if i == start or abs(corr[i, start]) != 1.0:
                continue
            at = -float(sd[start] / sd[i] * corr[i, start])
            found.append(_crossing(fit, term, t, i, effect, at))
    return found


def _crossing(
    fit: "RemlFit", term: GroupTerm, t: int, i: int, effect: str, at: float
) -> str:
    """One such place beside the data."""
    moments = fit.design.moments.Z[t]
    mean, sd = float(moments.mean[i]), float(moments.sd()[i])
    away = abs(at - mean) / sd if sd > 0.0 else math.inf
    where = (
        f"{significant(away)} SDs from the mean of {effect}, so that within the data "
        "they are as good as parallel"
        if away > 3.0
        else f"within the data, where the levels of {term.group} would all be alike"
    )
    return (
        f"With that correlation one number says all of a level of {term.group}: their "
        f"lines all cross at {effect} = {significant(at)}, {where}."
    )


def _slope_sentence(one: Slope) -> str:
    """What the likelihood says along one parameter."""
    scale = one.upper if math.isfinite(one.upper) else float(one.values[-1])
    lower, upper = row((one.lower, one.upper), scale)
    whole = one.values[0] < 0.0 and one.lower < -1.0 + SAME and one.upper > 1.0 - SAME
    if whole:
        worst = significant(float(one.rise.max()), 2)
        return (
            f"The likelihood is flat along {one.label}: all values from -1 to 1 lie in "
            f"its 95% profile interval, and the worst of them raises the criterion by "
            f"{worst}, where 3.84 would exclude it. The estimate is the end of a ridge."
        )
    what = f"{one.estimate:.3g}" if math.isfinite(one.estimate) else "no value"
    return (
        f"The likelihood is highest at {what} for {one.label}, and falls slowly: its "
        f"95% profile interval reaches from {lower} to {upper}."
    )


# --- what the smaller models say ------------------------------------------------------


def smaller_sentence(fit: "RemlFit", one: Simpler) -> str:
    """Criterion, test and fixed effects of a smaller model."""
    rise, own = float(one.row["chisq"]), float(one.row["aic"])
    better = "lower, so better" if own < fit.aic else "higher"
    kind = (
        "exact null distribution"
        if math.isfinite(one.row["p_exact"])
        else "mixture for a null at the boundary"
        if math.isfinite(one.row["p_mixture"])
        else "chi-square, too large at the boundary"
    )
    higher = f"{significant(rise, 2)} higher" if rise > SAME else "the same"
    return (
        f"Without {one.name} the criterion is {higher} with "
        f"{counted(int(one.row['df']), 'parameter')} less: {_p(one.p)} ({kind}), "
        f"AIC {own:.1f} against {fit.aic:.1f}, {better}. "
        f"{_fixed_sentence(fit, one)}"
    )


def _p(value: float) -> str:
    """``p = 0.017``, ``p < 0.001``."""
    text = p_value(value)
    return f"p {text[0]} {text[1:]}" if text[0] == "<" else f"p = {text}"


def _fixed_sentence(fit: "RemlFit", one: Simpler) -> str:
    """Whether the fixed effects care."""
    own_se = np.sqrt(np.diag(fit.beta_cov))
    if not len(own_se):
        return ""
    moved = np.abs(one.beta - fit.beta) / own_se
    ratio = one.se / own_se
    names = fit.design.fixed_names
    order = np.argsort(-np.maximum(moved, np.abs(np.log(ratio))))
    named = [i for i in order.tolist() if names[i] != "Intercept"] or order.tolist()
    parts = [_both(fit, one, own_se, names, i) for i in named[:MOST_NAMED]]
    if moved.max() < SAME and np.abs(np.log(ratio)).max() < SAME:
        return "The fixed effects and their SEs are the same."
    hardly = "hardly " if moved.max() < MOVED else ""
    said = f"The fixed effects {hardly}move"
    return f"{said}: {listed(parts)}."


def _both(
    fit: "RemlFit",
    one: Simpler,
    own_se: Float[np.ndarray, " p"],
    names: tuple[str, ...],
    i: int,
) -> str:
    """``edu 0.127 (SE 0.046) here, 0.131 (0.038) without``."""
    here, se, there, other = row(
        (float(fit.beta[i]), float(own_se[i]), float(one.beta[i]), float(one.se[i])),
        float(own_se[i]),
    )
    return f"{names[i]} {here} (SE {se}) here, {there} (SE {other}) without"


# --- what the posterior knows ---------------------------------------------------------


def _posterior_sentences(known: "pd.DataFrame | None", share: float) -> list[str]:
    """Probabilities of small SDs, and intervals."""
    if known is None:
        return [
            "The posterior averages over all this instead of taking its end: "
            "explain_singular(post) with post = model.sample() says what it knows."
        ]
    found = []
    for label, r in known.iterrows():
        median, lower, upper = row(
            (r["median"], r["lower"], r["upper"]), r["upper"] - r["lower"]
        )
        if r["component"] == "corr":
            tail = f"it is beyond 0.9 or -0.9 with probability {r['probability']:.2f}"
        else:
            tail = (
                f"P(SD < {significant(r['small'], 2)}) = {r['probability']:.2f}, an SD "
                f"that moves a typical row by {share:.0%} of the residual SD"
            )
        found.append(
            f"The posterior of {label} has median {median} and 95% interval {lower} to "
            f"{upper}; {tail}."
        )
    return found


# --- what to do -----------------------------------------------------------------------


def _advice(smaller: list[Simpler], has_posterior: bool) -> str:
    """What to do next."""
    read = "read the posterior" if has_posterior else "sample the posterior"
    keep = (
        f"keep the term where the design has it (Barr et al. 2013), and {read}, "
        "which averages over the ridge"
    )
    stand = [one for one in smaller if one.p > STANDS]
    if not stand:
        return (
            f"What to do: no smaller model holds, so {keep}. Do not quote the value at "
            "the boundary as an estimate."
        )
    best = min(stand, key=lambda one: float(one.row["aic"]))
    left = f"{best.left} in its place" if best.left else "nothing in its place"
    term = best.name.split(" in ")[-1]
    return (
        f"What to do: the data do not tell this model from that without {best.name}. "
        f"Either fit that, with {left} for {term} (Matuschek et al. 2017), or {keep}. "
        "Do not quote the value at the boundary as an estimate."
    )
