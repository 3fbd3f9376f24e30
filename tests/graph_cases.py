"""Models of every kind of term, their graphs, and points to evaluate them at."""

import functools
from typing import Any

import numpy as np
import pandas as pd
from pytensor.compile.mode import Mode

import bayeslmm as lmm
from bayeslmm.covariance import coordinates_to_factor, corr_logp
from bayeslmm.graph import names, to_pymc
from bayeslmm.priors import scale_logp

# Each graph is evaluated a few times only: PyTensor's rewriting, nearly all of the time
# that compiling takes, would not pay.
MODE = Mode(linker="py", optimizer=None)


@functools.cache
def frame() -> pd.DataFrame:
    """72 rows: numbers x, w, t; factors a (3), f (2); groups g (6), h (4), in g: c."""
    rng = np.random.default_rng(11)
    n = 72
    g, h = np.arange(n) % 6, rng.integers(0, 4, n)
    data = pd.DataFrame(
        {
            "x": rng.normal(2.0, 1.0, n),
            "w": rng.normal(0.0, 3.0, n),
            "my.var": rng.uniform(1.0, 2.0, n),
            "weight": rng.uniform(0.5, 2.0, n),
            "a": pd.Categorical(
                rng.permutation(np.array(["lo", "mid", "hi"] * 24))
            ).set_categories(["lo", "mid", "hi"]),
            "f": rng.permutation(np.array(["u", "v"] * 36)),
            "g": np.array(list("mnopqr"))[g],
            "h": np.array(list("abcd"))[h],
            "c": np.array(["s", "t"])[np.arange(n) // 6 % 2],
        }
    )
    effect = rng.normal(0.0, 1.0, (6, 2))[g]
    mean = 1.0 + 0.5 * data["x"] + effect[:, 0] + effect[:, 1] * data["x"]
    data["y"] = mean + rng.normal(0.0, 1.0, n)
    data["count"] = rng.poisson(3.0, n)
    data["fails"] = rng.poisson(3.0, n)
    data["flag"] = rng.integers(0, 2, n)
    return data


FORMULAS = [
    "y ~ x + (x | g)",
    "y ~ x + (x || g)",
    "y ~ x * a + (1 | g) + (1 | h)",
    "y ~ 0 + a + (0 + a | g)",
    "y ~ 1 + (x + w | g) + (x | h)",
    "log(my.var) ~ I(x / 10) + poly(w, 2) + (I(x / 10) | g/c)",
    "y ~ 0 + f:a + x + (1 | g:c) + offset(w)",
    "y ~ a:x + cs(0 + a | g)",
    "y ~ x + ar1(0 + a | g) + cs(x | h, hom = TRUE)",
    "y ~ x + homdiag(x | g)",
    "y ~ x + toep(x + w | g) + toep(0 + a | h, hom = TRUE)",
    "y ~ 0 + (1 | g) + (0 + x + w | g)",
    "y ~ x + (1 | g) + (0 + a | h)",
    "y ~ poly(w, 2):f + x + (1 | g)",
    "y ~ x + w + homdiag(0 + f:a | h)",
    "y ~ x * w + (x * w | g)",
    "y ~ x * f + I(x^2) + (0 + f + x | g)",
]


@functools.cache
def model_of(
    formula: str, *, weighted: bool = False, priors: str = "weak"
) -> lmm.Model:
    weights = "weight" if weighted else None
    return lmm.Model(formula, frame(), weights=weights, priors=priors)


@functools.cache
def joint_graph(model: lmm.Model) -> Any:
    """The joint graph, built once."""
    return to_pymc(model)


@functools.cache
def marginal_graph(model: lmm.Model) -> Any:
    """The integrated graph, built once."""
    return to_pymc(model, marginal=True)


def random_point(model: lmm.Model, seed: int) -> dict[str, np.ndarray]:
    """A point of the joint graph, on the unconstrained scale; SDs near 1."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0.0, 0.5, shape) for name, shape in shapes(model).items()}


@functools.cache
def shapes(model: lmm.Model) -> dict[str, tuple[int, ...]]:
    """Shapes of the coordinates of the joint graph."""
    graph = joint_graph(model)
    start = graph.initial_point()  # compiles a function at each call
    return {v.name: start[v.name].shape for v in graph.value_vars}


def log_p(graph: Any, point: dict[str, np.ndarray]) -> float:
    """Log density of a graph at a point."""
    known = {v.name for v in graph.value_vars}
    return float(compiled(graph)({k: v for k, v in point.items() if k in known}))


@functools.cache
def compiled(graph: Any) -> Any:
    """The log density of a graph, compiled once."""
    return graph.compile_logp(mode=MODE)


def coordinates(model: lmm.Model, point: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Sampling coordinates of each bar term at a point of the graph.

    A partial correlation is 2 logistic(t) - 1 = tanh(t / 2) in PyMC's coordinate t.
    """
    found, seen = [], {}
    for term in model.design.groups:
        m = term.covariance.n_sd(term.k)
        sd = np.zeros(m)
        for variable in term.variables[: 1 if m < term.k else None]:
            name = f"{names.safe_name(variable.name)}_sigma"
            referred = f"{name}_reference_log__"  # where it has its prior elsewhere
            value = point[referred if referred in point else f"{name}_log__"]
            sd[list(variable.effects) if m == term.k else [0]] = value
        if term.covariance.n_corr(term.k):
            before = seen.setdefault(term.group, 0)
            name = f"{term.group}_corr_partial{f'_{before + 1}' if before else ''}"
            seen[term.group] += 1
            sd = np.append(sd, np.ravel(point[f"{name}_logodds__"]) / 2.0)
        found.append(sd)
    return found


def log_prior(model: lmm.Model, point: dict[str, np.ndarray]) -> float:
    """Log prior of the variance parameters in the graph's coordinates."""
    total = scale_logp(model.priors.sigma)(float(point["sigma_log__"]))[0]
    for t, x in enumerate(coordinates(model, point)):
        term = model.design.groups[t]
        for prior, log_sd in zip(model.priors.sd[t], x, strict=False):
            total += scale_logp(prior)(float(log_sd))[0]
        corr = corr_logp(term.covariance, x, term.k, model.priors.corr_eta[t])[0]
        # Jacobian of z = t / 2
        total += corr - term.covariance.n_corr(term.k) * np.log(2.0)
    return float(total)


def roots_at(model: lmm.Model, point: dict[str, np.ndarray]) -> tuple[Any, ...]:
    """Root of the covariance of each bar term at a point: b = root z.

    The Cholesky factor of what the priors refer to, moved to the data's columns.
    """
    found = []
    terms = zip(
        model.design.groups,
        coordinates(model, point),
        model.priors.reference,
        strict=True,
    )
    for term, x, reference in terms:
        factor = coordinates_to_factor(term.covariance, x, term.k)
        found.append(factor if reference is None else reference @ factor)
    return tuple(found)


def factors_at(model: lmm.Model, point: dict[str, np.ndarray]) -> tuple[Any, ...]:
    """The same, lower triangular with a positive diagonal."""
    found = []
    for root in roots_at(model, point):
        upper = np.linalg.qr(root.T, mode="r")
        found.append((upper * np.where(np.diag(upper) < 0, -1.0, 1.0)[:, None]).T)
    return tuple(found)
