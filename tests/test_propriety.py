"""Propriety: what a posterior has is said before sampling, and is true."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from sampling import unchecked
from scipy.integrate import quad

import bayeslmm as lmm
from bayeslmm import FitWarning, Model, ModelError, PriorError
from bayeslmm.posterior.propriety import propriety_notes
from bayeslmm.posterior.rays import tail_rays
from bayeslmm.posterior.target import make_target
from bayeslmm.reporting.explain import explain_text

# Of the closed form's slope, read between SDs of 1e4 and 1e5.
SLOPE = 1e-3


def balanced(n_levels: int, n_rows: int = 6) -> pd.DataFrame:
    """Rows of a few levels; x varies within them, w does not."""
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(n_levels), n_rows)
    w = np.arange(1.0, n_levels + 1.0)[g]
    y = rng.normal(size=n_levels)[g] + rng.normal(size=g.size)
    x = rng.normal(size=g.size)
    return pd.DataFrame({"y": y, "x": x, "w": w, "g": g.astype(str)})


def index_of(model: Model) -> pd.Series:
    """Tail index of every parameter."""
    return model.propriety().table["tail_index"]


# --- the powers -----------------------------------------------------------------------


def one_way_log_density(data: pd.DataFrame, sd: float) -> float:
    """Flat priors, balanced one-way: log of the density of the SD, sigma summed over.

    The restricted likelihood is that of the two independent sums of squares.
    """
    groups = data.groupby("g")["y"]
    j, n = groups.ngroups, len(data) // groups.ngroups
    within = float(((data["y"] - groups.transform("mean")) ** 2).sum())
    between = n * float(((groups.mean() - data["y"].mean()) ** 2).sum())

    def density(log_sigma: float) -> float:
        """Of log sigma and the SD, up to a constant."""
        v = math.exp(2.0 * log_sigma)
        b = v + n * sd**2
        logp = -0.5 * (j * (n - 1) * math.log(v) + within / v)
        logp += -0.5 * ((j - 1) * math.log(b) + between / b) + log_sigma
        return math.exp(logp + 0.5 * (j - 1) * math.log(n * sd**2))

    found = quad(density, -4.0, 4.0, epsabs=0.0, epsrel=1e-10)[0]
    return math.log(found) - 0.5 * (j - 1) * math.log(n * sd**2)


@pytest.mark.parametrize("n_levels", [3, 4, 7])
def test_the_power_is_that_of_the_closed_form(n_levels: int) -> None:
    """Of the density of the SD in a balanced one-way model, far out."""
    data = balanced(n_levels)
    near, far = (one_way_log_density(data, sd) for sd in (1e4, 1e5))
    falls = (near - far) / math.log(10.0)
    model = Model("y ~ 1 + (1 | g)", data, priors="flat")
    own = index_of(model)["1|g_sigma"]
    assert falls == pytest.approx(own + 1.0, abs=SLOPE)
    assert own == n_levels - 2.0


@pytest.mark.parametrize(
    ("prior", "falls"),
    [
        ("flat", 0.0),
        ("HalfCauchy(2)", 2.0),
        ("HalfStudentT(nu=2.5, sigma=1)", 3.5),
        ("InverseGamma(1.5, 2)", 2.5),
        ("HalfNormal(3)", math.inf),
        ("Exponential(0.1)", math.inf),
        ("LogNormal(0, 1)", math.inf),
    ],
)
def test_a_prior_adds_its_power(prior: str, falls: float) -> None:
    """The likelihood of five levels and a covariate of theirs falls as SD^-3."""
    model = Model(
        "y ~ x + w + (1 | g)", balanced(5), priors={"set": "flat", "1|g": prior}
    )
    own, expected = index_of(model), 3.0 + falls - 1.0
    assert own["1|g_sigma"] == expected
    # the residual SD has 30 rows less 3 fixed effects, and a flat prior
    assert own["Intercept"] == own["w"] == min(expected, 26.0)
    assert own["x"] == own["sigma"] == 26.0


def test_proper_priors_of_fixed_effects_keep_all_levels() -> None:
    """Nothing is taken from the levels; the intercept has all moments then."""
    for key, sd, intercept in (("x", 1.0, 1.0), ("common", 2.0, math.inf)):
        priors = {"set": "flat", key: "Normal(0, 9)"}
        own = index_of(Model("y ~ x + (1 | g)", balanced(3), priors=priors))
        assert own[["1|g_sigma", "Intercept"]].tolist() == [sd, intercept]


@pytest.mark.usefixtures("user_speed")
@pytest.mark.parametrize("n_levels", [3, 4])
def test_a_truncated_mean_grows_without_end_where_there_is_none(n_levels: int) -> None:
    """By as much with each decade for three levels, by a tenth of it for four."""
    model = Model("y ~ 1 + (1 | g)", balanced(n_levels), priors="flat")
    target = make_target(model.design, model.conditioned, model.priors)
    log_sd, log_sigma = np.linspace(4.0, 4.0 + 3 * math.log(10.0), 61), (-1.5, 1.5)
    density = [
        sum(math.exp(target(np.array([s, t]))[0]) for s in np.linspace(*log_sigma, 30))
        for t in log_sd
    ]
    mean = np.array(density) * np.exp(log_sd)
    decades = [np.trapezoid(mean[i : i + 21], log_sd[i : i + 21]) for i in (0, 20, 40)]
    shrinks = 1.0 if n_levels == 3 else 0.1
    assert decades[1] / decades[0] == pytest.approx(shrinks, rel=SLOPE)
    assert decades[2] / decades[1] == pytest.approx(shrinks, rel=SLOPE)
    assert model.propriety().table.loc["1|g_sigma", "mean"] == (n_levels > 3)


def test_several_sds_together_can_have_no_posterior() -> None:
    """Two effects that both only tell levels apart: each alone is proper, not both."""
    for n_levels, proper in ((4, False), (5, True)):
        model = Model("y ~ x + w + (1 + w || g)", balanced(n_levels), priors="flat")
        assert model.propriety().proper is proper
        target = make_target(model.design, model.conditioned, model.priors)
        rays = tail_rays(target)
        assert all(ray.is_proper for ray in rays if len(ray.scales) == 1)
        assert all(ray.is_proper for ray in rays) is proper
    assert "'1|g_sigma' and 'w|g_sigma' is improper" in _improper(4)
    with pytest.raises(PriorError, match="improper"):
        Model("y ~ x + w + (1 + w || g)", balanced(4), priors="flat").quadrature()


def _improper(n_levels: int) -> str:
    """What is said of that model."""
    data = balanced(n_levels)
    model = Model("y ~ x + w + (1 + w || g)", data, priors="flat")
    return model.propriety().messages[0]


# --- words ----------------------------------------------------------------------------


def test_three_classrooms(classrooms: pd.DataFrame) -> None:
    """The mean is infinite, why, what to read, and what is near and has one."""
    model = Model("score ~ edu + (1 | classroom)", classrooms, priors="flat")
    found = model.propriety()
    said = " ".join(found.messages)
    assert found.proper
    assert "The mean of 1|classroom_sigma is infinite" in said
    assert "as SD^-2 (3 levels of classroom, less 1 that fixed effects take)" in said
    assert "HalfFlat(), does not fall. Read the median." in said
    assert "Intercept and Intercept|classroom have no mean either" in said
    near = said.split("nothing else, priors=")[1].split(": then all")[0]
    given = eval(near, {})  # as a user would copy it
    other = Model("score ~ edu + (1 | classroom)", classrooms, priors=given)
    assert other.propriety().table[["mean", "sd"]].all(axis=None)
    assert other.priors.sd != model.priors.sd
    assert other.priors.sigma == model.priors.sigma
    assert propriety_notes(model) == found.messages
    assert "1|classroom_sigma is infinite" in " ".join(explain_text(model).split())
    assert all(word in found._repr_html_() for word in ("<ul>", "tail_index"))


def test_nothing_is_said_where_all_is_well(classrooms: pd.DataFrame) -> None:
    """The default priors."""
    model = Model("score ~ edu + (1 | classroom)", classrooms)
    assert model.propriety().missing.sd == propriety_notes(model) == ()
    assert "do not exist" not in explain_text(model)
    assert model.propriety().messages[0].endswith("has a mean and an SD.")


@pytest.mark.parametrize("method", ["auto", "quadrature", "joint"])
def test_an_improper_posterior_is_refused_by_every_route(method: str) -> None:
    """With the reason, and a set of priors that is taken as it is printed."""
    data = balanced(2)
    model = Model("y ~ x + (1 | g)", data, priors="flat")
    with pytest.raises(PriorError, match=r"SD\^-1 \(2 levels of g, less 1") as caught:
        model.sample(method=method, draws=20, seed=1)
    given = str(caught.value).split("no other, priors=")[1].split("; or")[0]
    assert Model("y ~ x + (1 | g)", data, priors=eval(given, {})).propriety().proper
    found = model.propriety()
    assert not found.proper
    assert not found.table["mean"].any()
    assert found.messages == (str(caught.value),)


def test_models_that_cannot_be_integrated_are_told() -> None:
    """Another family, another prior of a fixed effect."""
    data = balanced(4).assign(k=lambda d: (d["y"] > 0).astype(int))
    other = Model("k ~ x + (1 | g)", data, family="bernoulli")
    cauchy = Model("y ~ x + (1 | g)", data, priors={"x": "Cauchy(0, 1)"})
    for model in (other, cauchy):
        with pytest.raises(ModelError, match="worked out where the effects can be"):
            model.propriety()
        assert propriety_notes(model) == ()


def test_the_law_of_units() -> None:
    """No unit of y or x changes what exists."""
    data = balanced(4)
    tables = [
        Model(
            "y ~ x + (x || g)",
            data.assign(y=data["y"] * scale, x=data["x"] * 1e3 + shift),
            priors="flat",
        )
        .propriety()
        .table
        for scale, shift in ((1.0, 0.0), (1e6, 0.0), (1e-6, 5.0))
    ]
    for other in tables[1:]:
        pd.testing.assert_frame_equal(pd.DataFrame(other), pd.DataFrame(tables[0]))
    assert tables[0]["mean"].all()
    assert not tables[0]["sd"].all()


def test_levels_say_nothing_of_another_value_of_their_covariate() -> None:
    """What is constant within levels, changed: the level's own rows do not tell of it.

    Coefficients too: an intercept is where the covariate is 0, and its slope is of the
    levels alone. Slopes within levels are told of by all rows.
    """
    data = balanced(4)
    model = Model("y ~ x + w + (1 | g)", data, priors="flat")
    with unchecked(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        post = model.sample(draws=100, chains=2, seed=1, progress=False)
        reml = model.fit_reml()
        new = pd.DataFrame({"x": 0.5, "w": [1.0, 2.0], "g": "0"})
        table, coef = post.predict(new), post.coef()
        pooled = lmm.shrinkage_table(reml, post)
    assert table["mean"].isna().tolist() == [False, True]
    assert table["sd"].isna().tolist() == [False, True]
    assert np.isfinite(table[["median", "lower", "upper"]]).all(axis=None)
    lost = coef.set_index("effect")[["mean", "sd"]].isna()
    assert lost.loc[["Intercept", "w"]].all(axis=None)
    assert not lost.loc["x"].any(axis=None)
    assert pooled["posterior"].isna().all()
    with unchecked():
        told = Model("y ~ x + (1 | g)", data, priors="flat")
        fit = told.sample(draws=100, chains=2, seed=1, progress=False)
        assert fit.status.missing.sd
        assert fit.coef()["mean"].notna().all()


@pytest.mark.parametrize("priors", ["weak", "flat"])
def test_levels_that_all_sum_to_the_same_leave_cs_no_posterior(priors: str) -> None:
    """Sums of five rows have variance ``s**2 5 (1 + 4 rho)``: all 0, it may be 0."""
    data = balanced(5, 5)
    centred = data["y"] - data.groupby("g")["y"].transform("mean")
    with unchecked():
        model = Model("y ~ 1", data.assign(y=centred), residual="cs(g)", priors=priors)
        found = model.propriety()
        assert not found.proper
        assert "does not fall towards -0.25, the end of its range" in found.messages[0]
        with pytest.raises(PriorError, match="sum to the same"):
            model.sample(draws=10, progress=False)
        data["t"] = data.groupby("g").cumcount()
        for residual in ("cs(g)", "ar1(t | g)"):
            whole = Model("y ~ 1", data, residual=residual, priors=priors)
            assert whole.propriety().proper
