"""Studies before there are data: power, precision and calibration.

Takes a model with parameters, gives how often a test would find an effect and how wide
the intervals will be; with its priors, whether its posterior keeps what its intervals
promise. (The room of DESIGN.md that is called ``power`` there: no room has the name of
a public function.)
"""

from bayeslmm.planning.certificate import Calibration
from bayeslmm.planning.power import Power, power
from bayeslmm.planning.precision import Precision, precision

__all__ = ["Calibration", "Power", "Precision", "power", "precision"]
