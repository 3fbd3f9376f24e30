"""What priors say in the units of the data, and of shares of variance.

Takes `Priors` and their `Design`; gives quantiles of each, in closed form or of draws,
and those of ICC and R2 that all of them together imply, by drawing.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.design.residual import RHO
from bayeslmm.design.shares import Values, variance_parts
from bayeslmm.design.space import POSITIVE, Parameter
from bayeslmm.families import FAMILIES
from bayeslmm.priors.density import prior_logp
from bayeslmm.priors.draws import draw_prior, flat_parameters, prior_draws
from bayeslmm.priors.prior import Prior, Priors

# Draws that quantiles of ICC and R2 are read off: those of a share near the middle are
# then right to 0.01.
DRAWS, SEED = 4000, 20260
# Points of a curve, bars of a histogram.
POINTS, BINS = 200, 20
ICC, R2_FIXED, R2_ALL = "ICC", "R2 (fixed effects)", "R2 (all)"


def prior_law(prior: Prior) -> Any:  # noqa: ANN401 (a frozen distribution of scipy)
    """The prior as a distribution of scipy; None for those it is not written for.

    A half-t and a half-Cauchy come as the symmetric ones that they are folded from.
    """
    from scipy import stats  # 0.3 s

    a = prior.arguments
    known = {
        "Normal": lambda: stats.norm(a["mu"], a["sigma"]),
        "StudentT": lambda: stats.t(a["nu"], a["mu"], a["sigma"]),
        "Cauchy": lambda: stats.cauchy(a["alpha"], a["beta"]),
        "Laplace": lambda: stats.laplace(a["mu"], a["b"]),
        "HalfNormal": lambda: stats.halfnorm(0.0, a["sigma"]),
        "HalfStudentT": lambda: stats.t(a["nu"], 0.0, a["sigma"]),
        "HalfCauchy": lambda: stats.halfcauchy(0.0, a["beta"]),
        "Exponential": lambda: stats.expon(0.0, 1.0 / a["lam"]),
        "Gamma": lambda: stats.gamma(a["alpha"], 0.0, 1.0 / a["beta"]),
        "InverseGamma": lambda: stats.invgamma(a["alpha"], 0.0, a["beta"]),
        "LogNormal": lambda: stats.lognorm(a["sigma"], 0.0, math.exp(a["mu"])),
        "Beta": lambda: stats.beta(a["alpha"], a["beta"]),
    }
    return known[prior.name]() if prior.name in known else None


def prior_quantiles(
    prior: Prior, probabilities: Float[np.ndarray, " q"]
) -> Float[np.ndarray, " q"]:
    """Quantiles of a prior; NaN of a flat one."""
    if prior.is_flat:
        return np.full(len(probabilities), np.nan)
    law = prior_law(prior)
    if law is None:
        drawn = draw_prior(prior, DRAWS, np.random.default_rng(SEED))
        return np.quantile(drawn, probabilities)
    folded = prior.name == "HalfStudentT"
    return law.ppf(0.5 * (1.0 + probabilities) if folded else probabilities)


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the table of meanings."""

    label: str
    prior: str
    quantiles: Float[np.ndarray, " 3"]
    words: str


def meaning_table(priors: Priors, design: Design, prob: float) -> pd.DataFrame:
    """Quantiles of every prior, and of the shares of variance they imply.

    Parameters
    ----------
    priors : Priors
        Priors of the model.
    design : Design
        Its columns, terms and response.
    prob : float
        Probability of the equal-tailed intervals.

    Returns
    -------
    DataFrame
        Index ``label``; columns ``prior``, ``median``, ``lower``, ``upper``, and
        ``words``, a sentence in the units of the response.
    """
    ends = np.array([0.5, 0.5 - 0.5 * prob, 0.5 + 0.5 * prob])
    rows = [
        _row(p, priors, design, ends)
        for p in design.space.parameters
        if p.component != "sigma" or _is_known(priors, p)
    ]
    if priors.family == "gaussian":
        rows += _implied(priors, design, ends)
    return pd.DataFrame(
        {
            "prior": [row.prior for row in rows],
            **{
                name: [float(row.quantiles[i]) for row in rows]
                for i, name in enumerate(("median", "lower", "upper"))
            },
            "words": [row.words for row in rows],
        },
        index=pd.Index([row.label for row in rows], name="label"),
    )


def _is_known(priors: Priors, parameter: Parameter) -> bool:
    """Whether a parameter of no term is one of the model's: sigma of a family."""
    known = dict(priors.auxiliary)
    return priors.family == "gaussian" or parameter.label in known


def _row(
    parameter: Parameter, priors: Priors, design: Design, ends: Float[np.ndarray, " 3"]
) -> _Row:
    """One parameter."""
    if parameter.component == "corr":
        text, found = _correlation(parameter, priors, design, ends)
        return _Row(parameter.label, text, found, _between(found, ends))
    prior = priors.of(parameter)
    found = prior_quantiles(prior, ends)
    if prior.is_flat:
        words = "any value is as likely as any other: no distribution"
    elif parameter.variable == RHO:
        low, high = parameter.bounds
        found = low + (high - low) * found
        words = _between(found, ends)
    elif parameter.bounds == POSITIVE:
        high = prior_quantiles(prior, np.array([0.95]))[0]
        words = (
            f"half of the prior mass below {found[0]:.3g}, 95% below {high:.3g}"
            f"{_unit(parameter, priors, design)}"
        )
    else:
        words = f"{_between(found, ends)}{_unit(parameter, priors, design)}"
    return _Row(parameter.label, str(prior), found, words)


def _between(found: Float[np.ndarray, " 3"], ends: Float[np.ndarray, " 3"]) -> str:
    """The interval in words."""
    share = 100.0 * (ends[2] - ends[1])
    return f"{share:.4g}% of the prior mass from {found[1]:.3g} to {found[2]:.3g}"


def _unit(parameter: Parameter, priors: Priors, design: Design) -> str:
    """Units of a parameter, as far as names of columns say them.

    Nothing is said of the unit of a transformed column, or of an interaction with one.
    """
    if parameter.component == "sd":
        assert parameter.term is not None, "SDs belong to a term"
        column = design.groups[parameter.term].effects[parameter.index[0]]
    elif parameter.component == "fixef":
        column = design.fixed_names[parameter.index[0]]
    elif parameter.label == "sigma":
        column = "Intercept"
    else:
        return ""  # a ratio
    family = FAMILIES[priors.family]
    link, of_linear = family.link_of_mean, parameter.label != "sigma"
    if link != "identity" and (of_linear or family.logged):
        unit = f"on the {link} scale"
    else:
        unit = f"units of {design.response}"
    if column == "Intercept" or ("[" in column and not {":", "("} & {*column}):
        return f" ({unit})"  # an intercept, or a level of a factor against others
    numeric = column.split(":")
    if all(own.isidentifier() for own in numeric):
        return f" ({unit} per {' and '.join(numeric)})"
    return "" if link == "identity" else f" ({unit})"


def _correlation(
    parameter: Parameter, priors: Priors, design: Design, ends: Float[np.ndarray, " 3"]
) -> tuple[str, Float[np.ndarray, " 3"]]:
    """The prior of one correlation and its quantiles.

    Of LKJ(eta) among k effects (1 + r) / 2 is Beta(b, b), b = eta - 1 + k / 2 [1]_; a
    shared correlation has Beta(eta, eta) over its range.

    References
    ----------
    .. [1] Lewandowski, Kurowicka and Joe (2009). J. Multivar. Anal. 100(9).
       https://doi.org/10.1016/j.jmva.2009.04.008
    """
    from scipy import stats

    assert parameter.term is not None, "correlations belong to a term"
    term, eta = design.groups[parameter.term], priors.corr_eta[parameter.term]
    text = term.covariance.prior_words(term.k, eta)
    if term.covariance.unstructured:
        low, b = -1.0, eta - 1.0 + 0.5 * term.k
    elif term.covariance.n_corr(term.k) == 1:
        low, b = parameter.bounds[0], eta
    else:  # partial autocorrelations: of those beyond the first no closed form
        return text, np.quantile(_shared_draws(parameter, priors, design), ends)
    return text, low + (1.0 - low) * stats.beta(b, b).ppf(ends)


def _shared_draws(
    parameter: Parameter, priors: Priors, design: Design
) -> Float[np.ndarray, " n"]:
    """Draws of one correlation of a structure."""
    assert parameter.term is not None, "correlations belong to a term"
    term, rng = design.groups[parameter.term], np.random.default_rng(SEED)
    exponents = term.covariance.exponents(term.k, priors.corr_eta[parameter.term])
    shares = np.column_stack([rng.beta(b, b, DRAWS) for b in exponents])
    roots = term.covariance.corr_factors(shares, term.k)
    i, j = parameter.index
    return (roots[:, i] * roots[:, j]).sum(axis=1)


def implied_shares(
    priors: Priors, design: Design
) -> dict[str, Float[np.ndarray, " n"]]:
    """Draws of ICC and R2 that the priors of a Gaussian model imply together.

    Variances are averaged over the rows, as those of ``icc()`` and ``r2()`` of a fit.

    Raises
    ------
    PriorError
        If a prior is flat.
    """
    drawn = prior_draws(priors, design, DRAWS, np.random.default_rng(SEED))
    residual = None
    if design.residual is not None:
        own = [drawn.scalars[p.label] for p in design.residual.parameters]
        residual = np.stack(own, axis=-1)
    values = Values(drawn.beta, drawn.factors, drawn.scalars["sigma"], residual)
    parts = variance_parts(design, values)
    found = {ICC: parts.random / parts.within} if design.groups else {}
    found[R2_FIXED] = parts.fixed / parts.total
    found[R2_ALL] = (parts.fixed + parts.random) / parts.total
    return found


def _implied(
    priors: Priors, design: Design, ends: Float[np.ndarray, " 3"]
) -> list[_Row]:
    """Rows of ICC and R2; what is missing for them where a prior is flat."""
    flat = flat_parameters(priors, design)
    if flat:
        nothing = np.full(3, np.nan)
        why = f"no prior of it, because that of {flat[0].label} is flat"
        names = [ICC] * bool(design.groups) + [R2_FIXED, R2_ALL]
        return [_Row(name, "implied", nothing, why) for name in names]
    rows = []
    for name, values in implied_shares(priors, design).items():
        found = np.quantile(values, ends)
        rows.append(
            _Row(
                name,
                "implied",
                found,
                f"half of the prior mass below {found[0]:.2g}, {_between(found, ends)}",
            )
        )
    return rows


def meaning_lines(priors: Priors, design: Design) -> list[str]:
    """The table as lines of text."""
    table = meaning_table(priors, design, 0.95)
    width = max(len(label) for label in table.index)
    return [
        f"  {label:<{width}}  {words}"
        for label, words in zip(table.index, table["words"], strict=True)
    ]


def density_table(priors: Priors, design: Design) -> pd.DataFrame:
    """Curves of the priors, and of the shares of variance that they imply.

    Returns
    -------
    DataFrame
        Columns ``label``, ``x``, ``density`` (shares: of a histogram of draws, at the
        middles of its bins). Flat priors have no rows.
    """
    curves = {}
    for p in design.space.parameters:
        if p.component == "sigma" and not _is_known(priors, p):
            continue
        curve = _curve(p, priors, design)
        if curve is not None:
            curves[p.label] = curve
    if priors.family == "gaussian" and not flat_parameters(priors, design):
        for name, values in implied_shares(priors, design).items():
            density, edges = np.histogram(values, BINS, (0.0, 1.0), density=True)
            curves[name] = 0.5 * (edges[1:] + edges[:-1]), density
    parts = [
        pd.DataFrame({"label": label, "x": x, "density": density})
        for label, (x, density) in curves.items()
    ]
    if not parts:
        return pd.DataFrame({"label": [], "x": [], "density": []})
    return pd.concat(parts, ignore_index=True)


def _curve(
    parameter: Parameter, priors: Priors, design: Design
) -> tuple[np.ndarray, np.ndarray] | None:
    """Density of one prior where nearly all of its mass is; None of a flat one."""
    if parameter.component == "corr":
        return _correlation_curve(parameter, priors, design)
    prior = priors.of(parameter)
    if prior.is_flat:
        return None
    if parameter.variable == RHO:
        low, high = parameter.bounds
        share = np.linspace(0.0, 1.0, POINTS + 2)[1:-1]
        density = np.exp(prior_logp(prior, share)) / (high - low)
        return low + (high - low) * share, density
    low, high = prior_quantiles(prior, np.array([0.002, 0.99]))
    if parameter.bounds == POSITIVE:
        x = np.linspace(0.0, high, POINTS + 1)[1:]
    else:
        x = np.linspace(low, prior_quantiles(prior, np.array([0.998]))[0], POINTS)
    return x, np.exp(prior_logp(prior, x))


def _correlation_curve(
    parameter: Parameter, priors: Priors, design: Design
) -> tuple[np.ndarray, np.ndarray]:
    """Density of one correlation; of a histogram where it has no closed form."""
    from scipy import stats

    assert parameter.term is not None, "correlations belong to a term"
    term, eta = design.groups[parameter.term], priors.corr_eta[parameter.term]
    low, b = -1.0, eta - 1.0 + 0.5 * term.k
    if not term.covariance.unstructured:
        low, b = parameter.bounds[0], eta
        if term.covariance.n_corr(term.k) > 1:
            drawn = _shared_draws(parameter, priors, design)
            density, edges = np.histogram(drawn, BINS, (-1.0, 1.0), density=True)
            return 0.5 * (edges[1:] + edges[:-1]), density
    x = np.linspace(low, 1.0, POINTS + 2)[1:-1]
    return x, stats.beta.pdf(x, b, b, low, 1.0 - low)
