"""Tests of the fixed effects of a REML fit: t of combinations, F of several at once."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from scipy.special import chdtrc, fdtrc, ndtr, ndtri, stdtr, stdtrit

from bayeslmm.design.contrasts import check_consistent, make_contrasts
from bayeslmm.errors import (
    ModelError,
    check_flag,
    check_fraction,
    listed,
    warn_user,
)
from bayeslmm.reml.ddf import denominator
from bayeslmm.reml.satterthwaite import FTest
from bayeslmm.tables import Table

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.reml.fit import RemlFit


def t_columns(
    estimate: Float[np.ndarray, " l"],
    se: Float[np.ndarray, " l"],
    df: Float[np.ndarray, " l"],
    prob: float,
) -> dict[str, Float[np.ndarray, " l"]]:
    """Columns of a table of t tests: estimate, se, df, t, p, lower, upper."""
    with np.errstate(invalid="ignore", divide="ignore"):
        t = estimate / se
    reach = se * t_quantile(0.5 + prob / 2.0, df)
    return {
        "estimate": estimate,
        "se": se,
        "df": df,
        "t": t,
        "p": p_of_t(t, df),
        "lower": estimate - reach,
        "upper": estimate + reach,
    }


def t_quantile(
    level: float | Float[np.ndarray, " l"], df: Float[np.ndarray, " l"]
) -> Float[np.ndarray, " l"]:
    """Quantiles of t; normal for infinitely many degrees of freedom."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(df), ndtri(level), stdtrit(df, level))


def p_of_t(
    t: Float[np.ndarray, " l"], df: Float[np.ndarray, " l"]
) -> Float[np.ndarray, " l"]:
    """Two-sided p values of t; normal for infinitely many degrees of freedom."""
    with np.errstate(invalid="ignore"):
        tails = np.where(np.isinf(df), ndtr(-np.abs(t)), stdtr(df, -np.abs(t)))
    return 2.0 * tails


def p_of_f(test: FTest) -> float:
    """P value of an F test; by chi-square with infinitely many degrees of freedom."""
    if math.isinf(test.den_df):
        return float(chdtrc(test.num_df, test.statistic * test.num_df))
    return float(fdtrc(test.num_df, test.den_df, test.statistic))


def effect_errors(
    fit: "RemlFit", ddf: object
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """SE and degrees of freedom of each fixed effect, by columns of X.

    Without convergence there are SEs and no degrees of freedom; neither where an
    effect goes with what the data do not identify.
    """
    p = fit.design.p
    if fit.status.converged or ddf != "satterthwaite":
        known = denominator(fit, ddf)
        one = np.eye(p)
        variance, df = known.variances(one), np.array([known.df(row) for row in one])
    else:
        variance, df = np.diag(fit.beta_cov), np.full(p, np.nan)
    se = np.sqrt(np.maximum(variance, 0.0))
    reasons = fit.information.reasons
    loose = np.array([name in reasons for name in fit.design.fixed_names], bool)
    return np.where(loose, np.nan, se), np.where(loose, np.nan, df)


def contrast_table(
    fit: "RemlFit", what: object, ddf: object, prob: float, joint: object
) -> "pd.DataFrame":
    """Combinations of the fixed effects with their tests; see `RemlFit.contrast`."""
    check_fraction(prob, "prob")
    asked = make_contrasts(fit.design, what, fit.model.recipe.coding.aliasing)
    known = denominator(fit, ddf)
    refuse_loose(fit, asked.weights, asked.names)
    values = asked.weights @ fit.beta + asked.constants
    if check_flag(joint, "joint"):
        check_consistent(asked)
        test, name = known.test(asked.weights, values), "; ".join(asked.names)
        warn_of_missing([name], [test], ddf)
        return f_table([name], [test], "contrast")
    variance = known.variances(asked.weights)
    df = np.array([known.df(row) for row in asked.weights])
    columns = t_columns(values, np.sqrt(variance), df, prob)
    return Table(columns, index=_index(asked.names, "contrast"))


def warn_of_missing(names: Sequence[str], tests: Sequence[FTest], ddf: object) -> None:
    """Say why Kenward and Roger's F is missing where it is."""
    gone = [n for n, own in zip(names, tests, strict=True) if math.isnan(own.den_df)]
    if gone and ddf == "kenward-roger":
        warn_user(
            f"No F distribution has the two moments that Kenward and Roger match, for "
            f"{listed(gone)}: there are too few levels for so many effects tested at "
            f"once. Their F and p are missing; ddf='satterthwaite' has others, and "
            f"single contrasts have a t test."
        )


def f_table(names: list[str], tests: list[FTest], index: str) -> "pd.DataFrame":
    """F tests by name: F, num_df, den_df, p."""
    return Table(
        {
            "F": [test.statistic for test in tests],
            "num_df": [test.num_df for test in tests],
            "den_df": [test.den_df for test in tests],
            "p": [p_of_f(test) for test in tests],
        },
        index=_index(names, index),
    )


def _index(names: "list[str] | tuple[str, ...]", name: str) -> "pd.Index":
    """Index of a table."""
    import pandas as pd

    return pd.Index(list(names), name=name)


def refuse_loose(
    fit: "RemlFit", weights: Float[np.ndarray, "l p"], names: Sequence[str]
) -> None:
    """Raise if a combination needs a fixed effect that has no SE."""
    reasons = fit.information.reasons
    for place, label in enumerate(fit.design.fixed_names):
        used = np.flatnonzero(weights[:, place])
        if label in reasons and used.size:
            raise ModelError(
                f"The contrast {names[used[0]]!r} uses {label!r}, which has no "
                f"standard error: {reasons[label]}. Leave out the random effect that "
                f"the data do not identify."
            )
