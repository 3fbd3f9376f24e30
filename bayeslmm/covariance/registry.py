"""The structures by their words: those of lme4 2.0, and glmmTMB's toep."""

from bayeslmm.covariance.ar1 import AR1, HETAR1
from bayeslmm.covariance.cs import CS, HOMCS
from bayeslmm.covariance.diag import DIAG, HOMDIAG
from bayeslmm.covariance.structure import Structure
from bayeslmm.covariance.toep import HOMTOEP, TOEP
from bayeslmm.covariance.us import US
from bayeslmm.formula.nodes import StructureWord

_ALL = (US, DIAG, HOMDIAG, CS, HOMCS, AR1, HETAR1, TOEP, HOMTOEP)
STRUCTURES: dict[StructureWord, Structure] = {own.word: own for own in _ALL}
