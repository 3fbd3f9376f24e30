"""ModelSpec -> `Posterior`: target, mode, NUTS, importance, quadrature, diagnosis.

How a run ended is part of the result.
"""

from bayeslmm.posterior.diagnose import (
    Diagnosis as Diagnosis,
    SamplingStatus as SamplingStatus,
)
from bayeslmm.posterior.fit import Posterior as Posterior
