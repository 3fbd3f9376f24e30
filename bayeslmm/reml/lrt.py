"""P values of likelihood-ratio tests, the null at the boundary or not.

Takes a statistic (the fall of twice the log likelihood) and what was tested; gives its
chance under the null: of a chi-square, of the mixture that an SD of 0 asks for, and of
the exact distribution where one SD is all there is.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import gammaincc

from bayeslmm.marginal import Statistics

# RLRsim's grid of variance ratios, over the largest eigenvalue; denser gains nothing
# beside the error of the draws.
GRID = np.exp(np.linspace(-10.0, 8.0, 200))
# Levels up to which the eigenvalues take about a second.
MOST_LEVELS = 2000
# Draws handled at a time: their squares stay in memory.
CHUNK = 1000


def chisq_p(chisq: float, df: int) -> float:
    """Chance that a chi-square with so many degrees of freedom is above a value."""
    return float(gammaincc(0.5 * df, 0.5 * chisq)) if df else 0.0


def mixture_p(chisq: float, df: int, n_sd: int) -> float:
    """The same where so many of the parameters tested are SDs, 0 under the null.

    Parameters
    ----------
    chisq : float
        Fall of twice the log likelihood.
    df : int
        Parameters tested: SDs, the correlations and whatever goes with them.
    n_sd : int
        SDs among them.

    Returns
    -------
    float
        Of the chi-square without SDs; of the equal mixture of those with df - 1 and
        df for one. NaN for more: the weights depend on the design, and the chi-square
        with df is at least known to be too large.

    References
    ----------
    .. [1] Self and Liang (1987). J. Am. Stat. Assoc. 82(398).
       https://doi.org/10.1080/01621459.1987.10478472
    .. [2] Stram and Lee (1994). Biometrics 50(4). https://doi.org/10.2307/2533455
    """
    if n_sd > 1:
        return np.nan
    whole = chisq_p(chisq, df)
    return 0.5 * (chisq_p(chisq, df - 1) + whole) if n_sd else whole


def rlrt_draws(
    stats: Statistics, nsim: int, rng: np.random.Generator
) -> Float[np.ndarray, " nsim"]:
    """Draws of the restricted likelihood-ratio statistic of the only SD, if it is 0.

    Parameters
    ----------
    stats : Statistics
        Cross-products of a model with one bar term and one effect.
    nsim : int
        Draws.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    ndarray, shape (nsim,)
        Exact in distribution for the design at hand, but for the grid of variances.

    References
    ----------
    .. [1] Crainiceanu and Ruppert (2004). J. R. Stat. Soc. B 66(1).
       https://doi.org/10.1111/j.1467-9868.2004.00438.x
    """
    n_left, values = stats.n - stats.p, _between(stats)
    scaled = values[:, None] / values.max() * GRID
    kept, moved = 1.0 / (1.0 + scaled), scaled / (1.0 + scaled)
    log_det = np.log1p(scaled).sum(axis=0)
    found = []
    for start in range(0, nsim, CHUNK):
        size = min(CHUNK, nsim - start)
        squares = rng.chisquare(1.0, (size, len(values)))
        rest = n_left - len(values)
        others = rng.chisquare(rest, (size, 1)) if rest > 0 else 0.0
        ratio = (squares @ moved) / (squares @ kept + others)
        found.append((n_left * np.log1p(ratio) - log_det).max(axis=1))
    return np.maximum(np.concatenate(found), 0.0)


def _between(stats: Statistics) -> Float[np.ndarray, " j"]:
    """Eigenvalues of the products of Z less what X explains of it, those above 0."""
    sums, p = stats.sums, stats.p
    own, fixed = sums.A[0][:, 0, 0], sums.F[0][:, 0, :p]
    products = np.diag(own) - fixed @ np.linalg.pinv(sums.WW[:p, :p]) @ fixed.T
    values = np.linalg.eigvalsh(products)
    return values[values > 1e-10 * own.max()]
