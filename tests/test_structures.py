"""Every structure of lme4 2.0 through every table, sentence, report and command."""

import numpy as np
import pandas as pd
import pytest
from cli_cases import run
from sampling import unchecked

import bayeslmm as lmm
from bayeslmm.posterior.sampling import sample
from bayeslmm.reml.estimate import fit_reml
from bayeslmm.reporting import explain_text, summary_json
from bayeslmm.reporting.html import report_html
from bayeslmm.reporting.record import Record

BARS = (
    "(f | g)",
    "diag(x | g)",
    "diag(x | g, hom = TRUE)",
    "diag(f | g, hom = TRUE)",
    "cs(x | g)",
    "cs(x | g, hom = TRUE)",
    "cs(0 + f | g, hom = TRUE)",
    "cs(1 | g)",
    "ar1(0 + f | g)",
    "hetar1(0 + f | g)",
    "ar1(1 | g)",
)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """Twelve groups of twenty; a number and a factor whose effects vary."""
    rng = np.random.default_rng(1)
    g = np.arange(240) % 12
    data = pd.DataFrame({"x": rng.normal(size=240), "g": g})
    data["f"] = rng.permutation(list("abc") * 80)
    effects = rng.normal(size=(12, 3))
    data["y"] = effects[g, 0] + effects[g, 1] * data["x"] + rng.normal(size=240)
    data["y"] += effects[g, 2] * (data["f"] == "b")
    return data


@pytest.mark.parametrize("bar", BARS)
@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_every_structure_passes_every_table(bar: str, data: pd.DataFrame) -> None:
    """`hom = TRUE` ended in IndexError and ValueError in compare, reading, report."""
    with unchecked():
        model = lmm.Model(f"y ~ x + f + {bar}", data)
        reml, post = fit_reml(model), sample(model, seed=1, draws=60, chains=2)
        labels = list(reml.summary().index)
        assert list(post.summary().index) == labels
        assert list(lmm.compare(reml, post).index) == labels
        assert list(reml.confint().index) == list(post.interval().index) == labels
        for at in ("zero", "mean"):
            own = reml.varcorr(at=at)  # type: ignore[arg-type]
            theirs = post.varcorr(at=at)  # type: ignore[arg-type]
            assert list(own.index) == list(theirs.index)
        assert len(reml.ranef()) == len(post.ranef()) == 12 * model.design.groups[0].k
        assert len(reml.coef()) == len(post.coef())
        assert len(lmm.shrinkage_table(reml, post)) == len(reml.ranef())
        assert lmm.reading(reml, post)
        assert explain_text(model)
        assert repr(model.priors)
        fit = lmm.Fit(model, reml, post)
        assert summary_json(fit, record=Record(), files={})
        if "hom" in bar:  # figures take their time
            assert "Reading" in report_html(fit)


def test_the_command_line_takes_them_too(
    folder: object, data: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one that crashed there."""
    del folder, capsys
    data.to_csv("data.csv", index=False)
    formula = "y ~ x + f + diag(x | g, hom = TRUE)"
    code, out, _ = run("fit", "data.csv", formula, "--reml-only", "--out", "res")
    assert code == 0
    assert "x|g_sigma" in out
