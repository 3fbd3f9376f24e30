"""ModelSpec -> `RemlFit`: criterion, optimiser, boundary, standard errors, status.

How a fit ended is part of the result.
"""

from bayeslmm.reml.estimate import fit_reml as fit_reml
from bayeslmm.reml.fit import RemlFit as RemlFit
from bayeslmm.reml.status import FitStatus as FitStatus
