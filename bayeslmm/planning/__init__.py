"""Studies before there are data: power by simulation, and calibration.

Takes a model with parameters, gives how often a test would find an effect; with its
priors, whether its posterior keeps what its intervals promise. (The room of
DESIGN.md that is called ``power`` there: no room has the name of a public function.)
"""

from bayeslmm.planning.certificate import Calibration
from bayeslmm.planning.power import Power, power

__all__ = ["Calibration", "Power", "power"]
