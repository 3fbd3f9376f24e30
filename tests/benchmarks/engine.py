"""The engine: one evaluation, model build, REML and posterior, beside lme4.

Times are those of a process that has fitted the case once before (imports and compiled
code are there), the fastest of a few; cold starts are in the table of `small.py`. lme4
and statsmodels are timed in their own processes, from data frame to fit.
"""

import argparse
import importlib.util
import math
import shutil
import sys
import tempfile
import timeit
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from process import HERE, CellError, best, markdown, run_fresh, run_script, warmed

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm import Model, Posterior

from cases import CASES, Case, find_case

PATIENCE = 600.0  # seconds for lme4; statsmodels has a fifth of them
POINTS = 1000
STORED = 50_000_000  # effects times draws that are stored for "with all effects"


# --- in the process of one cell -------------------------------------------------------


def measure(case: str, draws: int, chains: int, seed: int) -> dict[str, Any]:
    """Figures of bayeslmm with one case."""
    import resource

    import bayeslmm as lmm

    chosen = find_case(case)
    data = chosen.load()
    model = lmm.Model(chosen.formula, data)
    reml = model.fit_reml()

    def sample(keep: str) -> "Posterior":
        return model.sample(
            draws=draws, chains=chains, seed=seed, progress=False, keep=keep
        )

    posterior, seconds = warmed(lambda: sample("auto"))
    found = {
        **evaluation(model),
        "rows": len(data),
        "levels": [group.n_levels for group in model.design.groups],
        "build": best(lambda: lmm.Model(chosen.formula, data)),
        "reml": best(model.fit_reml),
        "criterion": reml.criterion,
        "posterior": seconds,
        "sampler": posterior.method,
        **_quality(posterior),
    }
    found |= _weighted(model, seed)
    sizes = (group.n_levels * group.k for group in model.design.groups)
    if sum(sizes) * draws * chains <= STORED:
        found["stored"] = warmed(lambda: sample("all"))[1]
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def _weighted(model: "Model", seed: int) -> dict[str, Any]:
    """Seconds and ESS of a posterior by 1000 weighted points, if they are accepted."""

    def sample() -> "Posterior":
        return model.sample(
            draws=POINTS // 4,
            chains=4,
            seed=seed,
            progress=False,
            method="importance",
            keep="summary",
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        posterior, seconds = warmed(sample)
        if posterior.method != "importance":
            return {}
    return {"weighted": seconds, "weighted_ess": _quality(posterior)["min_ess"]}


def statsmodels(case: str) -> dict[str, Any]:
    """Seconds of statsmodels' REML fit."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    chosen = find_case(case)
    data = chosen.load()
    fixed, _, random = chosen.formula.partition(" + (")
    effects, _, group = random.removesuffix(")").partition(" | ")
    warnings.simplefilter("ignore")

    def fit() -> None:
        MixedLM.from_formula(
            fixed, groups=group, re_formula=f"~ {effects}", data=data
        ).fit(reml=True)

    return {"seconds": best(fit)}


def evaluation(model: "Model") -> dict[str, Any]:
    """Seconds of one log density and its gradient, with and without the priors."""
    from bayeslmm.marginal import log_density_gradient
    from bayeslmm.posterior.mode import laplace
    from bayeslmm.posterior.target import make_target

    target = make_target(model.design, model.conditioned, model.priors)
    x = laplace(target).mode
    factors = tuple(own[0] for own in target.safe_factors(x[None]))
    sigma = float(target.safe_sigma(x))

    def likelihood() -> None:
        log_density_gradient(target.statistics, factors, sigma, target.beta)

    return {
        "kernel": type(model.conditioned.statistics.solver).__name__,
        "lead_levels": model.conditioned.statistics.lead.n_levels,
        "likelihood": _per_call(likelihood),
        "target": _per_call(lambda: target(x)),
    }


def _per_call(function: object) -> float:
    """Seconds of one call, the fastest of 5 loops of 0.1 s."""
    timer = timeit.Timer(function)  # pyright: ignore[reportArgumentType]
    once = max(timer.timeit(1), timer.timeit(1) / 2, 1e-7)
    number = max(1, int(0.1 / once))
    timer.timeit(number)  # the first calls load compiled code
    return min(timer.repeat(5, number)) / number


def _quality(posterior: "Posterior") -> dict[str, Any]:
    """Smallest bulk ESS of a variance parameter, and divergences."""
    table = posterior.summary()
    variances = table[table["component"] != "fixed"]
    return {
        "min_ess": float(variances["ess_bulk"].min()),
        "divergences": posterior.status.n_divergent,
    }


# --- in the parent --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One case: our figures, and the seconds of the peers that ran."""

    case: Case
    ours: dict[str, Any]
    lme4: dict[str, Any] | None
    statsmodels: dict[str, Any] | None


def lme4(case: Case) -> dict[str, Any] | None:
    """Seconds and criterion of lme4; None with a line where it cannot run."""
    if not case.in_lme4:
        return None
    if shutil.which("Rscript") is None:
        print(f"{case.name}: no Rscript, lme4 skipped", file=sys.stderr)
        return None
    with tempfile.TemporaryDirectory() as folder:
        data = case.load()
        path = Path(folder) / "data.csv"
        data.to_csv(path, index=False)
        command = ["Rscript", str(HERE / "lme4.R"), str(path), case.formula]
        command += [",".join(_factors(data)), "2.5"]
        try:
            return run_script(command, PATIENCE)
        except CellError as error:
            print(f"{case.name}: lme4 skipped, {error}", file=sys.stderr)
            return None


def _factors(data: "pd.DataFrame") -> list[str]:
    """Names of the columns that are factors."""
    kinds = data.dtypes.astype(str)
    return [name for name in data if kinds[name] == "category" or name == "g"]


def _statsmodels(case: Case) -> dict[str, Any] | None:
    """The same of statsmodels, which fits one grouping factor with one bar term."""
    if case.formula.count("|") > 1 or "/" in case.formula or not case.in_lme4:
        return None
    if importlib.util.find_spec("statsmodels") is None:
        print(f"{case.name}: statsmodels is not installed, skipped", file=sys.stderr)
        return None
    try:
        return run_fresh("engine.statsmodels", seconds=PATIENCE / 5, case=case.name)
    except CellError as error:
        print(f"{case.name}: statsmodels skipped, {error}", file=sys.stderr)
        return None


def run_suite(suite: str, options: argparse.Namespace) -> list[Row]:
    """All cases of a suite."""
    rows = []
    for case in (case for case in CASES if case.suite == suite):
        if options.cases and not any(part in case.name for part in options.cases):
            continue
        ours = run_fresh(
            "engine.measure",
            case=case.name,
            draws=options.draws,
            chains=options.chains,
            seed=options.seed,
        )
        rows.append(Row(case, ours, lme4(case), _statsmodels(case)))
        print(line(rows[-1]), file=sys.stderr)
    return rows


HEADER = (
    "case",
    "levels",
    "kernel",
    "density + gradient, us",
    "ns / level",
    "with priors, us",
    "build, s",
    "REML, s",
    "posterior, s",
    "sampler",
    "min ESS, variances",
    "with all effects, s",
    "1000 weighted points, s (ESS)",
    "peak, MB",
    "lme4, s",
    "statsmodels, s",
    "lme4 / (build + REML)",
    "lme4 / (build + posterior)",
    "lme4 / (build + weighted points)",
    "criterion - lme4's",
)


def line(row: Row) -> str:
    """One line of the table."""
    ours = row.ours
    fields = [
        row.case.name,
        " + ".join(str(levels) for levels in ours["levels"]),
        ours["kernel"],
        f"{ours['likelihood'] * 1e6:.3g}",
        f"{ours['likelihood'] * 1e9 / ours['lead_levels']:.3g}",
        f"{ours['target'] * 1e6:.3g}",
        f"{ours['build']:.3g}",
        f"{ours['reml']:.3g}",
        f"{ours['posterior']:.3g}",
        ours["sampler"],
        f"{ours['min_ess']:.0f}",
        f"{ours['stored']:.3g}" if "stored" in ours else "",
        f"{ours['weighted']:.3g} ({ours['weighted_ess']:.0f})"
        if "weighted" in ours
        else "",
        f"{ours['peak_mb']:.0f}",
        f"{row.lme4['seconds']:.3g}" if row.lme4 else "",
        f"{row.statsmodels['seconds']:.3g}" if row.statsmodels else "",
        *_ratios(row),
    ]
    return "| " + " | ".join(fields) + " |"


def _ratios(row: Row) -> list[str]:
    """lme4's time over ours, and the difference of the criteria."""
    if row.lme4 is None:
        return [""] * 4
    ours, theirs = row.ours, row.lme4["seconds"]
    weighted = ours["build"] + ours.get("weighted", math.nan)
    return [
        f"{theirs / (ours['build'] + ours['reml']):.1f}x",
        f"{theirs / (ours['build'] + ours['posterior']):.2g}x",
        f"{theirs / weighted:.2g}x" if "weighted" in ours else "",
        f"{ours['criterion'] - row.lme4['criterion']:.0e}",
    ]


def report(suite: str, options: argparse.Namespace) -> str:
    """Markdown: what was run, and its table."""
    rows = run_suite(suite, options)
    versions = {row.lme4["version"] for row in rows if row.lme4}
    return (
        f"Posterior: {options.chains} chains x {options.draws} draws, method auto; "
        f"lme4 {', '.join(versions) or 'absent'}, one thread, lmer() by REML with its "
        "default control. A process that has fitted the case before.\n\n"
        + markdown(HEADER, [line(row) for row in rows])
    )
