"""Whether a posterior is proper and which of its means exist, before anything is drawn.

Takes a `Model`, gives a `Propriety`: sentences with their reasons, and the tail of
every parameter.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayeslmm.design.space import POSITIVE, ParameterSpace
from bayeslmm.errors import ModelError
from bayeslmm.posterior.improper import alternative, likelihood_words, power
from bayeslmm.posterior.options import choose_method
from bayeslmm.posterior.rays import FLAT_SLOPE, HIGHEST, Ray, tail_rays
from bayeslmm.posterior.tails import (
    Missing,
    find_tails,
    growths,
    improper_reason,
    missing_moments,
)
from bayeslmm.posterior.target import make_target
from bayeslmm.priors import scale_logp
from bayeslmm.spec import ModelSpec
from bayeslmm.tables import Sentences, Table
from bayeslmm.tables.notebook import fragment
from bayeslmm.tables.numbers import listed

if TYPE_CHECKING:
    import pandas as pd

# Log units above its middle at which a prior's power is read off.
FAR = 60.0


@dataclass(frozen=True, slots=True, repr=False)
class Propriety:
    """Whether a posterior is proper, and which means and SDs it has.

    Attributes
    ----------
    proper : bool
        Whether the posterior can be normalised.
    messages : tuple of str
        Plain sentences: what does not exist, why, what to read instead, and the prior
        nearest to the model's under which it exists.
    table : DataFrame
        Index ``label``: every parameter, and the effects of levels
        (``Intercept|classroom``). Columns ``component`` (fixef, sd, corr, sigma,
        ranef); ``tail_index``, a: far out the probability of more than v falls as
        ``v**-a``, so that moments of orders below a exist (infinite where it falls
        faster than any power); ``mean`` and ``sd``, whether they exist. Where the
        posterior is improper there is no tail, and nothing exists.
    missing : Missing
        The same as labels, as ``post.status.missing`` has them.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(3, seed=1).data
    >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils, priors="flat")
    >>> propriety = model.propriety()
    >>> propriety.proper, propriety.missing.mean
    (True, ('Intercept', '1|classroom_sigma', 'Intercept|classroom'))
    """

    proper: bool
    messages: tuple[str, ...]
    table: "pd.DataFrame"
    missing: Missing

    def __repr__(self) -> str:
        """The sentences, then the tails."""
        return f"{Sentences(self.messages)!r}\n\n{self.table!r}"

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        return fragment(sentences=self.messages, tables=[self.table])


def propriety(model: ModelSpec) -> Propriety:
    """Whether the posterior of a model is proper, and which means and SDs it has.

    Nothing is drawn; see `Model.propriety` for what is worked out and how.
    """
    chosen, reason = choose_method(model, "auto")
    if chosen == "joint":
        raise ModelError(
            f"What tails a posterior has is worked out where the effects can be "
            f"integrated out: Gaussian models with Normal or flat priors of the fixed "
            f"effects. {reason}"
        )
    design = model.design
    target = make_target(design, model.conditioned, model.priors)
    rays = tail_rays(target)
    if why := improper_reason(design, target, rays, model.priors.name):
        everything = tuple(_table(model, {}).index)
        table = _table(model, dict.fromkeys(everything, math.nan))
        return Propriety(False, (why,), table, Missing(everything, everything))
    tails: dict[str, float] = {}
    for ray in rays:
        for label, rate in growths(design, target, ray)[0].items():
            if rate:
                own = _whole(-ray.slope) / rate
                tails[label] = min(tails.get(label, math.inf), own)
    missing = missing_moments(design, target, rays)
    messages = _messages(model, target.space, rays, missing)
    return Propriety(True, messages, _table(model, tails), missing)


def propriety_notes(model: ModelSpec) -> tuple[str, ...]:
    """What is improper or does not exist, in sentences; empty where all is well.

    Of models with proper priors that have two moments nothing is computed: then the
    posterior has them too.
    """
    if choose_method(model, "auto")[0] == "joint" or not _heavy(model):
        return ()
    found = propriety(model)
    return found.messages if not found.proper or found.missing.sd else ()


def refuse_improper(model: ModelSpec) -> None:
    """Raise `PriorError` if the posterior is improper, where that can be told."""
    if choose_method(model, "auto")[0] == "marginal":
        target = make_target(model.design, model.conditioned, model.priors)
        find_tails(model.design, target, model.priors.name)


def _heavy(model: ModelSpec) -> bool:
    """Whether a prior of an SD has a tail that leaves a moment to the likelihood."""
    return any(scale_logp(p)(FAR)[1] + HIGHEST >= 0.0 for p in model.priors.scales)


def _whole(index: float) -> float:
    """A tail index without the rounding of the likelihood; infinite beyond powers."""
    near = round(index) if math.isfinite(index) else index
    if abs(index - near) < FLAT_SLOPE:
        return float(near) if index < 1e3 else math.inf
    return round(index, 2) if index < 1e3 else math.inf


def _table(model: ModelSpec, tails: dict[str, float]) -> "pd.DataFrame":
    """Tail, mean and SD of every parameter."""
    rows = {p.label: p.component for p in model.space.parameters}
    for term in model.design.groups:
        rows |= {f"{effect}|{term.group}": "ranef" for effect in term.effects}
    index = {label: tails.get(label, math.inf) for label in rows}
    found = Table(
        {
            "component": rows,
            "tail_index": index,
            "mean": {label: value > 1.0 for label, value in index.items()},
            "sd": {label: value > 2.0 for label, value in index.items()},
        }
    )
    found.index.name = "label"
    return found


def _messages(
    model: ModelSpec, space: ParameterSpace, rays: Sequence[Ray], missing: Missing
) -> tuple[str, ...]:
    """What does not exist and why, or that all does."""
    if not missing.sd:
        return (
            "The posterior is proper, and every parameter and level has a mean and an "
            "SD.",
        )
    light = [ray for ray in rays if not ray.has_mean(HIGHEST)]
    said = [ray for ray in light if _is_news(ray, light)]
    own = [space.told(i) for i in sorted({i for ray in light for i in ray.scales})]
    near = alternative(model.design, own, model.priors.name)
    return (
        "The posterior is proper, but not all of its means and SDs exist.",
        *(_sentence(model, space, ray) for ray in said),
        *_followers(space, missing),
        f"Near at hand is a proper prior of {listed(p.label for p in own)} and nothing "
        f"else, {near}: then all means and SDs exist.",
    )


def _is_news(ray: Ray, light: Sequence[Ray]) -> bool:
    """Whether several SDs together lack what none of them lacks alone."""
    parts = [one for one in light if set(one.scales) < set(ray.scales)]
    return not any(ray.has_mean(1.0) or not one.has_mean(1.0) for one in parts)


def _sentence(model: ModelSpec, space: ParameterSpace, ray: Ray) -> str:
    """What one SD, or several that grow together, lack, and why."""
    own = [space.told(i) for i in ray.scales]
    names, has_mean = listed(p.label for p in own), ray.has_mean(1.0)
    what = "SD" if has_mean else "mean"
    though = ", though it has a mean" if has_mean else ""
    likelihood = likelihood_words(model.design, space, ray)
    read = "the median and the interval" if has_mean else "the median"
    if len(own) > 1:
        return (
            f"{names} are not bounded together, so that no {what} exists: "
            f"{likelihood}, and their priors do not make up for it. Read {read}."
        )
    falls = power(_whole(1.0 - ray.slope))
    prior = _whole(1.0 - ray.prior)
    of_prior = f"falls as {power(prior)}" if prior else "does not fall"
    return (
        f"The {what} of {names} is infinite{though}: far out its density falls as "
        f"{falls}, because {likelihood} and its prior, {model.priors.of(own[0])}, "
        f"{of_prior}. Read {read}."
    )


def _followers(space: ParameterSpace, missing: Missing) -> Iterator[str]:
    """The other parameters and effects without a mean, and those without an SD."""
    scales = {p.label for p in space.parameters if p.bounds == POSITIVE}
    only_sd = tuple(label for label in missing.sd if label not in missing.mean)
    for what, labels in (("mean", missing.mean), ("SD", only_sd)):
        others = [label for label in labels if label not in scales]
        if others:
            have = "has" if len(others) == 1 else "have"
            yield (
                f"{listed(others)} {have} no {what} either: only the levels tell of "
                f"{'it' if len(others) == 1 else 'them'}, on the scale of their SD."
            )
