"""Fits beside each other by their likelihoods: `anova` of several models.

Takes `RemlFit`s of the same data, each a special case of the next; gives the table of
R's ``anova(m1, m2)``, with the p values that a null at the boundary asks for, and
sentences that say by which likelihood the models were compared.
"""

import math
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from bayeslmm.comparison.nested import (
    data_difference,
    not_nested,
    same_fixed,
    sds_tested,
)
from bayeslmm.errors import (
    FitWarning,
    ModelError,
    check_count,
    check_flag,
    check_seed,
    is_choice,
)
from bayeslmm.reml.estimate import Method, fit_reml
from bayeslmm.reml.fit import RemlFit
from bayeslmm.reml.lrt import chisq_p, mixture_p
from bayeslmm.reml.refit import make_refitter
from bayeslmm.simulation import simulate
from bayeslmm.tables import Table

if TYPE_CHECKING:
    import pandas as pd

METHODS = ("auto", "REML", "ML")


def anova(
    *fits: RemlFit,
    method: Literal["auto"] | Method = "auto",
    test: bool = True,
    nsim: int = 0,
    seed: int | np.random.Generator | None = None,
) -> "pd.DataFrame":
    """Compare models of the same data by their likelihoods.

    Use it for nested models; the terms of one fixed part are tested by `RemlFit.anova`,
    those of one random part by `RemlFit.ranova`.

    Parameters
    ----------
    *fits : RemlFit
        Two fits or more, in any order: they are sorted by their number of parameters.
    method : {"auto", "REML", "ML"}, default "auto"
        Likelihood to compare by. By default ML where the fixed parts differ, or all
        fits are ML; REML where only the random parts differ. Fits by the other method
        are fitted again, and the table says so.
    test : bool, default True
        Test each model against the one before it, of which it must be a special case;
        otherwise only the criteria, which need no nesting.
    nsim : int, default 0
        Responses simulated from the smaller model for a parametric bootstrap of each
        test: both models are fitted to all of them.
    seed : int or numpy.random.Generator, optional
        Of these.

    Returns
    -------
    DataFrame
        Index ``model`` (formulas); columns ``method``, ``npar`` (fixed effects,
        variance parameters, sigma; of both methods), ``loglik``, ``deviance``, ``aic``,
        ``aicc``, ``bic``; if tested ``chisq``, ``df``, ``p`` (chi-square),
        ``p_mixture`` (where one SD with its correlations is tested, of the equal
        mixture with df - 1 and df; that of the chi-square without an SD, NaN for
        several), and ``p_boot``. ``attrs["notes"]`` are sentences, shown below it.

    Raises
    ------
    ModelError
        If there are fewer than two fits, they are not of the same rows, response,
        offset and weights, are not nested, or REML is asked for different fixed parts.

    References
    ----------
    .. [1] Stram and Lee (1994). Biometrics 50(4). https://doi.org/10.2307/2533455
    .. [2] Hurvich and Tsai (1989). Biometrika 76(2).
       https://doi.org/10.1093/biomet/76.2.297

    Examples
    --------
    >>> import bayeslmm as lmm
    >>> data = lmm.simulate_classrooms(seed=1).data
    >>> texts = "score ~ edu + (1 | classroom)", "score ~ edu + (edu | classroom)"
    >>> one, two = (lmm.Model(text, data).fit_reml() for text in texts)
    >>> anova(one, two)["df"].tolist()
    [nan, 2.0]
    """
    check_flag(test, "test")
    nsim = check_count(nsim, "nsim", 0)
    check_seed(seed)
    rng = np.random.default_rng(seed)
    _check(fits)
    ordered = sorted(fits, key=lambda fit: fit.npar)
    chosen, reason = _choose(ordered, method)
    used = [_by(fit, chosen) for fit in ordered]
    rows = [_criteria(fit) for fit in used]
    notes = [reason, *_notes(ordered, used)]
    if test:
        for (small, large), row in zip(pairwise(used), rows[1:], strict=True):
            row |= _test(small, large, nsim, rng, notes)
    table = Table(rows, index=_names(used))
    table.index.name = "model"
    table.attrs["notes"] = tuple(notes)
    return table


def _check(fits: Sequence[RemlFit]) -> None:
    """Raise `ModelError` unless all are fits of the same data."""
    for i, fit in enumerate(fits):
        if not isinstance(fit, RemlFit):
            raise ModelError(
                f"anova compares what model.fit_reml() gives, and model {i + 1} is a "
                f"{type(fit).__name__}. Of a Fit give fit.reml; posteriors are "
                f"compared by arviz.compare."
            )
    if len(fits) < 2:
        raise ModelError(
            "anova compares two fits or more, anova(m1, m2). The terms of one model "
            "are tested by m1.anova(), its random terms by m1.ranova()."
        )
    first = fits[0].model
    for fit in fits[1:]:
        difference = data_difference(first, fit.model)
        if difference:
            raise ModelError(
                f"Likelihoods of different data cannot be compared: {difference} "
                f"('{first.said}' and '{fit.model.said}'). Rows with a "
                f"missing value in a column that one formula alone uses are left out "
                f"of its model: drop them from the data, and make both models of that."
            )


def _choose(fits: Sequence[RemlFit], method: str) -> tuple[Method, str]:
    """The likelihood to compare by, and why."""
    if not is_choice(method, METHODS):
        raise ModelError(f"Unknown method={method!r}. Options: 'auto', 'REML', 'ML'.")
    alike = all(same_fixed(fits[0].design, fit.design) for fit in fits[1:])
    if method == "REML" and not alike:
        raise ModelError(
            "REML likelihoods of models whose fixed parts differ cannot be compared: "
            "each is that of other residuals. Use method='ML'."
        )
    if method == "ML":
        return "ML", "Compared by ML, as asked."
    if not alike:
        return "ML", "Compared by ML, because the fixed parts differ."
    if method == "auto" and all(fit.method == "ML" for fit in fits):
        return "ML", "Compared by ML, as fitted."
    return "REML", "Compared by REML, because only the random parts differ."


def _by(fit: RemlFit, method: Method) -> RemlFit:
    """The fit by a method, made again if it is by the other; a note has its warning."""
    if fit.method == method:
        return fit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return fit_reml(fit.model, method=method, start=fit)


def _notes(fits: Sequence[RemlFit], used: Sequence[RemlFit]) -> list[str]:
    """What is said of fits that were made again, and how they ended."""
    pairs = zip(fits, used, strict=True)
    again = [(fit, new) for fit, new in pairs if new is not fit]
    if not again:
        return []
    named = ", ".join(f"'{fit.model.said}'" for fit, _ in again)
    (old, new), *_ = again
    return [
        f"Fitted again with {new.method} instead of {old.method}: {named}.",
        *(
            f"'{fit.model.said}': {fit.status.message}"
            for _, fit in again
            if fit.status.singular or not fit.status.converged
        ),
    ]


def _names(fits: Sequence[RemlFit]) -> list[str]:
    """Formulas, numbered where two are the same."""
    texts = [fit.model.said for fit in fits]
    return [
        f"{text} [{texts[: i + 1].count(text)}]" if texts.count(text) > 1 else text
        for i, text in enumerate(texts)
    ]


def _criteria(fit: RemlFit) -> dict[str, object]:
    """What a model has by itself."""
    n, k = fit.design.n, fit.npar
    small = 2.0 * k * (k + 1) / (n - k - 1) if n > k + 1 else math.inf
    return {
        "method": fit.method,
        "npar": k,
        "loglik": fit.loglik,
        "deviance": fit.criterion,
        "aic": fit.aic,
        "aicc": fit.aic + small,
        "bic": fit.bic,
    }


def _test(
    small: RemlFit,
    large: RemlFit,
    nsim: int,
    rng: np.random.Generator,
    notes: list[str],
) -> dict[str, object]:
    """The test of a model against a smaller one."""
    reason = not_nested(small.design, large.design)
    if reason:
        raise ModelError(
            f"'{small.model.said}' is no special case of "
            f"'{large.model.said}': {reason}, so twice the difference of their "
            f"log likelihoods has no chi-square distribution. anova(..., test=False) "
            f"compares them by AIC, AICc and BIC."
        )
    df = large.npar - small.npar
    n_sd = sds_tested(small.design, large.design)
    chisq = max(small.criterion - large.criterion, 0.0)
    found: dict[str, object] = {"chisq": chisq, "df": float(df)}
    if not df:
        notes.append(
            f"'{small.model.said}' and '{large.model.said}' have as "
            f"many parameters: there is nothing to test."
        )
        return {**found, "p": math.nan, "p_mixture": math.nan}
    found |= {"p": chisq_p(chisq, df), "p_mixture": mixture_p(chisq, df, n_sd)}
    if n_sd > 1:
        notes.append(
            f"'{large.model.said}' has {n_sd} more SDs: p is too large, by a "
            f"mixture whose weights are not known. Give nsim for a bootstrap."
        )
    if nsim:
        found["p_boot"] = _bootstrap(small, large, chisq, nsim, rng, notes)
    return found


def _bootstrap(
    small: RemlFit,
    large: RemlFit,
    chisq: float,
    nsim: int,
    rng: np.random.Generator,
    notes: list[str],
) -> float:
    """Share of statistics at least as large, the one seen among them."""
    one, two = make_refitter(small), make_refitter(large)
    ends = [(one(y), two(y)) for y in simulate(small, nsim, rng)]
    kept = [(a, b) for a, b in ends if a.converged and b.converged]
    if len(kept) < nsim:
        notes.append(
            f"{nsim - len(kept)} of {nsim} simulated responses have no fit that "
            f"converged, and are left out of p_boot."
        )
    larger = sum(a.criterion - b.criterion >= chisq for a, b in kept)
    return (1 + larger) / (1 + len(kept))
