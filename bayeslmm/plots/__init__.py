"""Tables -> figures: the shrinkage figure, and ArviZ's diagnostics with REML marked.

Takes fits, asks `compare` for their tables, and draws. The same thing has the same look
in every figure: no pooling an open circle, partial pooling filled, complete pooling a
dashed line, REML blue, the posterior orange.
"""

from bayeslmm.plots.calibration import plot_calibration
from bayeslmm.plots.check import plot_check
from bayeslmm.plots.choices import plot_bayes_factors, plot_loo
from bayeslmm.plots.components import plot_varcomp
from bayeslmm.plots.diagnostics import (
    plot_posterior,
    plot_trace,
)
from bayeslmm.plots.fits import plot_fits
from bayeslmm.plots.forest import plot_forest
from bayeslmm.plots.ladder import (
    plot_aggregation,
    plot_offsets,
    plot_rows,
    plot_slopes,
    plot_two_stage,
)
from bayeslmm.plots.matrices import plot_matrices
from bayeslmm.plots.path import plot_shrinkage_path
from bayeslmm.plots.pooling import plot_pooling
from bayeslmm.plots.precision import plot_precision
from bayeslmm.plots.priors import plot_prior_predictive, plot_priors
from bayeslmm.plots.profiles import plot_profile
from bayeslmm.plots.ranef import plot_ranef
from bayeslmm.plots.ranks import plot_rank
from bayeslmm.plots.residuals import plot_residuals
from bayeslmm.plots.sensitivity import plot_prior_sensitivity
from bayeslmm.plots.shrinkage import plot_shrinkage
from bayeslmm.plots.singular import plot_singular

__all__ = [
    "plot_aggregation",
    "plot_bayes_factors",
    "plot_calibration",
    "plot_check",
    "plot_fits",
    "plot_forest",
    "plot_loo",
    "plot_matrices",
    "plot_offsets",
    "plot_pooling",
    "plot_posterior",
    "plot_precision",
    "plot_prior_predictive",
    "plot_prior_sensitivity",
    "plot_priors",
    "plot_profile",
    "plot_ranef",
    "plot_rank",
    "plot_residuals",
    "plot_rows",
    "plot_shrinkage",
    "plot_shrinkage_path",
    "plot_singular",
    "plot_slopes",
    "plot_trace",
    "plot_two_stage",
    "plot_varcomp",
]
