"""Formula + data frame -> `Design`: y, X, and one `GroupTerm` for each bar term.

Takes a parsed formula and a pandas, polars or Arrow frame; gives a `Recipe`, which
holds the arrays (never a dense indicator of levels), the evaluated variables, the
account of the rows, and what is needed to put new data the same way.
"""

from bayeslmm.design.account import RowAccount
from bayeslmm.design.arrays import Design, EffectVariable, FixedVariable, GroupTerm
from bayeslmm.design.build import build_design
from bayeslmm.design.describe import describe_table
from bayeslmm.design.evaluate import NumericColumn
from bayeslmm.design.frame import FactorColumn
from bayeslmm.design.recipe import ModelFrame, NewGroup, NewRows, Recipe
from bayeslmm.design.space import Component, Parameter, ParameterSpace

__all__ = [
    "Component",
    "Design",
    "EffectVariable",
    "FactorColumn",
    "FixedVariable",
    "GroupTerm",
    "ModelFrame",
    "NewGroup",
    "NewRows",
    "NumericColumn",
    "Parameter",
    "ParameterSpace",
    "Recipe",
    "RowAccount",
    "build_design",
    "describe_table",
]
