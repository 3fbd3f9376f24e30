"""What a model says before it is sampled: what its priors expect, what can exist.

Takes a `Model`, of which this is the part that needs no draws.
"""

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from bayeslmm.posterior.propriety import Propriety


class BeforeSampling:
    """Priors, prior predictive responses, and which moments there will be."""

    __slots__ = ()

    def prior_predictive(
        self, *, draws: int = 500, seed: int | np.random.Generator | None = None
    ) -> "xr.DataTree":
        """Responses of the prior; see `bayeslmm.simulation.prior.prior_predictive`.

        Returns
        -------
        DataTree
            Groups ``prior``, ``prior_predictive`` and ``observed_data``.
        """
        from bayeslmm.simulation import prior_predictive

        return prior_predictive(cast("ModelSpec", self), draws=draws, seed=seed)

    def plot_priors(self, **options: Any) -> "Figure":  # noqa: ANN401
        """Densities of the priors; options as of `bayeslmm.plot_priors`."""
        from bayeslmm.plots import plot_priors

        return plot_priors(cast("ModelSpec", self), **options)

    def propriety(self) -> "Propriety":
        """Whether the posterior is proper and which means and SDs it has, undrawn.

        Use it before sampling where priors are flat or heavy-tailed, or levels few.

        Returns
        -------
        Propriety
            ``proper``, ``messages`` (what does not exist, why, what to read instead,
            and the nearest prior under which it does), ``table``, ``missing``.

        Raises
        ------
        ModelError
            If the effects cannot be integrated out: families other than the Gaussian,
            or other priors of fixed effects than Normal and flat ones.

        Notes
        -----
        With beta and b integrated out, the likelihood of SDs that grow together as t
        falls as ``t**-d``, ``d = rank(Z) - q``: for the J levels of one intercept
        ``J - q``, q the dimension of what fixed effects under a flat prior and the
        levels have in common, 1 for the intercept and 1 for each covariate that is
        constant within levels. A half-t prior with nu degrees of freedom falls as
        ``t**-(nu + 1)``, a half-Cauchy as ``t**-2``, a flat one not at all. So under a
        flat prior the posterior of an SD is proper from ``d = 2`` (three levels and an
        intercept), has a mean from 3 and a variance from 4: Gelman's [1]_ conditions
        for one-way models. For several SDs the powers must suffice for each set of
        them, as in the theorem of Hobert and Casella [2]_ on powers of SDs as priors,
        and of Sun, Tsutakawa and He [3]_ for linear mixed models. The powers are read
        off the density itself, far out, and are exact but for rounding.

        References
        ----------
        .. [1] Gelman (2006). Bayesian Anal. 1(3). https://doi.org/10.1214/06-BA117A
        .. [2] Hobert and Casella (1996). J. Am. Stat. Assoc. 91(436).
           https://doi.org/10.1080/01621459.1996.10476714
        .. [3] Sun, Tsutakawa and He (2001). Stat. Sin. 11, 77-95; restated by Roman and
           Hobert (2012). Ann. Stat. 40(6). https://doi.org/10.1214/12-AOS1052

        Examples
        --------
        >>> import bayeslmm as lmm
        >>> pupils = lmm.simulate_classrooms(3, seed=1).data
        >>> flat = lmm.Model("score ~ edu + (1 | classroom)", pupils, priors="flat")
        >>> flat.propriety().table.loc["1|classroom_sigma", ["tail_index", "mean"]]
        tail_index      1.0
        mean          False
        Name: 1|classroom_sigma, dtype: object
        """
        from bayeslmm.posterior.propriety import propriety

        return propriety(cast("ModelSpec", self))
