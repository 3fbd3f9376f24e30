"""Named sets of priors: their numbers, their laws, and the peers they follow."""

import math

import helpers
import numpy as np
import pytest
from hypothesis import given, strategies as st
from prior_cases import make_design
from scipy.optimize import minimize_scalar

from bayeslmm.design.arrays import (
    Design,
    EffectVariable,
    FixedVariable,
    GroupTerm,
    RowAccount,
)
from bayeslmm.design.rows import Rows
from bayeslmm.errors import ModelError
from bayeslmm.families import FAMILIES, check_family
from bayeslmm.marginal import cross_products, profiled_criterion
from bayeslmm.priors import (
    NAMED_SETS,
    Prior,
    beta_prior,
    make_priors,
)

EXACT = 1e-10  # the same algebra by two routes

PEER = 1e-6  # a peer's optimiser

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
    priors, y, x = make_priors("weak", design), design.rows.y, design.rows.X[:, 1]
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
    X, Z = design.rows.X.copy(), design.rows.Z[0].copy()
    X[:, 1] = unit * X[:, 1] + shift
    Z[:, 1] = X[:, 1]
    other = helpers.with_rows(
        design, y=scale * design.rows.y + shift, X=X, Z=(Z, design.rows.Z[1])
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
    assert level > 2.0 * design.rows.y.max()


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
    term = helpers.replace(design.groups[0], levels=tuple(map(str, levels)))
    design = helpers.with_rows(design, codes=(codes,))
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
        tuple(map(str, range(10))),
        "us",
        (EffectVariable("1|g", "1", (0,)),),
    )
    fixed = (FixedVariable("Intercept", (0,)),)
    account = RowAccount(n, n)
    ones = np.ones((n, 1))
    rows = Rows(y, ones, (ones,), (np.arange(n) % 10,), np.arange(n))
    return Design(fixed, (term,), "y", account, rows)


@pytest.mark.filterwarnings("default")  # bambi's own, on import and on build
@pytest.mark.parametrize("family", ["gaussian", "poisson", "bernoulli"])
def test_bambi_set_is_bambis_own(family: str):
    import bambi as bmb
    import pandas as pd

    design = make_design()
    y = {
        "gaussian": design.rows.y,
        "poisson": np.round(design.rows.y),
        "bernoulli": (design.rows.y > np.median(design.rows.y)).astype(float),
    }[family]
    design = helpers.with_rows(design, y=y)
    frame = pd.DataFrame(
        {
            "y": y,
            "x": design.rows.X[:, 1],
            "a": pd.Categorical(np.array(list("ABC"))[np.arange(60) % 3]),
            "g": pd.Categorical(np.array(list("vwxyz"))[design.rows.codes[0]]),
            "h": pd.Categorical(np.array(list("abcdef"))[design.rows.codes[1]]),
        }
    )
    theirs = bmb.Model("y ~ x + a + (x|g) + (1|h)", frame, family=family)
    terms = theirs.parameters[FAMILIES[family].parent].terms
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
    for name, own in FAMILIES.items():
        parent, link, others = own.parent, own.link.name, own.others
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
