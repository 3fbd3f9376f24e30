"""Commands in this process, and a table of pupils with columns to refuse."""

import numpy as np
import pandas as pd
from sampling import unchecked
from typer.testing import CliRunner

import bayeslmm as lmm
from bayeslmm.cli import app

FORMULA = "score ~ edu + (edu | classroom)"
INTERCEPTS = "score ~ edu + (1 | classroom)"
RUNNER = CliRunner(env={"COLUMNS": "120"})


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of one command."""
    done = RUNNER.invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def run_unchecked(*arguments: object) -> tuple[int, str, str]:
    """The same at the speed that a user has, for commands that sample."""
    with unchecked():
        return run(*arguments)


def pupils() -> pd.DataFrame:
    """Simulated pupils with columns that models must refuse."""
    data = lmm.simulate_classrooms(6, 10, seed=4).data
    data["one"] = "only"
    data["row"] = np.arange(len(data))
    data["negative"] = np.where(data["row"] == 3, -1.0, 1.0)
    data["text"] = np.resize(["p", "q", "r"], len(data))
    data["constant"] = 1.0
    data["double"] = 2.0 * data["edu"]
    data["number"] = data["classroom"].cat.codes + 100
    data["passed"] = (data["score"] > data["score"].median()).astype(int)
    return data
