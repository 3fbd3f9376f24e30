"""Coverage of every interval of a group SD: `run.py coverage`, or this file alone.

`python tests/benchmarks/sd_coverage.py [--sets 1000] [--jobs 2] [--csv FILE]`

Responses are drawn with a group SD of 1 and a residual SD of 2, 20 rows of each of J
groups, and the 95% intervals of the group SD are counted: of REML Wald on the scale of
the SD, what `RemlFit.interval` gives (Wald of the log SD, or profile near 0), profile,
percentile bootstrap; credible ones of both kinds under the standard priors, scaled by
the SD of each response. All posteriors of a response are read off one lattice, whose
density under a flat prior is reweighted. The layout is balanced, where REML is a
function of two sums of squares: the bootstrap draws these from their chi-squares.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import argparse  # noqa: E402
import math  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Callable  # noqa: E402
from dataclasses import replace  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from joblib import Parallel, delayed  # noqa: E402

import bayeslmm as lmm  # noqa: E402
from bayeslmm.posterior.lattice import grow_lattice, unit_steps  # noqa: E402
from bayeslmm.posterior.margins import quantiles  # noqa: E402
from bayeslmm.posterior.mode import laplace  # noqa: E402
from bayeslmm.posterior.tails import find_tails  # noqa: E402
from bayeslmm.posterior.target import make_target  # noqa: E402
from bayeslmm.priors import scale_logp  # noqa: E402
from bayeslmm.reml.late import problem_of  # noqa: E402
from bayeslmm.reml.profiled import sd_profile  # noqa: E402
from bayeslmm.reml.refit import make_refitter  # noqa: E402
from bayeslmm.simulation import Parameters, responses_at  # noqa: E402

GROUPS = (3, 5, 8, 18, 30, 50)
SD, SIGMA, ROWS, PROB = 1.0, 2.0, 20, 0.95
LABEL, Z = "1|g_sigma", 1.959963984540054
CHUNK, RESPONSES = 25, 1000
STEP, CUT, FARTHEST = 0.6, 12.0, 40.0  # of the lattice
TAILS = np.linspace(0.0, 1.0 - PROB, 41)  # where a highest-density interval may begin

Density = Callable[[float], float]
Interval = tuple[float, float]


def study(groups: int) -> pd.DataFrame:
    """Rows of the study, response to come."""
    g = np.repeat(np.arange(groups), ROWS)
    y = np.random.default_rng(0).normal(size=g.size)
    return pd.DataFrame({"g": g, "y": y})


def densities(model: lmm.Model, scale: float) -> dict[str, Density]:
    """Log densities of the log of the group SD, under each prior."""

    def known(text: str) -> Density:
        """One that is written as a user writes it."""
        prior = model.with_priors({"1|g": text}).priors.sd[0][0]
        return lambda x: scale_logp(prior)(x)[0]

    def named(name: str) -> Density:
        """That of a set, which looks at the response."""
        prior = model.with_priors(name).priors.sd[0][0]
        return lambda x: scale_logp(prior)(x)[0]

    def inverse_gamma(x: float) -> float:
        """Inverse gamma(0.001, 0.001) of the variance, as it was once usual."""
        return -2.0 * 0.001 * x - 0.001 * math.exp(-2.0 * x)

    return {
        "weak: half-t(3)": named("weak"),
        "half-normal": known(f"HalfNormal({scale})"),
        "half-Cauchy": known(f"HalfCauchy({scale})"),
        "brms": named("brms"),
        "boundary-avoiding": named("boundary-avoiding"),
        "flat on the SD": lambda x: x,
        "inverse gamma(0.001)": inverse_gamma,
    }


def credible(model: lmm.Model, y: np.ndarray) -> dict[str, Interval]:
    """Intervals of both kinds under every prior."""
    target = make_target(model.design, model.conditioned, model.priors)
    normal = laplace(target)
    step = STEP * unit_steps(target, normal)
    moments = find_tails(model.design, target).moments
    lattice = grow_lattice(target, normal, step, moments, CUT, 1)
    place = model.space.place(LABEL)
    parameter = next(p for p in model.space.parameters if p.label == LABEL)
    logs, where = np.unique(lattice.x[:, place], return_inverse=True)
    found = {}
    for name, density in densities(model, float(y.std(ddof=1))).items():
        moved = np.array([density(x) - x for x in logs.tolist()])[where]
        logp = lattice.log_density + moved
        kept = logp > logp.max() - FARTHEST
        own = replace(
            lattice,
            nodes=lattice.nodes[kept],
            x=lattice.x[kept],
            log_density=logp[kept],
        )
        wanted = (0.025, 0.975, *TAILS, *(TAILS + PROB))
        low, high, *ends = quantiles(parameter, target, own, wanted)
        pairs = np.array(ends).reshape(2, -1)
        shortest = int(np.argmin(pairs[1] - pairs[0]))
        found[f"{name}, ETI"] = low, high
        found[f"{name}, HDI"] = float(pairs[0, shortest]), float(pairs[1, shortest])
    return found


def balanced_sd(between: np.ndarray, within: np.ndarray) -> np.ndarray:
    """REML's group SD from the mean squares of a balanced layout."""
    return np.sqrt(np.maximum(between - within, 0.0) / ROWS)


def check_balanced(model: lmm.Model, y: np.ndarray) -> None:
    """Raise unless REML is what the mean squares say, on one response."""
    table = y.reshape(-1, ROWS)
    between = ROWS * table.mean(axis=1).var(ddof=1)
    within = table.var(axis=1, ddof=1).mean()
    known = float(balanced_sd(np.array(between), np.array(within)))
    found = float(np.abs(make_refitter(model.fit_reml())(y).factors[0][0, 0]))
    assert math.isclose(known, found, rel_tol=1e-4, abs_tol=1e-4), (known, found)


def frequentist(model: lmm.Model, rng: np.random.Generator) -> dict[str, Interval]:
    """Intervals of REML."""
    fit = model.fit_reml()
    row = fit.summary(PROB).loc[LABEL]
    reach = Z * row["se"]
    relative = tuple(factor / fit.sigma for factor in fit.factors)
    profile = sd_profile(problem_of(fit), relative, fit.theta, 0, 0)
    groups = model.design.groups[0].n_levels
    df = groups - 1, groups * (ROWS - 1)
    noise = fit.sigma**2
    mean = noise + ROWS * float(fit.factors[0][0, 0]) ** 2
    between = mean * rng.chisquare(df[0], RESPONSES) / df[0]
    within = noise * rng.chisquare(df[1], RESPONSES) / df[1]
    tails = [0.5 - PROB / 2, 0.5 + PROB / 2]
    low, high = np.quantile(balanced_sd(between, within), tails).tolist()
    return {
        "Wald of the SD": (max(row["estimate"] - reach, 0.0), row["estimate"] + reach),
        "RemlFit.interval": (row["lower"], row["upper"]),
        "profile": profile.limits(Z**2),
        "bootstrap": (low, high),
    }


def chunk(groups: int, size: int, seed: int) -> list[dict[str, object]]:
    """All intervals of some responses."""
    warnings.simplefilter("ignore")
    rng = np.random.default_rng([seed, groups])
    base = lmm.Model("y ~ 1 + (1 | g)", study(groups), priors={"1|g": "flat"})
    truth = Parameters(np.array([5.0]), (np.array([[SD]]),), SIGMA)
    rows = []
    responses = responses_at(base.design, truth, size, rng)
    check_balanced(base, responses[0])
    for y in responses:
        model = base.with_response(y)
        found = frequentist(model, rng) | credible(model, y)
        rows += [
            {"groups": groups, "interval": name, "lower": low, "upper": high}
            for name, (low, high) in found.items()
        ]
    return rows


def coverage_table(intervals: pd.DataFrame) -> pd.DataFrame:
    """Coverage with its error, on which side it misses, and width, by groups."""
    there = intervals["upper"].notna()
    data = intervals.assign(
        holds=((intervals["lower"] <= SD) & (intervals["upper"] >= SD)),
        too_low=intervals["upper"] < SD,
        too_high=intervals["lower"] > SD,
        missing=~there,
        width=intervals["upper"] - intervals["lower"],
    )
    table = data.groupby(["groups", "interval"], sort=False).agg(
        sets=("holds", "size"),
        coverage=("holds", "mean"),
        too_low=("too_low", "mean"),
        too_high=("too_high", "mean"),
        missing=("missing", "mean"),
        width=("width", "median"),
    )
    share = table["coverage"]
    table.insert(2, "mcse", np.sqrt(share * (1.0 - share) / table["sets"]))
    return table


def run(sets: int, jobs: int, groups: tuple[int, ...] = GROUPS) -> pd.DataFrame:
    """The table of so many responses of each size."""
    size = min(CHUNK, sets)
    calls = [(j, size, seed) for j in groups for seed in range(sets // size)]
    parts = Parallel(jobs)(delayed(chunk)(*one) for one in calls)
    return coverage_table(pd.DataFrame([row for part in parts for row in part]))


def report(options: argparse.Namespace) -> str:
    """Markdown of the table."""
    table = run(options.sets, options.cores)
    wide = table["coverage"].unstack("groups", sort=False)
    widths = table["width"].unstack("groups", sort=False)
    head = f"| interval | {' | '.join(f'J = {j}' for j in wide.columns)} |"
    lines = [head, "| --- |" + " --- |" * len(wide.columns)]
    for name in wide.index:
        cells = [
            f"{100 * wide.loc[name, j]:.1f} ({widths.loc[name, j]:.2f})"
            for j in wide.columns
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    said = (
        f"Coverage in percent (median width) of 95% intervals of an SD of {SD:g} "
        f"between J groups of {ROWS} rows, residual SD {SIGMA:g}; {options.sets} "
        f"responses of each J."
    )
    return f"{said}\n\n" + "\n".join(lines)


def main() -> None:
    """Print the table, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    table = run(options.sets, options.jobs)
    print(table.round(3).to_string())
    if options.csv:
        table.round(4).to_csv(options.csv)


if __name__ == "__main__":
    main()
