"""What a study tests, and the p value of one simulated response.

Takes a model, what is to be found and by which test; gives a `Target`, which a process
of its own can call: response -> estimate and p value.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, cast

import numpy as np
from jaxtyping import Float
from scipy.linalg import null_space
from scipy.special import chdtrc

from bayeslmm.design.arrays import (
    Design,
    EffectVariable,
    FixedVariable,
    GroupTerm,
    rows_of,
)
from bayeslmm.design.contrasts import check_consistent, make_contrasts
from bayeslmm.design.hypotheses import term_hypotheses
from bayeslmm.errors import (
    ModelError,
    SamplingError,
    SamplingInterruptedError,
    is_choice,
)
from bayeslmm.reml.ddf import DDF, Ddf, check_ddf, denominator_at
from bayeslmm.reml.effect_tests import p_of_f, p_of_t
from bayeslmm.reml.refit import Refitter, design_refitter
from bayeslmm.spec import ModelSpec

Test = Literal["satterthwaite", "kenward-roger", "z", "residual", "lrt", "posterior"]
TESTS: tuple[Test, ...] = (*DDF, "lrt", "posterior")
# Structures that are the same kind of structure without one of their effects.
SD_STRUCTURES = ("us", "diag")


class Result(NamedTuple):
    """One simulated study: the estimate, its p value, and whether the fit converged."""

    estimate: float
    p: float
    converged: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows over the fixed effects that are 0 under the hypothesis, or one SD.

    ``sd`` is the bar term and the effect in it whose SD is 0 under the hypothesis.
    """

    name: str
    rows: Float[np.ndarray, "l p"]
    constants: Float[np.ndarray, " l"]
    sd: tuple[int, int] | None = None


def read_effect(model: ModelSpec, effect: object) -> Wanted:
    """What ``effect`` names: a term, an SD, or a combination of fixed effects.

    Raises
    ------
    ModelError, FormulaError
        If it is nothing of these.
    """
    design = model.design
    if isinstance(effect, str):
        for p in design.space.parameters:
            if p.label == effect and p.component == "sd" and p.term is not None:
                nothing = np.zeros((0, design.p)), np.zeros(0)
                return Wanted(effect, *nothing, sd=(p.term, p.index[0]))
        terms = term_hypotheses(model.recipe, 3)
        if effect in terms and effect not in design.fixed_names:
            return Wanted(effect, terms[effect], np.zeros(len(terms[effect])))
    found = make_contrasts(design, effect)
    check_consistent(found)
    return Wanted("; ".join(found.names), found.weights, found.constants)


def choose_test(wanted: Wanted, test: object) -> Test:
    """The test asked for; without one the likelihood ratio for an SD, or Satterthwaite.

    Raises
    ------
    ModelError
        If the test is unknown, or does not exist for what is wanted.
    """
    if test is None:
        return "satterthwaite" if wanted.sd is None else "lrt"
    if not is_choice(test, TESTS):
        raise ModelError(
            f"Unknown test={test!r}. Options: {', '.join(map(repr, TESTS))}."
        )
    if wanted.sd is not None and test != "lrt":
        raise ModelError(
            f"The SD {wanted.name!r} is tested by test='lrt' alone: REML likelihoods "
            f"with and without it."
        )
    return cast("Test", test)


def make_target(model: ModelSpec, wanted: Wanted, test: Test) -> "Target":
    """What gives estimate and p value of a response, by a test of `choose_test`.

    Raises
    ------
    ModelError
        If the test does not exist for this model.
    """
    if wanted.sd is not None:
        return _sd_target(model.design, *wanted.sd)
    if test == "lrt":
        return _ratio_target(model.design, wanted)
    if test == "posterior":
        return PosteriorTarget(model, wanted)
    refitter = design_refitter(model.design, restricted=True)
    return DdfTarget(refitter, wanted, check_ddf(test))


@dataclass(frozen=True, slots=True)
class DdfTarget:
    """t or F with degrees of freedom by a method of `RemlFit.summary`."""

    refitter: Refitter
    wanted: Wanted
    ddf: Ddf

    def warmed(self, y: Float[np.ndarray, " n"]) -> "DdfTarget":
        """The same, its searches starting where that of a response ends."""
        return replace(self, refitter=self.refitter.warmed(y))

    def __call__(self, y: Float[np.ndarray, " n"]) -> Result:
        """Estimate and p value of a response."""
        ended, profile = self.refitter.search(y)
        beta = ended.problem.conditioned.coefficients(profile.beta)
        values = self.wanted.rows @ beta + self.wanted.constants
        if not ended.optimum.converged:
            return Result(float(values[0]), np.nan, False)
        known = denominator_at(ended, self.ddf)
        if len(values) > 1:
            p = p_of_f(known.test(self.wanted.rows, values))
            return Result(float(values[0]), p, True)
        t = values / np.sqrt(known.variances(self.wanted.rows))
        p = float(p_of_t(t, np.array([known.df(self.wanted.rows[0])]))[0])
        return Result(float(values[0]), p, True)


@dataclass(frozen=True, slots=True)
class RatioTarget:
    """Likelihood-ratio test: two criteria, chi-square; half of it at a boundary.

    ``degrees`` has the degrees of freedom whose chi-square p values are averaged.
    """

    full: Refitter
    reduced: Refitter
    degrees: tuple[int, ...]
    estimate: Callable[[Refitter, Float[np.ndarray, " n"]], tuple[float, float, bool]]

    def warmed(self, y: Float[np.ndarray, " n"]) -> "RatioTarget":
        """The same, its searches starting where those of a response end."""
        full, reduced = self.full.warmed(y), self.reduced.warmed(y)
        return replace(self, full=full, reduced=reduced)

    def __call__(self, y: Float[np.ndarray, " n"]) -> Result:
        """Estimate and p value of a response."""
        value, criterion, converged = self.estimate(self.full, y)
        without = self.reduced(y)
        statistic = max(without.criterion - criterion, 0.0)
        parts = [chdtrc(d, statistic) if d else statistic <= 0.0 for d in self.degrees]
        return Result(value, float(np.mean(parts)), converged and without.converged)


@dataclass(frozen=True, slots=True)
class _Combined:
    """The first combination, for the estimate of a test of the fixed effects."""

    row: Float[np.ndarray, " p"]
    constant: float

    def __call__(
        self, refitter: Refitter, y: Float[np.ndarray, " n"]
    ) -> tuple[float, float, bool]:
        """Estimate, criterion, convergence."""
        found = refitter(y)
        value = float(self.row @ found.beta + self.constant)
        return value, found.criterion, found.converged


@dataclass(frozen=True, slots=True)
class _Spread:
    """The SD of one effect."""

    term: int
    effect: int

    def __call__(
        self, refitter: Refitter, y: Float[np.ndarray, " n"]
    ) -> tuple[float, float, bool]:
        """Estimate, criterion, convergence."""
        found = refitter(y)
        value = float(np.linalg.norm(found.factors[self.term][self.effect]))
        return value, found.criterion, found.converged


def _ratio_target(design: Design, wanted: Wanted) -> RatioTarget:
    """ML likelihoods with the fixed effects free, and held to the hypothesis."""
    if wanted.constants.any():
        raise ModelError(
            f"test='lrt' compares with 0, and {wanted.name!r} with another value. Use "
            f"test='satterthwaite'."
        )
    full = design_refitter(design, restricted=False)
    reduced = design_refitter(_constrained(design, wanted.rows), restricted=False)
    rank = int(np.linalg.matrix_rank(wanted.rows))
    return RatioTarget(full, reduced, (rank,), _Combined(wanted.rows[0], 0.0))


def _constrained(design: Design, rows: Float[np.ndarray, "l p"]) -> Design:
    """The design whose fixed effects obey ``rows @ beta = 0``."""
    own = rows_of(design, "a likelihood-ratio test")
    X = own.X @ null_space(rows)
    fixed = tuple(FixedVariable(f"free{i}", (i,)) for i in range(X.shape[1]))
    return replace(design, fixed=fixed, rows=replace(own, X=X))


def _sd_target(design: Design, term: int, effect: int) -> RatioTarget:
    """REML likelihoods with an effect that varies, and without it.

    Under the hypothesis one SD is at its boundary with the correlations it takes with
    it: the mean of two chi-squares (Stram and Lee 1994, doi:10.2307/2533455).
    """
    group = design.groups[term]
    if group.k > 1 and group.structure not in SD_STRUCTURES:
        raise ModelError(
            f"An SD of {group.label} cannot be tested: the structure "
            f"{group.structure!r} has no model without one of its effects. Write the "
            f"term without a structure, or with diag()."
        )
    kept = [i for i in range(group.k) if i != effect]
    if not kept and len(design.groups) == 1:
        raise ModelError(
            f"{group.label} is the only random effect, and a model without one is not "
            f"fitted here. Use the exact test: lmm.anova of a fit."
        )
    own = rows_of(design, "a likelihood-ratio test")
    groups, Z, codes = list(design.groups), list(own.Z), list(own.codes)
    if kept:
        groups[term] = _without(group, kept)
        Z[term] = np.ascontiguousarray(own.Z[term][:, kept])
    else:
        del groups[term], Z[term], codes[term]
    rows = replace(own, Z=tuple(Z), codes=tuple(codes))
    reduced = replace(design, groups=tuple(groups), rows=rows)
    lost = group.covariance.n_theta(group.k)
    lost -= group.covariance.n_theta(len(kept)) if kept else 0
    return RatioTarget(
        design_refitter(design, restricted=True),
        design_refitter(reduced, restricted=True),
        (lost - 1, lost),
        _Spread(term, effect),
    )


def _without(group: GroupTerm, kept: list[int]) -> GroupTerm:
    """A bar term with some of its effects."""
    variables: list[EffectVariable] = []
    for v in group.variables:
        left = [i for i, effect in enumerate(v.effects) if effect in kept]
        places = tuple(kept.index(v.effects[i]) for i in left)
        coords = tuple(v.coords[i] for i in left) if v.coords else ()
        if left:
            variables.append(replace(v, effects=places, coords=coords))
    effects = tuple(group.effects[i] for i in kept)
    return replace(group, effects=effects, variables=tuple(variables))


@dataclass(frozen=True, slots=True)
class PosteriorTarget:
    """Twice the posterior probability of the other sign, under the model's priors."""

    model: ModelSpec
    wanted: Wanted

    def __post_init__(self) -> None:
        """One combination has a sign; several have none."""
        if len(self.wanted.rows) != 1:
            raise ModelError(
                f"{self.wanted.name!r} has {len(self.wanted.rows)} combinations, which "
                f"have no common sign. Give one, such as 'x'."
            )

    def __call__(self, y: Float[np.ndarray, " n"]) -> Result:
        """Estimate and p value of a response."""
        from bayeslmm.posterior.sampling import sample

        model = self.model.with_response(y)
        try:
            post = sample(model, draws=500, chains=2, seed=1, cores=1, progress=False)
        except SamplingInterruptedError as error:
            raise KeyboardInterrupt from error
        except SamplingError:
            return Result(np.nan, np.nan, False)
        if post.status.partial:  # Ctrl-C is meant for all studies
            raise KeyboardInterrupt
        names = model.design.fixed_names
        draws = sum(
            weight * post.draws(name)
            for name, weight in zip(names, self.wanted.rows[0], strict=True)
            if weight
        )
        values = np.asarray(draws) + self.wanted.constants[0]
        above = float((values > 0.0).mean())
        return Result(float(np.median(values)), 2.0 * min(above, 1.0 - above), True)


Target = DdfTarget | RatioTarget | PosteriorTarget
