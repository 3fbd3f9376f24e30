"""Model -> PyMC: the joint model through bambi, and the integrated one.

Takes a `Model`; gives a bambi model with correlated effects, `pymc.Model` graphs that
define what the compiled kernel computes, and draws of the joint model. The only room
that builds PyMC, and the only one that touches bambi's internals.
"""

from typing import TYPE_CHECKING

from bayeslmm.graph.bridge import to_bambi
from bayeslmm.graph.joint import joint_model
from bayeslmm.graph.marginal import marginal_model
from bayeslmm.graph.sampling import sample_joint
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import pymc as pm

__all__ = ["joint_model", "marginal_model", "sample_joint", "to_bambi", "to_pymc"]


def to_pymc(model: ModelSpec, *, marginal: bool = False) -> "pm.Model":
    """PyMC graph of a model, to be looked at, extended or sampled.

    Parameters
    ----------
    model : Model
        Formula, data and priors.
    marginal : bool
        With the fixed and random effects integrated out (Gaussian family, Normal or
        flat priors of the fixed effects) rather than as variables.

    Returns
    -------
    pymc.Model
        Variables under bambi's names; see `joint_model` and `marginal_model`.

    Raises
    ------
    ModelError
        If the family cannot be integrated, or bambi cannot express the fixed part.
    PriorError
        If a prior of a fixed effect cannot be integrated (``marginal``).
    """
    return marginal_model(model) if marginal else joint_model(model)
