"""Power by simulation: how often a test finds an effect that is there.

Takes a model (or a formula with the rows of a study to come) and its parameters; draws
responses, fits them all, and counts.
"""

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.errors import (
    check_count,
    check_fraction,
    check_progress,
    check_seed,
)
from bayeslmm.planning.studies import make_studies, pilot_of
from bayeslmm.planning.targets import (
    PosteriorTarget,
    Result,
    Target,
    Test,
    choose_test,
    make_target,
    read_effect,
)
from bayeslmm.planning.truth import true_parameters
from bayeslmm.reml.chunks import check_jobs, in_chunks
from bayeslmm.reml.fit import RemlFit
from bayeslmm.simulation import Parameters, responses_at
from bayeslmm.spec import ModelSpec
from bayeslmm.tables import Table
from bayeslmm.tables.notebook import fragment

# 95% of a Normal.
WALD = 1.959963984540054


@dataclass(frozen=True, slots=True, repr=False)
class Power:
    """Power of a test, for one size of the study or for several.

    Attributes
    ----------
    effect, test : str
        What was tested, and how.
    alpha : float
        Level of the test.
    table : DataFrame
        A row for each size: ``groups`` and ``rows`` as asked for, ``n`` rows in all,
        ``power``, ``mcse`` (its Monte Carlo error), ``lower``, ``upper`` (Wilson's 95%
        interval), ``estimate`` (mean over the studies), ``nsim``, ``failed`` (fits
        that did not converge or have no p value, which count as no finding).
    p_values : tuple of ndarray, shape (nsim,)
        Of each size.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> fit = lmm.Model("score ~ edu + (1 | classroom)", pupils).fit_reml()
    >>> power = lmm.power(fit, effect="edu", nsim=50, seed=1, progress=False)
    >>> float(power.table["power"].iloc[0]) > 0.9
    True
    """

    effect: str
    test: str
    alpha: float
    table: pd.DataFrame
    p_values: tuple[Float[np.ndarray, " nsim"], ...]

    def __repr__(self) -> str:
        """The test in words, and the table."""
        return f"{self._head}\n{self.table!r}"

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        return fragment(self._head, tables=[self.table])

    @property
    def _head(self) -> str:
        """The test in words."""
        return f"Power to find {self.effect!r} by {self.test!r}, alpha {self.alpha:g}"


def power(
    source: "ModelSpec | RemlFit | str",
    data: object = None,
    *,
    effect: object,
    parameters: Mapping[str, float] | None = None,
    test: Test | None = None,
    alpha: float = 0.05,
    nsim: int = 1000,
    weights: str | None = None,
    groups: Mapping[str, int | Sequence[int]] | None = None,
    rows: int | Sequence[int] | None = None,
    seed: int | np.random.Generator | None = None,
    n_jobs: int = 1,
    progress: bool | Literal["auto"] = "auto",
) -> Power:
    """Power of a test by simulation: how often it finds an effect that is there.

    Use it before a study. Responses are drawn from the model at given parameters, each
    is fitted by REML, and the share of p values below ``alpha`` is the power.

    Parameters
    ----------
    source : RemlFit, Model or str
        A pilot fit, whose estimates are the parameters; a model; or a formula.
    data : DataFrame, optional
        The rows of the study; its response need not be there. With a model or a fit
        these take the place of its own rows; formula, weights and priors stay.
    effect : str, mapping or ndarray
        What is to be found: a fixed effect (``"x"``), a combination as of
        `RemlFit.contrast`, a term of several columns (``"dose"``), or an SD
        (``"x|g_sigma"``).
    parameters : mapping of str to float, optional
        Values by the labels of ``summary``: ``{"x": 0.3, "1|g_sigma": 0.5, "sigma":
        1.0}``. The intercept and correlations are 0 if not given; a pilot's estimates
        hold where nothing is given.
    test : {"satterthwaite", "kenward-roger", "z", "residual", "lrt", "posterior"}
        How: t or F as of `RemlFit.summary`; the likelihood-ratio test (ML for fixed
        effects; REML for an SD, with the boundary's mixture of chi-squares); twice the
        posterior probability of the other sign, under the model's priors. If not given,
        "satterthwaite" for fixed effects and "lrt" for an SD, which has no other.
    alpha : float, default 0.05
        Level of the test.
    nsim : int, default 1000
        Simulated studies of each size.
    weights : str, optional
        Column of `data` with the weights of the rows; a model's column otherwise.
    groups : mapping of str to int or sequence, optional
        Numbers of levels to try: ``{"g": [10, 20, 40]}``. Levels are repeated with
        their rows under new names, those nested in them too; they are taken such that
        predictors between levels keep their proportions as well as can be. Needs
        `data`.
    rows : int or sequence, optional
        How many times each row is repeated; needs `data`.
    seed : int or numpy.random.Generator, optional
        Same seed, same answer, whatever `n_jobs` is.
    n_jobs : int, default 1
        Processes, through joblib: -1 for all cores. Inside
        ``joblib.parallel_config("dask")`` a Dask cluster does the work.
    progress : bool or "auto", default "auto"
        Whether to show a bar; "auto" where it takes more than some seconds.

    Returns
    -------
    Power
        ``.table``, a row for each size of the study.

    Raises
    ------
    ModelError
        If a parameter is missing or impossible, or the test does not exist.

    References
    ----------
    .. [1] Green and MacLeod (2016). Methods Ecol. Evol. 7(4).
       https://doi.org/10.1111/2041-210X.12504

    Examples
    --------
    >>> import numpy as np, pandas as pd, bayeslmm as lmm
    >>> g, i = np.divmod(np.arange(100), 5)
    >>> study = pd.DataFrame({"g": g, "x": i - 2.0})
    >>> found = lmm.power(
    ...     "y ~ x + (1 | g)",
    ...     study,
    ...     effect="x",
    ...     parameters={"x": 0.2, "1|g_sigma": 0.5, "sigma": 1.0},
    ...     nsim=200,
    ...     seed=1,
    ... )
    >>> bool(0.6 < found.table["power"].iloc[0] < 1.0)
    True
    """
    check_fraction(alpha, "alpha", 0.05)
    nsim = check_count(nsim, "nsim", 1)
    check_seed(seed)
    check_progress(progress)
    n_jobs = check_jobs(n_jobs)
    rng = np.random.default_rng(seed)
    pilot = pilot_of(source)
    lines, p_values, name, chosen = [], [], "", ""
    for words, model in make_studies(source, data, weights, groups, rows):
        wanted = read_effect(model, effect)
        chosen = choose_test(wanted, test)
        target = make_target(model, wanted, chosen)
        truth = true_parameters(model.design, parameters, pilot)
        results = _run(model, truth, target, nsim, rng, n_jobs, progress)
        p = np.array([result.p for result in results])
        lines.append({**words, "n": model.design.n, **_line(results, p, alpha)})
        p_values.append(p)
        name = wanted.name
    return Power(name, chosen, alpha, Table(lines), tuple(p_values))


def _run(
    model: ModelSpec,
    truth: Parameters,
    target: Target,
    nsim: int,
    rng: np.random.Generator,
    n_jobs: int,
    progress: bool | Literal["auto"],
) -> list[Result]:
    """All studies of one size, in chunks whose seeds do not depend on the processes."""
    target = _warmed(model.design, truth, target, rng)
    work = partial(_chunk, model.design, truth, target)
    return in_chunks(
        work, nsim, rng, n_jobs=n_jobs, progress=progress, title="simulated studies"
    )


def _warmed(
    design: Design, truth: Parameters, target: Target, rng: np.random.Generator
) -> Target:
    """The target, whose searches start where that of one such study has ended."""
    if isinstance(target, PosteriorTarget):
        return target
    own = deepcopy(rng).spawn(1)[0]  # the studies are the same for every test
    return target.warmed(responses_at(design, truth, 1, own)[0])


def _chunk(
    design: Design,
    truth: Parameters,
    target: Target,
    size: int,
    rng: np.random.Generator,
) -> list[Result]:
    """Some studies."""
    return [target(y) for y in responses_at(design, truth, size, rng)]


def _line(
    results: Sequence[Result], p: Float[np.ndarray, " nsim"], alpha: float
) -> dict[str, float]:
    """Power with its error, the mean estimate, and what failed."""
    n = len(p)
    share = float((p < alpha).sum()) / n
    centre = (share + WALD**2 / (2 * n)) / (1 + WALD**2 / n)
    half = WALD * math.sqrt(share * (1 - share) / n + WALD**2 / (4 * n**2))
    half /= 1 + WALD**2 / n
    return {
        "power": share,
        "mcse": math.sqrt(share * (1 - share) / n),
        "lower": centre - half if share > 0.0 else 0.0,  # exactly, without rounding
        "upper": centre + half if share < 1.0 else 1.0,
        "estimate": float(np.nanmean([result.estimate for result in results])),
        "nsim": n,
        "failed": sum(not r.converged or math.isnan(r.p) for r in results),
    }
