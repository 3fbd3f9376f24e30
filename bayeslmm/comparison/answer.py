"""The answer before the tables: what the effects are, how levels differ, what to trust.

Takes the fits of one model; gives three sentences, each computed from their tables.
"""

from typing import TYPE_CHECKING

import pandas as pd

from bayeslmm.comparison.reading import SMALL_DIFFERENCE
from bayeslmm.comparison.table import Row, compare, interval_name, row_scale
from bayeslmm.comparison.units import unit_words
from bayeslmm.design.space import SIGMA, Parameter
from bayeslmm.tables import Sentences
from bayeslmm.tables.numbers import counted, listed, number, row

if TYPE_CHECKING:
    from bayeslmm.posterior.diagnose import Diagnosis
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.spec import ModelSpec

MOST_NAMED = 3  # things in a sentence before the others are counted


def answer(
    reml: "RemlFit | None",
    post: "Posterior | None",
    *,
    table: pd.DataFrame | None = None,
    diagnosis: "Diagnosis | None" = None,
) -> tuple[str, ...]:
    """Three sentences to read before any table.

    Parameters
    ----------
    reml : RemlFit or None
        Fit by REML or ML.
    post : Posterior or None
        Posterior of the same model; one of both must be there.
    table : DataFrame, optional
        What `compare` gives of both, if it is known already.
    diagnosis : Diagnosis, optional
        What ``post.diagnose()`` gives, if it is known already.

    Returns
    -------
    tuple of str
        The fixed effects; by how much levels differ; whether the numbers can be
        trusted. Posterior medians where there is a posterior, else estimates.
    """
    fit = reml or post
    assert fit is not None, "one of both is there"
    if reml is not None and post is not None and table is None:
        table = compare(reml, post)
    if post is not None and diagnosis is None:
        diagnosis = post.diagnose()
    known, interval = _estimates(fit, table)
    return Sentences(
        (
            _effects(known, interval, fit.model),
            _levels(known, interval, fit.model),
            _trust(reml, diagnosis, known),
        )
    )


def _estimates(
    fit: "RemlFit | Posterior", compared: pd.DataFrame | None
) -> tuple[pd.DataFrame, str]:
    """Every parameter's ``value``, ``scale``, ``lower``, ``upper``; their interval.

    With both fits it is that of `compare`, whose rounding the sentences share.
    """
    if compared is not None:
        table = compared.rename(columns={"median": "value"})
        table["scale"] = [row_scale(one) for _, one in table.iterrows()]
        return table, table.attrs["interval"]
    summary = fit.summary()
    kind = "eti" if "median" in summary.columns else "wald"
    names = {"median": "value", "sd": "scale", "estimate": "value", "se": "scale"}
    return summary.rename(columns=names), interval_name(0.95, kind)


def _effects(table: pd.DataFrame, interval: str, model: "ModelSpec") -> str:
    """The fixed effects, or the intercept where there is no other."""
    fixed = table[table["component"] == "fixef"]
    response, unit = model.design.response, unit_words(model)
    if fixed.empty:
        return f"The model of {response} has no fixed effects."
    others = fixed.drop(index="Intercept", errors="ignore")
    if others.empty:
        shown = _shown(fixed.loc["Intercept"].to_dict(), interval)
        return f"The intercept is {shown}, {unit}."
    if len(others) == 1:
        label, one = str(others.index[0]), others.iloc[0]
        side = "" if _is_clear(one) else "; 0 lies inside"
        return f"The effect of {label} is {_shown(one, interval, side)}, {unit}."
    clear = others[[_is_clear(one) for _, one in others.iterrows()]]
    if clear.empty:
        return (
            f"None of the {len(others)} effects on {response} has an interval "
            f"({interval}) that leaves out 0."
        )
    has = "has an interval" if len(clear) == 1 else "have intervals"
    leaves = "leaves" if len(clear) == 1 else "leave"
    parts = [f"{label} {_shown(one)}" for label, one in clear.iterrows()]
    return (
        f"{len(clear)} of {len(others)} effects on {response} {has} ({interval}) that "
        f"{leaves} out 0: {_some(parts)}, {unit}."
    )


def _levels(table: pd.DataFrame, interval: str, model: "ModelSpec") -> str:
    """SDs between levels beside the residual SD."""
    parts: dict[str, list[str]] = {}
    for parameter in model.space.parameters:
        if parameter.component != "sd" or parameter.term is None:
            continue
        name = interval if not parts else None
        shown = _shown(table.loc[parameter.label].to_dict(), name)
        term = model.design.groups[parameter.term]
        effect = term.effects[parameter.index[0]]
        if term.covariance.homogeneous:  # one SD for all that vary
            effect = term.variables[0].expr
        where = _in_effect(effect)
        parts.setdefault(term.group, []).append(f"{shown} {where}")
    groups = [
        f"levels of {group} differ by an SD of {_some(own)}"
        for group, own in parts.items()
    ]
    sentences = [_some(groups)] if groups else []
    for parameter in _of_residuals(model):
        if parameter.label in table.index:
            name = None if parts or len(sentences) else interval
            shown = _shown(table.loc[parameter.label].to_dict(), name)
            sentences.append(f"{parameter.words} is {shown}")
    text = "; ".join(sentences)
    return f"{text[0].upper()}{text[1:]}."


def _of_residuals(model: "ModelSpec") -> list[Parameter]:
    """The residual SD, that of other strata relative to it, the correlation."""
    structure = model.design.residual
    return [SIGMA, *(structure.parameters if structure is not None else ())]


def _in_effect(effect: str) -> str:
    """Where the levels differ, in words."""
    return "in the intercept" if effect == "Intercept" else f"in {effect}"


def _trust(
    reml: "RemlFit | None", diagnosis: "Diagnosis | None", table: pd.DataFrame
) -> str:
    """The first thing that speaks against the numbers, or that nothing does."""
    if reml is not None and not reml.status.converged:
        return f"Do not rely on {reml.method}: {reml.status.message}"
    if diagnosis is not None and not diagnosis.ok:
        more = len(diagnosis.messages) - 1
        others = f" ({counted(more, 'more message')} under Diagnosis.)" if more else ""
        return f"Read the posterior with care: {diagnosis.messages[0]}{others}"
    if reml is None:
        return "The draws passed every check."
    if reml.status.singular:
        beside = "" if diagnosis is None else "; the posterior says more there"
        return (
            f"{reml.method} is singular, at the edge of what is possible for "
            f"{listed(reml.status.boundary)}{beside}."
        )
    if diagnosis is None:
        return f"{reml.method} converged, with no variance at its limit."
    return _agreement(reml.method, table)


def _agreement(method: str, table: pd.DataFrame) -> str:
    """How far apart two good fits are: fixed effects, then all others."""
    fixed, distance = table["component"] == "fixef", table["difference_in_se"].abs()
    apart, others = distance[fixed].dropna(), distance[~fixed].dropna()
    checked = "the draws passed every check"
    if apart.empty:
        return f"{method} is not singular, and {checked}."
    by = f"{number(apart.max(), 2)} SE ({apart.idxmax()})"
    if apart.max() <= SMALL_DIFFERENCE:
        far = "" if others.empty else f"; {_farthest(others)}"
        return (
            f"{method} and the posterior agree on the fixed effects within {by}{far}; "
            f"{checked}."
        )
    return (
        f"{method} and the posterior differ by up to {by}: the reading below says "
        f"why; {checked}."
    )


def _farthest(others: "pd.Series") -> str:
    """How far apart the SDs and correlations are at most, and which it is."""
    return f"on the others within {number(others.max(), 2)} SE ({others.idxmax()})"


def _some(parts: list[str]) -> str:
    """The first few parts, and how many others."""
    more = len(parts) - MOST_NAMED
    return listed(parts[:MOST_NAMED] + ([f"{more} more"] if more > 0 else []))


def _shown(one: Row, interval: str | None = None, side: str = "") -> str:
    """``9.87 (95% ETI 6.16 to 13.64)``, rounded as the tables are."""
    value, lower, upper = row((one["value"], one["lower"], one["upper"]), one["scale"])
    if one["lower"] != one["lower"]:  # no interval at the boundary
        return f"{value} (no interval)" if interval else value
    name = f"{interval} " if interval else ""
    return f"{value} ({name}{lower} to {upper}{side})"


def _is_clear(one: Row) -> bool:
    """Whether an interval leaves out 0."""
    return bool(one["lower"] > 0.0 or one["upper"] < 0.0)
