"""One slope by seven models: from complete pooling to the posterior of a mixed model.

Takes a formula with one grouping factor and a numeric predictor, and data; gives the
table that tutorials draw up, with what each row estimates and what its p is worth.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.comparison.effect_tests import effect_tests
from bayeslmm.comparison.followed import Followed, follow
from bayeslmm.comparison.pooled_words import SlopeTest, Told, conclusions
from bayeslmm.comparison.regressions import (
    Columns,
    Regression,
    equal_slopes,
    intercepts,
    means,
    pooled,
    slopes,
    two_stage,
)
from bayeslmm.errors import FitWarning, check_flag, check_fraction
from bayeslmm.formula import parse_formula
from bayeslmm.formula.nodes import render
from bayeslmm.reml.effect_tests import t_columns
from bayeslmm.reml.estimate import fit_reml
from bayeslmm.spec import ModelSpec
from bayeslmm.tables import Table
from bayeslmm.tables.numbers import counted

if TYPE_CHECKING:
    from bayeslmm.posterior.fit import Posterior
    from bayeslmm.reml.fit import RemlFit

RMSE_NOTE = (
    "RMSE: root of the residual sum of squares over each model's own degrees of "
    "freedom; of rows, of means of levels or of slopes, so not comparable."
)
P_NOTE = (
    "Stat and Pval as the method prints them (t; z for REML); df and p: t by Kenward "
    "and Roger for REML, the t that matches the draws for a posterior."
)


ROWS = (
    "LM-Global",
    "ANCOVA-Inter",
    "Aggregation",
    "Hierarchical",
    "LMM-Inter",
    "ANCOVA-Full",
    "LMM-Full",
)
HONEST = ("se", "df", "p", "lower", "upper")


@dataclass(frozen=True, slots=True)
class Setting:
    """What the rows of the table share: two mixed models, and what is followed."""

    inter: ModelSpec
    full: ModelSpec
    followed: Followed

    @property
    def rows(self) -> Columns:
        """Rows of the ordinary regressions."""
        return self.followed.rows

    @property
    def group(self) -> str:
        """The grouping factor."""
        return self.followed.block.group

    @property
    def predictor(self) -> str:
        """The fixed effect."""
        return self.followed.name


def pooling_table(
    formula: str,
    data: object,
    *,
    predictor: str | None = None,
    weights: object = None,
    posterior: bool = True,
    priors: str | Mapping[str, object] = "weak",
    prob: float = 0.95,
    **sampling: Any,  # noqa: ANN401
) -> pd.DataFrame:
    """The slope of one predictor by seven models, and by the posterior of two of them.

    Use it to teach what pooling does: ignore the levels, give each its own intercept,
    average first, fit each level alone, or let the data decide.

    Parameters
    ----------
    formula : str
        With one grouping factor: ``"score ~ edu + (edu | classroom)"``. Other fixed
        effects are held in every model.
    data : DataFrame
        Rows in memory.
    predictor : str, optional
        The numeric predictor that is followed; by default the first whose effect
        varies, else the first fixed one.
    weights : str or array, optional
        Precision weights, as for `Model`.
    posterior : bool, default True
        Also sample both mixed models.
    priors : str or mapping, default "weak"
        Their priors.
    prob : float, default 0.95
        Coverage of the intervals.
    **sampling
        ``draws``, ``seed`` and others of `Model.sample`.

    Returns
    -------
    DataFrame
        Index ``Model``: LM-Global (complete pooling), ANCOVA-Inter (no pooling of
        intercepts), Aggregation (means of levels), Hierarchical (mean of the levels'
        own slopes), LMM-Inter, ANCOVA-Full (slope of the first level), LMM-Full (the
        formula's own bar terms where intercept and slope vary in them, else ``(x |
        g)``), and the posteriors of the two mixed models. Columns ``RMSE``, ``Coef``,
        ``Stat``, ``Pval`` as tutorials have them; ``estimand`` (within levels, between,
        mixed), ``se``, ``df``, ``p``, ``lower``, ``upper`` as they should be read. NaN
        where a model does not tell. The notes below it say how, and what was left out;
        ``attrs["conclusions"]`` are sentences computed from it.

    Raises
    ------
    ModelError
        If there are several grouping factors, a level for each row, fewer than two, the
        predictor is no number or not in the fixed part.
    DataError
        If the rows are not in memory.

    See Also
    --------
    within_between : Why the row of the means differs from the others.

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> pupils = lmm.simulate_classrooms(seed=1).data
    >>> formula = "score ~ edu + (edu | classroom)"
    >>> table = lmm.pooling_table(formula, pupils, posterior=False)
    >>> int(table.loc["ANCOVA-Inter", "df"])
    227
    """
    check_fraction(prob, "prob")
    check_flag(posterior, "posterior")
    own = find_setting(formula, data, predictor, weights, priors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # the notes say it
        fits = {"LMM-Inter": fit_reml(own.inter), "LMM-Full": fit_reml(own.full)}
    ordinary, left_out = _regressions(own.rows)
    lines = dict(_ordinary_lines(own, ordinary, prob))
    lines |= {name: _mixed(own, fit, prob) for name, fit in fits.items()}
    order = list(ROWS)
    if posterior:
        for name, fit in fits.items():
            from bayeslmm.posterior.sampling import sample  # REML alone needs none

            post = sample(fit.model, **sampling)
            lines[f"{name}, posterior"] = _sampled(own, fit, post, prob)
        order += [f"{name}, posterior" for name in fits]
    table = Table.from_dict({name: lines[name] for name in order}, orient="index")
    table.index.name = "Model"
    slopes_differ = equal_slopes(ordinary["ANCOVA-Inter"], ordinary["ANCOVA-Full"])
    test = SlopeTest(*slopes_differ)
    table = Table(table)
    said = conclusions(Told(table, own.group, own.predictor, test, fits))
    table.attrs["conclusions"] = said
    edges = [f"{name}: {f.status.message}" for name, f in fits.items() if not f.regular]
    rest = (*edges, RMSE_NOTE, P_NOTE, *_left_out(own, left_out))
    table.attrs["notes"] = [*said, *rest]
    return table


def find_setting(
    formula: str,
    data: object,
    predictor: str | None,
    weights: object,
    priors: str | Mapping[str, object],
) -> Setting:
    """The two mixed models and the rows; see `pooling_table` for what is refused."""
    parsed = parse_formula(formula)
    options: dict[str, Any] = {"weights": weights, "priors": priors}
    given = ModelSpec(formula, data, **options)
    own = follow(given, predictor)
    block, name = own.block, own.name
    group = ":".join(render(atom.node) for atom in parsed.random[0].group)
    atoms = [atom for term in parsed.fixed.terms for atom in term.atoms]
    slope = next(render(atom.node) for atom in atoms if atom.label == name)
    one = parse_formula(f"y ~ 1 + (1 | {group})").random
    varying = parse_formula(f"y ~ 1 + ({slope} | {group})").random
    inter, full = replace(parsed, random=one), replace(parsed, random=varying)
    wanted = (inter, parsed if {"Intercept", name} <= {*block.effects} else full)
    inter_model, full_model = (
        given if one == parsed else ModelSpec(str(one), data, **options)
        for one in wanted
    )
    return Setting(inter_model, full_model, own)


# --- rows of the table ----------------------------------------------------------------


def _row(
    found: Regression, prob: float, estimand: str, *, trusted: bool = True
) -> dict[str, Any]:
    """An ordinary regression; its own p is the honest one unless rows depend."""
    coef, se, df = (
        np.array([own]) for own in (found.coef, found.se, found.df or np.nan)
    )
    tests = {name: float(own[0]) for name, own in t_columns(coef, se, df, prob).items()}
    line = {"RMSE": found.rmse, "Coef": found.coef}
    line |= {"Stat": tests["t"], "Pval": tests["p"], "estimand": estimand}
    honest = {name: tests[name] if trusted else np.nan for name in HONEST}
    return line | honest


def _regressions(rows: Columns) -> tuple[dict[str, Regression], int]:
    """The five models without random effects; levels without a slope of their own."""
    slope, left_out = two_stage(rows)
    found = {
        "LM-Global": pooled(rows),
        "ANCOVA-Inter": intercepts(rows),
        "Aggregation": means(rows),
        "Hierarchical": slope,
        "ANCOVA-Full": slopes(rows),
    }
    return found, left_out


def _ordinary_lines(
    own: Setting, found: Mapping[str, Regression], prob: float
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Their rows, with what each estimates."""
    first = own.followed.block.levels[0]
    estimands = ("mixed", "within", "between", "within", f"within {first}")
    for (name, one), estimand in zip(found.items(), estimands, strict=True):
        yield name, _row(one, prob, estimand, trusted=name != "LM-Global")


def _mixed(own: Setting, fit: "RemlFit", prob: float) -> dict[str, Any]:
    """A REML fit: z as statsmodels prints it, and t by Kenward and Roger."""
    tests = _tests(effect_tests(fit, prob=prob), own.predictor)
    honest = tests.get("kenward-roger", tests["satterthwaite"])
    return _line(own, fit.residuals(), tests["z"], honest)


def _sampled(
    own: Setting, fit: "RemlFit", post: "Posterior", prob: float
) -> dict[str, Any]:
    """A posterior: the t that matches the draws."""
    found = _tests(effect_tests(fit, post, prob=prob), own.predictor)["posterior"]
    return _line(own, post.residuals(), found, found)


def _tests(table: pd.DataFrame, label: str) -> dict[str, dict[str, float]]:
    """Rows of one effect by method."""
    own = table.xs(label, level="label")
    names = [str(name) for name in own.columns]
    return {
        str(method): dict(zip(names, values, strict=True))
        for method, values in zip(own.index, own.to_numpy().tolist(), strict=True)
    }


def _line(
    own: Setting,
    left: np.ndarray,
    printed: Mapping[str, float],
    honest: Mapping[str, float],
) -> dict[str, Any]:
    """The row of a mixed model: the test as it is printed, and an honest one."""
    weights, df = own.rows.weights, len(left) - own.rows.X.shape[1]
    line: dict[str, Any] = {
        "RMSE": float(np.sqrt((weights * left**2).sum() / df)),
        "Coef": printed["estimate"],
        "Stat": printed["t"],
        "Pval": printed["p"],
        "estimand": "mixed",
    }
    return line | {name: honest[name] for name in HONEST}


def _left_out(own: Setting, without: int) -> list[str]:
    """What the table does not tell, in words."""
    sentences = [
        "LM-Global has no honest p: it takes the rows of a level as independent."
    ]
    if without:
        sentences.append(
            f"Hierarchical leaves out {counted(without, 'level')} of {own.group} whose "
            f"rows do not tell a slope of {own.predictor}."
        )
    levels = len(np.unique(own.rows.codes))
    if levels <= own.rows.X.shape[1]:
        sentences.append(
            f"Aggregation leaves no degrees of freedom: {counted(levels, 'mean')} for "
            f"{counted(own.rows.X.shape[1], 'coefficient')}."
        )
    return sentences
