"""The marginal likelihood: design -> cross-products -> density, gradient, effects.

Everything that the package computes about a Gaussian model is read off one function,
the likelihood with fixed and random effects integrated out; this room is its home.
"""

from bayeslmm.marginal.effects import EffectsMean as EffectsMean
from bayeslmm.marginal.effects import conditional_mean as conditional_mean
from bayeslmm.marginal.effects import draw_effects as draw_effects
from bayeslmm.marginal.likelihood import BetaPrior as BetaPrior
from bayeslmm.marginal.likelihood import Profile as Profile
from bayeslmm.marginal.likelihood import log_density as log_density
from bayeslmm.marginal.likelihood import log_density_gradient as log_density_gradient
from bayeslmm.marginal.likelihood import profiled_criterion as profiled_criterion
from bayeslmm.marginal.likelihood import profiled_gradient as profiled_gradient
from bayeslmm.marginal.statistics import Statistics as Statistics
from bayeslmm.marginal.statistics import cross_products as cross_products
