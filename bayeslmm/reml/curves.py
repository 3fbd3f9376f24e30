"""Profile-likelihood curves as one result: a table, intervals and a figure.

Takes the curves of every parameter; gives `Profile`, as lme4's ``profile``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.errors import ModelError, check_fraction, check_names, nearest_names
from bayeslmm.tables import Table
from bayeslmm.tables.notebook import fragment
from bayeslmm.tables.shown import drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# A rise of zeta that is rounding of the criterion.
FLAT = 1e-6


def rising(
    values: Sequence[float], zeta: Sequence[float]
) -> tuple[Float[np.ndarray, " s"], Float[np.ndarray, " s"]]:
    """The points of a curve without those of a flat run but its first.

    Below an SD that is 0 at its best there is nothing but rounding.
    """
    kept = [0]
    for i in range(1, len(zeta)):
        if zeta[i] > zeta[kept[-1]] + FLAT:
            kept.append(i)
    return np.array(values)[kept], np.array(zeta)[kept] + 0.0


@dataclass(frozen=True, slots=True, repr=False)
class Profile:
    """Profile-likelihood curves of the parameters of a fit.

    Attributes
    ----------
    table : DataFrame
        Index ``label``, long; columns ``value`` (rising for each label) and ``zeta``,
        the signed root of the fall of twice the log likelihood, 0 at the estimate; a
        straight line where a Wald interval is right.
    criterion : {"REML", "ML"}
        Of SDs, correlations and sigma; fixed effects have ML's.
    edges : mapping of str to (float, float)
        Ends of what each parameter can be, infinite where there is none.
    design : Design
        What the parameters are of.
    """

    table: pd.DataFrame
    criterion: Literal["REML", "ML"]
    edges: Mapping[str, tuple[float, float]]
    design: Design

    @property
    def labels(self) -> tuple[str, ...]:
        """The parameters that have a curve."""
        return tuple(str(label) for label in self.table.index.unique())

    def chosen(self, labels: Sequence[str] | None) -> tuple[str, ...]:
        """Some of them, or all.

        Raises
        ------
        ModelError
            If one has no curve.
        """
        if labels is None:
            return self.labels
        found = check_names(labels, "labels")
        for label in found:
            if label not in self.labels:
                raise ModelError(
                    f"There is no curve of {label!r} in this profile."
                    f"{nearest_names(label, self.labels)}"
                )
        return found

    def interval(self, prob: float = 0.95) -> pd.DataFrame:
        """Limits read off the curves, as lme4's ``confint`` of a profile.

        Use it for several probabilities at once. `RemlFit.interval` searches each
        limit; these are of a monotone curve through the points of the table, a few
        hundredths of the interval off where it bends most.

        Parameters
        ----------
        prob : float, default 0.95
            Coverage.

        Returns
        -------
        DataFrame
            Index ``label``; columns ``lower``, ``upper``: the end of the parameter
            space where the curve ends there, NaN where it ends before.
        """
        check_fraction(prob, "prob")
        z = NormalDist().inv_cdf(0.5 + prob / 2)
        ends = [
            [self._at(label, side * z) for side in (-1, 1)] for label in self.labels
        ]
        lower, upper = np.array(ends).T
        index = pd.Index(self.labels, name="label")
        table = Table({"lower": lower, "upper": upper}, index=index)
        if table.isna().to_numpy().any():
            table.attrs["notes"] = (
                f"-: the curve ends before {prob:g}. RemlFit.interval({prob:g}, "
                f"method='profile') searches so far.",
            )
        return table

    def curve(
        self, label: str
    ) -> tuple[Float[np.ndarray, " s"], Float[np.ndarray, " s"]]:
        """Values and zeta of a parameter."""
        own = self.table.loc[[label]]
        return own["value"].to_numpy(float), own["zeta"].to_numpy(float)

    def smooth(
        self, label: str, zeta: Float[np.ndarray, " z"]
    ) -> Float[np.ndarray, " z"]:
        """Values at some zeta, by monotone cubics between the points."""
        from scipy.interpolate import PchipInterpolator

        values, at = self.curve(label)
        return PchipInterpolator(at, values, extrapolate=False)(zeta)

    def _at(self, label: str, zeta: float) -> float:
        """Where the curve has a zeta; its end if that is one of the parameter space."""
        values, at = self.curve(label)
        if at[0] <= zeta <= at[-1]:
            return float(self.smooth(label, np.array([zeta]))[0])
        last = float(values[0 if zeta < 0.0 else -1])
        return last if last in self.edges[label] else math.nan

    def plot(
        self, labels: Sequence[str] | None = None, *, absolute: bool = False
    ) -> "Figure":
        """Figure of the curves; see `bayeslmm.plot_profile`."""
        return drawn(self, labels=labels, absolute=absolute)

    def __repr__(self) -> str:
        """The table, and whose profile it is."""
        return f"Profile of the {self.criterion} criterion\n{self.table!r}"

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        head = f"Profile of the {self.criterion} criterion"
        return fragment(head, tables=[self.table])
