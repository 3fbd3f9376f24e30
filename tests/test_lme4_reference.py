"""Every lme4 figure of tests/reference/lme4.json, reproduced from formula and data.

One Newton-polished lme4 fit for each case, REML or ML; program, version and call are in
the file. With prior weights lme4 1.1-31 reports the density of y, logs of the weights
included, which is ours: there is no constant to account for.
"""

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sampling import unchecked

from bayeslmm import FitWarning, Model
from bayeslmm.marginal import cross_products, profiled_criterion
from bayeslmm.reml import RemlFit

REFERENCE = json.loads((Path(__file__).parent / "reference/lme4.json").read_text())
FITS: dict[str, dict[str, Any]] = REFERENCE["fits"]

# The same formula in two programs: rounding only.
PEER_AT_THETA = 1e-8
# One-sided: a lower criterion than the peer's is no error.
PEER_OPTIMUM = 1e-6
# Two optimisers on a quadratic: criteria 1e-6 apart leave SDs about 1e-4 apart.
SD_RTOL = 1e-4
BETA_IN_SE = 1e-3
# BLUPs move with the SDs; in units of the SD of the effect.
BLUP_IN_SD = 1e-4
# Variances move twice as much as SDs.
VARIANCE_RTOL = 2e-4
# (1|g) + (0+f|g) has one parameter too many: lme4 and we end at different points of one
# valley, so only what the valley does not change can be compared.
OVERPARAMETRISED = {"machines_facdblbar_REML"}

ids = pytest.mark.parametrize("name", FITS)
identified = pytest.mark.parametrize(
    "name", [name for name in FITS if name not in OVERPARAMETRISED]
)


@pytest.fixture(scope="module")
def fit_of(public_data):
    """The fit of a case, made once; both methods share the model."""

    @cache
    def model_of(formula: str, data_name: str, weighted: bool) -> Model:
        data = public_data(data_name)
        weights = 1 + data["Days"].to_numpy() % 3 if weighted else None
        return Model(formula, data, weights=weights)

    @cache
    def fit(name: str) -> RemlFit:
        case = FITS[name]
        with warnings.catch_warnings(), unchecked():
            warnings.simplefilter("ignore", FitWarning)  # test_reml.py asserts them
            model = model_of(case["formula"], case["data"], "weights" in case)
            return model.fit_reml(method=case["method"])

    return fit


def peer_terms(fit, name):
    """For each of our bar terms its place in lme4's order, and lme4's figures."""
    theirs = FITS[name]["terms"]
    order = []
    for term in fit.design.groups:
        effects = [
            e.replace("[", "").replace("]", "").replace("Intercept", "(Intercept)")
            for e in term.effects
        ]
        order += [
            i
            for i, peer in enumerate(theirs)
            if sorted(peer["group"].split(":")) == sorted(term.group.split(":"))
            and peer["effects"] == effects
        ]
    assert sorted(order) == list(range(len(theirs)))
    return order, [theirs[i] for i in order]


def own_level(label, own_group, peer_group):
    """lme4's label of a level as ours: ``A:6`` of Machine:Worker is ``6:A`` here."""
    parts = label.split(":")
    return label if own_group == peer_group else ":".join(reversed(parts))


@ids
@pytest.mark.usefixtures("user_speed")
def test_criterion_at_given_theta(name, fit_of):
    case, fit = FITS[name], fit_of(name)
    order, _ = peer_terms(fit, name)
    sizes = [len(peer["effects"]) for peer in case["terms"]]
    ends = np.cumsum([k * (k + 1) // 2 for k in sizes])
    sums = cross_products(fit.model.design)
    for point in case["criterion_points"]:
        parts = np.split(np.array(point["theta"], float), ends[:-1])
        factors = []
        for i in order:
            factor = np.zeros((sizes[i], sizes[i]))
            factor.T[np.triu_indices(sizes[i])] = parts[i]
            factors.append(factor)
        ours = profiled_criterion(sums, factors, restricted=case["method"] == "REML")
        assert ours.criterion == pytest.approx(
            point["profiled_criterion"], abs=PEER_AT_THETA
        )
        assert ours.beta == pytest.approx(np.array(point["beta"]), rel=PEER_AT_THETA)


@ids
def test_optimum_is_no_worse(name, fit_of):
    case, fit = FITS[name], fit_of(name)
    assert fit.criterion <= case["criterion"] + PEER_OPTIMUM
    assert fit.status.converged
    assert fit.status.singular == case["isSingular"]
    assert fit.npar == case["npar"]
    assert fit.loglik == pytest.approx(case["logLik"], abs=PEER_OPTIMUM)
    assert fit.aic == pytest.approx(case["AIC"], abs=PEER_OPTIMUM)
    assert fit.bic == pytest.approx(case["BIC"], abs=PEER_OPTIMUM)


@ids
def test_sigma(name, fit_of):
    assert fit_of(name).sigma == pytest.approx(FITS[name]["sigma"], rel=SD_RTOL)


@identified
def test_variance_parameters(name, fit_of):
    fit = fit_of(name)
    table = fit.varcorr()
    sds, corrs = [], []
    for peer in peer_terms(fit, name)[1]:
        sds += peer["sd"]
        rows, columns = np.triu_indices(len(peer["sd"]), 1)
        corrs += np.array(peer["corr"], float)[rows, columns].tolist()
    found = table.loc[table["component"] == "sd", "estimate"].to_numpy()
    assert found == pytest.approx(np.array(sds), rel=SD_RTOL, abs=0)
    found = table.loc[table["component"] == "corr", "estimate"].to_numpy()
    assert found == pytest.approx(np.array(corrs), rel=SD_RTOL, abs=0)


@identified
def test_theta(name, fit_of):
    case, fit = FITS[name], fit_of(name)
    order, _ = peer_terms(fit, name)
    ours = np.concatenate([fit.theta[order.index(i)] for i in range(len(order))])
    theirs = np.array(case["theta"], float)
    assert ours == pytest.approx(theirs, rel=SD_RTOL, abs=1e-6 * np.abs(theirs).max())
    assert (ours[theirs == 0] == 0).all()


@ids
def test_fixed_effects(name, fit_of):
    case, fit = FITS[name], fit_of(name)
    theirs = np.array(list(case["fixef"].values()))
    se = np.array(case["se"])
    table = fit.fixef()
    assert (np.abs(table["estimate"] - theirs) < BETA_IN_SE * se).all()
    assert table["se"].to_numpy() == pytest.approx(se, rel=SD_RTOL)
    assert table["t"].to_numpy() == pytest.approx(theirs / se, rel=0.01, abs=0.01)
    scaled = np.abs(fit.beta_cov - np.array(case["vcov"])) / np.outer(se, se)
    assert scaled.max() < VARIANCE_RTOL


@identified
def test_blups_with_beta_known(name, fit_of):
    fit = fit_of(name)
    peers = peer_terms(fit, name)[1]
    for t, (term, peer) in enumerate(zip(fit.design.groups, peers, strict=True)):
        at = [
            term.levels.index(own_level(level, term.group, peer["group"]))
            for level in peer["levels"]
        ]
        scale = np.maximum(np.array(peer["sd"]), 1e-100)
        ours, theirs = fit.effects.b[t][at], np.array(peer["b"], float)
        assert (np.abs(ours - theirs) / scale).max() < BLUP_IN_SD
        cov = fit.effects.b_cov_given_beta[t][at]
        difference = np.abs(cov - np.array(peer["condVar"], float))
        assert (difference / np.outer(scale, scale)).max() < VARIANCE_RTOL


@ids
def test_shares_of_variance(name, fit_of):
    fit = fit_of(name)
    marginal, conditional, adjusted = FITS[name]["r2"]
    assert fit.r2()["estimate"].to_dict() == pytest.approx(
        {"marginal": marginal, "conditional": conditional}, rel=VARIANCE_RTOL
    )
    assert fit.icc().loc["adjusted", "estimate"] == pytest.approx(
        adjusted, rel=VARIANCE_RTOL
    )


@ids
def test_predictions(name, fit_of, public_data):
    case, fit = FITS[name], fit_of(name)
    rows = public_data(case["data"]).head(6)
    tolerance = BETA_IN_SE * min(case["se"])
    existing = np.array(case["predict"]["existing"])
    population = np.array(case["predict"]["population"])
    found = fit.predict(rows)["estimate"].to_numpy()
    assert found == pytest.approx(existing, abs=tolerance)
    assert fit.fitted()[:6] == pytest.approx(existing, abs=tolerance)
    found = fit.predict(rows, level="population")["estimate"].to_numpy()
    assert found == pytest.approx(population, abs=tolerance)


def test_names_of_one_table(fit_of):
    """Labels, in one case with an interaction and one with a factor that varies."""
    assert fit_of("ratpup_int_REML").fixef().index[-2:].to_list() == [
        "treatment:sex[High, Male]",
        "treatment:sex[Low, Male]",
    ]
    assert fit_of("machines_facslope_REML").varcorr().index.to_list() == [
        "1|Worker_sigma",
        "Machine|Worker_sigma[B]",
        "Machine|Worker_sigma[C]",
        "Worker_corr[Intercept:Machine[B]]",
        "Worker_corr[Intercept:Machine[C]]",
        "Worker_corr[Machine[B]:Machine[C]]",
        "sigma",
    ]
