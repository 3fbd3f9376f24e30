"""Expected log predictive densities of left-out cases as ArviZ has them.

Gives `LeftOut`, a class of ArviZ's own that `arviz.compare`, `arviz.plot_compare` and
`arviz.plot_khat` take, with what it was asked and what was done in words. It is made
when first asked for, because nothing imports ArviZ before it is needed.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.reml.cases import ROWS
from bayeslmm.tables import Table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

NAMED = 6


@cache
def left_out_class() -> type[Any]:
    """The class `LeftOut`."""
    from arviz_stats.utils import ELPDDataLOO

    @dataclass(kw_only=True, repr=False)
    class LeftOut(ELPDDataLOO):
        """Log predictive densities of cases, each under the posterior of all others.

        Attributes beside ArviZ's: ``by``, what was left out; ``question`` that this
        answers; ``points``, what densities are averaged over, ``on_lattice`` if that
        has no Monte Carlo error; ``sizes``, rows of each case; ``mcse_i``, the Monte
        Carlo standard error of each density; ``refitted``, names of cases whose
        posterior was made anew.
        """

        by: str
        question: str
        points: str
        on_lattice: bool
        sizes: "xr.DataArray"
        mcse_i: "xr.DataArray"
        refitted: tuple[str, ...] = field(default=())

        def table(self) -> "pd.DataFrame":
            """One row for each case.

            Index as ``elpd_i``; columns ``n`` (rows left out), ``elpd`` (log density of
            these, units of the data), ``mcse``, ``pareto_k`` (before any refit) and
            ``refitted``.
            """
            return left_out_table(self)

        def __str__(self) -> str:
            """Question, estimate, and what can be trusted."""
            return left_out_text(self)

        def __repr__(self) -> str:
            """The same."""
            return left_out_text(self)

    LeftOut.__module__, LeftOut.__qualname__ = __name__, "LeftOut"
    return LeftOut


def __getattr__(name: str) -> object:
    """The class by its name, for pickles."""
    if name == "LeftOut":
        return left_out_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def left_out_table(elpd: Any) -> "pd.DataFrame":  # noqa: ANN401 (LeftOut)
    """One row for each case; see `LeftOut.table`."""
    index = elpd.elpd_i.to_series().index
    names = {str(name) for name in elpd.refitted}
    return Table(
        {
            "n": elpd.sizes.to_numpy(),
            "elpd": elpd.elpd_i.to_numpy(),
            "mcse": elpd.mcse_i.to_numpy(),
            "pareto_k": elpd.influence_pareto_k.to_numpy(),
            "refitted": [str(name) in names for name in index],
        },
        index=index,
    )


def left_out_text(elpd: Any) -> str:  # noqa: ANN401 (LeftOut)
    """Question, estimate, and what can be trusted, in plain lines."""
    what = "rows" if elpd.by == ROWS else f"levels of {elpd.by}"
    mcse = float(np.sqrt(np.square(elpd.mcse_i.to_numpy()).sum()))
    lines = [
        elpd.question,
        f"{elpd.n_data_points:,} {what}, left out one at a time; {elpd.points}.",
        f"elpd {elpd.elpd:.2f} (SE {elpd.se:.2f}), p {elpd.p:.2f}; Monte Carlo SE "
        f"{mcse:.2g}.",
    ]
    return "\n".join([*lines, _trust(elpd)])


def _trust(elpd: Any) -> str:  # noqa: ANN401 (LeftOut)
    """Which cases were made anew, or that none had to be."""
    worst = float(elpd.influence_pareto_k.max())
    if not elpd.refitted:
        if elpd.on_lattice:
            return "The lattice covers the posterior without each of them."
        return (
            f"Reweighting is reliable for all of them: Pareto k is at most "
            f"{worst:.2f}, below {elpd.good_k:.2f}."
        )
    what = "row" if elpd.by == ROWS else elpd.by
    names = f"{what} " + ", ".join(str(name) for name in elpd.refitted[:NAMED])
    more = len(elpd.refitted) - NAMED
    names += f" and {more} more" if more > 0 else ""
    why = f"Pareto k up to {worst:.2f}, to be below {elpd.good_k:.2f}"
    if elpd.on_lattice:
        why = "the lattice does not cover what is left"
    return (
        f"Reweighting is not reliable without {names} ({why}): the posterior without "
        f"each was made anew."
    )
