"""What a check of assumptions found, in plain sentences.

Takes the table of a check with the standardised residuals; gives sentences that say
what was seen, what it may mean and what to do, and no more than so many levels and rows
can tell.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.reml.check_statistics import FEWEST_LEVELS
from bayeslmm.tables.numbers import counted, listed, p_value, significant

if TYPE_CHECKING:
    import pandas as pd

# Levels that a sentence asks to be careful with.
FEW_LEVELS = 30
# Kurtosis and skewness of residuals that are named as a shape.
HEAVY, SKEWED = 0.5, 0.3
# A correlation of the residuals' size that hardly shows in a plot.
WEAK = 0.1
NAMED = 5


class Seen(NamedTuple):
    """What sentences are made of.

    ``residual`` are standardised; ``labels`` of the rows; ``series`` the group within
    which neighbours are, ``timed`` whether a time was given; ``unseen`` says of which
    groups no level was left out.
    """

    design: Design
    table: "pd.DataFrame"
    residual: Float[np.ndarray, " n"]
    labels: np.ndarray
    series: str
    timed: bool
    unseen: tuple[str, ...]
    nsim: int


def messages(seen: Seen) -> Iterator[str]:
    """Sentences on what is to be looked at, or that there is nothing; then the rest."""
    look = seen.table[seen.table["verdict"] == "look"]
    for check, part in look.groupby(level="check", sort=False):
        yield from WORDS[str(check)](seen, part)
    if not len(look):
        yield _nothing(seen)
    yield from _not_judged(seen)


def _nothing(seen: Seen) -> str:
    """What was looked at and found as it should be."""
    tested = int(seen.table["p"].notna().sum())
    checks = list(dict.fromkeys(seen.table.index))
    return (
        f"Nothing speaks against the model ({listed(checks)}): "
        f"{counted(tested, 'test')} beside {seen.nsim} responses that it makes, the "
        f"smallest p {p_value(seen.table['p'].min())}. With few rows or levels that is "
        f"weak evidence; plot_check() shows the shapes."
    )


def _not_judged(seen: Seen) -> Iterator[str]:
    """Groups with too few levels, and effects of which nothing is known."""
    terms = seen.design.groups
    few = {t.group: t.n_levels for t in terms if t.n_levels < FEWEST_LEVELS}
    for group, n in few.items():
        yield (
            f"The {counted(n, 'level')} of {group} say nothing on the shape of their "
            f"distribution, which the model takes to be normal: at least "
            f"{FEWEST_LEVELS} are needed for a test, and many more for a good one."
        )
    judged = set(seen.table.loc[seen.table.index == "normality", "of"])
    names = {f"{t.group}: {e}" for t in terms if t.group not in few for e in t.effects}
    lost = sorted(names - judged)
    if lost:
        yield (
            f"The effects {listed(lost[:NAMED])} are not judged: their SD is estimated "
            f"as 0, so that all levels have the same."
        )
    yield from seen.unseen


# --- by kind --------------------------------------------------------------------------


def _normality(seen: Seen, part: "pd.DataFrame") -> Iterator[str]:
    """Residuals, then random effects."""
    for of, p in zip(part["of"], part["p"], strict=True):
        if of == "residuals":
            yield (
                f"The residuals are not normal (p {_p(p)}): {_shape(seen.residual)}. "
                f"Estimates of the fixed effects are little affected; intervals of "
                f"predictions, SDs and outlying rows are. A transformation of "
                f"{seen.design.response}, another family, or a predictor that is "
                f"missing may be the reason."
            )
            continue
        group = of.rpartition(": ")[0]
        n = next(t.n_levels for t in seen.design.groups if t.group == group)
        careful = (
            f" With {n} levels one or two may do this: look at them."
            if n < FEW_LEVELS
            else ""
        )
        yield (
            f"The effects {of} look less normal than those of the model would "
            f"(p {_p(p)}): two kinds of levels, a few that lie apart, or a predictor "
            f"of levels that is missing.{careful}"
        )


def _outliers(seen: Seen, part: "pd.DataFrame") -> Iterator[str]:
    """Rows further off than the largest of a model that holds."""
    size = np.abs(np.nan_to_num(seen.residual))
    limit = max(float(part["expected"].iloc[0]) + 1.0, 3.5)
    order = np.argsort(-size, kind="stable")
    far = [i for i in order.tolist() if size[i] > limit] or order[:1].tolist()
    rows = [f"{seen.labels[i]} ({seen.residual[i]:+.1f} SDs)" for i in far[:NAMED]]
    more = f" and {len(far) - NAMED:,} more" if len(far) > NAMED else ""
    which = "Row" if len(far) == 1 else "Rows"
    yield (
        f"{which} {listed(rows)}{more} {'lies' if len(far) == 1 else 'lie'} further "
        f"off than the model explains (the largest of as many would be about "
        f"{part['expected'].iloc[0]:.1f} SDs; p {_p(part['p'].iloc[0])}). Look whether "
        f"they are right; influence('rows') says what they do to the estimates."
    )


def _scale(seen: Seen, part: "pd.DataFrame") -> Iterator[str]:
    """By fitted values, or by levels."""
    response = seen.design.response
    for of, value, p in zip(part["of"], part["value"], part["p"], strict=True):
        if of == "fitted values":
            way = "grow" if value > 0 else "shrink"
            seen_here = f"correlation of their size {value:+.2f}, p {_p(p)}"
            if abs(value) < WEAK:
                yield (
                    f"The residuals {way} a little with the fitted values "
                    f"({seen_here}): a weak tendency that only so many rows show."
                )
                continue
            yield (
                f"The residuals {way} with the fitted values ({seen_here}), so one "
                f"sigma is too large for some rows and too small for others: SEs and "
                f"predictions suffer. A logarithm or root of {response}, or weights, "
                f"may mend it."
            )
            continue
        yield (
            f"The size of the residuals differs between levels of {of} (p {_p(p)}): "
            f"one sigma does not fit all of them. SEs of what varies within {of} and "
            f"predictions of its levels suffer; an effect that varies and is missing "
            f"does this too. See the panel of residuals by level."
        )


def _autocorrelation(seen: Seen, part: "pd.DataFrame") -> Iterator[str]:
    """Neighbouring rows of a level."""
    row = part.iloc[0]
    above = row["value"] > row["expected"]
    if_time = "" if seen.timed else "If that is their order in time, "
    what = f"SEs of what changes with time are too {'small' if above else 'large'}"
    yield (
        f"Neighbouring residuals within {seen.series}, "
        f"{'in order of time' if seen.timed else 'in the order of the rows'}, are "
        f"{'alike' if above else 'opposed'} (correlation {row['value']:.2f}, "
        f"{row['expected']:.2f} if the model holds; p {_p(row['p'])}). "
        f"{if_time}{what}: let its effect vary or bend, or model the correlation of "
        f"the residuals."
    )


def _collinearity(_: Seen, part: "pd.DataFrame") -> Iterator[str]:
    """Variables that the others nearly determine."""
    names = [
        f"{of} (VIF {significant(value, 3)})"
        for of, value in zip(part["of"][:NAMED], part["value"][:NAMED], strict=True)
    ]
    more = f" and {len(part) - NAMED} more" if len(part) > NAMED else ""
    yield (
        f"The other predictors nearly determine {listed(names)}{more}: "
        f"{'its' if len(part) == 1 else 'their'} standard errors are at least three "
        f"times what they would be alone. No assumption is broken and predictions do "
        f"not suffer; do not read these effects one by one. Products and powers of "
        f"predictors do this too: there, take the mean off first."
    )


def _influence(_: Seen, part: "pd.DataFrame") -> Iterator[str]:
    """Rows or levels that estimates rest on."""
    for of, value, statistic in zip(
        part["of"], part["value"], part["statistic"], strict=True
    ):
        what, _, case = statistic.removeprefix("DFBETAS of ").rpartition(", ")
        case = case[0].upper() + case[1:]
        yield (
            f"{case} moves the estimate of {what} by {abs(value):.1f} of its standard "
            f"errors. Look at its rows, and report the fit "
            f"without it beside this one; influence({of!r}) has all of them."
        )


WORDS: dict[str, Callable[[Seen, "pd.DataFrame"], Iterator[str]]] = {
    "normality": _normality,
    "outliers": _outliers,
    "scale": _scale,
    "autocorrelation": _autocorrelation,
    "collinearity": _collinearity,
    "influence": _influence,
}


def _p(value: float) -> str:
    """``= 0.017``, ``< 0.001``."""
    text = p_value(value)
    return text.replace("<", "< ") if text.startswith("<") else f"= {text}"


def _shape(residual: Float[np.ndarray, " n"]) -> str:
    """How residuals differ from a normal distribution."""
    own = residual[np.isfinite(residual)]
    z = (own - own.mean()) / own.std()
    skew, excess = float((z**3).mean()), float((z**4).mean() - 3.0)
    if abs(skew) > SKEWED and abs(skew) > 0.5 * abs(excess):
        return f"skewed to the {'right' if skew > 0 else 'left'} (skewness {skew:.1f})"
    if abs(excess) > HEAVY:
        return (
            f"{'more' if excess > 0 else 'fewer'} rows are far off than normal ones "
            f"would be (kurtosis {excess + 3:.1f}, normal 3)"
        )
    return "not skewed, tails about normal: steps or lumps of values may do this"
