"""Log likelihoods row by row, for leave-one-out cross-validation.

Takes the model and an ArviZ DataTree of draws; gives the group ``log_likelihood``, each
row under its label in the data.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from bayeslmm.design.arrays import Design, rows_of
from bayeslmm.design.rows import Rows
from bayeslmm.errors import ModelError, warn_user
from bayeslmm.families import FAMILIES
from bayeslmm.graph.likelihood import RowLikelihood, row_likelihood
from bayeslmm.graph.names import OBSERVATIONS, response_name
from bayeslmm.posterior.places import residual_draws
from bayeslmm.posterior.predictions import (
    check_size,
    linear_draws,
    old_rows,
    other_draws,
    row_chunks,
)
from bayeslmm.posterior.tables import beta_draws
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr

NAMED = 5  # rows that a sentence names


def with_log_likelihood(model: ModelSpec, tree: "xr.DataTree") -> "xr.DataTree":
    """A copy of the tree with the group ``log_likelihood``."""
    import xarray as xr

    values = log_likelihood_draws(model, tree)
    _warn_of_ties(model, values)
    posterior = tree["posterior"]
    data = xr.Dataset(
        {response_name(model.design): (("chain", "draw", OBSERVATIONS), values)},
        coords={
            "chain": posterior["chain"].to_numpy(),
            "draw": posterior["draw"].to_numpy(),
            OBSERVATIONS: model.row_labels,
        },
    )
    copy = tree.copy()
    copy["log_likelihood"] = xr.DataTree(data)
    return copy


def log_likelihood_draws(
    model: ModelSpec, tree: "xr.DataTree"
) -> Float[np.ndarray, "chain draw n"]:
    """Log p(y_i | everything else), density or probability of each row's response.

    By the family's own density, or the response of the joint PyMC model where it has
    none in closed form. A weighted row has the SD sigma / sqrt(weight).
    """
    design = model.design
    _refuse_correlated(design)
    given = rows_of(design, "log likelihoods row by row")
    others = other_draws(model.family, tree)
    beta = beta_draws(design, tree)
    check_size(beta[..., 0].size, design.n, "The log likelihood")
    rows = old_rows(model, tree)
    function = _own_likelihood(model, given) or row_likelihood(model)
    scale = _stratum_scale(design, tree, given)
    values = np.empty((*beta.shape[:2], design.n))
    for c in range(len(values)):  # a chain at a time: fewer arrays of draws by rows
        terms = tuple(t._replace(effects=t.effects[[c]]) for t in rows.terms)
        own = rows._replace(terms=terms)
        eta = linear_draws(beta[[c]], own, slice(None))[0]
        for part in row_chunks(design.n, len(eta)):  # draws, so many that rows fit
            given = {name: draws[c, part, 0] for name, draws in others.items()}
            if scale is not None:
                given["sigma"] = given["sigma"][:, None] * scale[c, part]
            values[c, part] = function(eta[part], given)
    return values


def _refuse_correlated(design: Design) -> None:
    """Raise where the rows of a series are correlated given everything else."""
    if design.residual is not None and design.residual.series is not None:
        raise ModelError(
            f"Under residual={design.residual.label!r} rows of one series are "
            f"correlated given all effects, so the likelihood is no product over rows "
            f"and arviz.loo of rows has no meaning. Compare such models by "
            f"bayes_factor(), or leave out whole series."
        )


def _stratum_scale(
    design: Design, tree: "xr.DataTree", rows: Rows
) -> Float[np.ndarray, "chain draw n"] | None:
    """SD of each row relative to sigma under strata, draw by draw."""
    if design.residual is None or rows.residual is None:
        return None
    found = design.residual.scale(rows.residual, residual_draws(design, tree))
    return np.asarray(found)


def _own_likelihood(model: ModelSpec, rows: Rows) -> RowLikelihood | None:
    """Log density of every response by the family itself, if it has one."""
    density = FAMILIES[model.family].density
    if density is None:
        return None
    trials = np.ones(1) if model.recipe.trials is None else model.recipe.trials

    def evaluate(
        eta: Float[np.ndarray, "s n"], others: Mapping[str, Float[np.ndarray, " s"]]
    ) -> Float[np.ndarray, "s n"]:
        """Log density of every response for each draw."""
        given = {n: v if v.ndim > 1 else v[:, None] for n, v in others.items()}
        if rows.weights is not None:
            given["sigma"] = given["sigma"] / np.sqrt(rows.weights)
        return density(rows.y, eta, given, trials).value

    return evaluate


def _warn_of_ties(model: ModelSpec, values: Float[np.ndarray, "chain draw n"]) -> None:
    """Warn of rows whose smallest values, which `arviz.loo` fits, are all the same."""
    pooled = np.sort(values.reshape(-1, values.shape[-1]), axis=0)
    n_tail = int(np.ceil(min(0.2 * len(pooled), 3.0 * np.sqrt(len(pooled)))))
    tied = np.flatnonzero(pooled[0] == pooled[max(n_tail - 1, 0)])
    if n_tail < 2 or not tied.size:
        return
    assert model.row_labels is not None, "rows that have a likelihood are in memory"
    names = ", ".join(str(label) for label in model.row_labels[tied[:NAMED]])
    more = f" and {tied.size - NAMED} more" if tied.size > NAMED else ""
    warn_user(
        f"The lowest log likelihood of row {names}{more} is the same in {n_tail} "
        "draws, so arviz.loo will say 'All tail values are the same'. Either a chain "
        "is stuck (see diagnose(); sample again), or the model is certain of these "
        "responses (complete separation): give the fixed effects a tighter prior."
    )
