"""The log likelihood of single rows, of any family.

Takes a `Model`; gives a function of draws of the linear predictor, made of the response
of the joint PyMC model itself, so that weights, trials and links are those that were
sampled.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from bayeslmm.families import FAMILIES
from bayeslmm.graph.bridge import without_groups
from bayeslmm.graph.names import Foreign, Tensor
from bayeslmm.spec import ModelSpec

RowLikelihood = Callable[
    [Float[np.ndarray, "s n"], Mapping[str, Float[np.ndarray, " s"]]],
    Float[np.ndarray, "s n"],
]
"""Draws of the linear predictor and of the family's other parameters -> log p(y_i)."""


def row_likelihood(model: ModelSpec) -> RowLikelihood:
    """Log density of every response, given the linear predictor.

    Parameters
    ----------
    model : Model
        Formula, data and priors; any family.

    Returns
    -------
    callable
        ``f(eta, others)``: eta of shape (s, n), each of `others` of shape (s,).

    Raises
    ------
    ModelError
        If bambi cannot express the fixed part or the response.
    """
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt
    from pytensor.compile.mode import Mode
    from pytensor.graph import rewrite_graph, vectorize_graph
    from pytensor.graph.replace import graph_replace

    family = FAMILIES[model.family]
    names = family.others
    bambi_model: Foreign = without_groups(model)
    joint = bambi_model.backend.model
    (response,) = joint.observed_RVs
    known = [bambi_model.backend.components[family.parent].output]
    known += [joint[name] for name in names]
    inputs: list[Tensor] = [variable.type() for variable in known]
    (row,) = graph_replace(
        [pm.logp(response, joint.rvs_to_values[response])],
        dict(zip(known, inputs, strict=True)),
        strict=False,
    )
    row: Foreign = rewrite_graph(row, include=("canonicalize", "stabilize"))
    many: list[Tensor] = [pt.matrix(dtype="float64"), *(pt.vector() for _ in names)]
    rows = vectorize_graph(row, dict(zip(inputs, many, strict=True)))
    # evaluated a few times on long arrays: numpy is as fast, and compiles nothing
    optimizer: Foreign = None
    plain = Mode(linker="py", optimizer=optimizer)
    function = pytensor.function(many, rows, mode=plain, on_unused_input="ignore")

    def evaluate(
        eta: Float[np.ndarray, "s n"], others: Mapping[str, Float[np.ndarray, " s"]]
    ) -> Float[np.ndarray, "s n"]:
        """Log density of every response for each draw."""
        return np.asarray(function(eta, *(others[name] for name in names)))

    return evaluate
