"""Priors of the parameters of structured residuals.

Ratios of SDs have a prior on the positive numbers, by default LogNormal(0, 1), which is
the same for a ratio and its inverse; rho a Beta prior stretched over its range, by
default Beta(2, 2), on (-1, 1) the same as LKJ(2). Takes what a user gives and the
`Design`; gives a `Prior` for each parameter, and the density of rho on the scale
without bounds.
"""

import math
from collections.abc import Mapping
from typing import Any

from bayeslmm.design.arrays import Design
from bayeslmm.design.residual import RATIO, RHO
from bayeslmm.design.space import Parameter
from bayeslmm.errors import PriorError
from bayeslmm.priors.prior import Prior, check_number
from bayeslmm.priors.scale import LogScaleDensity
from bayeslmm.priors.spec import check_positive, read_spec, spread_prior

# Sets in which nothing is said of an SD or a correlation.
UNINFORMED = ("flat", "bambi", "brms")


def residual_keys(design: Design) -> list[str]:
    """Keys of priors of the residuals' parameters."""
    if design.residual is None:
        return []
    return list(dict.fromkeys(p.variable for p in design.residual.parameters))


def residual_priors(
    given: Mapping[str, Any], design: Design, name: str
) -> tuple[tuple[str, Prior], ...]:
    """Label and prior of each parameter of the residuals.

    Parameters
    ----------
    given : mapping
        Priors by key, ``sigma_ratio`` and ``rho`` among them.
    design : Design
        The model.
    name : str
        Set that the others come from.

    Raises
    ------
    PriorError
        If a prior does not have the parameter's range.
    """
    if design.residual is None:
        return ()
    ratios = [p for p in design.residual.parameters if p.variable == RATIO]
    own = _ratios(given, ratios, name)
    found = {p.label: prior for p, prior in zip(ratios, own, strict=True)}
    for p in design.residual.parameters:
        if p.variable == RHO:
            found[p.label] = _rho(given[RHO]) if RHO in given else _default(p, name)
    return tuple(found.items())


def _ratios(
    given: Mapping[str, Any], ratios: list[Parameter], name: str
) -> tuple[Prior, ...]:
    """Priors of the ratios of SDs."""
    if RATIO in given:
        spec = read_spec(given[RATIO], RATIO)
        found = spread_prior(spec, RATIO, len(ratios), "given")
        for prior in found:
            check_positive(prior, RATIO)
        return found
    if name in UNINFORMED:
        return tuple(Prior("HalfFlat", (), "nothing said of ratios") for _ in ratios)
    reason = "95% within a seventh and 7 of the first stratum"
    args = (("mu", 0.0), ("sigma", 1.0))
    return tuple(Prior("LogNormal", args, reason) for _ in ratios)


def _default(rho: Parameter, name: str) -> Prior:
    """The prior of rho in a named set."""
    low = f"on ({rho.bounds[0]:.3g}, 1)"
    if name in UNINFORMED:
        return Prior("Beta", (("alpha", 1.0), ("beta", 1.0)), f"uniform {low}")
    args = (("alpha", 2.0), ("beta", 2.0))
    return Prior("Beta", args, f"{low}, mildly against its ends")


def _rho(value: object) -> Prior:
    """A Beta prior over the range of rho, LKJ's or a flat one as such."""
    spec = read_spec(value, RHO)
    if spec.name in ("Flat", "Uniform"):
        spec = read_spec("Beta(1, 1)", RHO)
    if spec.name == "LKJ":
        eta = float(spec.args.get("eta", 1.0))
        if not eta > 0.0:
            raise PriorError(
                f"The prior for 'rho' is LKJ({eta:g}): it must be positive."
            )
        spec = read_spec(Prior("Beta", (("alpha", eta), ("beta", eta))), RHO)
    if spec.name != "Beta" or set(spec.args) != {"alpha", "beta"}:
        raise PriorError(
            f"The prior for 'rho' is {spec.name}, and rho has a range with two ends: "
            f"it takes a Beta stretched over that range, such as 'Beta(2, 2)' (in the "
            f"middle), 'Beta(5, 2)' (towards 1), 'LKJ(2)' or 'flat'."
        )
    shapes = {
        name: check_number(own, f"{name} of 'rho'") for name, own in spec.args.items()
    }
    if min(shapes.values()) <= 0.0:
        raise PriorError(
            f"The prior for 'rho' is Beta({shapes['alpha']:g}, {shapes['beta']:g}): "
            f"both arguments must be positive."
        )
    args = tuple((name, shapes[name]) for name in ("alpha", "beta"))
    return Prior("Beta", args, "given, stretched over its range")


def stretched_logp(prior: Prior) -> LogScaleDensity:
    """Log density of the scaled atanh x of a parameter with a stretched Beta prior.

    With ``v = (1 + tanh x) / 2`` in (0, 1), v has the Beta density, and
    ``dv/dx = 2 v (1 - v)``.
    """
    a, b = prior.arguments["alpha"], prior.arguments["beta"]
    constant = math.log(2.0) - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b)

    def logp(x: float) -> tuple[float, float]:
        # log v = -log(1 + exp(-2 x)), without overflow at either end
        below = -2.0 * x if x < -300.0 else math.log1p(math.exp(-2.0 * x))
        above = 2.0 * x if x > 300.0 else math.log1p(math.exp(2.0 * x))
        v = math.exp(-below)
        return constant - a * below - b * above, 2.0 * (a * (1.0 - v) - b * v)

    return logp
