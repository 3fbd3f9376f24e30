"""What a user may write for one prior, read into a `Prior`.

Takes a bambi prior, one of ours, an object with ``to_bambi()`` or a short string such
as ``"HalfNormal(5)"`` (parsed, never evaluated); gives checked `Prior` objects. PyMC is
imported only for distributions outside the table below.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from bayeslmm.errors import PriorError, nearest_names
from bayeslmm.priors.prior import Prior, check_number

# Positional order of the arguments, as in PyMC; the first are also the required ones.
_POSITIONAL: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        "Normal": ("mu", "sigma"),
        "StudentT": ("nu", "mu", "sigma"),
        "Laplace": ("mu", "b"),
        "Cauchy": ("alpha", "beta"),
        "HalfNormal": ("sigma",),
        "HalfStudentT": ("nu", "sigma"),
        "HalfCauchy": ("beta",),
        "Exponential": ("lam",),
        "Gamma": ("alpha", "beta"),
        "InverseGamma": ("alpha", "beta"),
        "LogNormal": ("mu", "sigma"),
        "Flat": (),
        "HalfFlat": (),
        "LKJ": ("eta",),
    }
)
_DEFAULTS: MappingProxyType[str, dict[str, float]] = MappingProxyType(
    {
        "Normal": {"mu": 0.0, "sigma": 1.0},
        "StudentT": {"mu": 0.0, "sigma": 1.0},
        "HalfNormal": {"sigma": 1.0},
        "HalfStudentT": {"sigma": 1.0},
        "LogNormal": {"mu": 0.0, "sigma": 1.0},
    }
)
_LOCATIONS = ("mu",)
_POSITIVE = (
    "HalfNormal",
    "HalfStudentT",
    "HalfCauchy",
    "Exponential",
    "Gamma",
    "InverseGamma",
    "LogNormal",
    "HalfFlat",
)
_REAL = ("Normal", "StudentT", "Laplace", "Cauchy", "Flat")


@dataclass(frozen=True, slots=True)
class Spec:
    """A distribution as written: arguments are numbers, arrays or other `Spec`."""

    name: str
    args: dict[str, Any]


def read_spec(value: object, key: str) -> Spec:
    """`value` as a `Spec`; `key` is where it was written, for the message."""
    if isinstance(value, Spec):
        return value
    if isinstance(value, Prior):
        return _checked_spec(value.name, value.arguments, key)
    if isinstance(value, str):
        return _parse(value, key)
    value = getattr(value, "to_bambi", lambda: value)()
    name, args = getattr(value, "name", None), getattr(value, "args", None)
    if isinstance(name, str) and isinstance(args, dict):
        if getattr(value, "dist", None) is not None:
            raise PriorError(
                f"The prior for {key!r} is a bambi prior with a callable (dist=...), "
                "whose density this package cannot know. Name a PyMC distribution."
            )
        return _checked_spec(name, args, key)
    raise PriorError(
        f"The prior for {key!r} is {value!r}. Give a bambi.Prior, a bayeslmm Prior, or "
        "a string such as 'Normal(0, 10)', 'HalfNormal(5)' or 'flat'; a parameter "
        "cannot be fixed at a constant."
    )


def plain_rule(rule: object) -> object:
    """What priors were asked for, without objects of other packages."""
    if not isinstance(rule, Mapping):
        return rule
    plain = str | int | float | Prior | None
    return {
        key: value if isinstance(value, plain) else read_spec(value, str(key))
        for key, value in rule.items()
    }


def scalar_prior(spec: Spec, key: str, reason: str) -> Prior:
    """The spec as one `Prior`; arrays and nested priors are errors."""
    return spread_prior(spec, key, 1, reason)[0]


def spread_prior(spec: Spec, key: str, count: int, reason: str) -> tuple[Prior, ...]:
    """One `Prior` for each of `count` coefficients; array arguments are spread."""
    columns: dict[str, np.ndarray] = {}
    for name, value in spec.args.items():
        if isinstance(value, Spec):
            raise PriorError(
                f"The prior for {key!r} has a prior inside ({name}={value.name}(...)). "
                "Only a random effect takes one, as "
                "Normal(mu=0, sigma=<prior of its SD>)."
            )
        array = np.atleast_1d(np.asarray(value, dtype=object)).ravel()
        if array.size not in (1, count):
            raise PriorError(
                f"The prior for {key!r} has {array.size} values for {name}, but there "
                f"are {count} coefficients. Give one value, or one for each."
            )
        what = f"{name} of the prior for {key!r}"
        columns[name] = np.array([check_number(item, what) for item in array])
    return tuple(
        _canonical(
            Prior(
                spec.name,
                tuple((n, float(v[i % v.size])) for n, v in columns.items()),
                reason,
            ),
            key,
        )
        for i in range(count)
    )


def sd_spec(spec: Spec, key: str) -> Spec:
    """The prior of the SD: the spec itself, or the inner one of a nested Normal."""
    nested = {k: v for k, v in spec.args.items() if isinstance(v, Spec)}
    if not nested:
        return spec
    if spec.name != "Normal" or set(nested) != {"sigma"}:
        raise PriorError(
            f"The prior for {key!r} is {spec.name}(...) with a prior inside. Random "
            "effects are Normal with mean 0 here: write Normal(mu=0, sigma=<prior of "
            "the SD>), or the prior of the SD alone."
        )
    mean = np.asarray(spec.args.get("mu", 0.0), dtype=float)
    if np.any(mean != 0.0):
        raise PriorError(
            f"The prior for {key!r} has mu={mean.tolist()}, but random effects have "
            "mean 0: their mean is the fixed effect of the same name. Set mu=0 and "
            "give the prior mean to the fixed effect."
        )
    return nested["sigma"]


def check_positive(prior: Prior, key: str) -> None:
    """Raise unless the prior lives on the positive numbers."""
    if prior.name in _POSITIVE or prior.name == "Flat":
        return
    if prior.name in _REAL or _pymc_logp(prior, key, -1.0) > -np.inf:
        raise PriorError(
            f"The prior for {key!r} is {prior}, which allows negative values, but "
            f"{key!r} is a standard deviation. Use one on the positive numbers, for "
            "example HalfNormal, HalfStudentT, Exponential or Gamma."
        )


def check_real(prior: Prior, key: str) -> None:
    """Raise unless the prior lives on all real numbers, as a coefficient does."""
    if prior.name in _REAL:
        return
    if prior.name in _POSITIVE or _pymc_logp(prior, key, -1.0) == -np.inf:
        raise PriorError(
            f"The prior for {key!r} is {prior}, which excludes negative values, but "
            f"{key!r} is a coefficient. Use one on all real numbers, for example "
            "Normal or StudentT."
        )


def lkj_eta(value: object, key: str) -> float:
    """LKJ eta, from a number, an prior or ``"LKJ(2)"``."""
    if not isinstance(value, bool) and isinstance(value, int | float | np.number):
        eta = check_number(value, f"eta of the prior for {key!r}")
    else:
        spec = read_spec(value, key)
        if spec.name not in ("LKJ", "LKJCorr", "LKJCholeskyCov"):
            raise PriorError(
                f"The prior for {key!r} is {spec.name}(...), but correlations take an "
                "LKJ prior. Write a number for its eta, or Prior('LKJ', eta=2)."
            )
        eta = check_number(spec.args.get("eta"), f"eta of the prior for {key!r}")
    if eta <= 0.0:
        raise PriorError(
            f"eta of the LKJ prior for {key!r} is {eta:g}; it must be > 0."
        )
    return eta


def _parse(text: str, key: str) -> Spec:
    """A short string as a `Spec`, through Python's grammar and never its evaluator."""
    if text.strip().lower() == "flat":
        return Spec("Flat", {})
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise _unreadable(text, key) from None
    return _node_spec(node, text, key)


def _node_spec(node: ast.expr, text: str, key: str) -> Spec:
    """A call node as a `Spec`."""
    if isinstance(node, ast.Name):
        return _checked_spec(node.id, {}, key)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise _unreadable(text, key)
    names = _positional_names(node.func.id, key)
    if len(node.args) > len(names):
        raise PriorError(
            f"The prior for {key!r}, {text!r}, has {len(node.args)} arguments; "
            f"{node.func.id} takes {', '.join(names) or 'none'}."
        )
    args = dict(
        zip(names, (_node_value(a, text, key) for a in node.args), strict=False)
    )
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in args:
            raise _unreadable(text, key)
        args[keyword.arg] = _node_value(keyword.value, text, key)
    return _checked_spec(node.func.id, args, key)


def _node_value(node: ast.expr, text: str, key: str) -> float | Spec:
    """A number, a signed number, or a nested prior."""
    if isinstance(node, ast.Call):
        return _node_spec(node, text, key)
    sign = 1.0
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        sign, node = -1.0 if isinstance(node.op, ast.USub) else 1.0, node.operand
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return sign * float(node.value)  # type: ignore[arg-type]
    raise _unreadable(text, key)


def _unreadable(text: str, key: str) -> PriorError:
    """The error for a string that is not a prior."""
    return PriorError(
        f"The prior for {key!r}, {text!r}, cannot be read. Write a distribution with "
        "numbers, such as 'Normal(0, 10)', 'HalfNormal(5)', "
        "'HalfStudentT(nu=3, sigma=2)', or 'flat'."
    )


def _checked_spec(name: str, args: dict[str, Any], key: str) -> Spec:
    """Spec with a known distribution name and known argument names."""
    known = _positional_names(name, key)
    accepted = {*known, *_alternative_names(name)}
    clean: dict[str, Any] = {}
    for arg, value in args.items():
        if arg not in accepted:
            raise PriorError(
                f"The prior for {key!r} gives {name} the argument {arg!r}."
                f"{nearest_names(arg, sorted(accepted))}"
            )
        has_args = hasattr(value, "args") and not isinstance(value, Spec)
        clean[arg] = read_spec(value, key) if has_args else value
    return Spec(name, clean)


def _positional_names(name: str, key: str) -> tuple[str, ...]:
    """Argument names of a distribution, in order."""
    if name in _POSITIONAL:
        return _POSITIONAL[name]
    import inspect

    from pymc import distributions

    dist = getattr(distributions, name, None)
    if not (inspect.isclass(dist) and issubclass(dist, distributions.Continuous)):
        names = [*_POSITIONAL, "Weibull", "Uniform", "TruncatedNormal", "SkewNormal"]
        raise PriorError(
            f"The prior for {key!r} names {name!r}, which is not a continuous "
            f"univariate distribution of PyMC.{nearest_names(name, names)}"
        )
    parameters = inspect.signature(dist.dist).parameters.values()
    return tuple(
        p.name
        for p in parameters
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        and p.name not in ("args", "kwargs")
    )


def _alternative_names(name: str) -> tuple[str, ...]:
    """Other argument names that PyMC takes for the distributions of the table."""
    return {
        "Normal": ("tau",),
        "StudentT": ("lam",),
        "HalfNormal": ("tau",),
        "HalfStudentT": ("lam",),
        "Exponential": ("scale",),
        "Gamma": ("mu", "sigma"),
        "InverseGamma": ("mu", "sigma"),
        "LogNormal": ("tau",),
    }.get(name, ())


def _canonical(prior: Prior, key: str) -> Prior:
    """The prior with PyMC's main arguments, all present and in their range."""
    if prior.name not in _POSITIONAL:
        _pymc_logp(prior, key, 1.0)  # PyMC itself checks the arguments
        return prior
    args = _main_arguments(prior.name, prior.arguments, key)
    args = {**_DEFAULTS.get(prior.name, {}), **args}
    order = _POSITIONAL[prior.name]
    for arg in order:
        if arg not in args:
            raise PriorError(f"The prior for {key!r}, {prior}, lacks {arg!r}.")
        location = arg in _LOCATIONS or (prior.name == "Cauchy" and arg == "alpha")
        if not location and args[arg] <= 0.0:
            raise PriorError(
                f"The prior for {key!r} is {prior}: {arg} must be positive, not "
                f"{args[arg]:g}."
            )
    return Prior(prior.name, tuple((arg, args[arg]) for arg in order), prior.reason)


def _main_arguments(name: str, args: dict[str, float], key: str) -> dict[str, float]:
    """Arguments with precision, mean and scale forms turned into the main form."""
    args = dict(args)
    precision = "lam" if name in ("StudentT", "HalfStudentT") else "tau"
    replaced = [a for a in args if a not in _POSITIONAL[name]]
    if any(args[a] <= 0.0 for a in replaced):
        raise PriorError(f"{replaced} of the prior for {key!r} must be positive.")
    if name == "Exponential" and set(args) == {"scale"}:
        args = {"lam": 1.0 / args["scale"]}
    elif name in ("Gamma", "InverseGamma") and set(args) == {"mu", "sigma"}:
        ratio, mu = (args["mu"] / args["sigma"]) ** 2, args["mu"]
        args = (
            {"alpha": ratio, "beta": ratio / mu}
            if name == "Gamma"
            else {"alpha": ratio + 2.0, "beta": mu * (ratio + 1.0)}
        )
    elif precision in args and "sigma" not in args:
        args["sigma"] = args.pop(precision) ** -0.5
    if set(args) - set(_POSITIONAL[name]):
        raise PriorError(
            f"The prior for {key!r} gives {name} the arguments {sorted(args)}, which "
            f"do not go together. Use {', '.join(_POSITIONAL[name])}."
        )
    return args


def _pymc_logp(prior: Prior, key: str, value: float) -> float:
    """PyMC's log density of the prior at one value."""
    import pymc as pm

    try:
        dist = getattr(pm, prior.name).dist(**prior.arguments)
        density: Any = pm.logp(dist, value)
        return float(density.eval())
    except Exception as error:  # any distribution of PyMC may fail in its own way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PriorError(
            f"PyMC cannot evaluate the prior for {key!r}, {prior}: {reason}"
        ) from error
