"""Each random effect against none: Bayes factors beside the likelihood-ratio tests.

Takes a model; gives the Bayes factor of the model against each smaller one, in which an
effect, a bar term or correlations are not there and all other priors stay, with what it
would be under narrower and wider priors of the SDs that are tested.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.comparison.bayes_factor import factor
from bayeslmm.design import without as designs
from bayeslmm.design.arrays import Design, check_terms, rows_of
from bayeslmm.errors import FitWarning, ModelError, check_count, check_seed
from bayeslmm.marginal.conditioning import condition
from bayeslmm.posterior.evidence import Evidence, evidence_of, log_evidence
from bayeslmm.posterior.independence import check_weights
from bayeslmm.posterior.target import Target, make_target
from bayeslmm.priors import Priors, cut
from bayeslmm.reml.estimate import fit_reml
from bayeslmm.reml.ranova import ranova_table, reductions
from bayeslmm.spec import ModelSpec
from bayeslmm.tables import Table
from bayeslmm.tables.notebook import fragment

if TYPE_CHECKING:
    import pandas as pd

# Scales of the priors, relative to those of the model.
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
# Reweighted points whose tail is heavier say nothing.
MAX_PARETO_K = 0.7


@dataclass(frozen=True, slots=True)
class Smaller:
    """A model with less in one bar term.

    Attributes
    ----------
    name : str
        What goes, as `RemlFit.ranova` names it.
    design : Design
        Its design.
    priors : Priors
        Its priors.
    tested : tuple of int
        Coordinates, in the larger model, of the SDs that go.
    """

    name: str
    design: Design
    priors: Priors
    tested: tuple[int, ...]


@dataclass(frozen=True, slots=True, repr=False)
class BayesFactors:
    """Bayes factors of a model against each smaller one.

    Attributes
    ----------
    table : DataFrame
        Index ``term`` (what goes); columns ``log_evidence`` of the model without it,
        ``log_bf`` (natural; above 0 it is wanted), ``error``, ``bf``, and of the
        restricted likelihood-ratio test ``chisq`` and ``p`` (exact where one SD is all
        there is, else of the mixture; NaN where neither is known).
    sensitivity : DataFrame
        Columns ``term``, ``scale`` (of the priors of the SDs that go, 1 as they are),
        ``log_bf``, ``bf``; NaN where the posterior under that prior is too far away.
    evidence : Evidence
        Of the model itself.
    """

    table: Table
    sensitivity: Table
    evidence: Evidence

    def __repr__(self) -> str:
        """The table, and the range under other scales of the priors."""
        return "\n".join([repr(self.table), *_ranges(self.sensitivity)])

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        return fragment(sentences=_ranges(self.sensitivity), tables=[self.table])


def bayes_factors(
    model: ModelSpec,
    *,
    scales: Sequence[float] = SCALES,
    nsim: int = 10_000,
    seed: int | np.random.Generator | None = 0,
) -> BayesFactors:
    """Bayes factor for each random effect, bar term and correlation of a model.

    Use it beside `RemlFit.ranova`: a small p says that the data would be odd without an
    effect, a Bayes factor how much better they were foreseen with it, under its prior.

    Parameters
    ----------
    model : Model
        Gaussian, priors proper, rows in memory.
    scales : sequence of float, optional
        Factors by which the priors of the SDs that are tested are widened, for the
        sensitivity.
    nsim : int, default 10000
        Draws of the exact restricted likelihood-ratio test.
    seed : int or numpy.random.Generator, optional
        Of the draws of the test and of the evidence.

    Returns
    -------
    BayesFactors
        ``table`` and ``sensitivity``.

    Raises
    ------
    DataError
        If the rows were read in batches.
    ModelError
        If there is no bar term, or the family is not Gaussian.
    PriorError
        If a prior is flat.

    Notes
    -----
    All other parameters keep their priors. Without correlations, ``(x || g)``, the SDs
    are meant where the predictors are 0, as lme4 has it; with them the default set
    means the intercept's at their means. Under a prior k times as wide the density of
    an SD's logarithm is moved by log k, so that the factor is a mean over the points of
    the posterior.

    References
    ----------
    .. [1] Kass and Raftery (1995). Bayes factors. J. Am. Stat. Assoc. 90(430).
       https://doi.org/10.1080/01621459.1995.10476572
    .. [2] Saville and Herring (2009). Testing random effects in the linear mixed model
       using approximate Bayes factors. Biometrics 65(2).
       https://doi.org/10.1111/j.1541-0420.2008.01107.x

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
    >>> found = lmm.bayes_factors(model, nsim=100)
    >>> bool(found.table.loc["(1 | classroom)", "log_bf"] > 0)
    True
    """
    check_seed(seed)
    nsim = check_count(nsim, "nsim", 0)
    chosen = _check_scales(scales)
    check_terms(model.design, "random effects to test")
    rows_of(model.design, "Bayes factors of smaller models")
    number = int(np.random.default_rng(seed).integers(2**31))
    whole = log_evidence(model, seed=number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # an SD of 0 is what is tested
        tests = ranova_table(fit_reml(model), nsim, number)
    rows, runs = {}, []
    for smaller in smaller_models(model):
        own = _evidence(smaller, number)
        log_bf = whole.log_evidence - own.log_evidence
        rows[smaller.name] = {
            "log_evidence": own.log_evidence,
            "log_bf": log_bf,
            "error": math.hypot(whole.error, own.error),
            "bf": factor(log_bf),
            **_test(tests, smaller.name),
        }
        if smaller.tested:
            moved = widened(whole, smaller.tested, chosen)
            runs += [
                {"term": smaller.name, "scale": s, "log_bf": log_bf + m}
                for s, m in zip(chosen, moved.tolist(), strict=True)
            ]
    table = Table.from_dict(rows, orient="index")
    table.index.name = "term"
    sensitivity = Table(runs, columns=["term", "scale", "log_bf"])
    sensitivity["bf"] = [factor(value) for value in sensitivity["log_bf"]]
    return BayesFactors(Table(table), sensitivity, whole)


def smaller_models(model: ModelSpec) -> Iterator[Smaller]:
    """Models with less in one bar term: an effect, correlations, or all of it."""
    design, priors = model.design, model.priors
    for t, term in enumerate(design.groups):
        sds = list(range(*design.space.scales_of(t).indices(design.space.size)))
        for one in reductions(model.recipe, t) if term.k > 1 else ():
            gone = np.flatnonzero(one.gone.any(axis=0))
            if len(one.gone) == term.k or len(gone) != len(one.gone):
                continue  # all of it, or differences of effects, which have no prior
            kept = [i for i in range(term.k) if i not in gone]
            yield Smaller(
                one.name,
                designs.with_effects(design, t, kept),
                cut.with_effects(priors, t, kept),
                tuple(sds[i] for i in gone.tolist()),
            )
        if term.covariance.unstructured and term.k > 1:
            yield Smaller(
                f"correlations of {term.label}",
                designs.uncorrelated(design, t),
                cut.uncorrelated(priors, t),
                (),
            )
        without = designs.without_term(design, t), cut.without_term(priors, t)
        yield Smaller(term.label, *without, tuple(sds))


def _evidence(smaller: Smaller, seed: int) -> Evidence:
    """Evidence of a smaller model."""
    design, priors = smaller.design, smaller.priors
    target = make_target(design, condition(design), priors)
    return evidence_of(f"without {smaller.name}", target, priors, seed=seed)


def widened(
    whole: Evidence, tested: Sequence[int], scales: Sequence[float]
) -> Float[np.ndarray, " s"]:
    """Log evidence under wider priors of some SDs, less that under their own.

    NaN where the points of the posterior do not reach that of the other prior.
    """
    target, log_weights = whole.target, np.log(np.maximum(whole.weights, 1e-300))
    found = []
    for scale in scales:
        ratio = np.zeros(len(whole.x))
        for i in tested:
            ratio += _moved(target, i, whole.x[:, i], math.log(scale))
        own = log_weights + ratio
        top = float(own.max())
        value = top + math.log(float(np.exp(own - top).sum()))
        if whole.method == "bridge" and scale != 1.0:
            trusted = check_weights(ratio).pareto_k <= MAX_PARETO_K
            value = value if trusted else math.nan
        found.append(value)
    return np.array(found)


def _moved(
    target: Target, i: int, x: Float[np.ndarray, " n"], by: float
) -> Float[np.ndarray, " n"]:
    """Log density of a coordinate under its prior moved by so much, less its own."""
    density, (values, at) = target.scale_logp[i], np.unique(x, return_inverse=True)
    moved = [density(v - by)[0] - density(v)[0] for v in values.tolist()]
    return np.array(moved)[at]


def _test(tests: "pd.DataFrame", name: str) -> dict[str, float]:
    """Statistic and p of the restricted likelihood-ratio test, as far as known."""
    row = tests.to_dict("index").get(name)
    if row is None:
        return {"chisq": math.nan, "p": math.nan}
    exact = float(row.get("p_exact", math.nan))
    p = exact if math.isfinite(exact) else float(row["p_mixture"])
    return {"chisq": float(row["chisq"]), "p": p}


def _check_scales(scales: object) -> tuple[float, ...]:
    """Positive numbers, or a `ModelError`."""
    try:
        found = tuple(float(s) for s in scales)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        found = ()
    if not found or not all(0.0 < s < math.inf for s in found):
        raise ModelError(
            f"scales must be positive numbers by which priors of SDs are widened, such "
            f"as (0.5, 1, 2), not {scales!r}."
        )
    return found


def _ranges(sensitivity: "pd.DataFrame") -> Iterator[str]:
    """The range of each factor over the scales, a sentence each."""
    for term, own in sensitivity.groupby("term", sort=False):
        low, high = own["log_bf"].min(), own["log_bf"].max()
        scales = own["scale"]
        yield (
            f"{term}: Bayes factor {factor(low):.3g} to {factor(high):.3g} as the "
            f"prior of its SDs is {scales.min():g} to {scales.max():g} times as wide."
        )
