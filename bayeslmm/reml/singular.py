"""A singular fit, translated: what is at its boundary, and what to make of it.

Takes a `RemlFit`, and the posterior of the same model where there is one; gives a
`SingularFit`: sentences with what the likelihood, simpler models and the posterior say.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from bayeslmm.errors import ModelError, is_number, shortened
from bayeslmm.reml.expense import EXPENSIVE
from bayeslmm.reml.late import problem_of
from bayeslmm.reml.ridges import Slope, slopes_at
from bayeslmm.reml.simpler import (
    Simpler,
    fixed_table,
    simpler_models,
    simpler_table,
)
from bayeslmm.reml.singular_words import (
    near_messages,
    singular_messages,
    smaller_sentence,
)
from bayeslmm.tables import Sentences, Table
from bayeslmm.tables.notebook import fragment
from bayeslmm.tables.shown import drawn

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.spec import ModelSpec

# A correlation is strong beyond this.
STRONG = 0.9
# Draws from exact null distributions.
NSIM = 10_000


@runtime_checkable
class Drawn(Protocol):
    """What a posterior has of which this room may know."""

    @property
    def model(self) -> "ModelSpec":
        """The model."""
        ...

    def draws(self, label: str) -> Float[np.ndarray, "chain draw"]:
        """Draws of a parameter."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class SingularFit:
    """What a singular fit means.

    Attributes
    ----------
    singular : bool
        Whether a covariance of random effects is without full rank. The rest then says
        what it means; of other fits how far they are from it.
    messages : tuple of str
        Plain sentences: what is at its boundary, what the likelihood says there, what
        the simpler models give and the test against them, what the posterior knows,
        and what to do.
    table : DataFrame
        Index ``without``: the fit, and the model without each part of its singular
        terms (of all terms if it is not singular). Columns as of `RemlFit.ranova`.
    fixef : DataFrame
        Index ``label`` (each fixed effect, and sigma) and ``without``, as before;
        columns ``estimate``, ``se``.
    posterior : DataFrame or None
        Of the SDs and correlations of the singular terms: index ``label``; columns
        ``component`` (sd, corr), ``reml``, ``median``, ``lower``, ``upper`` (95%, equal
        tails), ``small`` (the SD that is held to be small, units of the data; 0.9 for a
        correlation) and ``probability``: of an SD below it, of a correlation beyond it
        on either side.
    slopes : tuple of Slope
        The criterion along what is at its boundary.
    fit : RemlFit
        The fit.
    post : Posterior or None
        The posterior.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(6, seed=1).data
    >>> fit = lmm.Model("score ~ edu + (1 | classroom)", pupils).fit_reml()
    >>> found = fit.explain_singular()
    >>> found.singular, list(found.table.index)
    (False, ['<none>', '(1 | classroom)'])
    """

    singular: bool
    messages: tuple[str, ...]
    table: "pd.DataFrame"
    fixef: "pd.DataFrame"
    posterior: "pd.DataFrame | None"
    slopes: tuple[Slope, ...]
    fit: "RemlFit"
    post: Drawn | None

    def plot(self, **options: object) -> "Figure":
        """The ridge of the likelihood; options as of `bayeslmm.plot_singular`."""
        return drawn(self, **options)

    def __repr__(self) -> str:
        """The sentences."""
        return repr(Sentences(self.messages))

    def _repr_html_(self) -> str:
        """The sentences, and the tables, for notebooks."""
        drawn_tables = [] if self.posterior is None else [self.posterior]
        tables = [self.table, self.fixef, *drawn_tables]
        return fragment(sentences=self.messages, tables=tables)


def explain_singular(fit: "RemlFit", post: object, *, small: object) -> SingularFit:
    """What a singular fit means; see `RemlFit.explain_singular`."""
    drawn_of = _checked(fit, post)
    share = _share(small)
    terms = singular_terms(fit) or range(len(fit.design.groups))
    one = len(fit.design.groups) == 1
    found: list[Simpler] = []
    for t in terms:
        found += simpler_models(fit, t, NSIM if one else 0, seed=0)
    tables = simpler_table(fit, found), fixed_table(fit, found)
    if not fit.status.singular:
        messages = near_messages(fit, found)
        return SingularFit(False, messages, *tables, None, (), fit, drawn_of)
    slopes = () if _is_dear(fit) else slopes_at(fit)
    known = None if drawn_of is None else posterior_table(fit, drawn_of, share)
    messages = singular_messages(fit, slopes, found, known, share)
    return SingularFit(True, messages, *tables, known, slopes, fit, drawn_of)


def brief_sentences(fit: "RemlFit") -> tuple[str, ...]:
    """What a reading says of a singular fit: smaller models, and who says more.

    Nothing where they would take long.
    """
    if not fit.status.singular or _is_dear(fit):
        return ()
    one = len(fit.design.groups) == 1
    models = [
        simpler
        for t in singular_terms(fit)
        for simpler in simpler_models(fit, t, NSIM if one else 0, seed=0)
    ]
    said = [smaller_sentence(fit, one) for one in models]
    return (*said, "explain_singular() says more of the singular fit, and what to do.")


def _is_dear(fit: "RemlFit") -> bool:
    """Whether one value of the criterion takes long."""
    return problem_of(fit).statistics.seconds > EXPENSIVE


def singular_terms(fit: "RemlFit") -> list[int]:
    """Numbers of the bar terms whose covariance has not full rank."""
    boundary = set(fit.status.boundary)
    own = (p for p in fit.design.space.parameters if p.label in boundary)
    return sorted({p.term for p in own if p.term is not None})


def small_sd(fit: "RemlFit", t: int, effect: int, share: float) -> float:
    """SD of an effect that moves a typical row by a share of the residual SD."""
    size = float(fit.design.moments.Z[t].rms()[effect])
    return share * fit.sigma / max(size, 1e-300)


def posterior_table(fit: "RemlFit", post: Drawn, share: float) -> "pd.DataFrame":
    """What the posterior knows of the SDs and correlations of singular terms."""
    estimates, rows = fit.varcorr()["estimate"], {}
    terms = singular_terms(fit)
    for p in fit.design.space.parameters:
        if p.term not in terms or p.term is None:
            continue
        draws = post.draws(p.label).ravel()
        if p.component == "sd":
            limit = small_sd(fit, p.term, p.index[0], share)
            chance = float((draws < limit).mean())
        else:
            limit, chance = STRONG, float((np.abs(draws) > STRONG).mean())
        lower, median, upper = np.quantile(draws, [0.025, 0.5, 0.975]).tolist()
        rows[p.label] = {
            "component": p.component,
            "reml": float(estimates[p.label]),
            "median": median,
            "lower": lower,
            "upper": upper,
            "small": limit,
            "probability": chance,
        }
    table = Table.from_dict(rows, orient="index")
    table.index.name = "label"
    return Table(table)


def _share(small: object) -> float:
    """Share of the residual SD that is small.

    Raises
    ------
    ModelError
        If it is no positive number.
    """
    if not is_number(small) or not 0.0 < small < np.inf:
        raise ModelError(
            f"small is the share of the residual SD by which an effect may move a "
            f"typical row and be called small, such as 0.1, not {shortened(small)}."
        )
    return float(small)


def _checked(fit: "RemlFit", post: object) -> Drawn | None:
    """The posterior, if it is one of the same model.

    Raises
    ------
    ModelError
        If it is not.
    """
    if post is None:
        return None
    if not isinstance(post, Drawn):
        raise ModelError(
            f"post must be what model.sample() gives, not {shortened(post)} "
            f"({type(post).__name__})."
        )
    own, other = fit.model, post.model
    if own.space.labels != other.space.labels or own.design.n != other.design.n:
        raise ModelError(
            f"The fit is of {own.formula.text!r} on {own.design.n:,} rows, the "
            f"posterior of {other.formula.text!r} on {other.design.n:,}. Give the "
            "posterior of the same model: model.sample()."
        )
    return post


def combination_draws(
    fit: "RemlFit", post: Drawn, t: int, weights: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " s"]:
    """Draws of the SD of a combination of the effects of an unstructured term."""
    space = fit.design.space
    drawn_sds = [post.draws(p.label).ravel() for p in space.sds(t)]
    sds = [own * w for own, w in zip(drawn_sds, weights, strict=True)]
    variance = np.square(sds).sum(axis=0)
    for p in space.corrs(t):
        i, j = p.index
        variance += 2.0 * sds[i] * sds[j] * post.draws(p.label).ravel()
    return np.sqrt(np.maximum(variance, 0.0))
