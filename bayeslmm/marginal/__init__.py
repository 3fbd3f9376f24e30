"""The marginal likelihood: design -> cross-products -> density, gradient, effects.

Everything that the package computes about a Gaussian model is read off one function,
the likelihood with fixed and random effects integrated out; this room is its home.
"""

from bayeslmm.marginal.effects import (
    EffectsMean as EffectsMean,
    conditional_mean as conditional_mean,
    draw_effects as draw_effects,
)
from bayeslmm.marginal.fixed import BetaPrior as BetaPrior, Profile as Profile
from bayeslmm.marginal.likelihood import (
    log_density as log_density,
    log_density_gradient as log_density_gradient,
)
from bayeslmm.marginal.profile import (
    Direction as Direction,
    log_sigma_gradient as log_sigma_gradient,
    profiled_criterion as profiled_criterion,
    profiled_curvature as profiled_curvature,
    profiled_gradient as profiled_gradient,
)
from bayeslmm.marginal.routes import cross_products as cross_products
from bayeslmm.marginal.statistics import Statistics as Statistics
