"""How it is fitted: each method builds, compiles, samples and tabulates one case.

A method takes a `Task` and gives a `Run`. Libraries are imported inside the method, so
that the time of the import is the method's own. Every sampler gets the same numbers of
draws, chains and cores, and tunes as it does by default.
"""

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    import pymc as pm
    import xarray as xr

from cases import Case


@dataclass(frozen=True, slots=True)
class Task:
    """One case to fit, with the settings that all methods share."""

    case: Case
    data: "pd.DataFrame"
    draws: int
    chains: int
    cores: int
    seed: int


@dataclass(slots=True)
class Clock:
    """Seconds by phase: import, build (with compilation), sample, tables."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> "Iterator[None]":
        """Add the time of a block to a phase."""
        start = time.perf_counter()
        yield
        elapsed = time.perf_counter() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + elapsed

    def move(self, seconds: float, source: str, target: str) -> None:
        """Count some seconds of one phase as another's."""
        self.seconds[source] -= seconds
        self.seconds[target] = self.seconds.get(target, 0.0) + seconds


@dataclass(frozen=True, slots=True)
class Run:
    """Draws of one method, the variables that everybody estimates, and the clock."""

    draws: "xr.DataTree"
    variables: tuple[str, ...]
    clock: Clock


def ours(task: Task) -> Run:
    """bayeslmm: REML, the posterior, and the table of both."""
    clock = Clock()
    with clock.phase("import"):
        import arviz  # noqa: F401, ICN001
        import nutpie  # noqa: F401

        import bayeslmm as lmm
    with clock.phase("build"):
        model = lmm.Model(task.case.formula, task.data)
        reml = model.fit_reml()
    posterior = _sampled_twice(
        clock,
        lambda: model.sample(
            draws=task.draws, chains=task.chains, cores=task.cores, seed=task.seed
        ),
    )
    with clock.phase("tables"):
        print(lmm.compare(reml, posterior))
    _, predictor, group = task.case.columns
    variables = (
        "Intercept",
        predictor,
        f"1|{group}_sigma",
        f"{predictor}|{group}_sigma",
        f"{group}_corr",
        "sigma",
    )
    return Run(posterior.idata, variables, clock)


def pymc_lkj_nutpie(task: Task) -> Run:
    """PyMC's explicit LKJ model, compiled and sampled by nutpie."""
    clock = Clock()
    with clock.phase("import"):
        import arviz as az
        import nutpie
        import pymc as pm  # noqa: F401
    with clock.phase("build"):
        compiled = nutpie.compile_pymc_model(lkj_model(task))
    draws = _sampled_twice(
        clock,
        lambda: nutpie.sample(
            compiled,
            draws=task.draws,
            chains=task.chains,
            cores=task.cores,
            seed=task.seed,
            progress_bar=False,
        ),
    )
    with clock.phase("tables"):
        print(az.summary(draws, var_names=list(LKJ_VARIABLES)))
    return Run(draws, LKJ_VARIABLES, clock)


def pymc_lkj(task: Task) -> Run:
    """PyMC's explicit LKJ model under its own NUTS."""
    clock = Clock()
    with clock.phase("import"):
        import arviz as az
        import pymc as pm
    with clock.phase("build"):
        model = lkj_model(task)
    with clock.phase("sample"), model:
        draws = pm.sample(
            draws=task.draws,
            chains=task.chains,
            cores=task.cores,
            random_seed=task.seed,
            nuts_sampler="pymc",  # the default of PyMC 6 is nutpie
            progressbar=False,
        )
    _count_compilation_as_build(clock, draws)
    with clock.phase("tables"):
        print(az.summary(draws, var_names=list(LKJ_VARIABLES)))
    return Run(draws, LKJ_VARIABLES, clock)


def bambi(task: Task) -> Run:
    """bambi's default for the formula: independent effects, its own priors."""
    clock = Clock()
    with clock.phase("import"):
        import arviz as az
        import bambi as bmb
    with clock.phase("build"):
        model = bmb.Model(task.case.formula, task.data)
        model.build()
    with clock.phase("sample"):
        draws = model.fit(
            draws=task.draws,
            chains=task.chains,
            cores=task.cores,
            random_seed=task.seed,
            progressbar=False,
        )
    _count_compilation_as_build(clock, draws)
    _, predictor, group = task.case.columns
    variables = (
        "Intercept",
        predictor,
        f"1|{group}_sigma",
        f"{predictor}|{group}_sigma",
        "sigma",
    )
    with clock.phase("tables"):
        print(az.summary(draws, var_names=list(variables)))
    return Run(draws, variables, clock)


LKJ_VARIABLES = ("intercept", "slope", "sd", "corr", "sigma")


def lkj_model(task: Task) -> "pm.Model":
    """``y ~ x + (x | g)`` by hand: LKJ(2), non-centred, our weak priors."""
    import pymc as pm

    response, predictor, group = task.case.columns
    y = task.data[response].to_numpy(float)
    x = task.data[predictor].to_numpy(float)
    levels, codes = np.unique(task.data[group].to_numpy(str), return_inverse=True)
    sd_y, sd_x = y.std(ddof=1), x.std(ddof=1)
    with pm.Model() as model:
        centre = pm.Normal("centre", y.mean(), 2.5 * sd_y)
        slope = pm.Normal("slope", 0.0, 2.5 * sd_y / sd_x)
        sigma = pm.HalfStudentT("sigma", nu=3, sigma=sd_y)
        # unit scales, rescaled: with an array as its sigma nutpie 0.16 fails to start
        unit = pm.HalfStudentT.dist(nu=3, sigma=1.0, shape=2)
        factor, corr, sds = pm.LKJCholeskyCov("effects", n=2, eta=2, sd_dist=unit)
        scales = np.array([sd_y, sd_y / sd_x])
        pm.Deterministic("sd", scales * sds)
        pm.Deterministic("corr", corr[1, 0])
        z = pm.Normal("z", 0.0, 1.0, shape=(2, len(levels)))
        b = scales[:, None] * (factor @ z)
        mean = centre + slope * (x - x.mean()) + b[0][codes] + b[1][codes] * x
        pm.Deterministic("intercept", centre - slope * x.mean())
        pm.Normal("y", mean, sigma, observed=y)
    return model


def _sampled_twice[Draws](clock: Clock, sample: "Callable[[], Draws]") -> Draws:
    """Draws, with what only the first run needs (code from caches, imports) as build.

    PyMC's and bambi's own clocks leave that out too.
    """
    with clock.phase("first"):
        sample()
    with clock.phase("sample"):
        draws = sample()
    clock.move(clock.seconds["first"] - clock.seconds["sample"], "first", "build")
    return draws


def _count_compilation_as_build(clock: Clock, draws: "xr.DataTree") -> None:
    """PyMC compiles inside `sample`; its own clock says how long it sampled."""
    sampling = float(draws["posterior"].attrs["sampling_time"])
    clock.move(clock.seconds["sample"] - sampling, "sample", "build")


METHODS: dict[str, Callable[[Task], Run]] = {
    "ours": ours,
    "pymc-lkj-nutpie": pymc_lkj_nutpie,
    "pymc-lkj": pymc_lkj,
    "bambi": bambi,
}
