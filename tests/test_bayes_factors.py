"""Evidences and Bayes factors: closed forms, Savage and Dickey, bridges, laws."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from sampling import sample_unchecked, unchecked
from test_loo import toy

import bayeslmm as lmm
from bayeslmm import DataError, Model, ModelError, PriorError
from bayeslmm.comparison.bayes_factors import smaller_models, widened
from bayeslmm.marginal.conditioning import condition
from bayeslmm.posterior import evidence as evidences
from bayeslmm.posterior.target import make_target

# Twice the tolerance of the log evidence.
LATTICE = 2e-3
J, EACH = 6, 4
GIVEN = {
    "Intercept": "Normal(2, 3)",
    "1|g": "HalfNormal(1.5)",
    "sigma": "HalfNormal(2)",
}


def evidence(model, **options):
    """Log evidence without type checks of every call."""
    with unchecked():
        return model.log_evidence(**options)


def factors(model, **options):
    """Bayes factors, likewise."""
    with unchecked():
        return model.bayes_factors(nsim=200, **options)


@pytest.fixture(scope="module")
def one_way():
    """Six levels of four rows that hardly differ."""
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(J), EACH)
    y = 1.0 + 0.4 * rng.normal(size=J)[g] + rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "g": [f"g{i}" for i in g]})


@pytest.fixture(scope="module")
def balanced(one_way):
    """Model of them, under priors that do not depend on the data."""
    return Model("y ~ 1 + (1 | g)", one_way, priors=GIVEN)


@pytest.fixture(scope="module")
def found(balanced):
    """Its Bayes factors."""
    return factors(balanced)


def closed_form(y, sd, sigma):
    """Log density of balanced groups, their mean Normal(2, 3): sums of squares."""
    n, means = y.size, y.mean(axis=1)
    within = ((y - means[:, None]) ** 2).sum()
    between = EACH * ((means - y.mean()) ** 2).sum()
    level = sigma**2 + EACH * sd**2
    whole = level + n * 9.0
    log_det = (n - J) * np.log(sigma**2) + (J - 1) * np.log(level) + np.log(whole)
    quad = within / sigma**2 + between / level + n * (y.mean() - 2.0) ** 2 / whole
    return -0.5 * (n * np.log(2 * np.pi) + log_det + quad)


def half_normal(x, scale):
    """Log density."""
    return 0.5 * np.log(2 / np.pi) - np.log(scale) - 0.5 * (x / scale) ** 2


def integral(log_density, *grids):
    """Log of an integral over log SDs by the trapezoid rule."""
    mesh = np.meshgrid(*map(np.exp, grids), indexing="ij")
    values = log_density(*mesh) + sum(np.log(m) for m in mesh)
    step = sum(np.log(grid[1] - grid[0]) for grid in grids)
    return float(np.log(np.exp(values - values.max()).sum()) + values.max() + step)


def test_evidences_of_one_way_are_their_closed_forms(one_way, found):
    y = one_way["y"].to_numpy().reshape(J, EACH)
    sds, sigmas = np.linspace(-12, 3, 700), np.linspace(-2, 2, 400)

    def with_term(sd, sigma):
        prior = half_normal(sd, 1.5) + half_normal(sigma, 2.0)
        return closed_form(y, sd, sigma) + prior

    def without(sigma):
        return closed_form(y, 0.0, sigma) + half_normal(sigma, 2.0)

    whole, rest = integral(with_term, sds, sigmas), integral(without, sigmas)
    assert found.evidence.log_evidence == pytest.approx(whole, abs=LATTICE)
    row = found.table.loc["(1 | g)"]
    assert row["log_evidence"] == pytest.approx(rest, abs=LATTICE)
    assert row["log_bf"] == pytest.approx(whole - rest, abs=LATTICE)
    assert row["bf"] == pytest.approx(np.exp(whole - rest), rel=LATTICE)
    assert 0.0 < row["p"] < 1.0


def test_savage_and_dickey_agree(found):
    """Posterior over prior density at an SD of 0 is the factor against the term."""
    own = found.evidence
    place = own.target.space.place("1|g_sigma")
    values = np.unique(own.x[:, place])
    value = values[np.exp(values) < 0.1].max()  # an error of the order of sd**2
    low = own.x[:, place] == value
    sd, step = np.exp(value), values[1] - values[0]
    posterior = own.weights[low].sum() / step / sd
    prior = np.exp(half_normal(sd, 1.5))
    against = np.exp(-found.table.loc["(1 | g)", "log_bf"])
    assert posterior / prior == pytest.approx(against, rel=0.02)


def test_wider_priors_are_those_of_models_with_them(one_way, found):
    assert found.sensitivity["scale"].tolist() == [0.25, 0.5, 1.0, 2.0, 4.0]
    shown = found.sensitivity.set_index("scale")["log_bf"]
    assert shown[1.0] == pytest.approx(found.table.loc["(1 | g)", "log_bf"])
    for scale in (0.25, 4.0):
        wide = GIVEN | {"1|g": f"HalfNormal({1.5 * scale})"}
        own = evidence(Model("y ~ 1 + (1 | g)", one_way, priors=wide))
        rest = found.table.loc["(1 | g)", "log_evidence"]
        expected = own.log_evidence - rest
        assert shown[scale] == pytest.approx(expected, abs=LATTICE)
    assert "0.25 to 4 times as wide" in repr(found)


def test_bridges_and_checks_say_the_same(balanced, found, monkeypatch):
    exact = found.evidence
    assert exact.method == "quadrature"
    assert abs(exact.check - exact.log_evidence) < 4 * exact.check_error
    monkeypatch.setattr(evidences, "MOST_BY_LATTICE", 0)
    post = sample_unchecked(balanced, seed=2, progress=False)
    with unchecked():
        of_draws = post.log_evidence()
    for own in (evidence(balanced, seed=5), of_draws):
        assert own.method == "bridge"
        assert 0.0 < own.error < 0.02
        assert abs(own.log_evidence - exact.log_evidence) < 4 * own.error
    assert "by bridge" in repr(of_draws)
    wide = widened(of_draws, [own.target.space.place("1|g_sigma")], (0.5, 1.0, 2.0))
    shown = found.sensitivity.set_index("scale")["log_bf"]
    assert wide[1] == pytest.approx(0.0, abs=1e-12)
    for value, scale in ((wide[0], 0.5), (wide[2], 2.0)):
        assert value == pytest.approx(shown[scale] - shown[1.0], abs=0.05)


def test_smaller_models_are_those_that_a_user_writes():
    """The same density at the same coordinates, under the default priors."""
    data = toy().assign(z=lambda d: d["x"] ** 2)
    model = Model("y ~ x + (x + z | a) + (1 | b)", data, weights="w")
    written = {
        "x in (x + z | a)": "y ~ x + (z | a) + (1 | b)",
        "z in (x + z | a)": "y ~ x + (x | a) + (1 | b)",
        "correlations of (x + z | a)": "y ~ x + diag(x + z | a) + (1 | b)",
        "(x + z | a)": "y ~ x + (1 | b)",
        "(1 | b)": "y ~ x + (x + z | a)",
    }
    smaller = {one.name: one for one in smaller_models(model)}
    assert list(smaller) == list(written)
    for name, formula in written.items():
        own, other = smaller[name], Model(formula, data, weights="w")
        ours = make_target(own.design, condition(own.design), own.priors)
        theirs = make_target(other.design, other.conditioned, other.priors)
        x = theirs.start + np.random.default_rng(1).normal(size=theirs.start.size) / 3
        assert ours(x)[0] == pytest.approx(theirs(x)[0], abs=1e-8)
        assert own.priors.centered == other.priors.centered
    labels = [model.space.coordinates[i].label for i in smaller["(x + z | a)"].tested]
    assert labels == ["1|a_sigma", "x|a_sigma", "z|a_sigma"]
    assert smaller["correlations of (x + z | a)"].tested == ()


def test_two_models_are_weighed(one_way, in_its_units):
    data = one_way.assign(x=np.tile([0.0, 1.0, 2.0, 3.0], J))
    one = Model("y ~ x + (1 | g)", data)
    two = Model("y ~ 1 + (1 | g)", data)
    with unchecked():
        factor = lmm.bayes_factor(one, two)
        back = lmm.bayes_factor(two, one)
    assert factor.log_bf == pytest.approx(-back.log_bf)
    assert factor.bf == pytest.approx(np.exp(factor.log_bf))
    parts = evidence(one).log_evidence - in_its_units.log_evidence
    assert factor.log_bf == pytest.approx(parts, abs=LATTICE)
    assert "in favour of 'y ~ 1 + (1 | g)' against" in repr(factor)


@pytest.fixture(scope="module")
def in_its_units(one_way):
    """Evidence under default priors."""
    return evidence(Model("y ~ 1 + (1 | g)", one_way))


@given(scale=st.floats(1e-2, 1e2), shift=st.floats(-50.0, 50.0))
@settings(max_examples=2)
def test_units_do_not_matter(one_way, in_its_units, scale, shift):
    """Default priors follow the response: densities are divided by its unit."""
    other = one_way.assign(y=scale * (one_way["y"] + shift))
    moved = evidence(Model("y ~ 1 + (1 | g)", other))
    expected = in_its_units.log_evidence - len(other) * np.log(scale)
    assert moved.log_evidence == pytest.approx(expected, abs=LATTICE)


# --- what cannot be -------------------------------------------------------------------


def test_flat_priors_have_no_evidence(one_way):
    flat = Model("y ~ 1 + (1 | g)", one_way, priors="flat")
    for call in (flat.log_evidence, flat.bayes_factors):
        with unchecked(), pytest.raises(PriorError, match="height is arbitrary"):
            call()


def test_models_that_cannot_be_weighed(one_way, balanced):
    others = {
        "priors as well": Model("y ~ 1 + (1 | g)", one_way),
        "different data": Model("y ~ 1 + (1 | g)", one_way.iloc[1:], priors=GIVEN),
    }
    for words, other in others.items():
        with unchecked(), pytest.raises(ModelError, match=words):
            lmm.bayes_factor(balanced, other)
    with unchecked(), pytest.raises(ModelError, match="is of models or of what"):
        lmm.bayes_factor(balanced, 3)
    for scales in ((), (0.0, 1.0), 3, "wide", (np.nan,)):
        with unchecked(), pytest.raises(ModelError, match="scales must be positive"):
            lmm.bayes_factors(balanced, scales=scales)
    with unchecked(), pytest.raises(ModelError, match="nsim must be"):
        lmm.bayes_factors(balanced, nsim=-1)
    with unchecked(), pytest.raises(ModelError, match="seed must be"):
        balanced.log_evidence(seed="a")
    with unchecked(), pytest.raises(ModelError, match="tolerance must be"):
        balanced.log_evidence(tolerance=0.0)


def test_rows_in_batches_have_no_smaller_models(tmp_path):
    toy().to_parquet(tmp_path / "rows.parquet")
    model = Model("y ~ x + (1 | a)", tmp_path / "rows.parquet")
    with unchecked(), pytest.raises(DataError, match="Bayes factors of smaller models"):
        model.bayes_factors()


@pytest.mark.slow
def test_sleepstudy_has_the_evidence_of_its_quadrature(sleepstudy):
    """Of four variance parameters: the lattice of the density, of all, and a bridge."""
    model = Model("Reaction ~ Days + (Days | Subject)", sleepstudy)
    with unchecked():
        exact = model.quadrature(tolerance=0.1).log_evidence
    own = evidence(model)
    assert own.log_evidence == pytest.approx(exact, abs=LATTICE)
    assert abs(own.check - exact) < 4 * own.check_error


def test_the_likelihood_of_an_sd_at_0_is_the_factor_of_savage_and_dickey(
    balanced, found
):
    """Posterior over prior at 0; to the last node of a lattice the sums are whole."""
    post = sample_unchecked(balanced, seed=1, draws=100, chains=2)
    with unchecked():
        at = post.density("1|g_sigma", [0.0, 1e-6, 1e-3])
    factor = 1.0 / found.table.loc["(1 | g)", "bf"]
    np.testing.assert_allclose(at["likelihood"], factor, rtol=LATTICE)
    np.testing.assert_allclose(at["density"], at["prior"] * factor, rtol=LATTICE)
