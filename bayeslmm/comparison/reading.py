"""The comparison in plain words, each sentence computed from the tables.

A sentence is said only where its numbers hold; the thresholds are at the top. Numbers
have three significant digits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayeslmm.comparison.centred import centred_sentences
from bayeslmm.comparison.outlying import outlying_sentences
from bayeslmm.comparison.pull import prior_pull
from bayeslmm.comparison.table import compare, rounded, row_scale
from bayeslmm.posterior.diagnose import MAX_RHAT, MIN_ESS_PER_CHAIN
from bayeslmm.reml.singular import brief_sentences
from bayeslmm.tables import Sentences, numbers
from bayeslmm.tables.numbers import listed, number

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

# Rules of thumb. A quarter of an SE changes no conclusion that the SE itself allows; a
# tenth is below what a Newton step can tell; 15% is a visible difference in width.
SMALL_DIFFERENCE = 0.25
SMALL_PULL = 0.1
WIDER = 1.15
SKEWED = 0.2  # (mean - median) / SD; 0.15 for a gamma of shape 5, 0.31 for exponential
FEW_LEVELS = 6  # Gelman and Hill (2007), section 12.9: below five, little to learn
MODE_DRAWS = 4000  # a mode is known no better from more, and the kernel sum grows


@dataclass(frozen=True, slots=True)
class _Facts:
    """All that the sentences are computed from."""

    table: pd.DataFrame
    pull: pd.Series
    reml: "RemlFit"
    post: "Posterior"

    def of(self, *components: str) -> pd.DataFrame:
        """Rows of some components."""
        return self.table[self.table["component"].isin(components)]

    @property
    def method(self) -> str:
        """REML or ML."""
        return self.table.attrs["method"]

    @property
    def interval(self) -> str:
        """Name of the posterior interval, ``95% ETI``."""
        return self.table.attrs["interval"]


def reading(
    reml: "RemlFit", post: "Posterior", *, table: pd.DataFrame | None = None
) -> tuple[str, ...]:
    """What the comparison of two fits says, in plain words.

    Use it beside the table of `compare`; every sentence is computed from it.

    Parameters
    ----------
    reml : RemlFit
        Fit by REML or ML.
    post : Posterior
        Posterior of the same model.
    table : DataFrame, optional
        What `compare` gives of both, if it is known already.

    Returns
    -------
    tuple of str
        Sentences: whether the draws can be trusted, where the fits agree, what the
        prior did, what skew did, singular or not and what the posterior says about it,
        what few levels mean, and a level that alone makes much of an SD.

    Raises
    ------
    ModelError
        If the fits are not of the same formula and rows.

    References
    ----------
    .. [1] Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021). Bayesian Anal.
       16(2). https://doi.org/10.1214/20-BA1221

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> reml, post = model.fit_reml(), model.sample(draws=200, seed=1, progress=False)
    >>> lmm.reading(reml, post)[0].startswith("The fixed effects agree")
    True
    """
    table = compare(reml, post) if table is None else table
    facts = _Facts(table, prior_pull(reml, post.model.priors), reml, post)
    steps: tuple[Callable[[_Facts], list[str]], ...] = (
        _trust,
        _fixed_effects,
        _priors,
        _centred,
        _skew,
        _boundary,
        _few_levels,
        _outlying,
    )
    return Sentences(sentence for step in steps for sentence in step(facts))


def _trust(facts: _Facts) -> list[str]:
    """Warnings that come before any reading of the numbers."""
    found = []
    if not facts.reml.status.converged:
        found.append(
            f"{facts.method} did not converge, so its column is not an estimate: "
            f"{facts.reml.status.message}"
        )
    if facts.post.status.partial:
        found.append(
            "The posterior is partial: sampling was stopped before all draws were "
            "made, and its numbers are coarser than asked for."
        )
    rhat, ess = facts.table["rhat"].max(), facts.table["ess_bulk"].min()
    if rhat > MAX_RHAT or ess < MIN_ESS_PER_CHAIN * facts.post.status.chains:
        found.append(
            f"The draws are not good enough to read small differences (largest R-hat "
            f"{rhat:.3f}, smallest effective sample {ess:.0f}); draw more, or see "
            "diagnose()."
        )
    return found


def _fixed_effects(facts: _Facts) -> list[str]:
    """Where the fixed effects agree, and which are less certain than REML says."""
    fixed = facts.of("fixef")
    if fixed.empty:
        return []
    difference = fixed["difference_in_se"]
    found = []
    far = difference[difference.abs() > SMALL_DIFFERENCE]
    if far.empty:
        label, largest = difference.abs().idxmax(), difference.abs().max()
        found.append(
            f"The fixed effects agree: the largest difference is {number(largest, 2)} "
            f"SE ({label})."
        )
    for label, value in far.items():
        side = "above" if value > 0 else "below"
        found.append(
            f"{label}: the posterior median lies {number(abs(value), 2)} SE {side} "
            f"{facts.method}."
        )
    return found + _wider(facts, fixed)


def _wider(facts: _Facts, fixed: pd.DataFrame) -> list[str]:
    """Fixed effects whose posterior is wider than the SE."""
    ratio = fixed["sd"] / fixed["reml_se"]
    wide = ratio[ratio > WIDER].sort_values(ascending=False)
    if wide.empty:
        return []
    named = listed([f"{label} ({value:.2g} times)" for label, value in wide.items()])
    return [
        f"The posterior SD exceeds the {facts.method} SE for {named}: that SE takes "
        "the variance parameters as known, the posterior averages over them."
    ]


def _priors(facts: _Facts) -> list[str]:
    """What the prior did: the shift that it asks of the REML estimates."""
    pull = facts.pull[np.isfinite(facts.pull)]
    if pull.empty:
        return []
    strong = pull[pull.abs() > SMALL_PULL]
    strong = strong.reindex(strong.abs().sort_values(ascending=False).index)
    name = facts.post.model.priors.name
    if (pull == 0.0).all():
        return [f"The priors ({name}) are flat there: they move no estimate."]
    if strong.empty:
        return [
            f"The priors ({name}) did little: at the {facts.method} estimate none "
            f"pulls by more than {max(pull.abs().max(), 0.01):.1g} SE."
        ]
    parts = [
        f"{label} {'up' if value > 0 else 'down'} by about {abs(value):.2g} SE"
        for label, value in strong.head(4).items()
    ]
    more = f", and {len(strong) - 4} others" if len(strong) > 4 else ""
    return [
        f"The priors ({name}) matter: at the {facts.method} estimate they pull "
        f"{listed(parts)}{more}."
    ]


def _centred(facts: _Facts) -> list[str]:
    """What the SD of an intercept is in the middle of the data."""
    return centred_sentences(facts.reml, facts.post, facts.interval)


def _skew(facts: _Facts) -> list[str]:
    """Where mode, median and mean of an SD lie apart."""
    found = []
    without = [x for x in facts.post.status.missing.mean if x in facts.table.index]
    if without:
        found.append(
            f"The posterior of {listed(without)} has no mean, because levels are few "
            "and the prior of an SD is flat or nearly so: quote the median."
        )
    for label, row in facts.of("sd", "sigma").iterrows():
        if not (row["mean"] - row["median"]) / row["sd"] > SKEWED:
            continue
        mode = posterior_mode(facts.post.draws(str(label)).ravel())
        middle, mean, point = rounded(row, "median", "mean", "reml")
        own = numbers.row([mode], row_scale(row))[0]
        sentence = (
            f"{label} is skewed to the right: mode {own}, median {middle}, mean {mean}."
        )
        if row["reml"] < row["median"]:
            sentence += (
                f" {facts.method} ({point}) is a mode, so it lies below both "
                "the median and the mean."
            )
        found.append(sentence)
    return found


def posterior_mode(draws: Float[np.ndarray, " s"]) -> float:
    """Mode of draws of a positive parameter: kernel density, reflected at zero.

    The spread is Silverman's, with the interquartile range, which long tails leave
    alone; the bandwidth falls as n^(-1/7), the rate for a mode, more slowly than for a
    density.

    References
    ----------
    .. [1] Silverman (1986). Density Estimation, section 3.4.2.
       https://doi.org/10.1201/9781315140919
    .. [2] Parzen (1962). Ann. Math. Stat. 33(3).
       https://doi.org/10.1214/aoms/1177704472
    """
    low, high = np.quantile(draws, [0.25, 0.75])
    spread = min(float(draws.std()), float(high - low) / 1.349)
    if spread == 0.0:
        return float(np.median(draws))
    some = draws[:: max(1, len(draws) // MODE_DRAWS)]
    width = 0.9 * spread * len(some) ** (-1.0 / 7.0)
    grid = np.linspace(0.0, np.quantile(draws, 0.95), 256)
    near = np.exp(-0.5 * ((grid[:, None] - some) / width) ** 2)
    mirrored = np.exp(-0.5 * ((grid[:, None] + some) / width) ** 2)
    return float(grid[np.argmax((near + mirrored).sum(axis=1))])


def _boundary(facts: _Facts) -> list[str]:
    """Singular or not, and what the posterior says about the parameters there."""
    status = facts.reml.status
    if not status.singular:
        return [
            f"{facts.method} is not singular: no variance or correlation is at its "
            "limit."
        ]
    found = [_boundary_sentence(facts, label) for label in status.boundary]
    found = found or [f"{facts.method} is singular: {status.message}"]
    return [*found, *brief_sentences(facts.reml)]


def _boundary_sentence(facts: _Facts, label: str) -> str:
    """What REML and the posterior say of one parameter on the boundary."""
    row, method = facts.table.loc[label].to_dict(), facts.method
    middle, lower, upper = rounded(row, "median", "lower", "upper")
    point = f"{row['reml']:.3g}"  # 0 and 1 are exact
    said = f"the posterior has median {middle} and {facts.interval} {lower} to {upper}"
    if not np.isfinite(row["reml"]):
        return (
            f"{label} does not exist for {method}, because one of its SDs is 0; {said}."
        )
    if row["component"] == "corr" and abs(row["reml"]) < 1.0:
        return (
            f"{method} is singular: {label} ({point}) belongs to a "
            f"covariance without full rank; {said}."
        )
    return (
        f"{method} is singular: it puts {label} at {point}, the edge of what "
        f"is possible, which is no precise finding; {said}."
    )


def _few_levels(facts: _Facts) -> list[str]:
    """Grouping factors with too few levels to say much of their SDs."""
    found, sd = [], facts.of("sd")
    groups = {t.group: t.n_levels for t in facts.reml.model.design.groups}
    for group, n_levels in groups.items():
        rows = sd[sd.index.str.contains(f"|{group}_sigma", regex=False)]
        if n_levels >= FEW_LEVELS or rows.empty:
            continue
        label = rows.index[0]
        lower, upper = rounded(rows.iloc[0], "lower", "upper")
        found.append(
            f"{group} has only {n_levels} levels, which say little of a variance: the "
            f"{facts.interval} of {label} reaches from {lower} to {upper}, and its "
            "upper end leans on the prior. Compare another prior set before you quote "
            "it."
        )
    return found


def _outlying(facts: _Facts) -> list[str]:
    """Levels that alone make much of an SD."""
    return outlying_sentences(facts.reml)
