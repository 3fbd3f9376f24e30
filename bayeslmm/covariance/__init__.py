"""Covariance of the random effects of one term: theta <-> Lambda <-> (sd, corr).

Takes the k x k structures of lme4 2.0 (``us``, ``diag``, ``cs``, ``ar1``, and their
``hom``/``het`` variants) and gives Cholesky factors, their inverses and pullbacks
(the chain rule from a gradient with respect to the factor). Two parametrisations:
**theta**, for point estimates, has the boundary inside; **coordinates**, for sampling,
are unbounded. The loops are scalar, because k is small. Needs numpy only.
"""

from bayeslmm.covariance.angle import (
    angle_pullback as angle_pullback,
    angle_to_factor as angle_to_factor,
    corr_to_angle as corr_to_angle,
)
from bayeslmm.covariance.coordinates import (
    coordinates_pullback as coordinates_pullback,
    coordinates_to_factor as coordinates_to_factor,
    coordinates_to_sd_corr as coordinates_to_sd_corr,
    corr_logp as corr_logp,
    factor_to_coordinates as factor_to_coordinates,
    log_beta_constant as log_beta_constant,
    partial_exponents as partial_exponents,
)
from bayeslmm.covariance.correlation import corr_low as corr_low
from bayeslmm.covariance.structures import (
    STRUCTURES as STRUCTURES,
    Structure as Structure,
    is_full as is_full,
    is_homogeneous as is_homogeneous,
    n_corr as n_corr,
    n_sd as n_sd,
    n_theta as n_theta,
)
from bayeslmm.covariance.theta import (
    factor_to_sd_corr as factor_to_sd_corr,
    shared_corr as shared_corr,
    theta_bounds as theta_bounds,
    theta_pullback as theta_pullback,
    theta_start as theta_start,
    theta_to_factor as theta_to_factor,
)
