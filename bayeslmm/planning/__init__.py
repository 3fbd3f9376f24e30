"""Studies before there are data: power by simulation.

Takes a model with parameters, gives how often a test would find an effect. (The room of
DESIGN.md that is called ``power`` there: no room has the name of a public function.)
"""

from bayeslmm.planning.power import Power, power

__all__ = ["Power", "power"]
