"""Parameters of a study to come, by the labels of `summary`.

Takes a design with values by label, on top of the estimates of a pilot fit if there is
one; gives `Parameters` to simulate from.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from bayeslmm.covariance import angle_to_factor
from bayeslmm.design.arrays import Design
from bayeslmm.design.space import Parameter
from bayeslmm.errors import ModelError, is_number, listed, nearest_names, shortened
from bayeslmm.simulation import Parameters, residual_values, sd_corr_to_factor


def true_parameters(
    design: Design,
    given: Mapping[str, object] | None,
    pilot: Mapping[str, float] | None = None,
) -> Parameters:
    """Values of every parameter, as `known_values` has them, to simulate from.

    Parameters
    ----------
    design : Design
        Of the study.
    given : mapping of str to float, optional
        By label: ``{"x": 0.3, "1|g_sigma": 0.5, "sigma": 1.0}``. The intercept and
        correlations are 0 unless they are given.
    pilot : mapping of str to float, optional
        Estimates that hold where nothing is given.

    Raises
    ------
    ModelError
        If a label is unknown, a value impossible, or one is missing.
    """
    values = known_values(design, given, pilot)
    known = {p.label: p for p in design.space.parameters}
    beta = np.zeros(design.p)
    for p in known.values():
        if p.component == "fixef":
            beta[p.index[0]] = values[p.label]
    sigma = values["sigma"]
    if not sigma > 0.0:
        raise ModelError(f"'sigma' must be positive, not {sigma}.")
    factors = tuple(
        _factor(design, t, [p for p in known.values() if p.term == t], values)
        for t in range(len(design.groups))
    )
    residual = () if design.residual is None else design.residual.parameters
    own = {p.label: values[p.label] for p in residual}
    return Parameters(beta, factors, sigma, residual_values(design, own))


def known_values(
    design: Design,
    given: Mapping[str, object] | None,
    pilot: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """A value for every label; see `true_parameters`.

    Raises
    ------
    ModelError
        If a label is unknown, a value no number, or one is missing.
    """
    known = {p.label: p for p in design.space.parameters}
    own: dict[str, float] = {}
    if not isinstance(given, Mapping | None):
        raise ModelError(
            f"parameters must be values by label, such as {{'x': 0.3, 'sigma': 1.0}}, "
            f"not {shortened(given)}."
        )
    for name, value in (given or {}).items():
        label = "Intercept" if name == "(Intercept)" else name
        if label not in known:
            raise ModelError(
                f"There is no parameter {str(label)!r}.{nearest_names(label, known)}"
            )
        if not is_number(value) or not np.isfinite(value):
            raise ModelError(f"{label!r} must be a finite number, not {value!r}.")
        if own.get(label, value) != value:
            raise ModelError(f"{label!r} has two values: {own[label]} and {value}.")
        own[label] = float(value)
    for t, term in enumerate(design.groups):
        if term.covariance.homogeneous:
            equal = [p for p in known.values() if p.term == t and p.component == "sd"]
            own.update(_shared_sd([p.label for p in equal], own))
    values = {**(pilot or {}), **own}
    optional = {p.label for p in known.values() if p.component == "corr"}
    optional |= {"Intercept"} & set(known)
    missing = [label for label in known if label not in {*values, *optional}]
    if missing:
        raise ModelError(
            f"The study needs a value of {listed(missing)}: give parameters={{"
            f"{missing[0]!r}: ...}}, or a fit, whose estimates are taken."
        )
    return {label: values.get(label, 0.0) for label in known}


def _shared_sd(labels: list[str], own: Mapping[str, float]) -> dict[str, float]:
    """The one SD of a term under all of its labels, if it is given under any."""
    given = {label: own[label] for label in labels if label in own}
    if len(set(given.values())) > 1:
        raise ModelError(
            f"{listed(given)} are one SD in this structure, and have different "
            f"values: {', '.join(f'{value:g}' for value in given.values())}."
        )
    return dict.fromkeys(labels, next(iter(given.values()))) if given else {}


def _factor(
    design: Design, t: int, own: list[Parameter], values: Mapping[str, float]
) -> Float[np.ndarray, "k k"]:
    """Root of the covariance of one bar term."""
    term = design.groups[t]
    sd, corr = np.zeros(term.k), np.eye(term.k)
    shared = []
    for p in own:
        value = values.get(p.label, 0.0)
        if p.component == "sd":
            if value < 0.0:
                raise ModelError(f"{p.label!r} is an SD: at least 0, not {value}.")
            sd[list(p.index)] = value
            if term.covariance.homogeneous:
                sd[:] = value
        else:
            if abs(value) > 1.0:
                raise ModelError(
                    f"{p.label!r} is a correlation: between -1 and 1, not {value}."
                )
            corr[p.index] = corr[p.index[::-1]] = value
            shared.append(value)
    if term.covariance.is_shared(term.k) and not term.covariance.is_full(term.k):
        angles = term.covariance.angles(np.array(shared), term.k)
        free = np.append(sd[: term.covariance.n_sd(term.k)], angles)
        return angle_to_factor(term.covariance, free, term.k)
    return sd_corr_to_factor(sd, corr)
