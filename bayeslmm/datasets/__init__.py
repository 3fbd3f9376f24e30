"""Small data sets: public ones by name, and simulated classrooms.

Takes a name or a seed; gives data frames with factors in lme4's level order.
"""

from bayeslmm.datasets.public import DATASETS, load_data
from bayeslmm.datasets.simulated import SimulatedClassrooms, simulate_classrooms

__all__ = ["DATASETS", "SimulatedClassrooms", "load_data", "simulate_classrooms"]
