"""Variances of the parts of a model: of its fixed effects, random effects, residuals.

Takes a `Design` and values of its parameters (an estimate, draws of a posterior or of a
prior); gives `Parts`, averaged over the rows, of which ICC and R2 are shares. The
random variance of a row with columns z is z'Sigma z, the residual one is that of weight
1, and an offset, which is known, has none.

References
----------
.. [1] Nakagawa et al. (2017). J. R. Soc. Interface 14(134).
   https://doi.org/10.1098/rsif.2017.0213
.. [2] Johnson (2014). Methods Ecol. Evol. 5(9). https://doi.org/10.1111/2041-210X.12225
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design
from bayeslmm.design.moments import ColumnMoments


class Values(NamedTuple):
    """Values of the parameters of a model, along any leading axes.

    ``beta``, shape (..., p); ``roots``, one of shape (..., k, k) for each bar term,
    whose square is the covariance of its effects; ``sigma``, shape (...); ``residual``,
    shape (..., r), ratios and rho of structured residuals, None without any.
    """

    beta: Float[np.ndarray, "*s p"]
    roots: tuple[Float[np.ndarray, "*s _k _k"], ...]
    sigma: Float[np.ndarray, "*s"]
    residual: Float[np.ndarray, "*s r"] | None = None


class Parts(NamedTuple):
    """Variances of the parts of a model, averaged over the rows, units of y squared.

    ``fixed``, ``residual`` and each of ``terms`` (one for each bar term) have the
    leading axes of the `Values`.
    """

    fixed: Float[np.ndarray, "*s"]
    terms: tuple[Float[np.ndarray, "*s"], ...]
    residual: Float[np.ndarray, "*s"]

    @property
    def random(self) -> Float[np.ndarray, "*s"]:
        """That of all random effects."""
        return np.sum(self.terms, axis=0) if self.terms else 0.0 * self.residual

    @property
    def within(self) -> Float[np.ndarray, "*s"]:
        """Random and residual variance."""
        return self.random + self.residual

    @property
    def total(self) -> Float[np.ndarray, "*s"]:
        """All of them."""
        return self.fixed + self.within


def variance_parts(design: Design, values: Values) -> Parts:
    """Variances of the parts.

    Parameters
    ----------
    design : Design
        Whose rows are averaged over.
    values : Values
        Of its parameters.

    Returns
    -------
    Parts
        The fixed part's is the variance of X beta over the rows, divided by n - 1.
    """
    spread = design.moments.X.covariance(1)
    fixed = np.einsum("...p,pq,...q->...", values.beta, spread, values.beta)
    terms = tuple(
        mean_variance(columns, root)
        for columns, root in zip(design.moments.Z, values.roots, strict=True)
    )
    return Parts(fixed, terms, residual_variance(design, values))


def residual_variance(design: Design, values: Values) -> Float[np.ndarray, "*s"]:
    """That of weight 1, averaged over the rows where strata differ."""
    found = values.sigma**2
    if design.residual is None or values.residual is None:
        return found
    return found * design.residual.mean_square(values.residual)


def mean_variance(
    columns: ColumnMoments, root: Float[np.ndarray, "*s k k"]
) -> Float[np.ndarray, "*s"]:
    """Mean of diag(Z Sigma Z') over the rows, units of y squared.

    That at the mean row apart: far from x = 0 it is small beside its own addends.
    """
    at_mean = np.einsum("...ia,i->...a", root, columns.mean)
    around = np.einsum("...ia,ij,...ja->...", root, columns.covariance(), root)
    return np.square(at_mean).sum(axis=-1) + around
