"""Fits of small models for tables for papers, and what a table holds."""

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import xarray as xr
from sampling import sample_unchecked

import bayeslmm as lmm
from bayeslmm.posterior.diagnose import SamplingStatus

ODD = (
    "50% of_a & #1 $x {y} ~z^2 \\ |w|",
    "<b>*bold*</b> `c` [l](u) @me &amp; -- ---",
    "\U0001f642 \u0639\u0631\u0628\u064a \u03b4",
)


def small_fits():
    """REML, ML and posteriors of some models of the same pupils."""
    data = lmm.simulate_classrooms(8, 10, seed=2).data
    null = lmm.Model("score ~ 1 + (1 | classroom)", data)
    slope = lmm.Model("score ~ edu + (edu | classroom)", data)
    post = sample_unchecked(slope, draws=200, chains=2, seed=1, progress=False)
    reml = slope.fit_reml()
    return SimpleNamespace(
        data=data,
        null=null.fit_reml(),
        reml=reml,
        ml=slope.fit_reml(method="ML"),
        post=post,
        both=lmm.Fit(slope, reml, post),
    )


def odd_fit():
    """A REML fit whose labels have every sign that some format takes for markup."""
    data = lmm.simulate_classrooms(6, 12, seed=2).data
    data["kind"] = [ODD[i % 3] for i in range(len(data))]
    return lmm.Model("score ~ edu + kind + (1 | classroom)", data).fit_reml()


def rows_of(table):
    """Cells of each row of a layout by section and name, its lines apart."""
    return {
        (section, cells[0]): [cell.split("\n") for cell in cells[1:]]
        for section, cells in table.layout.rows
    }


def numbers_in(line):
    """The numbers of a line, as they are printed."""
    return re.findall(r"-?\d+(?:\.\d+)?", line.replace(",", ", "))


def drawn_chances(data):
    """A posterior of a family without REML; its draws are written down, not sampled."""
    rng = np.random.default_rng(1)
    model = lmm.Model("high ~ edu + (1 | classroom)", data, family="bernoulli")
    term = model.design.groups[0]
    centres = {"Intercept": -1.0, "edu": 0.3, "1|classroom_sigma": 0.8}
    held: dict[str, Any] = {
        name: (("chain", "draw"), centre * (1.0 + 0.1 * rng.normal(size=(2, 400))))
        for name, centre in centres.items()
    }
    levels = rng.normal(size=(2, 400, term.n_levels))
    held[term.variables[0].name] = (("chain", "draw", "classroom__factor_dim"), levels)
    calm = xr.Dataset({"diverging": (("chain", "draw"), np.zeros((2, 400), bool))})
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(held), "sample_stats": calm})
    status = SamplingStatus(2, 400)
    return lmm.Posterior(model, tree, "joint", "Written down.", status, {})
