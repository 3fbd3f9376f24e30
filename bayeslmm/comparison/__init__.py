"""Fits -> tables: REML beside the posterior, and what pooling did to each level.

Takes a `RemlFit` and a `Posterior` of one model and gives DataFrames, and a
reading of them in words; no figure.
"""

from bayeslmm.comparison.answer import answer
from bayeslmm.comparison.components import component_panels, varcomp_table
from bayeslmm.comparison.effect_tests import effect_tests
from bayeslmm.comparison.levels_pooled import pooling_factors
from bayeslmm.comparison.lrt import anova
from bayeslmm.comparison.movers import shrinkage_reading
from bayeslmm.comparison.pairs import check_kind, check_same_model
from bayeslmm.comparison.path import shrinkage_path
from bayeslmm.comparison.pooling import pooling_table
from bayeslmm.comparison.pull import prior_pull
from bayeslmm.comparison.reading import reading
from bayeslmm.comparison.reliance import shrinkage_matrices
from bayeslmm.comparison.shrinkage import shrinkage_covariances, shrinkage_table
from bayeslmm.comparison.table import compare
from bayeslmm.comparison.uncertainty import ranef_variance
from bayeslmm.comparison.units import unit_words
from bayeslmm.comparison.within import within_between

__all__ = [
    "anova",
    "answer",
    "check_kind",
    "check_same_model",
    "compare",
    "component_panels",
    "effect_tests",
    "pooling_factors",
    "pooling_table",
    "prior_pull",
    "ranef_variance",
    "reading",
    "shrinkage_covariances",
    "shrinkage_matrices",
    "shrinkage_path",
    "shrinkage_reading",
    "shrinkage_table",
    "unit_words",
    "varcomp_table",
    "within_between",
]
