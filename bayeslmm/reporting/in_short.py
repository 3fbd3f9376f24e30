"""Five lines to read before anything else of a report, each number from its tables.

Takes `Facts`; gives a name and a sentence for each: data, effects, levels, pooling,
trust.
"""

from typing import TYPE_CHECKING

from bayeslmm.reporting.describe import account_lines
from bayeslmm.reporting.verdicts import all_verdicts, tally
from bayeslmm.tables.numbers import counted, listed, number

if TYPE_CHECKING:
    from bayeslmm.reporting.facts import Facts

MOST_NAMED = 3


def five_lines(facts: "Facts") -> tuple[tuple[str, str], ...]:
    """Name and sentence of each line."""
    effects, levels, trust = facts.answer
    return (
        ("Data", _data(facts)),
        ("Effects", effects),
        ("Levels", levels),
        ("Pooling", _pooling(facts)) if facts.shrinkage else ("Priors", _priors(facts)),
        ("Trust", f"{trust} {tally(all_verdicts(facts))}"),
    )


def _data(facts: "Facts") -> str:
    """Rows, levels, and what was fitted to them."""
    rows = account_lines(facts.model.design.account)[0]
    levels = {t.group: t.n_levels for t in facts.model.design.groups}
    groups = [f"{counted(n, 'level')} of {group}" for group, n in levels.items()]
    said = f"{rows}; {listed(groups)}" if groups else rows
    fits = [] if facts.reml is None else [facts.reml.method]
    if facts.post is not None:
        status = facts.post.status
        draws = f"{status.chains * status.draws:,} draws of the posterior"
        fits.append(f"{draws} (priors {facts.model.priors.name!r})")
    return f"{said}. Fitted by {listed(fits)}."


def _pooling(facts: "Facts") -> str:
    """How far the usual level is pooled, effect by effect."""
    assert facts.shrinkage is not None
    said, column = [], facts.shrinkage.column
    for (group, effect), own in facts.shrinkage.table.groupby(
        ["group", "effect"], sort=False
    ):
        share = f"{number(100.0 * float(own[column].median()), 0)}%"
        said.append(f"{share} in {effect} ({group})")
    more = len(said) - MOST_NAMED
    shown = said[:MOST_NAMED] + ([f"{more} more"] if more > 0 else [])
    return (
        f"The usual level is pooled by {listed(shown)}: so much of an effect's "
        "variance its own rows leave; 0% is no pooling, 100% complete pooling."
    )


def _priors(facts: "Facts") -> str:
    """Which priors there are, where pooling is not told."""
    shown = [f"{name}: {prior}" for name, prior, _ in facts.model.priors.labels]
    more = len(shown) - MOST_NAMED
    parts = shown[:MOST_NAMED] + ([f"{more} more"] if more > 0 else [])
    return f"The priors are the set {facts.model.priors.name!r}: {'; '.join(parts)}."
