"""Variance components and effect sizes, as methods of `RemlFit`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np

from bayeslmm.design.shares import Values
from bayeslmm.errors import check_fraction, is_count
from bayeslmm.reml.at_points import icc_asked
from bayeslmm.reml.centred import At, is_at_mean
from bayeslmm.reml.shares import Quantities, quantity_table, r2_quantities, with_notes
from bayeslmm.reml.sources import source_quantities

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.reml.fit import RemlFit

Seed = int | np.random.Generator | None


class Components:
    """Shares of variance of a `RemlFit`."""

    __slots__ = ()

    def _fit(self) -> "RemlFit":
        """The fit itself."""
        return cast("RemlFit", self)

    def varcomp(
        self, prob: float = 0.95, *, at: At = "mean", nsim: int = 0, seed: Seed = None
    ) -> "pd.DataFrame":
        """Variance components, each with its share of the variance of the response.

        The mean over the rows of z'Sigma z is a sum over the entries of Sigma, and each
        parameter has its own addends: the shares of all rows add up to 1, that of the
        fixed part is the marginal R2, those between it and sigma are the unadjusted
        ICC.

        Parameters
        ----------
        prob : float, default 0.95
            Coverage of the intervals.
        at : {"mean", "zero"}, default "mean"
            Where predictors whose effects vary stand for the SD of an intercept beside
            them. At their means an intercept has the variance of an average row and a
            slope what it adds around it, wherever x is 0; "zero" has lme4's SDs, whose
            shares may be negative or beyond 1 far from there.
        nsim : int, default 0
            Responses simulated for intervals (percentiles of a parametric bootstrap); 0
            for none.
        seed : int or numpy.random.Generator, optional
            Of these. With the same `nsim` and number they are simulated and fitted once
            for all tables of the fit.

        Returns
        -------
        DataFrame
            Index ``label``, ``fixed`` for the fixed part; columns ``group``,
            ``component`` (fixed, sd, corr, sigma), ``estimate`` (SD or correlation),
            ``variance`` (variance or covariance, units of y squared per units of the
            columns), ``share`` (unit-free); with `nsim` also ``lower``, ``upper``,
            ``share_lower``, ``share_upper``.

        Raises
        ------
        ModelError
            If an option is unknown, or nearly no simulated response could be fitted.

        References
        ----------
        .. [1] Rights and Sterba (2019). Psychol. Methods 24(3).
           https://doi.org/10.1037/met0000184

        Examples
        --------
        >>> import bayeslmm as lmm
        >>> pupils = lmm.simulate_classrooms(seed=1).data
        >>> fit = lmm.Model("score ~ edu + (edu | classroom)", pupils).fit_reml()
        >>> float(fit.varcomp()["share"].sum().round(12))
        1.0
        """
        fit = self._fit()
        rows = source_quantities(fit.design, at_mean=is_at_mean(at))
        return estimate_table(fit, rows, prob, nsim, seed)

    def icc(
        self,
        prob: float = 0.95,
        *,
        by_group: bool = False,
        at: Mapping[str, object] | None = None,
        pairs: bool = False,
        nsim: int = 0,
        seed: Seed = None,
    ) -> "pd.DataFrame":
        """Share of the variance that lies between levels.

        Parameters
        ----------
        prob : float, default 0.95
            Coverage of the intervals.
        by_group : bool, default False
            That of each grouping factor, for all of them together.
        at : mapping of str to values, optional
            Values of predictors of the random part, ``{"Days": [0, 5, 9]}``: with
            random slopes there is an ICC at each. By default averaged over the rows.
            Predictors that are not named stand at their mean (``attrs["held"]``),
            factors at each of their levels.
        pairs : bool, default False
            With `at`: the correlation of two rows of one level at every two points.
        nsim, seed
            Bootstrap intervals, as for `varcomp`.

        Returns
        -------
        DataFrame
            Index ``share``: ``adjusted`` (random over random plus residual variance),
            ``unadjusted`` (over these plus the variance of the fixed part); column
            ``estimate``, unit-free, with `nsim` also ``lower``, ``upper``.
            With `by_group` the index is ``group``, ``share``: ``adjusted``, the
            factor's own share; for one nested in others ``same level``, with these:
            the correlation of two of its rows.
            With `at` a row for each point (and group): the predictors, ``estimate``,
            and ``variance``, z'Sigma z, units of y squared; with `pairs` the predictors
            of both rows, ``Days_1``, ``Days_2``, and ``covariance``.

        Raises
        ------
        ModelError
            If an option or a predictor is unknown, or no effect of a predictor varies.

        Notes
        -----
        With prior weights the residual variance is that of weight 1, as in lme4.

        References
        ----------
        .. [1] Nakagawa et al. (2017). J. R. Soc. Interface 14(134).
           https://doi.org/10.1098/rsif.2017.0213
        .. [2] Johnson (2014). Methods Ecol. Evol. 5(9).
           https://doi.org/10.1111/2041-210X.12225
        .. [3] Goldstein, Browne and Rasbash (2002). Underst. Stat. 1(4).
           https://doi.org/10.1207/S15328031US0104_02

        Examples
        --------
        >>> import bayeslmm as lmm
        >>> pupils = lmm.simulate_classrooms(seed=1).data
        >>> fit = lmm.Model("score ~ edu + (edu | classroom)", pupils).fit_reml()
        >>> fit.icc(at={"edu": [0, 4, 8]}).columns.to_list()
        ['edu', 'estimate', 'variance']
        """
        fit = self._fit()
        rows = icc_asked(fit.model.recipe, by_group, at, pairs)
        return estimate_table(fit, rows, prob, nsim, seed)

    def r2(
        self, prob: float = 0.95, *, nsim: int = 0, seed: Seed = None
    ) -> "pd.DataFrame":
        """Share of the variance that the fixed part, or the whole model, explains.

        Parameters
        ----------
        prob : float, default 0.95
            Coverage of the intervals.
        nsim, seed
            Bootstrap intervals, as for `varcomp`.

        Returns
        -------
        DataFrame
            Index ``share``: ``marginal`` (fixed part), ``conditional`` (fixed and
            random part); column ``estimate``, unit-free, with `nsim` also ``lower``,
            ``upper``. The random variance is the mean of diag(Z Sigma Z') over the
            rows.

        References
        ----------
        .. [1] Nakagawa et al. (2017). J. R. Soc. Interface 14(134).
           https://doi.org/10.1098/rsif.2017.0213
        .. [2] Johnson (2014). Methods Ecol. Evol. 5(9).
           https://doi.org/10.1111/2041-210X.12225
        """
        fit = self._fit()
        return estimate_table(fit, r2_quantities(fit.design), prob, nsim, seed)


def estimate_table(
    fit: "RemlFit", rows: Quantities, prob: float, nsim: int, seed: Seed
) -> "pd.DataFrame":
    """Quantities at the estimates, with bootstrap intervals if any are asked."""
    check_fraction(prob, "prob")
    numbers = {name: own[0] for name, own in rows.of(estimated_values(fit)).items()}
    if is_count(nsim) and nsim == 0:
        return quantity_table(rows, numbers)
    from bayeslmm.reml.boot import bootstrap, percentiles

    found = bootstrap(fit, nsim, seed)
    draws = rows.of(found.values)
    columns = {}
    for name, own in numbers.items():
        columns[name] = own
        if name == "estimate" or name in rows.limited:
            before = "" if name == "estimate" else f"{name}_"
            lower, upper = percentiles(draws[name], prob)
            columns |= {f"{before}lower": lower, f"{before}upper": upper}
    table = quantity_table(rows, columns)
    return with_notes(table, (*table.attrs.get("notes", ()), *found.notes))


def estimated_values(fit: "RemlFit") -> Values:
    """The estimates as values along one axis of length 1."""
    roots = tuple(factor[None] for factor in fit.factors)
    sigma = np.array([fit.sigma])
    return Values(fit.beta[None], roots, sigma, fit.residual_values[None])
