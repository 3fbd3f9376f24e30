"""In which units the numbers of a model are, in words."""

from typing import TYPE_CHECKING

from bayeslmm.priors import FAMILIES

if TYPE_CHECKING:
    from bayeslmm.spec import ModelSpec


def unit_words(model: "ModelSpec") -> str:
    """Units of the parameters, ``in units of score``, ``on the logit scale of sick``.

    Fixed effects and SDs of slopes are so per unit of their columns; correlations have
    none.
    """
    link, response = FAMILIES[model.family][1], model.design.response
    if model.family.endswith("lognormal"):
        link = "log"  # that of its parameter is the identity, but of a mean of logs
    if link == "identity":
        return f"in units of {response}"
    return f"on the {link} scale of {response}"
