"""Covariance of the random effects of one term: theta <-> Lambda <-> (sd, corr).

Takes a `Structure` of k effects, one file and one row of `registry` for each, and gives
Cholesky factors, their inverses and pullbacks (the chain rule from a gradient with
respect to the factor). Two parametrisations: **theta**, for point estimates, has the
boundary inside; **coordinates**, for sampling, are unbounded. The loops are scalar,
because k is small. Needs numpy only.
"""

from bayeslmm.covariance.coordinates import (
    coordinates_pullback as coordinates_pullback,
    coordinates_to_factor as coordinates_to_factor,
    coordinates_to_sd_corr as coordinates_to_sd_corr,
    corr_logp as corr_logp,
    factor_to_coordinates as factor_to_coordinates,
    log_beta_constant as log_beta_constant,
)
from bayeslmm.covariance.registry import STRUCTURES as STRUCTURES
from bayeslmm.covariance.structure import Structure as Structure
from bayeslmm.covariance.theta import (
    angle_bounds as angle_bounds,
    angle_pullback as angle_pullback,
    angle_start as angle_start,
    angle_to_factor as angle_to_factor,
    factor_to_sd_corr as factor_to_sd_corr,
    theta_to_factor as theta_to_factor,
)
