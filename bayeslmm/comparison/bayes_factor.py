"""Bayes factors: one model against another, and each random effect against none.

Takes models, or their posteriors; gives the ratio of their evidences with its error.
What models share must have the same priors, or the factor would compare these too.
"""

import math
from dataclasses import dataclass

import numpy as np

from bayeslmm.comparison.nested import data_difference
from bayeslmm.errors import ModelError, check_seed, shortened
from bayeslmm.posterior.evidence import Evidence, log_evidence
from bayeslmm.posterior.fit import Posterior
from bayeslmm.priors import Prior
from bayeslmm.spec import ModelSpec
from bayeslmm.tables.notebook import fragment

# Arguments of priors that differ by less are the same, computed twice.
ROUNDING = 1e-9
# Beyond this a Bayes factor is no number that doubles have; its logarithm is.
LARGEST_LOG = 700.0


@dataclass(frozen=True, slots=True, repr=False)
class BayesFactor:
    """How much better one model foresaw the data than another.

    Attributes
    ----------
    log_bf : float
        Log of the evidence of the first less that of the second, natural.
    error : float
        Its error.
    first, second : Evidence
        Evidence of each, with how it was computed.
    notes : tuple of str
        What the reader must know.
    """

    log_bf: float
    error: float
    first: Evidence
    second: Evidence
    notes: tuple[str, ...]

    @property
    def bf(self) -> float:
        """The factor: odds after the data, if they were even before."""
        return factor(self.log_bf)

    def __repr__(self) -> str:
        """The factor in favour of the better model, and the notes."""
        better, worse = self.first.said, self.second.said
        if self.log_bf < 0.0:
            better, worse = worse, better
        head = (
            f"Bayes factor {factor(abs(self.log_bf)):.4g} in favour of {better!r} "
            f"against {worse!r} (log {abs(self.log_bf):.3f}, error {self.error:.1g})."
        )
        return "\n".join([head, *self.notes])

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        return fragment(sentences=repr(self).splitlines())


def factor(log_bf: float) -> float:
    """A factor from its logarithm; infinite where doubles end."""
    return math.exp(log_bf) if log_bf < LARGEST_LOG else math.inf


def bayes_factor(
    first: ModelSpec | Posterior,
    second: ModelSpec | Posterior,
    *,
    seed: int | np.random.Generator | None = 0,
) -> BayesFactor:
    """Bayes factor of one model against another of the same data.

    Use it to weigh two models by how well they foresaw the data, priors included; `loo`
    asks how well they predict new ones. `bayes_factors` tests each random effect.

    Parameters
    ----------
    first, second : Model or Posterior
        Gaussian models with proper priors; of a posterior the draws are used where the
        evidence is not by quadrature.
    seed : int or numpy.random.Generator, optional
        Of the points that check the evidence, and of draws.

    Returns
    -------
    BayesFactor
        ``log_bf``, ``bf``, ``error``, and the `Evidence` of both.

    Raises
    ------
    ModelError
        If these are no models of the same data, or the priors of what both have
        differ.
    PriorError
        If a prior is flat: then its height, and the factor, are arbitrary.

    References
    ----------
    .. [1] Kass and Raftery (1995). Bayes factors. J. Am. Stat. Assoc. 90(430).
       https://doi.org/10.1080/01621459.1995.10476572

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> texts = "score ~ edu + (1 | classroom)", "score ~ edu + (edu || classroom)"
    >>> one, two = (lmm.Model(text, pupils) for text in texts)
    >>> found = lmm.bayes_factor(one, two)
    >>> found.error < 0.01
    True
    """
    check_seed(seed)
    models = [_model_of(given) for given in (first, second)]
    difference = data_difference(*models)
    if difference:
        raise ModelError(
            f"Evidences of different data cannot be compared: {difference} "
            f"('{models[0].said}' and '{models[1].said}'). Make both models of the "
            f"same rows."
        )
    _check_priors(*models)
    number = int(np.random.default_rng(seed).integers(2**31))
    one, two = (log_evidence(given, seed=number) for given in (first, second))
    return BayesFactor(
        one.log_evidence - two.log_evidence,
        math.hypot(one.error, two.error),
        one,
        two,
        tuple(_reference_notes(*models)),
    )


def _model_of(given: object) -> ModelSpec:
    """The model that was given, or that of a posterior."""
    if isinstance(given, Posterior):
        return given.model
    if not isinstance(given, ModelSpec):
        raise ModelError(
            f"A Bayes factor is of models or of what model.sample() gives, not "
            f"{shortened(given)} ({type(given).__name__}). Of a Fit give fit.posterior."
        )
    return given


def _check_priors(one: ModelSpec, other: ModelSpec) -> None:
    """Raise unless parameters of the same name have the same prior."""
    known = {p.label: p for p in other.space.parameters}
    for p in one.space.parameters:
        if p.label not in known or p.component == "corr":
            continue
        ours, theirs = one.priors.of(p), other.priors.of(known[p.label])
        if not _same(ours, theirs):
            raise ModelError(
                f"The prior of {p.label!r} is {ours} in '{one.said}' and {theirs} in "
                f"'{other.said}', so that a Bayes factor would compare priors as well "
                f"as models. Give what both models have the same priors, by name: "
                f"priors={{{p.label.removesuffix('_sigma')!r}: ...}}."
            )


def _same(one: Prior, other: Prior) -> bool:
    """Whether two priors are the same up to rounding."""
    a, b = one.arguments, other.arguments
    return (one.name, a.keys()) == (other.name, b.keys()) and bool(
        np.allclose([*a.values()], [*b.values()], rtol=ROUNDING, atol=0.0)
    )


def _reference_notes(one: ModelSpec, other: ModelSpec) -> list[str]:
    """Where the SD of an intercept is meant at other places in the two models."""
    rows = [{label: why for label, _, why in m.priors.labels} for m in (one, other)]
    found = []
    for label in rows[0].keys() & rows[1].keys():
        places = [own[label].partition("; ")[2] for own in rows]
        if all(places) and places[0] != places[1]:
            found.append(
                f"The prior of {label!r} is meant {places[0]} in '{one.said}' and "
                f"{places[1]} in '{other.said}'."
            )
    return sorted(found)
