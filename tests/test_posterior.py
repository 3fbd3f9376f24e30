"""Tables, predictions and files of a posterior: laws on one set of draws."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from numpy.typing import NDArray
from sampling import sample_unchecked

from bayeslmm import FitWarning, Model, ModelError, OutputError, Posterior
from bayeslmm.datasets import simulate_classrooms
from bayeslmm.posterior.predictions import factor_draws

# Same algebra by two routes.
EXACT = 1e-10

Array = NDArray[np.float64]
FORMULA = "score ~ edu + kind + (edu + kind | classroom) + (1 | year)"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """Eight classrooms in three crossed years; a factor of three kinds."""
    frame = simulate_classrooms(8, 18, seed=1).data.copy()
    rng = np.random.default_rng(2)
    frame["kind"] = rng.choice(["art", "maths", "music"], len(frame))
    frame["year"] = rng.choice(["2001", "2002", "2003", "2004"], len(frame))
    frame["score"] += 2.0 * pd.to_numeric(frame["year"]) % 3
    frame["w"] = rng.uniform(0.5, 2.0, len(frame))
    return frame


@pytest.fixture(scope="module")
def post(data: pd.DataFrame) -> Posterior:
    """Draws of a model with two factors, a factor slope and weights."""
    model = Model(FORMULA, data, weights="w")
    return sample_unchecked(model, draws=250, chains=2, seed=1)


def first_draw(post: Posterior) -> tuple[Array, list[Array], list[Array], float]:
    """beta, b and covariance of each term, and sigma, in the first draw."""
    design, own = post.model.design, post.idata["posterior"].isel(chain=0, draw=0)
    scalar = {
        name: own[name].to_numpy().item() for name in ("Intercept", "edu", "sigma")
    }
    beta = [scalar["Intercept"], scalar["edu"], *own["kind"].to_numpy()]
    classroom = np.column_stack(
        [
            own["1|classroom"].to_numpy(),
            own["edu|classroom"].to_numpy(),
            own["kind|classroom"].to_numpy().T,
        ]
    )
    sds = [
        post.draws(p.label)[0, 0]
        for p in design.space.parameters
        if p.component == "sd"
    ]
    corr = np.eye(4)
    for parameter in design.space.parameters:
        if parameter.component == "corr":
            i, j = parameter.index
            corr[i, j] = corr[j, i] = post.draws(parameter.label)[0, 0]
    Sigma = np.outer(sds[:4], sds[:4]) * corr
    b = [classroom, own["1|year"].to_numpy()[:, None]]
    return np.array(beta), b, [Sigma, np.array([[sds[4] ** 2]])], scalar["sigma"]


# --- names --------------------------------------------------------------------------


def test_variables_have_bambis_names_and_dims(post: Posterior) -> None:
    """Scalars, factors, effects, SDs; correlations over named pairs."""
    found = {
        str(name): variable.dims[2:]
        for name, variable in post.idata["posterior"].data_vars.items()
    }
    assert found == {
        "Intercept": (),
        "edu": (),
        "kind": ("kind_dim",),
        "1|classroom_sigma": (),
        "edu|classroom_sigma": (),
        "kind|classroom_sigma": ("kind__expr_dim",),
        "classroom_corr": ("classroom_corr_dim",),
        "1|year_sigma": (),
        "sigma": (),
        "1|classroom": ("classroom__factor_dim",),
        "edu|classroom": ("classroom__factor_dim",),
        "kind|classroom": ("kind__expr_dim", "classroom__factor_dim"),
        "1|year": ("year__factor_dim",),
    }
    coords = post.idata["posterior"].coords
    assert list(coords["kind__expr_dim"].to_numpy()) == ["maths", "music"]
    assert coords["classroom_corr_dim"].to_numpy()[0] == "Intercept:edu"
    assert list(coords["year__factor_dim"].to_numpy()) == [
        "2001",
        "2002",
        "2003",
        "2004",
    ]


def test_groups_and_attributes_of_the_tree(post: Posterior) -> None:
    """What ArviZ expects, and how to repeat the run."""
    expected = {"posterior", "sample_stats", "observed_data", "unconstrained_posterior"}
    assert set(post.idata.children) == expected
    stats = set(post.idata["sample_stats"].data_vars)
    assert {"diverging", "tree_depth", "energy", "acceptance_rate", "lp"} <= stats
    observed = post.idata["observed_data"]["score"]
    assert observed.dims == ("__obs__",)
    np.testing.assert_array_equal(observed, post.model.design.rows.y)
    attrs = post.idata.attrs
    assert (attrs["formula"], attrs["seed"], attrs["method"]) == (FORMULA, 1, "nuts")
    assert "nutpie 0.16" in attrs["versions"]
    assert post.idata["posterior"].attrs["priors"] == repr(post.model.priors)


def test_a_slash_becomes_a_division_slash(data: pd.DataFrame, tmp_path: Path) -> None:
    """Where a tree allows no slash; labels keep it."""
    model = Model("score ~ I(edu/10) + (I(edu/10) | classroom)", data)
    post = sample_unchecked(model, draws=50, tune=50, chains=2, seed=1)
    assert "I(edu\u221510)|classroom" in post.idata["posterior"].data_vars
    assert "I(edu/10)|classroom_sigma" in post.summary().index
    assert post.draws("I(edu/10)").shape == (2, 50)
    assert set(post.ranef()["effect"]) == {"Intercept", "I(edu/10)"}
    post.save(tmp_path / "posterior.nc")


# --- tables of parameters -----------------------------------------------------------


def test_summary_is_arviz_under_our_labels(post: Posterior) -> None:
    """Same numbers as az.summary, all labels in order, unrounded."""
    table = post.summary(0.9, "hdi")
    assert list(table.index) == [p.label for p in post.model.design.space.parameters]
    theirs = pd.DataFrame(
        az.summary(
            post.idata,
            var_names=["kind|classroom_sigma"],
            ci_kind="hdi",
            ci_prob=0.9,
            round_to="none",
        )
    )
    label = "kind|classroom_sigma[music]"
    pairs = {
        "mean": "mean",
        "sd": "sd",
        "lower": "hdi90_lb",
        "upper": "hdi90_ub",
        "mcse_mean": "mcse_mean",
        "ess_bulk": "ess_bulk",
        "ess_tail": "ess_tail",
        "rhat": "r_hat",
    }
    for ours, column in pairs.items():
        assert table[ours][label] == theirs[column][label]
    assert table["median"][label] == np.median(post.draws(label))


def test_draws_and_their_errors(post: Posterior) -> None:
    """Draws by label; a wrong label gets the nearest ones."""
    stored = post.idata["posterior"]["kind"].to_numpy()
    np.testing.assert_array_equal(post.draws("kind[music]"), stored[..., 1])
    with pytest.raises(ModelError, match=r"No parameter 'edu\|class_sigma'.*Did you"):
        post.draws("edu|class_sigma")


def test_intervals_are_checked(post: Posterior) -> None:
    """Probability and kind, in every table."""
    with pytest.raises(ModelError, match=r"prob must lie between 0 and 1, not 95\.0"):
        post.summary(95.0)
    with pytest.raises(ModelError, match="prob must lie"):
        post.ranef(0.0)


def test_varcorr_has_mean_variances_and_covariances(post: Posterior) -> None:
    """Variance is the mean of the square, not the square of the mean."""
    table = post.varcorr()
    sd = post.draws("edu|classroom_sigma")
    assert table["variance"]["edu|classroom_sigma"] == pytest.approx(np.mean(sd**2))
    rho = post.draws("classroom_corr[edu:kind[music]]")
    label = "classroom_corr[edu:kind[music]]"
    assert (table["effect1"][label], table["effect2"][label]) == ("edu", "kind[music]")
    other = post.draws("kind|classroom_sigma[music]")
    assert table["variance"][label] == pytest.approx(np.mean(rho * sd * other))
    assert table["group"]["sigma"] == "Residual"
    assert table["effect1"]["sigma"] is None
    assert post.sigma == pytest.approx(post.draws("sigma").mean())


def test_fixef_and_interval_are_parts_of_the_summary(post: Posterior) -> None:
    """No second computation."""
    summary = post.summary()
    assert list(post.fixef().index) == [
        "Intercept",
        "edu",
        "kind[maths]",
        "kind[music]",
    ]
    pd.testing.assert_frame_equal(post.interval(), summary[["lower", "upper"]])


# --- tables of levels ---------------------------------------------------------------


def test_ranef_rows_are_the_stored_draws(post: Posterior) -> None:
    """Level and effect of each row, against the tree."""
    table = post.ranef(0.8)
    assert len(table) == 8 * 4 + 4
    for row in table.to_dict("records"):
        name, coord = str(row["effect"]), None
        if name.startswith("kind["):
            name, coord = "kind", name[5:-1]
        variable = f"{'1' if name == 'Intercept' else name}|{row['group']}"
        own = post.idata["posterior"][variable]
        own = own.sel({f"{row['group']}__factor_dim": row["level"]})
        own = own if coord is None else own.sel(kind__expr_dim=coord)
        draws = own.to_numpy()
        expected = [draws.mean(), *np.quantile(draws, [0.1, 0.9])]
        found = [row["mean"], row["lower"], row["upper"]]
        np.testing.assert_allclose(found, expected)


def test_coef_is_fixed_plus_random(post: Posterior) -> None:
    """Every fixed effect at every level; those that do not vary as they are."""
    coef = post.coef().set_index(["group", "level", "effect"])
    level = post.model.design.groups[0].levels[2]
    stored = post.idata["posterior"]["edu|classroom"].sel(classroom__factor_dim=level)
    total = post.draws("edu") + stored.to_numpy()
    key = ("classroom", level, "edu")
    assert coef["mean"][key] == pytest.approx(total.mean())
    assert coef["sd"][key] == pytest.approx(total.std(ddof=1))
    year = coef["mean"]["year", "2003", "edu"]
    assert year == pytest.approx(post.draws("edu").mean())
    with pytest.warns(FitWarning, match="rank 2 of 4"):
        reml = post.model.fit_reml()
    reml = reml.coef().set_index(["group", "level", "effect"])
    assert reml.index.equals(coef.index)


# --- predictions --------------------------------------------------------------------


def test_predictions_of_one_draw(post: Posterior) -> None:
    """X beta + Z b, written out for the first draw."""
    design = post.model.design
    beta, b, _, _ = first_draw(post)
    expected = design.rows.X @ beta
    rows = design.rows
    for Z, codes, own in zip(rows.Z, rows.codes, b, strict=True):
        expected += (Z * own[codes]).sum(axis=1)
    np.testing.assert_allclose(post.predict_draws()[0, 0], expected, rtol=EXACT)
    fixed = post.predict_draws(level="population")[0, 0]
    np.testing.assert_allclose(fixed, design.rows.X @ beta, rtol=EXACT)


def test_prediction_table_describes_the_draws(
    post: Posterior, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it is made a few rows at a time."""
    draws = post.predict_draws()
    module = sys.modules["bayeslmm.posterior.predictions"]
    monkeypatch.setattr(module, "CHUNK", 500 * 7)
    table = post.predict(prob=0.5)
    np.testing.assert_allclose(table["mean"], draws.mean((0, 1)), rtol=EXACT)
    np.testing.assert_allclose(table["upper"], np.quantile(draws, 0.75, axis=(0, 1)))
    np.testing.assert_allclose(post.fitted(), table["mean"], rtol=EXACT)
    np.testing.assert_allclose(
        post.residuals(), post.model.design.rows.y - post.fitted()
    )


def test_known_rows_are_predicted_as_they_were_fitted(
    post: Posterior, data: pd.DataFrame
) -> None:
    """New data that are the old ones change nothing."""
    again = post.predict_draws(data.drop(columns="score"))
    np.testing.assert_allclose(again, post.predict_draws(), rtol=EXACT)


def test_new_levels_are_drawn_from_their_distribution(
    post: Posterior, data: pd.DataFrame
) -> None:
    """N(0, Sigma) draw by draw: standardised they are N(0, 1); one draw per level."""
    rows = data.head(400).assign(classroom=[f"new{i}" for i in range(len(data))])
    drawn = post.predict_draws(rows, level="new", seed=1)
    drawn -= post.predict_draws(data, level="population")
    design = post.model.design
    year = design.rows.codes[1]
    own_year = post.idata["posterior"]["1|year"].to_numpy()[..., year]
    root = factor_draws(design, post.idata, 0)
    sd = np.sqrt(np.einsum("ni,cdia,cdja,nj->cdn", *_twice(design.rows.Z[0], root)))
    z = ((drawn - own_year) / sd).ravel()
    assert scipy.stats.kstest(z, "norm").pvalue > 1e-4
    same = data.head(2).assign(classroom="new", edu=1.0, kind="art", year="2001")
    pair = post.predict_draws(same, level="new", seed=1)
    np.testing.assert_array_equal(pair[..., 0], pair[..., 1])


def _twice(Z: Array, root: Array) -> tuple[Array, Array, Array, Array]:
    """Operands of diag(Z R R' Z')."""
    return Z, root, root, Z


def test_new_responses_have_the_noise_of_their_weights(post: Posterior) -> None:
    """Standardised by sigma / sqrt(w) the noise is N(0, 1)."""
    weights = post.model.design.rows.weights
    assert weights is not None
    noise = post.predict_draws(kind="response", seed=2) - post.predict_draws()
    z = noise * np.sqrt(weights) / post.draws("sigma")[..., None]
    assert scipy.stats.kstest(z.ravel(), "norm").pvalue > 1e-4


def test_drawn_predictions_are_seeded(post: Posterior) -> None:
    """By the run itself if nothing else is said."""
    first = post.predict(kind="response")
    pd.testing.assert_frame_equal(first, post.predict(kind="response"))
    assert not first.equals(post.predict(kind="response", seed=9))


# --- shares of variance, log likelihood -----------------------------------------------


def test_shares_of_variance_of_one_draw(post: Posterior) -> None:
    """The definitions of RemlFit, written out for the first draw."""
    design = post.model.design
    beta, _, covariances, sigma = first_draw(post)
    fixed = np.var(design.rows.X @ beta, ddof=1)
    random = sum(
        np.mean(np.einsum("ni,ij,nj->n", Z, Sigma, Z))
        for Z, Sigma in zip(design.rows.Z, covariances, strict=True)
    )
    one = replace(post, idata=post.idata.isel(chain=[0], draw=[0, 0]))
    total = fixed + random + sigma**2
    assert one.r2()["mean"].to_dict() == pytest.approx(
        {"marginal": fixed / total, "conditional": (fixed + random) / total}
    )
    assert one.icc()["mean"].to_dict() == pytest.approx(
        {"adjusted": random / (random + sigma**2), "unadjusted": random / total}
    )


@pytest.mark.filterwarnings("ignore:Estimated shape parameter:UserWarning")
def test_log_likelihood_is_the_normal_density(post: Posterior) -> None:
    """Pointwise, with weights; a new posterior, the old one is as it was."""
    full = post.compute_log_likelihood()
    assert "log_likelihood" not in post.idata.children
    design, values = post.model.design, full.idata["log_likelihood"]["score"]
    assert values.dims == ("chain", "draw", "__obs__")
    assert design.rows.weights is not None
    expected = scipy.stats.norm.logpdf(
        design.rows.y,
        post.predict_draws(),
        post.draws("sigma")[..., None] / np.sqrt(design.rows.weights),
    )
    np.testing.assert_allclose(values, expected, rtol=EXACT)
    loo: Any = az.loo(full.idata)
    assert loo.elpd < 0


def test_energy_and_tree_depth_are_judged(post: Posterior) -> None:
    """E-BFMI from the energies; the deepest trees."""
    tree = post.idata.copy(deep=True)
    energy = tree["sample_stats"]["energy"].to_numpy()
    energy[:] = np.cumsum(np.random.default_rng(1).normal(size=energy.shape), axis=1)
    tree["sample_stats"]["reached_max_treedepth"].to_numpy()[0, :9] = True
    text = repr(replace(post, idata=tree).diagnose())
    assert "E-BFMI is below 0.3 in 2 of 2 chains" in text
    assert "9 draws reached the largest tree depth" in text


@pytest.mark.parametrize(("chains", "draws"), [(2, 60), (1, 60), (2, 4)])
def test_the_diagnosis_reads_the_figures_of_the_summary(
    post: Posterior, chains: int, draws: int
) -> None:
    """Two ways through ArviZ, also where there is one chain or almost no draw."""
    cut = post.idata.isel(chain=slice(chains), draw=slice(draws))
    short = replace(post, idata=cut)
    table = short.diagnose().table
    pd.testing.assert_frame_equal(short.summary()[list(table)], table)


# --- files and printing ---------------------------------------------------------------


def test_saved_draws_come_back(post: Posterior, tmp_path: Path) -> None:
    """netCDF with the bars in the names, read by ArviZ."""
    path = tmp_path / "posterior.nc"
    post.save(path)
    tree = az.from_netcdf(path)
    for name, variable in post.idata["posterior"].data_vars.items():
        np.testing.assert_array_equal(tree["posterior"][str(name)], variable)
    assert tree.attrs["formula"] == FORMULA
    with pytest.raises(OutputError, match=r"could not be written to .*nowhere"):
        post.save(tmp_path / "nowhere" / "posterior.nc")


def test_repr_is_short(post: Posterior) -> None:
    """Formula, size and how it ended."""
    assert repr(post).splitlines() == [
        f"Posterior({FORMULA!r}, method='nuts', chains=2, draws=250)",
        "Sampling ended as planned: 2 chains of 250 draws, no divergences.",
    ]
    assert set(post.timing) == {"mode", "sampling", "effects"}
