"""The classes that a file may hold, and what of each is written.

What follows from the rest is made again when it is read: the solver of cross-products,
the levels that stand for others. A field that is new needs a default here or in its
class, or `FORMAT` must rise: files of earlier versions stay readable.
"""

from functools import partial
from typing import Any

from bayeslmm.archive.codec import Form, Forms, form_of
from bayeslmm.data.origin import Origin
from bayeslmm.design.account import CoarseColumn, MixedColumn, RowAccount
from bayeslmm.design.aliasing import Aliasing
from bayeslmm.design.arrays import Design, EffectVariable, FixedVariable, GroupTerm
from bayeslmm.design.centring import Centring, Entry, Products
from bayeslmm.design.coder import AtomCoder, GroupCoder
from bayeslmm.design.coding import Coding
from bayeslmm.design.distinct import NumberCodes
from bayeslmm.design.evaluate import NumericNames
from bayeslmm.design.frame import FactorLevels
from bayeslmm.design.matrices import CodedTerm
from bayeslmm.design.moments import ColumnMoments, Moments, Near
from bayeslmm.design.recipe import Recipe
from bayeslmm.design.residual import ResidualStructure, Series, Strata
from bayeslmm.design.typical import Typical
from bayeslmm.formula import nodes
from bayeslmm.marginal.conditioned import Conditioned
from bayeslmm.marginal.layout import Block, Layout
from bayeslmm.marginal.patterns import Law
from bayeslmm.marginal.plan import Plan
from bayeslmm.marginal.routes import make_statistics
from bayeslmm.marginal.stack import Stack
from bayeslmm.marginal.standins import StandIns
from bayeslmm.marginal.statistics import Statistics
from bayeslmm.marginal.sums import Cells, Sums
from bayeslmm.posterior.diagnose import SamplingStatus
from bayeslmm.posterior.tails import Missing
from bayeslmm.priors.prior import Prior, Priors
from bayeslmm.priors.spec import Spec
from bayeslmm.reml.information import Information
from bayeslmm.reml.newton import Curvature
from bayeslmm.reml.optimise import Optimum
from bayeslmm.reml.status import FitStatus

PLAIN = (
    *(nodes.Name, nodes.Number, nodes.String, nodes.Constant, nodes.Call),
    *(nodes.Unary, nodes.Binary, nodes.Bar, nodes.Atom, nodes.Term),
    *(nodes.LinearPredictor, nodes.RandomTerm, nodes.ResidualTerm, nodes.Formula),
    *(FixedVariable, EffectVariable, GroupTerm, Products, Centring, Entry),
    *(RowAccount, MixedColumn, CoarseColumn, Origin, Moments, ColumnMoments, Near),
    *(Recipe, Coding, CodedTerm, AtomCoder, GroupCoder, NumberCodes, Aliasing),
    *(NumericNames, FactorLevels, Typical, ResidualStructure, Strata, Series),
    *(Sums, Cells, Layout, Block, Law, Plan, Prior, Priors, Spec),
    *(FitStatus, Optimum, Curvature, Information, SamplingStatus, Missing),
)


def _stack(**own: Any) -> Stack:  # noqa: ANN401
    """A stack with the levels that stand for others."""
    return Stack(**own, few=StandIns.of(own["A"], own["F"]))


_STATISTICS = {"sums": "sums", "layout": "layout"}
FORMS: Forms = {
    **{kind: form_of(kind) for kind in PLAIN},
    Design: form_of(
        Design, made=partial(Design, rows=None), without=("rows",), recorded="moments"
    ),
    Conditioned: form_of(Conditioned, without=("twin",)),
    Statistics: Form(make_statistics, _STATISTICS, frozenset(_STATISTICS)),
    Stack: form_of(Stack, made=_stack, without=("few",)),
}
