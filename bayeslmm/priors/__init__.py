"""Priors of a mixed model: numbers, scales, reasons.

Takes a `Design` and the name of a set or a dict in bambi's style; gives `Priors`, with
one `Prior` for every fixed coefficient, every SD and sigma, and the eta of each LKJ.
`beta_prior`, `scale_logp` and `stretched_logp` give what the marginal likelihood needs
of them.
"""

from bayeslmm.priors.coefficients import (
    beta_prior,
    check_integrable,
    safe_beta_prior,
)
from bayeslmm.priors.draws import PriorDraws, prior_draws
from bayeslmm.priors.make import changed_rule, make_priors
from bayeslmm.priors.prior import Prior, Priors
from bayeslmm.priors.residual import stretched_logp
from bayeslmm.priors.scale import ScaleForm, scale_form, scale_logp, scale_table
from bayeslmm.priors.sets import NAMED_SETS

__all__ = [
    "NAMED_SETS",
    "Prior",
    "PriorDraws",
    "Priors",
    "ScaleForm",
    "beta_prior",
    "changed_rule",
    "check_integrable",
    "make_priors",
    "prior_draws",
    "safe_beta_prior",
    "scale_form",
    "scale_logp",
    "scale_table",
    "stretched_logp",
]
