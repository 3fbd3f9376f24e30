"""Simulated classrooms, which need a seed only and come with their true values."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import DataError, check_seed, is_count

if TYPE_CHECKING:
    import pandas as pd

MOST_PUPILS = 100_000_000

# Chosen so that 12 classes of 20 show every parameter: the slope of a class has a
# standard error of about sigma / (sd(edu) sqrt(20)) = 0.07, half of the true SD between
# classes.
_BETA = (10.0, 0.3)
_SD = (2.0, 0.15)
_CORR = -0.4
_SIGMA = 1.0


@dataclass(frozen=True, slots=True)
class SimulatedClassrooms:
    """Pupils in classrooms, with the values that made them.

    Attributes
    ----------
    data : DataFrame
        ``classroom`` (c00, c01, ...), ``edu`` (parental education, whole years, 0 to
        10), ``score`` (points).
    truth : dict of str to float
        True value of each parameter of ``score ~ edu + (edu | classroom)`` by label.
    effects : DataFrame
        True deviation of each classroom (index) from the fixed effects: ``Intercept``
        in points, ``edu`` in points per year.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> made = lmm.simulate_classrooms(6, seed=1)
    >>> made.data.shape, made.truth["edu"], made.effects.shape
    ((120, 3), 0.3, (6, 2))
    """

    data: "pd.DataFrame"
    truth: dict[str, float]
    effects: "pd.DataFrame"

    def _repr_html_(self) -> str:
        """The first rows and the true values, for a notebook."""
        head = f"{len(self.data):,} pupils in {len(self.effects):,} classrooms"
        true = "".join(
            f"<tr><td>{name}</td><td>{value:g}</td></tr>"
            for name, value in self.truth.items()
        )
        return (
            f"<p><strong>{head}</strong></p>\n{self.data.head().to_html()}\n"
            f"<table><caption>true values</caption><tbody>{true}</tbody></table>"
        )


def simulate_classrooms(
    n_classrooms: int = 12, n_pupils: int = 20, *, seed: int | np.random.Generator
) -> SimulatedClassrooms:
    """Scores of pupils whose intercepts and slopes vary between classrooms.

    Use it to see a fit recover known values: ``score ~ edu + (edu | classroom)``.

    Parameters
    ----------
    n_classrooms, n_pupils : int
        Number of classrooms, and of pupils in each.
    seed : int or numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    SimulatedClassrooms
        ``data``, ``truth``, ``effects``.

    Raises
    ------
    DataError
        If a number is no whole number from 1 on, or they are too many.

    Examples
    --------
    >>> simulate_classrooms(3, 2, seed=1).data["classroom"].tolist()
    ['c00', 'c00', 'c01', 'c01', 'c02', 'c02']
    """
    import pandas as pd

    counts = [n for n in (n_classrooms, n_pupils) if is_count(n) and n >= 1]
    if len(counts) < 2 or counts[0] * counts[1] > MOST_PUPILS:
        raise DataError(
            f"{n_classrooms!r} classrooms of {n_pupils!r} pupils cannot be simulated: "
            f"both must be whole numbers from 1 on, and at most {MOST_PUPILS:,} pupils."
        )
    check_seed(seed)
    rng = np.random.default_rng(seed)
    width = max(2, len(str(n_classrooms - 1)))
    names = [f"c{j:0{width}d}" for j in range(n_classrooms)]
    factor = np.array(
        [[_SD[0], 0.0], [_SD[1] * _CORR, _SD[1] * np.sqrt(1.0 - _CORR**2)]]
    )
    effects = rng.standard_normal((n_classrooms, 2)) @ factor.T
    codes = np.repeat(np.arange(n_classrooms), n_pupils)
    edu = rng.integers(0, 11, size=len(codes))
    intercept, slope = (np.array(_BETA) + effects[codes]).T
    score = intercept + slope * edu + _SIGMA * rng.standard_normal(len(codes))
    classroom = pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(names))
    return SimulatedClassrooms(
        pd.DataFrame({"classroom": classroom, "edu": edu, "score": score}),
        _classroom_truth(),
        pd.DataFrame(effects, index=names, columns=["Intercept", "edu"]),
    )


def _classroom_truth() -> dict[str, float]:
    """True parameter values by label."""
    return {
        "Intercept": _BETA[0],
        "edu": _BETA[1],
        "1|classroom_sigma": _SD[0],
        "edu|classroom_sigma": _SD[1],
        "classroom_corr[Intercept:edu]": _CORR,
        "sigma": _SIGMA,
    }
