"""All that a report says, computed once.

Takes a model and its fits; gives `Facts`: tables, sentences and numbers of figures.
What a model cannot have is None, with the reason among ``left_out``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayeslmm.comparison import (
    answer,
    compare,
    component_panels,
    effect_tests,
    pooling_factors,
    reading,
    shrinkage_path,
    shrinkage_reading,
    shrinkage_table,
    unit_words,
)
from bayeslmm.comparison.blocks import group_blocks
from bayeslmm.comparison.check_panels import CheckPanels, check_panels
from bayeslmm.comparison.component_words import component_sentences
from bayeslmm.comparison.components import ComponentPanel
from bayeslmm.comparison.table import interval_name
from bayeslmm.errors import BayesLMMError
from bayeslmm.reporting.components import components_table
from bayeslmm.reporting.figures import can_be_checked
from bayeslmm.reporting.record import Record
from bayeslmm.reporting.tables import TextTable

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.posterior.diagnose import Diagnosis
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.check import AssumptionCheck
    from bayeslmm.reml.fit import RemlFit
    from bayeslmm.reporting.fitted import Fitted
    from bayeslmm.spec import ModelSpec

PROB = 0.95  # of all intervals of a report
SLOW = 3e-5  # seconds of an evaluation; curves of components take some 50,000 of them
MOST_COMPONENTS = 8  # with curves
MOST_LEVELS = 20_000  # of all groups, of which each is looked at
MOST_TURNED = 600  # random effects, of which all are solved for at 60 SDs


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """What pooling did: the table at the means, sentences by group, paths of SDs."""

    table: "pd.DataFrame"
    sentences: dict[str, tuple[str, ...]]
    paths: "tuple[pd.DataFrame, ...]"
    factors: "pd.DataFrame | None"

    @property
    def column(self) -> str:
        """Which pooling is told: the posterior's mean where there is one."""
        drawn = "pooling_mean" in self.table.columns
        known = drawn and bool(self.table["pooling_mean"].notna().any())
        return "pooling_mean" if known else "pooling"


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a report says of a fit.

    Attributes
    ----------
    model, reml, post
        Model and fits; either of the fits may be None.
    record : Record
        What is known of the run.
    table : DataFrame
        Columns of `compare`; those of a fit that was not made are missing.
    answer, reading : tuple of str
        Sentences; no reading without both fits.
    tests : DataFrame or None
        Of `effect_tests`.
    diagnosis, check, panels
        Of the draws, of the assumptions, and the numbers of their figures.
    shares : TextTable or None
        Variance components with their shares.
    components : list of ComponentPanel
        Curves and intervals of the components; empty where they take too long.
    component_words : tuple of str
        What these say.
    shrinkage : Shrinkage or None
        What pooling did.
    sensitivity : DataFrame or None
        Results under other priors.
    left_out : dict of str
        Why a part is not there, by its name.
    """

    model: "ModelSpec"
    reml: "RemlFit | None"
    post: "Posterior | None"
    record: Record
    table: "pd.DataFrame"
    answer: tuple[str, ...]
    reading: tuple[str, ...]
    tests: "pd.DataFrame | None"
    diagnosis: "Diagnosis | None"
    check: "AssumptionCheck | None"
    panels: CheckPanels | None
    shares: TextTable | None
    components: list[ComponentPanel]
    component_words: tuple[str, ...]
    shrinkage: Shrinkage | None
    sensitivity: "pd.DataFrame | None"
    left_out: dict[str, str]


def facts_of(fit: "Fitted", record: Record) -> Facts:
    """All that a report says of a fit."""
    model, reml, post = fit.model, fit.reml, fit.posterior
    left_out: dict[str, str] = {}

    def known(part: str, compute: Callable[[], Any]) -> Any:  # noqa: ANN401
        """What is computed; None with the reason where a model has none."""
        try:
            return compute()
        except BayesLMMError as error:
            left_out[part] = str(error)
            return None

    both = None if reml is None or post is None else compare(reml, post, prob=PROB)
    table = both if both is not None else _one_side(reml, post)
    diagnosis = None if post is None else post.diagnose()
    components, words = known("components", lambda: _components(fit, left_out)) or (
        [],
        (),
    )
    check, panels = known("check", lambda: _checks(fit, left_out)) or (None, None)
    return Facts(
        model=model,
        reml=reml,
        post=post,
        record=record,
        table=table,
        answer=answer(reml, post, table=both, diagnosis=diagnosis),
        reading=() if reml is None or post is None else reading(reml, post, table=both),
        tests=None if reml is None else effect_tests(reml, post),
        diagnosis=diagnosis,
        check=check,
        panels=panels,
        shares=components_table(reml, post),
        components=components,
        component_words=words,
        shrinkage=known("shrinkage", lambda: _shrinkage(fit, left_out)),
        sensitivity=known("sensitivity", lambda: _sensitivity(post, left_out)),
        left_out=left_out,
    )


def _one_side(reml: "RemlFit | None", post: "Posterior | None") -> "pd.DataFrame":
    """The summary of the only fit, under the names of `compare`."""
    fit = reml or post
    assert fit is not None, "one of both is there"
    table = fit.summary(prob=PROB)
    if reml is not None:
        names = {"estimate": "reml", "se": "reml_se"}
        names |= {"lower": "reml_lower", "upper": "reml_upper"}
        table = table.rename(columns=names)
    table.attrs = {
        "unit": unit_words(fit.model),
        "method": "REML" if reml is None else reml.method,
        "interval": interval_name(PROB, "eti"),
        "reml_interval": interval_name(PROB, "wald"),
    }
    return table


def _components(
    fit: "Fitted", left_out: dict[str, str]
) -> tuple[list[ComponentPanel], tuple[str, ...]] | None:
    """Curves and intervals of the variance components, where they are quick."""
    model, reml, post = fit.model, fit.reml, fit.posterior
    if reml is None or post is None:
        return None
    said = "varcomp_table(reml, post) and plot_varcomp(reml, post) have all intervals"
    if model.conditioned.statistics.seconds > SLOW:
        left_out["components"] = f"{said}; with these data they take long."
        return None
    if len(model.space.variances) > MOST_COMPONENTS:
        n = len(model.space.variances)
        left_out["components"] = f"{said} of the {n} variance parameters."
        return None
    panels = component_panels(reml, post, prob=PROB)
    words = [s for own in panels for s in component_sentences(own, reml, post, PROB)]
    return panels, tuple(words)


def _checks(
    fit: "Fitted", left_out: dict[str, str]
) -> "tuple[AssumptionCheck, CheckPanels | None] | None":
    """Tests of the assumptions, and the numbers of their figures."""
    checked = fit.reml or fit.posterior
    assert checked is not None, "one of both is there"
    if not can_be_checked(checked.model):
        left_out["check"] = _unchecked(checked.model)
        return None
    if not checked.model.design.groups:
        return checked.check(), None
    group = checked.model.design.groups[0].group
    return checked.check(), check_panels(checked, group, prob=PROB, seed=0)


def _unchecked(model: "ModelSpec") -> str:
    """Why the assumptions are not looked at."""
    if model.family != "gaussian":
        return (
            f"The assumptions of the family {model.family} are not tested here: no "
            "check is written for its residuals."
        )
    if model.design.rows is None:
        return (
            "The rows are not in memory (read in batches, or not saved with the fit), "
            "so there are no residuals to look at."
        )
    if model.design.residual is not None:
        return "Residuals have a structure of their own, which no check here knows."
    return (
        f"{model.design.n:,} rows are more than are looked at for a report: "
        "reml.check() does."
    )


def _shrinkage(fit: "Fitted", left_out: dict[str, str]) -> Shrinkage | None:
    """What pooling did to the levels."""
    model, reml, post = fit.model, fit.reml, fit.posterior
    if not model.design.groups:
        return None
    if reml is None:
        left_out["shrinkage"] = (
            "What pooling did to each level is told beside REML's estimates, which "
            "this report has none of: post.coef() has the levels."
        )
        return None
    n = sum(term.n_levels for term in model.design.groups)
    if n > MOST_LEVELS:
        left_out["shrinkage"] = (
            f"{n:,} levels are more than a report looks at one by one: "
            "shrinkage_table(reml) does."
        )
        return None
    table = shrinkage_table(reml, post, prob=PROB, at="mean")
    groups = [block.group for block in group_blocks(model)]
    sentences = {
        group: tuple(shrinkage_reading(reml, post, term=group)) for group in groups
    }
    paths = _paths(reml, left_out)
    factors = None if post is None else pooling_factors(post)
    return Shrinkage(table, sentences, paths, factors)


def _paths(reml: "RemlFit", left_out: dict[str, str]) -> "tuple[pd.DataFrame, ...]":
    """The dial of the first grouping factor, of at most two effects."""
    block = group_blocks(reml.model)[0]
    n = sum(term.k * term.n_levels for term in reml.model.design.groups)
    if n > MOST_TURNED:
        left_out["dial"] = (
            f"The dial solves for {n:,} random effects at many SDs, which takes longer "
            "than a report should: plot_shrinkage_path(reml) draws it."
        )
        return ()
    try:
        return tuple(
            shrinkage_path(reml, term=block.group, effects=effect)
            for effect in block.effects[:2]
        )
    except BayesLMMError as error:
        left_out["dial"] = str(error)
        return ()


def _sensitivity(
    post: "Posterior | None", left_out: dict[str, str]
) -> "pd.DataFrame | None":
    """Results under other priors, where that takes a moment."""
    from bayeslmm.posterior.sensitivity import quick_sensitivity  # for draws alone

    if post is None:
        return None
    table = quick_sensitivity(post)
    if table is None:
        left_out["sensitivity"] = (
            "prior_sensitivity(post) fits the same data under other priors; with this "
            "model it takes longer than a report should."
        )
    return table
