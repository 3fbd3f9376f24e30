"""What a REML fit says of responses, as a method of `RemlFit`."""

from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from bayeslmm.design.known import Known, refuse_replaced
from bayeslmm.reml.outcomes import PredictionKind

Variances = Literal["known", "estimated"]

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.reml.fit import RemlFit


class Predictions:
    """Predictions of a `RemlFit`."""

    __slots__ = ()

    def predict(
        self,
        newdata: object = None,
        *,
        level: Known = "group",
        kind: PredictionKind = "mean",
        prob: float = 0.95,
        variances: Variances = "known",
        nsim: int = 1000,
        seed: int | np.random.Generator | None = None,
        **replaced: object,
    ) -> "pd.DataFrame":
        """Predictions for the rows used, or for new ones.

        Parameters
        ----------
        newdata : DataFrame, optional
            New rows; the response column is not needed. Default: the rows used.
        level : {"group", "new", "unknown", "population"} or mapping, default "group"
            What is known of the level of a row. ``"group"``: it is the level named,
            with its effects as estimated; one that was not in the data is an error.
            ``"new"``: the level named may be new; then its effects are drawn from
            N(0, Sigma), the same in all rows of that level. ``"unknown"``: it might be
            any level, another in each row; an expected response is averaged over them.
            ``"population"``: no random effects. With several grouping factors each is
            taken by itself, or has its own word, ``{"school": "group", "pupil":
            "new"}``; without one it is ``"group"``.
        kind : {"mean", "response", "linear"}, default "mean"
            Expected response, or a new response with its noise (of a model with weights
            ``sigma / sqrt(weight)``; new rows need theirs). ``"linear"``, the linear
            predictor, is here the expected response.
        prob : float, default 0.95
            Probability of the intervals.
        variances : {"known", "estimated"}, default "known"
            Whether SE and interval take the variance parameters as known (exact normal
            theory of fixed and random effects), or count their error too, by a
            parametric bootstrap: wider where there are few levels, and it takes `nsim`
            fits. Where an SD is estimated as 0 neither knows that it may be more.
        nsim : int, default 1000
            Responses of the bootstrap.
        seed : int or numpy.random.Generator, optional
            Of these.
        **replaced
            Options of old; the error says what they are now.

        Returns
        -------
        DataFrame
            One row for each row, with the index of `newdata`, or of the rows used as
            ``model.row_labels`` has it; units of y: ``estimate``, the best guess;
            ``se``, the SD of its error; ``lower``, ``upper``, between which what is
            predicted lies with probability `prob`. ``attrs["notes"]``, shown below, say
            how.

        Raises
        ------
        DataError
            If `newdata` lacks a column, or has a level that was not in the data and
            `level` is ``"group"``; for ``"estimated"``, if the rows of the fit were
            read in batches.
        ModelError
            If an option is unknown.

        Notes
        -----
        With crossed factors the SE of each row costs a solve with the matrix of the
        smaller factors: 20,000 rows of 1,100 levels take 3 s. `fitted` and
        `residual_batches` give the estimates of the rows used alone.

        References
        ----------
        .. [1] Henderson (1975). Biometrics 31(2). https://doi.org/10.2307/2529430
        .. [2] Chatterjee, Lahiri and Li (2008). Ann. Stat. 36(3).
           https://doi.org/10.1214/07-AOS512

        Examples
        --------
        >>> import bayeslmm as lmm
        >>> pupils = lmm.simulate_classrooms(seed=1).data
        >>> fit = lmm.Model("score ~ edu + (1 | classroom)", pupils).fit_reml()
        >>> known = fit.predict(pupils.head(1))
        >>> new = fit.predict(pupils.head(1).assign(classroom="9z"), level="new")
        >>> float(new["se"].iloc[0]) > float(known["se"].iloc[0])
        True
        """
        from bayeslmm.reml.predictions import Bootstrap, prediction_table

        refuse_replaced(replaced)
        bootstrap = Bootstrap(nsim, seed)
        fit = cast("RemlFit", self)
        return prediction_table(fit, newdata, level, kind, prob, variances, bootstrap)
