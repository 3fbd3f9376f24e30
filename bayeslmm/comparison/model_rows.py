"""All that a table for a paper says of one fit, in rows; and rows of several merged.

Takes a `RemlFit` or a `Posterior`; gives a frame with one row for each parameter, share
of variance, count and criterion, the same columns of both kinds. Nothing is rounded.
"""

from collections.abc import Hashable, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from bayeslmm.design import describe_table
from bayeslmm.errors import ModelError
from bayeslmm.reml.fit import RemlFit
from bayeslmm.tables import Table
from bayeslmm.tables.both import variance_table

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.ddf import Ddf
    from bayeslmm.spec import ModelSpec

NUMBERS = ("estimate", "se", "df", "t", "p", "lower", "upper")
SHARES = {
    "adjusted": "ICC",
    "marginal": "R² (marginal)",
    "conditional": "R² (conditional)",
}
OBSERVATIONS = "Observations"
CRITERIA = {"loglik": "Log likelihood", "aic": "AIC", "bic": "BIC"}


def model_rows(
    fit: "RemlFit | Posterior",
    prob: float,
    kind: Literal["eti", "hdi"],
    ddf: "Ddf",
) -> pd.DataFrame:
    """Every number of one fit.

    Parameters
    ----------
    fit : RemlFit or Posterior
        The fit.
    prob, kind
        Of the intervals; the kind of a posterior's.
    ddf : str
        Degrees of freedom of the fixed effects of a `RemlFit`.

    Returns
    -------
    DataFrame
        Index ``component`` (fixef, sd, corr, sigma, share, count, criterion) and
        ``label`` (of parameters that of `summary`); columns ``name`` (for a reader)
        and those of `NUMBERS`: estimate, SE, tests and interval of a `RemlFit`; median,
        SD and interval of a `Posterior`. NaN where there is none. The attribute
        ``no_shares`` says why a model has no ICC and R2; empty if it has them.

    Raises
    ------
    ModelError
        If an option is unknown.
    """
    model = fit.model
    if isinstance(fit, RemlFit):
        parameters = fit.summary(prob, ddf=ddf)
        criteria = {name: getattr(fit, column) for column, name in CRITERIA.items()}
    else:
        parameters, criteria = _of_draws(fit.summary(prob, kind)), {}
    own = {"name": reader_names(model, parameters.index)}
    shares, reason = _shares(fit, prob, kind)
    parts = [
        parameters.assign(**own).reset_index(),
        shares,
        _facts("count", _counts(model)),
        _facts("criterion", criteria),
    ]
    rows = pd.concat([part for part in parts if len(part)], ignore_index=True)
    rows = rows.set_index(["component", "label"])
    found = Table(rows.reindex(columns=["name", *NUMBERS]))
    found.attrs["no_shares"] = reason
    return found


def reader_names(model: "ModelSpec", labels: pd.Index) -> list[str]:
    """Names of parameters as a paper has them: ``Subject: Intercept, Days``."""
    known = variance_table(model.design, model.design.space.variances, {})
    found = {"sigma": "Residual"}
    for label, own in known.iterrows():
        effects = [one for one in (own["effect1"], own["effect2"]) if pd.notna(one)]
        if effects:
            found[str(label)] = f"{own['group']}: {', '.join(effects)}"
    return [found.get(str(label), str(label)) for label in labels]


def merged[T: Hashable](sequences: Sequence[Sequence[T]]) -> list[T]:
    """All entries of several lists in one order, whatever the order of the lists.

    What stands before another in a list does so in the result, as far as the lists
    agree; what follows the entry just placed comes first, then what sorts first.
    """
    entries = sorted({one for own in sequences for one in own}, key=str)
    after: dict[T, set[T]] = {one: set() for one in entries}
    for own in sequences:
        for one, following in pairwise(own):
            after[one].add(following)
    before = {one: [o for o in entries if one in after[o]] for one in entries}
    sorter = TopologicalSorter(before)
    try:
        sorter.prepare()
    except CycleError:  # x + z in one model, z + x in another
        latest = {
            one: max(own.index(one) for own in sequences if one in own)
            for one in entries
        }
        return sorted(entries, key=lambda one: (latest[one], str(one)))
    found: list[T] = []
    free: set[T] = set()
    while sorter.is_active():
        free |= set(sorter.get_ready())
        follows = free & after[found[-1]] if found else set()
        chosen = min(follows or free, key=str)
        free.remove(chosen)
        sorter.done(chosen)
        found.append(chosen)
    return found


def _of_draws(summary: pd.DataFrame) -> pd.DataFrame:
    """A summary of draws in the columns of an estimate."""
    return summary.rename(columns={"median": "estimate", "sd": "se"})


def _shares(
    fit: "RemlFit | Posterior", prob: float, kind: Literal["eti", "hdi"]
) -> tuple[pd.DataFrame, str]:
    """ICC and R2; or nothing, and why the model has none."""
    try:
        if isinstance(fit, RemlFit):
            found = pd.concat([fit.icc(), fit.r2()])
        else:
            found = _of_draws(pd.concat([fit.icc(prob, kind), fit.r2(prob, kind)]))
    except ModelError as error:
        return pd.DataFrame(), str(error)
    chosen = [name for name in SHARES if name in found.index]
    names = [SHARES[name] for name in chosen]
    own = {"component": "share", "label": names, "name": names}
    return found.loc[chosen].reset_index(drop=True).assign(**own), ""


def _counts(model: "ModelSpec") -> dict[str, float]:
    """Rows and levels."""
    groups = describe_table(model.design)["levels"]
    levels = {f"Levels of {group}": float(n) for group, n in groups.items()}
    return {OBSERVATIONS: float(model.design.n), **levels}


def _facts(component: str, values: dict[str, float]) -> pd.DataFrame:
    """Rows of numbers that have no error."""
    names = list(values)
    return pd.DataFrame(
        {
            "component": component,
            "label": names,
            "name": names,
            "estimate": np.array(list(values.values()), float),
        }
    )
