"""The same model in coordinates in which arithmetic is safe, and the way back.

Takes a `Design`, gives a `Conditioned` one: X with orthonormal columns, y without its
regression on X, and the columns of each bar term on a common scale. For an unstructured
term they are orthogonalised; for the other structures, whose meaning lies in the
columns, only rescaled. The covariances of y are the same, so is the criterion up to a
constant. The fit then does not depend on the origin or the unit of y and of any
predictor: a calendar year, whose squares lose ten digits in a cross-product, is as good
as a time since the start.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_triangular

from bayeslmm.covariance import Structure, is_homogeneous
from bayeslmm.design.arrays import Design
from bayeslmm.marginal import EffectsMean, Statistics, conditional_mean, cross_products
from bayeslmm.marginal.statistics import make_statistics
from bayeslmm.marginal.sums import turn_sums

# Beyond this condition number the columns of a term are rescaled but not
# orthogonalised: they are linearly dependent to nearly all digits.
MAX_CONDITION = 1e12

Turn = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Conditioned:
    """A design in safe coordinates.

    Attributes
    ----------
    design : Design
        The design in those coordinates; that of the data where its rows are absent.
    statistics : Statistics
        Its cross-products.
    root : ndarray, shape (p, p)
        Upper triangular; the X of the data is that of ``design`` times it.
    beta : ndarray, shape (p,)
        The regression that was taken off y, in the units of the data.
    bases : tuple of ndarray, shape (k_t, k_t)
        Lower triangular; the Z of ``design`` is that of the data times it.
    """

    design: Design
    statistics: Statistics
    root: Float[np.ndarray, "p p"]
    beta: Float[np.ndarray, " p"]
    bases: tuple[Float[np.ndarray, "_k _k"], ...]

    @property
    def log_det(self) -> float:
        """What the REML criterion of the data has more: it integrates over beta."""
        return 2.0 * float(np.log(np.abs(np.diag(self.root))).sum())

    def factors(
        self, safe: tuple[Float[np.ndarray, "_k _k"], ...]
    ) -> tuple[Float[np.ndarray, "_k _k"], ...]:
        """Factors for the columns of the data from those in safe coordinates."""
        return tuple(
            basis @ factor for basis, factor in zip(self.bases, safe, strict=True)
        )

    def effects(
        self, safe: tuple[Float[np.ndarray, "_k _k"], ...], sigma: float
    ) -> EffectsMean:
        """Conditional mean of the effects of the data, flat prior on beta.

        ``safe`` are absolute factors in safe coordinates.
        """
        mean = conditional_mean(self.statistics, safe, sigma)
        inverse = solve_triangular(self.root, np.eye(len(self.root)))
        return EffectsMean(
            beta=self.beta + inverse @ mean.beta,
            beta_cov=inverse @ mean.beta_cov @ inverse.T,
            b=self._turned(mean.b, _turn_means),
            b_cov_given_beta=self._turned(mean.b_cov_given_beta, _turn_covs),
            b_cov=self._turned(mean.b_cov, _turn_covs),
        )

    def _turned(
        self, values: tuple[np.ndarray, ...], turn: Turn
    ) -> tuple[np.ndarray, ...]:
        """Values of each term, turned to the columns of the data."""
        return tuple(
            turn(value, basis) for value, basis in zip(values, self.bases, strict=True)
        )


def condition(design: Design, statistics: Statistics | None = None) -> Conditioned:
    """Put a design into safe coordinates.

    Where its rows were read in batches its cross-products are turned instead; digits
    that they lost to a mean far from zero are not won back.

    Parameters
    ----------
    design : Design
        Arrays of the model, X of full rank.
    statistics : Statistics, optional
        Its cross-products; needed where the rows are not in memory.

    Returns
    -------
    Conditioned
        The design in safe coordinates, with its cross-products.
    """
    if statistics is not None and not design.in_memory:
        return _condition_statistics(design, statistics)
    scale = np.sqrt(design.n)
    Q, R = np.linalg.qr(design.X)
    y = design.y if design.offset is None else design.y - design.offset
    along = Q.T @ y
    bases = tuple(_basis(term.structure, term.Z) for term in design.groups)
    safe = replace(
        design,
        y=y - Q @ along,
        X=scale * Q,
        offset=None,
        groups=tuple(
            replace(term, Z=term.Z @ basis)
            for term, basis in zip(design.groups, bases, strict=True)
        ),
    )
    beta = solve_triangular(R, along)
    return Conditioned(safe, cross_products(safe), R / scale, beta, bases)


def _condition_statistics(design: Design, statistics: Statistics) -> Conditioned:
    """The same from moments and cross-products."""
    p, sums = design.p, statistics.sums
    root = np.linalg.qr(design.moments.X.root(), mode="r")
    inverse = solve_triangular(root, np.eye(p))
    turn = np.eye(p + 1)
    turn[:p, :p] = inverse
    products = turn.T @ sums.WW @ turn
    # the regression on safe columns; any will do, as long as it is taken off exactly
    along = np.linalg.lstsq(products[:p, :p], products[:p, p], rcond=None)[0]
    beta = inverse @ along
    turn[:p, p] = -beta
    moments = zip(design.groups, design.moments.Z, strict=True)
    bases = tuple(
        _basis(term.structure, np.sqrt(Z.n) * Z.root(), Z.n) for term, Z in moments
    )
    turned = turn_sums(sums, statistics.layout, turn, bases)
    safe = make_statistics(turned, statistics.layout)
    return Conditioned(design, safe, root, beta, bases)


def _basis(
    structure: Structure, Z: Float[np.ndarray, "n k"], n: int | None = None
) -> Float[np.ndarray, "k k"]:
    """Lower-triangular T for which the columns of Z T have mean square 1.

    `Z` may be any rows with the same products, of `n` rows.
    """
    n, k = len(Z) if n is None else n, Z.shape[1]
    mean_square = np.square(Z).sum(axis=0) / n
    mean_square[mean_square == 0.0] = 1.0
    if is_homogeneous(structure):
        return np.eye(k) / np.sqrt(mean_square.mean())
    scale = np.diag(1.0 / np.sqrt(mean_square))
    if structure != "us" or k == 1:
        return scale
    # From the last column up: reversed, Z T = Q has T lower triangular.
    R = np.linalg.qr((Z @ scale)[:, ::-1], mode="r") / np.sqrt(n)
    if np.linalg.cond(R) > MAX_CONDITION:
        return scale
    inverse = solve_triangular(R, np.diag(np.sign(np.diag(R))))  # pivots > 0
    return scale @ inverse[::-1, ::-1]


def _turn_means(
    b: Float[np.ndarray, "j k"], basis: Float[np.ndarray, "k k"]
) -> Float[np.ndarray, "j k"]:
    """Effects of the columns of the data."""
    return b @ basis.T


def _turn_covs(
    cov: Float[np.ndarray, "j k k"], basis: Float[np.ndarray, "k k"]
) -> Float[np.ndarray, "j k k"]:
    """Their covariances."""
    return basis @ cov @ basis.T
