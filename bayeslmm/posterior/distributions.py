"""Densities, probabilities and ranks, as methods of `Posterior`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from bayeslmm.posterior.ranking import Best, rank_table

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.posterior.fit import Posterior


class Distributions:
    """What is read off the distribution of a `Posterior`."""

    __slots__ = ()

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
            Effect that is ranked, ``"Days"``; not needed where there is one.
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
