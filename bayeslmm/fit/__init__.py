"""Fits: Model -> RemlFit, Posterior.

How a fit ended is part of the result.
"""

from bayeslmm.fit.diagnose import (
    Diagnosis as Diagnosis,
    SamplingStatus as SamplingStatus,
)
from bayeslmm.fit.posterior import Posterior as Posterior
from bayeslmm.fit.reml import fit_reml as fit_reml
from bayeslmm.fit.remlfit import RemlFit as RemlFit
from bayeslmm.fit.status import FitStatus as FitStatus
