"""What the reading says: of constructed fits, and of a real singular one."""

from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from compare_cases import pupils
from sampling import sample_unchecked

import bayeslmm as lmm
from bayeslmm.comparison.reading import posterior_mode
from bayeslmm.errors import FitWarning
from bayeslmm.posterior import SamplingStatus
from bayeslmm.posterior.tails import Missing
from bayeslmm.reml import FitStatus

# --- reading --------------------------------------------------------------------------

LABELS = ("Intercept", "edu", "1|classroom_sigma", "sigma")
COMPONENTS = ("fixef", "fixef", "sd", "sigma")


def constructed(
    *,
    n_classrooms: int = 8,
    priors: object = "flat",
    reml: dict[str, tuple[float, float]] | None = None,
    post: dict[str, tuple[float, float, float]] | None = None,
    status: FitStatus | None = None,
    sampling: SamplingStatus | None = None,
    health: tuple[float, float] = (2000.0, 1.0),
) -> tuple[SimpleNamespace, SimpleNamespace]:
    """Fits that say what they are told: (estimate, SE) and (mean, median, SD)."""
    data = pupils(n_classrooms)
    model = lmm.Model("score ~ edu + (1 | classroom)", data, priors=priors)
    plain = {"Intercept": (10.0, 1.0), "edu": (0.3, 0.1)}
    plain |= {"1|classroom_sigma": (2.0, 0.5), "sigma": (1.0, 0.05)}
    told = plain | (reml or {})
    drawn = {label: (told[label][0], told[label][0], told[label][1]) for label in told}
    drawn |= post or {}
    classical = pd.DataFrame(
        [(*told[label], 0.0, 1.0) for label in LABELS],
        columns=["estimate", "se", "lower", "upper"],
        index=pd.Index(LABELS, name="label"),
    ).assign(component=COMPONENTS)
    posterior = pd.DataFrame(
        [(*drawn[label], 0.0, 9.0, *health) for label in LABELS],
        columns=["mean", "median", "sd", "lower", "upper", "ess_bulk", "rhat"],
        index=pd.Index(LABELS, name="label"),
    )
    rng = np.random.default_rng(0)
    fit = SimpleNamespace(
        model=model,
        method="REML",
        status=status or FitStatus(True, False, "fine", (), 10, 0.0),
        summary=lambda **_: classical,
        beta=classical["estimate"].to_numpy()[:2],
        beta_cov=np.diag(classical["se"].to_numpy()[:2] ** 2),
        effects=SimpleNamespace(
            b=[np.resize([2.0, -2.0], (n_classrooms, 1))],
            b_cov=[np.zeros((n_classrooms, 1, 1))],
            b_cov_given_beta=[np.zeros((n_classrooms, 1, 1))],
        ),
    )
    draws = SimpleNamespace(
        model=model,
        status=sampling or SamplingStatus(4, 1000),
        summary=lambda **_: posterior,
        draws=lambda label: rng.gamma(3.0, drawn[label][0] / 3.0, (4, 1000)),
    )
    return fit, draws


def said(words: str, sentences: tuple[str, ...]) -> list[str]:
    """Sentences that hold some words."""
    return [sentence for sentence in sentences if words in sentence]


def test_reading_of_fits_that_agree_is_short():
    assert lmm.reading(*constructed()) == (
        "The fixed effects agree: the largest difference is 0.00 SE (Intercept).",
        "The priors (flat) are flat there: they move no estimate.",
        "REML is not singular: no variance or correlation is at its limit.",
    )


def test_reading_names_the_fixed_effect_that_moved_and_its_side():
    text = lmm.reading(*constructed(post={"edu": (0.25, 0.25, 0.1)}))
    assert said("edu: the posterior median lies 0.50 SE below REML.", text)
    assert not said("agree", text)
    above = lmm.reading(*constructed(post={"edu": (0.4, 0.4, 0.1)}))
    assert said("edu: the posterior median lies 1.00 SE above REML.", above)


def test_reading_says_which_fixed_effects_are_wider():
    text = lmm.reading(*constructed(post={"Intercept": (10.0, 10.0, 2.0)}))
    assert said("exceeds the REML SE for Intercept (2 times)", text)
    assert not said("exceeds", lmm.reading(*constructed()))


def test_reading_says_what_the_prior_did():
    weak = lmm.reading(*constructed(priors={"sigma": "HalfNormal(100)", "set": "flat"}))
    assert said("did little", weak)
    told = {"1|classroom": "HalfNormal(1)", "set": "flat"}
    strong = lmm.reading(*constructed(priors=told))
    # slope of the log density at 2 is -2, times the SE of 0.5
    assert said("pull 1|classroom_sigma down by about 1 SE", strong)
    assert not said("did little", strong)


def test_reading_says_what_skew_did_only_where_there_is_some():
    skewed = {"1|classroom_sigma": (3.0, 2.5, 1.5)}
    text = said("skewed to the right", lmm.reading(*constructed(post=skewed)))
    assert len(text) == 1
    assert "median 2.500, mean 3.000." in text[0]
    assert "REML (2.000) is a mode, so it lies below both" in text[0]
    high = {"1|classroom_sigma": (2.7, 0.5)}
    text = lmm.reading(*constructed(post=skewed, reml=high))
    assert said("skewed", text)
    assert not said("lies below both", text)


def test_reading_of_a_zero_variance_gives_what_the_posterior_says(monkeypatch):
    # what a fit that was made says of it: tests/test_singular.py
    module = import_module("bayeslmm.comparison.reading")
    monkeypatch.setattr(module, "brief_sentences", lambda _: ())
    label = "1|classroom_sigma"
    status = FitStatus(True, True, "The SD is 0.", (label,), 10, 0.0)
    zero = {label: (0.0, float("nan"))}
    text = lmm.reading(
        *constructed(reml=zero, post={label: (0.4, 0.3, 0.4)}, status=status)
    )
    assert said(
        "REML is singular: it puts 1|classroom_sigma at 0, the edge of what is "
        "possible, which is no precise finding; the posterior has median 0.300 and "
        "95% ETI 0.000 to 9.000.",
        text,
    )
    assert not said("not singular", text)


def test_reading_warns_of_few_levels_and_only_then():
    few = said("only 3 levels", lmm.reading(*constructed(n_classrooms=3)))
    assert len(few) == 1
    assert "95% ETI of 1|classroom_sigma reaches from 0.000 to 9.000" in few[0]
    assert not said("levels, which say little", lmm.reading(*constructed()))


def test_reading_puts_what_forbids_reading_first():
    bad = lmm.reading(*constructed(health=(90.0, 1.2)))
    assert bad[0].startswith("The draws are not good enough")
    assert "R-hat 1.200, smallest effective sample 90" in bad[0]
    partial = lmm.reading(*constructed(sampling=SamplingStatus(4, 12, partial=True)))
    assert partial[0].startswith("The posterior is partial")
    lost = FitStatus(False, False, "It stopped at 400 steps.", (), 400, 1.0)
    stopped = lmm.reading(*constructed(status=lost))
    assert stopped[0].endswith("not an estimate: It stopped at 400 steps.")


def test_reading_says_that_a_mean_does_not_exist():
    sampling = SamplingStatus(4, 1000, missing=Missing(mean=("1|classroom_sigma",)))
    text = lmm.reading(*constructed(sampling=sampling))
    assert said("The posterior of 1|classroom_sigma has no mean", text)


def test_reading_of_real_singular_slopes(classrooms):
    model = lmm.Model("score ~ edu + (edu | classroom)", classrooms)
    with pytest.warns(FitWarning):
        reml = model.fit_reml()
    post = sample_unchecked(model, draws=500, chains=2, seed=1)
    text = lmm.reading(reml, post)
    assert said("it puts classroom_corr[Intercept:edu] at -1", text)
    assert said("classroom has only 3 levels", text)
    assert said("the criterion is 0.54 higher with 2 parameters less: p = 0.614", text)
    assert said("explain_singular() says more", text)
    assert said("for edu (", text)  # its SE takes the slope SD as known, and near 0


@pytest.mark.parametrize(
    ("draw", "mode"),
    [
        (lambda rng: rng.gamma(4.0, 1.0, 40_000), 3.0),
        (lambda rng: np.abs(rng.normal(size=40_000)), 0.0),
        (lambda _: np.full(100, 2.0), 2.0),
    ],
)
def test_mode_of_draws(draw, mode):
    draws = draw(np.random.default_rng(1))
    # a quarter of the kernel's width of 0.28 SD; the SDs are 2, 0.6 and 0
    assert posterior_mode(draws) == pytest.approx(mode, abs=0.14)
