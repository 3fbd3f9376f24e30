"""The PyMC graphs: equal to the kernel and to each other."""

from typing import Any

import numpy as np
import pytest
from graph_cases import (
    FORMULAS,
    MODE,
    factors_at,
    frame,
    joint_graph,
    log_p,
    log_prior,
    marginal_graph,
    model_of,
    random_point,
    roots_at,
)
from helpers import dense_conditional

import bayeslmm as lmm
from bayeslmm.errors import ModelError, PriorError
from bayeslmm.graph import names, to_pymc
from bayeslmm.marginal import cross_products, log_density
from bayeslmm.priors import beta_prior

KERNEL = 1e-9  # the same algebra by two routes, relative to max(1, |log density|)
DENSE = 1e-7  # explicit inverses of dense covariances are in the other route
PYMC_CONSTANT = 2e-8  # PyMC takes the log(2) of its half-t in single precision


# --- the integrated graph -------------------------------------------------------------


@pytest.mark.parametrize("formula", FORMULAS)
def test_marginal_graph_equals_the_kernel(formula: str):
    model = model_of(formula)
    point = random_point(model, 1)
    sigma = float(np.exp(point["sigma_log__"]))
    prior = beta_prior(model.priors, model.design)
    kernel = log_density(
        cross_products(model.design), factors_at(model, point), sigma, prior
    )
    ours = kernel + log_prior(model, point)
    graph = log_p(marginal_graph(model), point)
    assert graph == pytest.approx(ours, rel=KERNEL, abs=PYMC_CONSTANT)


@pytest.mark.parametrize("priors", ["flat", "bambi", "boundary-avoiding"])
def test_marginal_graph_with_other_priors_and_weights(priors: str):
    model = model_of("y ~ x + (x | g) + (1 | h)", weighted=True, priors=priors)
    point = random_point(model, 2)
    sigma = float(np.exp(point["sigma_log__"]))
    prior = beta_prior(model.priors, model.design)
    kernel = log_density(
        cross_products(model.design), factors_at(model, point), sigma, prior
    )
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
    monkeypatch.setattr("bayeslmm.graph.products.MAX_ENTRIES", 100.0)
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
    roots = roots_at(model, point)
    value = np.concatenate([_beta(model, point), *_effects(model, point, roots)])
    away = value - law.mean
    conditional = -0.5 * away @ np.linalg.solve(law.cov, away)
    conditional -= 0.5 * np.linalg.slogdet(2.0 * np.pi * law.cov)[1]
    for term, factor in zip(design.groups, factors, strict=True):  # b = L z
        conditional += term.n_levels * np.log(np.diag(factor)).sum()
    return log_p(joint_graph(model), point) - float(conditional)


def _beta(model: lmm.Model, point: dict[str, np.ndarray]) -> np.ndarray:
    """Raw fixed effects at a point whose intercept is that of centred predictors."""
    design, fixed = model.design, names.fixed_names(model.design)
    coords, beta = joint_graph(model).coords, np.zeros(design.p)
    for variable in design.fixed:
        free = names.free_name(variable, fixed, model.priors)
        value = np.atleast_1d(point[free])
        order = variable.coords or (None,)
        if variable.coords:
            labels = list(coords[names.safe_name(f"{variable.name}_dim")])
            value = value[[labels.index(label) for label in order]]
        beta[list(variable.columns)] = value
    if model.priors.fixed_turn is not None:
        beta = model.priors.fixed_turn @ beta
    if design.intercept is not None:
        slopes = [j for j in range(design.p) if j != design.intercept]
        beta[design.intercept] -= design.rows.X[:, slopes].mean(axis=0) @ beta[slopes]
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
