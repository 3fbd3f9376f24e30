"""Checks with a verdict each: of the REML fit, of the draws, of the assumptions.

Takes `Facts`; gives rows of what was looked at, what was found, and one of three words
with a mark of its own, so that colour alone says nothing.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bayeslmm.posterior.diagnose import MAX_RHAT, MIN_ESS_PER_CHAIN
from bayeslmm.tables.numbers import count, listed, p_value, significant

if TYPE_CHECKING:
    from bayeslmm.posterior.diagnose import Diagnosis
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.check import AssumptionCheck
    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.reporting.facts import Facts

type Word = Literal["fine", "look", "stop"]

DRAWS = "Diagnosis of the draws"
MOST_NAMED = 4  # checks in a sentence before the others are counted
MARKS: dict[Word, str] = {"fine": "✓", "look": "!", "stop": "✕"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check: what was looked at, what was found, and the word for it."""

    what: str
    found: str
    word: Word

    @property
    def mark(self) -> str:
        """Sign of the word."""
        return MARKS[self.word]


def reml_verdicts(reml: "RemlFit") -> Iterator[Verdict]:
    """Whether the optimiser arrived, and where."""
    status = reml.status
    arrived = (
        f"{status.n_evaluations} evaluations, gradient {status.gradient_norm:.1g}"
        if status.converged
        else status.message
    )
    word: Word = "fine" if status.converged else "stop"
    yield Verdict(f"{reml.method} converged", arrived, word)
    if not status.singular:
        yield Verdict("Not singular", "no variance or correlation at its limit", "fine")
        return
    at = listed(status.boundary) if status.boundary else status.message
    yield Verdict("Singular", f"at the edge of what is possible: {at}", "look")


def draw_verdicts(post: "Posterior", diagnosis: "Diagnosis") -> Iterator[Verdict]:
    """Whether the draws can be trusted."""
    status, table = post.status, diagnosis.table
    enough = MIN_ESS_PER_CHAIN * status.chains
    if status.partial:
        yield Verdict("Run complete", "interrupted: fewer draws than asked for", "look")
    if status.sampler == "nuts" and status.chains > 1:
        worst = float(table["rhat"].max())
        word: Word = "fine" if worst <= MAX_RHAT else "stop"
        label = table["rhat"].idxmax()
        found = f"R-hat at most {worst:.3f} ({label}); limit {MAX_RHAT}"
        yield Verdict("Chains agree", found, word)
    for column, what in (("ess_bulk", "middles"), ("ess_tail", "interval ends")):
        least = float(table[column].min())
        if not math.isfinite(least):
            continue
        word = "fine" if least >= enough else "look"
        label = table[column].idxmin()
        found = f"at least {count(least)} effective draws ({label}); {enough} advised"
        yield Verdict(f"Enough draws for {what}", found, word)
    if status.sampler == "nuts":
        n, total = status.n_divergent, status.chains * status.draws
        word = "stop" if n else "fine"
        yield Verdict("No divergences", f"{n} of {total:,} draws", word)


def assumption_verdicts(check: "AssumptionCheck") -> Iterator[Verdict]:
    """Each test of the data beside responses of the model."""
    for name, one in check.table.iterrows():
        found = f"{one['statistic']} {significant(one['value'])}"
        if math.isfinite(one["expected"]):
            found += f", expected {significant(one['expected'])}"
        if math.isfinite(one["p"]):
            said = p_value(one["p_holm"])
            found += f"; p {said if said[0] == '<' else '= ' + said} (Holm)"
        what = f"{str(name).capitalize()}: {one['of']}"
        yield Verdict(what, found, "fine" if one["verdict"] == "ok" else "look")


def all_verdicts(facts: "Facts") -> dict[str, tuple[Verdict, ...]]:
    """Verdicts by what they are of."""
    found: dict[str, tuple[Verdict, ...]] = {}
    if facts.reml is not None:
        found[f"The {facts.reml.method} fit"] = tuple(reml_verdicts(facts.reml))
    if facts.post is not None and facts.diagnosis is not None:
        own = tuple(draw_verdicts(facts.post, facts.diagnosis))
        found[DRAWS] = own
    if facts.check is not None:
        found["The assumptions"] = tuple(assumption_verdicts(facts.check))
    return found


def tally(verdicts: "dict[str, tuple[Verdict, ...]]") -> str:
    """How many checks came out how, and which are not fine."""
    every = [one for own in verdicts.values() for one in own]
    left = [one.what for one in every if one.word != "fine"]
    if not left:
        return f"All {len(every)} checks are fine."
    fine = f"{len(every) - len(left)} of {len(every)} checks are fine"
    more = len(left) - MOST_NAMED
    named = left[:MOST_NAMED] + ([f"{more} more"] if more > 0 else [])
    return f"{fine}; look at: {'; '.join(named)}."
