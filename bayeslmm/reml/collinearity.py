"""Variance inflation: what the other predictors cost the standard errors.

Takes the covariance of the fixed effects; gives the generalised variance inflation
factor of each variable, by all of its columns together, as car's ``vif``.
"""

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.tables import Table


def inflation_table(design: Design, covariance: Float[np.ndarray, "p p"]) -> Table:
    """Inflation of each variable of the fixed part but the intercept.

    Parameters
    ----------
    design : Design
        Which columns belong to which variable.
    covariance : ndarray, shape (p, p)
        Covariance of the fixed effects.

    Returns
    -------
    DataFrame
        Index ``variable``; columns ``vif`` (generalised for several columns), ``df``
        (columns), ``se_factor`` (the SE of a column by what it would be if the others
        were orthogonal to it: ``vif ** (1 / (2 df))``). Empty with one variable.

    References
    ----------
    .. [1] Fox and Monette (1992). Generalized collinearity diagnostics. J. Am. Stat.
       Assoc. 87(417). https://doi.org/10.1080/01621459.1992.10475190
    """
    import pandas as pd

    own = [one for one in design.fixed if design.intercept not in one.columns]
    own = own if len(own) > 1 else []
    kept = [column for one in own for column in one.columns]
    scale = np.sqrt(np.diag(covariance))
    R = covariance / np.outer(scale, scale)
    whole = _log_det(R, kept)
    logs = [
        _log_det(R, list(one.columns))
        + _log_det(R, [c for c in kept if c not in one.columns])
        - whole
        for one in own
    ]
    df = np.array([len(one.columns) for one in own], dtype=int)
    vif = np.exp(np.array(logs, dtype=float))
    index = pd.Index([one.name for one in own], name="variable", dtype=object)
    return Table(
        {"vif": vif, "df": df, "se_factor": vif ** (0.5 / np.maximum(df, 1))},
        index=index,
    )


def _log_det(R: Float[np.ndarray, "p p"], columns: list[int]) -> float:
    """Log determinant of the correlations of some columns."""
    return float(np.linalg.slogdet(R[np.ix_(columns, columns)])[1])
