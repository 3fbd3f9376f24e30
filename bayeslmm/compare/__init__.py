"""Fits -> tables: REML beside the posterior, and what pooling did to each level.

Takes a `RemlFit` and a `Posterior` of one model and gives DataFrames; no figure, no
formatted number.
"""

from bayeslmm.compare.pairs import check_same_model
from bayeslmm.compare.shrinkage import shrinkage_covariances, shrinkage_table
from bayeslmm.compare.table import compare

__all__ = [
    "check_same_model",
    "compare",
    "shrinkage_covariances",
    "shrinkage_table",
]
