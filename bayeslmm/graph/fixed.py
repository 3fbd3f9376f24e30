"""Fixed effects in PyTensor: from the coefficients that have a prior to those reported.

Takes bambi's terms and the variables it made for them; the default priors mean products
of centred variables, so that the coefficients of lower orders are combinations of
several variables.
"""

from collections.abc import Iterable

import numpy as np

from bayeslmm.graph.names import Foreign, Tensor, fixed_names, free_name, is_moved
from bayeslmm.spec import ModelSpec


def free_names(model: ModelSpec) -> dict[str, str]:
    """Name of the variable that has the prior, by the name of that reported."""
    names = fixed_names(model.design)
    return {
        names[variable.name]: free_name(variable, names, model.priors)
        for variable in model.design.fixed
    }


def add_fixed(model: ModelSpec, terms: Iterable[Foreign], stated: Tensor) -> Tensor:
    """Coefficients of the data's columns, in the order of bambi's terms.

    Called inside a ``pymc.Model``. Adds those of variables whose prior means others.

    Parameters
    ----------
    model : Model
        Design and priors.
    terms : iterable
        Bambi's common terms.
    stated : tensor
        The coefficients that have priors, of all terms.

    Returns
    -------
    tensor
        Shape as `stated`.
    """
    import pymc as pm

    turn, terms = model.priors.fixed_turn, list(terms)
    if turn is None:
        return stated
    names = fixed_names(model.design)
    variables = {names[v.name]: v for v in model.design.fixed}
    columns: list[int] = []
    spans = []
    for term in terms:
        variable = variables[term.name]
        own = list(variable.columns)
        if variable.coords:
            theirs = [str(label) for label in term.coords[f"{term.name}_dim"]]
            own = [own[variable.coords.index(label)] for label in theirs]
        spans.append(slice(len(columns), len(columns) + len(own)))
        columns += own
    # a dot would cost numba 20 s of compiling
    found = (turn[np.ix_(columns, columns)] * stated).sum(axis=1)
    for term, span in zip(terms, spans, strict=True):
        variable = variables[term.name]
        if not is_moved(variable, model.priors):
            continue
        if variable.coords:
            pm.Deterministic(term.name, found[span], dims=f"{term.name}_dim")
        else:
            pm.Deterministic(term.name, found[span.start])
    return found
