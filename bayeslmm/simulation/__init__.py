"""Data from a model: new responses at given parameters, or at draws of the prior.

Takes a `Model` or its `Design` and values of beta, the covariance of the random effects
and sigma; gives responses.
"""

from bayeslmm.simulation.prior import (
    parameters_of as parameters_of,
    predictive_table as predictive_table,
    prior_parameters as prior_parameters,
    prior_predictive as prior_predictive,
)
from bayeslmm.simulation.responses import (
    Parameters as Parameters,
    one_response as one_response,
    random_effects as random_effects,
    residual_values as residual_values,
    responses_at as responses_at,
    sd_corr_to_factor as sd_corr_to_factor,
    simulate as simulate,
)
