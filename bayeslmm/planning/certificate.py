"""What a calibration found: ranks of true values, coverage, and a verdict.

Takes the tables of a calibration; gives them as one result, `Calibration`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayeslmm.planning.uniform import departure, ecdf_table, joint_band
from bayeslmm.tables import Table
from bayeslmm.tables.notebook import fragment
from bayeslmm.tables.shown import drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Probability with which a sound posterior passes, all quantities taken together.
PROB = 0.95
# Intervals whose coverage is counted, and their probabilities.
KINDS, PROBS = ("eti", "hdi", "wald", "profile"), (0.5, 0.8, 0.95)
# What depends on the data beside the parameters: without it a posterior that is the
# prior would pass (Modrak et al. 2023, doi:10.1214/23-BA1404).
LIKELIHOODS = ("log likelihood", "log marginal likelihood")


@dataclass(frozen=True, slots=True, repr=False)
class Calibration:
    """Ranks of true values among draws of their posterior, over many data sets.

    Attributes
    ----------
    formula : str
        Of the model.
    ranks : DataFrame
        A row for each data set, a column for each parameter, for ``log likelihood``
        (given all effects) and ``log marginal likelihood`` (effects integrated out):
        share of the draws below the true value, between 0 and 1, unit-free.
    table : DataFrame
        Index ``label``; columns ``inside`` (whether the ECDF of the ranks stays in the
        band of uniform ones), ``farthest`` (its largest departure), ``mean_rank`` (1/2
        if uniform) and ``spread`` (SD of the ranks relative to uniform ones: above 1
        where the posterior is too narrow).
    coverage : DataFrame
        Long by parameter: ``interval`` (eti, hdi: credible; wald, profile: of REML),
        ``prob``, ``coverage``, ``mcse`` (its Monte Carlo error), ``n`` (data sets in
        which it exists) and ``width`` (median, units of the parameter; NaN for profile
        intervals, of which only the coverage is computed).
    asked : int
        Data sets asked for.
    failures : tuple of str
        Why data sets had no fit; they are not among the ranks.
    methods : dict of str to int
        How many posteriors were drawn by each method.
    warned : int
        Posteriors whose own diagnosis found fault with them.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, 4, seed=1).data
    >>> model = lmm.Model("score ~ 1 + (1 | classroom)", pupils)
    >>> found = model.calibrate(n=10, seed=1, draws=20, progress=False)
    >>> found.ok
    True
    >>> found.coverage.loc["sigma", "interval"].unique().tolist()
    ['eti', 'hdi', 'wald', 'profile']
    """

    formula: str
    ranks: pd.DataFrame
    table: pd.DataFrame
    coverage: pd.DataFrame
    asked: int
    failures: tuple[str, ...]
    methods: dict[str, int]
    warned: int

    @property
    def ok(self) -> bool:
        """Whether the ranks of all quantities stay in their band."""
        return bool(self.table["inside"].all())

    @property
    def verdict(self) -> str:
        """What the ranks say, and how fine the net was."""
        n, m = len(self.ranks), len(self.table)
        reach = joint_band(n, m, PROB).reach
        if self.ok:
            return (
                f"Calibrated, as far as {n} data sets can tell: the ranks of all {m} "
                f"quantities stay in the {PROB:.0%} band of uniform ones. An ECDF that "
                f"is off by less than {reach:.2f} would not be noticed."
            )
        found = "; ".join(
            f"{label}: {departure(row['mean_rank'], row['spread'], n)}"
            for label, row in self.table.loc[~self.table["inside"]].iterrows()
        )
        return (
            f"Not calibrated: over {n} data sets {found}. Of 100 sound posteriors "
            f"{100.0 * (1.0 - PROB):.0f} would be called so."
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """How the posteriors were drawn, and what is not among the ranks."""
        by = ", ".join(f"{count} by {name}" for name, count in self.methods.items())
        found = [f"Posteriors: {by}."]
        if self.warned:
            found.append(f"The diagnosis of {self.warned} had a warning.")
        if self.failures:
            reason, count = Counter(self.failures).most_common(1)[0]
            found.append(
                f"{len(self.failures)} data sets had no fit and are left out, {count} "
                f"of them because: {reason}"
            )
        left = self.asked - len(self.ranks) - len(self.failures)
        if left:
            found.append(f"Interrupted: {left} of {self.asked} were not done.")
        return tuple(found)

    def ecdf(self) -> pd.DataFrame:
        """What `bayeslmm.plot_calibration` draws.

        Returns
        -------
        DataFrame
            Index ``label``, long; columns ``rank``, ``difference`` (share of ranks up
            to there, less that of uniform ones), ``lower`` and ``upper`` (the band),
            unit-free.
        """
        return ecdf_table(self._columns(), PROB)

    def plot(self, labels: Sequence[str] | None = None) -> "Figure":
        """Figure of the ranks; see `bayeslmm.plot_calibration`."""
        return drawn(self, labels=labels)

    def _columns(self) -> dict[str, Float[np.ndarray, " n"]]:
        """Ranks by label."""
        return {str(c): self.ranks[c].to_numpy(float) for c in self.ranks.columns}

    def _wide(self) -> pd.DataFrame:
        """Ranks, and the coverage of intervals of 95%, side by side."""
        wide = Table(self.table)
        for kind in KINDS:
            rows = self.coverage["interval"].eq(kind)
            own = self.coverage[rows & self.coverage["prob"].eq(PROBS[-1])]
            wide[f"{kind} {PROBS[-1]:.0%}"] = own["coverage"].reindex(wide.index)
        return wide

    def __repr__(self) -> str:
        """The verdict, and the table with the coverage of intervals of 95%."""
        words = "\n".join((self.verdict, *self.notes))
        return f"Calibration of {self.formula}\n{words}\n{self._wide()!r}"

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        head = f"Calibration of {self.formula}"
        return fragment(head, (self.verdict, *self.notes), [self._wide()])
