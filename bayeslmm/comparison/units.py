"""In which units the numbers of a model are, in words."""

from typing import TYPE_CHECKING

from bayeslmm.families import FAMILIES

if TYPE_CHECKING:
    from bayeslmm.spec import ModelSpec


def unit_words(model: "ModelSpec") -> str:
    """Units of the parameters, ``in units of score``, ``on the logit scale of sick``.

    Fixed effects and SDs of slopes are so per unit of their columns; correlations have
    none.
    """
    link, response = FAMILIES[model.family].link_of_mean, model.design.response
    if link == "identity":
        return f"in units of {response}"
    return f"on the {link} scale of {response}"
