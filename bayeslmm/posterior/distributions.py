"""Densities, probabilities and ranks, as methods of `Posterior`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from bayeslmm.posterior.ranking import Best, rank_table
from bayeslmm.reml.centred import At

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.posterior.fit import Posterior


class Distributions:
    """What is read off the distribution of a `Posterior`."""

    __slots__ = ()

    def density(
        self, label: str, grid: object = None, *, at: At = "zero"
    ) -> "pd.DataFrame":
        """Posterior density of one parameter, without a histogram or a bandwidth.

        Fixed and random effects are mixtures of Normals over the variance parameters
        (Rao-Blackwell [1]_). Variance components come with their prior and with what
        takes one to the other, ``density = prior * likelihood``.

        Parameters
        ----------
        label : str
            As in the index of `summary`, ``"edu|classroom_sigma"``; ``"icc"`` for the
            adjusted ICC; of a level ``"Days|Subject[308]"``, as `ranef` names its
            draws.
        grid : array_like, optional
            Values, units of the parameter; by default 201 that hold 99.5% or more.
        at : {"zero", "mean"}, default "zero"
            Where predictors stand for the SD and correlations of an intercept beside
            their effects; see `varcorr`.

        Returns
        -------
        DataFrame
            Columns ``value``, ``density`` (per unit of the parameter); of variance
            components also ``prior``, in the same units (1 if it is flat), and
            ``likelihood``, unit-free. NaN where the parameter mixes others of which one
            has a flat prior: then it has no prior of its own.

        Raises
        ------
        ModelError
            If there is no such parameter, `grid` has no numbers, or the effects were
            not integrated out (another family).

        Notes
        -----
        The likelihood of one component is the marginal likelihood averaged over the
        other variance parameters under their prior given this one, p(y | component),
        over p(y): it is above 1 where the data speak for a value. Unlike a profile it
        depends on the other priors. With up to three variance parameters densities of
        one coordinate are exact sums over a lattice; else they are averaged over lines
        through the draws. A correlation that is no coordinate (of three effects, or at
        ``at="zero"`` under priors that refer to means) has a kernel density.

        References
        ----------
        .. [1] Gelfand and Smith (1990). J. Am. Stat. Assoc. 85(410).
           https://doi.org/10.1080/01621459.1990.10476213

        Examples
        --------
        >>> import bayeslmm as lmm
        >>> pupils = lmm.simulate_classrooms(6, seed=1).data
        >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
        >>> post = model.sample(draws=200, seed=1, progress=False)
        >>> post.density("1|classroom_sigma", [0.5, 1.0, 2.0]).columns.tolist()
        ['value', 'density', 'prior', 'likelihood']
        """
        from bayeslmm.posterior.read_off import density_table

        return density_table(cast("Posterior", self), label, grid, at)

    def probability(
        self,
        label: str,
        *,
        above: float | None = None,
        below: float | None = None,
        at: At = "zero",
    ) -> float:
        """Posterior probability of a range of one parameter.

        Use it where a share of draws is too coarse: of 4,000 draws none lies where the
        probability is 1e-6, and "0" is no answer. Far tails of an SD that mixes others
        (that of an intercept beside slopes, where the predictors are 0) are known
        little better than from the draws; ``at="mean"`` has none of it.

        Parameters
        ----------
        label, at
            As for `density`.
        above, below : float, optional
            Ends of the range, units of the parameter; both for what lies between them.

        Returns
        -------
        float
            The probability.

        Raises
        ------
        ModelError
            As `density`; if no end is given, or nothing lies between them.

        Examples
        --------
        >>> import bayeslmm as lmm
        >>> pupils = lmm.simulate_classrooms(6, seed=1).data
        >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
        >>> post = model.sample(draws=200, seed=1, progress=False)
        >>> 0.0 < post.probability("edu", below=0.0) < 1e-6
        True
        """
        from bayeslmm.posterior.read_off import probability

        return probability(cast("Posterior", self), label, above, below, at)

    def rank_levels(
        self,
        effect: str | None = None,
        *,
        group: str | None = None,
        at: Mapping[str, object] | None = None,
        best: Best = "highest",
        top: int | None = None,
        prob: float = 0.95,
    ) -> "pd.DataFrame":
        """Ranks of the levels of a grouping factor, with their uncertainty.

        Use it before a league table of schools, hospitals or subjects is believed. A
        rank is computed within each draw of all levels together; coefficients of levels
        (fixed plus random effect) have the ranks of their random effects.

        Parameters
        ----------
        effect : str, optional
            Effect that is ranked, ``"Days"``, or with its factor as the tables have it,
            ``"Days|Subject"``; not needed where there is one.
        group : str, optional
            Grouping factor; not needed where there is one.
        at : mapping of str to value, optional
            In place of `effect`: rank by all effects of a level together where the
            predictors have these values, ``{"Days": 9}``.
        best : {"highest", "lowest"}, default "highest"
            Which is rank 1.
        top : int, optional
            How many levels are the top of ``p_top``; by default a tenth of them.
        prob : float, default 0.95
            Probability of the equal-tailed intervals of the ranks.

        Returns
        -------
        DataFrame
            One row for each level, by expected rank: ``group``, ``level``, ``effect``
            (or the point), ``median`` of the random effect, units of y per unit of its
            column; ``rank``, its posterior mean, which minimises the expected squared
            error of all ranks [1]_; ``rank_lower``, ``rank_upper``; ``p_best``,
            ``p_top``, posterior probabilities.

        Raises
        ------
        ModelError
            If the factor or the effect is unknown or not said, or `top` is out of
            range.
        DataError
            If the ranks of so many levels do not fit into memory.

        References
        ----------
        .. [1] Laird and Louis (1989). Empirical Bayes ranking methods. J. Educ. Stat.
           14(1). https://doi.org/10.3102/10769986014001029
        .. [2] Goldstein and Spiegelhalter (1996). League tables and their limitations.
           J. R. Stat. Soc. A 159(3). https://doi.org/10.2307/2983325

        Examples
        --------
        >>> import bayeslmm as lmm
        >>> pupils = lmm.simulate_classrooms(6, seed=1).data
        >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
        >>> post = model.sample(draws=200, seed=1, progress=False)
        >>> post.rank_levels(top=2)["p_top"].sum().round(6).item()
        2.0
        """
        post = cast("Posterior", self)
        return rank_table(post, group, effect, at, best, top, prob)
