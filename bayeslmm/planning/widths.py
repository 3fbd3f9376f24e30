"""How wide the intervals of one study will be: by information, or by simulation.

Takes the model of a study and true values; gives a line for each parameter.
"""

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri, stdtrit  # scipy.stats takes 0.3 s to load

from bayeslmm.design.arrays import Design
from bayeslmm.design.space import Parameter
from bayeslmm.planning.information import expected_information, free_variances
from bayeslmm.planning.truth import true_parameters
from bayeslmm.reml.chunks import in_chunks
from bayeslmm.reml.estimate import fit_reml
from bayeslmm.simulation import Parameters, responses_at
from bayeslmm.spec import ModelSpec

How = Literal["auto", "information", "simulation"]
Line = dict[str, Any]
# SE of a log SD or atanh correlation up to which the information gives the width: see
# Notes of `precision`.
TRUSTED = 0.35


def expected_widths(
    model: ModelSpec, values: Mapping[str, float], asked: Mapping[str, Any]
) -> list[Line]:
    """A line for each parameter of a study, by its ``method``.

    Parameters
    ----------
    model : ModelSpec
        The study.
    values : mapping of str to float
        True values by label.
    asked : mapping
        Arguments of `precision`: ``method``, ``prob``, ``nsim``, ``seed``, ``n_jobs``,
        ``progress``.
    """
    method, structured = asked["method"], model.design.residual is not None
    lines = {}
    if method == "information" or (method == "auto" and not structured):
        lines = _by_information(model, values, asked["prob"])
    shown = model.space.parameters
    wanting = [
        p for p in shown if p.label not in lines or not _is_trusted(p, lines[p.label])
    ]
    if method != "information" and wanting:
        simulated = _by_simulation(model, values, asked)
        for parameter in shown if method == "simulation" else wanting:
            lines[parameter.label] = simulated[parameter.label]
    return [
        {
            "label": p.label,
            "component": p.component,
            "value": values.get(p.label, 0.0),
            **lines[p.label],
        }
        for p in shown
    ]


def _is_trusted(parameter: Parameter, line: Line) -> bool:
    """Whether the information is right for a parameter; NaN is not."""
    if parameter.component == "fixef":
        return line["width"] == line["width"]
    return float(line["se"]) <= TRUSTED


def _by_information(
    model: ModelSpec, values: Mapping[str, float], prob: float
) -> dict[str, Line]:
    """Intervals about the true values, by the expected information."""
    found, tail = expected_information(model, values), 0.5 + 0.5 * prob
    se = dict(zip(found.labels, np.sqrt(np.diag(found.covariance)), strict=True))
    z, lines = float(ndtri(tail)), {}
    for p in model.space.parameters:
        value = values.get(p.label, 0.0)
        if p.component == "fixef":
            column = p.index[0]
            own = float(np.sqrt(found.beta_cov[column, column]))
            half = own * float(stdtrit(max(found.df[column], 1.0), tail))
            lines[p.label] = _line(own, value - half, value + half, "information")
            continue
        own = float(se.get(p.label, _of_equal(model.design, p, se)))
        at = float(p.working(np.array(value)))
        low, high = (float(p.natural(np.array(at + s * z * own))) for s in (-1, 1))
        lines[p.label] = _line(own, low, high, "information")
    return lines


def _of_equal(design: Design, p: Parameter, se: Mapping[str, float]) -> float:
    """SE of the SD that stands for equal ones."""
    first = (q for q in free_variances(design) if q.term == p.term)
    return next(se[q.label] for q in first if q.component == p.component)


def _line(
    se: float, lower: float, upper: float, how: str, without: float = 0.0
) -> Line:
    """The numbers of one parameter."""
    own: Line = {"lower": lower, "upper": upper, "width": upper - lower}
    return own | {"se": se, "how": how, "without": without}


def _by_simulation(
    model: ModelSpec, values: Mapping[str, float], asked: Mapping[str, Any]
) -> dict[str, Line]:
    """Medians over simulated studies of the ends and widths of REML's intervals."""
    truth = true_parameters(model.design, values)
    work = partial(_chunk, model, truth, asked["prob"])
    rng = np.random.default_rng(asked["seed"])
    runs = in_chunks(
        work,
        asked["nsim"],
        rng,
        n_jobs=asked["n_jobs"],
        progress=asked["progress"],
        title="simulated studies",
    )
    ends = np.array(runs)  # (nsim, d, 2)
    lines = {}
    for i, p in enumerate(model.space.parameters):
        own = ends[np.isfinite(ends[:, i]).all(axis=1), i]
        share = 1.0 - len(own) / len(ends)
        if not len(own):
            lines[p.label] = _line(np.nan, np.nan, np.nan, "simulation", share)
            continue
        lower, upper = np.median(own, axis=0)
        width = float(np.median(own[:, 1] - own[:, 0]))
        line = _line(float("nan"), float(lower), float(upper), "simulation", share)
        lines[p.label] = line | {"width": width}
    return lines


def _chunk(
    model: ModelSpec,
    truth: Parameters,
    prob: float,
    size: int,
    rng: np.random.Generator,
) -> list[Float[np.ndarray, "d 2"]]:
    """Intervals of some studies."""
    found = []
    labels = list(model.space.labels)
    for y in responses_at(model.design, truth, size, rng):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # singular fits are counted
            table = fit_reml(model.with_response(y)).interval(prob)
        found.append(table.loc[labels, ["lower", "upper"]].to_numpy(dtype=float))
    return found
