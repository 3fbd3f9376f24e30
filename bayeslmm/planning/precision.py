"""Precision of a study to come: how wide its intervals will be as it grows.

Takes a model (or a formula with the rows of a study) and its parameters; gives the
width to expect of the interval of every parameter, from the expected information where
that can be trusted, else from simulated studies.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from bayeslmm.errors import (
    FitWarning,
    ModelError,
    check_count,
    check_fraction,
    check_progress,
    check_seed,
    is_choice,
    is_number,
    nearest_names,
)
from bayeslmm.planning.studies import make_studies, pilot_of
from bayeslmm.planning.truth import known_values
from bayeslmm.planning.widths import How, expected_widths
from bayeslmm.reml.chunks import check_jobs
from bayeslmm.reml.fit import RemlFit
from bayeslmm.spec import ModelSpec
from bayeslmm.tables import Table
from bayeslmm.tables.notebook import fragment
from bayeslmm.tables.shown import drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Levels beyond which no study is looked for.
MOST_LEVELS = 20_000


@dataclass(frozen=True, slots=True, repr=False)
class Precision:
    """Widths of intervals to expect of a study, for one size or for several.

    Attributes
    ----------
    prob : float
        Probability of the intervals.
    table : DataFrame
        A row for each size and parameter: ``groups`` and ``rows`` as asked for, ``n``
        rows in all, ``label``, ``component``, ``value`` (the true one), ``lower``,
        ``upper``, ``width`` of the interval to expect, units of the parameter, ``se``
        (of a fixed effect; of log SDs, of atanh correlations), ``how`` (information or
        simulation), ``without`` (share of simulated studies that have no interval, as
        the estimate is at its boundary).

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(12, seed=1).data
    >>> fit = lmm.Model("score ~ edu + (1 | classroom)", pupils).fit_reml()
    >>> found = lmm.precision(fit, pupils, groups={"classroom": [12, 48]})
    >>> sd = found.table.query("label == '1|classroom_sigma'")["width"]
    >>> bool(0.3 < sd.iloc[1] / sd.iloc[0] < 0.6)
    True
    >>> found.needed("1|classroom_sigma", ratio=0.5) in range(36, 60)
    True
    """

    prob: float
    table: pd.DataFrame
    _asked: dict[str, Any]

    def needed(
        self,
        label: str,
        *,
        width: float | None = None,
        ratio: float | None = None,
        group: str | None = None,
    ) -> int:
        """How many levels the study needs until an interval is narrow enough.

        Parameters
        ----------
        label : str
            Parameter, as in the table.
        width : float, optional
            Largest width, units of the parameter.
        ratio : float, optional
            The same as a share of the width in the first row of the table.
        group : str, optional
            Column that has more levels; by default that of the bar term of the
            parameter, or the only one.

        Returns
        -------
        int
            Smallest number of levels that does, all other sizes as in the first row.

        Raises
        ------
        ModelError
            If there is no such parameter, it has no interval at the true values (an SD
            of 0), not one of `width` and `ratio` is given, or 20,000 levels do not
            suffice: more groups narrow no interval of what varies within them alone
            beyond what the rows tell.
        """
        own = self.table[self.table["label"] == label]
        if own.empty:
            known = list(dict.fromkeys(self.table["label"]))
            raise ModelError(
                f"There is no parameter {label!r}.{nearest_names(str(label), known)}"
            )
        now = float(own["width"].iloc[0])
        target = _target(width, ratio, now)
        if np.isnan(now):
            raise ModelError(
                f"{label!r} has no interval where it is {own['value'].iloc[0]:.3g}: no "
                f"number of levels narrows it. Give parameters={{{label!r}: ...}} with "
                f"the smallest value that matters."
            )
        column, first = self._column(label, group), self._first()

        def at(levels: int) -> float:
            """Width with so many levels."""
            asked = self._asked | first | {"groups": first["groups"] | {column: levels}}
            found = precision(**asked).table
            return float(found.loc[found["label"] == label, "width"].iloc[0])

        model = next(_studies(self._asked))[1]
        sizes = {term.group: term.n_levels for term in model.design.groups}
        return _fewest(at, target, sizes.get(column, 2), label, column)

    def _first(self) -> dict[str, Any]:
        """Sizes of the first row of the table, which all but one column keep."""
        words = dict(next(_studies(self._asked))[0])
        return {"rows": words.pop("rows", None), "groups": words}

    def _column(self, label: str, group: str | None) -> str:
        """The column whose levels are counted."""
        if group is not None:
            return group
        model = next(_studies(self._asked))[1]
        parameter = next(p for p in model.space.parameters if p.label == label)
        groups = list(dict.fromkeys(term.group for term in model.design.groups))
        if parameter.group is not None:
            return parameter.group
        if len(groups) == 1:
            return groups[0]
        raise ModelError(
            f"{label!r} belongs to no grouping factor: say which column has more "
            f"levels, group={groups[0]!r}."
            if groups
            else f"{label!r}: the model has no groups to have more of."
        )

    def plot(self, **options: Any) -> "Figure":  # noqa: ANN401
        """Widths by size; options as of `bayeslmm.plot_precision`."""
        return drawn(self, **options)

    def reading(self) -> str:
        """The table in a sentence for each parameter of the first size."""
        first = self.table.drop_duplicates("label")
        return " ".join(
            f"{r['label']}: {r['value']:.3g}, interval to expect {r['lower']:.3g} to "
            f"{r['upper']:.3g}."
            for _, r in first.iterrows()
        )

    def __repr__(self) -> str:
        """What it is of, and the table."""
        return f"{self._head}\n{self.table!r}"

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        return fragment(self._head, tables=[self.table])

    @property
    def _head(self) -> str:
        """What it is of."""
        return f"Width to expect of {100 * self.prob:g}% intervals"


def precision(
    source: "ModelSpec | RemlFit | str",
    data: object = None,
    *,
    parameters: Mapping[str, float] | None = None,
    prob: float = 0.95,
    method: How = "auto",
    nsim: int = 200,
    weights: str | None = None,
    groups: Mapping[str, int | Sequence[int]] | None = None,
    rows: int | Sequence[int] | None = None,
    seed: int | np.random.Generator | None = 0,
    n_jobs: int = 1,
    progress: bool | Literal["auto"] = "auto",
) -> Precision:
    """How wide the intervals of a study will be: SDs, correlations, fixed effects.

    Use it before a study whose variance components matter; `power` is for tests.

    Parameters
    ----------
    source, data, parameters, weights, groups, rows
        As for `power`: what the study is of, its rows, true values by label, and the
        sizes to try.
    prob : float, default 0.95
        Probability of the intervals.
    method : {"auto", "information", "simulation"}
        The expected information, at once; or the median over simulated studies that are
        fitted by REML; "auto" simulates where the information cannot be trusted.
    nsim : int, default 200
        Simulated studies of each size.
    seed : int or numpy.random.Generator, default 0
        Of the simulated studies.
    n_jobs, progress
        As for `power`.

    Returns
    -------
    Precision
        ``.table``; ``.needed("1|g_sigma", ratio=0.5)`` says how many groups halve the
        width; ``.plot()``.

    Raises
    ------
    ModelError
        If a parameter is missing or impossible, or the information is asked for where
        there is none.

    Notes
    -----
    The expected restricted information is that of log SDs and atanh correlations, so
    that intervals are those of `RemlFit.interval`; fixed effects have t with
    Satterthwaite's degrees of freedom by the same information. It is right for many
    groups. With few groups, or an SD near 0, estimates are skew and many at their
    boundary: where the SE of a log SD (or atanh correlation) exceeds 0.35, "auto"
    simulates. So measured, with 3 to 40 groups of 10 rows and SDs of a quarter, half
    and one of the residual SD (120 studies each): up to 0.35 the widths are 0.98 to
    1.08 times the median of simulated ones, and at most 2% of the studies have no
    interval; from 0.35 to 0.7 they are 0.95 to 1.14 times that, and up to 17% have
    none; beyond 0.7 they are 1.26 to 1.95 times that (once 0.96, with 3 groups), and 24
    to 44% have none. Structured residuals are simulated always. After Ctrl-C the
    sizes done until then are given, with a warning.

    References
    ----------
    .. [1] Searle, Casella and McCulloch (1992). Variance Components.
       https://doi.org/10.1002/9780470316856

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayeslmm as lmm
    >>> g, i = np.divmod(np.arange(300), 10)
    >>> study = pd.DataFrame({"g": g, "x": i - 4.5})
    >>> truth = {"x": 0.2, "1|g_sigma": 0.5, "sigma": 1.0}
    >>> found = lmm.precision("y ~ x + (1 | g)", study, parameters=truth)
    >>> found.table["label"].tolist(), found.table["how"].unique().tolist()
    (['Intercept', 'x', '1|g_sigma', 'sigma'], ['information'])
    """
    check_fraction(prob, "prob")
    if not is_choice(method, get_args(How)):
        raise ModelError(f"Unknown method {method!r}. Methods: {get_args(How)}.")
    nsim = check_count(nsim, "nsim", 1)
    check_seed(seed)
    check_progress(progress)
    n_jobs = check_jobs(n_jobs)
    asked = {
        "source": source,
        "data": data,
        "parameters": parameters,
        "prob": prob,
        "method": method,
        "nsim": nsim,
        "weights": weights,
        "groups": groups,
        "rows": rows,
        "seed": seed,
        "n_jobs": n_jobs,
        "progress": progress,
    }
    lines: list[dict[str, Any]] = []
    try:
        for words, model in _studies(asked):
            values = known_values(model.design, parameters, pilot_of(source))
            found = expected_widths(model, values, asked)
            lines += [{**words, "n": model.design.n, **line} for line in found]
    except KeyboardInterrupt:
        if not lines:
            raise
        warnings.warn(
            "Interrupted: the table has the sizes that were done until then.",
            FitWarning,
            stacklevel=2,
        )
    return Precision(prob, Table(lines), asked)


def _studies(asked: Mapping[str, Any]) -> Iterator[tuple[dict[str, int], ModelSpec]]:
    """The studies, with their names."""
    names = ("source", "data", "weights", "groups", "rows")
    source, data, weights, groups, rows = (asked[name] for name in names)
    return make_studies(source, data, weights, groups, rows, verb="precision")


def _target(width: object, ratio: object, now: float) -> float:
    """The largest width allowed."""
    given = [own for own in (width, ratio) if own is not None]
    if len(given) != 1 or not is_number(given[0]) or not float(given[0]) > 0.0:  # pyright: ignore[reportArgumentType]
        raise ModelError(
            "Give either width=, the largest width, or ratio=, a share of the width "
            f"now: one positive number, not width={width!r}, ratio={ratio!r}."
        )
    return float(given[0]) * (now if width is None else 1.0)  # pyright: ignore[reportArgumentType]


def _fewest(
    at: Callable[[int], float], target: float, start: int, label: str, column: str
) -> int:
    """The smallest number of levels whose width is no more than the target."""
    low, high = 1, max(start, 2)
    if at(high) <= target:
        while high > 2 and at(high // 2) <= target:
            high //= 2
        low = high // 2
    else:
        low, high = high, 2 * high
        while not at(high) <= target:
            low, high = high, 2 * high
            if high > MOST_LEVELS:
                raise ModelError(
                    f"With {low:,} levels of {column!r} the interval of {label!r} is "
                    f"still wider than {target:.3g}. More of them narrow it too "
                    f"little: let another factor grow, or more rows."
                )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if at(middle) <= target else (middle, high)
    return high
