"""Text -> `Formula`: lme4's formula grammar, by a parser of our own.

Takes a string and gives the response, the expanded fixed part, offsets and one
`RandomTerm` for each covariance block. Sees no data and runs no code: a formula can
only name columns and a fixed list of functions, which the design room evaluates by
walking the nodes.
"""

from bayeslmm.formula.functions import ALLOWED_FUNCTIONS, FunctionRule
from bayeslmm.formula.nodes import (
    Atom,
    Binary,
    Call,
    Constant,
    Formula,
    LinearPredictor,
    Name,
    Node,
    Number,
    RandomTerm,
    ResidualTerm,
    String,
    Term,
    Unary,
    atom_label,
    names_in,
    render,
)
from bayeslmm.formula.parse import parse_formula

__all__ = [
    "ALLOWED_FUNCTIONS",
    "Atom",
    "Binary",
    "Call",
    "Constant",
    "Formula",
    "FunctionRule",
    "LinearPredictor",
    "Name",
    "Node",
    "Number",
    "RandomTerm",
    "ResidualTerm",
    "String",
    "Term",
    "Unary",
    "atom_label",
    "names_in",
    "parse_formula",
    "render",
]
