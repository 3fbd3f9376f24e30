"""What is to be said of a variance component, from the numbers of its row."""

import math
from typing import TYPE_CHECKING

from bayeslmm.tables.numbers import number, row as in_row, significant

if TYPE_CHECKING:
    from bayeslmm.comparison.components import ComponentPanel
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

# Share of the prior's variance that is left from which on the prior is quoted with it:
# then the posterior is half as wide.
WEAK = 0.25
# Few levels, by what they tell of an SD.
FEW = 6.0
# A probability that leaves no doubt, and one that leaves all.
SURE, OPEN = 0.975, 0.80
# Upper limits this far apart, as a ratio, are worth a word.
APART = 1.25


def component_sentences(
    panel: "ComponentPanel", reml: "RemlFit", post: "Posterior", prob: float
) -> list[str]:
    """A careful reading of one component: point, interval, data, prior."""
    found = [_first(panel, reml, prob)]
    found += _intervals(panel)
    found += _levels(panel)
    found += _size(panel)
    found += _prior(panel, post)
    return [f"{panel.label}: " + " ".join(found)]


def _first(panel: "ComponentPanel", reml: "RemlFit", prob: float) -> str:
    """Point and interval, of the posterior and of REML."""
    row = panel.row
    names = "median", "eti_lower", "eti_upper", "reml"
    shown = _shown(panel, *names)
    text = (
        f"posterior median {shown[0]}, {100 * prob:.4g}% ETI {shown[1]} to {shown[2]}"
    )
    if math.isnan(row["reml"]):
        return f"{text}; {reml.method} has no estimate, as an SD of it is 0."
    text += f"; {reml.method} {shown[3]}"
    if math.isnan(row["profile_lower"]) or math.isnan(row["profile_upper"]):
        return text + "."
    ends = _shown(panel, "profile_lower", "profile_upper")
    return f"{text}, profile {ends[0]} to {ends[1]}."


def _shown(panel: "ComponentPanel", *names: str) -> list[str]:
    """Numbers of a row: of a correlation as its range has them, else three digits."""
    values = [panel.row[name] for name in names]
    if panel.row["component"] == "corr":
        return in_row(values, 1.0)
    return [significant(value) for value in values]


def _intervals(panel: "ComponentPanel") -> list[str]:
    """Where the intervals of REML and of the posterior end far apart."""
    row = panel.row
    ends = row["profile_upper"], row["eti_upper"]
    if row["component"] != "sd" or not all(map(math.isfinite, ends)):
        return []
    if max(ends) < APART * min(ends):
        return []
    further = "profile" if ends[0] > ends[1] else "posterior"
    return [
        f"Their upper ends differ by a factor of {max(ends) / min(ends):.2g}, that of "
        f"the {further} being the larger: how large it may be is not settled."
    ]


def _levels(panel: "ComponentPanel") -> list[str]:
    """How many levels carry the information."""
    row = panel.row
    if not math.isfinite(row["effective_levels"]):
        return []
    text = (
        f"Its {row['levels']:.0f} levels tell as much as "
        f"{number(row['effective_levels'], 1)} seen without error"
    )
    few = row["effective_levels"] < FEW
    return [f"{text}, which is little for an SD." if few else f"{text}."]


def _size(panel: "ComponentPanel") -> list[str]:
    """Whether it is there at all, or which sign it has."""
    row, below = panel.row, panel.row["p_below"]
    if not math.isfinite(below):
        return []
    if row["component"] == "corr" and row["eps"] == 0.0:
        chance = max(below, 1.0 - below)
        side = "negative" if below > 0.5 else "positive"
        known = "" if chance > SURE else ": its sign is not known"
        return [f"It is {side} with probability {_chance(chance)}{known}."]
    if row["component"] == "icc" and below < 1.0 - SURE:
        return []
    chance = _chance(below)
    sign = "" if chance[0] in "<>" else "= "
    said = f"P(below {significant(row['eps'], 2)}) {sign}{chance}"
    if row["component"] not in ("sd", "icc"):
        return [f"{said}."]
    if below > OPEN:
        return [f"{said}: there may be next to nothing of it."]
    if below > 1.0 - SURE:
        return [f"{said}: whether it matters is open."]
    return [f"{said}."]


def _prior(panel: "ComponentPanel", post: "Posterior") -> list[str]:
    """How much of the posterior is the prior's."""
    share, parameter = 1.0 - panel.row["contraction"], panel.curves.component.parameter
    name = ""
    if parameter is not None and parameter.component != "corr":
        name = f", {post.model.priors.of(parameter)}"
    if math.isnan(share):
        flat = panel.curves.log_prior is not None
        return ["Its prior is flat: no share of it is the prior's."] if flat else []
    percent = f"{100 * share:.0f}%" if share >= 0.005 else "less than 1%"
    if share > 1.0:
        return [
            f"The posterior is wider than the prior{name}, with {percent} of its "
            f"variance: quote the two together, or try another prior."
        ]
    if share >= WEAK:
        return [
            f"The posterior is {percent} prior{name}: quote the two together, or try "
            f"another prior."
        ]
    return [f"The posterior is {percent} prior{name}."]


def _chance(value: float) -> str:
    """A probability, with its order of magnitude where it is small."""
    if value < 0.001:
        return significant(value, 1) if value > 1e-4 else "< 0.0001"
    return number(value, 3) if value < 0.999 else "> 0.999"
