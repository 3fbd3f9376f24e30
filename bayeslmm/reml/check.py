"""Whether the data look like the model: its assumptions, in words.

Takes a `RemlFit`; gives an `AssumptionCheck`. Each statistic of the data is set beside
the same of responses that the fitted model makes, so that whatever fitting itself does
to residuals and BLUPs (shrinkage, correlations, unequal variances) is in both.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.errors import ModelError, check_text, nearest_names
from bayeslmm.reml.cases import ROWS, row_names
from bayeslmm.reml.check_statistics import (
    ROWS_OF_A_SERIES,
    Pairs,
    Statistic,
    grouped,
    neighbours,
    statistics,
)
from bayeslmm.reml.check_words import Seen, messages
from bayeslmm.reml.collinearity import inflation_table
from bayeslmm.reml.influence import influence
from bayeslmm.reml.replicates import (
    Replicates,
    number_of_replicates,
    reml_replicates,
)
from bayeslmm.reml.times import time_order
from bayeslmm.spec import ModelSpec
from bayeslmm.tables import Table
from bayeslmm.tables.notebook import fragment

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.reml.fit import RemlFit

# Chance that a model that holds is told to look anywhere, over all tests together.
SIZE = 0.05
# A variance inflation above this is said: the SE is three times what it could be.
MOST_VIF = 10.0
# A change of a fixed effect by this many of its SEs is said, and more of few rows or
# levels, over their root: of a model that holds 6 levels of 5 rows had one above
# 4 / sqrt(30) in 8 of 100 data sets.
MOST_DFBETA, OF_FEW = 1.0, 6.0
# One of two levels is half of all there is.
FEWEST_LEFT_OUT = 3
# Levels that are left out one by one; of more none holds up the estimates.
MOST_LEVELS = 500
COLUMNS = ["of", "statistic", "value", "expected", "p", "p_holm", "verdict"]


@dataclass(frozen=True, slots=True, repr=False)
class AssumptionCheck:
    """What the data say of the assumptions.

    Attributes
    ----------
    ok : bool
        Whether nothing was found that is to be looked at.
    messages : tuple of str
        Plain sentences: what was found and what to do, or that there is nothing; and
        what could not be judged.
    table : DataFrame
        Index ``check``; columns ``of``, ``statistic``, ``value``, ``expected`` (mean
        over responses of the model), ``p`` (share of these that depart as far; NaN
        where nothing is tested), ``p_holm`` (for the number of tests), ``verdict``
        (``"ok"`` or ``"look"``).
    nsim : int
        Responses that were simulated.
    """

    ok: bool
    messages: tuple[str, ...]
    table: "pd.DataFrame"
    nsim: int

    def __repr__(self) -> str:
        """The messages, one on each line."""
        return "\n".join(self.messages)

    def _repr_html_(self) -> str:
        """The messages and their table, for notebooks."""
        return fragment(sentences=self.messages, tables=[self.table])


def check_fit(
    fit: "RemlFit",
    *,
    time: object = None,
    within: str | None = None,
    seed: int | np.random.Generator | None = 0,
) -> AssumptionCheck:
    """The assumptions of a fit; see `RemlFit.check`, whose parameters these are."""
    rows_of(fit.design, "checks of all rows")  # says so if they are gone
    nsim = number_of_replicates(fit.nobs)
    influential, unseen = influence_rows(fit)
    return check_rows(
        fit.model,
        reml_replicates(fit, nsim, seed),
        residual=fit.residuals("standardized"),
        others=[inflation_rows(fit.design, fit.beta_cov), influential],
        time=time,
        within=within,
        nsim=nsim,
        unseen=unseen,
    )


def check_rows(
    model: ModelSpec,
    replicates: Iterable[Replicates],
    *,
    residual: Float[np.ndarray, " n"],
    others: "Sequence[pd.DataFrame]",
    time: object,
    within: str | None,
    nsim: int,
    unseen: tuple[str, ...] = (),
) -> AssumptionCheck:
    """The tests of a fit's replicates with rows that are not tested, in words.

    `residual` are standardised; `others` rows with a column ``look``; `unseen`
    sentences on what was left out.
    """
    rows = rows_of(model.design, "checks of all rows")
    group, pairs = _series(model, time, within)
    asked = statistics(model.design, rows.codes, pairs and (group, *pairs))
    table = complete([test_table(asked, replicates), *others])
    seen = Seen(
        design=model.design,
        table=table,
        residual=residual,
        labels=row_names(model),
        series=group,
        timed=time is not None,
        unseen=unseen,
        nsim=nsim,
    )
    ok = not (table["verdict"] == "look").any()
    return AssumptionCheck(ok, tuple(messages(seen)), table, nsim)


def test_table(asked: Sequence[Statistic], chunks: Iterable[Replicates]) -> Table:
    """Each statistic beside those of responses that the model makes."""
    pairs = [
        [(one.value(part.observed), one.value(part.drawn)) for one in asked]
        for part in chunks
    ]
    rows = []
    for one, found in zip(asked, zip(*pairs, strict=True), strict=True):
        drawn = np.concatenate([values for _, values in found])
        seen = np.concatenate([np.broadcast_to(o, d.shape) for o, d in found])
        center = np.median(drawn) if one.centred else 0.0
        as_far = np.abs(drawn - center) >= np.abs(seen - center)
        known = np.isfinite(seen).all()
        rows.append(
            {
                "check": one.check,
                "of": one.of,
                "statistic": one.name,
                "value": seen.mean(),
                "expected": drawn.mean(),
                "p": (1 + as_far.sum()) / (1 + len(drawn)) if known else np.nan,
            }
        )
    return Table(rows)


def complete(parts: Sequence["pd.DataFrame"]) -> Table:
    """All rows with adjusted p values and verdicts, the tests first."""
    import pandas as pd

    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    table["p_holm"] = holm(table["p"].to_numpy(float))
    found = table["p_holm"].to_numpy() <= SIZE
    told = table.get("look", pd.Series(False, table.index)).eq(True)
    table["verdict"] = np.where(found | told.to_numpy(), "look", "ok")
    kept = table["value"].notna()
    return Table(table.loc[kept].set_index("check")[COLUMNS])


def holm(p: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """P values for their number, by Holm's step-down; NaN stay.

    References
    ----------
    .. [1] Holm (1979). Scand. J. Stat. 6(2). https://www.jstor.org/stable/4615733
    """
    found, known = np.full(len(p), np.nan), np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    found[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return found


# --- what is not tested ---------------------------------------------------------------


def inflation_rows(
    design: Design, covariance: Float[np.ndarray, "p p"]
) -> "pd.DataFrame":
    """A row for each variable; told where its SEs are three times as large."""
    table = inflation_table(design, covariance)
    return Table(
        {
            "check": "collinearity",
            "of": list(table.index),
            "statistic": "VIF",
            "value": table["vif"].to_numpy(),
            "expected": 1.0,
            "p": np.nan,
            "look": table["se_factor"].to_numpy() ** 2 > MOST_VIF,
        }
    )


def influence_rows(fit: "RemlFit") -> "tuple[pd.DataFrame, tuple[str, ...]]":
    """The largest change of a fixed effect by one row, and by a level of each group.

    With sentences on the groups that were not looked at.
    """
    of, unseen = [ROWS] if fit.design.p else [], []
    for group, n in {t.group: t.n_levels for t in fit.design.groups}.items():
        if not fit.design.p or n < FEWEST_LEFT_OUT:
            continue
        if n > MOST_LEVELS or fit.model.conditioned.statistics.in_steps:
            unseen.append(
                f"The {n:,} levels of {group} were not left out one by one, which "
                f"would take long: influence({group!r}, method='one-step') does."
            )
            continue
        of.append(group)
    rows = [row for one in of if (row := _most_influential(fit, one)) is not None]
    return Table(rows), tuple(unseen)


def _most_influential(fit: "RemlFit", of: str) -> dict[str, object] | None:
    """The row or level that moves a fixed effect most, in SEs."""
    found = influence(fit, of, method="one-step").dfbetas
    sizes = np.abs(found.to_numpy())
    if not np.isfinite(sizes).any():
        return None
    case, what = divmod(int(np.nanargmax(sizes)), sizes.shape[1])
    value = float(found.to_numpy()[case, what])
    limit = max(MOST_DFBETA, OF_FEW / np.sqrt(len(sizes)))
    return {
        "check": "influence",
        "of": of,
        "statistic": f"DFBETAS of {found.columns[what]}, "
        f"{_case(of, found.index[case])}",
        "value": value,
        "expected": np.nan,
        "p": np.nan,
        "look": abs(value) > limit,
    }


def _case(of: str, case: object) -> str:
    """``row 57``, ``Subject 308``."""
    return f"row {case}" if of == ROWS else f"{of} {case}"


# --- series ---------------------------------------------------------------------------


def _series(
    model: ModelSpec, time: object, within: str | None
) -> tuple[str, tuple[Pairs, Pairs] | None]:
    """A group and the neighbours within its levels; none where no group has series."""
    groups = grouped(model.design, rows_of(model.design, "checks of all rows").codes)
    order, group = time_order(model, time), _group_of_series(groups, within)
    if group is None:
        return "", None
    before, after = neighbours(groups[group], order)
    return group, (before, after) if len(before) else None


def _group_of_series(
    groups: dict[str, Int[np.ndarray, " n"]], within: str | None
) -> str | None:
    """The factor asked for, or that with the most levels of three rows or more."""
    if within is not None:
        name = check_text(within, "within")
        if name not in groups:
            raise ModelError(
                f"within={name!r} is no grouping factor of this model."
                f"{nearest_names(name, groups)}"
            )
        return name
    levels = {group: int(codes.max()) + 1 for group, codes in groups.items()}
    long = {g: j for g, j in levels.items() if len(groups[g]) / j >= ROWS_OF_A_SERIES}
    return max(long, key=lambda group: long[group]) if long else None
