"""SDs and correlations of the effects where the predictors stand at their means.

The SD of an intercept is that of the levels where every predictor is 0, which may be
far from the data: with years it says how the levels differ in the year 0. Takes both
fits; gives what it is in the middle of the data, where the default priors refer to.
"""

from typing import TYPE_CHECKING

from bayeslmm.marginal.conditioning import effect_centers
from bayeslmm.tables import numbers
from bayeslmm.tables.frame import as_text

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

# Shorter lists of effects are named in full.
NAMED = 3


def centred_sentences(reml: "RemlFit", post: "Posterior", interval: str) -> list[str]:
    """One sentence for each term whose intercept is counted elsewhere at the means."""
    design, found = reml.model.design, []
    pairs = zip(design.groups, effect_centers(design), strict=True)
    moved_terms = [(term, center) for term, center in pairs if center.any()]
    if not moved_terms:
        return []
    ours = reml.varcorr(at="mean")["estimate"]
    summary = reml.summary()[["estimate", "se"]]
    at_zero = as_text(summary)["estimate"]
    theirs = post.varcorr(at="mean")
    for term, center in moved_terms:
        label = f"1|{term.group}_sigma"
        row = theirs.loc[label].to_dict()
        shown = (ours[label], row["median"], row["lower"], row["upper"])
        point, middle, lower, upper = numbers.row(shown, row["sd"])
        moved = [e for e, c in zip(term.effects, center, strict=True) if c]
        where = ", ".join(moved[:NAMED]) + (", ..." if len(moved) > NAMED else "")
        found.append(
            f"SD of the intercept of {term.group} at the mean of {where}: "
            f"{reml.method} {point}, posterior median {middle} ({interval} {lower} to "
            f"{upper}); {label} is that at 0 ({reml.method} {at_zero[label]})."
        )
    return found
