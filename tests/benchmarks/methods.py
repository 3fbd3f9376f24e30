"""How it is fitted: each method builds, compiles, samples and tabulates one case.

A method takes a `Task` and gives a `Run`. Libraries are imported inside the method, so
that the time of the import is the method's own. Every sampler gets the same numbers of
draws, chains and cores, and tunes as it does by default.
"""

import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    import pymc as pm
    import pytensor.tensor as pt
    import xarray as xr
    from nutpie.sample import CompiledModel

from cases import Case

LONG = 30.0


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
    return Run(posterior.idata, shared_variables(posterior.idata), clock)


def shared_variables(draws: "xr.DataTree") -> tuple[str, ...]:
    """All but the effects of levels, and what these are made of, by bambi's names."""
    return tuple(
        str(name)
        for name in draws["posterior"].data_vars
        if "|" not in str(name) or str(name).endswith(("_sigma", "_corr"))
    )


def _tabled(draws: "xr.DataTree", variables: tuple[str, ...], clock: Clock) -> Run:
    """A peer's run, after ArviZ's table of its variables."""
    import arviz as az

    with clock.phase("tables"):
        print(az.summary(draws, var_names=list(variables)))
    return Run(draws, variables, clock)


def pymc_lkj_nutpie(task: Task) -> Run:
    """PyMC's explicit LKJ model, compiled and sampled by nutpie."""
    clock = Clock()
    with clock.phase("import"):
        import arviz  # noqa: F401, ICN001
        import nutpie
        import pymc as pm  # noqa: F401
    arrays = arrays_of(task)
    with clock.phase("build"):
        compiled = nutpie.compile_pymc_model(lkj_model(arrays))
    draws = _by_nutpie(task, clock, compiled)
    return _tabled(draws, lkj_variables(draws), clock)


def pymc_lkj(task: Task) -> Run:
    """PyMC's explicit LKJ model under its own NUTS."""
    clock = Clock()
    with clock.phase("import"):
        import arviz  # noqa: F401, ICN001
        import pymc as pm
    arrays = arrays_of(task)
    with clock.phase("build"):
        model = lkj_model(arrays)
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
    return _tabled(draws, lkj_variables(draws), clock)


def bambi(task: Task) -> Run:
    """bambi's default for the formula: independent effects, its own priors."""
    clock = Clock()
    with clock.phase("import"):
        import arviz  # noqa: F401, ICN001
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
    return _tabled(draws, shared_variables(draws), clock)


def bambi_nutpie(task: Task) -> Run:
    """bambi's own PyMC model of the formula, compiled and sampled by nutpie."""
    clock = Clock()
    with clock.phase("import"):
        import arviz  # noqa: F401, ICN001
        import bambi as bmb
        import nutpie
    with clock.phase("build"):
        model = bmb.Model(task.case.formula, task.data)
        model.build()
        own: Any = model.backend
        compiled = nutpie.compile_pymc_model(own.model)
    draws = _by_nutpie(task, clock, compiled)
    return _tabled(draws, shared_variables(draws), clock)


# --- the model by hand ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrays:
    """y, the columns of X but the intercept, and Z with codes for each bar term."""

    y: np.ndarray
    X: np.ndarray
    Z: tuple[np.ndarray, ...]
    codes: tuple[np.ndarray, ...]


def arrays_of(task: Task) -> Arrays:
    """Arrays that whoever writes a model by hand has before he starts; not timed."""
    import bayeslmm as lmm

    rows = lmm.Model(task.case.formula, task.data).design.rows
    assert rows is not None, "a frame in memory"
    varies = rows.X.min(axis=0) < rows.X.max(axis=0)
    return Arrays(rows.y, rows.X[:, varies], rows.Z, rows.codes)


def lkj_model(arrays: Arrays) -> "pm.Model":
    """Any formula with an intercept by hand: LKJ(2), non-centred, our weak priors."""
    import pymc as pm

    y, X = arrays.y, arrays.X
    sd_y, mean = y.std(ddof=1), X.mean(axis=0)
    with pm.Model() as model:
        centre = pm.Normal("centre", y.mean(), 2.5 * sd_y)
        sigma = pm.HalfStudentT("sigma", nu=3, sigma=sd_y)
        expected = centre
        if X.shape[1]:
            unit = pm.Normal("unit", 0.0, 1.0, shape=X.shape[1])
            slope = 2.5 * sd_y / X.std(axis=0, ddof=1) * unit
            pm.Deterministic("slope", slope)
            pm.Deterministic("intercept", centre - slope @ mean)
            expected = expected + (X - mean) @ slope
        for t, (Z, codes) in enumerate(zip(arrays.Z, arrays.codes, strict=True)):
            b = _effects(t, Z, int(codes.max()) + 1, sd_y)
            for column in range(Z.shape[1]):
                expected = expected + b[column][codes] * Z[:, column]
        pm.Normal("y", expected, sigma, observed=y)
    return model


def _effects(t: int, Z: np.ndarray, levels: int, sd_y: float) -> "pt.TensorVariable":
    """Effects of the levels of bar term number t, shape (k, levels)."""
    import pymc as pm

    k, spread = Z.shape[1], Z.std(axis=0, ddof=1)
    # indicators and the intercept are in units of y, slopes per SD of the predictor
    whole = np.isin(Z, (0.0, 1.0)).all(axis=0)
    scales = sd_y / np.where(whole, 1.0, spread)
    z = pm.Normal(f"z{t}", 0.0, 1.0, shape=(k, levels))
    if k == 1:
        sd = pm.HalfStudentT(f"sd{t}", nu=3, sigma=float(scales[0]))
        return sd * z
    # unit scales, rescaled: with an array as its sigma nutpie 0.16 fails to start
    unit = pm.HalfStudentT.dist(nu=3, sigma=1.0, shape=k)
    effects: Any = pm.LKJCholeskyCov(f"effects{t}", n=k, eta=2, sd_dist=unit)
    factor, corr, sds = effects
    pm.Deterministic(f"sd{t}", scales * sds)
    pm.Deterministic(f"corr{t}", corr[np.tril_indices(k, -1)])
    return scales[:, None] * (factor @ z)


def lkj_variables(draws: "xr.DataTree") -> tuple[str, ...]:
    """What of the model by hand has its like in the others."""
    names = [str(name) for name in draws["posterior"].data_vars]
    plain = {"intercept", "slope", "sigma"}
    plain |= {"centre"} if "intercept" not in names else set()
    ours = (name[:2] == "sd" or name[:4] == "corr" or name in plain for name in names)
    return tuple(name for name, own in zip(names, ours, strict=True) if own)


# --- clocks ---------------------------------------------------------------------------


def _by_nutpie(task: Task, clock: Clock, compiled: "CompiledModel") -> "xr.DataTree":
    """Draws of a compiled model."""
    import nutpie

    return _sampled_twice(
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


def _sampled_twice[Draws](clock: Clock, sample: "Callable[[], Draws]") -> Draws:
    """Draws, with what only the first run needs (code from caches, imports) as build.

    PyMC's and bambi's own clocks leave that out too. A run of more than `LONG` seconds
    is not repeated: what it has for the first time is little of it.
    """
    with clock.phase("first"):
        draws = sample()
    if clock.seconds["first"] > LONG:
        clock.seconds["sample"] = clock.seconds.pop("first")
        return draws
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
    "bambi-nutpie": bambi_nutpie,
}
