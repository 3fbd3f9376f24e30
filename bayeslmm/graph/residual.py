"""Structured residuals in PyTensor: ratios of SDs, rho, and what they do to rows.

Takes a design with its priors; adds the variables ``sigma_ratio`` and ``rho`` to the
PyMC model in context. For the joint model a response is that given the rows before it
in its series; for the integrated one there are the weights of the patterns.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bayeslmm.design.arrays import Design
from bayeslmm.design.residual import RATIO, RHO, ResidualRows, Series, previous_rows
from bayeslmm.design.rows import Rows
from bayeslmm.graph.blocks import positive_prior, variable
from bayeslmm.graph.names import Tensor
from bayeslmm.marginal.kernels.patterns import ALL, ENDS, EVEN, LAG
from bayeslmm.marginal.patterns import Pattern
from bayeslmm.priors import Priors

UNIT = f"{RHO}_unit"


class ResidualTensors(NamedTuple):
    """Ratio of the SD of each stratum to sigma, a vector; rho, None without series."""

    ratios: Tensor
    rho: Tensor | None


def add_residual(design: Design, priors: Priors) -> ResidualTensors | None:
    """Variables of the residuals' parameters; None without a structure.

    ``rho_unit`` in (0, 1) has the Beta prior that is stretched over the range of rho.
    """
    import pymc as pm
    import pytensor.tensor as pt

    structure = design.residual
    if structure is None:
        return None
    ratios: Tensor = pt.ones(1, dtype="float64")
    rho: Tensor = None
    shown = [p for p in structure.parameters if p.variable == RATIO]
    if shown:
        model: Tensor = pm.modelcontext(None)
        dim = f"{RATIO}_dim"
        model.add_coords({dim: [str(p.coord) for p in shown]})
        own = variable(RATIO, [positive_prior(priors.of(p)) for p in shown], dim)
        ratios = pt.concatenate([ratios, own])
    if structure.series is not None:
        (parameter,) = (p for p in structure.parameters if p.variable == RHO)
        low = structure.series.low
        unit = variable(UNIT, [priors.of(parameter)], None)
        rho = pm.Deterministic(RHO, low + (1.0 - low) * unit)
    return ResidualTensors(ratios, rho)


# --- the joint model ------------------------------------------------------------------


def given_before(
    design: Design,
    given: Rows,
    tensors: ResidualTensors,
    mu: Tensor,
    sigma: Tensor,
) -> tuple[Tensor, Tensor]:
    """Mean and SD of each response given those before it in its series.

    Parameters
    ----------
    design : Design
        The model.
    given : Rows
        Its rows.
    tensors : ResidualTensors
        The residuals' parameters.
    mu, sigma
        Mean of each row, and the residual SD.
    """
    import pytensor.tensor as pt

    rows, root = given.residual, np.ones(given.n)
    assert rows is not None, "a design with a structure has coded its rows"
    if given.weights is not None:
        root = np.sqrt(given.weights)
    scale: Tensor = 1.0 / root
    if rows.stratum is not None:
        scale = tensors.ratios[rows.stratum] / root
    assert design.residual is not None, "the caller has looked"
    series, rho = design.residual.series, tensors.rho
    if series is None or rho is None or rows.series is None:
        return mu, sigma * scale
    u = (given.y - mu) / scale
    if rows.time is None:
        before, m = _sum_before(rows.series, u)
        inner = 1.0 + (m - 1.0) * rho
        known = rho / inner * before
        spread = pt.sqrt((1.0 - rho) * (1.0 + m * rho) / inner)
    else:
        at, far = _distances(series, rows)
        r: Tensor = pt.where(
            far > 0.0, pt.power(rho, np.where(far > 0.0, far, 1.0)), 0.0
        )
        known = r * u[at]
        spread: Tensor = pt.sqrt(1.0 - r**2)
    return mu + scale * known, sigma * scale * spread


def _distances(
    series: Series, rows: ResidualRows
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The row just before each, and how many steps; 0 for the first of a series."""
    at = previous_rows(rows)
    assert rows.time is not None, "ar1 has an order"
    first = at < 0
    at = np.where(first, 0, at)
    return at, np.where(first, 0.0, series.steps(rows.time - rows.time[at]))


def _sum_before(
    codes: Int[np.ndarray, " n"], u: Tensor
) -> tuple[Tensor, Float[np.ndarray, " n"]]:
    """Sum over the rows of the level before each row, and how many these are."""
    import pytensor.tensor as pt

    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    start = np.repeat(starts, np.diff(starts, append=len(codes)))
    back = np.argsort(order)
    total: Tensor = pt.concatenate([[0.0], pt.cumsum(u[order])])
    before = total[np.arange(len(codes))] - total[start]
    return before[back], (np.arange(len(codes)) - start)[back].astype(float)


# --- the integrated model -------------------------------------------------------------


def pattern_weights(
    patterns: Sequence[Pattern], tensors: ResidualTensors
) -> tuple[list[Tensor], Tensor]:
    """Weight of each pattern, and the log determinant but for that of the ratios."""
    import pytensor.tensor as pt

    weights: list[Tensor] = []
    log_det: Tensor = 0.0
    for own in patterns:
        s, t = own.strata
        value, det = _weight(own.kind, own.number, tensors.rho)
        weights.append(value / (tensors.ratios[s] * tensors.ratios[t]))
        if own.count:
            each: Tensor = pt.log(det)
            log_det = log_det + own.count * each
    return weights, log_det


def _weight(kind: int, number: float, rho: Tensor = 0.0) -> tuple[Tensor, Tensor]:
    """Weight of a kind of pattern; the determinant that one of it adds.

    As `marginal.kernels.patterns` has them.
    """
    import pytensor.tensor as pt

    if kind == ALL:
        return 1.0, 1.0
    if kind in (ENDS, LAG):
        r: Tensor = pt.power(rho, np.array(number, float))
        left: Tensor = 1.0 - r**2
        return (r**2 if kind == ENDS else -r) / left, left
    if kind == EVEN:
        return 1.0 / (1.0 - rho), 1.0
    whole: Tensor = 1.0 + (number - 1.0) * rho
    return -rho / ((1.0 - rho) * whole), (1.0 - rho) ** (number - 1.0) * whole
