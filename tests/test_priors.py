"""Priors: named sets, custom dicts, and densities against PyMC."""

import math
from typing import Any

import helpers
import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.optimize import minimize_scalar

from bayeslmm.design.arrays import (
    Design,
    EffectVariable,
    FixedVariable,
    GroupTerm,
    RowAccount,
)
from bayeslmm.errors import ModelError, PriorError
from bayeslmm.marginal import cross_products, profiled_criterion
from bayeslmm.priors import (
    FAMILIES,
    NAMED_SETS,
    Prior,
    beta_prior,
    check_family,
    make_priors,
    scale_form,
    scale_logp,
)

EXACT = 1e-10  # the same algebra by two routes
PYMC_CONSTANT = 3e-9  # PyMC takes the log(2) of its half-t in single precision
PEER = 1e-6  # a peer's optimiser
TABLE = 1e-8  # documented error of the cubic table, relative to max(1, |log density|)

CLOSED = [
    Prior("HalfNormal", (("sigma", 1.7),)),
    Prior("HalfStudentT", (("nu", 3.0), ("sigma", 0.4))),
    Prior("HalfCauchy", (("beta", 5.0),)),
    Prior("Exponential", (("lam", 0.3),)),
    Prior("Gamma", (("alpha", 2.5), ("beta", 0.1))),
    Prior("InverseGamma", (("alpha", 0.7), ("beta", 2.0))),
    Prior("LogNormal", (("mu", 1.0), ("sigma", 0.6))),
    Prior("HalfFlat"),
]
TABLED = [
    Prior("Weibull", (("alpha", 1.5), ("beta", 2.0))),
    Prior("ChiSquared", (("nu", 4.0),)),
    Prior("Wald", (("mu", 2.0), ("lam", 3.0))),
]


def make_design(structure: str = "us", *, intercept: bool = True) -> Design:
    """60 rows, x and a three-level factor a fixed; (x | g) and (1 | h)."""
    rng = np.random.default_rng(5)
    n = 60
    a, g, h = np.arange(n) % 3, np.arange(n) % 5, np.arange(n) // 10
    x = rng.normal(3.0, 2.0, n)
    levels = [0, 1, 2] if not intercept else [1, 2]
    dummies = np.column_stack([a == level for level in levels]).astype(float)
    one, named = np.ones(n), tuple("ABC"[level] for level in levels)
    fixed = [
        FixedVariable("x", (int(intercept),)),
        FixedVariable(
            "a", tuple(range(1 + intercept, 1 + intercept + len(levels))), named
        ),
    ]
    if intercept:
        fixed.insert(0, FixedVariable("Intercept", (0,)))
    X = np.column_stack([*([one] if intercept else []), x, dummies])
    slopes = GroupTerm(
        "(x | g)",
        "g",
        ("Intercept", "x"),
        np.column_stack([one, x]),
        g,
        tuple("vwxyz"),
        structure,  # type: ignore[arg-type]
        (EffectVariable("1|g", "1", (0,)), EffectVariable("x|g", "x", (1,))),
    )
    crossed = GroupTerm(
        "(1 | h)",
        "h",
        ("Intercept",),
        one[:, None],
        h,
        tuple("abcdef"),
        "us",
        (EffectVariable("1|h", "1", (0,)),),
    )
    y = 20.0 + 0.5 * x + a + rng.normal(0.0, 2.0, n)
    account = RowAccount(n, n)
    return Design(y, X, tuple(fixed), (slopes, crossed), None, None, "y", account)


def pymc_log_scale(prior: Prior, log_sd: np.ndarray) -> np.ndarray:
    """PyMC's log density of log sd, by the change of variable."""
    import pymc as pm

    if prior.is_flat:
        return log_sd
    # Arrays: PyTensor would hold a Python float such as 3.0 in single precision.
    args = {name: np.asarray(value, float) for name, value in prior.args}
    dist = getattr(pm, prior.name).dist(**args)
    return pm.logp(dist, np.exp(log_sd)).eval() + log_sd


# --- densities ------------------------------------------------------------------------


@pytest.mark.parametrize("prior", CLOSED, ids=str)
def test_closed_forms_equal_pymc(prior: Prior):
    grid = np.linspace(-12.0, 6.0, 181)
    ours = [scale_logp(prior)(x)[0] for x in grid]
    assert scale_form(prior) is not None
    difference = np.array(ours) - pymc_log_scale(prior, grid)
    assert abs(difference[0]) < PYMC_CONSTANT
    size = np.maximum(1.0, np.abs(ours))
    np.testing.assert_allclose(difference / size, difference[0] / size, atol=EXACT)


@pytest.mark.parametrize("prior", TABLED, ids=str)
def test_tables_equal_pymc(prior: Prior):
    grid = np.linspace(-9.0, 4.0, 1301) + 0.00037  # between the knots too
    logp = scale_logp(prior)
    assert scale_form(prior) is None
    ours = np.array([logp(x)[0] for x in grid])
    theirs = pymc_log_scale(prior, grid)
    np.testing.assert_allclose(ours, theirs, rtol=TABLE, atol=TABLE)


@pytest.mark.parametrize("prior", [*CLOSED, TABLED[0]], ids=str)
def test_derivatives_are_those_of_the_density(prior: Prior):
    logp = scale_logp(prior)
    for x in np.linspace(-8.0, 4.0, 41):
        h = 1e-5
        slope = (logp(x + h)[0] - logp(x - h)[0]) / (2 * h)
        assert logp(x)[1] == pytest.approx(slope, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("prior", [*CLOSED, TABLED[0]], ids=str)
def test_densities_far_out_are_numbers_or_minus_infinity(prior: Prior):
    for x in (-800.0, -50.0, 50.0, 800.0):
        value, slope = scale_logp(prior)(x)
        assert not math.isnan(value)
        assert not math.isnan(slope)
        assert value < math.inf


def test_half_t_tail_is_a_power_law():
    logp = scale_logp(Prior("HalfStudentT", (("nu", 3.0), ("sigma", 1.0))))
    assert logp(500.0)[1] == pytest.approx(-3.0)
    assert logp(-500.0)[1] == pytest.approx(1.0)


@pytest.mark.parametrize("text", ["Uniform(0, 10)", "Pareto(2, 1)"])
def test_bounded_priors_are_refused_by_the_sampler_of_the_marginal(text: str):
    priors = make_priors({"1|g": text}, make_design())
    with pytest.raises(PriorError, match=r"zero on part.*method='joint'"):
        scale_logp(priors.sd[0][0])


# --- named sets -----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMED_SETS)
def test_every_set_covers_every_parameter(name: str):
    design = make_design()
    priors = make_priors(name, design)
    assert (priors.name, len(priors.fixed)) == (name, 4)
    assert [len(sd) for sd in priors.sd] == [2, 1]
    assert len(priors.corr_eta) == 2
    assert [row[0] for row in priors.labels] == [
        "Intercept",
        "x",
        "a[B]",
        "a[C]",
        "1|g_sigma",
        "x|g_sigma",
        "g_corr",
        "1|h_sigma",
        "sigma",
    ]
    assert all(reason for *_, reason in priors.labels)


def test_weak_numbers():
    design = make_design()
    priors, y, x = make_priors("weak", design), design.y, design.X[:, 1]
    sd = y.std(ddof=1)
    assert priors.fixed[0].arguments == pytest.approx(
        {"mu": y.mean(), "sigma": 2.5 * sd}
    )
    slope = {"mu": 0.0, "sigma": 2.5 * sd / x.std(ddof=1)}
    assert priors.fixed[1].arguments == pytest.approx(slope)
    assert priors.sd[0][0].arguments == pytest.approx({"nu": 3.0, "sigma": sd})
    slope_sd = {"nu": 3.0, "sigma": sd / x.std(ddof=1)}
    assert priors.sd[0][1].arguments == pytest.approx(slope_sd)
    assert priors.sigma.arguments == pytest.approx({"nu": 3.0, "sigma": sd})
    assert priors.corr_eta == (2.0, 2.0)


@given(
    scale=st.floats(0.01, 100.0),
    unit=st.floats(0.01, 100.0),
    shift=st.floats(-9.0, 9.0),
)
def test_weak_is_equivariant(scale: float, unit: float, shift: float):
    design = make_design()
    X, Z = design.X.copy(), design.groups[0].Z.copy()
    X[:, 1] = unit * X[:, 1] + shift
    Z[:, 1] = X[:, 1]
    first = helpers.replace(design.groups[0], Z=Z)
    other = helpers.replace(
        design, y=scale * design.y + shift, X=X, groups=(first, design.groups[1])
    )
    old, new = make_priors("weak", design), make_priors("weak", other)
    sizes = [scale, scale / unit, scale, scale]
    for before, after, size in zip(old.fixed, new.fixed, sizes, strict=True):
        expected = size * before.arguments["sigma"]
        assert after.arguments["sigma"] == pytest.approx(expected)
    assert new.fixed[0].arguments["mu"] == pytest.approx(
        scale * old.fixed[0].arguments["mu"] + shift
    )
    assert new.sd[0][1].arguments["sigma"] == pytest.approx(
        scale / unit * old.sd[0][1].arguments["sigma"]
    )


def test_weak_without_centring_is_the_same_prior_at_the_mean():
    """The intercept at x = 0 is as uncertain as the centred prior implies."""
    design = make_design()
    centred = beta_prior(make_priors("weak", design), design)
    raw = make_priors("weak", design, center_predictors=False)
    assert centred is not None
    implied = np.linalg.inv(centred.precision)[0, 0]
    assert raw.fixed[0].arguments["sigma"] ** 2 == pytest.approx(implied)


def test_weak_without_intercept_leaves_room_for_the_level_of_y():
    design = make_design(intercept=False)
    priors = make_priors("weak", design)
    level = priors.fixed[1].arguments["sigma"]
    assert level > 2.0 * design.y.max()


def test_flat_is_flat_and_boundary_avoiding_is_zero_at_zero():
    design = make_design()
    flat, blme = make_priors("flat", design), make_priors("boundary-avoiding", design)
    assert {p.name for p in (*flat.fixed, *flat.sd[0], flat.sigma)} == {
        "Flat",
        "HalfFlat",
    }
    assert flat.corr_eta == (1.0, 1.0)
    assert [p.arguments["alpha"] for p in blme.sd[0]] == [2.5, 2.5]
    assert blme.corr_eta == (1.75, 1.0)  # det(R)**0.75 is LKJ(1.75)


def test_boundary_avoiding_is_blmes_up_to_the_scale(public_data):
    """Mode of blme 1.0.5 on Dyestuff2, reference/blme_dyestuff2.json: theta 0.41056.

    blme adds 1.5 log(sd / sigma) to the restricted likelihood: shape 2.5 of the gamma.
    """
    data = public_data("Dyestuff2")
    design = _intercept_only(data["Yield"].to_numpy(float))
    codes, levels = np.unique(data["Batch"], return_inverse=True)[::-1]
    term = helpers.replace(
        design.groups[0], codes=codes, levels=tuple(map(str, levels))
    )
    design = helpers.replace(design, groups=(term,))
    stats, sd = (
        cross_products(design),
        make_priors("boundary-avoiding", design).sd[0][0],
    )
    power = sd.arguments["alpha"] - 1.0

    def penalised(theta: float) -> float:
        factor = (np.array([[theta]]),)
        criterion = profiled_criterion(stats, factor, restricted=True).criterion
        return criterion - 2.0 * power * math.log(theta)

    mode = minimize_scalar(penalised, bounds=(0.01, 3.0), options={"xatol": 1e-9})
    assert mode.x == pytest.approx(0.4105578072264045, rel=PEER)


def test_brms_numbers_of_sleepstudy(public_data):
    """Defaults that brms prints: student_t(3, 288.7, 59.3), student_t(3, 0, 59.3)."""
    assert make_priors("brms", make_design()).fixed[1].is_flat
    reaction = public_data("sleepstudy")["Reaction"].to_numpy(float)
    priors = make_priors("brms", _intercept_only(reaction))
    assert priors.fixed[0] == Prior(
        "StudentT", (("nu", 3.0), ("mu", 288.7), ("sigma", 59.3))
    )
    assert priors.sigma == Prior("HalfStudentT", (("nu", 3.0), ("sigma", 59.3)))


def _intercept_only(y: np.ndarray) -> Design:
    """``y ~ 1 + (1 | g)`` with ten levels."""
    n = len(y)
    term = GroupTerm(
        "(1 | g)",
        "g",
        ("Intercept",),
        np.ones((n, 1)),
        np.arange(n) % 10,
        tuple(map(str, range(10))),
        "us",
        (EffectVariable("1|g", "1", (0,)),),
    )
    fixed = (FixedVariable("Intercept", (0,)),)
    account = RowAccount(n, n)
    return Design(y, np.ones((n, 1)), fixed, (term,), None, None, "y", account)


@pytest.mark.filterwarnings("default")  # bambi's own, on import and on build
@pytest.mark.parametrize("family", ["gaussian", "poisson", "bernoulli"])
def test_bambi_set_is_bambis_own(family: str):
    import bambi as bmb
    import pandas as pd

    design = make_design()
    y = {
        "gaussian": design.y,
        "poisson": np.round(design.y),
        "bernoulli": (design.y > np.median(design.y)).astype(float),
    }[family]
    design = helpers.replace(design, y=y)
    frame = pd.DataFrame(
        {
            "y": y,
            "x": design.X[:, 1],
            "a": pd.Categorical(np.array(list("ABC"))[np.arange(60) % 3]),
            "g": pd.Categorical(np.array(list("vwxyz"))[design.groups[0].codes]),
            "h": pd.Categorical(np.array(list("abcdef"))[design.groups[1].codes]),
        }
    )
    theirs = bmb.Model("y ~ x + a + (x|g) + (1|h)", frame, family=family)
    terms = theirs.parameters[FAMILIES[family][0]].terms
    ours = make_priors("bambi", design, family=family)
    for name, columns in (("Intercept", [0]), ("x", [1]), ("a", [2, 3])):
        for argument in ("mu", "sigma"):
            values = [ours.fixed[c].arguments[argument] for c in columns]
            wanted = np.broadcast_to(terms[name].prior.args[argument], len(columns))
            np.testing.assert_allclose(values, wanted, rtol=EXACT)
    sds = dict(zip(("1|g", "x|g", "1|h"), (*ours.sd[0], *ours.sd[1]), strict=True))
    for name, prior in sds.items():
        inner = terms[name].prior.args["sigma"]
        assert prior.name == inner.name == "HalfNormal"
        wanted = float(inner.args["sigma"])
        assert prior.arguments["sigma"] == pytest.approx(wanted, rel=EXACT)
    if family == "gaussian":
        sigma = theirs.parameters["sigma"].prior
        assert ours.sigma.name == sigma.name
        assert ours.sigma.arguments == pytest.approx(
            {k: float(v) for k, v in sigma.args.items()}
        )


def test_family_table_is_bambis():
    from bambi.defaults.families import BUILTIN_FAMILIES

    several = {"categorical", "cumulative", "multinomial", "sratio"}
    assert set(FAMILIES) == set(BUILTIN_FAMILIES) - several - {"dirichlet_multinomial"}
    for name, (parent, link, others) in FAMILIES.items():
        theirs = BUILTIN_FAMILIES[name]
        assert theirs["likelihood"]["parent"] == parent
        assert theirs["link"][parent] == link
        assert [p for p in theirs["likelihood"]["params"] if p != parent] == list(
            others
        )


def test_families_are_checked():
    with pytest.raises(ModelError, match=r"'gausian'.*'gaussian'"):
        check_family("gausian")
    with pytest.raises(ModelError, match="one linear predictor for each category"):
        check_family("cumulative")


# --- custom priors --------------------------------------------------------------------


def test_custom_keys_reach_their_parameters():
    design = make_design()
    spec: dict[str, Any] = {
        "common": "Normal(0, 10)",
        "x": "StudentT(3, 0, sigma=2)",
        "group_specific": "HalfNormal(4)",
        "1|h": "Normal(0, sigma=Exponential(0.5))",
        "sigma": Prior("HalfCauchy", (("beta", 2.0),)),
        "g_corr": 3,
    }
    priors = make_priors(spec, design)
    assert [p.name for p in priors.fixed] == ["Normal", "StudentT", "Normal", "Normal"]
    assert priors.fixed[0].arguments == {"mu": 0.0, "sigma": 10.0}
    half = Prior("HalfNormal", (("sigma", 4.0),))
    assert priors.sd == ((half, half), (Prior("Exponential", (("lam", 0.5),)),))
    assert priors.sigma.name == "HalfCauchy"
    assert priors.corr_eta == (3.0, 2.0)
    assert priors.name == "custom"


def test_the_rest_comes_from_the_named_set():
    design = make_design()
    priors = make_priors({"set": "flat", "x": "Normal(1, 2)"}, design)
    assert [p.name for p in priors.fixed] == ["Flat", "Normal", "Flat", "Flat"]
    assert priors.sigma.is_flat
    assert make_priors({}, design).fixed == make_priors("weak", design).fixed


def test_bambi_objects_are_read():
    import bambi as bmb

    design = make_design()
    nested = bmb.Prior("Normal", mu=0, sigma=bmb.Prior("HalfNormal", sigma=3))
    spec = {
        "1|g": nested,
        "a": bmb.Prior("Normal", mu=[1.0, 2.0], sigma=5),
        "sigma": bmb.Prior("Exponential", scale=4),
        "g_corr": bmb.Prior("LKJ", eta=1.5),
    }
    priors = make_priors(spec, design)
    assert priors.sd[0][0] == Prior("HalfNormal", (("sigma", 3.0),))
    assert [p.arguments["mu"] for p in priors.fixed[2:]] == [1.0, 2.0]
    assert priors.sigma == Prior("Exponential", (("lam", 0.25),))
    assert priors.corr_eta[0] == 1.5
    again = Prior.from_bambi(priors.sigma.to_bambi())
    assert again == priors.sigma


def test_shared_sd_takes_one_prior():
    design = make_design("homcs")
    priors = make_priors({"x|g": "HalfNormal(2)"}, design)
    assert priors.sd[0] == (Prior("HalfNormal", (("sigma", 2.0),)),)
    spec = {"x|g": "HalfNormal(2)", "1|g": "HalfNormal(3)"}
    with pytest.raises(PriorError, match="share one SD"):
        make_priors(spec, design)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("week", r"Unknown prior set 'week'.*'weak'"),
        (3, "Give the name of a set"),
        ({"set": "wek"}, "Unknown prior set"),
        ({"Intersept": "Normal(0, 1)"}, r"'Intersept' names nothing.*'Intercept'"),
        ({"1|g_sigma": "HalfNormal(1)"}, r"Write '1\|g'"),
        ({"h_corr": 2}, "has no correlations"),
        ({"x": "Normal(0, -1)"}, "sigma must be positive"),
        ({"x": "Normal(0, 1"}, "cannot be read"),
        ({"x": "__import__('os').system('true')"}, "cannot be read"),
        ({"x": "Normal(0, 10 ** 3)"}, "cannot be read"),
        ({"x": "Norml(0, 1)"}, r"'Norml'.*'Normal'"),
        ({"x": "Normal(0, 1, 2)"}, "3 arguments"),
        ({"x": "Normal(mu=0, sd=1)"}, r"the argument 'sd'"),
        ({"x": "HalfNormal(1)"}, "excludes negative values"),
        ({"x": "Poisson(1)"}, "not a continuous"),
        ({"x": 3.0}, "cannot be fixed at a constant"),
        ({"x": "Normal(0, sigma=HalfNormal(1))"}, "has a prior inside"),
        ({"1|g": "Normal(0, 1)"}, "allows negative values"),
        ({"1|g": "Normal(1, sigma=HalfNormal(1))"}, "have mean 0"),
        ({"1|g": "StudentT(3, 0, sigma=HalfNormal(1))"}, "Random effects are Normal"),
        ({"sigma": "Cauchy(0, 1)"}, "allows negative values"),
        ({"sigma": "StudentT(mu=0)"}, "lacks 'nu'"),
        ({"sigma": "Gamma(mu=2, beta=1)"}, "do not go together"),
        ({"g_corr": -1}, "must be > 0"),
        ({"g_corr": "Normal(0, 1)"}, "take an LKJ prior"),
        ({"a": Prior("Normal", (("mu", 0.0), ("sigma", math.nan)))}, "must be finite"),
        ({"sigma": "Weibull(-1, 2)"}, "PyMC cannot evaluate"),
    ],
)
def test_priors_that_cannot_be_honoured_are_errors(spec: Any, words: str):
    with pytest.raises(PriorError, match=words):
        make_priors(spec, make_design())


def test_a_callable_prior_is_refused():
    import bambi as bmb

    prior = bmb.Prior("Mine", dist=print)
    with pytest.raises(PriorError, match="callable"):
        make_priors({"x": prior}, make_design())


def test_wrong_number_of_values():
    import bambi as bmb

    prior = bmb.Prior("Normal", mu=np.zeros(3), sigma=1)
    with pytest.raises(PriorError, match=r"3 values for mu.*2 coefficients"):
        make_priors({"a": prior}, make_design())


def test_printed_table():
    text = repr(make_priors({"x": "Normal(0, 10)"}, make_design()))
    assert "Priors 'custom'" in text
    line = next(line for line in text.splitlines() if line.strip().startswith("x "))
    assert line.split() == ["x", "Normal(mu=0,", "sigma=10)", "given"]
    assert (
        "<td>g_corr</td><td>LKJ(eta=2)</td>"
        in make_priors("weak", make_design())._repr_html_()
    )


# --- the Normal prior of beta ---------------------------------------------------------


def test_beta_prior_is_the_prior_of_centred_coefficients():
    """Density at raw beta equals the product of the stated priors at centred beta."""
    design = make_design()
    spec = {"Intercept": "Normal(7, 3)", "x": "Normal(1, 2)", "a": "Normal(-1, 0.5)"}
    prior = beta_prior(make_priors(spec, design), design)
    assert prior is not None
    assert prior.n_proper == 4
    rng = np.random.default_rng(1)
    for beta in rng.normal(size=(5, 4)):
        centred = beta.copy()
        centred[0] += design.X[:, 1:].mean(axis=0) @ beta[1:]
        mean, sd = np.array([7.0, 1, -1, -1]), np.array([3.0, 2, 0.5, 0.5])
        stated = -0.5 * ((centred - mean) / sd) ** 2 - np.log(sd)
        away = beta - prior.mean
        ours = 0.5 * prior.log_det - 0.5 * away @ prior.precision @ away
        assert ours == pytest.approx(stated.sum(), rel=EXACT)


def test_beta_prior_with_flat_parts_and_without_centring():
    design = make_design()
    spec = {"set": "flat", "Intercept": "Normal(7, 3)"}
    centred = beta_prior(make_priors(spec, design), design)
    assert centred is not None
    assert (centred.n_proper, centred.log_det) == (1, pytest.approx(-2 * math.log(3)))
    means = np.array([1.0, *design.X[:, 1:].mean(axis=0)])
    np.testing.assert_allclose(
        centred.precision, np.outer(means, means) / 9, rtol=EXACT
    )
    raw = beta_prior(make_priors(spec, design, center_predictors=False), design)
    assert raw is not None
    np.testing.assert_array_equal(raw.precision, np.diag([1 / 9, 0, 0, 0]))
    assert beta_prior(make_priors("flat", design), design) is None


def test_beta_prior_that_is_not_normal_names_the_joint_method():
    design = make_design()
    with pytest.raises(PriorError, match=r"'Intercept' is StudentT.*method='joint'"):
        beta_prior(make_priors("brms", design), design)
