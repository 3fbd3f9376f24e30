"""The joint PyMC model: fixed and random effects are variables, non-centred.

Takes a `Model`; gives the graph that bambi builds for it, with correlated effects.
"""

from typing import TYPE_CHECKING

from bayeslmm.graph.bridge import without_groups
from bayeslmm.graph.names import Foreign
from bayeslmm.spec import ModelSpec

if TYPE_CHECKING:
    import pymc as pm


def joint_model(model: ModelSpec) -> "pm.Model":
    """PyMC model with every effect as a variable, as a user would write it.

    Variables have bambi's names: ``Intercept`` (of centred predictors if the priors
    say so), ``edu``, ``1|classroom``, ``edu|classroom_sigma``, ``sigma``;
    ``classroom_corr`` is over named pairs. ``classroom_offset`` are the standardised
    random effects and ``classroom_corr_partial`` the partial correlations, scaled to
    (0, 1), that an LKJ prior is made of.

    Parameters
    ----------
    model : Model
        Formula, data and priors; any family.

    Returns
    -------
    pymc.Model
        The joint model.

    Raises
    ------
    ModelError
        If bambi cannot express the fixed part or the response.
    """
    bambi_model: Foreign = without_groups(model)
    return bambi_model.backend.model
