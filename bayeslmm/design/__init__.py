"""Formula + data -> `Design` (names, levels, account) and `Rows` (y, X, Z, codes).

Takes a parsed formula and a pandas, polars or Arrow frame, or batches; gives a `Recipe`
with the design, its rows where they are in memory (never a dense indicator of levels),
and what is needed to put new data the same way.
"""

from bayeslmm.design.account import RowAccount
from bayeslmm.design.arrays import Design, EffectVariable, FixedVariable, GroupTerm
from bayeslmm.design.build import build_design
from bayeslmm.design.describe import describe_table
from bayeslmm.design.evaluate import NumericColumn
from bayeslmm.design.frame import FactorColumn
from bayeslmm.design.recipe import NewGroup, NewRows, Recipe
from bayeslmm.design.rows import Rows
from bayeslmm.design.space import Component, Parameter, ParameterSpace

__all__ = [
    "Component",
    "Design",
    "EffectVariable",
    "FactorColumn",
    "FixedVariable",
    "GroupTerm",
    "NewGroup",
    "NewRows",
    "NumericColumn",
    "Parameter",
    "ParameterSpace",
    "Recipe",
    "RowAccount",
    "Rows",
    "build_design",
    "describe_table",
]
