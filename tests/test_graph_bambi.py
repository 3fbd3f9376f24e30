"""What bambi supplies, and what it would get wrong; canaries for its versions."""

import inspect
from typing import Any

import numpy as np
import pytest
from graph_cases import FORMULAS, frame, model_of

import bayeslmm as lmm
from bayeslmm.errors import ModelError
from bayeslmm.graph import names, to_bambi, to_pymc

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
    if design.rows.offset is not None:
        mean = mean + design.rows.offset
    for variable in design.fixed:
        draws = posterior[names.safe_name(variable.name)].to_numpy()
        draws = draws if variable.coords else draws[..., None]
        mean = mean + draws @ design.rows.X[:, list(variable.columns)].T
    for t, term in enumerate(design.groups):
        for variable in term.variables:
            draws = posterior[names.safe_name(variable.name)].to_numpy()
            draws = draws if variable.coords else draws[:, :, None]
            columns = design.rows.Z[t][:, list(variable.effects)].T
            mean = mean + (draws[..., design.rows.codes[t]] * columns).sum(axis=2)
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
    ours = norm.logpdf(model.design.rows.y, fitted(model, tree), sigma)
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
    data = frame().rename(columns={"x": "nu"})
    with pytest.raises(ModelError, match=r"'nu' has the name of"):
        to_pymc(lmm.Model("y ~ nu + (1 | g)", data, family="t"))


def test_names_that_libraries_need_are_changed_inside_only():
    """bambi's mean, and the dimensions of every posterior."""
    data = frame().rename(columns={"x": "mu", "w": "chain"})
    graph = to_pymc(lmm.Model("y ~ mu + chain + (1 | g)", data))
    assert {"mu_", "chain_"} <= set(graph.named_vars)


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
