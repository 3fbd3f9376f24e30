"""Joint graphs of other families, and draws from the joint graph."""

from typing import Any

import numpy as np
import pytest
from graph_cases import MODE, frame, model_of
from sampling import sample_unchecked

import bayeslmm as lmm
from bayeslmm.errors import ModelError
from bayeslmm.families import FAMILIES
from bayeslmm.graph import names, sample_joint, to_pymc

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
    assert set(FAMILIES[family].others) <= set(graph.named_vars)


def test_poisson_density_is_the_products_of_poissons():
    from scipy.stats import poisson

    model = lmm.Model("count ~ x + (1 | g)", frame(), family="poisson")
    graph = to_pymc(model)
    point = {k: np.full_like(v, 0.1) for k, v in graph.initial_point().items()}
    likelihood = graph.compile_logp(graph.observed_RVs, mode=MODE)(point)
    term = model.design.groups[0]
    eta = 0.1 + 0.1 * (model.design.rows.X[:, 1] - model.design.rows.X[:, 1].mean())
    eta = eta + np.exp(0.1) * 0.1 * np.ones(term.n_levels)[model.design.rows.codes[0]]
    assert likelihood == pytest.approx(
        poisson.logpmf(model.design.rows.y, np.exp(eta)).sum(), rel=1e-9
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


def test_family_t_with_weights_is_rewritten_without_tracebacks(caplog, capfd):
    """PyTensor's rewrite of sign(sigma / root of the weights) failed 22 times."""
    from pytensor.graph.rewriting.utils import rewrite_graph

    model = lmm.Model("y ~ x + (1 | g)", frame(), family="t", weights="weight")
    gradient = to_pymc(model).dlogp()
    rewrite_graph(gradient, include=("canonicalize", "stabilize", "specialize"))
    assert "Rewrite failure" not in caplog.text + capfd.readouterr().err


# --- draws ----------------------------------------------------------------------------


OPTIONS: Any = {"draws": 20, "tune": 50, "chains": 2, "seed": 3, "progress": False}


@pytest.fixture(scope="module")
def short_run() -> Any:
    """One joint model is compiled, which takes most of the time of this file."""
    model = lmm.Model(
        "flag ~ 0 + f:a + x + (1 | g:c) + offset(w)", frame(), family="bernoulli"
    )
    return sample_unchecked(model, **OPTIONS)


def test_joint_draws_have_the_names_of_the_marginal_ones(short_run: Any):
    model = short_run.model
    layout = names.posterior_layout(model.design)
    posterior = short_run.idata["posterior"]
    here = {name: dims for name, dims in layout.dims.items() if name != "sigma"}
    assert list(posterior.data_vars) == list(here)
    for name, dims in here.items():
        assert posterior[name].dims == ("chain", "draw", *dims)
    for dim in ("f:a_dim", "g:c__factor_dim"):
        assert posterior[dim].to_numpy().tolist() == layout.coords[dim]
    stats = {"diverging", "tree_depth", "energy", "lp", "acceptance_rate", "n_steps"}
    assert stats <= set(short_run.idata["sample_stats"].data_vars)
    observed = short_run.idata["observed_data"]["flag"]
    np.testing.assert_array_equal(observed, model.design.rows.y)


def test_a_family_without_a_closed_form_has_every_table_and_the_reason(short_run: Any):
    assert (short_run.method, short_run.status.partial) == ("joint", False)
    assert "'bernoulli'" in short_run.reason
    rows = list(short_run.summary().index)
    assert (rows[0], rows[-1]) == ("x", "1|g:c_sigma")
    assert short_run.predict()["mean"].between(0, 1).all()
    assert len(short_run.ranef()) == 12
    with pytest.raises(ModelError, match="No parameter 'sigma'"):
        short_run.draws("sigma")
    assert "logistic distribution" in repr(short_run.icc())
    pointwise = short_run.compute_log_likelihood().idata["log_likelihood"]["flag"]
    assert pointwise.shape == (2, 20, 72)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_draws_whatever_the_cores(short_run: Any):
    again = sample_joint(short_run.model, **OPTIONS, cores=1)
    for name, draws in short_run.idata["posterior"].data_vars.items():
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
