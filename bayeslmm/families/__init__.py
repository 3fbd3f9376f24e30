"""The families a mixed model may have: one `Family` for each, all that is known of it.

Takes a name as bambi spells it; gives link, support, mean of the response and, where it
is smooth, log density with two derivatives in the linear predictor. Nothing is imported
but numpy and scipy, so that a family can be checked without bambi; a test holds the
table equal to bambi's own.
"""

from bayeslmm.families.family import Density, Family, Link, Others, Support
from bayeslmm.families.table import FAMILIES, check_family

__all__ = [
    "FAMILIES",
    "Density",
    "Family",
    "Link",
    "Others",
    "Support",
    "check_family",
]
