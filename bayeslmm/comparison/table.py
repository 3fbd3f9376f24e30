"""REML beside the posterior, one row for each parameter."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayeslmm.comparison.pairs import check_same_model
from bayeslmm.comparison.units import unit_words
from bayeslmm.posterior.tables import check_interval
from bayeslmm.tables import Table, numbers

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

Row = pd.Series | Mapping[Any, Any]

COLUMNS = (
    "component",
    "reml",
    "reml_se",
    "reml_lower",
    "reml_upper",
    "mean",
    "median",
    "sd",
    "lower",
    "upper",
    "ess_bulk",
    "rhat",
    "difference_in_se",
    "difference_unit",
)


def compare(
    reml: "RemlFit",
    post: "Posterior",
    *,
    prob: float = 0.95,
    kind: Literal["eti", "hdi"] = "eti",
) -> pd.DataFrame:
    """REML beside the posterior for every parameter.

    Use it to see where the prior and the averaging over the variance parameters moved
    an estimate, and by how much relative to its uncertainty.

    Parameters
    ----------
    reml : RemlFit
        Fit by REML or ML.
    post : Posterior
        Posterior of the same model.
    prob : float, default 0.95
        Probability of both intervals.
    kind : {"eti", "hdi"}, default "eti"
        Equal-tailed or highest-density posterior interval.

    Returns
    -------
    DataFrame
        Index ``label``: fixed effects, SDs, correlations, sigma. Columns ``component``;
        ``reml``, ``reml_se``, ``reml_lower``, ``reml_upper`` (Wald; NaN where the fit
        is on the boundary and there is no SE); ``mean``, ``median``, ``sd``, ``lower``,
        ``upper``, ``ess_bulk``, ``rhat`` of the posterior (mean and SD NaN where it has
        none: flat priors and few levels); ``difference_in_se``:
        posterior median minus REML estimate, in the unit that ``difference_unit`` names
        (``REML SE``, or ``posterior SD`` where there is no SE). ``attrs`` names the
        method, both intervals, the difference and the unit.

    Raises
    ------
    ModelError
        If the fits are not of the same formula and rows, or `prob` is no probability.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> reml, post = model.fit_reml(), model.sample(draws=200, seed=1, progress=False)
    >>> lmm.compare(reml, post).loc["edu", ["reml", "mean"]].round(1).tolist()
    [0.3, 0.3]
    """
    check_same_model(reml, post)
    check_interval(prob, kind)
    return join_summaries(
        reml.summary(prob=prob),
        post.summary(prob=prob, kind=kind),
        method=reml.method,
        unit=unit_words(reml.model),
        prob=prob,
        kind=kind,
    )


def join_summaries(
    classical: pd.DataFrame,
    posterior: pd.DataFrame,
    *,
    method: str,
    unit: str,
    prob: float,
    kind: Literal["eti", "hdi"],
) -> pd.DataFrame:
    """The table of `compare` from the summaries of both fits."""
    posterior = posterior.reindex(classical.index)
    table = Table(
        {
            "component": classical["component"],
            "reml": classical["estimate"],
            "reml_se": classical["se"],
            "reml_lower": classical["lower"],
            "reml_upper": classical["upper"],
        },
        index=classical.index,
    )
    for column in ("mean", "median", "sd", "lower", "upper", "ess_bulk", "rhat"):
        table[column] = posterior[column]
    table = table.join(_differences(table))
    table.index.name = "label"
    table.attrs = {
        "method": method,
        "prob": prob,
        "kind": kind,
        "interval": interval_name(prob, kind),
        "reml_interval": interval_name(prob, "wald"),
        "difference": f"posterior median minus {method} estimate",
        "unit": unit,
    }
    return table[list(COLUMNS)]


def row_scale(row: Row) -> float:
    """Error of a parameter in the table of `compare`: its row is rounded by it."""
    return row["reml_se"] if row["difference_unit"] == "REML SE" else row["sd"]


def rounded(row: Row, *columns: str) -> list[str]:
    """Entries of a row of `compare` as every table shows them."""
    return numbers.row([row[column] for column in columns], row_scale(row))


def interval_name(prob: float, kind: str) -> str:
    """Name of an interval, ``95% ETI``, ``94% HDI``, ``95% Wald``."""
    percent = f"{100 * prob:.4g}%"
    return f"{percent} {'Wald' if kind == 'wald' else kind.upper()}"


def _differences(table: pd.DataFrame) -> pd.DataFrame:
    """Posterior median minus REML, in REML SEs, else in posterior SDs."""
    has_se = np.isfinite(table["reml_se"]) & (table["reml_se"] > 0.0)
    scale = table["reml_se"].where(has_se, table["sd"])
    scale = scale.where(scale > 0.0)
    difference = (table["median"] - table["reml"]) / scale
    unit = np.where(has_se, "REML SE", "posterior SD")
    return Table(
        {
            "difference_in_se": difference,
            "difference_unit": np.where(difference.notna(), unit, ""),
        },
        index=table.index,
    )
