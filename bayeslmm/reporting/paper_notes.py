"""What stands below a table for a paper: what its numbers are, and what not to compare.

Takes the columns; gives sentences. Columns that agree share one.
"""

from collections.abc import Callable, Iterable, Sequence

from bayeslmm.comparison import unit_words
from bayeslmm.comparison.nested import data_difference, same_fixed
from bayeslmm.posterior.shares import latent_notes
from bayeslmm.reml.fit import RemlFit
from bayeslmm.reporting.columns import Column
from bayeslmm.tables.numbers import MISSING, listed

DDF_WORDS = {
    "satterthwaite": "t by Satterthwaite's method",
    "kenward-roger": "t by Kenward and Roger's method",
    "z": "z",
    "residual": "t with n - p degrees of freedom",
}
SHARES_NOTE = (
    "ICC: variance of the random effects over theirs and the residual's. R²: variance "
    "of the fixed part (marginal), of it and the random effects (conditional), over all"
    " of these."
)
NOT_COMPARED = (
    "REML likelihoods, and AIC and BIC from them, of models with other fixed parts "
    "cannot be compared; bayeslmm.anova compares them by ML"
)


def model_notes(columns: Sequence[Column], *, named: bool) -> list[str]:
    """What must be said of the models, their data and how the fits ended.

    Parameters
    ----------
    columns : sequence of Column
        The columns.
    named : bool
        Whether a user named them; else the notes have their formulas.
    """
    formulas = [] if named else shared(columns, lambda column: column.model.said)
    return [
        *(f"{text}." for text in formulas),
        _units(columns),
        *(f"{text}." for text in shared(columns, _priors)),
        *_data_notes(columns),
        *shared(columns, lambda column: " ".join(latent_notes(column.model))),
        *shared(columns, lambda column: column.rows.attrs["no_shares"]),
        *shared(columns, _ended),
    ]


def shared(columns: Sequence[Column], of: Callable[[Column], str]) -> list[str]:
    """A text of each column behind the names of those that have it; none if empty."""
    holders: dict[str, list[str]] = {}
    for column in columns:
        holders.setdefault(of(column), []).append(column.name)
    return [f"{listed(names)}: {text}" for text, names in holders.items() if text]


def ddf_words(methods: Iterable[str], ddf: str) -> str:
    """By what fixed effects are tested; empty for posteriors alone."""
    tested = any(method != "Posterior" for method in methods)
    return f"fixed effects: {DDF_WORDS[ddf]}" if tested else ""


def missing_note(columns: Sequence[Column]) -> str:
    """What a dash is."""
    methods = {column.method for column in columns}
    reasons = []
    if methods - {"Posterior"}:
        reasons.append("an estimate at its boundary has no SE and no Wald interval")
    if "Posterior" in methods:
        reasons.append("a posterior with few levels may have no SD")
    return f"{MISSING}: there is none ({'; '.join(reasons)})."


def _units(columns: Sequence[Column]) -> str:
    """In which units the estimates are."""
    units = shared(columns, lambda column: unit_words(column.model))
    if len(units) == 1:
        units = [f"Estimates {unit_words(columns[0].model)}"]
    return f"{'; '.join(units)}; slopes per unit of the predictor."


def _priors(column: Column) -> str:
    """Under which priors a posterior is."""
    is_draws = not isinstance(column.fit, RemlFit)
    return f"priors {column.model.priors.name!r}" if is_draws else ""


def _data_notes(columns: Sequence[Column]) -> list[str]:
    """Whether the models are of the same data, and which numbers may be compared."""
    first = columns[0]

    def difference(column: Column) -> str:
        same = column.model is first.model
        return "" if same else data_difference(first.model, column.model)

    if found := shared(columns, difference):
        return [
            f"Not of the data of {first.name}: {'; '.join(found)}. Likelihoods, AIC "
            "and BIC of different data cannot be compared."
        ]
    if {"REML", "ML"} <= {column.method for column in columns}:
        return ["Likelihoods, AIC and BIC by REML and by ML cannot be compared."]
    reml = [own.model.design for own in columns if own.method == "REML"]
    if any(not same_fixed(reml[0], other) for other in reml[1:]):
        return [f"{NOT_COMPARED}."]
    return []


def _ended(column: Column) -> str:
    """How a fit ended, where the reader must know it."""
    if isinstance(column.fit, RemlFit):
        status = column.fit.status
        return "" if status.converged and not status.singular else status.message
    found = column.fit.diagnose()
    return "" if found.ok else " ".join(found.messages)
