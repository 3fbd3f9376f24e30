"""The variance components of a report: SDs, variances and their shares, ICC and R2.

Takes a REML fit, a posterior or both; gives one table of text with its notes.
"""

from typing import TYPE_CHECKING

import pandas as pd

from bayeslmm.comparison import unit_words
from bayeslmm.comparison.table import interval_name
from bayeslmm.errors import ModelError
from bayeslmm.posterior.shares import latent_notes
from bayeslmm.reporting.tables import TextTable
from bayeslmm.tables.numbers import interval, number, row, significant

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

SHARE_DECIMALS = 3
NAMES = {
    "adjusted": "ICC, adjusted",
    "unadjusted": "ICC, unadjusted",
    "marginal": "R2, marginal",
    "conditional": "R2, conditional",
}
# A correlation that adds nothing to the variance of the rows but rounding.
NOTHING = 1e-9
MEANING = (
    "share: of the variance of a response, averaged over the rows; those of fixed "
    "part, random effects and residual add up to 1",
    "ICC: random over random plus residual variance, unadjusted: over all; R2: fixed "
    "part, and fixed part with random effects, over all",
)
AT_MEAN = (
    "SDs and correlations here are those where the predictors of the random part stand "
    "at their means; the tables of the fits have them at zero"
)


def components_table(
    reml: "RemlFit | None", post: "Posterior | None"
) -> TextTable | None:
    """Variance components and their sums, REML beside the posterior.

    None where the shares do not exist, or the draws do not say them.
    """
    fits = [fit for fit in (reml, post) if fit is not None]
    try:
        sides = [_parts_of(fit) for fit in fits]
    except ModelError:
        return None
    if not fits:
        return None
    header, alone, rows = [""], [""], []
    methods = [] if reml is None else [reml.method]
    for of in [*methods, *([] if post is None else ["posterior"])]:
        header += [f"SD, {of}", "variance", "share"]
        alone += [f"{what}, {of}" for what in ("SD", "variance", "share")]
    if post is not None:
        interval_of = f"share, {interval_name(0.95, 'eti')}"
        header, alone = [*header, interval_of], [*alone, interval_of]
    for i, (label, first) in enumerate(sides[0].iterrows()):
        cells = [cell for side in sides for cell in _cells(side.iloc[i])]
        rows.append((first["section"], (NAMES.get(str(label), str(label)), *cells)))
    model = fits[0].model
    turned = any(term.is_closed for term in model.design.groups)
    notes = [*MEANING, *([AT_MEAN] if turned else []), *latent_notes(model)]
    title = f"Variance components, {unit_words(model)}"
    given = title, tuple(header), tuple(rows), tuple(notes)
    return TextTable(*given, alone=tuple(alone))


def _parts_of(fit: "RemlFit | Posterior") -> pd.DataFrame:
    """Components, then ICC and R2, each with its section."""
    components, sums = fit.varcomp(), pd.concat([fit.icc(), fit.r2()])
    sections = components["group"].replace("Fixed", "Fixed part")
    return pd.concat(
        [components.assign(section=sections), sums.assign(section="Sums of shares")]
    )


def _cells(own: pd.Series) -> tuple[str, ...]:
    """SD or correlation, variance and share; of draws the interval of the share too."""
    drawn, is_sum = "mean" in own, pd.isna(own["share"])
    names = ("lower", "upper") if is_sum else ("share_lower", "share_upper")
    share = own["mean" if drawn else "estimate"] if is_sum else own["share"]
    size, variance = "", ""
    if not is_sum:
        size = row((own["median"],), own["sd"])[0] if drawn else ""
        size = size or significant(own["estimate"])
        variance = significant(own["variance"])
    if own["component"] == "corr" and abs(share) < NOTHING:
        return (size, variance, "", "")[: 4 if drawn else 3]
    shown = number(share, SHARE_DECIMALS)
    if not drawn:
        return size, variance, shown
    lower, upper = (own[name] for name in names)
    return size, variance, shown, interval(lower, upper, SHARE_DECIMALS)
