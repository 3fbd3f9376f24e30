"""The PyMC graphs: equal to the kernel, to each other, and to what bambi supplies."""

import functools
import inspect
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import dense_conditional

import bayeslmm as lmm
from bayeslmm.covariance import coordinates_to_factor, corr_logp, n_corr, n_sd
from bayeslmm.errors import ModelError, PriorError
from bayeslmm.graph import names, sample_joint, to_bambi, to_pymc
from bayeslmm.marginal import log_density
from bayeslmm.priors import FAMILIES, beta_prior, scale_logp

KERNEL = 1e-9  # the same algebra by two routes, relative to max(1, |log density|)
DENSE = 1e-7  # explicit inverses of dense covariances are in the other route
PYMC_CONSTANT = 2e-8  # PyMC takes the log(2) of its half-t in single precision

# FAST_COMPILE: the graphs are evaluated a few times only.
MODE = "FAST_COMPILE"


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
    "y ~ 0 + (1 | g) + (0 + x + w | g)",
    "y ~ x + (1 | g) + (0 + a | h)",
    "y ~ poly(w, 2):f + x + (1 | g)",
    "y ~ x + w + homdiag(0 + f:a | h)",
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
    graph, rng = joint_graph(model), np.random.default_rng(seed)
    return {
        v.name: rng.normal(0.0, 0.5, graph.initial_point()[v.name].shape)
        for v in graph.value_vars
    }


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
        m = n_sd(term.structure, term.k)
        sd = np.zeros(m)
        for variable in term.variables[: 1 if m < term.k else None]:
            value = point[f"{names.safe_name(variable.name)}_sigma_log__"]
            sd[list(variable.effects) if m == term.k else [0]] = value
        if n_corr(term.structure, term.k):
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
        corr = corr_logp(term.structure, x, term.k, model.priors.corr_eta[t])[0]
        # Jacobian of z = t / 2
        total += corr - n_corr(term.structure, term.k) * np.log(2.0)
    return float(total)


def factors_at(model: lmm.Model, point: dict[str, np.ndarray]) -> tuple[Any, ...]:
    """Cholesky factor of each bar term at a point of the graph."""
    terms = zip(model.design.groups, coordinates(model, point), strict=True)
    return tuple(coordinates_to_factor(t.structure, x, t.k) for t, x in terms)


# --- the integrated graph -------------------------------------------------------------


@pytest.mark.parametrize("formula", FORMULAS)
def test_marginal_graph_equals_the_kernel(formula: str):
    model = model_of(formula)
    point = random_point(model, 1)
    sigma = float(np.exp(point["sigma_log__"]))
    prior = beta_prior(model.priors, model.design)
    kernel = log_density(model.statistics, factors_at(model, point), sigma, prior)
    ours = kernel + log_prior(model, point)
    graph = log_p(marginal_graph(model), point)
    assert graph == pytest.approx(ours, rel=KERNEL, abs=PYMC_CONSTANT)


@pytest.mark.parametrize("priors", ["flat", "bambi", "boundary-avoiding"])
def test_marginal_graph_with_other_priors_and_weights(priors: str):
    model = model_of("y ~ x + (x | g) + (1 | h)", weighted=True, priors=priors)
    point = random_point(model, 2)
    sigma = float(np.exp(point["sigma_log__"]))
    prior = beta_prior(model.priors, model.design)
    kernel = log_density(model.statistics, factors_at(model, point), sigma, prior)
    ours = kernel + log_prior(model, point)
    graph = log_p(marginal_graph(model), point)
    assert graph == pytest.approx(ours, rel=KERNEL, abs=PYMC_CONSTANT)


def test_marginal_graph_has_a_gradient():
    model = model_of("y ~ x + (x | g) + (1 | h)")
    graph = to_pymc(model, marginal=True)
    point = {v.name: v for v in graph.value_vars}
    start = {k: v for k, v in random_point(model, 3).items() if k in point}
    gradient = graph.compile_dlogp(mode=MODE)(start)
    logp = graph.compile_logp(mode=MODE)
    flat = []
    for variable in graph.value_vars:
        for i in range(start[variable.name].size):
            ends = []
            for step in (1e-5, -1e-5):
                moved = {k: np.array(v, float) for k, v in start.items()}
                moved[variable.name].flat[i] += step
                ends.append(logp(moved))
            flat.append((ends[0] - ends[1]) / 2e-5)
    np.testing.assert_allclose(gradient, flat, rtol=1e-6, atol=1e-6)


def test_marginal_graph_of_what_cannot_be_integrated():
    data = frame()
    poisson = lmm.Model("count ~ x + (1 | g)", data, family="poisson")
    with pytest.raises(ModelError, match=r"not 'poisson'.*marginal=False"):
        to_pymc(poisson, marginal=True)
    brms = model_of("y ~ x + (x | g)", priors="brms")
    with pytest.raises(PriorError, match="method='joint'"):
        to_pymc(brms, marginal=True)


def test_marginal_graph_refuses_large_dense_arrays(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bayeslmm.graph.marginal.MAX_ENTRIES", 100.0)
    with pytest.raises(ModelError, match=r"6 levels of 'g'.*needs no graph"):
        to_pymc(model_of("y ~ x + (x | g)"), marginal=True)


# --- the joint graph ------------------------------------------------------------------


def joint_less_conditional(model: lmm.Model, point: dict[str, np.ndarray]) -> float:
    """log p(y, z, beta, theta) - log p(z, beta | y, theta), by dense conditioning."""
    design, factors = model.design, factors_at(model, point)
    sigma = float(np.exp(point["sigma_log__"]))
    prior = beta_prior(model.priors, design)
    mean, precision = (None, None) if prior is None else (prior.mean, prior.precision)
    law = dense_conditional(design, factors, sigma, mean, precision)
    value = np.concatenate([_beta(model, point), *_effects(model, point, factors)])
    away = value - law.mean
    conditional = -0.5 * away @ np.linalg.solve(law.cov, away)
    conditional -= 0.5 * np.linalg.slogdet(2.0 * np.pi * law.cov)[1]
    for term, factor in zip(design.groups, factors, strict=True):  # b = L z
        conditional += term.n_levels * np.log(np.diag(factor)).sum()
    return log_p(joint_graph(model), point) - float(conditional)


def _beta(model: lmm.Model, point: dict[str, np.ndarray]) -> np.ndarray:
    """Raw fixed effects at a point whose intercept is that of centred predictors."""
    design = model.design
    coords, beta = joint_graph(model).coords, np.zeros(design.p)
    for variable in design.fixed:
        value = np.atleast_1d(point[names.safe_name(variable.name)])
        order = variable.coords or (None,)
        if variable.coords:
            labels = list(coords[names.safe_name(f"{variable.name}_dim")])
            value = value[[labels.index(label) for label in order]]
        beta[list(variable.columns)] = value
    if design.intercept is not None:
        slopes = [j for j in range(design.p) if j != design.intercept]
        beta[design.intercept] -= design.X[:, slopes].mean(axis=0) @ beta[slopes]
    return beta


def _effects(
    model: lmm.Model, point: dict[str, np.ndarray], factors: tuple[Any, ...]
) -> list[np.ndarray]:
    """Random effects of each term, level by level."""
    found, seen = [], {}
    for term, factor in zip(model.design.groups, factors, strict=True):
        before = seen.get(term.group, 0)
        seen[term.group] = before + 1
        name = names.safe_name(term.group) + (f"_{before + 1}" if before else "")
        found.append((factor @ point[f"{name}_offset"]).T.ravel())
    return found


@pytest.mark.parametrize("formula", FORMULAS)
def test_joint_graph_integrates_to_the_marginal_one(formula: str):
    model = model_of(formula)
    point = random_point(model, 4)
    marginal = log_p(marginal_graph(model), point)
    joint = joint_less_conditional(model, point)
    assert joint == pytest.approx(marginal, rel=DENSE, abs=DENSE)


def test_joint_graph_with_weights():
    model = model_of("y ~ x + (x | g)", weighted=True)
    point = random_point(model, 5)
    marginal = log_p(marginal_graph(model), point)
    assert joint_less_conditional(model, point) == pytest.approx(marginal, rel=DENSE)


def test_joint_graph_names():
    model = model_of("log(my.var) ~ I(x / 10) + poly(w, 2) + (I(x / 10) | g/c)")
    graph = to_pymc(model)
    slash = names.DIVISION_SLASH
    assert f"I(x{slash}10)|g:c_sigma" in graph.named_vars
    assert list(graph.coords["g:c_corr_dim"]) == ["Intercept:I(x/10)"]
    assert list(graph.coords["g:c__factor_dim"]) == list(model.design.groups[1].levels)
    layout = names.posterior_layout(model.design)
    assert set(layout.dims) <= set(graph.named_vars)


def test_layout_of_vectors_scalars_and_slashes():
    model = model_of("y ~ x + ar1(0 + a | g) + cs(x | h, hom = TRUE)")
    layout = names.posterior_layout(model.design)
    assert layout.dims == {
        "Intercept": [],
        "x": [],
        "a|g_sigma": [],  # ar1: one SD
        "g_corr": ["g_corr_dim"],
        "1|h_sigma": [],
        "x|h_sigma": [],
        "h_corr": ["h_corr_dim"],
        "sigma": [],
        "a|g": ["a__expr_dim", "g__factor_dim"],
        "1|h": ["h__factor_dim"],
        "x|h": ["h__factor_dim"],
    }
    assert layout.coords["g_corr_dim"] == ["rho"]
    assert layout.coords["a__expr_dim"] == ["lo", "mid", "hi"]
    assert names.safe_name("I(x/10)") == "I(x\u221510)"


# --- bambi ----------------------------------------------------------------------------


def some_draws(model: lmm.Model, seed: int) -> Any:
    """A DataTree with the names and coordinates of a posterior, filled at random."""
    import arviz as az

    layout, rng = names.posterior_layout(model.design), np.random.default_rng(seed)
    shapes = {
        name: (2, 3, *(len(layout.coords[dim]) for dim in dims))
        for name, dims in layout.dims.items()
    }
    values = {name: rng.normal(0.0, 0.3, shape) for name, shape in shapes.items()}
    posterior = {
        name: np.exp(value) if name.endswith("sigma") else value
        for name, value in values.items()
    }
    return az.from_dict(
        {"posterior": posterior}, dims=layout.dims, coords=layout.coords
    )


def fitted(model: lmm.Model, tree: Any) -> np.ndarray:
    """X beta + Z b + offset for each draw, from the arrays of the design."""
    design, posterior = model.design, tree["posterior"]
    mean = np.zeros((2, 3, design.n))
    if design.offset is not None:
        mean = mean + design.offset
    for variable in design.fixed:
        draws = posterior[names.safe_name(variable.name)].to_numpy()
        draws = draws if variable.coords else draws[..., None]
        mean = mean + draws @ design.X[:, list(variable.columns)].T
    for term in design.groups:
        for variable in term.variables:
            draws = posterior[names.safe_name(variable.name)].to_numpy()
            draws = draws if variable.coords else draws[:, :, None]
            columns = term.Z[:, list(variable.effects)].T
            mean = mean + (draws[..., term.codes] * columns).sum(axis=2)
    return mean


@pytest.mark.parametrize("formula", FORMULAS)
def test_bambis_predict_knows_our_terms(formula: str):
    model = model_of(formula)
    tree = some_draws(model, 6)
    to_bambi(model).predict(tree)
    theirs = tree["posterior"]["mu"].transpose("chain", "draw", "__obs__")
    np.testing.assert_allclose(theirs, fitted(model, tree), rtol=1e-9, atol=1e-9)


def test_bambis_log_likelihood_is_normal():
    from scipy.stats import norm

    model = model_of("y ~ x * a + (1 | g) + (1 | h)")
    tree = some_draws(model, 7)
    to_bambi(model).compute_log_likelihood(tree)
    sigma = tree["posterior"]["sigma"].to_numpy()[..., None]
    ours = norm.logpdf(model.design.y, fitted(model, tree), sigma)
    np.testing.assert_allclose(tree["log_likelihood"]["y"], ours, rtol=1e-9)


def test_bambi_model_shows_our_priors_and_builds_our_graph():
    model = model_of("y ~ x + (x | g)", priors="flat")
    bambi_model = to_bambi(model)
    assert "HalfFlat()" in str(bambi_model)
    bambi_model.build()
    theirs, ours = bambi_model.backend.model, to_pymc(model)
    assert set(theirs.named_vars) == set(ours.named_vars)
    assert {k: tuple(v) for k, v in theirs.coords.items()} == {
        k: tuple(v) for k, v in ours.coords.items()
    }


def test_bambis_new_data_are_coded_as_in_the_fit():
    model = model_of("y ~ a + x + (1 | g)")
    tree = some_draws(model, 8)
    bambi_model = to_bambi(model)
    new = bambi_model.data.iloc[[3, 40, 7]].reset_index(drop=True)
    bambi_model.predict(tree, data=new)
    expected = fitted(model, tree)[..., [3, 40, 7]]
    np.testing.assert_allclose(tree["posterior"]["mu"], expected, rtol=1e-9, atol=1e-9)


def test_bambi_refuses_what_it_would_get_wrong():
    weighted = to_bambi(model_of("y ~ x + (x | g)", weighted=True))
    tree = some_draws(weighted.source, 9)
    with pytest.raises(ModelError, match="does not know precision weights"):
        weighted.compute_log_likelihood(tree)
    with pytest.raises(ModelError, match="does not know precision weights"):
        weighted.predict(tree, kind="response")
    weighted.predict(tree)


def test_terms_that_formulae_merges_are_refused_by_name_but_not_by_the_graph():
    model = model_of("y ~ x + (1 | h) + (0 + f | h)")
    assert to_pymc(model) is not None
    with pytest.raises(ModelError, match=r"Bambi cannot express the term \("):
        to_bambi(model)


def test_bambi_is_not_asked_for_indicators_that_do_not_fit(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("bayeslmm.graph.bridge.MAX_INDICATOR_BYTES", 1000.0)
    with pytest.raises(ModelError, match=r"each of the 6 levels of 'g'"):
        to_bambi(model_of("y ~ x + (x | g)"))


def test_a_predictor_cannot_have_the_name_of_a_parameter():
    data = frame().rename(columns={"x": "mu"})
    with pytest.raises(ModelError, match=r"'mu' has the name of"):
        to_pymc(lmm.Model("y ~ mu + (1 | g)", data))


FAMILY_FORMULAS = {
    "bernoulli": "flag ~ x + (x | g)",
    "binomial": "cbind(count, fails) ~ x + (1 | g)",
    "poisson": "count ~ x + a + (1 | g) + (1 | h)",
    "negativebinomial": "count ~ x + (1 | g)",
    "gamma": "exp(y / 3) ~ x + (1 | g)",
    "beta": "I(my.var - 1) ~ x + (1 | g)",
    "t": "y ~ x + (x | g)",
    "laplace": "y ~ x + (1 | g)",
}


@pytest.mark.parametrize("family", FAMILY_FORMULAS)
def test_families_have_a_finite_joint_density(family: str):
    model = lmm.Model(FAMILY_FORMULAS[family], frame(), family=family)
    graph = to_pymc(model)
    logp = graph.compile_logp(mode=MODE)(graph.initial_point())
    assert np.isfinite(logp)
    assert set(FAMILIES[family][2]) <= set(graph.named_vars)


def test_poisson_density_is_the_products_of_poissons():
    from scipy.stats import poisson

    model = lmm.Model("count ~ x + (1 | g)", frame(), family="poisson")
    graph = to_pymc(model)
    point = {k: np.full_like(v, 0.1) for k, v in graph.initial_point().items()}
    likelihood = graph.compile_logp(graph.observed_RVs, mode=MODE)(point)
    term = model.design.groups[0]
    eta = 0.1 + 0.1 * (model.design.X[:, 1] - model.design.X[:, 1].mean())
    eta = eta + np.exp(0.1) * 0.1 * np.ones(term.n_levels)[term.codes]
    assert likelihood == pytest.approx(
        poisson.logpmf(model.design.y, np.exp(eta)).sum(), rel=1e-9
    )


@pytest.mark.parametrize(
    ("family", "formula", "words"),
    [
        ("binomial", "count ~ x + (1 | g)", "write the response as cbind"),
        ("poisson", "cbind(count, fails) ~ x + (1 | g)", "number of trials"),
        ("poisson", "y ~ x + (1 | g)", r"whole numbers of at least 0.* of the 72"),
        ("gamma", "y ~ x + (1 | g)", "numbers above 0"),
    ],
)
def test_families_that_do_not_fit_the_response(family: str, formula: str, words: str):
    model = lmm.Model(formula, frame(), family=family)
    with pytest.raises((ModelError, lmm.DataError), match=words):
        to_pymc(model)


def test_weights_need_a_residual_variance():
    model = lmm.Model(
        "count ~ x + (1 | g)", frame(), family="poisson", weights="weight"
    )
    with pytest.raises(ModelError, match="divide a residual variance"):
        to_pymc(model)


def test_canary_bambi_has_not_moved():
    """If this fails: read bambi's changes, then adapt bayeslmm/graph/bridge.py."""
    from importlib.metadata import version

    import bambi as bmb
    from bambi.backend import PyMCModel, model_components as components
    from bambi.backend.terms import ResponseTerm

    assert version("bambi").split(".")[:2] == ["0", "21"], (
        f"bambi {version('bambi')} is not 0.21, for which the bridge was written"
    )
    group = ["self", "pymc_backend", "bmb_model"]
    wanted = {
        bmb.Model.build: ["self"],
        PyMCModel.build: ["self", "spec"],
        PyMCModel.build_potentials: ["self", "spec"],
        components.ConstantComponent.build: group,
        components.DistributionalComponent.build: group,
        components.DistributionalComponent.build_group_specific_terms: group,
        ResponseTerm.build: group,
        ResponseTerm.build_distribution: ["self", "kwargs", "pymc_backend"],
    }
    for method, arguments in wanted.items():
        found = list(inspect.signature(method).parameters)
        assert found == arguments, f"bambi's {method.__qualname__} now takes {found}"
    source = inspect.getsource(PyMCModel.build)
    for step in ("ConstantComponent(", "DistributionalComponent(", "build_potentials"):
        assert step in source, (
            f"bambi's PyMCModel.build no longer has {step!r}; the bridge's copy is old"
        )
    assert "build_group_specific_terms" in inspect.getsource(
        components.DistributionalComponent.build
    ), "bambi's linear predictor no longer calls build_group_specific_terms"


def test_canary_bambi_has_no_correlations_of_its_own():
    """If this fails, bambi can do what the bridge is for: use it."""
    import bambi as bmb

    data = frame()[["y", "x", "g"]].astype({"g": "category"})
    model = bmb.Model("y ~ x + (x | g)", data)
    model.build()
    free = {variable.name for variable in model.backend.model.free_RVs}
    assert free == {
        "Intercept",
        "x",
        "sigma",
        "1|g_sigma",
        "x|g_sigma",
        "1|g_offset",
        "x|g_offset",
    }


# --- draws ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def short_run() -> Any:
    model = model_of("y ~ 0 + f:a + x + (1 | g:c) + offset(w)")
    return sample_joint(model, draws=20, tune=50, chains=2, seed=3, progress=False)


def test_joint_draws_have_the_names_of_the_marginal_ones(short_run: Any):
    model = model_of("y ~ 0 + f:a + x + (1 | g:c) + offset(w)")
    layout = names.posterior_layout(model.design)
    posterior = short_run["posterior"]
    assert list(posterior.data_vars) == list(layout.dims)
    for name, dims in layout.dims.items():
        assert posterior[name].dims == ("chain", "draw", *dims)
    for dim in ("f:a_dim", "g:c__factor_dim"):
        assert posterior[dim].to_numpy().tolist() == layout.coords[dim]
    stats = {"diverging", "tree_depth", "energy", "lp", "acceptance_rate", "n_steps"}
    assert stats <= set(short_run["sample_stats"].data_vars)
    np.testing.assert_array_equal(short_run["observed_data"]["y"], model.design.y)


def test_the_same_seed_gives_the_same_draws_whatever_the_cores(short_run: Any):
    model = model_of("y ~ 0 + f:a + x + (1 | g:c) + offset(w)")
    again = sample_joint(
        model, draws=20, tune=50, chains=2, seed=3, cores=1, progress=False
    )
    for name, draws in short_run["posterior"].data_vars.items():
        np.testing.assert_array_equal(draws, again["posterior"][name])


@pytest.mark.slow
def test_joint_and_marginal_routes_agree():
    """Means of every parameter within 4 of their joint Monte Carlo errors."""
    import arviz as az

    model = model_of("y ~ x + (x | g)")
    options: Any = {"draws": 2000, "target_accept": 0.99, "progress": False}
    joint = model.sample(method="joint", seed=1, **options)
    marginal = model.sample(method="nuts", seed=2, **options)
    tables = [
        az.summary(post.idata, round_to="none", ci_prob=0.95, ci_kind="eti")
        for post in (joint, marginal)
    ]
    assert list(tables[0].index) == list(tables[1].index)
    gap = tables[0]["mean"] - tables[1]["mean"]
    error = np.hypot(tables[0]["mcse_mean"], tables[1]["mcse_mean"])
    assert (np.abs(gap) < 4.0 * error).all()
