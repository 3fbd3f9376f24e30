"""Noise fits beside lme4 itself: our criterion is nowhere above its."""

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from sampling import unchecked
from test_noise_fits import FORMULAS, noise

from bayeslmm import Model
from bayeslmm.reml.estimate import fit_reml

# lme4's optimisers stop some 1e-7 above their minimum; ours may be no worse.
PEER_OPTIMUM = 1e-6
SETS = 20
# lme4 has no diag() before its version 2.0.
SHARED = [formula for formula in FORMULAS if "diag" not in formula]
PROGRAM = """
suppressMessages(library(lme4))
for (set in seq_len(SETS) - 1) {
  data <- read.csv(paste0(set, ".csv"))
  for (column in c("g", "h", "f")) data[[column]] <- factor(data[[column]])
  for (text in readLines("formulas.txt")) {
    fit <- suppressWarnings(suppressMessages(lmer(as.formula(text), data)))
    cat(format(REMLcrit(fit), digits = 15), "\n")
  }
}
"""


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore::bayeslmm.FitWarning")
def test_no_criterion_is_above_that_of_lme4(tmp_path: Path) -> None:
    """A hundred and eighty fits, most of them singular."""
    program = shutil.which("Rscript")
    if program is None:
        pytest.skip("Rscript with lme4 is not installed (#7)")
    (tmp_path / "formulas.txt").write_text("\n".join(SHARED) + "\n")
    for seed in range(SETS):
        noise(seed).to_csv(tmp_path / f"{seed}.csv", index=False)
    (tmp_path / "fits.R").write_text(PROGRAM.replace("SETS", str(SETS)))
    run = subprocess.run(
        [program, "--vanilla", "fits.R"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    theirs = pd.Series([float(line) for line in run.stdout.split()])
    with unchecked():
        ours = pd.Series(
            [
                fit_reml(Model(formula, noise(seed))).criterion
                for seed in range(SETS)
                for formula in SHARED
            ]
        )
    assert len(theirs) == len(ours) == SETS * len(SHARED)
    assert (ours - theirs).max() < PEER_OPTIMUM
