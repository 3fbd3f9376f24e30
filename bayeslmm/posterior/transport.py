"""A proposal fitted to weighted points: a Student-t with skewed margins.

Takes points of a posterior with their weights, and the proposal at the mode; gives a
mixture of the two. Log SDs that may be near 0 have a left tail like that of exp(x):
each coordinate is taken to a standard normal by a transformation of its own, and the
t has the correlations that are left.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import optimize

from bayeslmm.posterior.proposal import Proposal, log_fall, log_peak, student

# Share of the points that still come from the proposal at the mode: no weight is more
# than ten times what it is there (Owen and Zhou 2000). With 0.2 the effective share of
# nested slopes fell from 0.61 to 0.48.
DEFENSIVE = 0.1
# Scatter of the t in units of the points' covariance; a t of 8 degrees of freedom has
# their covariance at 0.75, its tails are to be wider.
SCATTER = 0.9
# Weight of what is expected of a margin, a normal's, in points' worth of likelihood.
PRIOR_WEIGHT = 0.01
# SDs of the log tail weight that are expected.
TAIL_SD = 0.4
# Far in the tails exp() overflows: in the fit, and everywhere.
FIT_FAR, FAR = 20.0, 300.0
# Fewer points than this for each coordinate tell nothing of a covariance.
POINTS_PER_COORDINATE = 3.0


@dataclass(frozen=True, slots=True)
class Margins:
    """Transformations of each coordinate to a standard normal, sinh-arcsinh [1]_.

    ``u = sinh(delta asinh((x - center) / scale) - skew)``: normal for delta = 1 and
    skew = 0, long to the right for skew > 0, long on both sides for delta < 1.

    Attributes
    ----------
    center, scale, skew, delta : ndarray, shape (m,)
        Of each coordinate.

    References
    ----------
    .. [1] Jones and Pewsey (2009). Sinh-arcsinh distributions. Biometrika 96(4).
       https://doi.org/10.1093/biomet/asp053
    """

    center: Float[np.ndarray, " m"]
    scale: Float[np.ndarray, " m"]
    skew: Float[np.ndarray, " m"]
    delta: Float[np.ndarray, " m"]

    def to_normal(
        self, x: Float[np.ndarray, "n m"]
    ) -> tuple[Float[np.ndarray, "n m"], Float[np.ndarray, " n"]]:
        """Normal scores of points, and the log of the Jacobian du/dx there."""
        v = (x - self.center) / self.scale
        bent = np.clip(self.delta * np.arcsinh(v) - self.skew, -FAR, FAR)
        slope = np.logaddexp(bent, -bent) - 0.5 * np.log1p(v * v)
        constant = float(np.log(self.delta / (2.0 * self.scale)).sum())
        return np.sinh(bent), slope.sum(axis=1) + constant

    def from_normal(self, u: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
        """The points of given normal scores."""
        bent = np.clip((np.arcsinh(u) + self.skew) / self.delta, -FAR, FAR)
        return self.center + self.scale * np.sinh(bent)


@dataclass(frozen=True, slots=True)
class Transported:
    """A multivariate t of the margins' normal scores, about ``center`` with ``root``.

    ``root`` (m, m) is the lower Cholesky factor of the scatter.
    """

    margins: Margins
    center: Float[np.ndarray, " m"]
    root: Float[np.ndarray, "m m"]

    def draw(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n m"]:
        """Independent points."""
        t = student(n, self.center.size, rng)
        return self.margins.from_normal(self.center + t @ self.root.T)

    def log_density(self, x: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
        """Log density at points."""
        u, log_jacobian = self.margins.to_normal(x)
        t = np.linalg.solve(self.root, (u - self.center).T).T
        volume = float(np.log(np.diag(self.root)).sum())
        return log_peak(self.center.size) - volume - log_fall(t) + log_jacobian


@dataclass(frozen=True, slots=True)
class Defended:
    """A mixture: mostly what was fitted, and a share `DEFENSIVE` of what is safe."""

    fitted: Transported
    safe: Proposal

    def draw(self, n: int, rng: np.random.Generator) -> Float[np.ndarray, "n m"]:
        """Independent points."""
        is_safe = rng.random(n) < DEFENSIVE
        x = self.fitted.draw(n, rng)
        x[is_safe] = self.safe.draw(int(is_safe.sum()), rng)
        return x

    def log_density(self, x: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
        """Log density at points."""
        return np.logaddexp(
            math.log1p(-DEFENSIVE) + self.fitted.log_density(x),
            math.log(DEFENSIVE) + self.safe.log_density(x),
        )


def fit_proposal(
    x: Float[np.ndarray, "n m"], weights: Float[np.ndarray, " n"], safe: Proposal
) -> Defended | None:
    """The proposal that weighted points ask for.

    Parameters
    ----------
    x : ndarray, shape (n, m)
        Points.
    weights : ndarray, shape (n,)
        Their weights, summing to 1.
    safe : Proposal
        Keeps a share of the mixture.

    Returns
    -------
    Defended or None
        None if the points are worth too few to tell.

    References
    ----------
    .. [1] Owen and Zhou (2000). Safe and effective importance sampling. J. Am. Stat.
       Assoc. 95(449). https://doi.org/10.1080/01621459.2000.10473909
    """
    m = x.shape[1]
    square = float(weights @ weights)
    worth = 1.0 / square if square > 0.0 else 0.0
    if worth < POINTS_PER_COORDINATE * m:
        return None
    margins = fit_margins(x, weights)
    u, _ = margins.to_normal(x)
    center = weights @ u
    away = u - center
    own = (away * weights[:, None]).T @ away
    # scores are standard normal: what few points do not say is their identity
    scatter = SCATTER * (worth * own + m * np.eye(m)) / (worth + m)
    return Defended(Transported(margins, center, np.linalg.cholesky(scatter)), safe)


def fit_margins(
    x: Float[np.ndarray, "n m"], weights: Float[np.ndarray, " n"]
) -> Margins:
    """Margins of the highest weighted likelihood, drawn a little towards normal ones.

    Each maximises ``sum_i w_i log q(x_i)`` over centre, log scale, skew and log delta,
    in units of the weighted mean and SD.
    """
    mean = weights @ x
    sd = np.sqrt(np.maximum(weights @ (x - mean) ** 2, np.finfo(float).tiny))
    y = (x - mean) / sd
    rows = []
    for own in y.T:
        found = optimize.minimize(
            _loss,
            np.zeros(4),
            args=(own, weights),
            jac=True,
            method="BFGS",
            options={"gtol": 1e-3, "maxiter": 40},
        )
        rows.append(found.x)
    center, log_scale, skew, log_delta = np.array(rows).T
    return Margins(mean + sd * center, sd * np.exp(log_scale), skew, np.exp(log_delta))


def _loss(
    given: Float[np.ndarray, " 4"],
    y: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, " n"],
) -> tuple[float, Float[np.ndarray, " 4"]]:
    """Minus the penalised log likelihood of one margin, with its gradient.

    With v = (y - c) / s, a = delta asinh(v) - skew and u = sinh(a) the log density is
    -u^2 / 2 + log cosh(a) + log delta - log s - log(1 + v^2) / 2; its derivatives by a
    and v give all others.
    """
    center, log_scale, skew, log_delta = given
    scale, delta = np.exp(np.clip(given[[1, 3]], -FIT_FAR, FIT_FAR))
    v = (y - center) / scale
    turned = np.arcsinh(v)
    a = np.clip(delta * turned - skew, -FIT_FAR, FIT_FAR)
    u = np.sinh(a)
    value = -0.5 * u * u + np.log(np.cosh(a)) - 0.5 * np.log1p(v * v)
    by_a = -u * np.cosh(a) + np.tanh(a)
    by_v = by_a * delta / np.sqrt(1.0 + v * v) - v / (1.0 + v * v)
    slope = np.array(
        [
            -(weights @ by_v) / scale,
            -(weights @ (by_v * v)) - 1.0,
            -(weights @ by_a),
            weights @ (by_a * delta * turned) + 1.0,
        ]
    )
    precision = PRIOR_WEIGHT / np.array([1.0, 1.0, 1.0, TAIL_SD**2])
    penalty = 0.5 * float(precision @ given**2)
    total = float(weights @ value) + log_delta - log_scale
    return penalty - total, precision * given - slope
