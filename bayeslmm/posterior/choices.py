"""What a posterior says about its model against others: cross-validation, evidence.

Takes the draws of a `Posterior`, of which this is the part that chooses between models.
"""

from typing import TYPE_CHECKING, cast

from bayeslmm.reml.cases import ROWS
from bayeslmm.reml.chunks import Progress

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDDataLOO

    from bayeslmm.posterior.evidence import Evidence
    from bayeslmm.posterior.fit import Posterior


class Choices:
    """Cross-validation and evidence."""

    __slots__ = ()

    def loo(self, by: str = ROWS, *, progress: Progress = "auto") -> "ELPDDataLOO":
        """Leave out each row, or each level of a grouping factor, and predict it.

        Use it to choose between models by how well they predict, with `arviz.compare`.
        What is left out decides what is asked, and no answer does for the other:

        - ``"rows"``: a new row of a known level. The level's effects are integrated
          out given its other rows, so that it tells of the model of single rows.
        - a grouping factor, ``by="Subject"``: all rows of a new level together, of
          which nothing is known but the population it comes from. It tells of random
          effects, their SDs and correlations, and of predictors of levels.

        Parameters
        ----------
        by : str, default "rows"
            ``"rows"``, or a grouping factor of the model; of nested and crossed ones
            all rows of its level go, and levels of the others stay where they occur.
        progress : bool or "auto", default "auto"
            Whether to show a bar; "auto": if it takes more than some seconds.

        Returns
        -------
        arviz_stats.utils.ELPDDataLOO
            ArviZ's object, for `arviz.compare`, `arviz.plot_compare` and
            `arviz.plot_khat`: ``elpd``, ``se``, ``elpd_i`` and ``pareto_k`` by name of
            the case. Log densities of responses in their units. ``p`` is what they are
            less than under the posterior of all rows: the effects being integrated out,
            it is large where single cases move the variance parameters. Beside these
            ``table()``, one row for each case; ``question``, which question is
            answered; ``refitted``, the cases whose posterior was made anew,
            ``influence_pareto_k`` that led to it, and ``mcse_i``, the Monte Carlo
            standard error of each density.

        Raises
        ------
        DataError
            If the rows were read in batches.
        ModelError
            If there is no such grouping factor, residuals have a structure, or the
            effects were not integrated out (other families, method ``"joint"``).
        PriorError
            If without a case there is no posterior.

        Notes
        -----
        Given the variance parameters the density of a case given all other rows is
        Normal in closed form, fixed and random effects integrated out [2]_. Only the
        variance parameters are reweighted, by one over it: by quadrature where the
        posterior is on a lattice, else by Pareto-smoothed draws [1]_. Where Pareto k is
        above 0.7 the posterior without the case is made anew. Priors stay those of all
        rows. Two fits can be compared if they are of the same rows and response.

        `compute_log_likelihood` gives `arviz.loo` densities of rows given the effects
        of their levels, which ask the question of ``"rows"`` with more weights that
        fail.

        References
        ----------
        .. [1] Vehtari, Gelman and Gabry (2017). Stat. Comput. 27.
           https://doi.org/10.1007/s11222-016-9696-4
        .. [2] Merkle, Furr and Rabe-Hesketh (2019). Bayesian comparison of latent
           variable models: conditional versus marginal likelihoods. Psychometrika
           84(3). https://doi.org/10.1007/s11336-019-09679-0

        Examples
        --------
        >>> import bayeslmm as lmm
        >>> pupils = lmm.simulate_classrooms(6, seed=1).data
        >>> model = lmm.Model("score ~ edu + (1 | classroom)", pupils)
        >>> post = model.sample(draws=100, seed=1, progress=False)
        >>> post.loo("classroom").table()["n"].tolist()
        [20, 20, 20, 20, 20, 20]
        """
        from bayeslmm.posterior.loo import loo

        return loo(cast("Posterior", self), by, progress=progress)

    def log_evidence(self, *, tolerance: float = 1e-3) -> "Evidence":
        """Log density of the data, parameters integrated out; see `Model.log_evidence`.

        The draws are used where it is not by quadrature.
        """
        from bayeslmm.posterior.evidence import log_evidence

        post = cast("Posterior", self)
        seed = int(post.idata.attrs["seed"])
        return log_evidence(post, tolerance=tolerance, seed=seed)
