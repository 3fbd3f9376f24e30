"""Variance components with their shares: each parameter's own part of the variance.

The mean over the rows of z'Sigma z is the sum of ``Sigma_ij mean(z_i z_j)``: the
addends with i = j are those of the SDs, the others those of the correlations. With
predictors less their means an intercept has the variance at the mean row and a slope
what it adds around it, and neither depends on where x is 0.

References
----------
.. [1] Rights and Sterba (2019). Psychol. Methods 24(3).
   https://doi.org/10.1037/met0000184
.. [2] Johnson (2014). Methods Ecol. Evol. 5(9). https://doi.org/10.1111/2041-210X.12225
"""

import numpy as np
from jaxtyping import Bool

from bayeslmm.design.arrays import Design
from bayeslmm.design.shares import Values, residual_variance, variance_parts
from bayeslmm.design.space import SIGMA, Parameter
from bayeslmm.marginal.conditioning import moved_moments
from bayeslmm.reml.centred import centred_factors
from bayeslmm.reml.shares import Numbers, Quantities
from bayeslmm.tables.both import source_index, source_keys

AT_MEAN = (
    "SDs and correlations: where the predictors of the random part stand at their "
    "means; at='zero' has those of the summary."
)

OF_STRATA = (
    "sigma: root mean square over the rows, whose strata have SDs of their own; the "
    "sigma of the summary is that of the first."
)


def source_quantities(
    design: Design, *, at_mean: bool, residual: str = "sigma"
) -> Quantities:
    """SD or correlation, variance or covariance, and share of the total variance.

    Parameters
    ----------
    design : Design
        Arrays of the model.
    at_mean : bool
        Whether predictors of the random part stand at their means, not at 0.
    residual : str
        What the residual SD is called.
    """
    # ratios and correlations of residuals have no part of their own
    shown = [p for p in design.space.variances if p.term is not None or p == SIGMA]

    def of(values: Values) -> Numbers:
        parts = variance_parts(design, values)
        if at_mean:
            values = values._replace(roots=centred_factors(design, values.roots))
        columns = [(np.sqrt(parts.fixed), parts.fixed, parts.fixed)]
        columns += [_of_parameter(design, p, values, at_mean) for p in shown]
        estimate, variance, part = (np.stack(c, -1) for c in zip(*columns, strict=True))
        share = part / parts.total[..., None]
        return {"estimate": estimate, "variance": variance, "share": share}

    moves = at_mean and any(term.is_closed for term in design.groups)
    strata = design.residual is not None and design.residual.strata is not None
    notes = (*((AT_MEAN,) if moves else ()), *((OF_STRATA,) if strata else ()))
    attrs = {"notes": notes} if notes else {}
    keys = source_keys(shown)
    index = source_index(shown, residual)
    return Quantities(index, of, keys, ("share",), attrs)


def _of_parameter(
    design: Design,
    parameter: Parameter,
    values: Values,
    at_mean: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Its value, the variance or covariance it is of, and its part of the variance."""
    t = parameter.term
    if t is None:
        variance = residual_variance(design, values)
        return np.sqrt(variance), variance, variance
    covariance = values.roots[t] @ values.roots[t].swapaxes(-1, -2)
    i, j = (*parameter.index, parameter.index[0])[:2]
    moments = moved_moments(design, t) if at_mean else design.moments.Z[t]
    addends = covariance * moments.second()
    part = addends[..., owned_entries(design, parameter)].sum(axis=-1)
    entry = covariance[..., i, j]
    sd = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    if parameter.component == "sd":
        return sd[..., i], entry, part
    with np.errstate(invalid="ignore", divide="ignore"):  # beside an SD of 0
        return entry / sd[..., i] / sd[..., j], entry, part


def owned_entries(design: Design, parameter: Parameter) -> Bool[np.ndarray, "k k"]:
    """Entries of a covariance that a parameter, maybe shared, is about."""
    term = design.groups[parameter.term or 0]
    structure, k = term.covariance, term.k
    lag = np.subtract.outer(np.arange(k), np.arange(k))
    if parameter.component == "sd":
        own = np.arange(k) == parameter.index[0]
        return (lag == 0) & (own | structure.homogeneous)
    if not structure.is_shared(k):
        found = np.zeros((k, k), bool)
        found[parameter.index] = found[parameter.index[::-1]] = True
        return found
    if structure.n_corr(k) == 1:
        return lag != 0
    return np.abs(lag) == abs(parameter.index[0] - parameter.index[1])
